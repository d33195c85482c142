package mix

import (
	"bytes"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/pion/rtp"

	"belfry.live/belfry/internal/media/opus"
)

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
	a.made += 100000 // other numbers
	a.sent += 5000
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

// prepare fills a room with people of whom some speak, in stereo on request,
// and gives a function that pushes everybody's next packet and ticks.
func prepare(t testing.TB, people, speakers int, stereo bool) func() {
	r := newRoom(t)
	for i := range people {
		hz, right := 0.0, 0.0
		if i < speakers {
			hz = 300 + float64(i)*70
			if stereo {
				right = 2 * hz
			}
		}
		p := r.joinAs(ParticipantConfig{ID: strconv.Itoa(i), Stereo: stereo}, opus.EncoderConfig{Bitrate: 64000}, hz, right)
		p.amp = 0.05
		p.ignore()
	}
	r.run(time.Second)
	// 2 s of packets, over and over under new numbers.
	const packets = 100
	coded := make([][packets][]byte, people)
	levels := make([]uint8, people)
	out := make([]byte, opus.MaxPacket)
	for i, p := range r.all {
		pcm := make([]float32, frame)
		if p.right > 0 {
			pcm = make([]float32, 2*frame)
		}
		began := p.made
		for j := range packets {
			p.play(pcm)
			p.made++
			levels[i] = p.says(pcm)
			n, err := p.encoder.Encode(pcm, out)
			if err != nil {
				t.Fatal(err)
			}
			coded[i][j] = bytes.Clone(out[:n])
		}
		p.made = began
	}
	packet := &rtp.Packet{}
	return func() {
		r.now = r.now.Add(Tick)
		for i, p := range r.all {
			packet.Header = rtp.Header{SSRC: p.ssrc, SequenceNumber: uint16(65001 + p.sent), Timestamp: uint32(p.made * frame)}
			packet.Payload = coded[i][p.made%packets]
			p.Push(packet, levels[i], r.now.Add(-10*time.Millisecond))
			p.sent++
			p.made++
		}
		r.mixer.tick(r.now)
	}
}

func TestTickDoesNotAllocate(t *testing.T) {
	for _, stereo := range []bool{false, true} {
		step := prepare(t, 6, 3, stereo)
		for range 2 * maxHeld { // every slot of the jitter buffers gets its room
			step()
		}
		if n := testing.AllocsPerRun(500, step); n != 0 {
			t.Errorf("stereo %v: got %v allocations per tick, want 0", stereo, n)
		}
	}
}

func TestASilentParticipantNeedsLittleMemory(t *testing.T) {
	const people, most = 250, 48 << 10
	m := New(Config{}, slog.New(slog.DiscardHandler))
	defer m.free()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range people {
		m.Add(ParticipantConfig{ID: strconv.Itoa(i), Sink: func(Frame) {}})
	}
	packet := &rtp.Packet{Payload: make([]byte, 80)} // a quiet microphone's
	now := start
	for range 5 * maxHeld {
		now = now.Add(Tick)
		packet.SequenceNumber++
		packet.Timestamp += frame
		for i, p := range m.snapshot() {
			packet.SSRC = uint32(i + 1)
			p.Push(packet, 80, now)
		}
		m.tick(now)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	got := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / people
	if got > most {
		t.Errorf("got %d bytes for each, want at most %d", got, most)
	}
	t.Logf("%d bytes for each", got)
	runtime.KeepAlive(m)
}

// BenchmarkTick is one tick; 50 of them are a second of the meeting.
func BenchmarkTick(b *testing.B) {
	for _, n := range []struct {
		people, speakers int
		stereo           bool
	}{{1, 0, false}, {2, 1, false}, {2, 2, false}, {10, 3, false}, {10, 10, false}, {100, 3, false}, {250, 3, false}, {250, 3, true}} {
		b.Run(fmt.Sprintf("%d people, %d speak, stereo %v", n.people, n.speakers, n.stereo), func(b *testing.B) {
			step := prepare(b, n.people, n.speakers, n.stereo)
			before := cpuTime(b)
			for b.Loop() {
				step()
			}
			b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N)*50/1000, "cpu-ms/s")
		})
	}
}

// cpuTime is what the process took so far; a busy machine does not change it
// much.
func cpuTime(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
