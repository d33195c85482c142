package packager_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path"
	"strconv"
	"strings"
	"testing"
	"time"

	"belfry.live/belfry/internal/channel/packager"
	"belfry.live/belfry/internal/channel/packager/packagertest"
	"belfry.live/belfry/internal/wire/aac"
	"belfry.live/belfry/internal/wire/fmp4"
	"belfry.live/belfry/internal/wire/h264"
	"belfry.live/belfry/internal/wire/hls/hlstest"
)

const (
	picture = "-f lavfi -i testsrc2=size=320x180:rate=30"
	sound   = "-f lavfi -i sine=frequency=440:sample_rate=48000"
	x264    = "-c:v libx264 -preset ultrafast -tune zerolatency -threads 1 -pix_fmt yuv420p"
	aacLC   = "-c:a aac -b:a 64k"
)

var start = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)

// A viewer is a packager with a player at each of its playlists, which checks
// every update. Time is the sample's: what has timestamp t arrives at start+t.
type viewer struct {
	*packager.Packager
	t             *testing.T
	now           time.Time
	shift         time.Duration // added to timestamps makes arrival
	log           bytes.Buffer
	players       map[string]*hlstest.Player
	seen          map[string]int // length of the last text, to see updates
	lives         time.Duration  // when the first part could be played
	first         string         // the multivariant playlist then
	growingTarget bool           // its key frames are too far apart
	longParts     bool           // the publisher makes parts longer than they may be
}

func watch(t *testing.T, cfg packager.Config) *viewer {
	v := &viewer{t: t, now: start, lives: -1, players: map[string]*hlstest.Player{}, seen: map[string]int{}}
	v.Packager = packager.New(cfg, slog.New(slog.NewTextHandler(&v.log, nil)))
	return v
}

func (v *viewer) WriteVideo(s packager.Sample) error {
	v.now = start.Add(s.DTS + v.shift)
	return v.Packager.WriteVideo(v.now, s)
}

func (v *viewer) WriteAudio(s packager.Sample) error {
	v.now = start.Add(s.DTS + v.shift)
	return v.Packager.WriteAudio(v.now, s)
}

// play sends the events and checks the playlists after each.
func (v *viewer) play(events []packagertest.Event) {
	v.t.Helper()
	for i, e := range events {
		if err := e.Send(v); err != nil {
			v.t.Fatalf("event %d: %v", i, err)
		}
		if v.lives < 0 && v.Playing() {
			v.lives = e.Time()
			v.first = string(v.Multivariant("", "", 0))
		}
		v.check()
	}
}

// check updates the players, every second time with a skipping playlist.
func (v *viewer) check() {
	v.t.Helper()
	for _, name := range []string{"video", "audio"} {
		r, ok := v.Rendition(name)
		if !ok {
			continue
		}
		text, err := r.Playlist(context.Background(), packager.Request{})
		if err != nil {
			v.t.Fatal(err)
		}
		if v.seen[name] == len(text.Plain()) { // grows with every part
			continue
		}
		v.seen[name] = len(text.Plain())
		p := v.players[name]
		if p == nil {
			p = &hlstest.Player{LongParts: v.longParts, GrowingTarget: v.growingTarget}
			v.players[name] = p
		}
		if p.Updates%2 == 1 {
			if text, err = r.Playlist(context.Background(), packager.Request{Skip: true}); err != nil {
				v.t.Fatal(err)
			}
		}
		if err := p.Update(string(text.Plain())); err != nil {
			v.t.Errorf("%s, update %d: %v", name, p.Updates, err)
			if v.t.Failed() {
				v.t.FailNow()
			}
		}
	}
}

