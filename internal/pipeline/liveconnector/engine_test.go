package liveconnector

import (
	"image"
	"testing"
	"testing/synctest"
	"time"

	"belfry.live/belfry/internal/media/av"
	"belfry.live/belfry/internal/media/compose"
)

var small = Format{
	Width: 640, Height: 360, VideoBitrate: 1_000_000,
	SampleRate: 48000, Channels: 2, AudioBitrate: 96_000,
}

// wantSteady checks what holds for every stream: a frame each 1/30 s from 0
// on, key frames each 2 s, sound without a gap from 0 on.
func wantSteady(t *testing.T, r *recording, length time.Duration) {
	t.Helper()
	if want := int(length / frameTime); len(r.video) < want-2 || len(r.video) > want+3 {
		t.Errorf("got %d frames in %v, want about %d", len(r.video), length, want)
	}
	for i, s := range r.video {
		if want := timeOfFrame(int64(i)); s.PTS != want || s.DTS != want {
			t.Fatalf("frame %d: got DTS %v PTS %v, want %v", i, s.DTS, s.PTS, want)
		}
		if want := i%60 == 0; s.KeyFrame != want {
			t.Errorf("frame %d: got key frame %v, want %v", i, s.KeyFrame, want)
		}
	}
	for i, s := range r.audio {
		if want := timeAt(int64(i)*1024, int64(r.format.SampleRate)); s.PTS != want {
			t.Fatalf("sound %d: got PTS %v, want %v", i, s.PTS, want)
		}
	}
	if len(r.audio) == 0 {
		t.Fatal("got no sound")
	}
	if last := r.audio[len(r.audio)-1].PTS; last < length-100*time.Millisecond {
		t.Errorf("got sound until %v, want until about %v", last, length)
	}
}

func TestEmptyMeetingIsSlateAndSilence(t *testing.T) {
	var r *recording
	synctest.Test(t, func(t *testing.T) {
		r = (&script{from: 300 * time.Millisecond}).play(t, small, 5*time.Second)
	})
	wantSteady(t, r, 5*time.Second)
	bell := image.Rect(310, 130, 330, 160)
	r.pictures(t, func(at time.Duration, p *av.Picture) {
		if got := colourAt(p, bell); got[0] < 120 || got[1] > 110 {
			t.Fatalf("at %v: got %v in the middle, want the bell of the slate", at, got)
		}
	})
	if got := level(r.sound(t), 48000, 0, 4*time.Second); got > 0.001 {
		t.Errorf("got level %v, want silence", got)
	}
	if r.counts != (reading{}) {
		t.Errorf("got counts %v, want none", r.counts)
	}
}

func TestTilesFollowTheMeeting(t *testing.T) {
	first := newClip(t, av.VP8, 300, 300, red, false)
	second := newClip(t, av.H264, 300, 300, blue, false)
	m := &script{tone: 440, cameras: []*camera{
		{clip: first, to: time.Hour, net: network{delay: 10 * time.Millisecond, jitter: 20 * time.Millisecond}},
		{clip: second, from: 2 * time.Second, to: 4 * time.Second, net: network{delay: 30 * time.Millisecond}},
	}}
	var r *recording
	synctest.Test(t, func(t *testing.T) { r = m.play(t, small, 6*time.Second) })
	wantSteady(t, r, 6*time.Second)
	one := compose.Layout(1, 640, 360)
	two := compose.Layout(2, 640, 360)
	seen := map[string][2]time.Duration{}
	r.pictures(t, func(at time.Duration, p *av.Picture) {
		what := "slate"
		switch {
		case colourAt(p, two[0]).near(red) && colourAt(p, two[1]).near(blue):
			what = "both"
		case colourAt(p, one[0]).near(red):
			what = "red alone"
		}
		span, ok := seen[what]
		if !ok {
			span[0] = at
		}
		span[1] = at
		seen[what] = span
	})
	within := func(what string, got, from, to time.Duration) {
		t.Helper()
		if got < from || got > to {
			t.Errorf("%s: got %v, want %v to %v", what, got, from, to)
		}
	}
	within("last slate", seen["slate"][1], 100*time.Millisecond, 400*time.Millisecond)
	within("first of both", seen["both"][0], 2100*time.Millisecond, 2500*time.Millisecond)
	within("last of both", seen["both"][1], 3900*time.Millisecond, 4500*time.Millisecond)
	within("end of red alone", seen["red alone"][1], 5900*time.Millisecond, 6*time.Second)
	if got := level(r.sound(t), 48000, time.Second, 4*time.Second); got < 0.19 || got > 0.23 {
		t.Errorf("got level %v of a sine of 0.3, want 0.21", got)
	}
}

