// Package vp9 reads what a forwarder needs to know of VP9: the payload
// descriptor in front of each RTP payload with its scalability structure (RFC
// 9628) and the header of a key frame (VP9 bitstream specification, 6.2).
// Decoding is left to others.
package vp9

import (
	"errors"

	"belfry.live/belfry/internal/wire/bits"
)

const (
	// MaxSpatial is how many spatial layers the descriptor can name.
	MaxSpatial = 8

	// maxReferences is how many pictures one can name as references.
	maxReferences = 3
)

var (
	errShort      = errors.New("VP9 payload descriptor is cut off")
	errReferences = errors.New("VP9 payload descriptor names more than three references")
)

// A Descriptor is a payload descriptor. The places are offsets in the payload,
// 0 for what is not there.
type Descriptor struct {
	// The layer frame this is a part of.
	Inter      bool // refers to earlier pictures (P)
	Flexible   bool // names its references itself (F); else the structure does
	FrameStart bool // first packet of the layer frame (B)
	FrameEnd   bool // last packet (E)

	PictureIDAt   int
	WidePictureID bool // of 15 bits, else of 7
	HasPictureID  bool
	PictureID     uint16
	TL0At         int
	TL0           uint8 // counts the pictures of temporal layer 0

	Temporal uint8 // layer
	SwitchUp bool  // one can switch up to higher temporal layers here (U)
	Spatial  uint8 // layer
	OnLower  bool  // refers to the next lower spatial layer of this picture (D)

	// References says how many pictures back each picture referred to is, in
	// flexible mode.
	References     [maxReferences]uint8
	ReferenceCount int

	HasStructure bool // see the Structure that was handed in
}

// A Structure is a scalability structure: the spatial layers and, if Pictures
// is not 0, the pattern in which pictures refer to each other.
type Structure struct {
	Spatial       int // layers
	Width, Height [MaxSpatial]int
	Pictures      int // in the pattern, 0: it does not say
	Pattern       [255]Picture
}

// A Picture is one of a pattern.
type Picture struct {
	Temporal       uint8
	SwitchUp       bool
	References     [maxReferences]uint8 // pictures back
	ReferenceCount int
}

// ParseDescriptor reads the descriptor at the front of an RTP payload (RFC
// 9628, section 4.2) and returns what follows it. A scalability structure goes
// to s, which is not touched without one, or if it is broken.
//
//	    0 1 2 3 4 5 6 7
//	   +-+-+-+-+-+-+-+-+
//	   |I|P|L|F|B|E|V|Z|
//	I  |M| picture id  |  one more byte if M
//	L  | TID |U| SID |D|
//	   |   TL0PICIDX   |  if L and not F
//	P,F| P_DIFF      |N|  another one if N
//	V  | scalability structure ...
func ParseDescriptor(b []byte, s *Structure) (d Descriptor, rest []byte, err error) {
	if len(b) == 0 {
		return Descriptor{}, nil, errShort
	}
	first, at := b[0], 1
	d.Inter, d.Flexible = first&0x40 != 0, first&0x10 != 0
	d.FrameStart, d.FrameEnd = first&0x08 != 0, first&0x04 != 0
	if first&0x80 != 0 {
		if len(b) <= at {
			return Descriptor{}, nil, errShort
		}
		d.HasPictureID, d.PictureIDAt = true, at
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
	if first&0x20 != 0 {
		if len(b) <= at {
			return Descriptor{}, nil, errShort
		}
		d.Temporal, d.SwitchUp = b[at]>>5, b[at]&0x10 != 0
		d.Spatial, d.OnLower = b[at]>>1&0x07, b[at]&0x01 != 0
		at++
		if !d.Flexible {
			if len(b) <= at {
				return Descriptor{}, nil, errShort
			}
			d.TL0At, d.TL0 = at, b[at]
			at++
		}
	}
	for more := d.Flexible && d.Inter; more; at++ {
		switch {
		case len(b) <= at:
			return Descriptor{}, nil, errShort
		case d.ReferenceCount == maxReferences:
			return Descriptor{}, nil, errReferences
		}
		d.References[d.ReferenceCount] = b[at] >> 1
		d.ReferenceCount++
		more = b[at]&1 != 0
	}
	if first&0x02 == 0 {
		return d, b[at:], nil
	}
	d.HasStructure = true
	var parsed Structure
	rest, err = parsed.parse(b[at:])
	if err != nil {
		return Descriptor{}, nil, err
	}
	*s = parsed
	return d, rest, nil
}

// parse reads a structure into an empty one:
//
//	   0 1 2 3 4 5 6 7
//	  +-+-+-+-+-+-+-+-+
//	  | N_S |Y|G|  -  |
//	Y |   width, height of N_S+1 layers, 16 bits each
//	G |      N_G      |
//	  | TID |U| R | - |  N_G times
//	  |    P_DIFF     |  R times
func (s *Structure) parse(b []byte) (rest []byte, err error) {
	if len(b) == 0 {
		return nil, errShort
	}
	s.Spatial = int(b[0]>>5) + 1
	sizes, pattern := b[0]&0x10 != 0, b[0]&0x08 != 0
	b = b[1:]
	if sizes {
		if len(b) < 4*s.Spatial {
			return nil, errShort
		}
		for i := range s.Spatial {
			s.Width[i] = int(b[0])<<8 | int(b[1])
			s.Height[i] = int(b[2])<<8 | int(b[3])
			b = b[4:]
		}
	}
	if !pattern {
		return b, nil
	}
	if len(b) == 0 {
		return nil, errShort
	}
	n := int(b[0])
	b = b[1:]
	for i := range n {
		if len(b) == 0 {
			return nil, errShort
		}
		p := &s.Pattern[i]
		p.Temporal, p.SwitchUp, p.ReferenceCount = b[0]>>5, b[0]&0x10 != 0, int(b[0]>>2&0x03)
		b = b[1:]
		if len(b) < p.ReferenceCount {
			return nil, errShort
		}
		b = b[copy(p.References[:p.ReferenceCount], b):]
	}
	s.Pictures = n
	return b, nil
}

// A FrameHeader is the front of the uncompressed header of a frame.
type FrameHeader struct {
	Key           bool
	Width, Height int // of key frames, 0: cut off or nonsense
}

// ParseFrameHeader reads the front of a frame (VP9 bitstream specification,
// 6.2 and 7.2).
func ParseFrameHeader(b []byte) (h FrameHeader) {
	r := bits.NewReader(b)
	marker := r.Bits(2)
	profile := r.Bits(1) | r.Bits(1)<<1
	if profile == 3 {
		r.Skip(1)
	}
	existing := r.Flag() // shows a frame decoded before
	inter := r.Flag()
	r.Skip(2) // show_frame, error_resilient_mode
	if r.Err() != nil || marker != 2 || existing || inter {
		return FrameHeader{}
	}
	h.Key = true
	sync := r.Bits(24)
	if profile >= 2 {
		r.Skip(1) // 10 or 12 bits
	}
	const rgb = 7
	space := r.Bits(3)
	if space != rgb {
		r.Skip(1) // range
	}
	if profile == 1 || profile == 3 {
		if space != rgb {
			r.Skip(2) // subsampling
		}
		r.Skip(1)
	}
	width, height := int(r.Bits(16))+1, int(r.Bits(16))+1
	if r.Err() == nil && sync == 0x498342 {
		h.Width, h.Height = width, height
	}
	return h
}
