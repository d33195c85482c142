package rtmp

import "time"

// A Clock makes message timestamps, which wrap after 49.7 days, into times
// that do not: each is taken as the nearest to the one before, either way.
// Zero is ready to use; the first timestamp is taken as it is.
type Clock struct {
	running bool
	last    int64 // milliseconds
}

// At returns the time of a timestamp. It is never negative.
func (c *Clock) At(ms uint32) time.Duration {
	if !c.running {
		c.running, c.last = true, int64(ms)
	}
	c.last = max(0, c.last+int64(int32(ms-uint32(c.last))))
	return time.Duration(c.last) * time.Millisecond
}

// Timestamp returns the message timestamp of a time: whole milliseconds,
// wrapped. Negative times are zero.
func Timestamp(t time.Duration) uint32 { return uint32(max(0, t) / time.Millisecond) }