// flashes are the times at which a rectangle turns white.
func flashes(t *testing.T, r *recording, where image.Rectangle) (at []time.Duration) {
	t.Helper()
	bright := false
	r.pictures(t, func(now time.Duration, p *av.Picture) {
		was := bright
		if bright = colourAt(p, where)[0] > 180; bright && !was {
			at = append(at, now)
		}
	})
	return at
}

// offsets pairs each flash from a time on with the nearest beep.
func offsets(flashes, beeps []time.Duration, from time.Duration) (d []time.Duration) {
	for _, f := range flashes {
		if f < from {
			continue
		}
		best := time.Hour
		for _, b := range beeps {
			if (f - b).Abs() < best.Abs() {
				best = f - b
			}
		}
		d = append(d, best)
	}
	return d
}

func TestLipSync(t *testing.T) {
	clips := map[av.Codec]clip{
		av.VP8:  newClip(t, av.VP8, 300, 60, red, true),
		av.H264: newClip(t, av.H264, 300, 60, blue, true),
	}
	const ms = time.Millisecond
	for _, c := range []struct {
		name   string
		m      script
		format func(*Format)
		from   time.Duration // where to begin to look
		length time.Duration
	}{
		{name: "plain", m: script{cameras: []*camera{{clip: clips[av.VP8]}}}},
		{
			name: "video arrives long after the sound",
			m: script{
				net:     network{delay: 5 * ms},
				cameras: []*camera{{clip: clips[av.VP8], net: network{delay: 120 * ms, jitter: 30 * ms}}},
			},
		},
		{
			name: "sound arrives long after the video",
			m: script{
				net:     network{delay: 100 * ms, jitter: 50 * ms},
				cameras: []*camera{{clip: clips[av.H264], net: network{delay: 5 * ms}}},
			},
		},
		{
			name: "reports come late",
			m: script{
				reports: 2 * time.Second,
				cameras: []*camera{{clip: clips[av.VP8], reports: 3 * time.Second, net: network{delay: 40 * ms}}},
			},
			from: 3500 * ms,
		},
		{
			// Its reports are worth nothing, so the arrival must do; the
			// network and mixLag are as good as its precision then.
			name: "a clock that is hours off",
			m: script{
				net:     network{delay: 10 * ms},
				cameras: []*camera{{clip: clips[av.VP8], clock: 5 * time.Hour, net: network{delay: 75 * ms}}},
			},
		},
		{
			name:   "44.1 kHz mono",
			m:      script{cameras: []*camera{{clip: clips[av.VP8]}}},
			format: func(f *Format) { f.SampleRate, f.Channels = 44100, 1 },
		},
		{
			name: "the server's clock runs 300 ppm fast",
			m: script{
				drift:   300e-6,
				cameras: []*camera{{clip: clips[av.VP8]}},
			},
			length: 20 * time.Second,
		},
		{
			name: "sound starts late",
			m: script{
				from:    2500 * ms,
				cameras: []*camera{{clip: clips[av.VP8]}},
			},
			from: 3500 * ms,
		},
		{
			name: "loss of both",
			m: script{
				net:     network{delay: 20 * ms, loss: 0.05},
				cameras: []*camera{{clip: clips[av.VP8], net: network{delay: 20 * ms, loss: 0.01, seed: 5}}},
			},
			length: 12 * time.Second,
		},
		{
			name: "the server restarts",
			m: script{
				restart: 3 * time.Second,
				gap:     [2]time.Duration{2500 * ms, 3000 * ms},
				cameras: []*camera{
					{clip: clips[av.VP8], to: 2500 * ms},
					{clip: clips[av.VP8], from: 3 * time.Second, clock: 90 * time.Minute},
				},
			},
			from: 4500 * ms,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := small
			if c.format != nil {
				c.format(&f)
			}
			length := max(c.length, 8*time.Second)
			c.m.beep = true
			for _, camera := range c.m.cameras {
				if camera.to == 0 {
					camera.to = time.Hour
				}
			}
			var r *recording
			synctest.Test(t, func(t *testing.T) { r = c.m.play(t, f, length) })
			wantSteady(t, r, length)
			seen := flashes(t, r, image.Rect(0, 0, f.Width, f.Height))
			heard := beeps(r.sound(t), f.SampleRate)
			from := max(c.from, 1500*ms)
			d := offsets(seen, heard, from)
			t.Logf("flashes %v", seen)
			t.Logf("beeps   %v", heard)
			t.Logf("offsets %v", d)
			if want := int((length-from)/time.Second) - 1; len(d) < want {
				t.Errorf("got %d flashes, want %d", len(d), want)
			}
			for _, o := range d {
				if o.Abs() >= 40*ms {
					t.Errorf("got flash-beep offset %v, want less than 40 ms", o)
				}
			}
		})
	}
}

