// Package collection keeps the records of a store's table in memory too,
// decoded once. What comes in are values and the changes that other writers of
// the table make; what goes out is read without the disk and in the order of
// the keys. A write goes to the table first, so that what it acknowledged is
// on disk, and then to memory, so that whoever reads after it sees it.
//
// The values that are handed out are shared between all who ask for them, and
// with the collection: nobody may change what one refers to. A change goes
// through Update, which works on a copy.
package collection

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidwall/btree"
	"golang.org/x/sync/errgroup"

	"belfry.live/belfry/internal/store"
)

// A Config says how a collection treats its values; its zero value will do.
// The functions are called from several goroutines.
type Config[T any] struct {
	// Copy returns a copy of a value that can be changed without a trace in
	// the original; nil: by encoding and decoding it.
	Copy func(T) T
	// Upgrade completes what was read from the table and may have been written
	// by an older version; nil: nothing to do.
	Upgrade func(*T)
	// Index returns the words by which Find finds a value; nil: none.
	Index func(T) []string
	// Log takes what Run cannot return; nil: slog.Default.
	Log *slog.Logger
}

// A Collection is a table's records in memory. T must come out of JSON as it
// went in. All methods may be called from several goroutines.
type Collection[T any] struct {
	// Fixed by Open.
	table store.Table
	cfg   Config[T]

	turns turns
	state atomic.Pointer[state[T]] // what readers see; never changed, only replaced

	mu     sync.Mutex           // guards what follows; taken before that of turns
	latest state[T]             // what state was copied from
	graves map[string]uint64    // what is known of removed keys: changes up to this revision are old
	under  map[string]*write[T] // what is being written, by key
	seen   uint64               // changes up to this revision will not be told any more
}

// A state is all records, and the index: the words, each with its record's
// key behind it. They are persistent trees: a copy shares what is not changed.
type state[T any] struct {
	records *btree.Map[string, *entry[T]]
	words   *btree.Map[string, *entry[T]]
}

// An entry is one record; it is never changed.
type entry[T any] struct {
	key      string
	value    T
	revision uint64
}

// A write is a value that is on its way to the table.
type write[T any] struct {
	value   T
	encoded []byte
}

// Open reads all of the table. Other writers' changes come in while Run runs.
func Open[T any](ctx context.Context, table store.Table, cfg Config[T]) (*Collection[T], error) {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	c := &Collection[T]{
		table:  table,
		cfg:    cfg,
		turns:  turns{taken: map[string]*turn{}},
		latest: state[T]{new(btree.Map[string, *entry[T]]), new(btree.Map[string, *entry[T]])},
		graves: map[string]uint64{},
		under:  map[string]*write[T]{},
	}
	records, err := table.List(ctx, "")
	if err != nil {
		return nil, err
	}
	entries, err := c.decodeAll(records)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		c.latest.records.Load(e.key, e) // they come in order
		c.addWords(e)
		c.seen = max(c.seen, e.revision)
	}
	c.publish()
	return c, nil
}

func (c *Collection[T]) decode(r store.Record) (*entry[T], error) {
	e := &entry[T]{key: r.Key, revision: r.Revision}
	if err := json.Unmarshal(r.Value, &e.value); err != nil {
		return nil, fmt.Errorf("read record %s: %w", r.Key, err)
	}
	if c.cfg.Upgrade != nil {
		c.cfg.Upgrade(&e.value)
	}
	return e, nil
}

// decodeAll decodes on all processors: it is most of what a start takes that
// has much in store.
func (c *Collection[T]) decodeAll(records []store.Record) ([]*entry[T], error) {
	entries := make([]*entry[T], len(records))
	var next atomic.Int64
	var g errgroup.Group
	for range runtime.GOMAXPROCS(0) {
		g.Go(func() error {
			for {
				last := int(next.Add(decodeRun))
				for i := last - decodeRun; i < min(last, len(records)); i++ {
					var err error
					if entries[i], err = c.decode(records[i]); err != nil {
						return err
					}
					records[i].Value = nil // much memory, of no use any more
				}
				if last >= len(records) {
					return nil
				}
			}
		})
	}
	return entries, g.Wait()
}

// decodeRun is how many records a processor decodes at once.
const decodeRun = 256

// Get returns the value with the key, or store.ErrNotFound.
func (c *Collection[T]) Get(key string) (T, error) {
	e, ok := c.state.Load().records.Get(key)
	if !ok {
		var none T
		return none, store.ErrNotFound
	}
	return e.value, nil
}

// Find returns a value with that word in the index, and its key, or
// store.ErrNotFound. Of several it returns the one with the first key.
func (c *Collection[T]) Find(word string) (key string, value T, err error) {
	err = store.ErrNotFound
	c.state.Load().words.Ascend(word+wordEnd, func(at string, e *entry[T]) bool {
		if strings.HasPrefix(at, word+wordEnd) {
			key, value, err = e.key, e.value, nil
		}
		return false
	})
	return key, value, err
}