// load returns the file that a playlist links to.
func (v *viewer) load(uri string) []byte {
	v.t.Helper()
	dir, file := path.Split(uri)
	r, ok := v.Rendition(strings.TrimSuffix(dir, "/"))
	if !ok {
		v.t.Fatalf("%s: no such rendition", uri)
	}
	name, ext := strings.TrimSuffix(file, path.Ext(file)), path.Ext(file)
	if ext == ".mp4" {
		n, _ := strconv.Atoi(strings.TrimPrefix(name, "init"))
		b, err := r.Init(n)
		if err != nil {
			v.t.Fatalf("%s: %v", uri, err)
		}
		return b
	}
	sequence, part, isPart := strings.Cut(name, ".")
	n, err := strconv.ParseUint(sequence, 10, 64)
	if err != nil {
		v.t.Fatal(err)
	}
	if isPart {
		i, _ := strconv.Atoi(part)
		b, err := r.Part(context.Background(), n, i)
		if err != nil {
			v.t.Fatalf("%s: %v", uri, err)
		}
		return b
	}
	parts, err := r.Segment(n)
	if err != nil {
		v.t.Fatalf("%s: %v", uri, err)
	}
	var b []byte
	for _, p := range parts {
		b = append(b, p.Data...)
	}
	return b
}

// A frame is a sample as a player sees it, in ticks.
type frame struct {
	dts, pts, end int64
	sync          bool
	data          []byte
}

// frames reads the media of all listed segments.
func (v *viewer) frames(rendition string) []frame {
	v.t.Helper()
	var out []frame
	for _, s := range v.players[rendition].Last().Segments {
		if s.Gap {
			continue
		}
		var b []byte
		if s.URI != "" {
			b = v.load(s.URI)
		} else {
			for _, p := range s.Parts {
				b = append(b, v.load(p.URI)...)
			}
		}
		for len(b) > 0 {
			f, rest, err := fmp4.ParseFragment(b)
			if err != nil {
				v.t.Fatal(err)
			}
			at := int64(f.DecodeTime)
			for _, s := range f.Samples {
				out = append(out, frame{at, at + int64(s.Offset), at + int64(s.Duration), s.Sync, s.Data})
				at += int64(s.Duration)
			}
			b = rest
		}
	}
	return out
}

