// Package hls writes the playlists of HTTP Live Streaming as
// draft-pantos-hls-rfc8216bis defines them, with the tags of low latency:
// multivariant playlists and media playlists. Values come in, text goes out;
// what a playlist should say is left to the caller.
package hls

import (
	"math"
	"strconv"
	"time"
)

// ContentType is the media type of a playlist (RFC 8216bis, section 4).
const ContentType = "application/vnd.apple.mpegurl"

// version is the EXT-X-VERSION that EXT-X-SKIP asks for (section 8).
const version = 9

// A Multivariant is a multivariant playlist (4.4.6) with one variant and at
// most one audio rendition beside it.
type Multivariant struct {
	// IndependentSegments says that every segment of every rendition begins
	// with a key frame.
	IndependentSegments bool
	Audio               *AudioRendition
	Variant             Variant
}

// An AudioRendition is an EXT-X-MEDIA of type AUDIO.
type AudioRendition struct {
	Name     string // shown to people; without '"' and line ends
	Channels int
	URI      string
}

// A Variant is an EXT-X-STREAM-INF. Zero values are left out, but for
// Bandwidth.
type Variant struct {
	Bandwidth        int // bit/s, of the largest segments of all renditions
	AverageBandwidth int // bit/s
	Codecs           string
	Width, Height    int
	FrameRate        float64 // Hz
	URI              string
}

// Append appends the playlist's text.
func (m Multivariant) Append(b []byte) []byte {
	b = append(b, "#EXTM3U\n#EXT-X-VERSION:"...)
	b = strconv.AppendInt(b, version, 10)
	b = append(b, '\n')
	if m.IndependentSegments {
		b = append(b, "#EXT-X-INDEPENDENT-SEGMENTS\n"...)
	}
	if a := m.Audio; a != nil {
		b = append(b, `#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="`...)
		b = append(b, a.Name...)
		b = append(b, `",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="`...)
		b = strconv.AppendInt(b, int64(a.Channels), 10)
		b = append(b, `",URI="`...)
		b = append(b, a.URI...)
		b = append(b, "\"\n"...)
	}
	v := m.Variant
	b = append(b, "#EXT-X-STREAM-INF:BANDWIDTH="...)
	b = strconv.AppendInt(b, int64(v.Bandwidth), 10)
	if v.AverageBandwidth > 0 {
		b = append(b, ",AVERAGE-BANDWIDTH="...)
		b = strconv.AppendInt(b, int64(v.AverageBandwidth), 10)
	}
	if v.Codecs != "" {
		b = append(b, `,CODECS="`...)
		b = append(b, v.Codecs...)
		b = append(b, '"')
	}
	if v.Width > 0 {
		b = append(b, ",RESOLUTION="...)
		b = strconv.AppendInt(b, int64(v.Width), 10)
		b = append(b, 'x')
		b = strconv.AppendInt(b, int64(v.Height), 10)
	}
	if v.FrameRate > 0 {
		b = append(b, ",FRAME-RATE="...)
		b = strconv.AppendFloat(b, v.FrameRate, 'f', 3, 64)
	}
	if m.Audio != nil {
		b = append(b, `,AUDIO="audio"`...)
	}
	b = append(b, '\n')
	b = append(b, v.URI...)
	return append(b, '\n')
}

// A Media is a media playlist of a live stream (4.4.3 to 4.4.5).
type Media struct {
	TargetDuration time.Duration // whole seconds
	PartTarget     time.Duration // longest part
	HoldBack       time.Duration // from the end, for players of whole segments
	PartHoldBack   time.Duration // from the end, for players of parts
	// SkipUntil is the skip boundary: segments further than this from the end
	// may be left out of an update. 0: they may not.
	SkipUntil time.Duration

	Sequence              uint64 // of the first segment, or of those skipped
	DiscontinuitySequence uint64
	Skipped               int // segments that this update leaves out in front of Segments
	Segments              []Segment
	Open                  Segment // the one that is being made: without Duration and URI
	// Hint is the URI of the next part; "" when there is none.
	Hint    string
	Reports []Report
	Ended   bool
}

// A Segment is a media segment, or the one that is being made.
type Segment struct {
	Discontinuity bool
	Map           string    // URI of its initialization segment; "": as before
	Time          time.Time // wall clock at its first sample; zero: not said
	Gap           bool      // there is no media for its time
	Parts         []Part
	Duration      time.Duration
	URI           string // "" of the open one
}

// A Part is a partial segment.
type Part struct {
	Duration    time.Duration
	Independent bool // contains a key frame
	URI         string
}

