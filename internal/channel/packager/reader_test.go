package packager_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"belfry.live/belfry/internal/channel/packager"
	"belfry.live/belfry/internal/wire/h264"
)

// A camera publishes 25 pictures a second in simulated time.
type camera struct {
	t *testing.T
	p *packager.Packager
	n int
}

func newCamera(t *testing.T) *camera {
	t.Helper()
	p := packager.New(packager.Config{TrackWait: time.Millisecond}, slog.New(slog.DiscardHandler))
	p.Begin()
	config, err := h264.NewConfigAnnexB(annexB)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.SetVideo(config); err != nil {
		t.Fatal(err)
	}
	return &camera{t: t, p: p}
}

// send publishes the pictures of the time, and sleeps as long.
func (c *camera) send(d time.Duration) {
	c.t.Helper()
	for end := c.n + int(d/(40*time.Millisecond)); c.n < end; c.n++ {
		at := time.Duration(c.n) * 40 * time.Millisecond
		if err := c.p.WriteVideo(time.Now(), packager.Sample{DTS: at, PTS: at, KeyFrame: c.n%50 == 0, Data: []byte("picture")}); err != nil {
			c.t.Fatal(err)
		}
		time.Sleep(40 * time.Millisecond)
	}
}

func (c *camera) video() *packager.Rendition {
	c.t.Helper()
	r, ok := c.p.Rendition("video")
	if !ok {
		c.t.Fatal("there is no video")
	}
	return r
}

// TestWaitingReaders has readers wait for what comes at known times.
func TestWaitingReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCamera(t)
		c.send(time.Second) // 24 pictures have a known duration: parts 0 to 3
		r := c.video()
		begin := time.Now()
		var wg sync.WaitGroup
		for name, want := range map[string]struct {
			q  packager.Request
			at time.Duration // since begin: when the sample behind the part comes
		}{
			"at once":               {packager.Request{}, 0},
			"a part that is there":  {packager.Request{Blocking: true, Sequence: 0, Part: 3}, 0},
			"the next part":         {packager.Request{Blocking: true, Sequence: 0, Part: 4}, 0},
			"the part after":        {packager.Request{Blocking: true, Sequence: 0, Part: 5}, 200 * time.Millisecond},
			"the last part":         {packager.Request{Blocking: true, Sequence: 0, Part: 9}, time.Second},
			"behind the last part":  {packager.Request{Blocking: true, Sequence: 0, Part: 10}, 1200 * time.Millisecond},
			"the next segment":      {packager.Request{Blocking: true, Sequence: 1, Part: 0}, 1200 * time.Millisecond},
			"the segment whole":     {packager.Request{Blocking: true, Sequence: 0, Part: -1}, 1200 * time.Millisecond},
			"any segment whole":     {packager.Request{Whole: true}, 1200 * time.Millisecond},
			"the second next whole": {packager.Request{Blocking: true, Sequence: 1, Part: -1}, 3200 * time.Millisecond},
		} {
			wg.Go(func() {
				text, err := r.Playlist(t.Context(), want.q)
				if err != nil || !strings.HasPrefix(string(text.Plain()), "#EXTM3U") {
					t.Errorf("%s: got %v", name, err)
				}
				if took := time.Since(begin); took != want.at {
					t.Errorf("%s: answered after %v, want %v", name, took, want.at)
				}
			})
		}
		wg.Go(func() {
			time.Sleep(100 * time.Millisecond) // part 4 is there, 5 is hinted
			if _, err := r.Part(t.Context(), 0, 5); err != nil || time.Since(begin) != 200*time.Millisecond {
				t.Errorf("hinted part: got %v after %v, want it after 200 ms", err, time.Since(begin))
			}
		})
		wg.Go(func() {
			if _, err := r.Part(t.Context(), 0, 7); !errors.Is(err, packager.ErrGone) || time.Since(begin) != 0 {
				t.Errorf("part behind the hinted: got %v after %v, want ErrGone at once", err, time.Since(begin))
			}
		})
		synctest.Wait()
		c.send(4 * time.Second)
		wg.Wait()
	})
}

func TestTooFarAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCamera(t)
		c.send(time.Second)
		for _, q := range []packager.Request{
			{Blocking: true, Sequence: 3, Part: -1},
			{Blocking: true, Sequence: 1 << 40, Part: 0},
			{Blocking: true, Sequence: 0, Part: 20},
		} {
			if _, err := c.video().Playlist(t.Context(), q); !errors.Is(err, packager.ErrTooFar) {
				t.Errorf("%+v: got %v, want ErrTooFar", q, err)
			}
		}
	})
}

// TestReadersGiveUp has readers whose time is over, and an end that frees all.
func TestReadersGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCamera(t)
		c.send(time.Second)
		r := c.video()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begin := time.Now()
		text, err := r.Playlist(ctx, packager.Request{Blocking: true, Sequence: 1})
		if !errors.Is(err, context.DeadlineExceeded) || text == nil || time.Since(begin) != 3*time.Second {
			t.Errorf("got %v and text %v after %v, want the playlist as it is after 3 s", err, text != nil, time.Since(begin))
		}
		if _, err := r.Part(ctx, 0, 4); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("part: got %v, want DeadlineExceeded", err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if text, err := r.Playlist(t.Context(), packager.Request{Blocking: true, Sequence: 2}); err != nil || !strings.Contains(string(text.Plain()), "ENDLIST") {
				t.Errorf("at the end: got %v, %v, want a playlist with its end", text, err)
			}
		})
		wg.Go(func() {
			if _, err := r.Part(t.Context(), 0, 4); err != nil { // what is left becomes a part
				t.Errorf("hinted part at the end: got %v", err)
			}
		})
		wg.Go(func() {
			if _, err := r.Part(t.Context(), 1, 0); !errors.Is(err, packager.ErrGone) {
				t.Errorf("part behind the end: got %v, want ErrGone", err)
			}
		})
		synctest.Wait()
		c.p.End()
		wg.Wait()
	})
}
