package storetest

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"belfry.live/belfry/internal/store"
)

// Memory is tables in memory, for tests in a synctest bubble, where a real
// store cannot run, and for those that break it. The zero value has no table.
type Memory struct {
	mu     sync.Mutex
	tables map[string]*memoryTable // guarded by mu
}

// Table opens the table.
func (m *Memory) Table(_ context.Context, name string, cfg store.TableConfig) (store.Table, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tables == nil {
		m.tables = map[string]*memoryTable{}
	}
	if m.tables[name] == nil {
		m.tables[name] = &memoryTable{ttl: cfg.TTL, rows: map[string]row{}, changed: make(chan struct{})}
	}
	return m.tables[name], nil
}

type memoryTable struct {
	ttl time.Duration

	mu       sync.Mutex // guards what follows
	rows     map[string]row
	revision uint64        // of the last change
	changed  chan struct{} // closed by the next change
}

// A row is the last change of its key.
type row struct {
	store.Change
	written time.Time
}

// lock returns with t.mu held, and what is too old removed.
func (t *memoryTable) lock() {
	t.mu.Lock()
	if t.ttl == 0 {
		return
	}
	for key, r := range t.rows {
		if !r.Removed && time.Since(r.written) >= t.ttl {
			t.change(store.Change{Record: store.Record{Key: key}, Removed: true})
		}
	}
}

// change needs t.mu held.
func (t *memoryTable) change(c store.Change) uint64 {
	t.revision++
	c.Revision = t.revision
	t.rows[c.Key] = row{c, time.Now()}
	close(t.changed)
	t.changed = make(chan struct{})
	return t.revision
}

func (t *memoryTable) write(key string, value []byte) (uint64, error) {
	if err := store.Check(key, value); err != nil {
		return 0, err
	}
	return t.change(store.Change{Record: store.Record{Key: key, Value: slices.Clone(value)}}), nil
}

// find needs t.mu held.
func (t *memoryTable) find(key string) (store.Record, error) {
	r, ok := t.rows[key]
	if !ok || r.Removed {
		return store.Record{}, store.ErrNotFound
	}
	return r.Record, nil
}

func (t *memoryTable) Get(_ context.Context, key string) (store.Record, error) {
	t.lock()
	defer t.mu.Unlock()
	return t.find(key)
}

func (t *memoryTable) Create(_ context.Context, key string, value []byte) (uint64, error) {
	t.lock()
	defer t.mu.Unlock()
	if _, err := t.find(key); err == nil {
		return 0, store.ErrExists
	}
	return t.write(key, value)
}

func (t *memoryTable) Put(_ context.Context, key string, value []byte) (uint64, error) {
	t.lock()
	defer t.mu.Unlock()
	return t.write(key, value)
}

func (t *memoryTable) Update(_ context.Context, key string, value []byte, revision uint64) (uint64, error) {
	t.lock()
	defer t.mu.Unlock()
	if r, err := t.find(key); err != nil || r.Revision != revision {
		return 0, store.ErrConflict
	}
	return t.write(key, value)
}

func (t *memoryTable) Delete(_ context.Context, key string, revision uint64) error {
	t.lock()
	defer t.mu.Unlock()
	r, err := t.find(key)
	if err != nil {
		return err
	}
	if revision != 0 && r.Revision != revision {
		return store.ErrConflict
	}
	t.change(store.Change{Record: store.Record{Key: key}, Removed: true})
	return nil
}

func (t *memoryTable) List(_ context.Context, prefix string) ([]store.Record, error) {
	t.lock()
	defer t.mu.Unlock()
	var found []store.Record
	for _, key := range slices.Sorted(maps.Keys(t.rows)) {
		if r := t.rows[key]; !r.Removed && strings.HasPrefix(key, prefix) {
			found = append(found, r.Record)
		}
	}
	return found, nil
}

func (t *memoryTable) Watch(ctx context.Context, after uint64, tell func(store.Change)) error {
	for {
		t.lock()
		var news []store.Change
		for _, r := range t.rows {
			if r.Revision > after {
				news = append(news, r.Change)
			}
		}
		changed := t.changed
		t.mu.Unlock()
		slices.SortFunc(news, func(a, b store.Change) int { return int(a.Revision) - int(b.Revision) })
		for _, c := range news {
			if ctx.Err() != nil {
				return nil
			}
			tell(c)
			after = c.Revision
		}
		var expiry <-chan time.Time
		if t.ttl > 0 {
			expiry = time.After(t.ttl)
		}
		select {
		case <-changed:
		case <-expiry:
		case <-ctx.Done():
			return nil
		}
	}
}
