// Package hlstest reads live media playlists and checks them against RFC
// 8216bis: each by itself, and each against the one before it. In comes the
// text that a player would get; out go errors. It is for tests.
package hlstest

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A Playlist is what a media playlist says.
type Playlist struct {
	Version, Target       int // seconds
	PartTarget            time.Duration
	HoldBack              time.Duration
	PartHoldBack          time.Duration
	SkipUntil             time.Duration
	CanBlock              bool
	Sequence              uint64
	DiscontinuitySequence uint64
	Skipped               int
	Segments              []Segment // the open one last, without URI
	Hint                  string
	Reports               []map[string]string
	Ended                 bool
}

// A Segment is one of a Playlist.
type Segment struct {
	Sequence      uint64
	URI           string // "" of the open one
	Duration      time.Duration
	Discontinuity bool
	Gap           bool
	Map           string // in force for it
	Time          time.Time
	Parts         []Part
}

// A Part is one of a Segment.
type Part struct {
	URI         string
	Duration    time.Duration
	Independent bool
}

// Parse reads a media playlist.
func Parse(text string) (Playlist, error) {
	lines := strings.Split(text, "\n")
	if lines[0] != "#EXTM3U" {
		return Playlist{}, fmt.Errorf("first line is %q, want #EXTM3U", lines[0])
	}
	if lines[len(lines)-1] != "" {
		return Playlist{}, errors.New("the last line has no end")
	}
	var p Playlist
	once := map[string]bool{}
	var s Segment
	var initMap string
	number := func() uint64 { return p.Sequence + uint64(p.Skipped+len(p.Segments)) }
	for _, line := range lines[1 : len(lines)-1] {
		tag, value, _ := strings.Cut(line, ":")
		attributes := parseAttributes(value)
		switch tag {
		case "#EXT-X-VERSION", "#EXT-X-TARGETDURATION", "#EXT-X-SERVER-CONTROL", "#EXT-X-PART-INF",
			"#EXT-X-MEDIA-SEQUENCE", "#EXT-X-DISCONTINUITY-SEQUENCE", "#EXT-X-SKIP", "#EXT-X-ENDLIST", "#EXT-X-PRELOAD-HINT":
			if once[tag] {
				return p, fmt.Errorf("%s stands there twice", tag)
			}
			once[tag] = true
		}
		switch tag {
		case "#EXT-X-VERSION":
			p.Version = atoi(value)
		case "#EXT-X-TARGETDURATION":
			p.Target = atoi(value)
		case "#EXT-X-SERVER-CONTROL":
			p.CanBlock = attributes["CAN-BLOCK-RELOAD"] == "YES"
			p.HoldBack, p.PartHoldBack = seconds(attributes["HOLD-BACK"]), seconds(attributes["PART-HOLD-BACK"])
			p.SkipUntil = seconds(attributes["CAN-SKIP-UNTIL"])
		case "#EXT-X-PART-INF":
			p.PartTarget = seconds(attributes["PART-TARGET"])
		case "#EXT-X-MEDIA-SEQUENCE":
			p.Sequence = uint64(atoi(value))
		case "#EXT-X-DISCONTINUITY-SEQUENCE":
			p.DiscontinuitySequence = uint64(atoi(value))
		case "#EXT-X-SKIP":
			p.Skipped = atoi(attributes["SKIPPED-SEGMENTS"])
		case "#EXT-X-DISCONTINUITY":
			s.Discontinuity = true
		case "#EXT-X-GAP":
			s.Gap = true
		case "#EXT-X-MAP":
			initMap = attributes["URI"]
		case "#EXT-X-PROGRAM-DATE-TIME":
			t, err := time.Parse(time.RFC3339Nano, value)
			if err != nil {
				return p, err
			}
			s.Time = t
		case "#EXT-X-PART":
			if attributes["URI"] == "" || attributes["DURATION"] == "" {
				return p, fmt.Errorf("%s: no URI or DURATION", line)
			}
			s.Parts = append(s.Parts, Part{attributes["URI"], seconds(attributes["DURATION"]), attributes["INDEPENDENT"] == "YES"})
		case "#EXTINF":
			s.Duration = seconds(strings.TrimSuffix(value, ","))
		case "#EXT-X-PRELOAD-HINT":
			if attributes["TYPE"] != "PART" {
				return p, fmt.Errorf("hint of type %q", attributes["TYPE"])
			}
			p.Hint = attributes["URI"]
		case "#EXT-X-RENDITION-REPORT":
			p.Reports = append(p.Reports, attributes)
		case "#EXT-X-ENDLIST":
			p.Ended = true
		default:
			if strings.HasPrefix(line, "#") || line == "" {
				return p, fmt.Errorf("unknown line %q", line)
			}
			s.URI, s.Map, s.Sequence = line, initMap, number()
			p.Segments = append(p.Segments, s)
			s = Segment{}
		}
	}
	if len(s.Parts) > 0 {
		s.Map, s.Sequence = initMap, number()
		p.Segments = append(p.Segments, s)
	}
	return p, nil
}

