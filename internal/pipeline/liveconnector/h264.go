package liveconnector

import "belfry.live/belfry/internal/wire/h264"

// NAL unit types that only RTP has (RFC 6184 section 5.2).
const (
	typeSTAPA = 24
	typeFUA   = 28
)

var startCode = []byte{0, 0, 0, 1}

// appendH264 appends the NAL units of an RTP payload (RFC 6184, packetization
// modes 0 and 1) to an access unit in Annex B form and says whether the first
// slice of an IDR picture is among them. False: the payload is of no such kind.
//
//	single:  NAL unit
//	STAP-A:  |F|NRI|24|  then each: size 16, NAL unit
//	FU-A:    |F|NRI|28|  |S|E|R|type|  a piece of one; S: the first
func appendH264(unit, b []byte) (_ []byte, key, ok bool) {
	if len(b) < 2 {
		return unit, false, false
	}
	switch kind := b[0] & 0x1f; {
	case kind > 0 && kind < typeSTAPA:
		unit = append(append(unit, startCode...), b...)
		return unit, startsIDR(kind, b[1]), true
	case kind == typeSTAPA:
		for b = b[1:]; len(b) >= 2; {
			size := int(b[0])<<8 | int(b[1])
			if size == 0 || size > len(b)-2 {
				return unit, key, false
			}
			nal := b[2 : 2+size]
			unit = append(append(unit, startCode...), nal...)
			key = key || size > 1 && startsIDR(nal[0]&0x1f, nal[1])
			b = b[2+size:]
		}
		return unit, key, len(b) == 0
	case kind == typeFUA:
		if b[1]&0x80 != 0 {
			unit = append(append(unit, startCode...), b[0]&0xe0|b[1]&0x1f)
			key = len(b) > 2 && startsIDR(b[1]&0x1f, b[2])
		} else if len(unit) == 0 {
			return unit, false, false // a piece whose beginning is missing
		}
		return append(unit, b[2:]...), key, true
	}
	return unit, false, false
}

// startsIDR looks at a NAL unit's type and the first byte after its header. A
// slice begins with first_mb_in_slice, Exp-Golomb coded: 0 is a single 1 bit.
// Without its first slice a key frame is of no use.
func startsIDR(kind, first byte) bool { return kind == h264.TypeIDR && first&0x80 != 0 }
