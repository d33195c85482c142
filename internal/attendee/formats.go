package attendee

import (
	"fmt"
	"strings"
)

// Payload types that are offered besides those of the video formats.
const (
	typeOpus = 111
	typeRED  = 63
)

// Header extensions (RFC 8285) and the numbers they are offered under.
const (
	uriLevel     = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
	uriTransport = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
	uriMID       = "urn:ietf:params:rtp-hdrext:sdes:mid"
	uriRID       = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
	uriRepaired  = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"

	extLevel     = 1
	extTransport = 3
	extMID       = 4
	extRID       = 10
	extRepaired  = 11
)

// A format is a video format as it is offered: one payload type, and the next
// for its retransmissions (RFC 4588).
type format struct {
	number byte
	codec  Codec
	params string
}

func h264Params(profile string) string {
	return "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=" + profile
}

// formats are all that may be offered: of H.264 every profile that browsers
// send, the one sent here first.
var formats = []format{
	{96, VP8, ""},
	{102, H264, h264Params("42e01f")},
	{104, H264, h264Params("42001f")},
	{106, H264, h264Params("4d001f")},
	{108, H264, h264Params("64001f")},
	{112, H264, h264Params("640c1f")},
	{98, VP9, "profile-id=0"},
	{45, AV1, "level-idx=5;profile=0;tier=0"},
}

// codecOf is the codec of a payload type, and whether it is that of its
// retransmissions; 0 if it is never offered.
func codecOf(number byte) (c Codec, retransmission bool) {
	for _, f := range formats {
		if f.number == number || f.number+1 == number {
			return f.codec, f.number != number
		}
	}
	return 0, false
}

// offered are the formats of some codecs, those of the first one first.
func offered(codecs []Codec, first Codec) []format {
	var list, rest []format
	for _, c := range codecs {
		for _, f := range formats {
			switch {
			case f.codec != c:
			case c == first:
				list = append(list, f)
			default:
				rest = append(rest, f)
			}
		}
	}
	return append(list, rest...)
}

// videoLines write the formats into a section.
func videoLines(b *strings.Builder, list []format) {
	for _, f := range list {
		fmt.Fprintf(b, "a=rtpmap:%d %s/90000\r\n", f.number, f.codec)
		for _, feedback := range []string{"goog-remb", "transport-cc", "ccm fir", "nack", "nack pli"} {
			fmt.Fprintf(b, "a=rtcp-fb:%d %s\r\n", f.number, feedback)
		}
		if f.params != "" {
			fmt.Fprintf(b, "a=fmtp:%d %s\r\n", f.number, f.params)
		}
		fmt.Fprintf(b, "a=rtpmap:%d rtx/90000\r\na=fmtp:%d apt=%d\r\n", f.number+1, f.number+1, f.number)
	}
}
