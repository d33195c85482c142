package packager

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Errors of a Rendition's readers.
var (
	// ErrTooFar says that what was asked for is too far in the future.
	ErrTooFar = errors.New("too far ahead of the live edge")
	// ErrGone says that there is no such part or segment, and will not be.
	ErrGone = errors.New("no such media")
)

// A Part is a partial segment: one fragment.
type Part struct {
	Duration    time.Duration
	Independent bool   // contains a key frame
	Data        []byte // read-only
}

// A segment is a media segment, whole or open.
type segment struct {
	sequence      uint64
	start         time.Duration // media time
	at            time.Duration // what all segments before it last together
	time          time.Time     // wall clock at its start
	discontinuity bool
	init          int
	gap           bool // stands for media that never came
	parts         []Part
	duration      time.Duration // once whole
	size          int           // bytes
}

// A Rendition is what viewers see of one track. All of its exported methods
// may be called at any time; what they return is read-only.
type Rendition struct {
	p     *Packager
	name  string
	other *Rendition // fixed by New
	last  position   // of the last part, for the other's reports

	mu       sync.Mutex // guards what follows; no other lock is taken under it
	target   time.Duration
	inits    map[int][]byte
	info     initSegment // of the last init
	nextInit int
	// whole segments, oldest first. Those before listed are kept for players
	// that have yet to load them.
	segments []*segment
	listed   int
	// discontinuities is how many there were before segments[listed].
	discontinuities uint64
	next            uint64   // media sequence number of the segment after all these
	current         *segment // open; nil between two
	nextBreaks      bool     // the next segment begins with a discontinuity
	// withhold says that the last whole segment must look open until the next
	// has a part. hls.js (1.7) takes a segment for loaded if it sees its end
	// while it still loads the last part but one, and stalls.
	withhold bool
	live     bool // a publisher is there, more is to come
	ended    bool
	changed  chan struct{} // closed when any of this changes
	texts    [2]*Text      // the playlist, whole and skipping; nil: to be made
}

// A position is the sequence and part number of the last part.
type position struct{ v atomic.Uint64 }

func (p *position) set(sequence uint64, part int) { p.v.Store(sequence<<16 | uint64(part+1)) }

func (p *position) get() (sequence uint64, part int, ok bool) {
	v := p.v.Load()
	return v >> 16, int(v&0xffff) - 1, v != 0
}

func newRendition(p *Packager, name string) *Rendition {
	return &Rendition{p: p, name: name, inits: map[int][]byte{}, changed: make(chan struct{})}
}

// Audio tells whether the rendition is the sound.
func (r *Rendition) Audio() bool { return r == r.p.audio.Rendition }

// notify tells the waiting readers; r.mu is held.
func (r *Rendition) notify() {
	close(r.changed)
	r.changed = make(chan struct{})
	r.texts = [2]*Text{}
}

// present tells whether there is anything to play.
func (r *Rendition) present() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.target != 0
}

// join begins an epoch, steps after the last one that the rendition had media
// of. Every rendition must count the same discontinuities, so epochs that it
// missed get an empty segment.
func (r *Rendition) join(info initSegment, changed bool, steps int, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if changed {
		r.inits[r.nextInit] = info.data
		r.info = info
		r.nextInit++
	}
	r.live = true
	if r.next == 0 {
		r.discontinuities = uint64(steps - 1)
		return
	}
	for range steps - 1 {
		r.nextBreaks = true
		r.begin(0, now)
		r.current.gap = true
		r.end(missedEpoch)
	}
	r.nextBreaks = true
}

// missedEpoch is what an empty segment lasts in the playlist.
const missedEpoch = 100 * time.Millisecond

// finish says that no more is to come, for now or for ever.
func (r *Rendition) finish(ended bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live, r.withhold = false, false
	r.ended = r.ended || ended
	r.notify()
}

// open tells whether there is an open segment.
func (r *Rendition) open() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current != nil
}

func (r *Rendition) beginSegment(start time.Duration, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begin(start, now)
}

func (r *Rendition) begin(start time.Duration, now time.Time) {
	r.live = true
	r.current = &segment{sequence: r.next, start: start, at: r.edge(), time: now, discontinuity: r.nextBreaks, init: r.nextInit - 1}
	r.next++
	r.nextBreaks = false
}

// addPart adds a part to the open segment. The rendition is shown once target,
// what parts may last at most, is not 0.
func (r *Rendition) addPart(p Part, target time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.target = target
	s := r.current
	s.parts = append(s.parts, p)
	r.withhold = false
	s.size += len(p.Data)
	r.p.bytes.Add(int64(len(p.Data)))
	r.last.set(s.sequence, len(s.parts)-1)
	r.notify()
}

func (r *Rendition) endSegment(end time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end(end)
}

// gap adds a segment without media.
func (r *Rendition) gap(start, end time.Duration, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begin(start, now)
	r.current.gap = true
	r.end(end)
}