// TestSamplesComeThrough compares what a player gets with what the publisher
// sent: every picture and every sound, unchanged, at its time.
func TestSamplesComeThrough(t *testing.T) {
	for name, args := range map[string]string{
		"zero latency":    picture + " " + sound + " -t 9 " + x264 + " -g 60 " + aacLC,
		"B frames":        picture + " " + sound + " -t 9 -c:v libx264 -preset veryfast -threads 1 -bf 3 -g 60 " + aacLC,
		"sound is late":   picture + " -itsoffset 0.237 " + sound + " -t 9 " + x264 + " -g 60 " + aacLC,
		"44.1 kHz":        picture + " -f lavfi -i sine=440:sample_rate=44100 -t 9 " + x264 + " -g 60 " + aacLC,
		"24 pictures":     "-f lavfi -i testsrc2=size=320x180:rate=24 " + sound + " -t 9 " + x264 + " -g 48 " + aacLC,
		"29.97 pictures":  "-f lavfi -i testsrc2=size=320x180:rate=30000/1001 " + sound + " -t 9 " + x264 + " -g 60 " + aacLC,
		"60 pictures":     "-f lavfi -i testsrc2=size=320x180:rate=60 " + sound + " -t 9 " + x264 + " -g 120 " + aacLC,
		"2 pictures":      "-f lavfi -i testsrc2=size=320x180:rate=2 " + sound + " -t 9 " + x264 + " -g 4 " + aacLC,
		"key every 0.5 s": picture + " " + sound + " -t 9 " + x264 + " -g 15 " + aacLC,
		"key every 1.5 s": picture + " " + sound + " -t 9 " + x264 + " -g 45 " + aacLC,
		"video only":      picture + " -t 9 " + x264 + " -g 60",
		"audio only":      sound + " -t 9 " + aacLC,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			events := packagertest.Encode(t, args)
			v := watch(t, packager.Config{})
			v.Begin()
			v.play(events)
			v.End()
			v.check()

			var pictures, sounds []packager.Sample
			for _, e := range events {
				if e.Video != nil {
					pictures = append(pictures, *e.Video)
				}
				if e.Audio != nil {
					sounds = append(sounds, *e.Audio)
				}
			}
			if len(pictures) > 0 {
				got := v.frames("video")
				if len(got) != len(pictures) {
					t.Errorf("got %d pictures, want %d", len(got), len(pictures))
				}
				for i := range min(len(got), len(pictures)) {
					g, w := got[i], pictures[i]
					if !bytes.Equal(g.data, w.Data) || g.sync != w.KeyFrame {
						t.Fatalf("picture %d is another one", i)
					}
					if ms := time.Millisecond; g.dts != int64(w.DTS/ms)*90 || g.pts != int64(w.PTS/ms)*90 {
						t.Fatalf("picture %d: got decoding at %d and presentation at %d, want %v and %v", i, g.dts, g.pts, w.DTS, w.PTS)
					}
					if i > 0 && got[i-1].end != g.dts {
						t.Fatalf("picture %d begins at %d, the one before ends at %d", i, g.dts, got[i-1].end)
					}
				}
				segments := v.players["video"].Last().Segments
				for _, s := range segments[:len(segments)-1] {
					if s.Duration < time.Second {
						t.Errorf("segment %d lasts %v, want about 2 s", s.Sequence, s.Duration)
					}
				}
			}
			if len(sounds) > 0 {
				got := v.frames("audio")
				if len(pictures) > 0 {
					// Sound before the first picture is not played.
					for len(sounds) > 0 && sounds[0].DTS < pictures[0].DTS {
						sounds = sounds[1:]
					}
				}
				if len(got) != len(sounds) {
					t.Errorf("got %d audio frames, want %d", len(got), len(sounds))
				}
				scale := 48000.0
				if name == "44.1 kHz" {
					scale = 44100
				}
				var worst time.Duration
				for i := range min(len(got), len(sounds)) {
					g, w := got[i], sounds[i]
					if !bytes.Equal(g.data, w.Data) {
						t.Fatalf("audio frame %d is another one", i)
					}
					worst = max(worst, (time.Duration(float64(g.dts)/scale*1e9) - w.DTS).Abs())
					if i > 0 && got[i-1].end != g.dts {
						t.Fatalf("audio frame %d begins at %d, the one before ends at %d", i, g.dts, got[i-1].end)
					}
				}
				if worst > time.Millisecond {
					t.Errorf("the sound is up to %v from its timestamps, want 1 ms", worst)
				}
				t.Logf("the sound is up to %v from its timestamps, which are whole milliseconds", worst)
			}
			if got, want := strings.Contains(v.first, "mp4a"), len(sounds) > 0; got != want {
				t.Errorf("sound in the first multivariant playlist: got %v, want %v: %s", got, want, v.first)
			}
			if v.lives > 1300*time.Millisecond {
				t.Errorf("it can be played after %v", v.lives)
			}
			for name, p := range v.players {
				if l := p.Last(); !l.Ended || len(l.Segments) == 0 {
					t.Errorf("%s: got end %v and %d segments, want the end", name, l.Ended, len(l.Segments))
				}
				if p.Hints < p.Updates-2 {
					t.Errorf("%s: %d of %d hints fulfilled", name, p.Hints, p.Updates)
				}
			}
			if v.log.Len() > 0 {
				t.Errorf("it complains: %s", &v.log)
			}
		})
	}
}

