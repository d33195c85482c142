package flv

import (
	"math"
	"strings"

	"belfry.live/belfry/internal/wire/amf0"
)

// Metadata is what onMetaData tells about a stream (E.5). Publishers fill it
// in as they like: zero and empty mean unknown, and none of it is certain.
type Metadata struct {
	Width, Height    int     // pixels
	FrameRate        float64 // Hz
	VideoBitrate     int     // bit/s
	AudioBitrate     int     // bit/s
	AudioSampleRate  int     // Hz
	AudioChannels    int
	KeyFrameInterval float64 // seconds; OBS and some others send it
	Encoder          string  // at most 100 bytes, printable ASCII
}

// maxEncoder is the most bytes kept of the encoder's name.
const maxEncoder = 100

// ParseMetadata reads the value that follows onMetaData's name. What does not
// make sense is left out.
func ParseMetadata(v amf0.Value) Metadata {
	o := amf0.Members(v)
	m := Metadata{
		Width:            int(number(o, "width", 1<<16)),
		Height:           int(number(o, "height", 1<<16)),
		FrameRate:        number(o, "framerate", 1000),
		VideoBitrate:     int(1000 * number(o, "videodatarate", 1e6)),
		AudioBitrate:     int(1000 * number(o, "audiodatarate", 1e5)),
		AudioSampleRate:  int(number(o, "audiosamplerate", 1e6)),
		AudioChannels:    int(number(o, "audiochannels", 64)),
		KeyFrameInterval: number(o, "keyFrameInterval", 3600),
	}
	if m.FrameRate == 0 {
		m.FrameRate = number(o, "fps", 1000)
	}
	if stereo, ok := o.Get("stereo").(bool); ok && m.AudioChannels == 0 {
		m.AudioChannels = 1
		if stereo {
			m.AudioChannels = 2
		}
	}
	if s, ok := o.Get("encoder").(string); ok {
		m.Encoder = plain(s)
	}
	return m
}

// Value makes the value that follows onMetaData's name.
func (m Metadata) Value() amf0.ECMAArray {
	const avc, aac = 7.0, 10.0
	a := amf0.ECMAArray{{Key: "duration", Value: 0.0}, {Key: "fileSize", Value: 0.0}}
	if m.Width > 0 {
		a = append(a,
			amf0.Property{Key: "width", Value: float64(m.Width)},
			amf0.Property{Key: "height", Value: float64(m.Height)},
			amf0.Property{Key: "videocodecid", Value: avc},
			amf0.Property{Key: "videodatarate", Value: float64(m.VideoBitrate) / 1000},
			amf0.Property{Key: "framerate", Value: m.FrameRate},
		)
	}
	if m.AudioChannels > 0 {
		a = append(a,
			amf0.Property{Key: "audiocodecid", Value: aac},
			amf0.Property{Key: "audiodatarate", Value: float64(m.AudioBitrate) / 1000},
			amf0.Property{Key: "audiosamplerate", Value: float64(m.AudioSampleRate)},
			amf0.Property{Key: "audiosamplesize", Value: 16.0},
			amf0.Property{Key: "audiochannels", Value: float64(m.AudioChannels)},
			amf0.Property{Key: "stereo", Value: m.AudioChannels == 2},
		)
	}
	if m.KeyFrameInterval > 0 {
		a = append(a, amf0.Property{Key: "keyFrameInterval", Value: m.KeyFrameInterval})
	}
	if m.Encoder != "" {
		a = append(a, amf0.Property{Key: "encoder", Value: m.Encoder})
	}
	return a
}

// number returns a member if it is a number of (0, limit], else zero.
func number(o amf0.Object, key string, limit float64) float64 {
	v, ok := o.Get(key).(float64)
	if !ok || math.IsNaN(v) || v < 0 || v > limit {
		return 0
	}
	return v
}

// plain keeps what may go into logs and answers.
func plain(s string) string {
	if len(s) > maxEncoder {
		s = s[:maxEncoder]
	}
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return -1
		}
		return r
	}, s)
}
