package e2e

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"belfry.live/belfry/internal/attendee"
)

func TestMeetStreamWatch(t *testing.T) {
	s := start(t)
	ann, bob := s.join(red), s.join(blue)
	meeting := ann.Meeting.MeetingID
	if bob.Meeting.MeetingID != meeting {
		t.Fatalf("Bob was put into meeting %s, Ann into %s", bob.Meeting.MeetingID, meeting)
	}
	for _, pair := range [][2]*guest{{ann, bob}, {bob, ann}} {
		me, other := pair[0], pair[1]
		until(t, 10*time.Second, me.name+" hears "+other.name, func() bool { return me.hears(other.hertz) > -20 })
		if own := me.hears(me.hertz); own > me.hears(other.hertz)-40 {
			t.Errorf("%s hears the own tone at %.0f dB, the other's at %.0f dB", me.name, own, me.hears(other.hertz))
		}
		until(t, 10*time.Second, me.name+" sees "+other.name, func() bool { return me.sees(other) > 100 })
	}

	began := time.Now()
	st := s.stream(meeting, "")
	live := time.Since(began)
	t.Logf("measured: live %v after POST /api/stream", live.Round(time.Millisecond))
	if live > 5*time.Second {
		t.Errorf("live after %v, want within 5 s", live)
	}
	r := watch(t, st.PlaybackURL, 4*time.Second)
	if len(r.pictures) < 90 {
		t.Fatalf("got %d pictures in 4 s", len(r.pictures))
	}
	last := len(r.pictures) - 1
	left, right := r.colour(last, 0.25, 0.5), r.colour(last, 0.75, 0.5)
	if !(near(left, ann.rgb) && near(right, bob.rgb)) && !(near(left, bob.rgb) && near(right, ann.rgb)) {
		t.Errorf("got colours %v and %v in the grid, want %v and %v", left, right, ann.rgb, bob.rgb)
	}
	for _, g := range []*guest{ann, bob} {
		if l := level(r.sound[len(r.sound)-48000:], g.hertz); l < -25 {
			t.Errorf("%s's tone is at %.0f dB in the stream", g.name, l)
		}
	}

	if status, text := s.post("/api/stream", map[string]string{"streamAction": "delete", "mediaPipelineId": st.MediaPipelineID}, nil); status != http.StatusOK {
		t.Fatalf("stop answered %d: %s", status, text)
	}
	off := until(t, 3*time.Second, "the stream is offline", func() bool { return !s.isLive(meeting) })
	t.Logf("measured: offline %v after the stop was answered", off.Round(time.Millisecond))
	until(t, 5*time.Second, "the worker is gone", func() bool { return len(s.Workers()) == 0 })
	if strings.Contains(s.Log.String(), "sk_us-east-1_") {
		t.Error("the log holds a stream key")
	}

	if status, text := s.post("/api/end", map[string]string{"meetingId": meeting}, nil); status != http.StatusOK {
		t.Fatalf("end answered %d: %s", status, text)
	}
	for _, g := range []*guest{ann, bob} {
		until(t, 5*time.Second, g.name+" was told that the meeting has ended", func() bool { return g.over() })
		if err := g.leave(); !errors.Is(err, attendee.ErrEnded) {
			t.Errorf("%s: got %v, want ErrEnded", g.name, err)
		}
	}
	if status, _ := s.post("/api/end", map[string]string{"meetingId": meeting}, nil); status != http.StatusNotFound {
		t.Errorf("end again: got %d, want 404", status)
	}
}

func TestASharedScreenIsLargeInTheStream(t *testing.T) {
	s := start(t)
	ann, bob := s.join(red), s.join(blue)
	st := s.stream(ann.Meeting.MeetingID, "")
	until(t, 10*time.Second, "Bob sees Ann", func() bool { return bob.sees(ann) > 30 })
	shown := ann.share(t, screen)
	until(t, 10*time.Second, "Bob sees the screen", func() bool { return bob.sees(shown) > 30 })
	r := watch(t, st.PlaybackURL, 4*time.Second)
	last := len(r.pictures) - 1
	for _, c := range []struct {
		what string
		x, y float64
		want [3]int
	}{
		{"the screen's left", 0.15, 0.5, screen.rgb},
		{"the screen's right", 0.6, 0.5, screen.rgb},
		{"the screen's top", 0.375, 0.06, screen.rgb},
	} {
		if got := r.colour(last, c.x, c.y); !near(got, c.want) {
			t.Errorf("%s: got colour %v, want %v", c.what, got, c.want)
		}
	}
	upper, lower := r.colour(last, 0.875, 0.38), r.colour(last, 0.875, 0.62)
	if !(near(upper, ann.rgb) && near(lower, bob.rgb)) && !(near(upper, bob.rgb) && near(lower, ann.rgb)) {
		t.Errorf("got colours %v and %v beside the screen, want %v and %v", upper, lower, ann.rgb, bob.rgb)
	}

	if err := shown.leave(); err != nil {
		t.Errorf("the screen: %v", err)
	}
	until(t, 20*time.Second, "the screen is gone", func() bool {
		r := watch(t, st.PlaybackURL, time.Second)
		left := r.colour(len(r.pictures)-1, 0.25, 0.5)
		return near(left, ann.rgb) || near(left, bob.rgb)
	})
}

