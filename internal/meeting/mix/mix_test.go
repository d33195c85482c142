package mix

import (
	"bytes"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
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
	t   testing.TB
	hz  float64 // 0: silence
	amp float64
	ppm float64 // how much slower its clock runs

	unsaid bool // its packets do not say how loud they are

	loss    float64                   // share of its packets
	way     func(i int) time.Duration // of its i-th packet to the mixer; nil: 10 ms
	pending []sentPacket              // on the way, by arrival
	ssrc    uint32
	joined  time.Time
	sent    int // packets
	encoder *opus.Encoder
	spoken  bool // the encoder is in use
	rng     *rand.Rand

	decoder *opus.Decoder
	heard   []float32
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
	p := &person{
		t: r.t, hz: hz, amp: 0.25, ssrc: uint32(len(r.all) + 1), joined: r.now,
		rng: rand.New(rand.NewPCG(1, uint64(len(r.all)))),
	}
	var err error
	if p.encoder, err = opus.NewEncoder(opus.EncoderConfig{Bitrate: 64000}); err != nil {
		r.t.Fatal(err)
	}
	if p.decoder, err = opus.NewDecoder(1); err != nil {
		r.t.Fatal(err)
	}
	p.Participant = r.mixer.Add(ParticipantConfig{ID: id, Sink: p.hear, Hidden: id == "hidden"})
	r.all = append(r.all, p)
	r.t.Cleanup(func() { p.Close(); p.encoder.Close(); p.decoder.Close() })
	return p
}

