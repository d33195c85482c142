package rtc

import (
	"strconv"
	"strings"
)

// A voice is what is agreed on for an audio section: Opus, and with it Opus
// in redundant packets (RFC 2198) if the client offers them.
type voice struct {
	formats   []chosen // in the client's order: it sends the first of them
	opus, red uint8    // payload types; red 0: not agreed
	stereo    bool     // the client wants to receive stereo
}

// chooseAudio returns what to answer to an audio section; without formats if
// there is no Opus.
func chooseAudio(s *section) voice {
	var v voice
	opus := opusFormat(s)
	if opus == nil {
		return v
	}
	v.opus, v.stereo = opus.typ, opus.param("stereo") == "1"
	for i := range s.formats {
		f := &s.formats[i]
		switch {
		case f == opus:
			v.formats = append(v.formats, chosen{
				typ:      f.typ,
				rtpmap:   "opus/48000/2",
				params:   opusParams(f),
				feedback: common(f.feedback, audioFeedback),
			})
		case v.red == 0 && isRED(f, opus.typ):
			v.red = f.typ
			v.formats = append(v.formats, chosen{typ: f.typ, rtpmap: "red/48000/2", params: f.params})
		}
	}
	return v
}

func opusFormat(s *section) *format {
	for i := range s.formats {
		f := &s.formats[i]
		if f.name == "opus" && f.clock == 48000 && f.channels == 2 {
			return f
		}
	}
	return nil
}

// isRED reports whether f is redundant Opus: its parameters name the type of
// every block, "111/111".
func isRED(f *format, opus uint8) bool {
	if f.typ == 0 || f.name != "red" || f.clock != 48000 || f.channels != 2 {
		return false
	}
	for block := range strings.SplitSeq(f.params, "/") {
		if block != strconv.Itoa(int(opus)) {
			return false
		}
	}
	return true
}

// Bounds of Opus's average bitrate (RFC 7587, section 7.1).
const (
	minOpusBitrate = 6_000
	maxOpusBitrate = 510_000
)

// opusParams answers the parameters of an Opus format (RFC 7587, section 7).
// Each side says what it wants to receive, so stereo and sprop-stereo change
// sides; the client's wish for a bitrate, or for silence not to be sent, is
// about what it sends as well.
func opusParams(f *format) string {
	params := "minptime=10;useinbandfec=1"
	if f.param("sprop-stereo") == "1" {
		params += ";stereo=1"
	}
	if f.param("stereo") == "1" {
		params += ";sprop-stereo=1"
	}
	if n, err := strconv.Atoi(f.param("maxaveragebitrate")); err == nil && n >= minOpusBitrate && n <= maxOpusBitrate {
		params += ";maxaveragebitrate=" + strconv.Itoa(n)
	}
	if f.param("usedtx") == "1" {
		params += ";usedtx=1"
	}
	return params
}