// TestLongKeyFrameInterval has key frames further apart than segments should
// last: there is a segment for each, the playlists say how long they are, and
// the operator is told once.
func TestLongKeyFrameInterval(t *testing.T) {
	for name, c := range map[string]struct {
		interval    string
		target      int // seconds
		independent bool
		warning     string
	}{
		"4 s":  {"120", 4, true, "interval=4s want=2s"},
		"8 s":  {"240", 8, true, "interval=8s want=2s"},
		"none": {"9999", 10, false, "interval=9.9"},
	} {
		t.Run(name, func(t *testing.T) {
			v := watch(t, packager.Config{})
			v.growingTarget = true
			v.Begin()
			v.play(packagertest.Encode(t, picture+" "+sound+" -t 30 "+x264+" -g "+c.interval+" -keyint_min "+c.interval+" -sc_threshold 0 "+aacLC))
			if !strings.Contains(v.log.String(), c.warning) || strings.Count(v.log.String(), "\n") != 1 {
				t.Errorf("got log %q, want one warning: %s", &v.log, c.warning)
			}
			video, audio := v.players["video"].Last(), v.players["audio"].Last()
			if video.Target != c.target || audio.Target != c.target {
				t.Errorf("got target durations %d and %d, want %d", video.Target, audio.Target, c.target)
			}
			for i, s := range video.Segments {
				if !c.independent {
					break
				}
				if s.URI == "" {
					break
				}
				if f, _, err := fmp4.ParseFragment(v.load(s.URI)); err != nil || !f.Samples[0].Sync {
					t.Errorf("segment %d does not begin with a key frame", s.Sequence)
				}
				if a := audio.Segments[i]; (a.Duration - s.Duration).Abs() > 30*time.Millisecond {
					t.Errorf("segment %d: the sound lasts %v, the picture %v", s.Sequence, a.Duration, s.Duration)
				}
			}
			if got := strings.Contains(string(v.Multivariant("", "", 0)), "INDEPENDENT-SEGMENTS"); got != c.independent {
				t.Errorf("the multivariant playlist promises independent segments: got %v, want %v", got, c.independent)
			}
		})
	}
}

func TestMultivariant(t *testing.T) {
	v := watch(t, packager.Config{})
	v.Begin()
	if got := v.Multivariant("", "", 0); got != nil {
		t.Errorf("before any media: got %s", got)
	}
	events := packagertest.Encode(t, picture+" "+sound+" -t 5 "+x264+" -g 60 "+aacLC)
	v.play(events)
	text := string(v.Multivariant("run/", "?s=1", 0))
	variant := hlstest.Attributes(text, "#EXT-X-STREAM-INF")
	if variant["RESOLUTION"] != "320x180" || variant["FRAME-RATE"] != "30.000" || !strings.HasPrefix(variant["CODECS"], "avc1.42c0") || !strings.HasSuffix(variant["CODECS"], ",mp4a.40.2") {
		t.Errorf("got variant %v", variant)
	}
	size := 0
	for _, e := range events {
		if e.Video != nil {
			size += len(e.Video.Data)
		}
		if e.Audio != nil {
			size += len(e.Audio.Data)
		}
	}
	got, _ := strconv.Atoi(variant["AVERAGE-BANDWIDTH"])
	if want := size * 8 / 5; got < want*8/10 || got > want*12/10 {
		t.Errorf("average bandwidth: got %d, want about %d", got, want)
	}
	if peak, _ := strconv.Atoi(variant["BANDWIDTH"]); peak < got {
		t.Errorf("bandwidth: got %d, want at least the average %d", peak, got)
	}
	audio := hlstest.Attributes(text, "#EXT-X-MEDIA")
	if audio["URI"] != "run/audio.m3u8?s=1" || audio["GROUP-ID"] != variant["AUDIO"] || audio["CHANNELS"] != "1" {
		t.Errorf("got audio %v", audio)
	}
	if !strings.HasSuffix(text, "\nrun/video.m3u8?s=1\n") || !strings.Contains(text, "INDEPENDENT-SEGMENTS") {
		t.Errorf("got %s", text)
	}
}

// moved returns the events with timestamps moved by d.
func moved(events []packagertest.Event, d time.Duration) []packagertest.Event {
	out := make([]packagertest.Event, len(events))
	for i, e := range events {
		if e.Video != nil {
			s := *e.Video
			s.DTS, s.PTS = s.DTS+d, s.PTS+d
			e.Video = &s
		}
		if e.Audio != nil {
			s := *e.Audio
			s.DTS, s.PTS = s.DTS+d, s.PTS+d
			e.Audio = &s
		}
		out[i] = e
	}
	return out
}