// Check returns what is wrong with the playlist by itself. longParts allows
// parts beyond the part target, which cannot be avoided when a publisher's
// picture lasts longer than that.
func (p Playlist) Check(longParts bool) error {
	var wrong []error
	fault := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	if p.Version < 6 || p.Skipped > 0 && p.Version < 9 {
		fault("version is %d", p.Version)
	}
	if p.Target < 1 {
		fault("target duration is %d", p.Target)
	}
	target := time.Duration(p.Target) * time.Second
	if p.HoldBack < 3*target {
		fault("HOLD-BACK is %v, want 3 target durations", p.HoldBack)
	}
	if p.PartTarget <= 0 || p.PartHoldBack < 3*p.PartTarget {
		fault("PART-HOLD-BACK is %v, want 3 of %v", p.PartHoldBack, p.PartTarget)
	}
	if p.SkipUntil != 0 && p.SkipUntil < 6*target {
		fault("CAN-SKIP-UNTIL is %v, want 6 target durations", p.SkipUntil)
	}
	if p.Ended && p.Hint != "" {
		fault("a hint after the end")
	}
	for i, s := range p.Segments {
		if s.URI != "" && int(math.Round(s.Duration.Seconds())) > p.Target {
			fault("segment %d lasts %v, target %d s", s.Sequence, s.Duration, p.Target)
		}
		if s.Map == "" && p.Skipped == 0 && !s.Gap {
			fault("segment %d has no EXT-X-MAP", s.Sequence)
		}
		var sum time.Duration
		for j, part := range s.Parts {
			sum += part.Duration
			if part.Duration > p.PartTarget && !longParts {
				fault("part %s lasts %v, limit %v", part.URI, part.Duration, p.PartTarget)
			}
			last := s.URI != "" && j == len(s.Parts)-1
			newest := s.URI == "" && j == len(s.Parts)-1 // the next tells whether it is the segment's last
			if !last && !newest && !part.Independent && part.Duration.Seconds() < 0.85*p.PartTarget.Seconds() {
				fault("part %s lasts %v, want 85 %% of %v", part.URI, part.Duration, p.PartTarget)
			}
		}
		if off := (sum - s.Duration).Abs(); len(s.Parts) > 0 && s.URI != "" && off > 10*time.Microsecond*time.Duration(len(s.Parts)+1) {
			fault("segment %d lasts %v, its parts %v", s.Sequence, s.Duration, sum)
		}
		if s.URI == "" && i != len(p.Segments)-1 {
			fault("segment %d is open and not the last", s.Sequence)
		}
		if i > 0 && !s.Discontinuity && !s.Time.IsZero() {
			before := p.Segments[i-1]
			if off := s.Time.Sub(before.Time.Add(before.Duration)); off.Abs() > clockStep {
				fault("segment %d begins %v away from the end of the one before", s.Sequence, off)
			}
		}
	}
	return errors.Join(wrong...)
}

// clockStep is how far the wall clock of one segment may be from what the one
// before and its duration say: it is in whole milliseconds.
const clockStep = 1100 * time.Microsecond

// A Player follows one playlist. Its zero value has seen nothing yet.
type Player struct {
	LongParts     bool // see Check
	GrowingTarget bool // the target duration may grow, against the RFC (6.2.1)
	Updates       int
	Hints         int // how many were fulfilled

	last  Playlist
	known map[uint64]Segment
	parts map[string]bool
}

// Last returns the playlist as it is known now, skipped segments included.
func (p *Player) Last() Playlist { return p.last }

