package mix

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"belfry.live/belfry/internal/media/opus"
)

var voip = opus.EncoderConfig{Bitrate: 32000, Application: opus.VoIP}

func TestInBandFECRepairsLoss(t *testing.T) {
	// Speech with a copy of each frame in the next, and one packet of ten lost.
	heard := func(fec bool) (float64, Stats) {
		var loud [2][]float32
		var st Stats
		for i, loss := range []float64{0, 0.1} {
			r := newRoom(t)
			c := voip
			c.FEC, c.PacketLoss = fec, 10
			a, b := r.joinAs(ParticipantConfig{ID: "a"}, c, 0, 0), r.join("b", 0)
			a.wave = speech(0.1, 0, 1<<30)
			a.loss = loss
			r.run(20 * time.Second)
			loud[i], st = b.heard, a.Stats()
		}
		// How much of the loudness of each frame is not what it was.
		off, n := 0.0, 0
		for at := sampleRate; at+frame <= len(loud[0]); at += frame {
			if w := power(loud[0][at : at+frame]); w > 1e-5 {
				off += math.Abs(10 * math.Log10(max(power(loud[1][at:at+frame]), 1e-9)/w))
				n++
			}
		}
		return off / float64(n), st
	}
	without, st := heard(false)
	if st.Repaired != 0 || st.Lost < 50 {
		t.Fatalf("got %+v, want losses that nothing repairs", st)
	}
	with, st := heard(true)
	if st.Repaired < st.Lost*6/10 {
		t.Errorf("got %d of %d lost packets from the next, want 6 of 10", st.Repaired, st.Lost)
	}
	if with > 0.75*without {
		t.Errorf("got a frame %.2f dB off with FEC and %.2f without, want clearly less", with, without)
	}
}

func TestPausesOfTheSenderAreNoLoss(t *testing.T) {
	for _, unsaid := range []bool{false, true} {
		r := newRoom(t)
		c := voip
		c.DTX = true
		a, b := r.joinAs(ParticipantConfig{ID: "a"}, c, 0, 0), r.join("b", 0)
		a.pauses, a.unsaid = true, unsaid
		say := speech(0.1, 0, 1<<30)
		// Two seconds of speech, three of a quiet room, over and over.
		a.wave = func(at int) float64 {
			room := 2e-4 * math.Sin(float64(at*at%7919))
			if in := at % (5 * sampleRate); in < 2*sampleRate {
				return say(in) + room
			}
			return room
		}
		r.run(30 * time.Second)
		st := a.Stats()
		if a.sent > 1000 {
			t.Fatalf("got %d packets in 30 s, want pauses", a.sent)
		}
		if st.Lost != 0 || st.Late != 0 || st.Skipped != 0 || st.Concealed > 10*frame {
			t.Errorf("level unsaid: %v: got %+v, want nothing lost, late, skipped or made up", unsaid, st)
		}
		if unsaid && st.Rested < 10*sampleRate {
			t.Errorf("got %d samples of rest, want more than ten seconds of them", st.Rested)
		}
		// In the pauses it is as quiet as the room was, and nothing clicks: no
		// sample is louder than speech hardly is.
		for at := 2*sampleRate + sampleRate/2; at < 30*sampleRate; at += 5 * sampleRate {
			for i, x := range b.heard[at : at+2*sampleRate] {
				if math.Abs(float64(x)) > 3e-3 {
					t.Fatalf("level unsaid: %v: got %.4f %d ms into the pause, want quiet", unsaid, x, i/48)
				}
			}
		}
		// Speech after a pause is there from its first syllable.
		for at := 5 * sampleRate; at < 30*sampleRate; at += 5 * sampleRate {
			if got := power(b.heard[at : at+sampleRate/2]); got < 1e-4 {
				t.Errorf("level unsaid: %v: got the first half second of speech at %.1e, want more", unsaid, got)
			}
		}
	}
}

func TestDriftDoesNotChangeThePitch(t *testing.T) {
	for _, ppm := range []float64{-200, 200} {
		r := newRoom(t)
		a, b := r.join("a", 1000), r.join("b", 0)
		a.ppm = ppm
		r.run(10 * time.Second)
		before := a.Stats()
		r.forget()
		r.run(2 * time.Minute) // 24 ms apart by then
		st := a.Stats()
		if st.Lost+st.Late != 0 || st.Concealed != before.Concealed || st.Skipped != before.Skipped || st.Spliced != before.Spliced {
			t.Errorf("%+v ppm: got %+v, want nothing lost, made up, skipped or spliced since %+v", ppm, st, before)
		}
		// What is heard runs on the mixer's clock: in the long run a clock
		// that is slow by so much sounds lower by so much, and never by more
		// than two cents, 1.2 per mille.
		want := 1000 / (1 + ppm*1e-6)
		if got := hertz(b.heard, 1000); math.Abs(got-want) > 0.1 {
			t.Errorf("%+v ppm: got %.4f Hz, want %.4f", ppm, got, want)
		}
		for at := 0; at+sampleRate <= len(b.heard); at += sampleRate {
			if got := hertz(b.heard[at:at+sampleRate], 1000); math.Abs(got-1000) > 1.2 {
				t.Fatalf("%+v ppm: got %.3f Hz after %d s, want 1000 within 1.2", ppm, got, at/sampleRate)
			}
		}
		slope := a.amp * math.Pow(2*math.Pi*a.hz/sampleRate, 2)
		if got := jerk(b.heard); got > 2*slope {
			t.Errorf("%+v ppm: got a jerk of %.5f, want at most %.5f", ppm, got, 2*slope)
		}
	}
}

