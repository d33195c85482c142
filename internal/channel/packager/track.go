package packager

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"belfry.live/belfry/internal/wire/fmp4"
)

const (
	// soundSlack is what rounding to milliseconds does to the timestamps of
	// sound. Within it the sound's own sample count is the clock.
	soundSlack = 2 * time.Millisecond
	// soundJump is how far timestamps and sample count may be apart before
	// the sound jumps, rather than being led back one tick a frame.
	soundJump = 100 * time.Millisecond
	// shortPart is the least of the part target that a part lasts unless a key
	// frame or a segment's end cut it short (RFC 8216bis, 4.4.4.9).
	shortPart = 0.85
	// keyMemory is how many key frame intervals are remembered.
	keyMemory = 8
)

// An initSegment is what a codec's configuration gives.
type initSegment struct {
	timescale     uint32 // ticks of a second
	codec         string // as in RFC 6381
	width, height int    // video
	frameRate     float64
	channels      int   // audio
	frame         int64 // audio: ticks of a frame
	data          []byte
}

// A track makes the parts and segments of one rendition. The writing side
// alone touches it, but for its Rendition.
type track struct {
	*Rendition
	p *Packager

	pending *initSegment // the configuration that the next epoch begins with
	init    initSegment  // the present one
	split   bool         // pending waits for a sample with which to begin an epoch

	began   bool // the present publisher has sent usable samples
	shown   bool // and a part of them is listed
	epoch   int  // of the last sample
	shift   time.Duration
	lastDTS time.Duration
	strays  int // samples in a row that belonged nowhere

	// The part that is being made, in ticks. The last sample's duration is not
	// known before the next comes.
	samples   []fmp4.Sample
	partStart int64
	last      int64 // decoding time of the last sample
	usual     int64 // what samples last, as far as is known
	data      []byte
	sequence  uint32 // of fragments

	target time.Duration   // of parts; 0 until it is chosen
	seen   []time.Duration // durations of samples until then

	segmentStart int64
	keys         []time.Duration // video: the last intervals between key frames
	lastKey      int64
	next         int64         // audio: where the next frame is due
	origin       time.Duration // media time at which the epoch began
}

func newTrack(p *Packager, name string) *track {
	return &track{Rendition: newRendition(p, name), p: p}
}

// begin forgets the publisher of before.
func (t *track) begin() {
	t.pending, t.split, t.began, t.shown, t.strays = nil, false, false, false, 0
	t.keys = t.keys[:0]
}

// configure takes a codec configuration. While media flows it begins an epoch
// of its own with the next sample that can be decoded without others.
func (t *track) configure(i initSegment) error {
	t.pending = &i
	t.split = t.began && !bytes.Equal(i.data, t.init.data)
	return nil
}

// join goes on in a new epoch, whose first sample is the next, at the media
// time.
func (t *track) join(e epoch, media time.Duration) {
	if n := len(t.samples); n > 0 && e.continues {
		if at := t.ticks(media); at > t.last && at-t.last <= t.ticks(t.p.cfg.TargetDuration) {
			t.settle(at)
			t.closePart(len(t.samples), at)
			t.closeSegment(at)
		}
	}
	t.finish(false)
	changed := t.init.data == nil || !bytes.Equal(t.init.data, t.pending.data)
	t.init = *t.pending
	t.usual = t.init.frame
	t.began, t.split, t.shift, t.strays = true, false, e.shift, 0
	t.origin = e.from + e.shift
	t.lastKey = math.MinInt64
	t.next = math.MinInt64
	t.Rendition.join(t.init, changed, e.n-t.epoch, t.p.clock.at(e.from+e.shift))
	t.epoch = e.n
	t.choosePartTarget()
}

// main tells whether the other track follows this one.
func (t *track) main() bool { return t == t.p.video || !t.p.video.began }

// end returns the media time at which the track ends.
func (t *track) end() time.Duration {
	if t.epoch == 0 {
		return 0
	}
	end := t.last
	if len(t.samples) > 0 {
		end += t.usual
	}
	return t.duration(end)
}