// Update takes the next text and returns what is wrong with it.
func (p *Player) Update(text string) error {
	n, err := Parse(text)
	if err != nil {
		return err
	}
	if p.known == nil {
		p.known, p.parts = map[uint64]Segment{}, map[string]bool{}
	}
	wrong := []error{n.Check(p.LongParts)}
	fault := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	if n.Skipped > 0 {
		var skipped []Segment
		for i := range n.Skipped {
			s, ok := p.known[n.Sequence+uint64(i)]
			if !ok {
				fault("segment %d is skipped and was never seen", n.Sequence+uint64(i))
			}
			s.Parts = nil
			skipped = append(skipped, s)
		}
		n.Segments = append(skipped, n.Segments...)
		for i := range n.Segments {
			if n.Segments[i].Map == "" && i > 0 {
				n.Segments[i].Map = n.Segments[i-1].Map
			}
		}
		n.Skipped = 0
	}
	if p.Updates > 0 {
		wrong = append(wrong, p.compare(n))
	}
	for _, s := range n.Segments {
		p.known[s.Sequence] = s
		for _, part := range s.Parts {
			p.parts[part.URI] = true
		}
	}
	p.last = n
	p.Updates++
	return errors.Join(wrong...)
}

// compare checks n against the playlist before it (6.2.1 and 6.2.2).
func (p *Player) compare(n Playlist) error {
	var wrong []error
	fault := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	o := p.last
	if o.Ended && !n.Ended {
		fault("it goes on after its end")
	}
	if (n.Target != o.Target || n.HoldBack != o.HoldBack) && (!p.GrowingTarget || n.Target < o.Target) {
		fault("the target duration has changed from %d to %d", o.Target, n.Target)
	}
	if n.PartTarget != o.PartTarget || n.PartHoldBack != o.PartHoldBack || n.Version != o.Version {
		fault("a header has changed: %+v, %+v", o, n)
	}
	if n.Sequence < o.Sequence {
		fault("media sequence goes back from %d to %d", o.Sequence, n.Sequence)
	}
	removed := uint64(0)
	for _, s := range o.Segments {
		if s.Sequence < n.Sequence {
			if s.Discontinuity {
				removed++
			}
		} else if i := s.Sequence - n.Sequence; i >= uint64(len(n.Segments)) {
			fault("segment %d has vanished", s.Sequence)
		} else if err := same(s, n.Segments[i]); err != nil {
			wrong = append(wrong, err)
		}
	}
	if want := o.DiscontinuitySequence + removed; n.DiscontinuitySequence != want {
		fault("discontinuity sequence is %d, want %d", n.DiscontinuitySequence, want)
	}
	var whole time.Duration
	for _, s := range n.Segments {
		whole += s.Duration
	}
	if n.Sequence > o.Sequence && whole < 3*time.Duration(n.Target)*time.Second {
		fault("only %v are left, want 3 target durations", whole)
	}
	if o.Hint != "" {
		for _, s := range n.Segments {
			for _, part := range s.Parts {
				if !p.parts[part.URI] {
					if part.URI != o.Hint {
						fault("the next part is %s, the hint was %s", part.URI, o.Hint)
					} else {
						p.Hints++
					}
					return errors.Join(wrong...)
				}
			}
		}
	}
	return errors.Join(wrong...)
}

// same checks that a segment is still what it was, but for what has come to it
// and for parts that have gone.
func same(o, n Segment) error {
	if o.URI != "" && (o.URI != n.URI || o.Duration != n.Duration) || o.Discontinuity != n.Discontinuity || o.Gap != n.Gap || o.Map != n.Map || !o.Time.Equal(n.Time) {
		return fmt.Errorf("segment %d was %+v and is %+v", o.Sequence, o, n)
	}
	if len(n.Parts) == 0 && n.URI != "" {
		return nil
	}
	for i, part := range o.Parts {
		if i >= len(n.Parts) || n.Parts[i] != part {
			return fmt.Errorf("part %s was changed or removed while its segment has others", part.URI)
		}
	}
	return nil
}

// parseAttributes reads an attribute list (4.2); quotes are taken off.
func parseAttributes(s string) map[string]string {
	out := map[string]string{}
	for s != "" {
		name, rest, ok := strings.Cut(s, "=")
		if !ok {
			return out
		}
		var value string
		if strings.HasPrefix(rest, `"`) {
			value, rest, _ = strings.Cut(rest[1:], `"`)
			rest = strings.TrimPrefix(rest, ",")
		} else {
			value, rest, _ = strings.Cut(rest, ",")
		}
		out[name], s = value, rest
	}
	return out
}

// Attributes reads the attribute list of the first tag of that name in a
// playlist of either kind; nil when there is none.
func Attributes(text, tag string) map[string]string {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), tag+":"); ok {
			return parseAttributes(rest)
		}
	}
	return nil
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return n
}

func seconds(s string) time.Duration {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0
	}
	return time.Duration(math.Round(f*1e6)) * time.Microsecond
}
