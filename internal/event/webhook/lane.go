package webhook

import (
	"container/heap"
	"math/rand/v2"
	"time"
)

// A lane is one resource's events that are still to be delivered. It holds
// their places in the journal, not the events.
type lane struct {
	subject string
	next    uint64 // the first event is this one, or a later one if not exact
	exact   bool
	last    uint64 // the last event is this one, or an earlier one
	tries   int    // of the first event
	due     time.Time
	place   int // in the heap
}

// lanes that rest are a heap, the one due first on top.
type lanes []*lane

func (l lanes) Len() int           { return len(l) }
func (l lanes) Less(i, j int) bool { return l[i].due.Before(l[j].due) }
func (l lanes) Swap(i, j int) {
	l[i], l[j] = l[j], l[i]
	l[i].place, l[j].place = i, j
}

// Push is for package heap.
func (l *lanes) Push(x any) {
	x.(*lane).place = len(*l)
	*l = append(*l, x.(*lane))
}

// Pop is for package heap.
func (l *lanes) Pop() any {
	old := *l
	x := old[len(old)-1]
	old[len(old)-1] = nil
	*l = old[:len(old)-1]
	return x
}

var _ heap.Interface = (*lanes)(nil)

const (
	firstWait = time.Second
	maxWait   = 15 * time.Minute
)

// backoff is how long to wait after the n-th failure in a row: a second that
// doubles up to 15 minutes, half of it by chance.
func backoff(n int) time.Duration {
	wait := maxWait
	if n < 11 { // 2^10 s is more than that
		wait = min(wait, firstWait<<(n-1))
	}
	return wait/2 + rand.N(wait/2+1)
}
