package natskv

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"belfry.live/belfry/internal/store"
)

// maxKey is the longest key, in characters.
const maxKey = 256

type table struct {
	kv jetstream.KeyValue
}

func (t *table) Get(ctx context.Context, key string) (store.Record, error) {
	if err := checkKey(key); err != nil {
		return store.Record{}, err
	}
	e, err := t.kv.Get(ctx, key)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return store.Record{}, store.ErrNotFound
	case err != nil:
		return store.Record{}, fmt.Errorf("read %s/%s: %w", t.kv.Bucket(), key, err)
	}
	return record(e), nil
}

func (t *table) Create(ctx context.Context, key string, value []byte) (uint64, error) {
	if err := checkWrite(key, value); err != nil {
		return 0, err
	}
	rev, err := t.kv.Create(ctx, key, value)
	switch {
	case errors.Is(err, jetstream.ErrKeyExists):
		return 0, store.ErrExists
	case err != nil:
		return 0, fmt.Errorf("create %s/%s: %w", t.kv.Bucket(), key, err)
	}
	return rev, nil
}

func (t *table) Put(ctx context.Context, key string, value []byte) (uint64, error) {
	if err := checkWrite(key, value); err != nil {
		return 0, err
	}
	rev, err := t.kv.Put(ctx, key, value)
	if err != nil {
		return 0, fmt.Errorf("write %s/%s: %w", t.kv.Bucket(), key, err)
	}
	return rev, nil
}

func (t *table) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if err := checkWrite(key, value); err != nil {
		return 0, err
	}
	rev, err := t.kv.Update(ctx, key, value, revision)
	switch {
	case isConflict(err):
		return 0, store.ErrConflict
	case err != nil:
		return 0, fmt.Errorf("update %s/%s: %w", t.kv.Bucket(), key, err)
	}
	return rev, nil
}

func (t *table) Delete(ctx context.Context, key string, revision uint64) error {
	for {
		r, err := t.Get(ctx, key)
		if err != nil {
			return err
		}
		if revision != 0 && r.Revision != revision {
			return store.ErrConflict
		}
		err = t.kv.Purge(ctx, key, jetstream.LastRevision(r.Revision), jetstream.PurgeTTL(markerTTL))
		switch {
		case isConflict(err) && revision == 0:
			continue // written in between: remove that one
		case isConflict(err):
			return store.ErrConflict
		case err != nil:
			return fmt.Errorf("delete %s/%s: %w", t.kv.Bucket(), key, err)
		}
		return nil
	}
}

func (t *table) List(ctx context.Context, prefix string) ([]store.Record, error) {
	filter := ">"
	if i := strings.LastIndexByte(prefix, '.'); i >= 0 {
		filter = prefix[:i] + ".>" // whole tokens are the server's to filter
	}
	w, err := t.kv.Watch(ctx, filter, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", t.kv.Bucket(), err)
	}
	defer w.Stop()
	var found []store.Record
	for {
		select {
		case e, open := <-w.Updates():
			if !open {
				return nil, fmt.Errorf("list %s: the listing broke off", t.kv.Bucket())
			}
			if e == nil { // everything that was there has been sent
				slices.SortFunc(found, func(a, b store.Record) int { return strings.Compare(a.Key, b.Key) })
				return found, nil
			}
			if strings.HasPrefix(e.Key(), prefix) {
				found = append(found, record(e))
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func record(e jetstream.KeyValueEntry) store.Record {
	return store.Record{Key: e.Key(), Value: e.Value(), Revision: e.Revision()}
}

func isConflict(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, jetstream.ErrKeyExists) ||
		errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}

func checkWrite(key string, value []byte) error {
	if len(value) > store.MaxValue {
		return fmt.Errorf("value of %s has %d bytes, the most is %d", key, len(value), store.MaxValue)
	}
	return checkKey(key)
}

func checkKey(key string) error {
	if key == "" || len(key) > maxKey {
		return fmt.Errorf("key has %d characters, want 1 to %d", len(key), maxKey)
	}
	if key[0] == '.' || key[len(key)-1] == '.' || strings.Contains(key, "..") {
		return fmt.Errorf("key %q has an empty part", key)
	}
	for _, c := range []byte(key) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("_=/.-", c) >= 0:
		default:
			return fmt.Errorf("key %q has the character %q, want letters, digits and _=/.-", key, c)
		}
	}
	return nil
}
