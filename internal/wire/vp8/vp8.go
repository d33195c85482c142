// Package vp8 reads what a forwarder needs to know of VP8: the payload
// descriptor in front of each RTP payload (RFC 7741) and the header of a key
// frame (RFC 6386). Decoding is left to others.
package vp8

import "errors"

var errShort = errors.New("VP8 payload descriptor is cut off")

// A Descriptor is a payload descriptor. The places are offsets in the payload,
// 0 for what is not there.
type Descriptor struct {
	FrameStart bool // the payload begins with the first byte of a frame

	PictureIDAt   int
	WidePictureID bool // of 15 bits, else of 7
	PictureID     uint16
	TL0At         int
	TL0           uint8 // counts the frames of temporal layer 0

	Temporal uint8 // layer
	Sync     bool  // refers to nothing but temporal layer 0
}

// ParseDescriptor reads the descriptor at the front of an RTP payload (RFC
// 7741, section 4.2) and returns what follows it.
//
//	  0 1 2 3 4 5 6 7
//	 +-+-+-+-+-+-+-+-+
//	 |X|R|N|S|R| PID |
//	X|I|L|T|K|  RSV  |
//	I|M| PictureID   |  one more byte if M
//	L|   TL0PICIDX   |
//	T|TID|Y| KEYIDX  |  if T or K
func ParseDescriptor(b []byte) (d Descriptor, rest []byte, err error) {
	if len(b) == 0 {
		return Descriptor{}, nil, errShort
	}
	d.FrameStart = b[0]&0x10 != 0 && b[0]&0x07 == 0
	if b[0]&0x80 == 0 {
		return d, b[1:], nil
	}
	if len(b) < 2 {
		return Descriptor{}, nil, errShort
	}
	ext, at := b[1], 2
	if ext&0x80 != 0 {
		if len(b) <= at {
			return Descriptor{}, nil, errShort
		}
		d.PictureIDAt = at
		d.PictureID = uint16(b[at] & 0x7f)
		d.WidePictureID = b[at]&0x80 != 0
		at++
		if d.WidePictureID {
			if len(b) <= at {
				return Descriptor{}, nil, errShort
			}
			d.PictureID = d.PictureID<<8 | uint16(b[at])
			at++
		}
	}
	if ext&0x40 != 0 {
		if len(b) <= at {
			return Descriptor{}, nil, errShort
		}
		d.TL0At, d.TL0 = at, b[at]
		at++
	}
	if ext&0x30 != 0 {
		if len(b) <= at {
			return Descriptor{}, nil, errShort
		}
		if ext&0x20 != 0 {
			d.Temporal, d.Sync = b[at]>>6, b[at]&0x20 != 0
		}
		at++
	}
	return d, b[at:], nil
}

// A FrameHeader is the uncompressed part of a frame's header.
type FrameHeader struct {
	Key           bool
	Width, Height int // of key frames, 0: cut off
}

// ParseFrameHeader reads the front of a frame (RFC 6386, section 9.1): a tag
// of 3 bytes whose last bit is 0 for a key frame; then, for those, the start
// code 9d 01 2a and 14 bits of each size.
func ParseFrameHeader(b []byte) (h FrameHeader) {
	if len(b) == 0 || b[0]&0x01 != 0 {
		return FrameHeader{}
	}
	h.Key = true
	if len(b) >= 10 && b[3] == 0x9d && b[4] == 0x01 && b[5] == 0x2a {
		h.Width = int(b[6]) | int(b[7]&0x3f)<<8
		h.Height = int(b[8]) | int(b[9]&0x3f)<<8
	}
	return h
}