func (p *person) hear(f Frame) {
	pcm := make([]float32, opus.MaxSamples)
	n, err := p.decoder.Decode(f.Payload, pcm)
	if err != nil || n != frame {
		p.t.Fatalf("got a packet of %d samples, %v, want %d", n, err, frame)
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

// send makes the packets it has captured by now and pushes what has arrived.
func (p *person) send(now time.Time) {
	pcm, packet := make([]float32, frame), make([]byte, opus.MaxPacket)
	for ; !p.at(p.sent + 1).After(now); p.sent++ {
		if p.hz > 0 {
			for i := range pcm {
				pcm[i] = float32(p.amp * math.Sin(2*math.Pi*p.hz*float64(p.sent*frame+i)/sampleRate))
			}
		}
		payload := opus.Silence()
		if p.spoken = p.spoken || p.hz > 0; p.spoken {
			n, err := p.encoder.Encode(pcm, packet)
			if err != nil {
				p.t.Fatal(err)
			}
			payload = bytes.Clone(packet[:n])
		}
		way := 10 * time.Millisecond
		if p.way != nil {
			way = p.way(p.sent)
		}
		if p.rng.Float64() < p.loss {
			continue
		}
		p.pending = append(p.pending, sentPacket{&rtp.Packet{
			Header:  rtp.Header{SSRC: p.ssrc, SequenceNumber: uint16(65000 + p.sent), Timestamp: uint32(p.sent * frame)},
			Payload: payload,
		}, p.says(pcm), p.at(p.sent + 1).Add(way)})
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
	}
}

// tone is the amplitude of a tone in what p heard: the mean over spans of 100
// ms, in which a sender's pace changes nothing.
func (p *person) tone(hz float64) float64 {
	const span = sampleRate / 10
	sum, n := 0.0, 0
	for ; (n+1)*span <= len(p.heard); n++ {
		sum += goertzel(p.heard[n*span:(n+1)*span], hz)
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
	got := p.tone(other.hz)
	if off := 20 * math.Log10(got/other.amp); math.Abs(off) > within {
		p.t.Errorf("%s hears %s at %.4f, want %.4f within %v dB", p.id, other.id, got, other.amp, within)
	}
}

// misses checks that the tone is not there.
func (p *person) misses(other *person) {
	p.t.Helper()
	if down := 20 * math.Log10(other.amp/max(p.tone(other.hz), 1e-9)); down < 45 {
		p.t.Errorf("%s hears %s %.1f dB down, want more than 45", p.id, other.id, down)
	}
}

func TestEverybodyHearsTheOthersAlone(t *testing.T) {
	r := newRoom(t)
	a, b, c, quiet, hidden := r.join("a", 440), r.join("b", 1000), r.join("c", 2350), r.join("quiet", 0), r.join("hidden", 3100)
	r.run(time.Second)
	r.forget()
	r.run(time.Second)
	for _, p := range []*person{a, b, c, quiet, hidden} {
		for _, o := range []*person{a, b, c} {
			if p == o {
				p.misses(o)
			} else {
				p.hears(o, 1)
			}
		}
		p.misses(hidden)
		if len(p.frames) != 50 {
			t.Errorf("%s got %d packets in a second, want 50", p.id, len(p.frames))
		}
	}
}

func TestLoneParticipantGetsSilence(t *testing.T) {
	r := newRoom(t)
	p := r.join("a", 440)
	r.run(2 * time.Second)
	if len(p.frames) != 100 {
		t.Fatalf("got %d packets in two seconds, want 100", len(p.frames))
	}
	for i, f := range p.frames {
		if want := p.frames[0].Timestamp + uint32(i*frame); f.Timestamp != want {
			t.Fatalf("packet %d: got timestamp %d, want %d", i, f.Timestamp, want)
		}
		if want := start.Add(time.Duration(i+1) * Tick); !f.Time.Equal(want) {
			t.Fatalf("packet %d: got time %v, want %v", i, f.Time, want)
		}
	}
	zero(t, p.heard)
	if !bytes.Equal(p.last, opus.Silence()) {
		t.Errorf("got packet % x, want % x", p.last, opus.Silence())
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

func TestMutedIsNotHeard(t *testing.T) {
	r := newRoom(t)
	a, b := r.join("a", 440), r.join("b", 1000)
	r.run(time.Second)
	a.SetMuted(true)
	r.run(200 * time.Millisecond)
	r.forget()
	r.run(time.Second)
	zero(t, b.heard)
	a.hears(b, 1)
	if levels := r.mixer.Levels(nil); len(levels) != 1 || levels[0].ID != "b" {
		t.Errorf("got levels %v, want b's alone", levels)
	}
	a.SetMuted(false)
	r.run(200 * time.Millisecond)
	r.forget()
	r.run(time.Second)
	b.hears(a, 1)
}

func TestLevels(t *testing.T) {
	r := newRoom(t)
	a := r.join("a", 440)
	r.join("quiet", 0)
	r.join("hidden", 1000)
	r.run(time.Second)
	// A sine of amplitude 0.25 is 15 dB below full scale.
	if levels := r.mixer.Levels(nil); len(levels) != 1 || levels[0] != (Level{ID: "a", DBFS: 15}) {
		t.Errorf("got levels %v, want a at 15", levels)
	}
	a.hz = 0
	clear(a.heard)
	r.run(time.Second)
	if levels := r.mixer.Levels(nil); len(levels) != 0 {
		t.Errorf("got levels %v a second later, want none", levels)
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

func TestComingAndGoingDoesNotClick(t *testing.T) {
	r := newRoom(t)
	a, listener := r.join("a", 440), r.join("listener", 0)
	r.run(time.Second)
	r.forget()
	// Others come, speak, fall silent and leave: the listener goes between the
	// shared mix and its own, and a's tone goes on.
	b := r.join("b", 0)
	r.run(time.Second)
	listener.hz, listener.amp = 700, 0.1
	r.run(time.Second)
	listener.hz = 0
	r.run(3 * time.Second)
	b.Close()
	r.all = r.all[:2]
	r.run(time.Second)
	slope := a.amp * 2 * math.Pi * a.hz / sampleRate
	if got := steps(listener.heard); got > 1.5*slope {
		t.Errorf("got a step of %.4f between samples, want at most %.4f as the tone has", got, 1.5*slope)
	}
	// Every 100 ms of it is the tone.
	all := listener.heard
	for i := 0; i+4800 <= len(all); i += 4800 {
		listener.heard = all[i : i+4800]
		listener.hears(a, 1)
	}
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

func TestLateJoinerShiftsNobody(t *testing.T) {
	r := newRoom(t)
	a, b := r.join("a", 500), r.join("b", 0) // 10 periods a tick
	r.run(20 * time.Second)                  // the buffer has learned its delay
	before := b.phase(a.hz)
	r.join("late", 1200).joined = r.now.Add(-7 * time.Millisecond)
	r.run(time.Second)
	if got := b.phase(a.hz); math.Abs(got-before) > 0.05 {
		t.Errorf("got phase %.2f after somebody came, want %.2f as before", got, before)
	}
}

func TestLoss(t *testing.T) {
	for _, loss := range []float64{0.05, 0.20} {
		r := newRoom(t)
		a, b := r.join("a", 440), r.join("b", 0)
		a.loss = loss
		r.run(time.Second)
		r.forget()
		r.run(10 * time.Second)
		b.hears(a, 3)
		st := a.Stats()
		if lost := float64(st.Lost) / 550; math.Abs(lost-loss) > 0.05 {
			t.Errorf("loss %v: got %v lost", loss, lost)
		}
		if st.Late != 0 || st.Skipped != 0 {
			t.Errorf("loss %v: got %+v, want nothing late or skipped", loss, st)
		}
		// The delay has not grown: as many samples were made up as were lost.
		if max := (st.Lost + 2) * frame; st.Concealed > max {
			t.Errorf("loss %v: got %d samples made up for %d packets lost", loss, st.Concealed, st.Lost)
		}
	}
}

func TestReorderingAndJitter(t *testing.T) {
	r := newRoom(t)
	a, b := r.join("a", 440), r.join("b", 0)
	rng := rand.New(rand.NewPCG(7, 7))
	a.way = func(int) time.Duration { return time.Duration(5+rng.IntN(90)) * time.Millisecond }
	r.run(5 * time.Second) // the buffer learns
	r.forget()
	before := a.Stats()
	r.run(10 * time.Second)
	b.hears(a, 1)
	st := a.Stats()
	if late, lost := st.Late-before.Late, st.Lost-before.Lost; late > 5 || lost > 5 {
		t.Errorf("got %d late and %d lost of 500 that come within 95 ms, want at most 5", late, lost)
	}
}

func TestDriftIsAbsorbed(t *testing.T) {
	for _, ppm := range []float64{-200, 200} {
		r := newRoom(t)
		a, b := r.join("a", 440), r.join("b", 0)
		a.ppm = ppm
		r.run(5 * time.Second)
		before := a.Stats()
		r.forget()
		r.run(3 * time.Minute) // 36 ms apart by then
		st := a.Stats()
		if st.Lost != 0 || st.Late != 0 || st.Concealed != before.Concealed || st.Skipped != before.Skipped {
			t.Errorf("%+v ppm: got %+v, want nothing lost, made up or skipped since %+v", ppm, st, before)
		}
		slope := a.amp * 2 * math.Pi * a.hz / sampleRate
		if got := steps(b.heard); got > 1.2*slope {
			t.Errorf("%+v ppm: got a step of %.4f between samples, want at most %.4f", ppm, got, 1.2*slope)
		}
		b.heard = b.heard[len(b.heard)-sampleRate/10:]
		b.hears(a, 1)
	}
}

func TestStallOfTheSender(t *testing.T) {
	r := newRoom(t)
	a, b := r.join("a", 440), r.join("b", 0)
	stalled := false
	a.way = func(i int) time.Duration {
		if i >= 100 && i < 110 { // come together 200 ms late
			stalled = true
			return time.Duration(110-i)*Tick + 10*time.Millisecond
		}
		return 10 * time.Millisecond
	}
	r.run(10 * time.Second)
	if !stalled {
		t.Fatal("the sender did not stall")
	}
	r.forget()
	r.run(time.Second)
	b.hears(a, 1)
	if off, ok := lag(r, a); !ok || off > 250*time.Millisecond {
		t.Errorf("got %v, %v between capture and mix, want less than 250 ms", off, ok)
	}
	// Speech has pauses; in one of them the lag goes.
	a.hz = 0
	r.run(25 * time.Second)
	if off, ok := lag(r, a); !ok || off > 90*time.Millisecond {
		t.Errorf("after a pause: got %v, %v between capture and mix, want less than 90 ms", off, ok)
	}
}

func TestSoundStaysInTune(t *testing.T) {
	const ms = time.Millisecond
	for _, tc := range []struct {
		name string
		way  func(i int) time.Duration
		late bool // sound ends up later than it was, not earlier
	}{
		{"the first packets were slow", func(i int) time.Duration {
			if i < 25 {
				return 160 * ms
			}
			return 10 * ms
		}, false},
		{"packets stall, then come together", func(i int) time.Duration {
			if i >= 50 && i < 58 {
				return time.Duration(58-i)*Tick + 10*ms
			}
			return 10 * ms
		}, false},
		{"the way gets longer", func(i int) time.Duration {
			if i >= 50 {
				return 90 * ms
			}
			return 10 * ms
		}, true},
	} {
		for _, hz := range []float64{82.4, 440, 1100, 3520} {
			r := newRoom(t)
			a, b := r.join("a", hz), r.join("b", 0)
			a.way = tc.way
			r.run(1500 * ms) // all that is special has come
			from, _ := lag(r, a)
			for i := range 24 {
				r.forget()
				r.run(500 * ms)
				// Through so many periods a tone that is 6 cents off is not seen.
				span := min(len(b.heard), int(550*sampleRate/hz))
				if down := 20 * math.Log10(a.amp/goertzel(b.heard[:span], hz)); i > 0 && math.Abs(down) > 3 {
					t.Errorf("%s: got %v Hz %.1f dB down %v later, want less than 3", tc.name, hz, down, time.Duration(i)*500*ms)
				}
			}
			to, _ := lag(r, a)
			if st := a.Stats(); st.Spliced == 0 || !tc.late && from-to < 20*ms {
				t.Errorf("%s: %v Hz: got a lag of %v after %v, %+v, want it worked off by splices", tc.name, hz, to, from, st)
			}
		}
	}
}

// lag is the time from capture to mix, by Offset: the sender's clock says the
// same as the mixer's.
func lag(r *room, p *person) (time.Duration, bool) {
	p.SenderReport(p.at(0), 0)
	return p.Offset()
}

func TestOffset(t *testing.T) {
	r := newRoom(t)
	a := r.join("a", 440)
	r.run(time.Second)
	if off, ok := a.Offset(); ok {
		t.Errorf("got %v without a sender report, want none", off)
	}
	// The sender's clock is an hour behind.
	a.SenderReport(a.at(0).Add(-time.Hour), 0)
	off, ok := a.Offset()
	// One frame to capture it, 10 ms on the way, the wait.
	if wait := off - time.Hour; !ok || wait < 30*time.Millisecond || wait > 100*time.Millisecond {
		t.Errorf("got %v, %v, want an hour and 30 to 100 ms", off, ok)
	}
	r.run(10 * time.Second)
	if later, _ := a.Offset(); (later - off).Abs() > 20*time.Millisecond {
		t.Errorf("got %v, 10 s later %v, want the same within 20 ms", off, later)
	}
	a.SetMuted(true)
	r.run(time.Second)
	if later, ok := a.Offset(); !ok || (later-off).Abs() > 25*time.Millisecond {
		t.Errorf("muted: got %v, %v, want %v within 25 ms", later, ok, off)
	}
}

func TestSenderBeginsAnew(t *testing.T) {
	r := newRoom(t)
	a, b := r.join("a", 440), r.join("b", 0)
	r.run(time.Second)
	a.ssrc = 99
	a.sent += 100000 // other numbers
	a.joined = a.joined.Add(-100000 * Tick)
	r.run(time.Second)
	r.forget()
	r.run(time.Second)
	b.hears(a, 1)
}

func TestManyLoudOnesAreLimited(t *testing.T) {
	r := newRoom(t)
	for i := range 8 {
		p := r.join(string(rune('a'+i)), 300+float64(i)*170)
		p.amp = 0.9
	}
	b := r.join("listener", 0)
	r.run(3 * time.Second)
	for i, x := range b.heard {
		if math.Abs(float64(x)) > 1 {
			t.Fatalf("got sample %d = %.4f, want at most full scale", i, x)
		}
	}
}

// prepare fills a room with people of whom some speak, and gives a function
// that pushes everybody's next packet and ticks.
func prepare(t testing.TB, people, speakers int) func() {
	r := newRoom(t)
	for i := range people {
		hz := 0.0
		if i < speakers {
			hz = 300 + float64(i)*70
		}
		r.join(strconv.Itoa(i), hz).amp = 0.05
	}
	r.run(time.Second)
	// 2 s of packets, over and over under new numbers.
	const packets = 100
	coded := make([][packets][]byte, people)
	levels := make([]uint8, people)
	pcm, out := make([]float32, frame), make([]byte, opus.MaxPacket)
	for i, p := range r.all {
		p.Participant.sink = func(Frame) {}
		for j := range packets {
			for k := range pcm {
				pcm[k] = float32(p.amp * math.Sin(2*math.Pi*p.hz*float64(j*frame+k)/sampleRate))
			}
			levels[i] = p.says(pcm)
			n, err := p.encoder.Encode(pcm, out)
			if err != nil {
				t.Fatal(err)
			}
			coded[i][j] = bytes.Clone(out[:n])
		}
	}
	packet := &rtp.Packet{}
	return func() {
		r.now = r.now.Add(Tick)
		for i, p := range r.all {
			packet.Header = rtp.Header{SSRC: p.ssrc, SequenceNumber: uint16(65000 + p.sent), Timestamp: uint32(p.sent * frame)}
			packet.Payload = coded[i][p.sent%packets]
			p.Push(packet, levels[i], r.now.Add(-10*time.Millisecond))
			p.sent++
		}
		r.mixer.tick(r.now)
	}
}

func TestTickDoesNotAllocate(t *testing.T) {
	step := prepare(t, 6, 3)
	for range 2 * maxHeld { // every slot of the jitter buffers gets its room
		step()
	}
	if n := testing.AllocsPerRun(500, step); n != 0 {
		t.Errorf("got %v allocations per tick, want 0", n)
	}
}

// BenchmarkTick is one tick; 50 of them are a second of the meeting.
func BenchmarkTick(b *testing.B) {
	for _, n := range []struct{ people, speakers int }{{1, 0}, {2, 1}, {2, 2}, {10, 1}, {10, 3}, {10, 10}, {50, 3}, {100, 3}, {250, 3}} {
		b.Run(fmt.Sprintf("%d people, %d speak", n.people, n.speakers), func(b *testing.B) {
			step := prepare(b, n.people, n.speakers)
			for b.Loop() {
				step()
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)*50/1000, "ms/s")
		})
	}
}
