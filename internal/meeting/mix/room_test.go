package mix

import (
	"bytes"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtp"

	"belfry.live/belfry/internal/media/opus"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// A room drives a mixer with a clock of its own.
type room struct {
	t     testing.TB
	mixer *Mixer
	now   time.Time
	all   []*person
}

// A person plays a tone to the mixer and decodes what comes back.
type person struct {
	*Participant
	t     testing.TB
	hz    float64 // 0: silence
	right float64 // tone of the right channel; 0: the sound is mono
	amp   float64
	ppm   float64 // how much slower its clock runs

	// wave is what it says in place of the tone, by the number of the sample.
	wave    func(i int) float64
	unsaid  bool              // its packets do not say how loud they are
	numbers int               // how many sequence numbers a packet takes; 0: 1
	claims  func(i int) uint8 // the level that its i-th packet says; nil: the true one
	pauses  bool              // packets that say nothing are not sent (DTX)

	loss    float64                   // share of its packets
	way     func(i int) time.Duration // of its i-th packet to the mixer; nil: 10 ms
	pending []sentPacket              // on the way, by arrival
	ssrc    uint32
	joined  time.Time
	made    int // packets
	sent    int // of them
	paused  int // packets in a row that were not sent
	encoder *opus.Encoder
	spoken  bool // the encoder is in use
	rng     *rand.Rand

	decoder *opus.Decoder
	heard   []float32    // the mean of the channels
	sides   [2][]float32 // the channels, of one who hears stereo
	frames  []Frame
	last    []byte // payload
}

type sentPacket struct {
	*rtp.Packet
	level   uint8
	arrival time.Time
}

// unknown is the level of packets that do not say it.
const unknown = 255

func newRoom(t testing.TB) *room {
	m := New(Config{}, slog.New(slog.DiscardHandler))
	t.Cleanup(m.free)
	return &room{t: t, mixer: m, now: start}
}

func (r *room) join(id string, hz float64) *person {
	r.t.Helper()
	return r.joinAs(ParticipantConfig{ID: id, Hidden: id == "hidden"}, opus.EncoderConfig{Bitrate: 64000}, hz, 0)
}

// joinAs has somebody come who sounds and hears as told.
func (r *room) joinAs(c ParticipantConfig, e opus.EncoderConfig, hz, right float64) *person {
	r.t.Helper()
	p := &person{
		t: r.t, hz: hz, right: right, amp: 0.25, ssrc: uint32(len(r.all) + 1), joined: r.now,
		rng: rand.New(rand.NewPCG(1, uint64(len(r.all)))),
	}
	if right > 0 {
		e.Channels = 2
	}
	channels := 1
	if c.Stereo {
		channels = 2
	}
	var err error
	if p.encoder, err = opus.NewEncoder(e); err != nil {
		r.t.Fatal(err)
	}
	if p.decoder, err = opus.NewDecoder(channels); err != nil {
		r.t.Fatal(err)
	}
	c.Sink = p.hear
	p.Participant = r.mixer.Add(c)
	r.all = append(r.all, p)
	r.t.Cleanup(func() { p.Close(); p.encoder.Close(); p.decoder.Close() })
	return p
}

// ignore has p throw away what it hears.
func (p *person) ignore() { p.sink = func(Frame) {} }

func (p *person) hear(f Frame) {
	pcm := make([]float32, 2*opus.MaxSamples)
	n, err := p.decoder.Decode(f.Payload, pcm)
	if err != nil || n != frame {
		p.t.Fatalf("got a packet of %d samples, %v, want %d", n, err, frame)
	}
	if p.stereo.Load() {
		for i := range n {
			l, r := pcm[2*i], pcm[2*i+1]
			p.sides[0], p.sides[1] = append(p.sides[0], l), append(p.sides[1], r)
			pcm[i] = (l + r) / 2
		}
	}
	p.heard = append(p.heard, pcm[:n]...)
	p.last = bytes.Clone(f.Payload)
	f.Payload = nil
	p.frames = append(p.frames, f)
}

// at is when its i-th packet is captured, by the mixer's clock.
func (p *person) at(i int) time.Time {
	return p.joined.Add(time.Duration(float64(i) * 20e6 * (1 + p.ppm*1e-6)))
}

// play writes its next frame to pcm, and says whether it is silence.
func (p *person) play(pcm []float32) (silent bool) {
	if p.wave == nil && p.hz == 0 {
		clear(pcm)
		return true
	}
	for i := range frame {
		at := p.made*frame + i
		switch {
		case p.wave != nil:
			pcm[i] = float32(p.wave(at))
		case p.right > 0:
			pcm[2*i], pcm[2*i+1] = p.tone(p.hz, at), p.tone(p.right, at)
		default:
			pcm[i] = p.tone(p.hz, at)
		}
	}
	return false
}

func (p *person) tone(hz float64, at int) float32 {
	return float32(p.amp * math.Sin(2*math.Pi*hz*float64(at)/sampleRate))
}

// send makes the packets it has captured by now and pushes what has arrived.
func (p *person) send(now time.Time) {
	pcm, packet := make([]float32, frame), make([]byte, opus.MaxPacket)
	if p.right > 0 {
		pcm = make([]float32, 2*frame)
	}
	for ; !p.at(p.made + 1).After(now); p.made++ {
		p.spoken = !p.play(pcm) || p.spoken
		payload := opus.Silence()
		if p.spoken {
			n, err := p.encoder.Encode(pcm, packet)
			if err != nil {
				p.t.Fatal(err)
			}
			payload = bytes.Clone(packet[:n])
		}
		if p.paused++; p.pauses && len(payload) <= restSize && p.paused > 1 && p.paused < 20 {
			continue
		}
		if len(payload) > restSize {
			p.paused = 0
		}
		way := 10 * time.Millisecond
		if p.way != nil {
			way = p.way(p.made)
		}
		p.sent += max(p.numbers, 1)
		if p.rng.Float64() < p.loss {
			continue
		}
		p.pending = append(p.pending, sentPacket{&rtp.Packet{
			Header:  rtp.Header{SSRC: p.ssrc, SequenceNumber: uint16(65000 + p.sent), Timestamp: uint32(p.made * frame)},
			Payload: payload,
		}, p.says(pcm), p.at(p.made + 1).Add(way)})
	}
	slices.SortStableFunc(p.pending, func(a, b sentPacket) int { return a.arrival.Compare(b.arrival) })
	for len(p.pending) > 0 && !p.pending[0].arrival.After(now) {
		p.Push(p.pending[0].Packet, p.pending[0].level, p.pending[0].arrival)
		p.pending = p.pending[1:]
	}
}

// says is the level that a client writes with the sound.
func (p *person) says(pcm []float32) uint8 {
	if p.unsaid {
		return unknown
	}
	if p.claims != nil {
		return p.claims(p.made)
	}
	power := 0.0
	for _, x := range pcm {
		power += float64(x) * float64(x) / float64(len(pcm))
	}
	return uint8(decibels(power))
}

// run lets time pass, in ticks.
func (r *room) run(d time.Duration) {
	for end := r.now.Add(d); r.now.Before(end); {
		r.now = r.now.Add(Tick)
		for _, p := range r.all {
			p.send(r.now)
		}
		r.mixer.tick(r.now)
	}
}

// forget throws away what everybody heard so far.
func (r *room) forget() {
	for _, p := range r.all {
		p.heard, p.frames = p.heard[:0], p.frames[:0]
		p.sides[0], p.sides[1] = p.sides[0][:0], p.sides[1][:0]
	}
}

// amplitude is that of a tone in pcm: the mean over spans of 100
// ms, in which a sender's pace changes nothing.
func amplitude(pcm []float32, hz float64) float64 {
	const span = sampleRate / 10
	sum, n := 0.0, 0
	for ; (n+1)*span <= len(pcm); n++ {
		sum += goertzel(pcm[n*span:(n+1)*span], hz)
	}
	return sum / float64(n)
}

// goertzel is the amplitude of a tone in pcm, seen through a Hann window.
func goertzel(pcm []float32, hz float64) float64 {
	c := 2 * math.Cos(2*math.Pi*hz/sampleRate)
	n := float64(len(pcm))
	var s1, s2 float64
	for i, x := range pcm {
		w := 1 - math.Cos(2*math.Pi*float64(i)/n)
		s1, s2 = float64(x)*w+c*s1-s2, s1
	}
	return 2 * math.Sqrt(max(s1*s1+s2*s2-c*s1*s2, 0)) / n
}

// hears checks that the tone is there as loud as it was played, within dB.
func (p *person) hears(other *person, within float64) {
	p.t.Helper()
	got := amplitude(p.heard, other.hz)
	if off := 20 * math.Log10(got/other.amp); math.Abs(off) > within {
		p.t.Errorf("%s hears %s at %.4f, want %.4f within %v dB", p.id, other.id, got, other.amp, within)
	}
}

// misses checks that the tone is not there.
func (p *person) misses(other *person) {
	p.t.Helper()
	if down := 20 * math.Log10(other.amp/max(amplitude(p.heard, other.hz), 1e-9)); down < 45 {
		p.t.Errorf("%s hears %s %.1f dB down, want more than 45", p.id, other.id, down)
	}
}

// zero checks that 16-bit samples of pcm, and 24-bit ones, are all 0.
func zero(t *testing.T, pcm []float32) {
	t.Helper()
	for i, x := range pcm {
		if math.Abs(float64(x)) > 1e-30 {
			t.Fatalf("got sample %d = %g, want 0", i, x)
		}
	}
}

// steps finds the largest change from one sample to the next beyond what the
// tones in it can do.
func steps(pcm []float32) float64 {
	var most float64
	for i := 1; i < len(pcm); i++ {
		most = max(most, math.Abs(float64(pcm[i]-pcm[i-1])))
	}
	return most
}

// phase is where in its period a tone is, at the end of what p heard.
func (p *person) phase(hz float64) float64 {
	var re, im float64
	tail := p.heard[len(p.heard)-sampleRate/2:]
	for i, x := range tail {
		w := 2 * math.Pi * hz * float64(i) / sampleRate
		re += float64(x) * math.Cos(w)
		im += float64(x) * math.Sin(w)
	}
	return math.Atan2(im, re)
}

// lag is the time from capture to mix, by Offset: the sender's clock says the
// same as the mixer's.
func lag(r *room, p *person) (time.Duration, bool) {
	p.SenderReport(p.at(0), 0)
	return p.Offset()
}

// jerk is the largest change of the slope from one sample to the next: what
// makes a click. 240 samples at each end do not count.
func jerk(pcm []float32) float64 {
	var most float64
	for i := 242; i < len(pcm)-240; i++ {
		most = max(most, math.Abs(float64(pcm[i]-2*pcm[i-1]+pcm[i-2])))
	}
	return most
}

// hertz is the frequency of the one tone in pcm, found from its phase in
// windows of a quarter second, near the one that is expected.
func hertz(pcm []float32, near float64) float64 {
	const span = sampleRate / 4
	turn := func(pcm []float32) float64 {
		var re, im float64
		for i, x := range pcm {
			w := 2 * math.Pi * near * float64(i) / sampleRate
			h := 1 - math.Cos(2*math.Pi*float64(i)/span)
			re += h * float64(x) * math.Cos(w)
			im -= h * float64(x) * math.Sin(w)
		}
		return math.Atan2(im, re)
	}
	first, turned, n := 0.0, 0.0, 0
	for at := 0; at+span <= len(pcm); at, n = at+span, n+1 {
		phase := turn(pcm[at : at+span])
		if n > 0 {
			turned += math.Remainder(phase-first-2*math.Pi*near*span/sampleRate, 2*math.Pi)
		}
		first = phase
	}
	return near + turned/(2*math.Pi)/(float64(n-1)*span/sampleRate)
}
