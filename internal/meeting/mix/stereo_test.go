package mix

import (
	"fmt"
	"math"
	"testing"
	"time"

	"belfry.live/belfry/internal/media/opus"
)

var music = opus.EncoderConfig{Bitrate: 128000}

// side checks how loud a tone is in one channel of what p hears.
func (p *person) side(c int, hz, want float64) {
	p.t.Helper()
	got := amplitude(p.sides[c], hz)
	if want == 0 {
		if down := 20 * math.Log10(0.25/max(got, 1e-9)); down < 40 {
			p.t.Errorf("%s hears %v Hz in channel %d %.1f dB down, want more than 40", p.id, hz, c, down)
		}
		return
	}
	if off := 20 * math.Log10(got/want); math.Abs(off) > 1 {
		p.t.Errorf("%s hears %v Hz in channel %d at %.4f, want %.4f within 1 dB", p.id, hz, c, got, want)
	}
}

func TestStereoKeepsItsChannels(t *testing.T) {
	r := newRoom(t)
	share := r.joinAs(ParticipantConfig{ID: "share", Deaf: true}, music, 440, 1000)
	talker := r.joinAs(ParticipantConfig{ID: "talker", Stereo: true}, music, 2350, 0)
	stereo := r.joinAs(ParticipantConfig{ID: "stereo", Stereo: true}, music, 0, 0)
	mono := r.join("mono", 0)
	r.run(time.Second)
	r.forget()
	r.run(time.Second)
	for _, p := range []*person{stereo, talker} {
		p.side(0, 440, share.amp)
		p.side(1, 440, 0)
		p.side(0, 1000, 0)
		p.side(1, 1000, share.amp)
		want := talker.amp
		if p == talker {
			want = 0
		}
		p.side(0, 2350, want)
		p.side(1, 2350, want)
	}
	for hz, want := range map[float64]float64{440: share.amp / 2, 1000: share.amp / 2, 2350: talker.amp} {
		if got := amplitude(mono.heard, hz); math.Abs(20*math.Log10(got/want)) > 1 {
			t.Errorf("the mono listener hears %v Hz at %.4f, want %.4f within 1 dB", hz, got, want)
		}
	}
	zero(t, share.heard)
	// Silence is zeros on both sides, in stereo and when it is mono again.
	share.hz, talker.hz = 0, 0
	r.run(2 * time.Second)
	r.forget()
	r.run(8 * time.Second)
	zero(t, stereo.sides[0])
	zero(t, stereo.sides[1])
	zero(t, talker.heard)
}

func TestListenersShareTheirEncodes(t *testing.T) {
	r := newRoom(t)
	r.join("talker", 440)
	for i := range 20 {
		r.joinAs(ParticipantConfig{ID: fmt.Sprint(i), Stereo: i%2 == 0}, music, 0, 0)
	}
	encodes := func() float64 {
		before := r.mixer.Load()
		r.run(time.Second)
		after := r.mixer.Load()
		return float64(after.Encoded-before.Encoded) / float64(after.Ticks-before.Ticks)
	}
	r.run(time.Second)
	// The talker hears silence, which takes no encode.
	if got := encodes(); got != 1 {
		t.Errorf("mono sound: got %v encodes a tick, want 1", got)
	}
	share := r.joinAs(ParticipantConfig{ID: "share", Deaf: true}, music, 700, 1000)
	r.run(time.Second)
	if got := encodes(); got != 3 { // mono, stereo, and the talker's own
		t.Errorf("stereo sound: got %v encodes a tick, want 3", got)
	}
	share.Close()
	r.all = r.all[:len(r.all)-1]
	r.run(6 * time.Second)
	if got := encodes(); got != 1 {
		t.Errorf("after the stereo sound: got %v encodes a tick, want 1", got)
	}
}

