package meeting

import (
	"time"

	"belfry.live/belfry/internal/meeting/allot"
)

const (
	// noLimit is what an uplink need not be limited to.
	noLimit = 3_000_000 // bit/s

	// leastUplink is as low as a sender is asked to go; below that the picture
	// is paused rather.
	leastUplink = 100_000 // bit/s

	// obeyTime is how long a sender has to follow a limit: so long its picture
	// is taken to be as small as asked for, and not paused.
	obeyTime = 3 * time.Second

	// limitChange is by what part a limit must change to be told again.
	limitChange = 0.05
)

// An uplinkLimit is what a camera was asked to keep to.
type uplinkLimit struct {
	bps     int // 0: none
	lowered time.Time
}

// expect makes options no dearer than a limit that the sender has just been
// asked to keep to.
func (l *uplinkLimit) expect(options []allot.Option, now time.Time) {
	if l.bps == 0 || now.Sub(l.lowered) > obeyTime {
		return
	}
	for i := range options {
		options[i].Bitrate = min(options[i].Bitrate, l.bps)
	}
}

// limitUplinks asks, while two attendees are alone, the one's camera for no
// more than the other can receive: nobody else needs more, and a smaller
// picture is better than half of the frames.
func (r *room) limitUplinks(now time.Time) {
	var alone []*seat
	for _, s := range r.seats {
		if !s.hidden && !s.share {
			alone = append(alone, s)
		}
	}
	for _, s := range alone {
		if s.camera == nil || s.peer.Load() == nil {
			continue
		}
		limit := 0
		if len(alone) == 2 {
			other := alone[0]
			if other == s {
				other = alone[1]
			}
			limit = roomFor(other, s.camera, now)
		}
		s.camera.limit.set(s, limit, now)
	}
}

// roomFor returns how many bit/s of a camera s could receive, 0: more than it
// will ever have, or s does not watch it.
func roomFor(s *seat, c *camera, now time.Time) int {
	watches, rest := false, s.budget(now)
	for _, v := range s.watching.views {
		if v.camera == c {
			watches = true
			continue
		}
		for _, st := range v.camera.streams {
			for i, t := range st.targets {
				if t == v.target {
					rest -= st.options[i].Bitrate
				}
			}
		}
	}
	if !watches || rest >= noLimit {
		return 0
	}
	return max(rest, leastUplink)
}

func (l *uplinkLimit) set(s *seat, bps int, now time.Time) {
	change := float64(bps-l.bps) / float64(max(l.bps, 1))
	if bps == l.bps || bps != 0 && l.bps != 0 && change < limitChange && change > -limitChange {
		return
	}
	if bps != 0 && (l.bps == 0 || bps < l.bps) {
		l.lowered = now
	}
	l.bps = bps
	s.peer.Load().LimitUplink(bps)
}
