package rtc

import "time"

// An allowance says how much of something a client may do: so much at once,
// and then so much a second. What it wants beyond is not done.
type allowance struct {
	rate, burst float64

	left float64
	last time.Time
}

func newAllowance(rate, burst float64) allowance {
	return allowance{rate: rate, burst: burst, left: burst}
}

// has reports whether one more is allowed.
func (a *allowance) has(now time.Time) bool {
	if since := now.Sub(a.last).Seconds(); since > 0 {
		a.left = min(a.left+since*a.rate, a.burst)
		a.last = now
	}
	return a.left >= 1
}

// take reports whether n more are allowed, and if so counts them.
func (a *allowance) take(n float64, now time.Time) bool {
	a.has(now)
	if a.left < n {
		return false
	}
	a.left -= n
	return true
}
