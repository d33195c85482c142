package sfu

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
