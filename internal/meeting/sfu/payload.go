package sfu

import "belfry.live/belfry/internal/wire/h264"

// A Codec names a video codec.
type Codec uint8

// The codecs that are forwarded.
const (
	NoCodec Codec = iota
	VP8
	H264
	VP9
	AV1
)

// String returns the name of the codec in SDP.
func (c Codec) String() string {
	switch c {
	case VP8:
		return "VP8"
	case H264:
		return "H264"
	case VP9:
		return "VP9"
	case AV1:
		return "AV1"
	}
	return "none"
}

// A Format is a codec with those of its parameters that a receiver must have
// agreed to.
type Format struct {
	Codec Codec

	// Profile is of H.264 profile_idc and the constraint bits as in
	// profile-level-id, of VP9 profile-id, of AV1 profile.
	Profile uint16
}

// A payloadInfo is what forwarding needs to know of a payload.
type payloadInfo struct {
	keyStart bool // a decoder can start here
	idrStart bool // H.264: an IDR slice starts here; whether a decoder can depends on what came before

	width, height int // 0: not said in this packet

	// VP8: where in the payload these stand, 0: not there.
	pictureIDAt int
	wide        bool // the picture id has 15 bits
	pictureID   uint16
	tl0At       int
	tl0         uint8
}

// parsePayload looks into the payload of one packet. What it cannot
// understand it describes as nothing in particular.
func parsePayload(c Codec, b []byte) payloadInfo {
	switch c {
	case VP8:
		return parseVP8(b)
	case H264:
		return parseH264(b)
	}
	return payloadInfo{}
}

// parseVP8 reads the payload descriptor (RFC 7741, section 4.2) and, where a
// frame starts, its header (RFC 6386, section 9.1).
//
//	  0 1 2 3 4 5 6 7
//	 +-+-+-+-+-+-+-+-+
//	 |X|R|N|S|R| PID |
//	X|I|L|T|K|  RSV  |
//	I|M| PictureID   |  one more byte if M
//	L|   TL0PICIDX   |
//	T|TID|Y| KEYIDX  |  if T or K
//	 |Size0|H|VER|P|    first byte of the frame, P is 0 for a key frame
func parseVP8(b []byte) (v payloadInfo) {
	if len(b) == 0 {
		return payloadInfo{}
	}
	frameStart := b[0]&0x10 != 0 && b[0]&0x07 == 0
	at := 1
	if b[0]&0x80 != 0 {
		if len(b) < 2 {
			return payloadInfo{}
		}
		ext := b[1]
		at = 2
		if ext&0x80 != 0 {
			if len(b) <= at {
				return payloadInfo{}
			}
			v.pictureIDAt = at
			v.pictureID = uint16(b[at] & 0x7f)
			v.wide = b[at]&0x80 != 0
			at++
			if v.wide {
				if len(b) <= at {
					return payloadInfo{}
				}
				v.pictureID = v.pictureID<<8 | uint16(b[at])
				at++
			}
		}
		if ext&0x40 != 0 {
			if len(b) <= at {
				return payloadInfo{}
			}
			v.tl0At, v.tl0 = at, b[at]
			at++
		}
		if ext&0x30 != 0 {
			at++
		}
	}
	if !frameStart || len(b) <= at || b[at]&0x01 != 0 {
		return v
	}
	v.keyStart = true
	// Frame tag of 3 bytes, start code 9d 01 2a, then 14 bits of each size.
	if f := b[at:]; len(f) >= 10 && f[3] == 0x9d && f[4] == 0x01 && f[5] == 0x2a {
		v.width = int(f[6]) | int(f[7]&0x3f)<<8
		v.height = int(f[8]) | int(f[9]&0x3f)<<8
	}
	return v
}

// rewriteVP8 writes another picture id and TL0PICIDX into a copy b of the
// payload v describes.
func (v *payloadInfo) rewriteVP8(b []byte, pictureID uint16, tl0 uint8) {
	if at := v.pictureIDAt; at != 0 {
		if v.wide {
			b[at], b[at+1] = 0x80|byte(pictureID>>8), byte(pictureID)
		} else {
			b[at] = byte(pictureID) & 0x7f
		}
	}
	if v.tl0At != 0 {
		b[v.tl0At] = tl0
	}
}

// parseH264 reads the NAL unit headers of a payload (RFC 6184, sections 5.6
// to 5.8).
func parseH264(b []byte) (v payloadInfo) {
	if len(b) == 0 {
		return payloadInfo{}
	}
	switch typ := b[0] & 0x1f; {
	case typ >= 1 && typ <= 23:
		v.addNAL(b)
	case typ == 24: // STAP-A: 16-bit size and NAL unit, repeated
		for b = b[1:]; len(b) >= 2; {
			size := int(b[0])<<8 | int(b[1])
			b = b[2:]
			if size == 0 || size > len(b) {
				break
			}
			v.addNAL(b[:size])
			b = b[size:]
		}
	case typ == 28: // FU-A: indicator, then |S|E|R| type |
		if len(b) > 1 && b[1]&0x80 != 0 {
			v.idrStart = b[1]&0x1f == 5
			v.keyStart = b[1]&0x1f == 7
		}
	}
	return v
}

func (v *payloadInfo) addNAL(nal []byte) {
	switch nal[0] & 0x1f {
	case 5:
		v.idrStart = true
	case 7:
		v.keyStart = true
		if sps, err := h264.ParseSPS(nal); err == nil {
			v.width, v.height = sps.Width, sps.Height
		}
	}
}
