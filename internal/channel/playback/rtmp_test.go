package playback_test

import (
	"context"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"belfry.live/belfry/internal/channel"
	"belfry.live/belfry/internal/channel/ingest"
	"belfry.live/belfry/internal/channel/playback"
)

// TestRTMPPublisherDies has ffmpeg publish over RTMP, kills it, and starts it
// again at once: viewers who were there go on in the same playlists.
func TestRTMPPublisherDies(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 12 s")
	}
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skip("ffmpeg is not installed")
	}
	s := newSite(t, playback.Config{})
	var err error
	s.channel, s.key, err = s.service.Create(t.Context(), channel.Spec{Account: account, Region: "us-east-1", InsecureIngest: true})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { ingest.New(ingest.Config{}, s.service, slog.New(slog.DiscardHandler)).Serve(ctx, ln, false) })
	t.Cleanup(func() {
		cancel()
		serving.Wait()
	})
	target := "rtmp://" + ln.Addr().String() + "/app/" + s.key.Value.Reveal()

	encoder := startEncoder(t, target)
	first, took := s.awaitLive("")
	t.Logf("live %v after ffmpeg's start", took)
	video, audio := variants(t, s.url())
	var viewers sync.WaitGroup
	followers := []*follower{{t: t, url: video}, {t: t, url: audio}}
	for _, f := range followers {
		viewers.Go(f.run)
	}
	time.Sleep(3500 * time.Millisecond)
	encoder.Process.Kill()
	encoder.Wait()
	encoder = startEncoder(t, target)
	_, took = s.awaitLive(first)
	t.Logf("live again %v after the kill", took)
	time.Sleep(4 * time.Second)
	encoder.Process.Signal(os.Interrupt) // ends the stream as it should be
	encoder.Wait()
	ended := time.Now()
	for {
		if _, err := s.service.Stream(t.Context(), s.channel.ID); err != nil {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if took := time.Since(ended); took > 500*time.Millisecond {
		t.Errorf("live for %v after the end, want it offline at once", took)
	}
	viewers.Wait()
	for _, f := range followers {
		breaks := 0
		for _, segment := range f.player.Last().Segments {
			if segment.Discontinuity {
				breaks++
			}
		}
		if breaks != 1 || !f.player.Last().Ended {
			t.Errorf("%s: got %d discontinuities and end %v, want 1 and the end", f.url, breaks, f.player.Last().Ended)
		}
	}
	if v, a := followers[0].player.Last(), followers[1].player.Last(); v.DiscontinuitySequence != a.DiscontinuitySequence {
		t.Errorf("discontinuity sequences differ: %d and %d", v.DiscontinuitySequence, a.DiscontinuitySequence)
	}
}

func startEncoder(t *testing.T, target string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ffmpeg", strings.Fields("-hide_banner -loglevel error -re "+media+" "+codecs+" -f flv "+target)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// awaitLive waits until a stream other than the one named is live.
func (s *site) awaitLive(not string) (id string, took time.Duration) {
	s.t.Helper()
	began := time.Now()
	for time.Since(began) < 15*time.Second {
		if stream, err := s.service.Stream(s.t.Context(), s.channel.ID); err == nil && stream.ID != not {
			return stream.ID, time.Since(began).Round(time.Millisecond)
		}
		time.Sleep(5 * time.Millisecond)
	}
	s.t.Fatal("the channel does not become live")
	return "", 0
}
