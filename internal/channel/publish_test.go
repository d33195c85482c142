package channel

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"belfry.live/belfry/internal/channel/ingest"
	"belfry.live/belfry/internal/channel/packager"
	"belfry.live/belfry/internal/store"
	"belfry.live/belfry/internal/store/storetest"
	"belfry.live/belfry/internal/wire/aac"
	"belfry.live/belfry/internal/wire/h264"
)

// parameterSets are those of 320x180 that x264 made.
var parameterSets = []byte{
	0, 0, 0, 1, 0x67, 0x42, 0xc0, 0x0c, 0xd9, 0x01, 0x41, 0x9f, 0x9e, 0x10, 0, 0, 3, 0, 0x10, 0, 0, 3, 3, 0xc0, 0xf1, 0x42, 0xa4, 0x80,
	0, 0, 0, 1, 0x68, 0xcb, 0x8c, 0xb2,
}

// A desk is a running service with one channel, inside a synctest bubble.
type desk struct {
	t *testing.T
	*Service
	ch      Channel
	key     string
	log     *strings.Builder
	tables  store.Tables
	journal *journal
	stop    func() // and wait for Run to return
}

func newDesk(t *testing.T, spec Spec) *desk {
	t.Helper()
	return newDeskWith(t, Config{}, spec)
}

func newDeskWith(t *testing.T, cfg Config, spec Spec) *desk {
	t.Helper()
	d := &desk{t: t, log: &strings.Builder{}, tables: new(storetest.Memory), journal: &journal{}}
	cfg.Record = d.journal.record
	var err error
	d.Service, err = New(t.Context(), cfg, d.tables, slog.New(slog.NewTextHandler(&locked{w: d.log}, nil)))
	if err != nil {
		t.Fatal(err)
	}
	spec.Region = "us-east-1"
	ch, key, err := d.Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	d.ch, d.key = ch, key.Value.Reveal()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { d.Run(ctx) })
	d.stop = func() {
		cancel()
		running.Wait()
	}
	t.Cleanup(func() {
		d.stop()
		if strings.Contains(d.log.String(), d.key) {
			t.Error("the log has the stream key in it")
		}
	})
	return d
}

type locked struct {
	mu sync.Mutex
	w  *strings.Builder
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

func (d *desk) publish() *encoder {
	d.t.Helper()
	p, err := d.Publish(d.t.Context(), d.key, ingest.Publisher{Remote: "192.0.2.1:1", Encrypted: true})
	if err != nil {
		d.t.Fatal(err)
	}
	e := &encoder{t: d.t, Publication: p}
	e.configure()
	return e
}

// state returns the channel's stream and health, or "" when it is offline.
func (d *desk) state() (id string, h Health) {
	d.t.Helper()
	s, err := d.Stream(d.t.Context(), d.ch.ID)
	switch {
	case errors.Is(err, ErrNotBroadcasting):
		return "", ""
	case err != nil:
		d.t.Fatal(err)
	}
	return s.ID, s.Health
}

// An encoder publishes in real time.
type encoder struct {
	t *testing.T
	ingest.Publication
	at     time.Duration
	silent bool // has no sound
}

// configure says what the encoder sends.
func (e *encoder) configure() {
	e.t.Helper()
	video, err := h264.NewConfigAnnexB(parameterSets)
	if err != nil {
		e.t.Fatal(err)
	}
	if err := errors.Join(e.SetVideo(video), e.SetAudio(aac.Config{ObjectType: aac.TypeLC, SampleRate: 48000, Channels: 2})); err != nil {
		e.t.Fatal(err)
	}
}

// send publishes for the time, and fails the test if it may not.
func (e *encoder) send(d time.Duration) {
	e.t.Helper()
	if err := e.try(d); err != nil {
		e.t.Fatal(err)
	}
}

func (e *encoder) try(d time.Duration) error {
	for end := e.at + d; e.at < end; e.at += 20 * time.Millisecond {
		if e.at%(40*time.Millisecond) == 0 {
			if err := e.WriteVideo(packager.Sample{DTS: e.at, PTS: e.at, KeyFrame: e.at%(2*time.Second) == 0, Data: []byte("picture")}); err != nil {
				return err
			}
		}
		if !e.silent {
			if err := e.WriteAudio(packager.Sample{DTS: e.at, PTS: e.at, Data: []byte("sound")}); err != nil {
				return err
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil
}

func (e *encoder) stopped() bool {
	select {
	case <-e.Stopped():
		return true
	default:
		return false
	}
}

func TestLiveState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Spec{})
		if _, err := d.Stream(t.Context(), "AAAAAAAAAAAA"); !errors.Is(err, ErrNotFound) {
			t.Errorf("unknown channel: got %v, want ErrNotFound", err)
		}
		e := d.publish()
		if id, _ := d.state(); id != "" {
			t.Error("it is live before any media")
		}
		e.send(time.Second)
		id, health := d.state()
		if !strings.HasPrefix(id, "st-") || len(id) != 26 || health != Healthy {
			t.Errorf("got stream %q, %q, want st-..., HEALTHY", id, health)
		}
		s, err := d.Stream(t.Context(), d.ch.ID)
		if since := time.Since(s.Started); err != nil || since > time.Second || since < 500*time.Millisecond {
			t.Errorf("got %v since the start, %v, want most of a second", since, err)
		}
		if b, ok := d.Broadcast(d.ch.ID); !ok || b.Multivariant("", "", 0) == nil {
			t.Error("there is nothing to play")
		}

		// It stalls.
		time.Sleep(1200 * time.Millisecond)
		if id2, health := d.state(); id2 != id || health != Starving {
			t.Errorf("after 1.2 s of silence: got %q, %q, want STARVING", id2, health)
		}
		e.at += 1200 * time.Millisecond
		e.send(100 * time.Millisecond)
		if id2, health := d.state(); id2 != id || health != Healthy {
			t.Errorf("after a short silence: got %q, %q, want the same stream, HEALTHY", id2, health)
		}
		time.Sleep(2900 * time.Millisecond)
		if id, _ := d.state(); id != "" {
			t.Error("it is live after 2.9 s of silence")
		}
		if _, ok := d.Broadcast(d.ch.ID); ok {
			t.Error("new viewers get a playlist of a silent stream")
		}
		e.at += 2900 * time.Millisecond
		e.send(100 * time.Millisecond)
		if id2, health := d.state(); id2 == "" || id2 == id || health != Healthy {
			t.Errorf("when media is back: got %q, %q, want a new stream", id2, health)
		}

		// It ends.
		b, _ := d.Broadcast(d.ch.ID)
		e.Close(true)
		e.Close(true)
		if id, _ := d.state(); id != "" {
			t.Error("it is live after its end")
		}
		if _, ok := d.BroadcastRun(d.ch.ID, b.Run); !ok {
			t.Error("who watches cannot load the end")
		}
		time.Sleep(endedFor + time.Second)
		if _, ok := d.BroadcastRun(d.ch.ID, b.Run); ok {
			t.Error("the broadcast is kept long after its end")
		}
		if d.mu.Lock(); len(d.lives) != 0 {
			t.Errorf("got %d channels in memory, want none", len(d.lives))
		}
		d.mu.Unlock()
	})
}

