package mix

import (
	"log/slog"
	"time"

	"belfry.live/belfry/internal/media/jitter"
	"belfry.live/belfry/internal/media/opus"
)

const (
	// maxGap is the longest hole in the timestamps that is concealed, in
	// samples; after a longer one the sound begins anew.
	maxGap = sampleRate
	// maxDry is how many ticks concealment goes on when nothing comes, and
	// maxRest how many when the sender said that it pauses: it sends a packet
	// every 400 ms then.
	maxDry  = 10
	maxRest = 30
	// restSize is the longest packet, in bytes, that says nothing but that the
	// sender pauses (discontinuous transmission, RFC 6716 section 2.1.9).
	restSize = 2
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
	// warmUp is how many packets a decoder hears before the first that counts.
	// Opus predicts from frame to frame: of speech that a decoder comes into
	// without, the first frame is 4 dB above its error; with four packets
	// before, 16 dB, and with eight, 42 dB.
	warmUp = 8
)

// Stats count what became of a participant's sound.
type Stats struct {
	jitter.Stats
	Decoded   uint64 // packets
	Concealed uint64 // samples made up for what was lost or late
	Rested    uint64 // samples made up because the sender paused
	Skipped   uint64 // samples left out to catch up, with a break
	Spliced   uint64 // samples left out or repeated where the sound resembles itself
	Repaired  uint64 // packets brought back from the copy in the next
	Broken    uint64 // packets that did not decode
}

// add adds what o counts, but for the jitter buffer's counts.
func (s *Stats) add(o Stats) {
	s.Decoded += o.Decoded
	s.Concealed += o.Concealed
	s.Rested += o.Rested
	s.Skipped += o.Skipped
	s.Spliced += o.Spliced
	s.Repaired += o.Repaired
	s.Broken += o.Broken
}

// A feed is the packets of one participant, of which a voice makes sound.
type feed interface {
	// due is the timestamp whose turn it is, and which stream has it: they
	// are counted.
	due(now time.Time) (timestamp uint32, stream int, ok bool)
	// peek copies the next packet to b.
	peek(b *packet) bool
	// take drops the packet that peek gave, and those before it.
	take(b *packet)
	// behind copies the packet that so many numbers before the next was taken.
	behind(n int, b *packet) bool
	// discard drops the packets that end before the timestamp.
	discard(before uint32)
}

// A packet is one of a feed, held by a voice.
type packet struct {
	sequence  uint16
	timestamp uint32
	samples   int // 0: not Opus
	lost      int // packets before it
	size      int
	data      [jitter.MaxPayload]byte
}

func (p *packet) payload() []byte { return p.data[:p.size] }

func (p *packet) set(from jitter.Packet) {
	p.sequence, p.timestamp, p.lost = from.Sequence, from.Timestamp, from.Lost
	p.size = copy(p.data[:], from.Payload)
	p.samples, _ = opus.Samples(from.Payload)
}

// A voice turns one participant's packets into sound at the pace of the mix.
// The feed says which timestamp is due. Sound that lags behind it is played a
// little faster, sound that is ahead a little slower; farther off, it is
// spliced; and in silence whole frames are left out or put in. Only the
// mixer's goroutine touches a voice.
type voice struct {
	log   *slog.Logger
	feed  feed
	stats Stats // since they were taken last

	decoders [2]*opus.Decoder // of one channel and of two, made when needed
	broken   bool             // one could not be made
	channels int              // of the sound: 1 or 2
	stream   int              // of the feed, that is playing

	playing bool
	pcm     [2][]float32 // decoded, not yet mixed; all of channels are equally long
	end     uint32       // timestamp after the last sample of pcm
	before  [2]float32   // the sample mixed last
	credit  int          // samples concealed while nothing came; a hole after them needs no more
	filled  int          // samples concealed in front of the next packet
	dry     int          // ticks in a row when nothing came
	resting bool         // the sender said that it pauses
	pacing  bool
	whole   int    // ticks since the last splice
	silent  bool   // the packet decoded last was quiet
	at      uint32 // timestamp of the first sample mixed last
	known   bool   // at is known

	// What it adds to the mix in this tick.
	sounds bool // pcm is not all zero
	out    [2][frame]float32
	mean   [frame]float32 // of both channels, if there are two
	gain   float32        // at the end of the tick: 0 or 1
	still  int            // ticks below the gate
	power  float64        // mean square, decaying

	next    packet
	old     packet // one that the decoder hears again
	scratch [2 * opus.MaxSamples]float32
	mid     [maxSplice + overlap]float32
}

