package playback

import (
	"errors"
	"sync/atomic"

	"belfry.live/belfry/internal/channel"
)

// Stats count requests that were not answered with what they asked for.
type Stats struct {
	Token      int64 // no token, or none that can be accepted
	Used       int64 // a token that was used before
	Session    int64 // no session, or none that is valid
	Revoked    int64 // of a viewer whose sessions were ended
	Origin     int64 // from a page that may not play
	Resolution int64 // of a picture larger than the viewer may see
	Busy       int64 // more were waiting than may
}

// counters are what Stats are read from.
type counters struct {
	token, used, session, revoked, origin, resolution, busy atomic.Int64
}

// Stats returns the counts since the start.
func (h *Handler) Stats() Stats {
	c := &h.counted
	return Stats{
		Token: c.token.Load(), Used: c.used.Load(), Session: c.session.Load(), Revoked: c.revoked.Load(),
		Origin: c.origin.Load(), Resolution: c.resolution.Load(), Busy: c.busy.Load(),
	}
}

// of returns the counter of requests that are refused for that.
func (c *counters) of(why error) *atomic.Int64 {
	for _, known := range []struct {
		why     error
		counter *atomic.Int64
	}{
		{channel.ErrUsed, &c.used},
		{errNoSession, &c.session},
		{errRevoked, &c.revoked},
		{errOrigin, &c.origin},
		{errOriginRequired, &c.origin},
		{errTooManyLines, &c.resolution},
	} {
		if errors.Is(why, known.why) {
			return known.counter
		}
	}
	return &c.token
}
