package sfu

import (
	"encoding/binary"

	"belfry.live/belfry/internal/wire/av1"
)

const (
	// rtpHeader is the size of an RTP header without extensions (RFC 3550,
	// section 5.1).
	rtpHeader = 12

	// The two forms of header extensions (RFC 8285, sections 4.2 and 4.3).
	oneByteHeader = 0xbede
	twoByteHeader = 0x1000
	maxOneByteID  = 14
	maxOneByteLen = 16
)

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

	empty bool // only the number counts: the payload is left out

	picture    uint16 // VP8 and VP9: picture id; AV1: frame number
	tl0        uint8
	descriptor uint8 // id of the dependency descriptor, 0: none
	setActive  bool  // it is to say which decode targets are still sent
	active     uint32
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
	if o.extended() {
		first |= 0x10
	}
	if o.Marker {
		second |= 0x80
	}
	b = append(b, first, second)
	b = binary.BigEndian.AppendUint16(b, o.Seq)
	b = binary.BigEndian.AppendUint32(b, o.Timestamp)
	b = binary.BigEndian.AppendUint32(b, o.SSRC)
	if o.extended() {
		b = o.appendExtensions(b)
	}
	if o.Again {
		b = binary.BigEndian.AppendUint16(b, o.OriginalSeq)
	}
	if o.empty {
		return b
	}
	at := len(b)
	p := o.Packet
	b = append(b, p.buf[:p.size]...)
	if p.format.Codec == VP8 || p.format.Codec == VP9 {
		p.info.rewrite(b[at:], o.picture, o.tl0)
	}
	return b
}

// Size returns the length of the appended packet.
func (o *Outgoing) Size() int {
	n := rtpHeader
	if !o.empty {
		n += o.Packet.size
	}
	if o.extended() {
		n += o.extensionSize()
	}
	if o.Again {
		n += 2
	}
	return n
}

func (o *Outgoing) extended() bool { return o.TWCC != 0 || o.described() }

// described says whether there is a dependency descriptor to write: one that
// could be read.
func (o *Outgoing) described() bool {
	return o.descriptor != 0 && !o.empty && o.Packet.descriptor != 0 && o.Packet.info.structure != nil
}

// change is what is different in this peer's dependency descriptor.
func (o *Outgoing) change() av1.Change {
	v := &o.Packet.info
	return av1.Change{
		Frame:     o.picture,
		SetActive: o.setActive,
		Active:    o.active,
		HasActive: v.hasActive,
		ActiveAt:  int(v.activeAt),
		Targets:   v.structure.Targets,
	}
}

// descriptorSize returns the length of the dependency descriptor.
func (o *Outgoing) descriptorSize() int {
	c := o.change()
	return c.Size(o.Packet.descriptor)
}

// wide says whether the extensions need the two-byte form.
func (o *Outgoing) wide() bool {
	return o.described() && (o.descriptor > maxOneByteID || o.descriptorSize() > maxOneByteLen) ||
		o.TWCC > maxOneByteID
}

// extensionSize returns the length of the header extensions.
func (o *Outgoing) extensionSize() int {
	head, n := 1, 0
	if o.wide() {
		head = 2
	}
	if o.TWCC != 0 {
		n += head + 2
	}
	if o.described() {
		n += head + o.descriptorSize()
	}
	return 4 + (n+3)&^3
}

// appendExtensions appends the header extensions: which form and how many
// words, then id and length of each (in the one-byte form id<<4 | length-1)
// with its content, zeros to the end of the word.
func (o *Outgoing) appendExtensions(b []byte) []byte {
	end := len(b) + o.extensionSize()
	words := uint16((end - len(b) - 4) / 4)
	wide := o.wide()
	if wide {
		b = binary.BigEndian.AppendUint16(b, twoByteHeader)
	} else {
		b = binary.BigEndian.AppendUint16(b, oneByteHeader)
	}
	b = binary.BigEndian.AppendUint16(b, words)
	if o.TWCC != 0 {
		b = appendHead(b, wide, o.TWCC, 2)
		b = binary.BigEndian.AppendUint16(b, o.TWCCSeq)
	}
	if o.described() {
		c, p := o.change(), o.Packet
		b = appendHead(b, wide, o.descriptor, o.descriptorSize())
		b = av1.AppendDescriptor(b, p.buf[p.size:p.size+p.descriptor], &c)
	}
	for len(b) < end {
		b = append(b, 0)
	}
	return b
}

func appendHead(b []byte, wide bool, id uint8, n int) []byte {
	if wide {
		return append(b, id, byte(n))
	}
	return append(b, id<<4|byte(n-1))
}
