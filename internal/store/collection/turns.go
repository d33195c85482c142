package collection

import (
	"context"
	"sync"
)

// turns lets those who write one key take turns.
type turns struct {
	mu    sync.Mutex
	taken map[string]*turn // guarded by mu
}

type turn struct {
	token chan struct{} // holds one while somebody's turn is
	users int           // whose turn it is, and who wait; guarded by turns.mu
}

// take waits for the turn of the key; done passes it on.
func (t *turns) take(ctx context.Context, key string) (done func(), err error) {
	t.mu.Lock()
	k := t.taken[key]
	if k == nil {
		k = &turn{token: make(chan struct{}, 1)}
		t.taken[key] = k
	}
	k.users++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if k.users--; k.users == 0 {
			delete(t.taken, key)
		}
	}
	select {
	case k.token <- struct{}{}:
		return func() { <-k.token; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, context.Cause(ctx)
	}
}

// busy tells whether somebody has the turn of the key or waits for it.
func (t *turns) busy(key string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.taken[key] != nil
}