func newVoice(log *slog.Logger) *voice {
	v := &voice{log: log}
	v.pcm[0] = make([]float32, 0, opus.MaxSamples+4*frame)
	return v
}

// begin gets the voice ready for another participant, whose sound has stereo
// packets or has not.
func (v *voice) begin(f feed, stereo bool) {
	v.stop()
	v.feed = f
	v.channels = 1
	if stereo {
		v.channels = 2
	}
	v.known = false
	v.stats = Stats{}
	v.whole = spliceEvery
	v.sounds, v.gain, v.still, v.power = false, 0, 0, 0
}

func (v *voice) close() {
	for i, d := range v.decoders {
		if d != nil {
			d.Close()
			v.decoders[i] = nil
		}
	}
}

// position is the timestamp of the first sample mixed at the last tick, or
// that would have been.
func (v *voice) position() (uint32, bool) { return v.at, v.known }

// pull fills out, one slice for each channel, with this tick's sound. False:
// there is none, and out is left as it was.
func (v *voice) pull(now time.Time, out *[2][frame]float32) bool {
	due, stream, ok := v.feed.due(now)
	if stream != v.stream || !ok {
		v.stream = stream
		v.known = false
		if v.playing {
			// The rest of what was there before, and no more of it.
			if v.held() < frame {
				v.conceal(frame-v.held(), true)
			}
			v.play(frame, out)
			v.fade(out, 1, 0)
			v.stop()
			return true
		}
	}
	if !ok {
		return false
	}
	if !v.playing && !v.start(due) {
		v.at, v.known = due-frame, true
		return false
	}
	late := v.late(due)
	if late > maxLate {
		v.stats.Skipped += uint64(late)
		// Fades out here and starts anew with the next tick.
		v.fill(frame, 0)
		v.play(frame, out)
		v.fade(out, 1, 0)
		v.stop()
		return true
	}
	if late < -frame && v.silent && v.quiet() {
		for c := range v.channels {
			clear(out[c][:]) // put in a frame of silence
			v.before[c] = 0
		}
		v.at = v.end - uint32(v.held())
		return true
	}
	take := frame + v.pace(late)
	need := take
	if take != frame {
		need += lookahead
	}
	v.fill(need, late)
	v.splice(v.late(due), need)
	v.play(take, out)
	return v.playing
}

// held is how many samples are decoded and not mixed.
func (v *voice) held() int { return len(v.pcm[0]) }

// late is how many samples the sound lags behind: this tick's last one should
// be the one that is due.
func (v *voice) late(due uint32) int {
	front := v.end - uint32(v.held())
	return int(int32(due - front - frame))
}

// start begins to play where the schedule is, if it has got to a packet.
func (v *voice) start(due uint32) bool {
	v.feed.discard(due - frame)
	if !v.feed.peek(&v.next) || int32(due-v.next.timestamp-frame) < 0 || !v.ready() {
		return false
	}
	v.warm()
	v.playing = true
	v.end = v.next.timestamp
	v.before = [2]float32{}
	late := v.late(due)
	v.fill(frame+late, 0)
	v.drop(min(late, v.held()))
	for c := range v.channels {
		fade(v.pcm[c], 0, 1)
	}
	return true
}

