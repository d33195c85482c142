package mix

import (
	"fmt"
	"math"
	"testing"
	"time"

	"belfry.live/belfry/internal/media/opus"
)

func TestSilentOnesAreNotDecoded(t *testing.T) {
	r := newRoom(t)
	var silent []*person
	for i := range 250 {
		p := r.join(fmt.Sprint(i), 0)
		switch {
		case i < 3:
			p.hz = 300 + float64(i)*400
		case i%10 == 0:
			// A microphone's noise, 70 dB down.
			p.wave = func(at int) float64 { return 4.5e-4 * math.Sin(float64(at)*float64(1+i)) }
			silent = append(silent, p)
		default:
			silent = append(silent, p)
		}
	}
	listener := r.all[249]
	for _, p := range r.all[:249] {
		p.ignore()
	}
	r.run(time.Second)
	r.forget()
	r.run(time.Second)
	for i := range 3 {
		listener.hears(r.all[i], 1)
	}
	for _, p := range silent {
		if st := p.Stats(); st.Decoded != 0 || st.Lost != 0 || st.Late != 0 || st.Received < 95 {
			t.Fatalf("silent %s: got %+v, want all received, none decoded, none lost", p.id, st)
		}
	}
	if got := len(r.mixer.awake); got != 3 {
		t.Errorf("got %d who may be heard, want 3", got)
	}
}

// speech is a voice of a sort: harmonics of 140 Hz in syllables of 200 ms that
// begin and end softly, with 50 ms between them, from begin to end.
func speech(amp float64, begin, end int) func(int) float64 {
	return func(at int) float64 {
		if at < begin || at >= end {
			return 0
		}
		at -= begin
		in := at % (sampleRate / 4)
		if in >= sampleRate/5 {
			return 0
		}
		env := math.Sin(math.Pi * float64(in) / (sampleRate / 5))
		x := 0.0
		for h := 1.0; h < 12; h++ {
			x += math.Sin(2*math.Pi*140*h*float64(at)/sampleRate+h*h) / h
		}
		return amp * env * x
	}
}

// power is the mean square of pcm.
func power(pcm []float32) float64 {
	sum := 0.0
	for _, x := range pcm {
		sum += float64(x) * float64(x)
	}
	return sum / float64(max(len(pcm), 1))
}

func TestFirstSyllableIsHeardWhole(t *testing.T) {
	// The same speech by one whose levels are known, and by one who is decoded
	// from the start: the listeners must hear the same.
	heard := func(unsaid bool) []float32 {
		r := newRoom(t)
		a := r.joinAs(ParticipantConfig{ID: "a"}, opus.EncoderConfig{Bitrate: 32000, Application: opus.VoIP}, 0, 0)
		b := r.join("b", 0)
		noise := 1e-4
		say := speech(0.1, 3*sampleRate, 5*sampleRate)
		a.wave = func(at int) float64 { return say(at) + noise*math.Sin(float64(at*at%7919)) }
		a.unsaid = unsaid
		r.run(6 * time.Second)
		if decoded := a.Stats().Decoded; unsaid != (decoded > 250) {
			t.Fatalf("level unsaid: %v: got %d packets decoded", unsaid, decoded)
		}
		return b.heard
	}
	want, got := heard(true), heard(false)
	// The one nobody heard so far is mixed with less delay, which changes still
	// for the other: syllable by syllable, each 20 ms of it must be as loud.
	const syllable = sampleRate / 4
	loud := 0
	for begin := 3 * sampleRate; begin < 5*sampleRate; begin += syllable {
		from := begin + 2*frame // on its way and held back for so long at least
		shift, most := 0, 0.0
		for by := -2 * frame; by <= 2*frame; by += 2 {
			if l := alike(got[from-by:from-by+syllable], want[from:from+syllable]); l > most {
				shift, most = by, l
			}
		}
		if most < 0.98 {
			t.Errorf("the syllable at %d ms: got it %.3f alike, want more than 0.98", (begin-3*sampleRate)/48, most)
			continue
		}
		for at := from; at < from+syllable; at += frame {
			w, g := power(want[at:at+frame]), power(got[at-shift:at-shift+frame])
			if w < 1e-5 { // -50 dBFS
				continue
			}
			loud++
			if off := 10 * math.Log10(g/w); math.Abs(off) > 1 {
				t.Errorf("%d ms after it began: got it %.1f dB off, want less than 1", (at-3*sampleRate)/48, off)
			}
		}
	}
	if loud < 70 {
		t.Errorf("got %d loud frames, want 70", loud)
	}
}