// between returns the configurations and the samples of [from, to).
func between(events []packagertest.Event, from, to time.Duration) []packagertest.Event {
	var out []packagertest.Event
	for _, e := range events {
		if e.Video == nil && e.Audio == nil || e.Time() >= from && e.Time() < to {
			out = append(out, e)
		}
	}
	return out
}

// TestReconnect loses the publisher and has it come back 7 s later with
// timestamps from 0, in another size: the playlists go on.
func TestReconnect(t *testing.T) {
	first := packagertest.Encode(t, picture+" "+sound+" -t 5.3 "+x264+" -g 60 "+aacLC)
	second := packagertest.Encode(t, "-f lavfi -i testsrc2=size=640x360:rate=25 "+sound+" -t 5 "+x264+" -g 50 "+aacLC)
	v := watch(t, packager.Config{})
	v.Begin()
	v.play(first)
	v.Interrupt()
	v.check()
	before := v.players["video"].Last()
	if before.Ended || before.Hint != "" || v.Playing() {
		t.Errorf("after the loss: got end %v, hint %q, playing %v, want an open playlist without a hint", before.Ended, before.Hint, v.Playing())
	}
	const away = 7 * time.Second
	v.shift = 5300*time.Millisecond + away
	v.Begin()
	v.play(second)
	v.End()
	v.check()
	for _, name := range []string{"video", "audio"} {
		last := v.players[name].Last()
		breaks := 0
		for i, s := range last.Segments {
			if !s.Discontinuity {
				continue
			}
			breaks++
			if s.Map == last.Segments[0].Map && name == "video" {
				t.Errorf("%s: the initialization segment is still %s", name, s.Map)
			}
			lost := last.Segments[i-1]
			if gap := s.Time.Sub(lost.Time.Add(lost.Duration)); (gap - away).Abs() > 100*time.Millisecond {
				t.Errorf("%s: the wall clock jumps by %v, want %v", name, gap, away)
			}
		}
		if breaks != 1 || !last.Ended {
			t.Errorf("%s: got %d discontinuities and end %v, want 1 and the end", name, breaks, last.Ended)
		}
	}
	video, audio := v.frames("video"), v.frames("audio")
	var firstPicture, firstSound time.Duration
	for i, f := range video {
		if i > 0 && f.dts < video[i-1].end {
			t.Errorf("decoding time goes back from %d to %d", video[i-1].end, f.dts)
		}
		if i > 0 && f.dts > video[i-1].end+90000 {
			firstPicture = time.Duration(f.dts) * time.Second / 90000
		}
	}
	for i, f := range audio {
		if i > 0 && f.dts > audio[i-1].end+48000 {
			firstSound = time.Duration(f.dts) * time.Second / 48000
		}
	}
	if off := (firstSound - firstPicture).Abs(); off > time.Millisecond {
		t.Errorf("after the gap the sound is %v from the picture, want what the publisher sent: 0", off)
	}
}

// TestOtherTracks has the publisher come back without sound.
func TestOtherTracks(t *testing.T) {
	both := packagertest.Encode(t, picture+" "+sound+" -t 3 "+x264+" -g 60 "+aacLC)
	silent := packagertest.Encode(t, picture+" -t 3 "+x264+" -g 60")
	v := watch(t, packager.Config{})
	v.Begin()
	v.play(both)
	v.Begin()
	v.shift = 3 * time.Second
	var err error
	for _, e := range silent {
		if err = e.Send(v); err != nil {
			break
		}
	}
	if !errors.Is(err, packager.ErrTracks) {
		t.Errorf("got %v, want ErrTracks", err)
	}
	if err2 := v.WriteVideo(*silent[len(silent)-1].Video); !errors.Is(err2, packager.ErrTracks) {
		t.Errorf("a later call: got %v, want the same error", err2)
	}
}

