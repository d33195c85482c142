package clip_test

import (
	"bytes"
	"context"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"belfry.live/belfry/internal/attendee/clip"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func parse(t testing.TB, name string) *clip.Clip {
	t.Helper()
	var c *clip.Clip
	var err error
	if b := read(t, name); name == "bars.ivf" {
		c, err = clip.ParseIVF(b)
	} else {
		c, err = clip.ParseAnnexB(b, time.Second/15)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestParse(t *testing.T) {
	for _, name := range []string{"bars.ivf", "bars.h264"} {
		c := parse(t, name)
		if len(c.Frames) != 30 {
			t.Fatalf("%s: got %d frames, want 30", name, len(c.Frames))
		}
		for i, f := range c.Frames {
			want := time.Duration(i) * time.Second / 15
			if off := (f.Time - want).Abs(); off > time.Microsecond {
				t.Errorf("%s: frame %d: got time %v, want %v", name, i, f.Time, want)
			}
			if wantKey := i%15 == 0; f.KeyFrame != wantKey {
				t.Errorf("%s: frame %d: got key frame %v, want %v", name, i, f.KeyFrame, wantKey)
			}
		}
		if off := (c.Length - 2*time.Second).Abs(); off > time.Microsecond {
			t.Errorf("%s: got length %v, want 2s", name, c.Length)
		}
	}
}

func TestAccessUnitsAreTheWholeFile(t *testing.T) {
	var all []byte
	for _, f := range parse(t, "bars.h264").Frames {
		if !bytes.HasPrefix(f.Data, []byte{0, 0, 0, 1}) && !bytes.HasPrefix(f.Data, []byte{0, 0, 1}) {
			t.Fatalf("got a frame that begins with % x, want a start code", f.Data[:4])
		}
		all = append(all, f.Data...)
	}
	if want := read(t, "bars.h264"); !bytes.Equal(all, want) {
		t.Errorf("got %d bytes in frames, want the %d of the file", len(all), len(want))
	}
}

func TestMalformed(t *testing.T) {
	ivf := read(t, "bars.ivf")
	for _, tc := range []struct {
		name string
		b    []byte
	}{
		{"empty", nil},
		{"header alone", ivf[:32]},
		{"frame cut", ivf[:100]},
		{"other codec", bytes.Replace(ivf, []byte("VP80"), []byte("VP90"), 1)},
	} {
		if c, err := clip.ParseIVF(tc.b); err == nil {
			t.Errorf("%s: got %d frames, want an error", tc.name, len(c.Frames))
		}
	}
	if c, err := clip.ParseAnnexB([]byte("no start code"), time.Second); err == nil {
		t.Errorf("got %d frames, want an error", len(c.Frames))
	}
}

func TestPlay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := parse(t, "bars.ivf")
		start := time.Now().Add(100 * time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second+time.Millisecond)
		defer cancel()
		restart := make(chan struct{}, 1)
		i, restarted := 0, 0
		err := c.Play(ctx, start, restart, func(frame []byte, at time.Time) error {
			if want := start.Add(time.Duration(i) * time.Second / 15); at.Sub(want).Abs() > time.Millisecond {
				t.Fatalf("frame %d: got time %v, want %v", i, at.Sub(start), want.Sub(start))
			}
			if now := time.Now(); now.Before(at) || now.Sub(at) > time.Millisecond {
				t.Fatalf("frame %d: got it at %v, want %v", i, now, at)
			}
			if want := c.Frames[(i-restarted)%30].Data; !bytes.Equal(frame, want) {
				t.Fatalf("frame %d: got other bytes than frame %d of the clip", i, (i-restarted)%30)
			}
			i++
			if i == 40 { // a key frame is wanted
				restart <- struct{}{}
				restarted = 40
			}
			return nil
		})
		if want := 149; err != nil || i != want {
			t.Errorf("got %d frames, %v, want %d in ten seconds", i, err, want)
		}
	})
}

func TestTone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second+time.Millisecond)
		defer cancel()
		start := time.Now()
		var last float32
		tone := clip.Tone{Hz: 480, Amplitude: 0.5, Encode: func(pcm []float32, packet []byte) (int, error) {
			// The sine goes on from packet to packet.
			if step := pcm[0] - last; step > 0.04 || step < -0.04 {
				t.Errorf("got a step of %v", step)
			}
			last = pcm[len(pcm)-1]
			return copy(packet, "opus"), nil
		}}
		i := 0
		err := tone.Play(ctx, start, func(packet []byte, at time.Time) error {
			if want := start.Add(time.Duration(i) * 20 * time.Millisecond); !at.Equal(want) || string(packet) != "opus" {
				t.Errorf("packet %d: got %q at %v, want %v", i, packet, at, want)
			}
			i++
			return nil
		})
		if err != nil || i != 50 {
			t.Errorf("got %d packets, %v, want 50 in a second", i, err)
		}
	})
}

