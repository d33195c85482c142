package packager

import (
	"bytes"
	"compress/gzip"
	"context"
	"strings"
	"sync"
	"time"

	"belfry.live/belfry/internal/wire/hls"
)

// A Text is a playlist, made once for all who ask while it is the newest.
type Text struct {
	plain []byte

	once   sync.Once
	packed []byte
}

// Plain returns the text.
func (t *Text) Plain() []byte { return t.plain }

// Gzip returns the text compressed.
func (t *Text) Gzip() []byte {
	t.once.Do(func() {
		w := compressors.Get().(*gzip.Writer)
		defer compressors.Put(w)
		var b bytes.Buffer
		w.Reset(&b)
		w.Write(t.plain) // a Buffer takes everything
		w.Close()
		t.packed = b.Bytes()
	})
	return t.packed
}

// compressors are kept since each takes most of a megabyte.
var compressors = sync.Pool{New: func() any {
	w, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		panic("packager: " + err.Error()) // the level is a constant
	}
	return w
}}

// A Request says which playlist a player asks for (RFC 8216bis, 6.2.5).
type Request struct {
	// Blocking asks for the playlist once it has the part of the number in the
	// segment of that number; Part is -1 when the whole segment is meant.
	Blocking bool
	Sequence uint64
	Part     int
	Skip     bool // segments that the player knows may be left out
	// Whole asks for the playlist once it has any whole segment: players that
	// know nothing of parts take an empty playlist for a broken one.
	Whole bool
}

// Playlist returns the rendition's playlist. When ctx ends while it waits, it
// returns the playlist as it is, together with ctx's error. It returns no text
// and ErrTooFar for what is too far ahead.
func (r *Rendition) Playlist(ctx context.Context, q Request) (*Text, error) {
	tooFar := false
	err := r.await(ctx, func() bool {
		if !q.Blocking {
			return !q.Whole || r.ended || len(r.segments) > 1 || len(r.segments) == 1 && r.withheld() == nil
		}
		tooFar = !r.ended && r.tooFar(q)
		return tooFar || r.ended || r.has(q)
	})
	if err != nil {
		r.mu.Lock()
	}
	defer r.mu.Unlock()
	if tooFar {
		return nil, ErrTooFar
	}
	return r.text(q.Skip), err
}

// has tells whether the playlist has what the request waits for; r.mu is held.
func (r *Rendition) has(q Request) bool {
	switch s := r.find(q.Sequence); {
	case s == nil:
		return q.Sequence < r.next
	case s == r.current, s == r.withheld() && q.Part < len(s.parts):
		return q.Part >= 0 && q.Part < len(s.parts)
	case q.Part >= len(s.parts) && !s.gap:
		// A part behind the last of a whole segment means the first of the next.
		next := r.find(q.Sequence + 1)
		return next != nil && (next != r.current || len(next.parts) > 0)
	}
	return true
}

// tooFar tells whether the request is so far ahead that the player must be
// mistaken: more than two segments, or three seconds of parts (RFC 8216bis,
// 6.2.5.2); r.mu is held.
func (r *Rendition) tooFar(q Request) bool {
	open := r.next // the segment that is open or will be
	parts := 0
	if r.current != nil {
		open, parts = r.current.sequence, len(r.current.parts)
	}
	if q.Sequence > open {
		return q.Sequence-open > 2
	}
	return q.Sequence == open && q.Part >= parts+int(3*time.Second/r.target)+1
}

// text returns the playlist, made now or before; r.mu is held.
func (r *Rendition) text(skip bool) *Text {
	i := 0
	if skip {
		i = 1
	}
	if r.texts[i] == nil {
		r.texts[i] = &Text{plain: r.playlist(skip).Append(make([]byte, 0, 4096))}
	}
	return r.texts[i]
}