// finish makes what is left a part and a segment.
func (t *track) finish(ended bool) {
	if n := len(t.samples); n > 0 {
		if t.usual == 0 {
			t.usual = t.ticks(time.Second / 30)
		}
		t.samples[n-1].Duration = uint32(t.usual)
		t.last += t.usual
		t.closePart(n, t.last)
	}
	t.closeSegment(t.last)
	t.Rendition.finish(ended)
}

// writePicture takes a picture at its media time.
func (p *Packager) writePicture(media time.Duration, s Sample) error {
	t := p.video
	at := t.ticks(media)
	if len(t.samples) > 0 && at <= t.last {
		at = t.last + 1 // clamped: players want every picture to last
	}
	if s.KeyFrame {
		if t.lastKey != math.MinInt64 {
			if len(t.keys) == keyMemory {
				t.keys = slices.Delete(t.keys, 0, 1)
			}
			t.keys = append(t.keys, t.duration(at-t.lastKey))
			p.warnOfKeys(t.duration(at - t.lastKey))
		}
		t.lastKey = at
	}
	cut := false
	if len(t.samples) > 0 {
		if at-t.last > t.ticks(p.cfg.TargetDuration) {
			t.pause(at)
		} else {
			t.settle(at)
			cut = p.cutPicture(at, s.KeyFrame)
		}
	}
	if cut {
		p.cutAudio(at)
	}
	t.add(at, fmp4.Sample{Offset: int32(t.ticks(s.PTS - s.DTS)), Sync: s.KeyFrame}, s.Data)
	return p.limit(t)
}

// cutAudio lets the sound's segments end where the video's do.
func (p *Packager) cutAudio(at int64) {
	p.cuts = append(p.cuts, p.video.duration(at))
	if len(p.cuts) > maxCuts {
		p.cuts = p.cuts[1:]
	}
}

// maxCuts is how many cuts of the video the audio may be behind.
const maxCuts = 16

// cutPicture ends the part, and the segment, that the picture at at does not
// belong to any more. It reports whether the segment was ended.
func (p *Packager) cutPicture(at int64, key bool) bool {
	t := p.video
	segment := t.duration(at) - t.duration(t.segmentStart)
	part := t.duration(at) - t.duration(t.partStart)
	full := part+t.duration(t.usual) > t.partLimit()
	switch {
	case key && segment+t.longestKeyInterval() > longest(p.cfg.TargetDuration),
		segment+t.duration(t.usual) > p.cfg.MaxSegment:
		if !key {
			p.cutWithoutKey()
		}
		t.closePart(len(t.samples), at)
		t.closeSegment(at)
		return true
	case full, key && part.Seconds() >= shortPart*t.partLimit().Seconds():
		t.closePart(len(t.samples), at)
	}
	return false
}

func (t *track) longestKeyInterval() time.Duration {
	if len(t.keys) == 0 {
		return 0
	}
	return slices.Max(t.keys)
}

// cutWithoutKey notes that a segment does not begin with a key frame.
func (p *Packager) cutWithoutKey() {
	p.aligned.Store(false)
	p.warnOfKeys(p.video.duration(p.video.last - p.video.lastKey))
}

// warnOfKeys tells the operator once when key frames are too far apart.
func (p *Packager) warnOfKeys(interval time.Duration) {
	if p.warned.keyFrames || interval <= longest(p.cfg.TargetDuration) {
		return
	}
	p.warned.keyFrames = true
	p.log.Warn("the publisher's key frames are too far apart: viewers start late and plain players are far behind",
		"interval", interval.Round(time.Millisecond), "want", p.cfg.TargetDuration)
}

// writeSound takes an audio frame at its media time.
func (p *Packager) writeSound(media time.Duration, s Sample) error {
	t := p.audio
	at := t.ticks(media)
	if t.next != math.MinInt64 {
		switch off := at - t.next; {
		case off >= t.ticks(soundJump):
			// Sound is missing: it goes on where the timestamps say.
		case off <= -t.ticks(soundJump):
			p.stats.AudioTooOld.Add(1)
			return nil
		case off > t.ticks(soundSlack):
			at = t.next + 1
		case off < -t.ticks(soundSlack):
			at = t.next - 1
		default:
			at = t.next
		}
	}
	if len(t.samples) > 0 {
		if at-t.last > t.ticks(p.cfg.TargetDuration) {
			t.pause(at)
		} else {
			t.settle(at)
			p.cutSound(at)
		}
	}
	t.next = at + t.init.frame
	t.add(at, fmp4.Sample{Sync: true}, s.Data)
	return p.limit(t)
}

