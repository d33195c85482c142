package sfu

import (
	"sync"
	"sync/atomic"
	"time"
)

// MaxPayload is the largest RTP payload that is forwarded. A client's packets
// are smaller: browsers keep to about 1200 bytes.
const MaxPayload = 1460

// A Packet is one RTP payload with what is known about it. Subscribers share
// it, so nobody writes to it once it is made. It is counted: read it until you
// return; to keep it, Retain now and Release later.
type Packet struct {
	refs atomic.Int32

	format    Format
	stream    int   // counts what Publisher.extend takes for a new stream
	seq       int64 // extended by the publisher: never wraps
	timestamp uint32
	marker    bool
	arrival   time.Time
	info      payloadInfo

	size       int              // of the payload
	descriptor int              // bytes of dependency descriptor after the payload
	buf        [MaxPayload]byte // both
}

var packets = sync.Pool{New: func() any { return new(Packet) }}

// NewPacket returns a counted copy of a payload that is sent to one peer
// only, such as a frame of the audio mix. It returns nil if payload is longer
// than MaxPayload.
func NewPacket(payload []byte) *Packet {
	if len(payload) > MaxPayload {
		return nil
	}
	p := packets.Get().(*Packet)
	p.refs.Store(1)
	p.format, p.info = Format{}, payloadInfo{}
	p.marker = false
	p.size, p.descriptor = copy(p.buf[:], payload), 0
	return p
}

// describe adds a dependency descriptor, if there is room.
func (p *Packet) describe(b []byte) {
	if len(b) <= len(p.buf)-p.size {
		p.descriptor = copy(p.buf[p.size:], b)
	}
}

// Retain keeps the packet until one more Release.
func (p *Packet) Retain() { p.refs.Add(1) }

// Release gives the packet back.
func (p *Packet) Release() {
	switch n := p.refs.Add(-1); {
	case n == 0:
		packets.Put(p)
	case n < 0:
		panic("sfu: packet released twice")
	}
}