func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Spec{})
		ctx := t.Context()
		if _, err := d.Publish(ctx, d.key+"x", ingest.Publisher{Encrypted: true}); !errors.Is(err, ingest.ErrUnknownKey) {
			t.Errorf("wrong key: got %v, want ErrUnknownKey", err)
		}
		if _, err := d.Publish(ctx, d.key, ingest.Publisher{}); !errors.Is(err, ingest.ErrInsecure) {
			t.Errorf("plain RTMP: got %v, want ErrInsecure", err)
		}
		e := d.publish()
		e.send(time.Second)
		if _, err := d.Publish(ctx, d.key, ingest.Publisher{Encrypted: true}); !errors.Is(err, ingest.ErrBusy) {
			t.Errorf("second publisher: got %v, want ErrBusy", err)
		}
		if err := d.Delete(ctx, d.ch.ID); !errors.Is(err, ErrLive) {
			t.Errorf("Delete while live: got %v, want ErrLive", err)
		}
		if e.stopped() {
			t.Error("the publisher was cut off")
		}
		e.Close(true)
		plain := newDesk(t, Spec{InsecureIngest: true})
		if _, err := plain.Publish(ctx, plain.key, ingest.Publisher{}); err != nil {
			t.Errorf("plain RTMP where it is allowed: got %v", err)
		}
	})
}

func TestLossAndReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Spec{})
		e := d.publish()
		e.send(5 * time.Second)
		first, _ := d.state()
		b, _ := d.Broadcast(d.ch.ID)
		e.Close(false)
		lost := time.Now()
		for {
			if id, _ := d.state(); id == "" {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if took := time.Since(lost); took > 3*time.Second {
			t.Errorf("it is live until %v after the loss, want 3 s at most", took)
		}
		time.Sleep(10 * time.Second)
		e = d.publish()
		e.send(time.Second)
		again, ok := d.Broadcast(d.ch.ID)
		if !ok || again != b {
			t.Error("the publisher's return made another broadcast")
		}
		if id, _ := d.state(); id == "" || id == first {
			t.Errorf("got stream %q, want a new one", id)
		}
		e.Close(false)
		time.Sleep(d.cfg.Retention + 2*time.Second)
		if video, ok := b.Rendition("video"); ok {
			text, err := video.Playlist(t.Context(), packager.Request{})
			if err != nil || !strings.HasSuffix(string(text.Plain()), "#EXT-X-ENDLIST\n") {
				t.Errorf("nobody came back: got %v, %s, want the end", err, text.Plain())
			}
		}
		e = d.publish()
		e.send(time.Second)
		if third, ok := d.Broadcast(d.ch.ID); !ok || third == b {
			t.Error("after the retention: got the old broadcast, want a new one")
		}
		e.Close(true)
	})
}

func TestTakeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Spec{})
		old := d.publish()
		old.send(3 * time.Second)
		b, _ := d.Broadcast(d.ch.ID)
		time.Sleep(1600 * time.Millisecond) // killed, and its connection not yet given up
		e := d.publish()
		if !old.stopped() {
			t.Error("the silent publisher was not told")
		}
		if err := old.try(100 * time.Millisecond); !errors.Is(err, errCut) {
			t.Errorf("the silent publisher writes: got %v, want errCut", err)
		}
		e.send(time.Second)
		old.Close(true) // must not end what is another's now
		if now, ok := d.Broadcast(d.ch.ID); !ok || now != b {
			t.Error("the broadcast did not go on")
		}
		e.Close(true)
	})
}

func TestStopStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Spec{})
		ctx := t.Context()
		if err := d.StopStream(ctx, d.ch.ID); !errors.Is(err, ErrNotBroadcasting) {
			t.Errorf("offline: got %v, want ErrNotBroadcasting", err)
		}
		if err := d.StopStream(ctx, "AAAAAAAAAAAA"); !errors.Is(err, ErrNotFound) {
			t.Errorf("unknown: got %v, want ErrNotFound", err)
		}
		e := d.publish()
		e.send(time.Second)
		if err := d.StopStream(ctx, d.ch.ID); err != nil {
			t.Fatal(err)
		}
		if !e.stopped() {
			t.Error("the publisher was not told")
		}
		if id, _ := d.state(); id != "" {
			t.Error("it is still live")
		}
		e.Close(false)
		e = d.publish() // encoders do so by themselves
		e.send(time.Second)
		if id, _ := d.state(); id == "" {
			t.Error("the publisher could not come back")
		}
		e.Close(true)
	})
}

func TestDeleteCutsWhatIsNotLiveYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Spec{})
		e := d.publish()
		if err := d.Delete(t.Context(), d.ch.ID); err != nil {
			t.Fatal(err)
		}
		if !e.stopped() {
			t.Error("the publisher was not cut off")
		}
		if _, err := d.Publish(t.Context(), d.key, ingest.Publisher{Encrypted: true}); !errors.Is(err, ingest.ErrUnknownKey) {
			t.Errorf("publish on a deleted channel: got %v, want ErrUnknownKey", err)
		}
		e.Close(false)
	})
}

func TestSilentPublisherIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Spec{})
		e := d.publish()
		time.Sleep(cutAfter + time.Second)
		if !e.stopped() {
			t.Error("a publisher that never sends media keeps its place")
		}
	})
}

func TestOtherTracksBeginAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Spec{})
		e := d.publish()
		e.send(3 * time.Second)
		b, _ := d.Broadcast(d.ch.ID)
		e.Close(false)
		e = d.publish()
		e.silent = true
		if err := e.try(3 * time.Second); !errors.Is(err, packager.ErrTracks) {
			t.Errorf("the publisher comes back without sound: got %v, want ErrTracks", err)
		}
		e.Close(false)
		e = d.publish()
		e.silent = true
		e.send(3 * time.Second)
		if again, ok := d.Broadcast(d.ch.ID); !ok || again == b {
			t.Error("the second try did not begin a new broadcast")
		}
		e.Close(true)
	})
}

// TestManyPublishers has publishers fight for one channel.
func TestManyPublishers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Spec{})
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for range 20 {
					p, err := d.Publish(t.Context(), d.key, ingest.Publisher{Remote: "192.0.2.1:1", Encrypted: true})
					if errors.Is(err, ingest.ErrBusy) {
						time.Sleep(time.Duration(100+i) * time.Millisecond)
						continue
					}
					if err != nil {
						t.Error(err)
						return
					}
					p.WriteVideo(packager.Sample{}) // before its configuration: an error
					time.Sleep(time.Duration(50*i) * time.Millisecond)
					p.Close(i%2 == 0)
				}
			})
			wg.Go(func() {
				for range 50 {
					d.Stream(t.Context(), d.ch.ID)
					d.StopStream(t.Context(), d.ch.ID)
					d.Broadcast(d.ch.ID)
					time.Sleep(10 * time.Millisecond)
				}
			})
		}
		wg.Wait()
	})
}
