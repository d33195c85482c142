package rtc

import "sync"

// A notifier calls events one after the other, so that their order is that of
// what happened, whichever goroutine saw it. For every offer no more come than
// two for each layer.
type notifier struct {
	wake chan struct{}

	mu    sync.Mutex // guards queue
	queue []func()
}

func newNotifier() *notifier { return &notifier{wake: make(chan struct{}, 1)} }

func (n *notifier) post(f func()) {
	n.mu.Lock()
	n.queue = append(n.queue, f)
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// run calls what is posted until stop is closed.
func (n *notifier) run(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-n.wake:
		}
		for {
			n.mu.Lock()
			if len(n.queue) == 0 {
				n.mu.Unlock()
				break
			}
			f := n.queue[0]
			n.queue = n.queue[1:]
			n.mu.Unlock()
			select {
			case <-stop:
				return
			default:
				f()
			}
		}
	}
}
