package jitter_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"belfry.live/belfry/internal/media/jitter"
)

const (
	frame = 960 // timestamps of 20 ms at 48 kHz
	ms    = time.Millisecond
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// packet makes the i-th packet of a stream, which arrives d after start.
func packet(i int, d time.Duration) jitter.Packet {
	return jitter.Packet{
		Sequence:  uint16(65530 + i), // wraps at once
		Timestamp: uint32(1<<32 - 3*frame + i*frame),
		Arrival:   start.Add(d),
		Payload:   binary.BigEndian.AppendUint32(nil, uint32(i)),
	}
}

// number is i of the packet, from its payload.
func number(p jitter.Packet) int { return int(binary.BigEndian.Uint32(p.Payload)) }

// popAll pops what is due at d after start, as "number" or "number+lost".
func popAll(b *jitter.Buffer, d time.Duration) string {
	var out bytes.Buffer
	for {
		p, ok := b.Pop(start.Add(d))
		if !ok {
			return out.String()
		}
		if out.Len() > 0 {
			out.WriteByte(' ')
		}
		fmt.Fprint(&out, number(p))
		if p.Lost > 0 {
			fmt.Fprintf(&out, "(lost %d)", p.Lost)
		}
	}
}

func TestOrder(t *testing.T) {
	type arrival struct {
		i  int
		at time.Duration
	}
	for _, tc := range []struct {
		name   string
		prompt bool
		in     []arrival
		at     time.Duration
		want   string
	}{
		{"in order", false, []arrival{{0, 0}, {1, 20 * ms}, {2, 40 * ms}}, time.Second, "0 1 2"},
		{"reordered over the wrap", false, []arrival{{0, 0}, {7, 141 * ms}, {5, 142 * ms}, {6, 143 * ms}}, time.Second, "0 5(lost 4) 6 7"},
		{"twice", false, []arrival{{0, 0}, {1, 20 * ms}, {1, 21 * ms}, {0, 22 * ms}}, time.Second, "0 1"},
		{"nothing yet", false, []arrival{{0, 0}}, 39 * ms, ""},
		{"due", false, []arrival{{0, 0}}, 40 * ms, "0"},
		{"only what is due", false, []arrival{{0, 0}, {1, 1 * ms}, {2, 1 * ms}}, 60 * ms, "0 1"},
		{"a gap waits until what follows is due", false, []arrival{{0, 0}, {2, 40 * ms}}, 79 * ms, "0"},
		{"and is lost then", false, []arrival{{0, 0}, {2, 40 * ms}}, 80 * ms, "0 2(lost 1)"},
		{"prompt: at once", true, []arrival{{0, 0}, {1, 0}, {2, 0}}, 0, "0 1 2"},
		{"prompt: a gap holds what follows", true, []arrival{{0, 0}, {2, 40 * ms}, {3, 60 * ms}}, 439 * ms, "0"},
		{"prompt: for so long", true, []arrival{{0, 0}, {2, 40 * ms}, {3, 60 * ms}}, 440 * ms, "0 2(lost 1) 3"},
		{"prompt: until it is filled", true, []arrival{{0, 0}, {2, 40 * ms}, {1, 90 * ms}}, 90 * ms, "0 1 2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := jitter.New(jitter.Config{Prompt: tc.prompt})
			for _, a := range tc.in {
				b.Push(packet(a.i, a.at))
			}
			if got := popAll(b, tc.at); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestLateIsCountedAndNotGivenOut(t *testing.T) {
	b := jitter.New(jitter.Config{})
	b.Push(packet(0, 0))
	b.Push(packet(2, 40*ms))
	if got, want := popAll(b, 100*ms), "0 2(lost 1)"; got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
	b.Push(packet(1, 101*ms))
	b.Push(packet(1, 102*ms))
	if got := popAll(b, time.Second); got != "" {
		t.Errorf("got %q after it was given up, want nothing", got)
	}
	if got, want := b.Stats(), (jitter.Stats{Received: 4, Lost: 1, Late: 2}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestFields(t *testing.T) {
	b := jitter.New(jitter.Config{Prompt: true, ClockRate: 90000})
	in := jitter.Packet{Sequence: 9, Timestamp: 77, Marker: true, Arrival: start, Payload: []byte("frame")}
	b.Push(in)
	copy(in.Payload, "XXXXX") // the buffer has its own
	for _, get := range []func() (jitter.Packet, bool){b.Peek, b.Take} {
		p, ok := get()
		if !ok || p.Sequence != 9 || p.Timestamp != 77 || !p.Marker || !p.Arrival.Equal(start) || string(p.Payload) != "frame" || p.Lost != 0 {
			t.Errorf("got %+v, %v, want what was pushed", p, ok)
		}
	}
	if p, ok := b.Peek(); ok || b.Len() != 0 {
		t.Errorf("got %+v and %d packets, want an empty buffer", p, b.Len())
	}
}

func TestLongRunOverBothWraps(t *testing.T) {
	b := jitter.New(jitter.Config{})
	// 30 hours of packets of 100 ms: the timestamp wraps after 24 h 51 min
	// once more.
	const packets = 30 * 3600 * 10
	next := 0
	for i := range packets {
		at := time.Duration(i) * 100 * ms
		p := packet(i, at)
		p.Timestamp += uint32(4 * i * frame)
		b.Push(p)
		for {
			p, ok := b.Pop(start.Add(at))
			if !ok {
				break
			}
			if number(p) != next || p.Lost != 0 {
				t.Fatalf("got packet %d with %d lost before it, want %d", number(p), p.Lost, next)
			}
			next++
		}
	}
	if packets-next > 3 {
		t.Errorf("got %d packets out, want all but the last 3 of %d", next, packets)
	}
	if got, want := b.Stats(), (jitter.Stats{Received: packets}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// simulate runs a stream whose i-th packet takes way(i) and says how many
// packets came out and how many were lost; each tick pops what is due.
func simulate(b *jitter.Buffer, from, to int, ppm float64, way func(i int) time.Duration) (out, lost int) {
	type arrival struct {
		i  int
		at time.Duration
	}
	sent := func(i int) time.Duration {
		return time.Duration(float64(i) * 20e6 * (1 + ppm*1e-6))
	}
	var waiting []arrival
	i := from
	for now := sent(from); now < sent(to); now += 5 * ms {
		for ; i < to && sent(i) <= now; i++ {
			if w := way(i); w >= 0 {
				waiting = append(waiting, arrival{i, sent(i) + w})
			}
		}
		kept := waiting[:0]
		for _, a := range waiting {
			if a.at <= now {
				b.Push(packet(a.i, a.at))
			} else {
				kept = append(kept, a)
			}
		}
		waiting = kept
		for {
			p, ok := b.Pop(start.Add(now))
			if !ok {
				break
			}
			out++
			lost += p.Lost
		}
	}
	return out, lost
}

func TestDelayFollowsTheNetwork(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	b := jitter.New(jitter.Config{})
	calm := func(int) time.Duration { return 10*ms + time.Duration(rng.IntN(3))*ms }
	rough := func(int) time.Duration { return 10*ms + time.Duration(rng.IntN(150))*ms }

	simulate(b, 0, 1000, 0, calm)
	if got := b.Delay(); got < 20*ms || got > 25*ms {
		t.Errorf("calm: got a delay of %v, want about 20 ms", got)
	}
	simulate(b, 1000, 1500, 0, rough)
	if got := b.Delay(); got < 130*ms || got > 165*ms {
		t.Errorf("up to 150 ms late: got a delay of %v, want about that", got)
	}
	if _, lost := simulate(b, 1500, 4000, 0, rough); lost > 5 {
		t.Errorf("once widened: got %d of 2500 lost, want at most 5", lost)
	}
	simulate(b, 4000, 6000, 0, calm)
	if got := b.Delay(); got > 30*ms {
		t.Errorf("calm again for 40 s: got a delay of %v, want about 20 ms", got)
	}
}

func TestDelayGoesAtOnceWhenNobodyHears(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	calm := func(int) time.Duration { return 10 * ms }
	rough := func(int) time.Duration { return 10*ms + time.Duration(rng.IntN(150))*ms }
	for _, tc := range []struct {
		name        string
		shrink      time.Duration
		idle        bool
		least, most time.Duration
	}{
		{"as by default", 0, false, 105 * ms, 200 * ms},
		{"faster", 40 * ms, false, 30 * ms, 100 * ms},
		{"idle", 0, true, 20 * ms, 30 * ms},
	} {
		b := jitter.New(jitter.Config{Shrink: tc.shrink})
		simulate(b, 0, 500, 0, rough)
		if got := b.Delay(); got < 130*ms {
			t.Errorf("%s: got a delay of %v, want more than 130 ms", tc.name, got)
		}
		b.SetIdle(tc.idle)
		// Two seconds of calm after the last late packet, five until the window
		// has forgotten it.
		simulate(b, 500, 850, 0, calm)
		if got := b.Delay(); got < tc.least || got > tc.most {
			t.Errorf("%s: 7 s later: got a delay of %v, want %v to %v", tc.name, got, tc.least, tc.most)
		}
	}
}

func TestBehind(t *testing.T) {
	b := jitter.New(jitter.Config{Capacity: 8})
	if _, ok := b.Behind(1); ok {
		t.Error("empty: got a packet")
	}
	for i := range 7 {
		if i != 2 { // is lost
			b.Push(packet(i, time.Duration(i)*20*ms))
		}
	}
	for range 4 {
		b.Take() // 0, 1, 3, 4
	}
	for n, want := range map[int]int{0: -1, 1: 4, 2: 3, 3: -1, 4: 1, 5: 0, 6: -1, -1: -1} {
		p, ok := b.Behind(n)
		if ok != (want >= 0) || ok && (number(p) != want || p.Timestamp != packet(want, 0).Timestamp) {
			t.Errorf("%d behind: got %v, %v, want packet %d", n, p, ok, want)
		}
	}
	b.Reset()
	b.Push(packet(100, 0))
	if p, ok := b.Behind(95); ok {
		t.Errorf("after Reset: got %v, want none", p)
	}
}

func TestDelayIsBounded(t *testing.T) {
	b := jitter.New(jitter.Config{MinDelay: 60 * ms, MaxDelay: 200 * ms})
	simulate(b, 0, 500, 0, func(int) time.Duration { return 0 })
	if got := b.Delay(); got != 60*ms {
		t.Errorf("got %v, want the least delay of 60 ms", got)
	}
	simulate(b, 500, 1000, 0, func(i int) time.Duration { return time.Duration(i%40) * 25 * ms })
	if got := b.Delay(); got > 200*ms {
		t.Errorf("got %v, want at most 200 ms", got)
	}
}

func TestDriftIsFollowed(t *testing.T) {
	for _, ppm := range []float64{-200, 200} {
		b := jitter.New(jitter.Config{})
		const packets = 50 * 60 * 20 // 20 minutes, 240 ms apart in the end
		out, lost := simulate(b, 0, packets, ppm, func(int) time.Duration { return 0 })
		if lost != 0 || packets-out > 4 {
			t.Errorf("%+v ppm: got %d out and %d lost, want %d and 0", ppm, out, lost, packets)
		}
		if got := b.Delay(); got > 30*ms {
			t.Errorf("%+v ppm: got a delay of %v, want about 20 ms", ppm, got)
		}
		if s := b.Stats(); s.Resets != 0 {
			t.Errorf("%+v ppm: got %d resets, want 0", ppm, s.Resets)
		}
	}
}

func TestRandomLossDoesNotWiden(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	b := jitter.New(jitter.Config{})
	out, lost := simulate(b, 0, 5000, 0, func(int) time.Duration {
		if rng.IntN(5) == 0 {
			return -1
		}
		return 10 * ms
	})
	if lost < 900 || lost > 1100 || out+lost < 4990 {
		t.Errorf("got %d out and %d lost of 5000 at 20 %% loss", out, lost)
	}
	if got := b.Delay(); got > 25*ms {
		t.Errorf("got a delay of %v, want about 20 ms", got)
	}
}

func TestNewSequenceAfterTwoPackets(t *testing.T) {
	b := jitter.New(jitter.Config{})
	for i := range 10 {
		b.Push(packet(i, time.Duration(i)*20*ms))
	}
	if got, want := popAll(b, 220*ms), "0 1 2 3 4 5 6 7 8 9"; got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
	stray := packet(20000, 221*ms)
	b.Push(stray)
	b.Push(packet(10, 222*ms))
	if got, want := popAll(b, 300*ms), "10"; got != want {
		t.Fatalf("after one stray packet: got %q, want %q", got, want)
	}
	for i := 30000; i < 30003; i++ {
		b.Push(packet(i, 300*ms+time.Duration(i-30000)*20*ms))
	}
	if got, want := popAll(b, 400*ms), "30001 30002"; got != want {
		t.Errorf("after a jump: got %q, want %q", got, want)
	}
	if s := b.Stats(); s.Resets != 1 || s.Refused != 2 || s.Lost != 0 {
		t.Errorf("got %+v, want 1 reset, 2 refused, none lost", s)
	}
}

func TestNewTimestampsResetToo(t *testing.T) {
	b := jitter.New(jitter.Config{})
	for i := range 4 {
		b.Push(packet(i, time.Duration(i)*20*ms))
	}
	p := packet(4, 80*ms)
	p.Timestamp += 48000 * 60
	b.Push(p)
	if got, want := popAll(b, 119*ms), ""; got != want {
		t.Errorf("got %q, want %q: the packets before are of another time", got, want)
	}
	if got, want := popAll(b, 120*ms), "4"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPauseIsNoJump(t *testing.T) {
	// Discontinuous transmission: timestamps go on, sequence numbers do not.
	b := jitter.New(jitter.Config{})
	b.Push(packet(0, 0))
	p := packet(500, 10*time.Second)
	p.Sequence = packet(1, 0).Sequence
	b.Push(p)
	if got, want := popAll(b, 10*time.Second+50*ms), "0 500"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if s := b.Stats(); s.Resets != 0 || s.Lost != 0 {
		t.Errorf("got %+v, want no reset and no loss", s)
	}
}

func TestNobodyTakes(t *testing.T) {
	b := jitter.New(jitter.Config{Capacity: 16})
	for i := range 100 {
		b.Push(packet(i, time.Duration(i)*20*ms))
	}
	if b.Len() != 16 {
		t.Errorf("got %d packets held, want 16", b.Len())
	}
	if p, ok := b.Take(); !ok || number(p) != 84 || p.Lost != 84 {
		t.Errorf("got packet %d with %d lost before it, want 84 and 84", number(p), p.Lost)
	}
	if s := b.Stats(); s.Overflow != 84 {
		t.Errorf("got %+v, want 84 overflown", s)
	}
}

func TestTooLarge(t *testing.T) {
	b := jitter.New(jitter.Config{})
	p := packet(0, 0)
	p.Payload = make([]byte, jitter.MaxPayload+1)
	b.Push(p)
	if b.Len() != 0 || b.Stats().Refused != 1 {
		t.Errorf("got %d held, %+v, want it refused", b.Len(), b.Stats())
	}
}

func TestNoAllocations(t *testing.T) {
	b := jitter.New(jitter.Config{})
	payload := make([]byte, 200)
	i := 0
	step := func() {
		p := jitter.Packet{Sequence: uint16(i), Timestamp: uint32(i * frame), Arrival: start.Add(time.Duration(i) * 20 * ms), Payload: payload}
		b.Push(p)
		b.Pop(p.Arrival)
		i++
	}
	for range 2 * jitter.DefaultCapacity { // every slot gets its room
		step()
	}
	if n := testing.AllocsPerRun(1000, step); n != 0 {
		t.Errorf("got %v allocations per packet, want 0", n)
	}
}

// FuzzBuffer pushes packets as strangers may number them: whatever comes out
// went in, once, and in order between resets.
func FuzzBuffer(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 1, 1, 1, 1, 2, 3, 2, 1}, false)
	f.Add([]byte{0, 0, 0, 200, 255, 1, 200, 0, 9, 9, 200, 1, 9, 9, 200, 2, 9, 9}, true)
	f.Add(bytes.Repeat([]byte{127, 255, 3}, 40), false)
	f.Fuzz(func(t *testing.T, data []byte, prompt bool) {
		b := jitter.New(jitter.Config{Capacity: 32, Prompt: prompt})
		in := map[uint32]bool{}
		now := start
		var seq uint16
		var ts uint32
		resets, last := uint64(0), -1
		for i := uint32(0); len(data) >= 3; i++ {
			seq += uint16(int8(data[0])) * uint16(1+data[1]&0x7f)
			ts += uint32(int32(int8(data[1]))) * frame
			now = now.Add(time.Duration(data[2]) * ms)
			data = data[3:]
			in[i] = true
			b.Push(jitter.Packet{Sequence: seq, Timestamp: ts, Arrival: now, Payload: binary.BigEndian.AppendUint32(nil, i)})
			for {
				p, ok := b.Pop(now)
				if !ok {
					break
				}
				if n := binary.BigEndian.Uint32(p.Payload); !in[n] {
					t.Fatalf("packet %d came out twice or never went in", n)
				} else {
					delete(in, n)
				}
				if s := b.Stats(); s.Resets != resets {
					resets, last = s.Resets, -1
				}
				if last >= 0 && uint16(last+1+p.Lost) != p.Sequence {
					t.Fatalf("got %d after %d with %d lost between", p.Sequence, last, p.Lost)
				}
				last = int(p.Sequence)
			}
			if b.Len() > 32 {
				t.Fatalf("got %d packets held, want at most 32", b.Len())
			}
		}
	})
}

func BenchmarkPushPop(bm *testing.B) {
	b := jitter.New(jitter.Config{})
	payload := make([]byte, 160)
	i := 0
	for bm.Loop() {
		at := start.Add(time.Duration(i) * 20 * ms)
		b.Push(jitter.Packet{Sequence: uint16(i), Timestamp: uint32(i * frame), Arrival: at, Payload: payload})
		b.Pop(at)
		i++
	}
}