func TestFlashAndBeepStayTogether(t *testing.T) {
	s := start(t)
	g := s.join(flash)
	r := watch(t, s.stream(g.Meeting.MeetingID, "").PlaybackURL, 13*time.Second)
	found := r.offsets()
	t.Logf("measured: beep after flash in the HLS output: %v", found)
	if len(found) < 4 {
		t.Fatalf("found %d flashes with a beep, want at least 4", len(found))
	}
	for _, d := range found {
		if d.Abs() > 100*time.Millisecond {
			t.Errorf("beep is %v after the flash, want less than 100 ms", d)
		}
	}
}

func TestFiftyJoinsAtOnceMakeTwentyFivePairs(t *testing.T) {
	s := start(t)
	const joins = 50
	var mu sync.Mutex
	seats := map[string]int{}
	var all sync.WaitGroup
	for range joins {
		all.Go(func() {
			j, err := s.Join("")
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			seats[j.Meeting.MeetingID]++
		})
	}
	all.Wait()
	if len(seats) != joins/2 {
		t.Errorf("got %d meetings, want %d", len(seats), joins/2)
	}
	for m, n := range seats {
		if n != 2 {
			t.Errorf("meeting %s has %d attendees, want 2", m, n)
		}
	}
}

func TestAKilledWorkerIsReplaced(t *testing.T) {
	s := start(t)
	ann, bob := s.join(red), s.join(blue)
	st := s.stream(ann.Meeting.MeetingID, "")
	until(t, 10*time.Second, "they hear each other", func() bool { return ann.hears(bob.hertz) > -20 && bob.hears(ann.hertz) > -20 })
	for _, g := range []*guest{ann, bob} {
		g.longestPause.Store(0)
	}
	workers := s.Workers()
	if len(workers) != 1 {
		t.Fatalf("got workers %v, want one", workers)
	}
	before := lastPart(st.PlaybackURL)
	if err := syscall.Kill(workers[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	until(t, 5*time.Second, "another worker runs", func() bool {
		w := s.Workers()
		return len(w) == 1 && w[0] != workers[0]
	})
	stale := lastPart(st.PlaybackURL)
	until(t, 5*time.Second-time.Since(began), "the stream goes on", func() bool {
		now := lastPart(st.PlaybackURL)
		return now != "" && now != before && now != stale && s.isLive(ann.Meeting.MeetingID)
	})
	t.Logf("measured: the stream is back %v after SIGKILL of its worker", time.Since(began).Round(time.Millisecond))
	for _, g := range []*guest{ann, bob} {
		if p := time.Duration(g.longestPause.Load()); p > 500*time.Millisecond || g.reconnects.Load() != 0 {
			t.Errorf("%s noticed: a pause of %v, %d reconnections", g.name, p, g.reconnects.Load())
		}
	}
}

func TestARestartOfTheServer(t *testing.T) {
	for _, how := range []string{"SIGTERM", "SIGKILL"} {
		t.Run(how, func(t *testing.T) {
			s := start(t)
			ann, bob := s.join(red), s.join(blue)
			meeting := ann.Meeting.MeetingID
			st := s.stream(meeting, "")
			until(t, 10*time.Second, "Ann hears Bob", func() bool { return ann.hears(bob.hertz) > -20 })
			if err := s.PinPorts(); err != nil {
				t.Fatal(err)
			}
			if how == "SIGTERM" {
				if took := s.stop(); took > 5*time.Second {
					t.Errorf("took %v to stop, want less than 5 s", took)
				}
			} else {
				s.Kill()
			}
			s.run()
			began := time.Now()
			until(t, 15*time.Second, "both are back", func() bool { return ann.reconnects.Load() > 0 && bob.reconnects.Load() > 0 })
			t.Logf("measured: both guests are back %v after the server was ready again", time.Since(began).Round(time.Millisecond))
			until(t, 15*time.Second, "the pipeline has resumed", func() bool { return s.isLive(meeting) })
			t.Logf("measured: the stream is live again %v after the server was", time.Since(began).Round(time.Millisecond))
			ann.forget()
			until(t, 10*time.Second, "Ann hears Bob again", func() bool { return ann.hears(bob.hertz) > -20 })
			if r := watch(t, st.PlaybackURL, 2*time.Second); len(r.pictures) < 30 {
				t.Errorf("got %d pictures in 2 s of the resumed stream", len(r.pictures))
			}
			var again started
			if status, text := s.post("/api/stream", map[string]string{"meetingId": meeting}, &again); status != http.StatusOK || again != st {
				t.Errorf("the stream is now %d %s, want what was acknowledged: %v", status, text, st)
			}
		})
	}
}