// Len returns how many records there are.
func (c *Collection[T]) Len() int { return c.state.Load().records.Len() }

// All returns the records whose keys begin with the prefix, by key, as they
// are when the iteration begins.
func (c *Collection[T]) All(prefix string) iter.Seq2[string, T] { return c.After(prefix, "") }

// After is All without the keys up to after, and after itself.
func (c *Collection[T]) After(prefix, after string) iter.Seq2[string, T] {
	return func(yield func(string, T) bool) {
		c.state.Load().records.Ascend(max(prefix, after), func(key string, e *entry[T]) bool {
			if after != "" && key <= after {
				return true
			}
			return strings.HasPrefix(key, prefix) && yield(key, e.value)
		})
	}
}

// Create makes a record, or returns store.ErrExists. The caller must not
// change what the value refers to from now on.
func (c *Collection[T]) Create(ctx context.Context, key string, value T) error {
	done, err := c.take(ctx, key)
	if err != nil {
		return err
	}
	defer done()
	encoded, err := c.encode(key, value)
	if err != nil {
		return err
	}
	revision, err := c.table.Create(ctx, key, encoded)
	if errors.Is(err, store.ErrExists) {
		if _, err := c.refresh(ctx, key); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	if err != nil {
		return err
	}
	c.wrote(&entry[T]{key, value, revision})
	return nil
}

// Update changes a copy of the value, writes it and returns it, or returns
// store.ErrNotFound. It does so again, with what the other wrote, when another
// writer of the table was faster. If change returns an error, nothing is
// written. Updates of one key take turns: change must not write that key.
func (c *Collection[T]) Update(ctx context.Context, key string, change func(*T) error) (T, error) {
	var none T
	done, err := c.take(ctx, key)
	if err != nil {
		return none, err
	}
	defer done()
	e, err := c.current(ctx, key)
	for ; err == nil; e, err = c.refresh(ctx, key) {
		value, err := c.copied(e)
		if err != nil {
			return none, err
		}
		if err := change(&value); err != nil {
			return none, err
		}
		encoded, err := c.encode(key, value)
		if err != nil {
			return none, err
		}
		revision, err := c.table.Update(ctx, key, encoded, e.revision)
		if err == nil {
			c.wrote(&entry[T]{key, value, revision})
			return value, nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return none, err
		}
	}
	return none, err
}

// Delete removes the record and returns what it was, or returns
// store.ErrNotFound. An error from allow (nil: anything goes), which is asked
// about the very value that is removed, keeps it.
func (c *Collection[T]) Delete(ctx context.Context, key string, allow func(T) error) (T, error) {
	var none T
	done, err := c.take(ctx, key)
	if err != nil {
		return none, err
	}
	defer done()
	e, err := c.current(ctx, key)
	for ; err == nil; e, err = c.refresh(ctx, key) {
		if allow != nil {
			if err := allow(e.value); err != nil {
				return none, err
			}
		}
		err := c.table.Delete(ctx, key, e.revision)
		if err == nil || errors.Is(err, store.ErrNotFound) {
			c.gone(e)
		}
		if err == nil {
			return e.value, nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return none, err
		}
	}
	return none, err
}

// take waits for the turn to write the key.
func (c *Collection[T]) take(ctx context.Context, key string) (done func(), err error) {
	pass, err := c.turns.take(ctx, key)
	if err != nil {
		return nil, err
	}
	return func() {
		c.mu.Lock()
		delete(c.under, key)
		c.mu.Unlock()
		pass()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.tidy(key)
	}, nil
}

// encode encodes what is about to be written. The table may tell of it before
// it answers: told need not decode it then.
func (c *Collection[T]) encode(key string, value T) ([]byte, error) {
	encoded, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("write record %s: %w", key, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.under[key] = &write[T]{value, encoded}
	return encoded, nil
}

func (c *Collection[T]) copied(e *entry[T]) (T, error) {
	if c.cfg.Copy != nil {
		return c.cfg.Copy(e.value), nil
	}
	var value T
	encoded, err := json.Marshal(e.value)
	if err == nil {
		err = json.Unmarshal(encoded, &value)
	}
	if err != nil {
		return value, fmt.Errorf("copy record %s: %w", e.key, err)
	}
	return value, nil
}

// current returns the record from memory, and asks the table if it is not
// there: another writer may have made it just now.
func (c *Collection[T]) current(ctx context.Context, key string) (*entry[T], error) {
	if e, ok := c.state.Load().records.Get(key); ok {
		return e, nil
	}
	if store.CheckKey(key) != nil {
		return nil, store.ErrNotFound // what is no key has no record
	}
	return c.refresh(ctx, key)
}

// refresh returns the record as it is in the table, and remembers it.
func (c *Collection[T]) refresh(ctx context.Context, key string) (*entry[T], error) {
	known, _ := c.state.Load().records.Get(key)
	r, err := c.table.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) && known != nil {
		c.gone(known)
	}
	if err != nil {
		return nil, err
	}
	e, err := c.decode(r)
	if err != nil {
		return nil, err
	}
	c.wrote(e)
	return e, nil
}

// wrote takes in a record that is in the table now or was a moment ago.
func (c *Collection[T]) wrote(e *entry[T]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.isOld(e.key, e.revision) {
		c.put(e)
		c.publish()
	}
}

// isOld tells whether something newer of the key is known, or the same. It
// needs c.mu held.
func (c *Collection[T]) isOld(key string, revision uint64) bool {
	e, ok := c.latest.records.Get(key)
	return ok && e.revision >= revision || c.graves[key] >= revision
}

// gone takes in that a record is in the table no more.
func (c *Collection[T]) gone(e *entry[T]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now, ok := c.latest.records.Get(e.key); ok && now.revision == e.revision {
		c.drop(now)
		c.publish()
		// Older changes of the key may still be told.
		c.graves[e.key] = e.revision
	}
}

// Run follows what other writers of the table change, until ctx ends.
func (c *Collection[T]) Run(ctx context.Context) error {
	for {
		err := c.table.Watch(ctx, c.lastSeen(), c.told)
		for err != nil && ctx.Err() == nil {
			c.cfg.Log.Warn("other writers' changes cannot be followed for a while", "err", err)
			select {
			case <-time.After(retryAfter):
			case <-ctx.Done():
			}
			err = c.compare(ctx)
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// retryAfter is how long a table that could not be read is left alone.
const retryAfter = time.Second

func (c *Collection[T]) lastSeen() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen
}

// told takes in a change from the table. They come in order.
func (c *Collection[T]) told(change store.Change) {
	c.mu.Lock()
	old := c.isOld(change.Key, change.Revision)
	ours := c.under[change.Key]
	c.mu.Unlock()
	var e *entry[T]
	switch {
	case old || change.Removed:
	case ours != nil && bytes.Equal(ours.encoded, change.Value):
		e = &entry[T]{change.Key, ours.value, change.Revision}
	default:
		var err error
		if e, err = c.decode(change.Record); err != nil {
			c.cfg.Log.Error("what another writer changed is not seen here", "err", err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = max(c.seen, change.Revision)
	switch {
	case c.isOld(change.Key, change.Revision):
	case change.Removed:
		if known, ok := c.latest.records.Get(change.Key); ok {
			c.drop(known)
			c.publish()
		}
		// A write of ours whose answer is on its way may be older.
		c.graves[change.Key] = change.Revision
	case e != nil:
		c.put(e)
		c.publish()
	}
	c.tidy(change.Key)
}

// tidy forgets a removal when nothing older can come any more: neither told
// nor as the answer to a write. It needs c.mu held.
func (c *Collection[T]) tidy(key string) {
	if grave, ok := c.graves[key]; ok && grave <= c.seen && !c.turns.busy(key) {
		delete(c.graves, key)
	}
}

// compare makes good for changes that may not have been told: the table
// remembers removals for a while only.
func (c *Collection[T]) compare(ctx context.Context) error {
	before := c.state.Load()
	records, err := c.table.List(ctx, "")
	if err != nil {
		return err
	}
	there := make(map[string]bool, len(records))
	for _, r := range records {
		there[r.Key] = true
		if known, ok := before.records.Get(r.Key); ok && known.revision >= r.Revision {
			continue
		}
		if e, err := c.decode(r); err != nil {
			c.cfg.Log.Error("what another writer changed is not seen here", "err", err)
		} else {
			c.wrote(e)
		}
	}
	before.records.Scan(func(key string, e *entry[T]) bool {
		if !there[key] {
			c.gone(e)
		}
		return true
	})
	return nil
}

// wordEnd ends a word in the index; the record's key follows.
const wordEnd = "\x00"

// put needs c.mu held.
func (c *Collection[T]) put(e *entry[T]) {
	delete(c.graves, e.key)
	if old, ok := c.latest.records.Set(e.key, e); ok {
		c.forgetWords(old)
	}
	c.addWords(e)
}

// addWords needs c.mu held.
func (c *Collection[T]) addWords(e *entry[T]) {
	if c.cfg.Index != nil {
		for _, word := range c.cfg.Index(e.value) {
			c.latest.words.Set(word+wordEnd+e.key, e)
		}
	}
}

// drop needs c.mu held.
func (c *Collection[T]) drop(e *entry[T]) {
	c.latest.records.Delete(e.key)
	c.forgetWords(e)
}

// forgetWords needs c.mu held.
func (c *Collection[T]) forgetWords(e *entry[T]) {
	if c.cfg.Index != nil {
		for _, word := range c.cfg.Index(e.value) {
			c.latest.words.Delete(word + wordEnd + e.key)
		}
	}
}

// publish shows the latest state to readers. It needs c.mu held.
func (c *Collection[T]) publish() {
	c.state.Store(&state[T]{c.latest.records.Copy(), c.latest.words.Copy()})
}