// TestConfigurationChanges changes the picture's size in the middle of a stream.
func TestConfigurationChanges(t *testing.T) {
	small := packagertest.Encode(t, picture+" "+sound+" -t 8 "+x264+" -g 60 "+aacLC)
	large := packagertest.Encode(t, "-f lavfi -i testsrc2=size=640x360:rate=30 -t 4 "+x264+" -g 60")
	v := watch(t, packager.Config{})
	v.Begin()
	v.play(between(small, 0, 4*time.Second))
	// The large pictures come among the sound that goes on.
	rest := moved(large, 4*time.Second)
	for _, e := range between(small, 4*time.Second, 8*time.Second) {
		if e.Audio == nil {
			continue
		}
		for len(rest) > 0 && rest[0].Time() <= e.Time() {
			v.play(rest[:1])
			rest = rest[1:]
		}
		v.play([]packagertest.Event{e})
	}
	v.End()
	v.check()
	for _, name := range []string{"video", "audio"} {
		var breaks []time.Duration
		at := time.Duration(0)
		for _, s := range v.players[name].Last().Segments {
			if s.Discontinuity {
				breaks = append(breaks, at)
			}
			at += s.Duration
		}
		if len(breaks) != 1 || (breaks[0]-4*time.Second).Abs() > 25*time.Millisecond {
			t.Errorf("%s: got discontinuities at %v, want one at 4 s", name, breaks)
		}
	}
	got := v.frames("audio")
	for i := range got[1:] {
		if got[i].end != got[i+1].dts {
			t.Errorf("the sound has a hole at %d", got[i].end)
		}
	}
	if n := len(v.frames("video")); n != 240 {
		t.Errorf("got %d pictures, want 240", n)
	}
}

// TestTimestamps has timestamps go wrong in several ways.
func TestTimestamps(t *testing.T) {
	events := packagertest.Encode(t, picture+" "+sound+" -t 8 "+x264+" -g 30 "+aacLC)
	const cut = 4 * time.Second
	head, tail := between(events, 0, cut), between(events, cut, 8*time.Second)[2:]
	for name, c := range map[string]struct {
		tail   []packagertest.Event
		breaks int
		gaps   bool
		frames int // pictures, at least
	}{
		"as they are":            {tail, 0, false, 240},
		"back by 300 ms":         {moved(tail, -300*time.Millisecond), 0, false, 240},
		"back to 0":              {moved(tail, -cut), 1, false, 240},
		"an hour ahead":          {moved(tail, time.Hour), 1, false, 240},
		"a pause of 1.9 s":       {moved(tail, 1900*time.Millisecond), 0, false, 240},
		"a pause of 7 s":         {moved(tail, 7*time.Second), 0, true, 240},
		"both back, sound first": {append(moved(onlySound(tail), -cut)[:20:20], moved(tail, -cut)...), 1, false, 210},
	} {
		t.Run(name, func(t *testing.T) {
			v := watch(t, packager.Config{})
			v.longParts = name == "a pause of 1.9 s"
			v.Begin()
			v.play(head)
			v.play(c.tail)
			v.End()
			v.check()
			for _, name := range []string{"video", "audio"} {
				breaks, gaps := 0, false
				for _, s := range v.players[name].Last().Segments {
					if s.Discontinuity {
						breaks++
					}
					gaps = gaps || s.Gap
				}
				if breaks != c.breaks || gaps != c.gaps {
					t.Errorf("%s: got %d discontinuities and gaps %v, want %d and %v", name, breaks, gaps, c.breaks, c.gaps)
				}
			}
			got := v.frames("video")
			if len(got) < c.frames {
				t.Errorf("got %d pictures, want %d", len(got), c.frames)
			}
			for i := range got[1:] {
				if got[i+1].dts <= got[i].dts {
					t.Errorf("decoding time goes from %d to %d", got[i].dts, got[i+1].dts)
				}
			}
		})
	}
	t.Run("apart", func(t *testing.T) {
		v := watch(t, packager.Config{})
		v.Begin()
		var err error
		for _, e := range events {
			if e.Audio != nil {
				e = moved([]packagertest.Event{e}, time.Hour)[0]
			}
			if err = e.Send(v); err != nil {
				break
			}
		}
		if err == nil {
			// A stream this short is over before the limit; send the sound again.
			for range 5 {
				for _, e := range moved(onlySound(events), time.Hour) {
					if err = e.Send(v); err != nil {
						break
					}
				}
			}
		}
		if !errors.Is(err, packager.ErrTimestamps) {
			t.Errorf("got %v, want ErrTimestamps", err)
		}
	})
}