// cutSound ends the part, and the segment, that the frame at at does not belong
// to any more. Parts end where multiples of their duration do, so that they
// neither drift nor leave a rest at the end of a segment: players are known to
// overlook short ones. Segments end with the part in which those of the video
// did, or on their own when there is no video or it is late.
func (p *Packager) cutSound(at int64) {
	t := p.audio
	begin, now := t.duration(t.partStart)-t.origin, t.duration(at)-t.origin
	if now/p.cfg.PartDuration == begin/p.cfg.PartDuration {
		return
	}
	t.closePart(len(t.samples), at)
	segment := t.duration(at) - t.duration(t.segmentStart)
	cut := segment+t.partLimit() > p.cfg.MaxSegment
	if !p.video.began || t.end()-p.video.end() > videoLate {
		cut = segment > p.cfg.TargetDuration-p.cfg.PartDuration/2
	}
	for len(p.cuts) > 0 && p.cuts[0] <= t.duration(at) {
		// What the sound did on its own a while ago counts.
		cut = cut || p.cuts[0] > t.duration(t.segmentStart)
		p.cuts = p.cuts[1:]
	}
	if cut {
		t.closeSegment(at)
	}
}

// videoLate is how far the video may be behind before the sound's segments end
// on their own.
const videoLate = time.Second

// settle gives the last sample its duration, now that the next one is known to
// be at at. If that makes the segment or the part too long, it ends before the
// last sample.
func (t *track) settle(at int64) {
	n := len(t.samples)
	lasts := at - t.last
	t.samples[n-1].Duration = uint32(lasts)
	if t.target == 0 {
		t.seen = append(t.seen, t.duration(lasts))
	}
	if t.init.frame == 0 && (t.usual == 0 || t.duration(lasts) <= t.partLimit()) {
		t.usual = lasts
	}
	switch {
	case t.duration(lasts) > t.partLimit() && t.last > t.segmentStart &&
		t.duration(at)-t.duration(t.segmentStart) > longest(t.p.targetDuration()):
		if t == t.p.video && !t.samples[n-1].Sync {
			t.p.cutWithoutKey()
			t.p.cutAudio(t.last)
		}
		t.closePart(n-1, t.last)
		t.closeSegment(t.last)
		t.openSegment(t.last)
	case n > 1 && t.duration(at)-t.duration(t.partStart) > t.partLimit():
		t.closePart(n-1, t.last)
	}
}

// pause ends part and segment, and fills the time up to at with gaps.
func (t *track) pause(at int64) {
	t.finish(false)
	for t.last < at {
		next := min(at, t.last+t.ticks(t.p.cfg.TargetDuration))
		start := t.duration(t.last)
		t.gap(start, t.duration(next), t.p.clock.at(start))
		t.last = next
	}
}

// add begins a segment or a part if there is none, and adds the sample.
func (t *track) add(at int64, s fmp4.Sample, data []byte) {
	if len(t.samples) == 0 {
		t.partStart = at
		if !t.open() {
			t.openSegment(at)
		}
	}
	begin := len(t.data)
	t.data = append(t.data, data...)
	s.Data = t.data[begin:] // data may move: closePart looks at the length only
	t.samples = append(t.samples, s)
	t.last = at
}

func (t *track) openSegment(at int64) {
	t.segmentStart = at
	t.beginSegment(t.duration(at), t.p.clock.at(t.duration(at)))
}

