package liveconnector

import (
	"time"

	"belfry.live/belfry/internal/media/av"
	"belfry.live/belfry/internal/media/jitter"
)

// A fragment is what one RTP packet holds of a VP8 frame.
type fragment struct {
	data  []byte
	start bool // of the frame
	key   bool // the frame is one; known at its start
}

// A frame is a whole compressed picture.
type frame struct {
	data    []byte
	stamp   int64 // RTP timestamp, unwrapped
	arrival time.Time
	key     bool
}

// An assembler puts the packets of one video, in order, into frames. After a
// loss it gives nothing before the next key frame.
type assembler struct {
	codec av.Codec

	open      bool // a frame has begun and is whole so far
	current   frame
	timestamp uint32

	stamp  int64 // the last one, unwrapped
	begun  bool  // stamp counts
	broken bool  // since the last key frame
}

func newAssembler(codec av.Codec) *assembler {
	return &assembler{codec: codec, broken: true}
}

// push takes the next packet and returns the frame that it completes, if any.
func (a *assembler) push(p jitter.Packet) (f frame, ok bool) {
	if p.Lost > 0 {
		a.fail()
	}
	if a.open && p.Timestamp != a.timestamp {
		a.fail() // its end never came
	}
	if !a.add(p) {
		a.fail()
		return frame{}, false
	}
	if !a.open || !p.Marker {
		return frame{}, false
	}
	f, a.current, a.open = a.current, frame{}, false
	if a.broken && !f.key {
		return frame{}, false
	}
	a.broken = false
	return f, true
}

// add puts the packet's data into the current frame. False: it makes no sense
// there.
func (a *assembler) add(p jitter.Packet) bool {
	if len(p.Payload) == 0 {
		return true // padding
	}
	if a.codec == av.VP8 {
		part, ok := parseVP8(p.Payload)
		if !ok || !a.open && !part.start {
			return false
		}
		if !a.open {
			a.begin(p)
			a.current.key = part.key
		}
		a.current.data = append(a.current.data, part.data...)
	} else {
		if !a.open {
			a.begin(p)
		}
		unit, key, ok := appendH264(a.current.data, p.Payload)
		if !ok {
			return false
		}
		a.current.data = unit
		a.current.key = a.current.key || key
	}
	return len(a.current.data) <= av.MaxFrameSize
}

func (a *assembler) begin(p jitter.Packet) {
	if !a.begun {
		a.stamp, a.begun = int64(p.Timestamp), true
	}
	a.stamp = unwrap(a.stamp, p.Timestamp)
	a.open = true
	a.timestamp = p.Timestamp
	a.current = frame{stamp: a.stamp, arrival: p.Arrival, data: a.current.data[:0]}
}

// fail drops the current frame and with it all that refer to it.
func (a *assembler) fail() {
	a.open, a.broken = false, true
}

// unwrap extends a 32-bit counter, near one that was extended before.
func unwrap(last int64, counter uint32) int64 {
	return last + int64(int32(counter-uint32(last)))
}
