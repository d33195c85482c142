package rtmpsink

import (
	"math/rand/v2"
	"time"
)

const (
	firstRetry = 500 * time.Millisecond
	lastRetry  = 10 * time.Second
	// settled is how long a connection must have lasted for the next retry to
	// be the first again: a server that drops us at once is not hammered.
	settled = 10 * time.Second
)

// A backoff says how long to wait between attempts.
type backoff struct {
	retry   time.Duration // the last one
	refused time.Time     // since when there is nothing but refusals
}

// lost takes the end of an attempt: how long media flowed, and whether the
// server refused. It returns how long to wait, and for how long there have
// been nothing but refusals.
func (b *backoff) lost(lasted time.Duration, refused bool, now time.Time) (retry, refusedFor time.Duration) {
	if lasted >= settled {
		b.retry = 0
	}
	b.retry = min(max(2*b.retry, firstRetry), lastRetry)
	switch {
	case !refused:
		b.refused = time.Time{}
		return b.retry, 0
	case b.refused.IsZero() || lasted > 0:
		b.refused = now
	}
	return b.retry, now.Sub(b.refused)
}

// jitter spreads the retries of many sinks over a fifth either way.
func jitter(d time.Duration) time.Duration {
	return d - d/5 + rand.N(2*d/5)
}