func TestTheLoudestAreHeard(t *testing.T) {
	r := newRoom(t)
	for i := range maxSpeakers {
		p := r.join(fmt.Sprint("loud", i), 300+float64(i)*170)
		p.amp = 0.02
		p.ignore()
	}
	soft := r.join("soft", 2000)
	soft.amp = 0.004
	listener := r.join("listener", 0)
	r.run(time.Second)
	r.forget()
	r.run(time.Second)
	for _, p := range r.all[:maxSpeakers] {
		listener.hears(p, 1)
	}
	if got := amplitude(listener.heard, soft.hz); got > soft.amp/10 {
		t.Errorf("got the ninth at %.4f, want it not heard", got)
	}
	// Not heard, but seen: its level is in its packets.
	found := false
	for _, l := range r.mixer.Levels(nil) {
		found = found || l.ID == "soft" && l.DBFS >= 50 && l.DBFS <= 52
	}
	if found {
		t.Errorf("got soft among who speaks, want it not at 51 dB down")
	}
	// One who gets much louder than the others is heard at once.
	late := r.join("late", 2600)
	late.amp = 0.2
	r.run(200 * time.Millisecond)
	r.forget()
	r.run(200 * time.Millisecond)
	listener.hears(late, 1)
	// Of those about as loud nobody gives way to nobody.
	soft.amp = 0.025
	chosen := func() (ids string) {
		for _, p := range r.all {
			if p.Participant.chosen {
				ids += p.id + " "
			}
		}
		return ids
	}
	was := chosen()
	for range 20 {
		r.run(100 * time.Millisecond)
		if got := chosen(); got != was {
			t.Errorf("got %s heard, want %s as before", got, was)
			was = got
		}
	}
	// When two fall silent soft's turn comes.
	r.all[0].hz, r.all[1].hz = 0, 0
	r.run(2500 * time.Millisecond)
	r.forget()
	r.run(time.Second)
	listener.hears(soft, 1)
}

func TestLevelsOfThoseNotHeard(t *testing.T) {
	r := newRoom(t)
	for i := range maxSpeakers + 2 {
		r.join(fmt.Sprint(i), 300+float64(i)*170).ignore()
	}
	r.run(time.Second)
	levels := r.mixer.Levels(nil)
	if len(levels) != maxSpeakers+2 {
		t.Errorf("got %d who speak, want %d", len(levels), maxSpeakers+2)
	}
	for _, l := range levels {
		if l.DBFS < 14 || l.DBFS > 16 {
			t.Errorf("got %s at %d, want 15", l.ID, l.DBFS)
		}
	}
	for _, p := range r.all {
		p.hz = 0
	}
	r.run(2 * time.Second)
	if levels := r.mixer.Levels(nil); len(levels) != 0 {
		t.Errorf("got %v two seconds after the last word, want none", levels)
	}
}

func TestPacketsWithoutLevelAreDecoded(t *testing.T) {
	r := newRoom(t)
	for i := range 12 {
		p := r.join(fmt.Sprint(i), 0)
		p.unsaid = true
		if i < 11 {
			p.ignore()
		}
	}
	a, b := r.all[0], r.all[11]
	a.hz = 440
	for _, p := range r.all[1:11] {
		p.wave = func(at int) float64 { return 1e-4 * math.Sin(float64(at)) }
	}
	r.run(time.Second)
	r.forget()
	r.run(time.Second)
	b.hears(a, 1)
	// Nobody's begins are cut: all are decoded.
	for _, p := range r.all[:11] {
		if st := p.Stats(); st.Decoded < 90 {
			t.Errorf("%s: got %d packets decoded of 100, want all", p.id, st.Decoded)
		}
	}
	if levels := r.mixer.Levels(nil); len(levels) != 1 || levels[0].ID != a.id {
		t.Errorf("got levels %v, want %s alone", levels, a.id)
	}
	// Silence without a level is known by its size.
	if st := b.Stats(); st.Decoded != 0 {
		t.Errorf("silent: got %d packets decoded, want 0", st.Decoded)
	}
	// However many there are, so many are decoded at the most.
	for i := range 45 {
		p := r.join(fmt.Sprint("more", i), 0)
		p.unsaid = true
		p.wave = func(at int) float64 { return 1e-4 * math.Sin(float64(at)) }
		p.ignore()
	}
	r.run(time.Second)
	decoded := func() (n int) {
		for _, p := range r.all {
			n += int(p.Stats().Decoded)
		}
		return n
	}
	before := decoded()
	r.run(time.Second)
	if got, most := (decoded()-before)/50, maxBlind+maxBlind/8; got > most {
		t.Errorf("got %d packets decoded a tick, want at most %d", got, most)
	}
	// And each gets its turn, so that who begins to speak is found.
	last := r.all[len(r.all)-1]
	last.wave, last.hz = nil, 3000
	r.run(2 * time.Second)
	r.forget()
	r.run(500 * time.Millisecond)
	b.hears(last, 1)
}