// A Report tells how far another rendition is (4.4.5.4).
type Report struct {
	URI          string // relative to this playlist
	LastSequence uint64
	LastPart     int
}

// Append appends the playlist's text.
func (m Media) Append(b []byte) []byte {
	b = append(b, "#EXTM3U\n#EXT-X-VERSION:"...)
	b = strconv.AppendInt(b, version, 10)
	b = append(b, "\n#EXT-X-TARGETDURATION:"...)
	b = strconv.AppendInt(b, int64(math.Round(m.TargetDuration.Seconds())), 10)
	b = append(b, "\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK="...)
	b = appendSeconds(b, m.PartHoldBack)
	b = append(b, ",HOLD-BACK="...)
	b = appendSeconds(b, m.HoldBack)
	if m.SkipUntil > 0 {
		b = append(b, ",CAN-SKIP-UNTIL="...)
		b = appendSeconds(b, m.SkipUntil)
	}
	b = append(b, "\n#EXT-X-PART-INF:PART-TARGET="...)
	b = appendSeconds(b, m.PartTarget)
	b = append(b, "\n#EXT-X-MEDIA-SEQUENCE:"...)
	b = strconv.AppendUint(b, m.Sequence, 10)
	if m.DiscontinuitySequence > 0 {
		b = append(b, "\n#EXT-X-DISCONTINUITY-SEQUENCE:"...)
		b = strconv.AppendUint(b, m.DiscontinuitySequence, 10)
	}
	b = append(b, '\n')
	if m.Skipped > 0 {
		b = append(b, "#EXT-X-SKIP:SKIPPED-SEGMENTS="...)
		b = strconv.AppendInt(b, int64(m.Skipped), 10)
		b = append(b, '\n')
	}
	for i := range m.Segments {
		b = m.Segments[i].append(b)
	}
	b = m.Open.append(b)
	if m.Hint != "" {
		b = append(b, `#EXT-X-PRELOAD-HINT:TYPE=PART,URI="`...)
		b = append(b, m.Hint...)
		b = append(b, "\"\n"...)
	}
	for _, r := range m.Reports {
		b = append(b, `#EXT-X-RENDITION-REPORT:URI="`...)
		b = append(b, r.URI...)
		b = append(b, `",LAST-MSN=`...)
		b = strconv.AppendUint(b, r.LastSequence, 10)
		b = append(b, ",LAST-PART="...)
		b = strconv.AppendInt(b, int64(r.LastPart), 10)
		b = append(b, '\n')
	}
	if m.Ended {
		b = append(b, "#EXT-X-ENDLIST\n"...)
	}
	return b
}

func (s *Segment) append(b []byte) []byte {
	if s.URI == "" && len(s.Parts) == 0 {
		return b // the open one, with nothing yet
	}
	if s.Discontinuity {
		b = append(b, "#EXT-X-DISCONTINUITY\n"...)
	}
	if s.Map != "" {
		b = append(b, `#EXT-X-MAP:URI="`...)
		b = append(b, s.Map...)
		b = append(b, "\"\n"...)
	}
	if !s.Time.IsZero() {
		b = append(b, "#EXT-X-PROGRAM-DATE-TIME:"...)
		b = s.Time.UTC().Round(time.Millisecond).AppendFormat(b, "2006-01-02T15:04:05.000Z")
		b = append(b, '\n')
	}
	for _, p := range s.Parts {
		b = append(b, "#EXT-X-PART:DURATION="...)
		b = appendSeconds(b, p.Duration)
		if p.Independent {
			b = append(b, ",INDEPENDENT=YES"...)
		}
		b = append(b, `,URI="`...)
		b = append(b, p.URI...)
		b = append(b, "\"\n"...)
	}
	if s.URI == "" {
		return b
	}
	if s.Gap {
		b = append(b, "#EXT-X-GAP\n"...)
	}
	b = append(b, "#EXTINF:"...)
	b = appendSeconds(b, s.Duration)
	b = append(b, ",\n"...)
	b = append(b, s.URI...)
	return append(b, '\n')
}

// appendSeconds appends seconds with up to five decimals, so that what many
// segments add up to is still right to the millisecond.
func appendSeconds(b []byte, d time.Duration) []byte {
	b = strconv.AppendFloat(b, d.Round(10*time.Microsecond).Seconds(), 'f', 5, 64)
	for b[len(b)-1] == '0' && b[len(b)-2] != '.' {
		b = b[:len(b)-1]
	}
	return b
}
