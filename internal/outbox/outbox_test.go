package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"belfry.live/belfry/internal/outbox"
)

type event struct {
	key string
	n   int
}

// A paper is what events are written on.
type paper struct {
	mu    sync.Mutex
	lines map[string][]int
	fail  error         // of every write
	held  chan struct{} // writes wait for it; nil: they do not
}

func (p *paper) write(ctx context.Context, events []event) error {
	p.mu.Lock()
	held := p.held
	p.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return p.fail
	}
	for _, e := range events {
		p.lines[e.key] = append(p.lines[e.key], e.n)
	}
	return nil
}

func (p *paper) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

func (p *paper) of(key string) []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.lines[key])
}

func newPaper() *paper { return &paper{lines: map[string][]int{}} }

// run runs the box; stop ends it and waits.
func run(t *testing.T, b *outbox.Box[event]) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: got %v, want no error", err)
		}
	}
}

func upTo(n int) []int {
	var all []int
	for i := range n {
		all = append(all, i)
	}
	return all
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestOrderIsThatOfTheCalls(t *testing.T) {
	p := newPaper()
	b := outbox.New(p.write, 0, quiet())
	stop := run(t, b)
	var all sync.WaitGroup
	for k := range 20 {
		key := fmt.Sprint(k)
		all.Go(func() {
			for n := range 100 {
				if n%3 != 0 {
					b.Push(key, event{key, n})
				} else if err := b.Put(t.Context(), key, event{key, n}); err != nil {
					t.Error(err)
				} else if got := p.of(key); !slices.Equal(got, upTo(n+1)) {
					t.Errorf("after Put of %d: got %v, want all up to it", n, got)
				}
			}
		})
	}
	all.Wait()
	stop()
	for k := range 20 {
		if got := p.of(fmt.Sprint(k)); !slices.Equal(got, upTo(100)) {
			t.Errorf("got %v, want all in order", got)
		}
	}
	if got := b.Dropped(); got != 0 {
		t.Errorf("got %d dropped, want none", got)
	}
}

func TestOneThingDoesNotWaitForAnother(t *testing.T) {
	p := newPaper()
	p.held = make(chan struct{})
	b := outbox.New(p.write, 0, quiet())
	stop := run(t, b)
	first := make(chan error)
	go func() { first <- b.Put(t.Context(), "slow", event{"slow", 0}) }()
	release := p.held
	for b.Settle(expired(t), "slow") == nil { // until it is under way
		time.Sleep(time.Millisecond)
	}
	p.set(func() { p.held = nil })
	if err := b.Put(t.Context(), "fast", event{"fast", 0}); err != nil {
		t.Error(err)
	}
	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
	stop()
}

func expired(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestPushNeverWaits(t *testing.T) {
	p := newPaper()
	p.held = make(chan struct{})
	b := outbox.New(p.write, 10, quiet())
	stop := run(t, b)
	for n := range 25 {
		b.Push("k", event{"k", n})
	}
	if got := b.Dropped(); got != 15 {
		t.Errorf("got %d dropped, want 15", got)
	}
	close(p.held)
	stop()
	if got := p.of("k"); !slices.Equal(got, upTo(10)) {
		t.Errorf("got %v, want the first 10", got)
	}
}

func TestWhatIsPutSurvivesFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("the disk is full")
		p := newPaper()
		p.fail = full
		b := outbox.New(p.write, 0, quiet())
		stop := run(t, b)
		if err := b.Put(t.Context(), "k", event{"k", 0}); !errors.Is(err, full) {
			t.Errorf("got %v, want %v", err, full)
		}
		if b.Settle(t.Context(), "k") == nil {
			t.Error("Settle: got no error, want one")
		}
		b.Push("k", event{"k", 7})
		time.Sleep(3 * time.Second)
		p.set(func() { p.fail = nil })
		time.Sleep(2 * time.Second)
		if err := b.Settle(t.Context(), "k"); err != nil {
			t.Errorf("Settle: got %v, want no error", err)
		}
		if err := b.Put(t.Context(), "k", event{"k", 1}); err != nil {
			t.Error(err)
		}
		if got, want := p.of("k"), []int{0, 1}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if got := b.Dropped(); got != 1 {
			t.Errorf("got %d dropped, want the one that was pushed", got)
		}
		stop()
	})
}

func TestTheEndDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPaper()
		p.held = make(chan struct{})
		b := outbox.New(p.write, 0, quiet())
		stop := run(t, b)
		b.Push("k", event{"k", 0})
		put := make(chan error, 1)
		synctest.Wait()
		go func() { put <- b.Put(t.Context(), "k", event{"k", 1}) }()
		synctest.Wait()
		begun := time.Now()
		stop()
		if got := time.Since(begun); got > 6*time.Second {
			t.Errorf("Run ended after %v, want 5 s", got)
		}
		if err := <-put; err == nil {
			t.Error("Put: got no error, want one")
		}
		if got := b.Dropped(); got != 2 {
			t.Errorf("got %d dropped, want 2", got)
		}
		if err := b.Put(t.Context(), "k", event{"k", 2}); !errors.Is(err, outbox.ErrClosed) {
			t.Errorf("Put after the end: got %v, want %v", err, outbox.ErrClosed)
		}
	})
}