// closePart makes a part of the first n samples; end is where they end.
func (t *track) closePart(n int, end int64) {
	if n == 0 {
		return
	}
	rest := t.data
	for i := range t.samples {
		size := len(t.samples[i].Data)
		t.samples[i].Data, rest = rest[:size:size], rest[size:]
	}
	t.sequence++
	f := fmp4.Fragment{Sequence: t.sequence, DecodeTime: uint64(t.partStart), Samples: t.samples[:n]}
	part := Part{
		Duration:    t.duration(end) - t.duration(t.partStart),
		Independent: slices.ContainsFunc(f.Samples, func(s fmp4.Sample) bool { return s.Sync }),
		Data:        f.Append(make([]byte, 0, f.Size())),
	}
	if part.Duration > t.partLimit() && !t.p.warned.parts {
		t.p.warned.parts = true
		t.p.log.Warn("the publisher's frames come too rarely for parts of even length", "rendition", t.name,
			"part", part.Duration.Round(time.Millisecond), "limit", t.partLimit())
	}
	t.choosePartTarget()
	t.addPart(part, t.target)
	if t.target != 0 {
		t.shown = true
		t.p.checkPlaying()
	}
	left := t.samples[n:]
	kept := 0
	for _, s := range left {
		kept += copy(t.data[kept:], s.Data)
	}
	at := 0
	for i, s := range left {
		left[i].Data = t.data[at : at+len(s.Data)]
		at += len(s.Data)
	}
	t.data = t.data[:kept]
	t.samples = append(t.samples[:0], left...)
	t.partStart = end
}

// checkPlaying notes that the publisher can be seen: there is a part of the
// main track, and of the sound if there is any, since multivariant playlists
// are loaded once. For sound that does not go on nobody waits long.
func (p *Packager) checkPlaying() {
	main := p.video
	if !main.began {
		main = p.audio
	}
	if main.shown && (!p.sound || p.audio.shown || main.end()-main.origin > p.cfg.TrackWait) {
		p.playing.Store(true)
	}
}

// choosePartTarget decides, once, how long parts may be at most.
func (t *track) choosePartTarget() {
	if t.target != 0 {
		return
	}
	wanted := t.p.cfg.PartDuration
	var target time.Duration
	switch rate := t.init.frameRate; {
	case t.init.frame > 0:
		frame := t.duration(t.init.frame)
		target = (wanted+frame-1)/frame*frame + time.Millisecond
	case rate >= 1 && rate <= 120:
		target = pictures(wanted, time.Duration(float64(time.Second)/rate))
	case len(t.seen) < enoughSeen:
		return
	default:
		slices.Sort(t.seen)
		target = pictures(wanted, max(t.seen[len(t.seen)/2], time.Millisecond))
	}
	t.target = (target + time.Millisecond - 1).Truncate(time.Millisecond)
	t.seen = nil
}

// pictures returns how long a whole number of pictures, wanted or near it,
// lasts when their timestamps are rounded or a little uneven.
func pictures(wanted, usual time.Duration) time.Duration {
	n := max(1, (wanted+usual/2)/usual)
	return n*usual + n*usual/20
}

// enoughSeen is from how many durations the usual one is told.
const enoughSeen = 4

// partLimit is the longest that a part may be.
func (t *track) partLimit() time.Duration {
	return cmp.Or(t.target, t.p.cfg.PartDuration+t.p.cfg.PartDuration/20)
}

// closeSegment ends the open segment, if there is one.
func (t *track) closeSegment(end int64) {
	if t.open() {
		t.endSegment(t.duration(end))
	}
}

// limit keeps the memory that both renditions take within bounds.
func (p *Packager) limit(t *track) error {
	if len(t.data) > p.cfg.MaxBytes/8 {
		return p.fail(fmt.Errorf("%w: a part of more than %d bytes", ErrTooLarge, p.cfg.MaxBytes/8))
	}
	for p.bytes.Load() > int64(p.cfg.MaxBytes) {
		larger := p.video
		if p.audio.size() > p.video.size() {
			larger = p.audio
		}
		if !larger.dropOldest() {
			return p.fail(fmt.Errorf("%w: more than %d bytes in one segment", ErrTooLarge, p.cfg.MaxBytes))
		}
	}
	return nil
}

// ticks converts to the track's timescale, rounded.
func (t *track) ticks(d time.Duration) int64 {
	scale := int64(t.init.timescale)
	whole, rest := int64(d/time.Second), int64(d%time.Second)
	half := int64(time.Second / 2)
	if rest < 0 {
		half = -half
	}
	return whole*scale + (rest*scale+half)/int64(time.Second)
}

// duration converts from the track's timescale.
func (t *track) duration(ticks int64) time.Duration {
	scale := int64(t.init.timescale)
	whole, rest := ticks/scale, ticks%scale
	return time.Duration(whole)*time.Second + time.Duration(rest*int64(time.Second)/scale)
}