func TestRecoveredPacketsKeepTheLevel(t *testing.T) {
	// Of one whose packets say their level, those brought back from redundant
	// blocks do not: it is not decoded for them.
	var l loudness
	now := start
	for range 10 {
		now = now.Add(Tick)
		if l.follow(80, 60, now) || l.follow(unknown, 60, now) {
			t.Fatal("got it woken by packets 80 dB down, want it asleep")
		}
	}
	if !l.follow(unknown, 60, now.Add(levelMemory)) || !l.blind {
		t.Error("got packets asleep that have no level since long, want them decoded")
	}
	if l.follow(30, 60, now.Add(levelMemory)); l.blind {
		t.Error("got it blind after a level, want not")
	}
}

func TestLoudnessRisesAtOnceAndFallsSlowly(t *testing.T) {
	var l loudness
	now := start
	for i, step := range []struct {
		level uint8
		want  int
		loud  bool
	}{{61, 61, false}, {60, 60, true}, {20, 20, true}, {40, 21, true}, {127, 22, false}, {10, 10, true}, {10, 10, true}} {
		now = now.Add(Tick)
		if loud := l.follow(step.level, 60, now); loud != step.loud || l.level != step.want {
			t.Errorf("packet %d of level %d: got %d, loud %v, want %d, %v", i, step.level, l.level, loud, step.want, step.loud)
		}
	}
	if l.over(now.Add(hold)) || !l.over(now.Add(hold+1)) {
		t.Errorf("got it over at %v, want it so after %v", l.over(now.Add(hold)), hold)
	}
}

func TestChangesOfSpeakersDoNotClick(t *testing.T) {
	r := newRoom(t)
	bed, listener := r.join("bed", 220), r.join("listener", 0)
	bed.amp = 0.05
	r.run(time.Second)
	r.forget()
	r.run(time.Second)
	calm := jerk(listener.heard)
	r.forget()
	// Twelve come and go in turn, each loud enough to take another's place.
	for i := range 12 {
		p := r.join(fmt.Sprint(i), 0)
		hz := 200 + 20*float64(i)
		p.amp = 0.02
		from, to := (i+1)*sampleRate/10, (i+8)*sampleRate/10
		p.wave = func(at int) float64 {
			if at < from || at >= to {
				return 0
			}
			// Begins and ends softly by itself: what clicks is the mixer's.
			soft := min(1, float64(min(at-from, to-at))/(sampleRate/20))
			return p.amp * soft * math.Sin(2*math.Pi*hz*float64(at)/sampleRate)
		}
		p.ignore()
	}
	r.run(6 * time.Second)
	limit := calm + 1.2*maxSpeakers*0.02*math.Pow(2*math.Pi*420/sampleRate, 2)
	if got := jerk(listener.heard); got > limit {
		t.Errorf("got a jerk of %.5f, want at most %.5f", got, limit)
	}
}

func TestOneBrokenSenderDisturbsNobody(t *testing.T) {
	r := newRoom(t)
	a, bad, b := r.join("a", 440), r.join("bad", 1000), r.join("b", 0)
	r.run(time.Second)
	r.forget()
	r.run(time.Second)
	calm := jerk(b.heard)
	bad.Participant.voice.feed = brokenFeed{}
	r.run(100 * time.Millisecond)
	r.forget()
	r.run(2 * time.Second)
	b.hears(a, 1)
	b.misses(bad)
	bad.hears(a, 1) // it can still listen
	if len(b.frames) != 100 || jerk(b.heard) > 2*calm {
		t.Errorf("got %d frames with a jerk of %.5f, want 100 with at most twice %.5f", len(b.frames), jerk(b.heard), calm)
	}
}

// brokenFeed is a bug.
type brokenFeed struct{ feed }