// end makes the current segment whole and lets old ones go.
func (r *Rendition) end(end time.Duration) {
	s := r.current
	s.duration = end - s.start
	s.parts = slices.Clip(s.parts)
	r.segments = append(r.segments, s)
	r.current = nil
	r.withhold = !s.gap
	r.p.raiseTarget(s.duration)
	edge, window := s.end(), max(r.p.cfg.Window, 4*r.p.targetDuration())
	for edge-r.segments[r.listed].end() >= window {
		r.unlist()
	}
	for r.listed > 0 && edge-r.segments[0].end() >= 2*window {
		r.drop()
	}
	r.notify()
}

// unlist takes the oldest segment off the playlist, and with it the tag of the
// discontinuity before it.
func (r *Rendition) unlist() {
	if r.segments[r.listed].discontinuity {
		r.discontinuities++
	}
	r.listed++
}

// drop forgets the oldest segment.
func (r *Rendition) drop() {
	r.p.bytes.Add(-int64(r.segments[0].size))
	r.segments[0] = nil
	r.segments = r.segments[1:]
	r.listed--
	for n := range r.inits {
		if n < r.nextInit-1 && (len(r.segments) == 0 || n < r.segments[0].init) {
			delete(r.inits, n)
		}
	}
}

// size returns how many bytes the whole segments take.
func (r *Rendition) size() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	size := 0
	for _, s := range r.segments {
		size += s.size
	}
	return size
}

// dropOldest forgets the oldest segment, listed or not, to save memory. It
// reports whether there was one.
func (r *Rendition) dropOldest() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.segments) == 0 {
		return false
	}
	if r.listed == 0 {
		r.withhold = r.withhold && len(r.segments) > 1
		r.unlist()
	}
	r.drop()
	r.notify()
	return true
}

// end is what all segments up to this one last together.
func (s *segment) end() time.Duration { return s.at + s.duration }

// edge is what all segments and parts ever last together.
func (r *Rendition) edge() time.Duration {
	if s := r.current; s != nil {
		end := s.at
		for _, p := range s.parts {
			end += p.Duration
		}
		return end
	}
	if n := len(r.segments); n > 0 {
		return r.segments[n-1].end()
	}
	return 0
}

// await waits until done, which is called with r.mu held, says so. It returns
// with r.mu held unless it returns an error, which is ctx's.
func (r *Rendition) await(ctx context.Context, done func() bool) error {
	for {
		r.mu.Lock()
		if done() {
			return nil
		}
		changed := r.changed
		r.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// find returns the segment with the number, the open one too, or nil.
func (r *Rendition) find(sequence uint64) *segment {
	if r.current != nil && r.current.sequence == sequence {
		return r.current
	}
	if len(r.segments) == 0 || sequence < r.segments[0].sequence {
		return nil
	}
	if i := sequence - r.segments[0].sequence; i < uint64(len(r.segments)) {
		return r.segments[i]
	}
	return nil
}

// Part returns a part's bytes. It waits for a part that has been announced by
// a playlist's hint; ErrGone says that there is none and none will come under
// that number.
func (r *Rendition) Part(ctx context.Context, sequence uint64, number int) ([]byte, error) {
	var data []byte
	err := r.await(ctx, func() bool {
		data = nil
		s := r.find(sequence)
		switch {
		case s != nil && number < len(s.parts):
			data = s.parts[number].Data
			return true
		case s != nil && s != r.current, s == nil && sequence < r.next, r.ended:
			return true // whole, dropped, or never to be
		case s == nil:
			return sequence != r.next || number != 0
		}
		return number > len(s.parts)
	})
	if err != nil {
		return nil, err
	}
	r.mu.Unlock()
	if data == nil {
		return nil, ErrGone
	}
	return data, nil
}

// Segment returns the parts that make up a whole segment, and ErrGone if it is
// not whole or not there any more.
func (r *Rendition) Segment(sequence uint64) ([]Part, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.find(sequence)
	if s == nil || s == r.current || s.gap {
		return nil, ErrGone
	}
	return s.parts, nil
}

// Init returns an initialization segment, or ErrGone.
func (r *Rendition) Init(n int) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	data, ok := r.inits[n]
	if !ok {
		return nil, ErrGone
	}
	return data, nil
}

// Names of what playlists link to, relative to the playlist.
func (r *Rendition) initURI(n int) string { return r.name + "/init" + strconv.Itoa(n) + ".mp4" }

func (r *Rendition) segmentURI(sequence uint64) string {
	return r.name + "/" + strconv.FormatUint(sequence, 10) + ".m4s"
}

func (r *Rendition) partURI(sequence uint64, number int) string {
	return r.name + "/" + strconv.FormatUint(sequence, 10) + "." + strconv.Itoa(number) + ".m4s"
}
