package natskv

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"belfry.live/belfry/internal/store"
)

type table struct {
	kv jetstream.KeyValue
}

func (t *table) Get(ctx context.Context, key string) (store.Record, error) {
	if err := store.CheckKey(key); err != nil {
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
	if err := store.Check(key, value); err != nil {
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
	if err := store.Check(key, value); err != nil {
		return 0, err
	}
	rev, err := t.kv.Put(ctx, key, value)
	if err != nil {
		return 0, fmt.Errorf("write %s/%s: %w", t.kv.Bucket(), key, err)
	}
	return rev, nil
}

func (t *table) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if err := store.Check(key, value); err != nil {
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
	if err := store.CheckKey(key); err != nil {
		return err
	}
	for {
		last := revision
		if last == 0 {
			r, err := t.Get(ctx, key)
			if err != nil {
				return err
			}
			last = r.Revision
		}
		err := t.kv.Purge(ctx, key, jetstream.LastRevision(last), jetstream.PurgeTTL(markerTTL))
		switch {
		case isConflict(err) && revision == 0:
			continue // written in between: remove that one
		case isConflict(err):
			if _, err := t.Get(ctx, key); err != nil {
				return err
			}
			return store.ErrConflict
		case err != nil:
			return fmt.Errorf("delete %s/%s: %w", t.kv.Bucket(), key, err)
		}
		return nil
	}
}

func (t *table) List(ctx context.Context, prefix string) ([]store.Record, error) {
	filter := jetstream.AllKeys
	if i := strings.LastIndexByte(prefix, '.'); i >= 0 {
		filter = prefix[:i] + ".>" // whole tokens are the server's to filter
	}
	// A record that changes while they are listed comes again.
	found := map[string]store.Record{}
	errListed := errors.New("listed")
	err := t.watch(ctx, filter, func(e jetstream.KeyValueEntry) error {
		switch {
		case e == nil: // everything that was there has been sent
			return errListed
		case !strings.HasPrefix(e.Key(), prefix):
		case e.Operation() == jetstream.KeyValuePut:
			found[e.Key()] = record(e)
		default:
			delete(found, e.Key())
		}
		return nil
	})
	if !errors.Is(err, errListed) {
		return nil, fmt.Errorf("list %s: %w", t.kv.Bucket(), err)
	}
	return slices.SortedFunc(maps.Values(found), func(a, b store.Record) int { return strings.Compare(a.Key, b.Key) }), nil
}

func (t *table) Watch(ctx context.Context, after uint64, tell func(store.Change)) error {
	err := t.watch(ctx, jetstream.AllKeys, func(e jetstream.KeyValueEntry) error {
		switch {
		case e == nil || e.Revision() <= after:
		case e.Operation() == jetstream.KeyValuePut:
			tell(store.Change{Record: record(e)})
		default:
			tell(store.Change{Record: store.Record{Key: e.Key(), Revision: e.Revision()}, Removed: true})
		}
		return nil
	}, jetstream.ResumeFromRevision(after+1))
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("watch %s: %w", t.kv.Bucket(), err)
}

// watch hands out entries, and nil after those that were there at the start,
// until ctx ends or take returns an error.
func (t *table) watch(ctx context.Context, filter string, take func(jetstream.KeyValueEntry) error, opts ...jetstream.WatchOpt) error {
	w, err := t.kv.Watch(ctx, filter, opts...)
	if err != nil {
		return err
	}
	defer func() {
		_ = w.Stop() // fails only if it has stopped
		for range w.Updates() {
			// What is on its way must not block those who send it.
		}
	}()
	for {
		select {
		case e, open := <-w.Updates():
			if !open {
				return errors.New("broken off")
			}
			if err := take(e); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
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
