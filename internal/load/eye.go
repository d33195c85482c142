package load

import (
	"time"

	"github.com/pion/rtp"

	"belfry.live/belfry/internal/attendee"
	"belfry.live/belfry/internal/wire/av1"
	"belfry.live/belfry/internal/wire/h264"
	"belfry.live/belfry/internal/wire/vp8"
	"belfry.live/belfry/internal/wire/vp9"
)

const (
	// windowLength is how many packets may wait for one that is missing.
	windowLength = 1024

	// giveUp is when a packet that is missing counts as lost; by then it was
	// asked for ten times.
	giveUp = 500 * time.Millisecond

	// askEvery is how often a key frame is asked for while there is none.
	askEvery = 500 * time.Millisecond

	// Freezes are those of WebRTC's statistics (freezeCount): a picture that
	// stays for more than three times as long as the last freezeFrames did on
	// average, and for more than freezeTime longer.
	freezeFrames = 30
	freezeTime   = 150 * time.Millisecond
)

// videoCounts are of one video, or of many.
type videoCounts struct {
	Packets, Bytes int
	Frames         int // whole, and with all they refer to
	KeyFrames      int
	Lost           int // packets that never came
	Freezes        int
	Frozen         time.Duration
}

func (c *videoCounts) add(o *videoCounts) {
	c.Packets += o.Packets
	c.Bytes += o.Bytes
	c.Frames += o.Frames
	c.KeyFrames += o.KeyFrames
	c.Lost += o.Lost
	c.Freezes += o.Freezes
	c.Frozen += o.Frozen
}

// An eye counts what comes of one video. It puts packets in order as a decoder
// would want them and takes a frame for shown when its last packet is there.
type eye struct {
	videoCounts

	codec  attendee.Codec
	window [windowLength]slot
	layers *vp9.Structure // of VP9

	begun   bool
	next    uint16    // the first packet that is not taken
	highest uint16    // that came
	stuck   time.Time // since when next is missing, zero: it is not
	open    bool      // a frame has begun whose end is not there yet
	key     bool      // that frame is a key frame
	usable  bool      // a key frame has come, and all after it
	asked   time.Time

	shown     time.Time // the last frame
	intervals [freezeFrames]time.Duration
	counted   int // intervals
}

// A slot holds what is needed of a packet.
type slot struct {
	sequence         uint16
	here, start, key bool
	marker           bool
}

func newEye(c attendee.Codec) *eye {
	e := &eye{codec: c}
	if c == attendee.VP9 {
		e.layers = new(vp9.Structure)
	}
	return e
}

// measure begins to count.
func (e *eye) measure() { e.videoCounts = videoCounts{} }

// watch takes a packet; true: a key frame is needed.
func (e *eye) watch(p *rtp.Packet, now time.Time) (ask bool) {
	e.Packets++
	e.Bytes += len(p.Payload)
	sequence := p.SequenceNumber
	if !e.begun {
		e.begun, e.next, e.highest = true, sequence, sequence
	}
	ahead := int16(sequence - e.next)
	if ahead < 0 {
		return false // too late, or twice
	}
	if ahead >= windowLength {
		e.skipTo(sequence)
	}
	if int16(sequence-e.highest) > 0 {
		e.highest = sequence
	}
	s := &e.window[sequence%windowLength]
	*s = slot{sequence: sequence, here: true, marker: p.Marker}
	s.start, s.key = e.inspect(p.Payload)
	e.take(now)
	if e.stuck.IsZero() && e.next != e.highest+1 {
		e.stuck = now
	}
	if !e.stuck.IsZero() && now.Sub(e.stuck) > giveUp {
		e.skipTo(e.firstHere())
		e.take(now)
	}
	if e.usable || now.Sub(e.asked) < askEvery {
		return false
	}
	e.asked = now
	return true
}

// firstHere is the first packet after those that are missing.
func (e *eye) firstHere() uint16 {
	for n := e.next; n != e.highest; n++ {
		if s := &e.window[n%windowLength]; s.here && s.sequence == n {
			return n
		}
	}
	return e.highest
}

// skipTo gives up what is missing before a packet.
func (e *eye) skipTo(sequence uint16) {
	for ; e.next != sequence; e.next++ {
		if s := &e.window[e.next%windowLength]; !s.here || s.sequence != e.next {
			e.Lost++
		}
	}
	e.open, e.usable, e.stuck = false, false, time.Time{}
	if int16(e.highest-sequence) < 0 {
		e.highest = sequence
	}
}

// take goes through the packets that are in order.
func (e *eye) take(now time.Time) {
	for {
		s := &e.window[e.next%windowLength]
		if !s.here || s.sequence != e.next {
			return
		}
		s.here = false
		e.next++
		e.stuck = time.Time{}
		if s.start && (!e.open || s.key) {
			e.open, e.key = true, s.key
			e.usable = e.usable || s.key
		}
		e.key = e.key || e.open && s.key
		if !s.marker {
			continue
		}
		if e.open && e.usable {
			e.show(now)
		}
		e.open = false
	}
}

// show takes a whole frame.
func (e *eye) show(now time.Time) {
	e.Frames++
	if e.key {
		e.KeyFrames++
	}
	if !e.shown.IsZero() {
		took := now.Sub(e.shown)
		if average := e.average(); average > 0 && took > max(3*average, average+freezeTime) {
			e.Freezes++
			e.Frozen += took
		}
		e.intervals[e.counted%freezeFrames] = took
		e.counted++
	}
	e.shown = now
}

// average is how long the last pictures stayed; 0 if there were too few.
func (e *eye) average() time.Duration {
	if e.counted < freezeFrames {
		return 0
	}
	var sum time.Duration
	for _, d := range e.intervals {
		sum += d
	}
	return sum / freezeFrames
}

// finish gives the counts at the end of the measuring: a picture that stays is
// a freeze that has not ended.
func (e *eye) finish(now time.Time) videoCounts {
	c := e.videoCounts
	if average := e.average(); average > 0 {
		if took := now.Sub(e.shown); took > max(3*average, average+freezeTime) {
			c.Freezes++
			c.Frozen += took
		}
	}
	return c
}

// inspect says whether a frame begins in a payload, and whether it is a key
// frame.
func (e *eye) inspect(b []byte) (start, key bool) {
	switch e.codec {
	case attendee.VP8:
		d, rest, err := vp8.ParseDescriptor(b)
		start = err == nil && d.FrameStart
		return start, start && vp8.ParseFrameHeader(rest).Key
	case attendee.H264:
		// Any slice may be the first: a frame begins after the one before.
		p := h264.ParsePayload(b)
		return true, p.SPS || p.IDR
	case attendee.VP9:
		d, rest, err := vp9.ParseDescriptor(b, e.layers)
		start = err == nil && d.FrameStart && d.Spatial == 0
		return start, start && vp9.ParseFrameHeader(rest).Key
	case attendee.AV1:
		return true, av1.ParsePayload(b).Start
	}
	return false, false
}
