package port

import (
	"sync"
	"time"
)

// A limiter lets a burst pass and after that so many a second.
type limiter struct {
	rate, burst float64 // fixed

	mu     sync.Mutex // guards what follows
	filled bool
	tokens float64
	last   time.Time
}

// allow takes one, if there is one.
func (l *limiter) allow(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.filled {
		l.filled, l.tokens, l.last = true, l.burst, now
	}
	if d := now.Sub(l.last); d > 0 {
		l.tokens = min(l.burst, l.tokens+d.Seconds()*l.rate)
		l.last = now
	}
	if l.tokens < 1 {
		return false
	}
	l.tokens--
	return true
}
