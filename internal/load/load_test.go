package load

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"belfry.live/belfry/internal/attendee"
)

// Everybody receives as many videos as asked for, and every video is received
// by as many as any other, give or take its own sender.
func TestVideosAreSharedOut(t *testing.T) {
	for _, tc := range []struct{ count, publish, subscribe int }{{100, 10, 9}, {20, 3, 2}, {20, 3, 25}, {7, 7, 3}, {5, 0, 3}, {6, 1, 1}} {
		r := &run{cfg: Config{Count: tc.count, Publish: tc.publish, Subscribe: tc.subscribe}}
		seen := make([]int, tc.count)
		for i := range tc.count {
			n := 0
			for j := range tc.count {
				if r.wants(i, j) {
					n++
					seen[j]++
				}
			}
			if want := r.expected(i); n != want {
				t.Errorf("%+v: attendee %d receives %d videos, want %d", tc, i, n, want)
			}
			if r.wants(i, -1) || r.wants(i, i) {
				t.Errorf("%+v: attendee %d receives its own video, or a stranger's", tc, i)
			}
		}
		least, most := tc.count, 0
		for _, n := range seen[:tc.publish] {
			least, most = min(least, n), max(most, n)
		}
		if tc.publish > 1 && most-least > tc.subscribe {
			t.Errorf("%+v: videos are received by %d to %d", tc, least, most)
		}
	}
}

func TestChoicesAreChecked(t *testing.T) {
	good := Config{Count: 10, Publish: 3, Subscribe: 2, Duration: time.Second}
	if err := good.check(); err != nil || good.Speaking != 3 || good.JoinRate != 20 || good.Codec != attendee.VP8 {
		t.Errorf("got %v and %+v, want the usual choices", err, good)
	}
	for name, change := range map[string]func(*Config){
		"no attendees":        func(c *Config) { c.Count = 0 },
		"too many publishers": func(c *Config) { c.Publish = 11 },
		"negative videos":     func(c *Config) { c.Subscribe = -1 },
		"too many speakers":   func(c *Config) { c.Speaking = 4 },
		"no time":             func(c *Config) { c.Duration = 0 },
		"negative rate":       func(c *Config) { c.JoinRate = -1 },
		"no clip":             func(c *Config) { c.Codec = attendee.AV1 },
	} {
		c := good
		change(&c)
		if err := c.check(); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

func TestQuantiles(t *testing.T) {
	var d []time.Duration
	for i := 100; i > 0; i-- {
		d = append(d, time.Duration(i)*time.Millisecond)
	}
	if got, want := quantiles(d), (Quantiles{P50: 51, P99: 100, Max: 100}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := quantiles(nil); got != (Quantiles{}) {
		t.Errorf("got %+v of nothing", got)
	}
	buckets := make([]uint32, 10)
	buckets[1], buckets[4], buckets[9] = 60, 39, 1
	if got, want := spread(buckets), (Quantiles{P50: 1, P99: 9, Max: 9}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestVoiceIsSpeech(t *testing.T) {
	m, err := loadMedia(Config{Codec: attendee.VP8, Simulcast: true})
	if err != nil {
		t.Fatal(err)
	}
	loud, quiet := 0, 0
	for _, s := range m.voice {
		switch {
		case s.level < 30:
			loud++
		case s.level > 60:
			quiet++
		}
	}
	if n := len(m.voice); n < 190 || loud < n/3 || quiet < n/10 {
		t.Errorf("got %d packets, %d loud and %d quiet, want 200 with words and pauses", n, loud, quiet)
	}
	if len(m.videos) != 3 || m.layers[0].RID != "low" || m.layers[2].MaxKbps != 1500 {
		t.Errorf("got %d videos, layers %+v", len(m.videos), m.layers)
	}
}

func TestResultReads(t *testing.T) {
	r := &Result{
		Meeting: "m", Attendees: 20, Joined: 19, Failed: 1, Seconds: 5, VideosExpected: 40, Videos: 38,
		Errors: map[string]int{"the meeting is full": 1}, AudioPackets: 4750, VideoFrames: 5700,
	}
	var text bytes.Buffer
	if err := r.Table(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"19 of 20, 1 failed", "1 × the meeting is full", "950 packets/s", "38 of 40", "30.0 a second"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("got no %q in\n%s", want, &text)
		}
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{`"joined":19`, `"failed":1`, `"joinMs":{"p50":0,"p99":0`, `"audioGaps":0`, `"videoFreezes":0`, `"lost":0`} {
		if !strings.Contains(string(b), key) {
			t.Errorf("got no %s in %s", key, b)
		}
	}
}
