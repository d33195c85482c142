package rtc

import (
	"fmt"
	"strconv"
	"strings"

	"belfry.live/belfry/internal/meeting/sfu"
)

// The header extensions that are read or written.
const (
	uriMID         = "urn:ietf:params:rtp-hdrext:sdes:mid"
	uriRID         = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
	uriRepairedRID = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
	uriAudioLevel  = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
	uriTWCC        = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
	uriDescriptor  = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
)

// Feedback that is given and understood.
var (
	audioFeedback = []string{"transport-cc"}
	videoFeedback = []string{"goog-remb", "transport-cc", "ccm fir", "nack", "nack pli"}
)

// A chosen format goes into the answer.
type chosen struct {
	typ      uint8
	rtx      uint8 // 0: none
	rtpmap   string
	params   string // "": no fmtp line
	feedback []string
	video    sfu.Format
}

// chooseVideo returns the video formats of a section that are forwarded, in
// the client's order, so its preference stays. A camera has to keep to the
// profiles that everybody decodes; what arrives may be of any.
func chooseVideo(s *section, kind sectionKind) []chosen {
	var list []chosen
	for i := range s.formats {
		f := &s.formats[i]
		video, params, ok := videoFormat(f)
		if !ok || kind == cameraSection && video.Codec != sfu.H264 && video.Profile != 0 {
			continue
		}
		list = append(list, chosen{
			typ:      f.typ,
			rtx:      rtxOf(s, f.typ),
			rtpmap:   video.Codec.String() + "/90000",
			params:   params,
			feedback: common(f.feedback, videoFeedback),
			video:    video,
		})
	}
	return list
}

// videoFormat says what a format is, and the parameters it must have in an
// answer: clients compare them as text, so their order is fixed, and what goes
// without saying is not said.
func videoFormat(f *format) (v sfu.Format, params string, ok bool) {
	if f.clock != 90000 {
		return sfu.Format{}, "", false
	}
	switch f.name {
	case "vp8":
		return sfu.Format{Codec: sfu.VP8}, "", true
	case "vp9": // RFC 9628, section 6: profiles 0 to 3
		profile, ok := f.small("profile-id", 3)
		return sfu.Format{Codec: sfu.VP9, Profile: profile}, fmt.Sprintf("profile-id=%d", profile), ok
	case "av1": // AV1 RTP payload format, section 7.2.1: profiles 0 to 2
		profile, ok := f.small("profile", 2)
		level, hasLevel := f.small("level-idx", 31)
		tier, hasTier := f.small("tier", 1)
		if profile != 0 {
			params = fmt.Sprintf("profile=%d", profile)
			if hasLevel && hasTier && f.param("level-idx") != "" {
				params = fmt.Sprintf("level-idx=%d;profile=%d;tier=%d", level, profile, tier)
			}
		}
		return sfu.Format{Codec: sfu.AV1, Profile: profile}, params, ok
	case "h264":
		profile := strings.ToLower(f.param("profile-level-id"))
		bits, err := strconv.ParseUint(profile, 16, 24)
		if err != nil || len(profile) != 6 || f.param("packetization-mode") != "1" {
			return sfu.Format{}, "", false
		}
		return sfu.Format{Codec: sfu.H264, Profile: uint16(bits >> 8)},
			"level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=" + profile, true
	}
	return sfu.Format{}, "", false
}

// small returns a parameter that is a number up to limit, 0 when it is not
// given.
func (f *format) small(name string, limit uint16) (uint16, bool) {
	text := f.param(name)
	if text == "" {
		return 0, true
	}
	n, err := strconv.ParseUint(text, 10, 16)
	return uint16(n), err == nil && uint16(n) <= limit
}

// rtxOf returns the payload type of the retransmissions of typ (RFC 4588,
// section 8.6), or 0.
func rtxOf(s *section, typ uint8) uint8 {
	for i := range s.formats {
		f := &s.formats[i]
		if f.name == "rtx" && f.clock == 90000 && f.param("apt") == strconv.Itoa(int(typ)) {
			return f.typ
		}
	}
	return 0
}

// common returns what is in both, in the order of ours.
func common(theirs, ours []string) []string {
	var list []string
	for _, o := range ours {
		for _, t := range theirs {
			if t == o {
				list = append(list, o)
				break
			}
		}
	}
	return list
}

// A sectionKind is what a section is for.
type sectionKind uint8

const (
	audioSection sectionKind = iota
	cameraSection
	receiveSection
)

// chooseExtensions returns the header extensions to accept on a section. Those
// of a camera are the same whether it is on or off, and in simulcast or not:
// browsers do not offer again what was once left out.
//
// Not among them is video-layers-allocation: a client that has it changes its
// layers without an offer.
func chooseExtensions(s *section, kind sectionKind) []extension {
	var list []extension
	for _, e := range s.extensions {
		ours := false
		switch e.uri {
		case uriMID, uriTWCC:
			ours = true
		case uriAudioLevel:
			ours = kind == audioSection
		case uriRID, uriRepairedRID:
			ours = kind == cameraSection
		case uriDescriptor:
			ours = kind != audioSection
		}
		// Ids above 14 need two-byte headers, which browsers do not offer.
		if !ours || e.id > 14 {
			continue
		}
		// "sendonly" of a section that is only received is of no use, nor is
		// the opposite.
		switch e.direction {
		case "", sendRecv:
		case sendOnly:
			if kind == receiveSection {
				continue
			}
		case recvOnly:
			if kind != receiveSection {
				continue
			}
		default:
			continue
		}
		list = append(list, e)
	}
	return list
}
