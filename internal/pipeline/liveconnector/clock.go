package liveconnector

import (
	"sync"
	"time"
)

// An outputClock tells the output's time: zero at the start, then with the
// local clock, a little faster or slower as it is steered. It never runs
// backwards.
type outputClock struct {
	mu   sync.Mutex
	at   time.Time     // local
	time time.Duration // output time at that moment
	rate float64       // output seconds per local second, about 1
}

func newOutputClock(now time.Time) *outputClock { return &outputClock{at: now, rate: 1} }

// now is the output time at a local time, which may lie a little back.
func (c *outputClock) now(local time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.time + time.Duration(float64(local.Sub(c.at))*c.rate)
}

// wait is how long it is at a local time until the output time t.
func (c *outputClock) wait(local time.Time, t time.Duration) time.Duration {
	d := t - c.now(local)
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Duration(float64(d) / c.rate)
}

// steer changes the rate from a local time on.
func (c *outputClock) steer(local time.Time, rate float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if local.Before(c.at) {
		local = c.at
	}
	c.time += time.Duration(float64(local.Sub(c.at)) * c.rate)
	c.at, c.rate = local, rate
}

// A window knows the least value of the last one to two spans of time.
type window struct {
	span          time.Duration
	since         time.Time
	current, last time.Duration
	filled        bool // last counts
	begun         bool // current counts
}

func (w *window) add(now time.Time, v time.Duration) {
	switch {
	case !w.begun:
		w.since, w.current, w.begun = now, v, true
		return
	case now.Sub(w.since) >= w.span:
		w.since, w.last, w.current, w.filled = now, w.current, v, true
	default:
		w.current = min(w.current, v)
	}
}

func (w *window) min() time.Duration {
	if w.filled {
		return min(w.last, w.current)
	}
	return w.current
}

func (w *window) reset() { *w = window{span: w.span} }
