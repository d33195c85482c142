package rtc

import (
	"strconv"
	"strings"

	"belfry.live/belfry/internal/meeting/sfu"
)

// The header extensions that are read.
const (
	uriMID        = "urn:ietf:params:rtp-hdrext:sdes:mid"
	uriAudioLevel = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
	uriTWCC       = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
)

// Feedback that is given or, on receive sections, understood.
var (
	audioFeedback   = []string{"transport-cc"}
	cameraFeedback  = []string{"transport-cc", "ccm fir", "nack", "nack pli"}
	receiveFeedback = []string{"ccm fir", "nack", "nack pli"}
)

const opusParams = "minptime=10;useinbandfec=1"

// A chosen format goes into the answer.
type chosen struct {
	typ      uint8
	rtx      uint8 // 0: none
	rtpmap   string
	params   string // "": no fmtp line
	feedback []string
	video    sfu.Format
}

// chooseAudio returns the Opus format of a section, or nil.
func chooseAudio(s *section) []chosen {
	for i := range s.formats {
		f := &s.formats[i]
		if f.name == "opus" && f.clock == 48000 && f.channels == 2 {
			return []chosen{{
				typ:      f.typ,
				rtpmap:   "opus/48000/2",
				params:   opusParams,
				feedback: common(f.feedback, audioFeedback),
			}}
		}
	}
	return nil
}

// chooseVideo returns the video formats of a section that are forwarded, in
// the client's order, so its preference stays.
func chooseVideo(s *section, feedback []string) []chosen {
	var list []chosen
	for i := range s.formats {
		f := &s.formats[i]
		video, params, ok := videoFormat(f)
		if !ok {
			continue
		}
		list = append(list, chosen{
			typ:      f.typ,
			rtx:      rtxOf(s, f.typ),
			rtpmap:   video.Codec.String() + "/90000",
			params:   params,
			feedback: common(f.feedback, feedback),
			video:    video,
		})
	}
	return list
}

// videoFormat says what a format is, and the parameters it must have in an
// answer: clients compare them as text, so the order is fixed.
func videoFormat(f *format) (v sfu.Format, params string, ok bool) {
	if f.clock != 90000 {
		return sfu.Format{}, "", false
	}
	switch f.name {
	case "vp8":
		return sfu.Format{Codec: sfu.VP8}, "", true
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

// chooseExtensions returns the header extensions to accept on a section.
func chooseExtensions(s *section, receive bool) []extension {
	var list []extension
	for _, e := range s.extensions {
		ours := e.uri == uriMID ||
			e.uri == uriAudioLevel && s.kind == "audio" ||
			e.uri == uriTWCC && !receive
		// Ids above 14 need two-byte headers, which nobody sends for these.
		if !ours || e.id > 14 || e.direction != "" && !e.direction.sends() {
			continue
		}
		list = append(list, e)
	}
	return list
}