// TestDelayFollowsTheNetwork also finds the clocks' drift absorbed.
func TestDelayFollowsTheNetwork(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name     string
		m        script
		from, to time.Duration // bounds of the delay
	}{
		{"calm", script{net: network{delay: 30 * ms}}, 195 * ms, 205 * ms},
		{"server 500 ppm fast", script{drift: 500e-6}, 185 * ms, 215 * ms},
		{"server 500 ppm slow", script{drift: -500e-6}, 185 * ms, 215 * ms},
		{"jitter of 300 ms", script{net: network{jitter: 300 * ms}}, 330 * ms, 420 * ms},
	} {
		t.Run(c.name, func(t *testing.T) {
			tiny := Format{Width: 64, Height: 64, VideoBitrate: 50_000, SampleRate: 48000, Channels: 1, AudioBitrate: 64_000}
			c.m.tone = 440
			var r *recording
			synctest.Test(t, func(t *testing.T) { r = c.m.play(t, tiny, 60*time.Second) })
			if r.delay < c.from || r.delay > c.to {
				t.Errorf("got delay %v (wanted %v), want %v to %v", r.delay, r.wanted, c.from, c.to)
			}
			pcm := r.sound(t)
			for at := 40 * time.Second; at < 58*time.Second; at += 10 * ms {
				if got := level(pcm, 48000, at, 10*ms); got < 0.15 || got > 0.25 {
					t.Errorf("at %v: got level %v, want that of the tone, about 0.21", at, got)
					break
				}
			}
		})
	}
}

// TestTooSlow gives the engine less time than it needs: frames are left out,
// but those that come have their right time, and the sound does not suffer.
func TestTooSlow(t *testing.T) {
	m := &script{
		beep:    true,
		slow:    50 * time.Millisecond,
		cameras: []*camera{{clip: newClip(t, av.VP8, 300, 60, red, true), to: time.Hour}},
	}
	var r *recording
	synctest.Test(t, func(t *testing.T) { r = m.play(t, small, 8*time.Second) })
	if n := len(r.video); n < 150 || n > 165 {
		t.Errorf("got %d frames at 50 ms each in 8 s, want about 160", n)
	}
	keys := 0
	for i, s := range r.video {
		if want := timeOfFrame(int64((s.PTS + frameTime/2) / frameTime)); s.PTS != want {
			t.Fatalf("frame %d: got PTS %v, want %v", i, s.PTS, want)
		}
		if s.KeyFrame {
			keys++
		}
	}
	if keys != 4 {
		t.Errorf("got %d key frames in 8 s, want 4", keys)
	}
	if got := int(r.counts[0]) + len(r.video); got < 238 || got > 243 {
		t.Errorf("got %d frames skipped and %d not, want 240 together", r.counts[0], len(r.video))
	}
	heard := beeps(r.sound(t), 48000)
	if len(heard) != 8 && len(heard) != 7 {
		t.Errorf("got beeps %v, want one a second", heard)
	}
	for _, o := range offsets(flashes(t, r, image.Rect(0, 0, 640, 360)), heard, 1500*time.Millisecond) {
		if o.Abs() > 250*time.Millisecond {
			t.Errorf("got flash-beep offset %v, want less than 250 ms of a picture this slow", o)
		}
	}
}

// TestLostVideoAsksForKeyFrame loses one packet: the tile stands still, without
// damage, until the next key frame, which is asked for, but not all the time.
func TestLostVideoAsksForKeyFrame(t *testing.T) {
	c := newClip(t, av.VP8, 240, 90, red, false)
	m := &script{cameras: []*camera{{clip: c, to: time.Hour, net: network{loss: 0.02, seed: 3}}}}
	var r *recording
	synctest.Test(t, func(t *testing.T) { r = m.play(t, small, 8*time.Second) })
	if r.counts[1] == 0 {
		t.Fatal("got no lost packet, the test shows nothing")
	}
	r.pictures(t, func(at time.Duration, p *av.Picture) {
		if at < time.Second {
			return
		}
		if got := colourAt(p, p.Bounds()); !got.near(red) {
			t.Fatalf("at %v: got %v, want red", at, got)
		}
	})
	if n := m.cameras[0].wantKey; n < 2 || n > 20 {
		t.Errorf("got asked for a key frame %d times in 8 s with %d losses, want 2 to 20", n, r.counts[1])
	}
}

// TestLateVideoIsShown: a publisher whose video comes much later than the sound
// is out of step, but moves.
func TestLateVideoIsShown(t *testing.T) {
	m := &script{beep: true, cameras: []*camera{{
		clip: newClip(t, av.VP8, 300, 60, red, true), to: time.Hour, net: network{delay: 1500 * time.Millisecond},
	}}}
	var r *recording
	synctest.Test(t, func(t *testing.T) { r = m.play(t, small, 8*time.Second) })
	seen := flashes(t, r, image.Rect(0, 0, 640, 360))
	if len(seen) < 5 {
		t.Errorf("got flashes at %v, want one a second", seen)
	}
	if r.counts != (reading{}) {
		t.Errorf("got counts %v, want none", r.counts)
	}
}