// playlist says what the playlist says now; r.mu is held.
func (r *Rendition) playlist(skip bool) hls.Media {
	target := r.p.targetDuration()
	m := hls.Media{
		TargetDuration:        target,
		PartTarget:            r.target,
		HoldBack:              3 * target,
		PartHoldBack:          3 * r.target,
		SkipUntil:             6 * target,
		DiscontinuitySequence: r.discontinuities,
		Ended:                 r.ended,
	}
	edge := r.edge()
	listed := r.segments[r.listed:]
	m.Sequence = r.next
	if len(listed) > 0 {
		m.Sequence = listed[0].sequence
	} else if r.current != nil {
		m.Sequence = r.current.sequence
	}
	if skip {
		for m.Skipped < len(listed) && edge-listed[m.Skipped].end() >= m.SkipUntil {
			m.Skipped++
		}
	}
	m.Segments = make([]hls.Segment, 0, len(listed)-m.Skipped)
	init := -1
	if m.Skipped > 0 {
		init = listed[m.Skipped-1].init // the player has it
	}
	open := r.current
	if s := r.withheld(); s != nil {
		open, listed = s, listed[:len(listed)-1]
		m.Skipped = min(m.Skipped, len(listed))
	}
	for _, s := range listed[m.Skipped:] {
		out := r.entry(s, &init, edge-s.end() < 3*target)
		out.Duration, out.URI = s.duration, r.segmentURI(s.sequence)
		m.Segments = append(m.Segments, out)
	}
	if open != nil {
		m.Open = r.entry(open, &init, true)
	}
	if r.live && !r.ended {
		if s := r.current; s != nil {
			m.Hint = r.partURI(s.sequence, len(s.parts))
		} else {
			m.Hint = r.partURI(r.next, 0)
		}
	}
	if sequence, part, ok := r.other.last.get(); ok && !r.ended {
		m.Reports = []hls.Report{{URI: r.other.name + ".m3u8", LastSequence: sequence, LastPart: part}}
	}
	return m
}

// withheld returns the last segment if it is whole but does not look so yet;
// r.mu is held.
func (r *Rendition) withheld() *segment {
	if !r.withhold {
		return nil
	}
	return r.segments[len(r.segments)-1]
}

// entry returns what a whole and an open segment have in common; init is the
// initialization segment that applies before it.
func (r *Rendition) entry(s *segment, init *int, parts bool) hls.Segment {
	out := hls.Segment{Discontinuity: s.discontinuity, Time: s.time, Gap: s.gap}
	if (s.init != *init || s.discontinuity) && s.init >= 0 {
		out.Map, *init = r.initURI(s.init), s.init
	}
	if parts {
		out.Parts = make([]hls.Part, len(s.parts))
		for i, p := range s.parts {
			out.Parts[i] = hls.Part{Duration: p.Duration, Independent: p.Independent, URI: r.partURI(s.sequence, i)}
		}
	}
	return out
}

// Multivariant returns the multivariant playlist's text, or nil while nothing
// can be played. The URIs of its media playlists begin with prefix and end
// with suffix. A picture with more than maxLines is left out (0: none is).
func (p *Packager) Multivariant(prefix, suffix string, maxLines int) []byte {
	video, audio := p.video.facts(), p.audio.facts()
	video.present = video.present && (maxLines == 0 || video.info.lines() <= maxLines)
	main := video
	if !video.present {
		main = audio
	}
	if !main.present {
		return nil
	}
	m := hls.Multivariant{
		IndependentSegments: p.aligned.Load(),
		Variant: hls.Variant{
			Bandwidth:        main.peak,
			AverageBandwidth: main.average,
			Codecs:           main.info.codec,
			Width:            main.info.width,
			Height:           main.info.height,
			FrameRate:        main.info.frameRate,
			URI:              prefix + main.name + ".m3u8" + suffix,
		},
	}
	if video.present && audio.present {
		m.Variant.Bandwidth += audio.peak
		m.Variant.AverageBandwidth += audio.average
		m.Variant.Codecs = strings.Join([]string{video.info.codec, audio.info.codec}, ",")
		m.Audio = &hls.AudioRendition{Name: "Audio", Channels: audio.info.channels, URI: prefix + audio.name + ".m3u8" + suffix}
	}
	return m.Append(nil)
}

// Lines returns how many pixels the shorter side of the picture has now: what
// the 720 of 720p counts, also of a picture on end. Of sound it is 0.
func (r *Rendition) Lines() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.info.lines()
}

func (i initSegment) lines() int { return min(i.width, i.height) }

// facts are what a multivariant playlist tells of a rendition.
type facts struct {
	present       bool
	name          string
	info          initSegment
	peak, average int // bit/s
}

func (r *Rendition) facts() facts {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := facts{present: r.target != 0, name: r.name, info: r.info}
	var size int
	var duration time.Duration
	for _, s := range r.segments[r.listed:] {
		if s.duration < r.p.cfg.TargetDuration/4 {
			continue // a cut short one says nothing of the rate
		}
		size += s.size
		duration += s.duration
		f.peak = max(f.peak, bitrate(s.size, s.duration))
	}
	if duration == 0 && r.current != nil {
		// The first part has a key frame in it: its rate would be far too high.
		size, duration = r.current.size, max(r.edge()-r.current.at, r.p.cfg.TargetDuration/2)
		f.peak = bitrate(size, duration)
	}
	f.average = bitrate(size, duration)
	return f
}

func bitrate(size int, d time.Duration) int {
	if d <= 0 {
		return 0
	}
	return int(8 * float64(size) / d.Seconds())
}
