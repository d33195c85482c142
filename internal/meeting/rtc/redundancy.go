package rtc

import (
	"sync/atomic"
	"time"

	"belfry.live/belfry/internal/wire/red"
	"github.com/pion/rtcp"
)

const (
	// maxCopies is how many earlier frames of the mix a packet carries at the
	// most: then every third packet may come alone.
	maxCopies = 2
	// maxRedundant is the longest packet with copies, in bytes.
	maxRedundant = 1100

	// Losses, in 1/256, from which packets carry one copy, or two, and below
	// which they carry none once it was so for redundancyCalm.
	oneCopy        = 8  // 3 %
	twoCopies      = 38 // 15 %
	noCopies       = 3  // 1 %
	redundancyCalm = 20 * time.Second

	// redundancyBudget is how many bit/s of video the client must be able to
	// take at the least: below that copies would cause what they cure.
	redundancyBudget = 100_000
)

// A redundancy sends frames of the mix again with those that follow (RFC
// 2198) while the client loses packets. That costs bytes and no encode: who
// loses and who does not hear the same packets of Opus.
type redundancy struct {
	payloadType atomic.Uint32 // noType: not agreed on
	copies      atomic.Int32  // in each packet

	// Touched by who reads the client's reports.
	lossyAt time.Time // when there was some loss last

	// Touched by WriteAudio, one at a time.
	memory *sentFrames // nil: none was needed so far
}

// sentFrames are the frames sent last, the newest first.
type sentFrames struct {
	frames [maxCopies]sentFrame
	blocks [maxCopies + 1]red.Block
	packet [maxRedundant]byte
}

type sentFrame struct {
	used      bool
	timestamp uint32
	size      int
	data      [red.MaxSize]byte
}

// report follows what the client says about the mix. budget is what it can
// take beside.
func (r *redundancy) report(b rtcp.ReceptionReport, budget int, now time.Time) {
	copies := r.copies.Load()
	switch {
	case budget < redundancyBudget:
		copies = 0
	case b.FractionLost >= twoCopies:
		copies = maxCopies
	case b.FractionLost >= oneCopy:
		copies = max(copies, 1)
	}
	if b.FractionLost >= noCopies {
		r.lossyAt = now
	} else if now.Sub(r.lossyAt) >= redundancyCalm {
		copies = 0
	}
	r.copies.Store(copies)
}

// add returns the payload to send for a frame, and its type: the frame itself,
// or with copies of those before, valid until the next call.
func (r *redundancy) add(frame []byte, timestamp uint32, opus uint8) (payload []byte, typ uint8) {
	typ = uint8(r.payloadType.Load())
	copies := int(r.copies.Load())
	if typ == noType || copies == 0 {
		if r.memory != nil {
			r.memory.forget()
		}
		return frame, opus
	}
	if r.memory == nil {
		r.memory = new(sentFrames)
	}
	defer r.memory.keep(frame, timestamp)
	packet, ok := r.memory.join(frame, timestamp, opus, copies)
	if !ok {
		return frame, opus
	}
	return packet, typ
}

func (m *sentFrames) forget() {
	for i := range m.frames {
		m.frames[i].used = false
	}
}

// keep remembers a frame for those that follow. One too long for a copy makes
// a hole.
func (m *sentFrames) keep(frame []byte, timestamp uint32) {
	copy(m.frames[1:], m.frames[:])
	f := &m.frames[0]
	f.used = len(frame) <= len(f.data)
	f.timestamp, f.size = timestamp, copy(f.data[:], frame)
}

// join puts the frame behind copies of those before it. False: there is none
// that fits.
func (m *sentFrames) join(frame []byte, timestamp uint32, opus uint8, copies int) ([]byte, bool) {
	first := len(m.blocks) - 1
	m.blocks[first] = red.Block{Type: opus, Payload: frame}
	size := len(frame)
	for i := range copies {
		f := &m.frames[i]
		offset := timestamp - f.timestamp
		if size += f.size; !f.used || offset == 0 || offset > red.MaxOffset || size > maxRedundant-16 {
			break
		}
		first--
		m.blocks[first] = red.Block{Type: opus, Offset: uint16(offset), Payload: f.data[:f.size]}
	}
	if first == len(m.blocks)-1 {
		return nil, false
	}
	packet, err := red.Append(m.packet[:0], m.blocks[first:])
	return packet, err == nil
}
