package sfu

import "math"

const (
	// maxRuns and maxSpans bound what is remembered: at thirty pictures a
	// second with something left out of each, two seconds. Nobody asks for a
	// packet again after that.
	maxRuns  = 4
	maxSpans = 64
	maxCuts  = 16

	unended = math.MaxInt64
)

// A run is what was forwarded of one publisher's stream since a start at a key
// frame. It turns what the publisher numbers into what the peer sees.
type run struct {
	publisher *Publisher
	stream    int
	first     int64 // the publisher's number of its first packet
	payload   PayloadType
	clock     shift
	picture   uint16 // to be added to picture ids or frame numbers
	tl0       uint8  // to be added to TL0PICIDX
}

// A span is a stretch of a run without anything left out: the publisher's
// sequence numbers are turned into ours by adding. Packets that are missing in
// it were lost on the way to us, so the peer misses them, too.
type span struct {
	run     int
	in, end int64  // the publisher's numbers: from in to before end
	out     int64  // our number of in
	skipped uint16 // pictures of the run left out before it
}

// A ruling says what was forwarded of a run's pictures from a timestamp of the
// publisher on, in that picture from a spatial layer on.
type ruling struct {
	run     int
	since   uint32
	spatial uint8
	cut     cut
}

// A history remembers the last runs, spans and rulings.
type history struct {
	runs    [maxRuns]run
	run     int // number of the newest run
	spans   [maxSpans]span
	span    int // number of the newest span
	kept    int // spans that count, with the newest
	rulings [maxCuts]ruling
	ruling  int // number of the newest ruling
}

// current returns the run that is being forwarded, or was last.
func (h *history) current() *run { return &h.runs[h.run%maxRuns] }

// newest returns the newest span. There must be one.
func (h *history) newest() *span { return &h.spans[h.span%maxSpans] }

// begin adds a run. All before it is forgotten if it is of another source.
func (h *history) begin(r run, otherSource bool) {
	if otherSource {
		h.kept = 0
	}
	h.run++
	h.runs[h.run%maxRuns] = r
	for h.kept > 0 && h.at(h.kept-1).run <= h.run-maxRuns {
		h.kept--
	}
}

// add adds a span that begins with a number of the publisher. The first of a
// run gets the number out; later ones go on where the last one ended.
func (h *history) add(s span, out int64) *span {
	if h.kept > 0 && h.newest().run == h.run {
		last := h.newest()
		out = last.out + last.end - last.in
	}
	s.run, s.end, s.out = h.run, unended, out
	h.span++
	h.kept = min(h.kept+1, maxSpans)
	h.spans[h.span%maxSpans] = s
	return h.newest()
}

// at returns a span by its age, the newest is 0.
func (h *history) at(age int) *span { return &h.spans[(h.span-age)%maxSpans] }

// of returns the span of the current run that a number of the publisher is in,
// or nil.
func (h *history) of(in int64) *span {
	for age := range h.kept {
		s := h.at(age)
		if s.run != h.run {
			break
		}
		if in >= s.in {
			if in < s.end {
				return s
			}
			break
		}
	}
	return nil
}

// rule remembers what is forwarded of the current run from a picture on, or
// from a spatial layer of it.
func (h *history) rule(c cut, since uint32, spatial uint8) {
	h.ruling++
	h.rulings[h.ruling%maxCuts] = ruling{h.run, since, spatial, c}
}

// cut returns what was forwarded of a run when it came to pkt. It is false
// when that is forgotten.
func (h *history) cut(run int, pkt *Packet) (c cut, ok bool) {
	for age := range maxCuts {
		r := &h.rulings[(h.ruling+maxCuts-age)%maxCuts]
		if r.run > run {
			continue
		}
		if r.run < run {
			break
		}
		if since := int32(pkt.timestamp - r.since); since > 0 || since == 0 && pkt.info.spatial >= r.spatial {
			return r.cut, true
		}
	}
	return cut{}, false
}

// origin returns the span that one of our numbers is in and the publisher's
// number for it. It is false when that is forgotten.
func (h *history) origin(out int64) (s *span, in int64, ok bool) {
	for age := range h.kept {
		s := h.at(age)
		if out >= s.out {
			in := out - s.out + s.in
			return s, in, in < s.end
		}
	}
	return nil, 0, false
}

// A shift turns a publisher's timestamps into ours by adding. A picture that
// is older than what was shown before comes out after it all the same; until
// the shift is reached time then runs at half its speed.
type shift struct {
	add  uint32
	from uint32 // the first timestamp
	late int32  // how far it comes out behind, in ticks
}

func (s shift) apply(timestamp uint32) uint32 {
	out := timestamp + s.add
	if since := int32(timestamp - s.from); s.late > 0 && since >= 0 && since < 2*s.late {
		out += uint32(s.late - since/2)
	}
	return out
}
