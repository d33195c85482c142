// Package outbox brings what happened to many things to where it is written
// down: the events of one thing one after the other, in the order they were
// put in, those of different things at once. A caller that must not answer
// before its event is on disk waits for it; one that must not wait, such as the
// loop of a meeting, leaves it here. What is written, and where, is the
// caller's business.
package outbox

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// Limit is how many events wait at once, at most, for want of another limit.
	Limit = 10_000

	writers      = 4
	maxBatch     = 256
	writeTimeout = 10 * time.Second // of one batch
	retryWait    = time.Second      // after a batch that was not written
	lastWrites   = 5 * time.Second  // for all that waits when Run is to end
)

// ErrClosed says that Run has ended: nothing is written any more.
var ErrClosed = errors.New("outbox: closed")

// A Box holds events until they are written.
type Box[E any] struct {
	// Fixed by New.
	write func(context.Context, []E) error
	limit int
	log   *slog.Logger

	dropped atomic.Uint64

	mu      sync.Mutex
	ready   sync.Cond           // there is a line to write, or Run is to end
	lines   map[string]*line[E] // those with somebody writing, or something waiting; guarded by mu
	due     []string            // lines that wait for a writer; guarded by mu
	pushed  int                 // events of Push that wait; guarded by mu
	closing bool                // guarded by mu
	closed  bool                // guarded by mu
}

// A line is what waits to be written of one thing.
type line[E any] struct {
	items  []item[E] // guarded by Box.mu
	failed bool      // the last write did; guarded by Box.mu
}

type item[E any] struct {
	events []E
	put    bool       // must not get lost
	done   chan error // takes the outcome of the first try; nil: nobody waits
}

// New returns a box. Its write is called with events of one thing, in order,
// and returns when they are on disk; a limit of 0 is Limit.
func New[E any](write func(context.Context, []E) error, limit int, log *slog.Logger) *Box[E] {
	if limit == 0 {
		limit = Limit
	}
	b := &Box[E]{write: write, limit: limit, log: log, lines: map[string]*line[E]{}}
	b.ready.L = &b.mu
	return b
}

// Dropped returns how many events of Push were not written.
func (b *Box[E]) Dropped() uint64 { return b.dropped.Load() }

// Put writes events of the thing called key, after all that is waiting for it,
// and returns when they are written. After an error they still are kept, and
// written as soon as that is possible.
func (b *Box[E]) Put(ctx context.Context, key string, events ...E) error {
	if len(events) == 0 {
		return nil
	}
	it := item[E]{events: events, put: true, done: make(chan error, 1)}
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return ErrClosed
	}
	l := b.lines[key]
	if l != nil {
		l.items = append(l.items, it)
		b.mu.Unlock()
		select {
		case err := <-it.done:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	l = &line[E]{}
	b.lines[key] = l
	b.mu.Unlock()
	err := b.try(context.WithoutCancel(ctx), key, l, []item[E]{it})
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
	case len(l.items) == 0:
		delete(b.lines, key)
	default:
		b.makeDue(key)
	}
	return err
}

// Push has the event written soon. It never waits: with too many waiting the
// event is dropped.
func (b *Box[E]) Push(key string, event E) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || b.pushed >= b.limit {
		b.dropped.Add(1)
		return
	}
	b.pushed++
	l := b.lines[key]
	if l == nil {
		l = &line[E]{}
		b.lines[key] = l
		b.makeDue(key)
	}
	l.items = append(l.items, item[E]{events: []E{event}})
}

// Settle returns when all that was put of the thing before is written, or an
// error if that is not so yet and may take long.
func (b *Box[E]) Settle(ctx context.Context, key string) error {
	done := make(chan error, 1)
	b.mu.Lock()
	l := b.lines[key]
	switch {
	case l == nil:
		b.mu.Unlock()
		return nil
	case l.failed:
		b.mu.Unlock()
		return errUnwritten
	}
	l.items = append(l.items, item[E]{done: done})
	b.mu.Unlock()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

var errUnwritten = errors.New("outbox: what happened before is not written yet")

// Run writes what waits until ctx ends and nothing waits any more, or for some
// seconds more.
func (b *Box[E]) Run(ctx context.Context) error {
	last, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	quit := context.AfterFunc(ctx, func() {
		b.mu.Lock()
		b.closing = true
		b.mu.Unlock()
		b.ready.Broadcast()
		time.AfterFunc(lastWrites, stop)
	})
	defer quit()
	var work sync.WaitGroup
	for range writers {
		work.Go(func() {
			for key, ok := b.next(); ok; key, ok = b.next() {
				b.drain(last, ctx.Done(), key)
			}
		})
	}
	work.Wait()
	b.close()
	return nil
}

// close gives up what could not be written.
func (b *Box[E]) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	lost := 0
	for key, l := range b.lines {
		for _, it := range l.items {
			lost += len(it.events)
			if it.done != nil {
				it.done <- ErrClosed
			}
		}
		delete(b.lines, key)
	}
	if lost > 0 {
		b.dropped.Add(uint64(lost))
		b.log.Error("events are lost that could not be written before the end", "count", lost)
	}
}

// next waits for a line to write. There is none any more when Run is to end.
func (b *Box[E]) next() (key string, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.due) == 0 {
		if b.closing {
			return "", false
		}
		b.ready.Wait()
	}
	key = b.due[0]
	b.due = b.due[1:]
	return key, true
}

// makeDue has a line written. It is called with mu held.
func (b *Box[E]) makeDue(key string) {
	b.due = append(b.due, key)
	b.ready.Signal()
}

// drain writes a line to its end. After hurry it gives up at the first failure.
func (b *Box[E]) drain(ctx context.Context, hurry <-chan struct{}, key string) {
	for {
		b.mu.Lock()
		l := b.lines[key]
		if len(l.items) == 0 {
			delete(b.lines, key)
			b.mu.Unlock()
			return
		}
		batch := l.take()
		b.mu.Unlock()
		if b.try(ctx, key, l, batch) == nil {
			continue
		}
		select {
		case <-time.After(retryWait):
		case <-hurry:
			return
		}
	}
}

// take takes the first of what waits, as much as goes into one batch.
func (l *line[E]) take() []item[E] {
	n, events := 0, 0
	for n < len(l.items) && (n == 0 || events+len(l.items[n].events) <= maxBatch) {
		events += len(l.items[n].events)
		n++
	}
	batch := slices.Clone(l.items[:n])
	l.items = slices.Delete(l.items, 0, n)
	return batch
}

// try writes a batch and tells those who wait. What was not written and must
// not get lost goes back to the front of its line.
func (b *Box[E]) try(ctx context.Context, key string, l *line[E], batch []item[E]) error {
	var events []E
	pushed := 0
	for _, it := range batch {
		events = append(events, it.events...)
		if !it.put {
			pushed += len(it.events)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	var err error
	if len(events) > 0 { // else somebody waits for what was before
		err = b.write(ctx, events)
	}
	cancel()
	var kept []item[E]
	for _, it := range batch {
		if it.done != nil {
			it.done <- err
		}
		if it.put {
			kept = append(kept, item[E]{events: it.events, put: true})
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pushed -= pushed
	l.failed = err != nil
	if err != nil {
		b.dropped.Add(uint64(pushed))
		l.items = append(kept, l.items...)
		b.log.Error("events are not written", "of", key, "dropped", pushed, "err", err)
	}
	return err
}
