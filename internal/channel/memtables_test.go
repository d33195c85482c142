package channel

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"belfry.live/belfry/internal/store"
)

// memTables are tables in memory, for tests in a synctest bubble, where a real
// store's goroutines cannot live.
type memTables map[string]*memTable

func (m memTables) Table(_ context.Context, name string, _ store.TableConfig) (store.Table, error) {
	if m[name] == nil {
		m[name] = &memTable{rows: map[string]store.Record{}}
	}
	return m[name], nil
}

type memTable struct {
	mu       sync.Mutex
	rows     map[string]store.Record
	revision uint64
}

func (t *memTable) Get(_ context.Context, key string) (store.Record, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r, ok := t.rows[key]
	if !ok {
		return store.Record{}, store.ErrNotFound
	}
	return r, nil
}

func (t *memTable) Create(_ context.Context, key string, value []byte) (uint64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.rows[key]; ok {
		return 0, store.ErrExists
	}
	return t.write(key, value), nil
}

func (t *memTable) Put(_ context.Context, key string, value []byte) (uint64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.write(key, value), nil
}

func (t *memTable) Update(_ context.Context, key string, value []byte, revision uint64) (uint64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rows[key].Revision != revision {
		return 0, store.ErrConflict
	}
	return t.write(key, value), nil
}

// write needs t.mu held.
func (t *memTable) write(key string, value []byte) uint64 {
	t.revision++
	t.rows[key] = store.Record{Key: key, Value: slices.Clone(value), Revision: t.revision}
	return t.revision
}

func (t *memTable) Delete(_ context.Context, key string, revision uint64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	r, ok := t.rows[key]
	if !ok {
		return store.ErrNotFound
	}
	if revision != 0 && r.Revision != revision {
		return store.ErrConflict
	}
	delete(t.rows, key)
	return nil
}

func (t *memTable) List(_ context.Context, prefix string) ([]store.Record, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var found []store.Record
	for _, key := range slices.Sorted(maps.Keys(t.rows)) {
		if strings.HasPrefix(key, prefix) {
			found = append(found, t.rows[key])
		}
	}
	return found, nil
}