// warm has the decoder hear what came just before, so that it knows what the
// next packets lean on. Numbers may be missing there, but no sound.
func (v *voice) warm() {
	n := 0
	var numbers [warmUp]int
	for back, end := 1, v.next.timestamp; back <= 2*warmUp && n < warmUp; back++ {
		if !v.feed.behind(back, &v.old) {
			continue
		}
		if v.old.samples == 0 || v.old.timestamp+uint32(v.old.samples) != end {
			break
		}
		numbers[n] = back
		end = v.old.timestamp
		n++
	}
	for ; n > 0; n-- {
		if v.feed.behind(numbers[n-1], &v.old) {
			_, _ = v.decoder().Decode(v.old.payload(), v.scratch[:])
		}
	}
}

// stop forgets what was decoded; start comes next.
func (v *voice) stop() {
	v.playing = false
	v.pacing, v.silent, v.resting = false, false, false
	v.dry, v.credit, v.filled = 0, 0, 0
	for c := range v.pcm {
		v.pcm[c] = v.pcm[c][:0]
	}
}

func (v *voice) decoder() *opus.Decoder { return v.decoders[v.channels-1] }

// ready makes the decoder, or gets it ready for a new beginning.
func (v *voice) ready() bool {
	if opus.Stereo(v.next.payload()) {
		v.channels = 2
	}
	if v.open() {
		return v.decoder().Reset() == nil
	}
	if v.channels == 2 {
		v.channels = 1
		return v.open() && v.decoder().Reset() == nil
	}
	return false
}

// open makes the decoder that is needed, if there is none.
func (v *voice) open() bool {
	if v.decoder() == nil && !v.broken {
		d, err := opus.NewDecoder(v.channels)
		if err != nil {
			v.broken = true
			v.log.Error("a participant cannot be heard", "err", err)
			return false
		}
		v.decoders[v.channels-1] = d
		if v.pcm[v.channels-1] == nil {
			v.pcm[v.channels-1] = make([]float32, 0, cap(v.pcm[0]))
		}
	}
	return v.decoder() != nil
}

// widen goes on in stereo, for that is how the next packet is coded.
func (v *voice) widen() {
	v.channels = 2
	if !v.open() || v.decoder().Reset() != nil {
		v.channels = 1 // libopus makes one channel of two
		return
	}
	v.warm()
	v.pcm[1] = append(v.pcm[1][:0], v.pcm[0]...)
	v.before[1] = v.before[0]
}

// fill decodes until there are so many samples. late lets it leave out silence.
func (v *voice) fill(need, late int) {
	for v.held() < need {
		if !v.feed.peek(&v.next) {
			v.runDry()
			continue
		}
		next := &v.next
		gap := int(int32(next.timestamp - v.end))
		switch {
		case gap < 0 && -gap <= v.filled:
			v.feed.take(next) // something else was heard in its place
			continue
		case gap < 0 || gap > maxGap:
			v.end = next.timestamp // another timeline; the level of pcm is right again from here
			gap = 0
		case gap > 0 && v.credit > 0:
			n := min(gap, v.credit)
			v.credit -= n
			v.end += uint32(n)
			gap -= n
		}
		switch {
		case next.samples == 0:
			v.feed.take(&v.next)
			v.stats.Broken++
		case gap == 0:
			late -= v.decode(late >= next.samples)
		case gap <= next.samples && next.lost > 0 && opus.HasFEC(next.payload()):
			v.repair(gap)
			late -= v.decode(late >= next.samples)
		default:
			n := min(gap, frame)
			v.conceal(n, next.lost == 0)
			v.end += uint32(n)
			v.filled += n
		}
	}
}

// decode takes the next packet in and says how many samples it left out,
// which it does with silence when it may skip.
func (v *voice) decode(skip bool) int {
	if opus.Stereo(v.next.payload()) && v.channels == 1 && !v.broken {
		v.widen()
	}
	v.feed.take(&v.next)
	v.dry, v.credit, v.filled = 0, 0, 0
	v.resting = v.next.size <= restSize
	n, err := v.decoder().Decode(v.next.payload(), v.scratch[:])
	if err != nil {
		v.stats.Broken++
		v.conceal(v.next.samples, false)
		v.end += uint32(v.next.samples)
		return 0
	}
	v.stats.Decoded++
	v.end += uint32(n)
	v.silent = quiet(v.scratch[:n*v.channels])
	if skip && v.silent {
		v.stats.Skipped += uint64(n)
		return n
	}
	v.add(n)
	return 0
}

