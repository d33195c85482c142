// Package av1 reads what a forwarder needs to know of AV1: the aggregation
// header in front of each RTP payload, the size in a sequence header, and the
// dependency descriptor, the RTP header extension that says which frames need
// which; that it also writes for a receiver who gets fewer layers. Decoding is
// left to others.
//
// "The specification" is "RTP Payload Format For AV1" of the Alliance for Open
// Media, version 1.0.0; sizes are in the AV1 bitstream specification.
package av1

import "belfry.live/belfry/internal/wire/bits"

// A Payload says what begins in an RTP payload.
type Payload struct {
	// Start says that the payload begins with a coded video sequence: a
	// decoder can start here.
	Start         bool
	Width, Height int // of a sequence header in front, 0: there is none
}

// ParsePayload reads the aggregation header (the specification, section 4.4)
// and, at the start of a coded video sequence, the sequence header that comes
// first. What it cannot understand it passes over.
//
//	 0 1 2 3 4 5 6 7
//	+-+-+-+-+-+-+-+-+
//	|Z|Y| W |N|-|-|-|
//	| length        |  LEB128, before each OBU; not before the last if W is not 0
//	| OBU ...
func ParsePayload(b []byte) (p Payload) {
	if len(b) == 0 {
		return Payload{}
	}
	continued, count := b[0]&0x80 != 0, int(b[0]>>4&0x03)
	if b[0]&0x08 == 0 || continued {
		return Payload{}
	}
	p.Start = true
	obu := b[1:]
	if count != 1 {
		n, rest, ok := leb128(obu)
		if !ok || n > uint64(len(rest)) {
			return p
		}
		obu = rest[:n]
	}
	p.Width, p.Height = sequenceSize(obu)
	return p
}

// leb128 reads a number of at most 32 bits (AV1 bitstream specification,
// 4.10.5).
func leb128(b []byte) (n uint64, rest []byte, ok bool) {
	for i, c := range b {
		if i == 5 {
			break
		}
		n |= uint64(c&0x7f) << (7 * i)
		if c&0x80 == 0 {
			return n, b[i+1:], true
		}
	}
	return 0, nil, false
}

// sequenceSize returns the largest size that a sequence header OBU allows,
// zeros if obu is none (AV1 bitstream specification, 5.3 and 5.5).
func sequenceSize(obu []byte) (width, height int) {
	const sequenceHeader = 1
	if len(obu) == 0 || obu[0]>>3&0x0f != sequenceHeader {
		return 0, 0
	}
	extended, sized := obu[0]&0x04 != 0, obu[0]&0x02 != 0
	obu = obu[1:]
	if extended {
		if len(obu) == 0 {
			return 0, 0
		}
		obu = obu[1:]
	}
	if sized {
		_, rest, ok := leb128(obu)
		if !ok {
			return 0, 0
		}
		obu = rest
	}
	r := bits.NewReader(obu)
	r.Skip(3 + 1) // profile, still_picture
	if r.Flag() { // reduced_still_picture_header
		r.Skip(5)
	} else {
		skipOperatingPoints(&r)
	}
	widthBits, heightBits := int(r.Bits(4))+1, int(r.Bits(4))+1
	width, height = int(r.Bits(widthBits))+1, int(r.Bits(heightBits))+1
	if r.Err() != nil {
		return 0, 0
	}
	return width, height
}

// skipOperatingPoints passes over timing and operating points.
func skipOperatingPoints(r *bits.Reader) {
	decoderModel, delayBits := false, 0
	if r.Flag() { // timing_info_present_flag
		r.Skip(32 + 32)
		if r.Flag() { // equal_picture_interval
			skipUVLC(r)
		}
		if decoderModel = r.Flag(); decoderModel {
			delayBits = int(r.Bits(5)) + 1
			r.Skip(32 + 5 + 5)
		}
	}
	displayDelay := r.Flag()
	for range r.Bits(5) + 1 {
		r.Skip(12)
		if r.Bits(5) > 7 { // level
			r.Skip(1)
		}
		if decoderModel && r.Flag() {
			r.Skip(2*delayBits + 1)
		}
		if displayDelay && r.Flag() {
			r.Skip(4)
		}
	}
}

// skipUVLC passes over a number of variable length (4.10.3).
func skipUVLC(r *bits.Reader) {
	zeros := 0
	for r.Err() == nil && !r.Flag() {
		zeros++
	}
	if zeros < 32 {
		r.Skip(zeros)
	}
}