func onlySound(events []packagertest.Event) []packagertest.Event {
	var out []packagertest.Event
	for _, e := range events {
		if e.Audio != nil {
			out = append(out, e)
		}
	}
	return out
}

// TestSoundClockDrifts has timestamps that run 200 ppm faster than the samples,
// as when the publisher's sound card is slow: the sound follows without holes.
func TestSoundClockDrifts(t *testing.T) {
	v := watch(t, packager.Config{Window: time.Hour})
	v.Begin()
	if err := v.SetAudio(aac.Config{ObjectType: aac.TypeLC, SampleRate: 48000, Channels: 1}); err != nil {
		t.Fatal(err)
	}
	const frames = 10 * 60 * 48000 / 1024
	var last time.Duration
	for i := range frames {
		at := time.Duration(float64(i) * 1024 / 48000 * 1.0002 * float64(time.Second)).Truncate(time.Millisecond)
		if err := v.WriteAudio(packager.Sample{DTS: at, PTS: at, Data: []byte{1, 2, 3}}); err != nil {
			t.Fatal(err)
		}
		last = at
	}
	v.End()
	v.check()
	got := v.frames("audio")
	if len(got) != frames {
		t.Fatalf("got %d frames, want %d", len(got), frames)
	}
	for i := range got[1:] {
		if got[i].end != got[i+1].dts {
			t.Fatalf("hole after frame %d", i)
		}
	}
	end := time.Duration(got[frames-1].dts) * time.Second / 48000
	if off := (end - last).Abs(); off > 4*time.Millisecond {
		t.Errorf("after 10 minutes the sound is %v off, want less than 4 ms", off)
	}
}

// TestWallClockDrifts has a publisher whose clock is slow by 1000 ppm: once the
// wall clock of the playlists is a second off, it is set right behind a
// discontinuity, in both renditions.
func TestWallClockDrifts(t *testing.T) {
	config, err := h264.NewConfigAnnexB(annexB)
	if err != nil {
		t.Fatal(err)
	}
	v := watch(t, packager.Config{})
	v.Begin()
	if err := errors.Join(v.SetVideo(config), v.SetAudio(aac.Config{ObjectType: aac.TypeLC, SampleRate: 48000, Channels: 1})); err != nil {
		t.Fatal(err)
	}
	const length = 18 * time.Minute
	data := []byte("media")
	for at := time.Duration(0); at < length; at += 20 * time.Millisecond {
		now := start.Add(at + at/1000)
		if at%(40*time.Millisecond) == 0 {
			if err := v.Packager.WriteVideo(now, packager.Sample{DTS: at, PTS: at, KeyFrame: at%(2*time.Second) == 0, Data: data}); err != nil {
				t.Fatal(err)
			}
		}
		if err := v.Packager.WriteAudio(now, packager.Sample{DTS: at, PTS: at, Data: data}); err != nil {
			t.Fatal(err)
		}
		if at%(200*time.Millisecond) == 0 {
			v.check()
		}
	}
	for name, p := range v.players {
		l := p.Last()
		if l.DiscontinuitySequence != 1 {
			t.Errorf("%s: got %d discontinuities, want 1", name, l.DiscontinuitySequence)
		}
		last := l.Segments[len(l.Segments)-1]
		if off := start.Add(length + length/1000).Sub(last.Time); off < 0 || off > 3*time.Second {
			t.Errorf("%s: the last segment began %v ago, want 2 s at most and the drift since", name, off)
		}
	}
}