// add puts the first samples of scratch behind the others.
func (v *voice) add(samples int) {
	if v.channels == 1 {
		v.pcm[0] = append(v.pcm[0], v.scratch[:samples]...)
		return
	}
	for i := range samples {
		v.pcm[0] = append(v.pcm[0], v.scratch[2*i])
		v.pcm[1] = append(v.pcm[1], v.scratch[2*i+1])
	}
}

// repair fills a hole of so many samples from the packet after it.
func (v *voice) repair(gap int) {
	pcm := v.scratch[:wholeGrains(gap)*v.channels]
	if _, err := v.decoder().DecodeFEC(v.next.payload(), pcm); err != nil {
		clear(pcm)
	}
	v.add(gap)
	v.end += uint32(gap)
	v.stats.Repaired++
}

// conceal makes up so many samples, since packets were lost or since the
// sender rests. It leaves v.end to the caller.
func (v *voice) conceal(samples int, rest bool) {
	pcm := v.scratch[:wholeGrains(samples)*v.channels]
	if _, err := v.decoder().Conceal(pcm); err != nil {
		clear(pcm)
	}
	v.add(samples)
	if rest {
		v.stats.Rested += uint64(samples)
	} else {
		v.stats.Concealed += uint64(samples)
	}
}

// runDry goes on without a packet, for a while, and fades out then. Unless the
// sender rests, the sound lags by what was made up, until what comes shows
// whether it was late or lost.
func (v *voice) runDry() {
	most := maxDry
	if v.resting {
		most = maxRest
	}
	v.dry++
	switch {
	case v.dry <= most:
		v.conceal(frame, v.resting)
		if v.resting {
			v.end += frame // nothing is missing there
		} else {
			v.credit += frame
		}
	case v.playing:
		from := v.held()
		v.conceal(frame, v.resting)
		for c := range v.channels {
			fade(v.pcm[c][from:], 1, 0)
		}
		v.playing = false
	default:
		clear(v.scratch[:frame*v.channels])
		v.add(frame)
	}
}

// pace is how many samples more than a frame to take in this tick.
func (v *voice) pace(late int) int {
	switch off := max(late, -late); {
	case off >= startPacing:
		v.pacing = true
	case off < stopPacing:
		v.pacing = false
	}
	switch {
	case !v.pacing:
		return 0
	case late < 0:
		return -1
	}
	return 1
}

// play puts the next samples into out, as a frame.
func (v *voice) play(samples int, out *[2][frame]float32) {
	v.at, v.known = v.end-uint32(v.held()), true
	for c := range v.channels {
		if samples == frame {
			copy(out[c][:], v.pcm[c])
		} else {
			stretch(out[c][:], v.pcm[c], samples, v.before[c])
		}
		v.before[c] = v.pcm[c][samples-1]
	}
	v.drop(samples)
	if !v.playing {
		v.stop()
	}
}

func (v *voice) drop(samples int) {
	for c := range v.channels {
		v.pcm[c] = v.pcm[c][:copy(v.pcm[c], v.pcm[c][samples:])]
	}
}

func (v *voice) fade(out *[2][frame]float32, from, to float32) {
	for c := range v.channels {
		fade(out[c][:], from, to)
	}
}

// quiet says whether what is decoded has nothing in it that anybody would
// miss.
func (v *voice) quiet() bool {
	for c := range v.channels {
		if !quiet(v.pcm[c]) {
			return false
		}
	}
	return true
}

// fade takes the gain from one value to the other in the first samples.
func fade(pcm []float32, from, to float32) {
	if from == 1 && to == 1 {
		return
	}
	n := min(ramp, len(pcm))
	step := (to - from) / ramp
	for i := range n {
		pcm[i] *= from + step*float32(i)
	}
	for i := n; i < len(pcm); i++ {
		pcm[i] *= to
	}
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