func TestDelayGrowsWithJitterAndShrinksAgain(t *testing.T) {
	const ms = time.Millisecond
	for _, tone := range []bool{true, false} {
		r := newRoom(t)
		a, b := r.join("a", 440), r.join("b", 0)
		if !tone {
			a.hz = 0
			a.wave = speech(0.1, 0, 1<<30)
		}
		rng := rand.New(rand.NewPCG(5, 5))
		most := 10
		a.way = func(int) time.Duration { return time.Duration(10+rng.IntN(most)) * ms }
		r.run(10 * time.Second)
		calm, _ := lag(r, a)
		if calm > 100*ms {
			t.Errorf("calm: got a lag of %v, want less than 100 ms", calm)
		}
		most = 150
		r.run(5 * time.Second)
		before := a.Stats()
		r.run(10 * time.Second)
		st := a.Stats()
		rough, _ := lag(r, a)
		if late := st.Late - before.Late; late > 10 || rough < 150*ms {
			t.Errorf("rough: got a lag of %v and %d late of 500, want more than 150 ms and at most 10", rough, late)
		}
		most = 10
		r.run(8 * time.Second) // the window of the delay forgets
		before = a.Stats()
		r.forget()
		r.run(15 * time.Second)
		st = a.Stats()
		again, _ := lag(r, a)
		if again > calm+25*ms {
			t.Errorf("calm again: got a lag of %v, want %v as before", again, calm)
		}
		if st.Concealed != before.Concealed {
			t.Errorf("calm again: got %d samples made up, want none", st.Concealed-before.Concealed)
		}
		if tone {
			slope := a.amp * 2 * math.Pi * a.hz / sampleRate
			if got := steps(b.heard); got > 1.3*slope {
				t.Errorf("calm again: got a step of %.4f between samples, want at most %.4f", got, 1.3*slope)
			}
		}
	}
}

func TestADecoderThatComesLateHearsRight(t *testing.T) {
	// The sender says it is silent while it plays a tone: so its decoder
	// begins in the middle of one.
	r := newRoom(t)
	a, b := r.join("a", 440), r.join("b", 0)
	a.claims = func(i int) uint8 {
		if i < 100 {
			return silentLevel
		}
		return 15
	}
	r.run(4 * time.Second)
	first := 0
	for first < len(b.heard) && math.Abs(float64(b.heard[first])) < 0.01 {
		first++
	}
	if first < sampleRate || first > 5*sampleRate/2 {
		t.Fatalf("got sound after %d samples, want it after two seconds", first)
	}
	calm := jerk(b.heard[3*sampleRate:])
	if got := jerk(b.heard[first-frame : first+20*frame]); got > 3*calm {
		t.Errorf("got a jerk of %.5f where it begins, want at most 3 times %.5f", got, calm)
	}
	for at := first + ramp; at < first+20*frame; at += frame {
		if got := power(b.heard[at : at+frame]); math.Abs(10*math.Log10(got/(a.amp*a.amp/2))) > 1 {
			t.Errorf("%d ms after it begins: got %.4f, want %.4f within 1 dB", (at-first)/48, got, a.amp*a.amp/2)
		}
	}
}

func TestMissingNumbersAreNoLoss(t *testing.T) {
	// A browser that tests the bandwidth uses every other number for packets
	// without sound.
	r := newRoom(t)
	a, b := r.join("a", 440), r.join("b", 0)
	a.numbers = 2
	r.run(time.Second)
	r.forget()
	r.run(10 * time.Second)
	b.hears(a, 0.5)
	if st := a.Stats(); st.Lost != 0 || st.Concealed != 0 || st.Repaired != 0 {
		t.Errorf("got %+v, want nothing lost or made up", st)
	}
	if signals := r.mixer.Signals(r.now, nil); len(signals) != 0 {
		t.Errorf("got %v, want good signals", signals)
	}
	slope := a.amp * 2 * math.Pi * a.hz / sampleRate
	if got := steps(b.heard); got > 1.2*slope {
		t.Errorf("got a step of %.4f between samples, want at most %.4f", got, 1.2*slope)
	}
}

func TestSignals(t *testing.T) {
	r := newRoom(t)
	r.join("good", 440)
	bad := r.join("bad", 0)
	r.join("gone", 0)
	signals := func() (words string) {
		for _, s := range r.mixer.Signals(r.now, nil) {
			words += fmt.Sprint(s.ID, " ", s.Strength, "; ")
		}
		return words
	}
	for _, step := range []struct {
		loss float64
		want string
	}{
		{0, ""},
		{0.1, "bad 1; "},
		{0.3, "bad 0; "},
		{0, "bad 2; "}, // once more, that it is good again
		{0, ""},
	} {
		bad.loss = step.loss
		r.run(5 * time.Second)
		if got := signals(); got != step.want {
			t.Errorf("loss %v: got %q, want %q", step.loss, got, step.want)
		}
	}
	r.all = r.all[:2] // the last one sends no more
	r.run(5 * time.Second)
	if got, want := signals(), "gone 0; "; got != want {
		t.Errorf("one stopped sending: got %q, want %q", got, want)
	}
}