// TestMemory streams for ten minutes of media time: what is kept stays the same.
func TestMemory(t *testing.T) {
	v := watch(t, packager.Config{MaxBytes: 1_300_000})
	v.Begin()
	events := packagertest.Encode(t, picture+" "+sound+" -t 4 "+x264+" -g 60 "+aacLC)
	v.play(events[:2])
	most := int64(0)
	for i := range 150 {
		v.play(moved(events[2:], time.Duration(i)*4*time.Second))
		most = max(most, v.Bytes())
	}
	if most > 1_300_000 || most < 900_000 {
		t.Errorf("got up to %d bytes in memory, want up to 1300000 and most of it used", most)
	}
	t.Logf("%d updates, %d hints", v.players["video"].Updates, v.players["video"].Hints)
}

func TestTooLarge(t *testing.T) {
	config, err := h264.NewConfigAnnexB(annexB)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ size, n int }{
		"one sample":  {packagerLimit + 1, 1},
		"one segment": {packagerLimit, 1000},
	} {
		v := watch(t, packager.Config{MaxSample: packagerLimit, MaxBytes: 20 * packagerLimit, TrackWait: 100 * time.Millisecond})
		v.Begin()
		if err := v.SetVideo(config); err != nil {
			t.Fatal(err)
		}
		var err error
		for i := 0; i < c.n+60 && err == nil; i++ {
			at := time.Duration(i) * 33 * time.Millisecond
			err = v.WriteVideo(packager.Sample{DTS: at, PTS: at, KeyFrame: i == 0, Data: make([]byte, c.size)})
		}
		if !errors.Is(err, packager.ErrTooLarge) {
			t.Errorf("%s: got %v, want ErrTooLarge", name, err)
		}
		if v.Bytes() > 20*packagerLimit {
			t.Errorf("%s: got %d bytes in memory, limit %d", name, v.Bytes(), 20*packagerLimit)
		}
	}
}

const packagerLimit = 10_000

// annexB are parameter sets of 320x180 that x264 made.
var annexB = func() []byte {
	b := []byte{0, 0, 0, 1, 0x67, 0x42, 0xc0, 0x0c, 0xd9, 0x01, 0x41, 0x9f, 0x9e, 0x10, 0, 0, 3, 0, 0x10, 0, 0, 3, 3, 0xc0, 0xf1, 0x42, 0xa4, 0x80}
	return append(b, 0, 0, 0, 1, 0x68, 0xcb, 0x8c, 0xb2)
}()

func TestNoConfig(t *testing.T) {
	v := watch(t, packager.Config{})
	v.Begin()
	if err := v.WriteVideo(packager.Sample{KeyFrame: true, Data: []byte{1}}); !errors.Is(err, packager.ErrNoConfig) {
		t.Errorf("got %v, want ErrNoConfig", err)
	}
}

func TestReports(t *testing.T) {
	v := watch(t, packager.Config{})
	v.Begin()
	v.play(packagertest.Encode(t, picture+" "+sound+" -t 5 "+x264+" -g 60 "+aacLC))
	video, audio := v.players["video"].Last(), v.players["audio"].Last()
	for name, c := range map[string]struct{ of, other hlstest.Playlist }{"audio": {video, audio}, "video": {audio, video}} {
		if len(c.of.Reports) != 1 || c.of.Reports[0]["URI"] != name+".m3u8" {
			t.Fatalf("got reports %v, want one of %s", c.of.Reports, name)
		}
		last := c.other.Segments[len(c.other.Segments)-1]
		msn, _ := strconv.Atoi(c.of.Reports[0]["LAST-MSN"])
		// The report may be a part older or newer than the other's last text.
		if msn < int(last.Sequence)-1 || msn > int(last.Sequence)+1 {
			t.Errorf("%s: report says %v, the playlist is at %d", name, c.of.Reports[0], last.Sequence)
		}
	}
}