// ogg is a page with these packets.
func ogg(packets ...[]byte) []byte {
	b := append([]byte("OggS"), make([]byte, 22)...)
	var lengths, bodies []byte
	for _, p := range packets {
		for n := len(p); ; n -= 255 {
			lengths = append(lengths, byte(min(n, 255)))
			if n < 255 {
				break
			}
		}
		bodies = append(bodies, p...)
	}
	b = append(append(b, byte(len(lengths))), lengths...)
	return append(b, bodies...)
}

func TestParseOgg(t *testing.T) {
	head, tags := []byte("OpusHead........"), []byte("OpusTags")
	long := append([]byte{3 << 3, 1}, make([]byte, 510)...) // 60 ms
	file := append(ogg(head), ogg(tags)...)
	file = append(file, ogg([]byte{31<<3 | 1, 9}, long, []byte{0 | 3, 4, 7})...) // twice 20 ms, four times 10 ms
	c, err := clip.ParseOgg(file)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []clip.Frame{
		{Time: 0, Data: []byte{31<<3 | 1, 9}},
		{Time: 40 * time.Millisecond, Data: long},
		{Time: 100 * time.Millisecond, Data: []byte{3, 4, 7}},
	} {
		if got := c.Frames[i]; got.Time != want.Time || !bytes.Equal(got.Data, want.Data) || !got.KeyFrame {
			t.Errorf("packet %d: got %d bytes at %v, want %d at %v", i, len(got.Data), got.Time, len(want.Data), want.Time)
		}
	}
	if want := 140 * time.Millisecond; c.Length != want {
		t.Errorf("got length %v, want %v", c.Length, want)
	}
	for name, b := range map[string][]byte{
		"nothing": nil, "headers alone": file[:len(ogg(head))+len(ogg(tags))], "cut": file[:len(file)-1],
		"other codec": ogg([]byte("vorbis.."), tags, long), "empty packet": append(ogg(head, tags), ogg(nil)...),
	} {
		if c, err := clip.ParseOgg(b); err == nil {
			t.Errorf("%s: got %d packets, want an error", name, len(c.Frames))
		}
	}
}

func FuzzParseOgg(f *testing.F) {
	f.Add(ogg([]byte("OpusHead"), []byte("OpusTags"), []byte{0xf8, 0xff, 0xfe}, make([]byte, 300)))
	f.Add([]byte("OggS"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := clip.ParseOgg(b)
		check(t, c, err, b)
	})
}

func FuzzParseIVF(f *testing.F) {
	b := read(f, "bars.ivf")
	f.Add(b[:2000])
	f.Add(b[:33])
	f.Add([]byte("DKIF"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := clip.ParseIVF(b)
		check(t, c, err, b)
	})
}

func FuzzParseAnnexB(f *testing.F) {
	b := read(f, "bars.h264")
	f.Add(b[:2000])
	f.Add([]byte{0, 0, 1, 0x65, 0x80, 0, 0, 1})
	f.Add([]byte{0, 0, 0, 1, 0x67, 0, 0, 0, 1, 0x65, 0x88, 0, 0, 1, 0x41, 0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := clip.ParseAnnexB(b, time.Millisecond)
		check(t, c, err, b)
	})
}

// check holds a parsed clip to what Clip promises.
func check(t *testing.T, c *clip.Clip, err error, b []byte) {
	if err != nil {
		return
	}
	total, last := 0, time.Duration(-1)
	for i, f := range c.Frames {
		if f.Time <= last || len(f.Data) == 0 || i == 0 && !f.KeyFrame {
			t.Fatalf("frame %d: got %d bytes at %v after %v, key frame %v", i, len(f.Data), f.Time, last, f.KeyFrame)
		}
		last = f.Time
		total += len(f.Data)
	}
	if len(c.Frames) == 0 || c.Length <= last || total > len(b) {
		t.Fatalf("got %d frames of %d bytes in %v from %d bytes", len(c.Frames), total, c.Length, len(b))
	}
}
