package signal

import (
	"context"
	"time"
)

// A bucket lets rate events a second pass, and size at once. It starts full.
type bucket struct {
	rate, size float64
	spent      float64 // of size; flows back with time
	at         time.Time
}

// take says whether an event may pass now.
func (b *bucket) take(now time.Time) bool {
	b.spent = max(0, b.spent-now.Sub(b.at).Seconds()*b.rate)
	b.at = now
	if b.spent+1 > b.size {
		return false
	}
	b.spent++
	return true
}

// wait returns when an event may pass; false: ctx ended before.
func (b *bucket) wait(ctx context.Context) bool {
	for !b.take(time.Now()) {
		select {
		case <-time.After(time.Duration(float64(time.Second) / b.rate)):
		case <-ctx.Done():
			return false
		}
	}
	return true
}
