package e2e

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"belfry.live/belfry/internal/channel/ingest"
	"belfry.live/belfry/internal/channel/packager"
	"belfry.live/belfry/internal/wire/aac"
	"belfry.live/belfry/internal/wire/h264"
)

// A platform is an RTMP server of somebody else, which can go away and come
// back.
type platform struct {
	t    *testing.T
	addr string
	stop func()

	mu   sync.Mutex
	runs []*published
}

// published is what came in one connection.
type published struct {
	mu          sync.Mutex
	first, last time.Duration // video DTS
	key         bool          // the first picture was a key frame
	pictures    int
}

func (p *platform) start(addr string) {
	p.t.Helper()
	var l net.Listener
	until(p.t, 5*time.Second, "the platform's port is free", func() (ok bool) {
		var err error
		l, err = net.Listen("tcp", addr)
		return err == nil
	})
	p.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- ingest.New(ingest.Config{}, p, slog.New(slog.DiscardHandler)).Serve(ctx, l, false) }()
	p.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			p.t.Errorf("platform: %v", err)
		}
	})
	p.t.Cleanup(p.stop)
}

const platformKey = "live_secret-of-the-platform"

func (p *platform) Publish(_ context.Context, key string, _ ingest.Publisher) (ingest.Publication, error) {
	if key != platformKey {
		return nil, ingest.ErrUnknownKey
	}
	r := &published{}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.runs = append(p.runs, r)
	return r, nil
}

// run returns what the n-th connection has brought so far.
func (p *platform) run(n int) (first, last time.Duration, key bool, pictures int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n >= len(p.runs) {
		return 0, 0, false, 0
	}
	r := p.runs[n]
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.first, r.last, r.key, r.pictures
}

func (*published) Metadata(ingest.Metadata)         {}
func (*published) SetVideo(h264.Config) error       { return nil }
func (*published) SetAudio(aac.Config) error        { return nil }
func (*published) WriteAudio(packager.Sample) error { return nil }
func (*published) Stopped() <-chan struct{}         { return nil }
func (*published) Close(bool)                       {}

func (r *published) WriteVideo(s packager.Sample) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pictures == 0 {
		r.first, r.key = s.DTS, s.KeyFrame
	} else if s.DTS <= r.last {
		return errors.New("time goes backwards")
	}
	r.last = s.DTS
	r.pictures++
	return nil
}

func TestASinkThatComesBackGetsTheStreamAgain(t *testing.T) {
	s := start(t)
	var p platform
	p.t = t
	p.start("127.0.0.1:0")
	ann := s.join(red)
	st := s.stream(ann.Meeting.MeetingID, "rtmp://"+p.addr+"/app/"+platformKey)
	if st.PlaybackURL != "" {
		t.Errorf("got playback URL %q for a stream that goes elsewhere", st.PlaybackURL)
	}
	until(t, 10*time.Second, "the platform has a second of pictures", func() bool {
		_, _, _, n := p.run(0)
		return n > 30
	})
	p.stop()
	lost := time.Now()
	_, last, _, _ := p.run(0)
	p.start(p.addr)
	until(t, 10*time.Second, "the stream is back", func() bool {
		_, _, _, n := p.run(1)
		return n > 30
	})
	first, _, key, _ := p.run(1)
	away := time.Since(lost)
	t.Logf("measured: the stream is back %v after the sink was lost; timestamps went on from %v to %v", away.Round(time.Millisecond), last, first)
	if first <= last || first > last+away+time.Second {
		t.Errorf("timestamps go on at %v after %v and %v of absence", first, last, away)
	}
	if !key {
		t.Error("the first picture after the loss is no key frame")
	}
	if log := s.Log.String(); len(log) == 0 || strings.Contains(log, platformKey) {
		t.Error("the log is empty or holds the sink's key")
	}
}
