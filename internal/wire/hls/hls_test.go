package hls

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

var (
	start   = time.Date(2026, 3, 14, 15, 9, 26, 535_432_932, time.FixedZone("", 3600))
	limits  = Media{TargetDuration: 2 * time.Second, PartTarget: 210 * time.Millisecond, HoldBack: 6 * time.Second, PartHoldBack: 630 * time.Millisecond}
	present = Segment{
		Time: start.Add(2 * time.Second), Parts: []Part{
			{200 * time.Millisecond, true, "video/8.0.m4s"},
			{200 * time.Millisecond, false, "video/8.1.m4s"},
		},
	}
)

// The files of testdata are what the playlists must be, byte for byte.
func TestGolden(t *testing.T) {
	for name, p := range map[string]interface{ Append([]byte) []byte }{
		"multivariant": Multivariant{
			IndependentSegments: true,
			Audio:               &AudioRendition{Name: "Audio", Channels: 2, URI: "r/audio.m3u8?s=1"},
			Variant: Variant{
				Bandwidth: 5_000_000, AverageBandwidth: 4_600_000, Codecs: "avc1.64001f,mp4a.40.2",
				Width: 1280, Height: 720, FrameRate: 30000.0 / 1001, URI: "r/video.m3u8?s=1",
			},
		},
		"multivariant_audio_only": Multivariant{
			Variant: Variant{Bandwidth: 128_000, Codecs: "mp4a.40.2", URI: "r/audio.m3u8"},
		},
		"media": with(func(m *Media) {
			m.Sequence, m.SkipUntil = 6, 12*time.Second
			whole := present
			whole.Time, whole.Duration, whole.URI = start, 2001*time.Millisecond, "video/7.m4s"
			m.Segments = []Segment{
				{Map: "video/init0.mp4", Time: start.Add(-2 * time.Second), Duration: 2 * time.Second, URI: "video/6.m4s"},
				whole,
			}
			m.Open = present
			m.Hint = "video/8.2.m4s"
			m.Reports = []Report{{URI: "audio.m3u8", LastSequence: 8, LastPart: 1}}
		}),
		"media_just_begun": with(func(m *Media) {
			m.Open = present
			m.Open.Map = "video/init0.mp4"
			m.Hint = "video/8.2.m4s"
		}),
		"media_skipping": with(func(m *Media) {
			m.Sequence, m.SkipUntil, m.Skipped = 2, 12*time.Second, 5
			m.Segments = []Segment{{Time: start, Duration: 1966666666, URI: "video/7.m4s"}}
			m.Open = present
			m.Hint = "video/8.2.m4s"
		}),
		"media_after_a_loss": with(func(m *Media) {
			m.Sequence, m.DiscontinuitySequence = 1000, 3
			m.Segments = []Segment{
				{Map: "video/init0.mp4", Time: start, Duration: 1400 * time.Millisecond, URI: "video/1000.m4s"},
				{Time: start, Gap: true, Duration: 2 * time.Second, URI: "video/1001.m4s"},
				{Discontinuity: true, Map: "video/init1.mp4", Time: start, Duration: 2 * time.Second, URI: "video/1002.m4s"},
			}
			m.Hint = "video/1003.0.m4s"
		}),
		"media_ended": with(func(m *Media) {
			m.Segments = []Segment{{Map: "video/init0.mp4", Time: start, Duration: 2 * time.Second, URI: "video/0.m4s"}}
			m.Ended = true
		}),
	} {
		t.Run(name, func(t *testing.T) {
			want, err := os.ReadFile(filepath.Join("testdata", name+".m3u8"))
			if err != nil {
				t.Fatal(err)
			}
			if got := string(p.Append(nil)); got != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func with(change func(*Media)) Media {
	m := limits
	change(&m)
	return m
}

func TestSeconds(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                        "0.0",
		2 * time.Second:          "2.0",
		200 * time.Millisecond:   "0.2",
		1966666666:               "1.96667",
		10 * time.Second:         "10.0",
		21333 * time.Microsecond: "0.02133",
	} {
		if got := string(appendSeconds(nil, d)); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	m := with(func(m *Media) { m.Open, m.Hint = present, "x" })
	b := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { m.Append(b) }); n != 0 {
		t.Errorf("Append allocates %v times, want 0", n)
	}
}
