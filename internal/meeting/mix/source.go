package mix

import (
	"log/slog"
	"time"

	"github.com/pion/rtp"

	"belfry.live/belfry/internal/media/jitter"
	"belfry.live/belfry/internal/media/opus"
)

const (
	// maxHeld bounds a participant's packets that wait to be mixed.
	maxHeld = 128
	// maxGap is the longest hole in the timestamps that is concealed, in
	// samples; after a longer one the sound begins anew.
	maxGap = sampleRate
	// maxDry is how many ticks concealment goes on when nothing comes.
	maxDry = 10
	// maxLate is how far sound may lag behind its schedule before some of it
	// is skipped, in samples.
	maxLate = 6 * frame
	// Sound that is off its schedule by startPacing samples is played faster
	// or slower by one sample a tick until less than stopPacing is left. That
	// is as much as clocks drift, and less than two cents: more would put
	// music out of tune.
	startPacing = 240
	stopPacing  = 24
	// lookahead is how many samples beyond its input stretch reads.
	lookahead = 2
)

// Stats count what became of a participant's sound.
type Stats struct {
	jitter.Stats
	Concealed uint64 // samples made up for what was lost or late
	Skipped   uint64 // samples left out to catch up, with a break
	Spliced   uint64 // samples left out or repeated where the sound resembles itself
	Repaired  uint64 // packets brought back from the copy in the next
	Broken    uint64 // packets that did not decode
}

// A source turns one participant's packets into sound at the pace of the mix.
// The jitter buffer says which timestamp is due. Sound that lags behind it is
// played a little faster, sound that is ahead a little slower; farther off, it
// is spliced; and in silence whole frames are left out or put in.
type source struct {
	log    *slog.Logger
	buffer *jitter.Buffer
	ssrc   uint32
	stats  Stats

	decoder *opus.Decoder
	broken  bool // no decoder could be made

	playing bool
	pcm     []float32 // decoded, not yet mixed
	end     uint32    // timestamp after the last sample of pcm
	before  float32   // the sample mixed last
	credit  int       // samples concealed while nothing came; a hole after them needs no more
	dry     int       // ticks in a row when nothing came
	pacing  bool
	whole   int    // ticks since the last splice
	silent  bool   // the packet decoded last was quiet
	at      uint32 // timestamp of the first sample mixed last
	known   bool   // at is known
	scratch [opus.MaxSamples]float32
}

func (s *source) init(log *slog.Logger) {
	s.log = log
	s.buffer = jitter.New(jitter.Config{Capacity: maxHeld, MaxDelay: 300 * time.Millisecond})
	s.pcm = make([]float32, 0, opus.MaxSamples+4*frame)
}

func (s *source) close() {
	if s.decoder != nil {
		s.decoder.Close()
		s.decoder = nil
	}
	s.broken = true
}

func (s *source) counts() Stats {
	st := s.stats
	st.Stats = s.buffer.Stats()
	return st
}

func (s *source) push(p *rtp.Packet, arrival time.Time) {
	if p.SSRC != s.ssrc {
		if s.ssrc != 0 {
			s.buffer.Reset()
			s.stop()
			s.known = false
		}
		s.ssrc = p.SSRC
	}
	s.buffer.Push(jitter.Packet{Sequence: p.SequenceNumber, Timestamp: p.Timestamp, Arrival: arrival, Payload: p.Payload})
}

// position is the timestamp of the first sample mixed at the last tick, or
// that would have been.
func (s *source) position() (uint32, bool) { return s.at, s.known }

// pull fills out with this tick's sound. False: there is none, and out is
// left as it was. With discard the sound is thrown away unheard, on time.
func (s *source) pull(now time.Time, discard bool, out []float32) bool {
	due, ok := s.buffer.Due(now)
	if !ok {
		return false
	}
	if discard {
		s.stop()
		s.discard(due)
	}
	if discard || !s.playing && !s.start(due) {
		s.at, s.known = due-frame, true
		return false
	}
	late := s.late(due)
	if late > maxLate {
		s.stats.Skipped += uint64(late)
		// Fades out here and starts anew with the next tick.
		s.fill(frame, 0)
		s.play(frame, out)
		fade(out, 1, 0)
		s.stop()
		return true
	}
	if late < -frame && s.silent && quiet(s.pcm) {
		clear(out) // put in a frame of silence
		s.before = 0
		s.at = s.end - uint32(len(s.pcm))
		return true
	}
	take := frame + s.pace(late)
	need := take
	if take != frame {
		need += lookahead
	}
	s.fill(need, late)
	s.splice(s.late(due), need)
	s.play(take, out)
	return s.playing
}

// late is how many samples the sound lags behind: this tick's last one should
// be the one that is due.
func (s *source) late(due uint32) int {
	front := s.end - uint32(len(s.pcm))
	return int(int32(due - front - frame))
}

// start begins to play where the schedule is, if it has got to a packet.
func (s *source) start(due uint32) bool {
	s.discard(due - frame)
	next, ok := s.buffer.Peek()
	if !ok || int32(due-next.Timestamp-frame) < 0 || !s.ready() {
		return false
	}
	s.playing = true
	s.end = next.Timestamp
	s.before = 0
	late := s.late(due)
	s.fill(frame+late, 0)
	s.drop(min(late, len(s.pcm)))
	fade(s.pcm, 0, 1)
	return true
}

// stop forgets what was decoded; start comes next.
func (s *source) stop() {
	s.playing = false
	s.pacing, s.silent = false, false
	s.credit, s.dry = 0, 0
	s.pcm = s.pcm[:0]
}

