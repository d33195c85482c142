package jitter

import (
	"slices"
	"time"
)

const (
	// startDelay is the wait before anything is known of the network.
	startDelay = 40 * time.Millisecond
	// spare is added to the slowest packets' way, against a caller that asks
	// a little early.
	spare = 5 * time.Millisecond
	// window is how many packets the delay is drawn from: five seconds of
	// Opus.
	window = 256
	// outliers of each window may come too late in calm times: 2 %.
	outliers = window / 50
	// calm is how long after a late packet the delay stays as it is.
	calm = 2 * time.Second
	// leap is how far a packet may be from its time before it counts as
	// another stream's.
	leap = 5 * time.Second
)

// playout finds when each timestamp is due. The way of a packet is its arrival
// minus its timestamp, both counted from the first packet: the network's delay
// but for a constant. Timestamp t is due at t + offset, where offset is the
// way of slow packets. So a sender's clock that runs fast or slow is followed
// too, as ways shrink or grow.
type playout struct {
	// Fixed by New.
	rate     int64
	min, max time.Duration
	shrink   time.Duration // of the delay, in a second at most

	origin  time.Time // arrival of the first packet
	first   int64     // its timestamp, unwrapped
	last    int64     // timestamp of the packet that came last
	offset  time.Duration
	fastest time.Duration // the shortest of ways
	ways    [window]time.Duration
	count   int // of ways ever added
	sorted  [window]time.Duration
	looked  time.Time // when ways were last sorted
	widened time.Time
	idle    bool // nobody hears how the delay changes
}

func (p *playout) begin(timestamp uint32, arrival time.Time) {
	p.origin, p.looked, p.widened = arrival, arrival, arrival
	p.first = 1<<40 + int64(timestamp)
	p.last = p.first
	p.fastest = 0
	p.offset = min(max(startDelay, p.min), p.max)
	p.count = 0
}

// add learns from a packet. False: it belongs to another stream.
func (p *playout) add(timestamp uint32, arrival time.Time) bool {
	unwrapped := p.last + int64(int32(timestamp-uint32(p.last)))
	way := arrival.Sub(p.origin) - p.duration(unwrapped-p.first)
	if d := way - p.offset; d > leap || d < -leap {
		return false
	}
	p.last = unwrapped
	p.ways[p.count%window] = way
	p.count++
	p.fastest = min(p.fastest, way)
	if way+spare > p.offset {
		p.offset = min(way+spare, p.fastest+p.max)
		p.widened = arrival
	}
	if arrival.Sub(p.looked) >= time.Second {
		p.look(arrival)
	}
	return true
}

// look takes stock of the window and lets go of some of the delay that is too
// much.
func (p *playout) look(now time.Time) {
	p.looked = now
	ways := p.sorted[:copy(p.sorted[:], p.ways[:min(p.count, window)])]
	slices.Sort(ways)
	p.fastest = ways[0]
	slow := ways[len(ways)-1-len(ways)*outliers/window]
	want := min(max(slow+spare, p.fastest+p.min), p.fastest+p.max)
	switch {
	case want > p.offset:
		p.offset = want
	case now.Sub(p.widened) < calm:
	case p.idle:
		p.offset = want
	default:
		p.offset -= min((p.offset-want+3)/4, p.shrink)
	}
}

func (p *playout) due(now time.Time) uint32 {
	return uint32(p.first + p.ticks(now.Sub(p.origin)-p.offset))
}

func (p *playout) delay() time.Duration { return p.offset - p.fastest }

// duration and ticks work in whole seconds and the rest, since nanoseconds
// times the clock rate would overflow within a day.
func (p *playout) duration(ticks int64) time.Duration {
	return time.Duration(ticks/p.rate)*time.Second + time.Duration(ticks%p.rate*int64(time.Second)/p.rate)
}

func (p *playout) ticks(d time.Duration) int64 {
	return int64(d/time.Second)*p.rate + int64(d%time.Second)*p.rate/int64(time.Second)
}