func TestStereoComingAndGoingDoesNotClick(t *testing.T) {
	r := newRoom(t)
	a := r.join("a", 440)
	stereo := r.joinAs(ParticipantConfig{ID: "stereo", Stereo: true}, music, 0, 0)
	mono := r.join("mono", 0)
	share := r.joinAs(ParticipantConfig{ID: "share", Deaf: true}, music, 0, 0)
	share.encoder.Close()
	var err error
	if share.encoder, err = opus.NewEncoder(opus.EncoderConfig{Bitrate: 128000, Channels: 2}); err != nil {
		t.Fatal(err)
	}
	r.run(time.Second)
	r.forget()
	r.run(time.Second)
	calm := jerk(mono.heard)
	r.forget()
	share.right, share.amp, share.hz = 554, 0.001, 554 // hardly there: what is heard of the change is the change's
	r.run(2 * time.Second)
	share.Close()
	r.all = r.all[:3]
	r.run(8 * time.Second)
	slope := a.amp * 2 * math.Pi * a.hz / sampleRate
	for name, pcm := range map[string][]float32{"mono": mono.heard, "left": stereo.sides[0], "right": stereo.sides[1]} {
		if got := steps(pcm); got > 1.2*slope {
			t.Errorf("%s: got a step of %.4f between samples, want at most %.4f", name, got, 1.2*slope)
		}
		if got := jerk(pcm); got > 3*calm {
			t.Errorf("%s: got a jerk of %.5f, want at most 3 times %.5f", name, got, calm)
		}
		for i := 0; i+4800 <= len(pcm); i += 4800 {
			if off := 20 * math.Log10(goertzel(pcm[i:i+4800], 440)/a.amp); math.Abs(off) > 1 {
				t.Errorf("%s: %d ms on the tone is %.1f dB off, want less than 1", name, i/48, off)
			}
		}
	}
}

func TestSoundThatTurnsStereo(t *testing.T) {
	r := newRoom(t)
	a := r.join("a", 440)
	b := r.joinAs(ParticipantConfig{ID: "b", Stereo: true}, music, 0, 0)
	r.run(time.Second)
	r.forget()
	r.run(time.Second)
	calm := jerk(b.heard)
	a.encoder.Close()
	var err error
	if a.encoder, err = opus.NewEncoder(opus.EncoderConfig{Bitrate: 128000, Channels: 2}); err != nil {
		t.Fatal(err)
	}
	a.right = 440 // the same on both sides
	// The encoder has coded what came before, as one that changes its mind has.
	pcm, packet := make([]float32, 2*frame), make([]byte, opus.MaxPacket)
	a.made -= primer
	for range primer {
		a.play(pcm)
		if _, err := a.encoder.Encode(pcm, packet); err != nil {
			t.Fatal(err)
		}
		a.made++
	}
	r.forget()
	r.run(2 * time.Second)
	b.side(0, 440, a.amp)
	b.side(1, 440, a.amp)
	if got := jerk(b.heard); got > 5*calm {
		t.Errorf("got a jerk of %.5f, want at most 5 times %.5f", got, calm)
	}
	if st := a.Stats(); st.Broken != 0 || st.Concealed != 0 {
		t.Errorf("got %+v, want nothing broken or made up", st)
	}
}

func TestOwnersDoNotHearEachOther(t *testing.T) {
	r := newRoom(t)
	base := r.joinAs(ParticipantConfig{ID: "base", Owner: "x"}, music, 440, 0)
	share := r.joinAs(ParticipantConfig{ID: "base#content", Owner: "x"}, music, 1000, 0)
	other := r.joinAs(ParticipantConfig{ID: "other", Owner: "y"}, music, 2350, 0)
	listener := r.join("listener", 0)
	r.run(time.Second)
	r.forget()
	r.run(time.Second)
	base.misses(base)
	base.misses(share)
	share.misses(base)
	share.misses(share)
	for _, p := range []*person{base, share} {
		p.hears(other, 1)
		other.hears(p, 1)
		listener.hears(p, 1)
	}
	// With the other silent the two hear nothing at all.
	other.hz = 0
	r.run(3 * time.Second)
	r.forget()
	r.run(time.Second)
	zero(t, base.heard)
	zero(t, share.heard)
}

func TestDeafHearsSilence(t *testing.T) {
	r := newRoom(t)
	a := r.join("a", 440)
	b := r.joinAs(ParticipantConfig{ID: "b", Deaf: true}, music, 0, 0)
	r.run(time.Second)
	if len(b.frames) != 50 {
		t.Errorf("got %d packets in a second, want 50", len(b.frames))
	}
	zero(t, b.heard)
	b.SetDeaf(false)
	r.run(time.Second)
	b.heard = b.heard[len(b.heard)-sampleRate/2:]
	b.hears(a, 1)
	b.SetDeaf(true)
	r.run(100 * time.Millisecond)
	r.forget()
	r.run(time.Second)
	zero(t, b.heard)
}
