package sfu

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"
)

// MaxPayload is the largest RTP payload that is forwarded. A client's packets
// are smaller: browsers keep to about 1200 bytes.
const MaxPayload = 1460

// rtpHeader is the size of an RTP header without extensions (RFC 3550, 5.1).
const rtpHeader = 12

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

	size int
	buf  [MaxPayload]byte
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
	p.size = copy(p.buf[:], payload)
	return p
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

// An Outgoing is one packet on its way to one peer: the shared payload, and
// what is different for this peer.
type Outgoing struct {
	Packet    *Packet
	SSRC      uint32
	Timestamp uint32
	Seq       uint16
	Type      uint8 // payload type
	Marker    bool

	// Again marks a retransmission in RTX form (RFC 4588): the payload starts
	// with the sequence number the packet had the first time.
	Again       bool
	OriginalSeq uint16

	// TWCC is the id of the transport-wide sequence number extension and
	// TWCCSeq what it says. The sender sets both when the packet goes out; id
	// 0 is none.
	TWCC    uint8
	TWCCSeq uint16

	pictureID uint16 // VP8: what to write in place of the publisher's
	tl0       uint8
}

// Append appends the RTP packet (RFC 3550, section 5.1).
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|V=2|P|X|  CC   |M|     PT      |       sequence number         |
//	|                           timestamp                           |
//	|                             SSRC                              |
//	|  header extensions                                            |
//	|  original sequence number, RTX only    | payload ...
func (o *Outgoing) Append(b []byte) []byte {
	first, second := byte(0x80), o.Type
	if o.TWCC != 0 {
		first |= 0x10
	}
	if o.Marker {
		second |= 0x80
	}
	b = append(b, first, second)
	b = binary.BigEndian.AppendUint16(b, o.Seq)
	b = binary.BigEndian.AppendUint32(b, o.Timestamp)
	b = binary.BigEndian.AppendUint32(b, o.SSRC)
	b = o.appendExtensions(b)
	if o.Again {
		b = binary.BigEndian.AppendUint16(b, o.OriginalSeq)
	}
	at := len(b)
	p := o.Packet
	b = append(b, p.buf[:p.size]...)
	if p.format.Codec == VP8 {
		p.info.rewriteVP8(b[at:], o.pictureID, o.tl0)
	}
	return b
}

// appendExtensions appends the header extensions (RFC 8285, section 4.2).
func (o *Outgoing) appendExtensions(b []byte) []byte {
	if o.TWCC == 0 {
		return b
	}
	return append(b, 0xbe, 0xde, 0, 1, o.TWCC<<4|1, byte(o.TWCCSeq>>8), byte(o.TWCCSeq), 0)
}

// Size returns the length of the appended packet.
func (o *Outgoing) Size() int {
	n := rtpHeader + o.Packet.size
	if o.TWCC != 0 {
		n += 8
	}
	if o.Again {
		n += 2
	}
	return n
}