// discard drops the packets that end before the timestamp.
func (s *source) discard(before uint32) {
	for {
		p, ok := s.buffer.Peek()
		if !ok {
			return
		}
		n, err := opus.Samples(p.Payload)
		if err == nil && int32(before-p.Timestamp-uint32(n)) < 0 {
			return
		}
		if err != nil && int32(before-p.Timestamp) < 0 {
			return
		}
		s.buffer.Take()
	}
}

// ready makes the decoder, or gets it ready for a new beginning.
func (s *source) ready() bool {
	if s.broken {
		return false
	}
	if s.decoder != nil {
		return s.decoder.Reset() == nil
	}
	d, err := opus.NewDecoder(1)
	if err != nil {
		s.broken = true
		s.log.Error("a participant cannot be heard", "err", err)
		return false
	}
	s.decoder = d
	return true
}

// fill decodes until there are so many samples. late lets it leave out silence.
func (s *source) fill(need, late int) {
	for len(s.pcm) < need {
		next, ok := s.buffer.Peek()
		if !ok {
			s.runDry()
			continue
		}
		gap := int(int32(next.Timestamp - s.end))
		switch {
		case gap < 0 || gap > maxGap:
			s.end = next.Timestamp // another timeline; the level of pcm is right again from here
			gap = 0
		case gap > 0 && s.credit > 0:
			n := min(gap, s.credit)
			s.credit -= n
			s.end += uint32(n)
			gap -= n
		}
		n, err := opus.Samples(next.Payload)
		switch {
		case err != nil:
			s.buffer.Take()
			s.stats.Broken++
		case gap == 0:
			late -= s.decode(late >= n)
		case gap <= n && next.Lost > 0:
			s.repair(next.Payload, gap)
			late -= s.decode(late >= n)
		default:
			s.conceal(min(gap, frame))
			s.end += uint32(min(gap, frame))
		}
	}
}

// decode takes the next packet in and says how many samples it left out,
// which it does with silence when it may skip.
func (s *source) decode(skip bool) int {
	p, _ := s.buffer.Take()
	s.dry, s.credit = 0, 0
	n, err := s.decoder.Decode(p.Payload, s.scratch[:])
	if err != nil {
		s.stats.Broken++
		n, _ = opus.Samples(p.Payload)
		s.conceal(n)
		s.end += uint32(n)
		return 0
	}
	s.end += uint32(n)
	s.silent = quiet(s.scratch[:n])
	if skip && s.silent {
		s.stats.Skipped += uint64(n)
		return n
	}
	s.pcm = append(s.pcm, s.scratch[:n]...)
	return 0
}

// repair fills a hole of so many samples from the packet after it.
func (s *source) repair(next []byte, gap int) {
	n := wholeGrains(gap)
	if _, err := s.decoder.DecodeFEC(next, s.scratch[:n]); err != nil {
		clear(s.scratch[:n])
	}
	s.pcm = append(s.pcm, s.scratch[:gap]...)
	s.end += uint32(gap)
	s.stats.Repaired++
}

// conceal makes up so many samples. It leaves s.end to the caller.
func (s *source) conceal(samples int) {
	n := wholeGrains(samples)
	if _, err := s.decoder.Conceal(s.scratch[:n]); err != nil {
		clear(s.scratch[:n])
	}
	s.pcm = append(s.pcm, s.scratch[:samples]...)
	s.stats.Concealed += uint64(samples)
}

// runDry goes on without a packet, for a while. The sound then lags by what
// was made up, until what comes shows whether it was late or lost.
func (s *source) runDry() {
	s.dry++
	if s.dry > maxDry {
		for len(s.pcm) < frame+1+lookahead {
			s.pcm = append(s.pcm, 0)
		}
		s.playing = false
		return
	}
	s.conceal(frame)
	s.credit += frame
}

// pace is how many samples more than a frame to take in this tick.
func (s *source) pace(late int) int {
	switch off := max(late, -late); {
	case off >= startPacing:
		s.pacing = true
	case off < stopPacing:
		s.pacing = false
	}
	switch {
	case !s.pacing:
		return 0
	case late < 0:
		return -1
	}
	return 1
}

// play puts the next samples into out, as a frame.
func (s *source) play(samples int, out []float32) {
	s.at, s.known = s.end-uint32(len(s.pcm)), true
	if samples == frame {
		copy(out, s.pcm)
	} else {
		stretch(out, s.pcm, samples, s.before)
	}
	s.before = s.pcm[samples-1]
	s.drop(samples)
	if !s.playing {
		s.stop()
	}
}

func (s *source) drop(samples int) {
	s.pcm = s.pcm[:copy(s.pcm, s.pcm[samples:])]
}

// stretch resamples the first samples of in to fill out, by a cubic through
// the four nearest. before is the sample before in[0]; in goes on for
// lookahead samples more. The ends of out meet those of its neighbours.
func stretch(out, in []float32, samples int, before float32) {
	step := float64(samples) / float64(len(out))
	for i := range out {
		at := float64(i) * step
		k := int(at)
		x := float32(at - float64(k))
		a := before
		if k > 0 {
			a = in[k-1]
		}
		b, c, d := in[k], in[k+1], in[k+2]
		out[i] = b + x*((c-a)/2+x*(a-2.5*b+2*c-d/2+x*(1.5*(b-c)+(d-a)/2)))
	}
}

// quiet says whether pcm has nothing in it that anybody would miss.
func quiet(pcm []float32) bool {
	const threshold = 1e-3 // -60 dBFS
	for _, x := range pcm {
		if x > threshold || x < -threshold {
			return false
		}
	}
	return true
}

// wholeGrains rounds up to what libopus can conceal.
func wholeGrains(samples int) int {
	return (samples + opus.MinSamples - 1) / opus.MinSamples * opus.MinSamples
}
