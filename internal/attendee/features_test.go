package attendee_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtp"

	"belfry.live/belfry/internal/attendee"
	"belfry.live/belfry/internal/attendee/clip"
	"belfry.live/belfry/internal/attendee/link"
	"belfry.live/belfry/internal/media/opus"
	"belfry.live/belfry/internal/meeting"
	"belfry.live/belfry/internal/wire/vp8"
)

// A part is somebody in a meeting whose handler and choices the test writes.
type part struct {
	*attendee.Client
	cfg attendee.Config
	up  chan struct{}
}

// enter lets somebody in; change may be nil.
func (h *house) enter(m meeting.ID, name string, change func(*attendee.Config), handler attendee.Handler) *part {
	h.t.Helper()
	a, err := h.AddAttendee(h.t.Context(), m, name, meeting.Capabilities{})
	if err != nil {
		h.t.Fatal(err)
	}
	cfg := attendee.Config{
		SignalingURL: "ws://" + h.addr + "/control/" + string(m),
		AttendeeID:   string(a.ID), ExternalUserID: name, JoinToken: a.JoinToken.Reveal(), Log: testLog(h.t),
	}
	if change != nil {
		change(&cfg)
	}
	return h.enterAs(cfg, handler)
}

func (h *house) enterAs(cfg attendee.Config, handler attendee.Handler) *part {
	h.t.Helper()
	p := &part{cfg: cfg, up: make(chan struct{})}
	handler.Connected = func(bool) { close(p.up) }
	p.Client = attendee.New(cfg, handler)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	h.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			h.t.Errorf("%s: Run: got %v, want nil", cfg.ExternalUserID, err)
		}
	})
	select {
	case <-p.up:
	case <-time.After(patience):
		h.t.Fatalf("%s: not connected within %v", cfg.ExternalUserID, patience)
	}
	return p
}

// background runs f until the test ends.
func background(t *testing.T, f func(ctx context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); f(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}

// recorded is a camera in three sizes.
var recorded = []attendee.Layer{{RID: "low", MaxKbps: 150}, {RID: "mid", MaxKbps: 500}, {RID: "hi", MaxKbps: 1500}}

// filmLayers sends a camera in all its layers, from which key frames come when
// they are asked for.
func (p *part) filmLayers(t *testing.T, restart []chan struct{}, layers []attendee.Layer) {
	t.Helper()
	if err := p.StartVideo(attendee.VP8, layers...); err != nil {
		t.Fatal(err)
	}
	for i := range layers {
		c, err := clip.ParseIVF(read(t, "../load/clips/"+recorded[i].RID+".ivf"))
		if err != nil {
			t.Fatal(err)
		}
		background(t, func(ctx context.Context) {
			err := c.Play(ctx, time.Now(), restart[i], func(frame []byte, at time.Time) error {
				_ = p.SendLayer(i, frame, at) // not connected: not seen
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func restarts(n int) ([]chan struct{}, func(int)) {
	var list []chan struct{}
	for range n {
		list = append(list, make(chan struct{}, 1))
	}
	return list, func(layer int) {
		select {
		case list[layer] <- struct{}{}:
		default:
		}
	}
}

// A screen knows the size of what it is shown, by the key frames.
type screen struct {
	mu      sync.Mutex
	width   int
	sources []attendee.Source // all there ever were
	packets int
	last    uint16
	jumps   int
	paused  []bool
}

func (s *screen) handler() attendee.Handler {
	return attendee.Handler{
		VideoStarted: func(source attendee.Source, _ attendee.Codec) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.sources = append(s.sources, source)
		},
		VideoRTP: func(_ attendee.Source, p *rtp.Packet, _ time.Time) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.packets > 0 && p.SequenceNumber-s.last != 1 {
				s.jumps++
			}
			s.packets++
			s.last = p.SequenceNumber
			d, rest, err := vp8.ParseDescriptor(p.Payload)
			if h := vp8.ParseFrameHeader(rest); err == nil && d.FrameStart && h.Key {
				s.width = h.Width
			}
		},
		VideoPaused: func(_ attendee.Source, paused bool) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.paused = append(s.paused, paused)
		},
	}
}

func (s *screen) shows(width int) func() bool {
	return func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.width == width
	}
}

func (s *screen) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.packets
}

func everybody(cfg *attendee.Config) { cfg.WantVideo = func(attendee.Source) bool { return true } }

// A camera in three layers: who watches gets the one that is preferred, without
// a new section and without a gap in the numbers, whether the client chooses or
// the server.
func TestLayersFollowThePreference(t *testing.T) {
	for _, adaptation := range []bool{false, true} {
		t.Run(fmt.Sprintf("adaptation by the server %v", adaptation), func(t *testing.T) {
			noLeaks(t)
			h := open(t, t.TempDir(), "", "127.0.0.1:0")
			m := h.meeting()
			keys, wanted := restarts(3)
			camera := h.enter(m, "camera", nil, attendee.Handler{KeyFrameWanted: wanted})
			s := new(screen)
			watcher := h.enter(m, "watcher", func(cfg *attendee.Config) {
				everybody(cfg)
				cfg.Adaptation = adaptation
			}, s.handler())
			watcher.Prefer(camera.cfg.AttendeeID, attendee.Preference{TargetKbps: 200, Priority: 1})
			camera.filmLayers(t, keys, recorded)
			wait(t, "the least layer", s.shows(320))
			watcher.Prefer(camera.cfg.AttendeeID, attendee.Preference{Priority: 1})
			wait(t, "the best layer", s.shows(1280))
			watcher.Prefer(camera.cfg.AttendeeID, attendee.Preference{TargetKbps: 200, Priority: 1})
			wait(t, "the least layer again", s.shows(320))
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(s.sources) != 1 {
				t.Errorf("got videos %+v, want the same one all along", s.sources)
			}
			if s.jumps > 0 {
				t.Errorf("got %d jumps in the sequence numbers", s.jumps)
			}
		})
	}
}

func TestVideoIsPausedAndResumed(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), "", "127.0.0.1:0")
	m := h.meeting()
	keys, wanted := restarts(1)
	camera := h.enter(m, "camera", nil, attendee.Handler{KeyFrameWanted: wanted})
	s := new(screen)
	watcher := h.enter(m, "watcher", everybody, s.handler())
	camera.filmLayers(t, keys, []attendee.Layer{{MaxKbps: 150}})
	wait(t, "video", func() bool { return s.count() > 20 })
	source := s.sources[0]
	if err := watcher.PauseVideo(source, true); err != nil {
		t.Fatal(err)
	}
	wait(t, "silence", func() bool {
		before := s.count()
		time.Sleep(200 * time.Millisecond) // six pictures
		return s.count() == before
	})
	before := s.count()
	if err := watcher.PauseVideo(source, false); err != nil {
		t.Fatal(err)
	}
	wait(t, "video again", func() bool { return s.count() > before+20 })
	if err := watcher.PauseVideo(attendee.Source{GroupID: 999}, true); err == nil {
		t.Error("got no error for a video that is not received")
	}
}

func TestDataMessagesArriveAtTheOthers(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), "", "127.0.0.1:0")
	m := h.meeting()
	got := make(chan attendee.Message, 10)
	receive := attendee.Handler{Data: func(m attendee.Message) {
		m.Data = bytes.Clone(m.Data)
		got <- m
	}}
	a := h.enter(m, "alice", nil, attendee.Handler{})
	h.enter(m, "bob", nil, receive)
	began := time.Now()
	if err := a.SendData(attendee.Message{Topic: "chat", Data: []byte("hello"), Lifetime: time.Minute}); err != nil {
		t.Fatal(err)
	}
	check := func(who string) {
		t.Helper()
		select {
		case msg := <-got:
			if msg.Topic != "chat" || string(msg.Data) != "hello" || msg.SenderAttendeeID != a.cfg.AttendeeID ||
				msg.SenderExternalUserID != "alice" || msg.Sent.Before(began.Add(-time.Second)) {
				t.Errorf("%s: got %+v", who, msg)
			}
		case <-time.After(patience):
			t.Errorf("%s: got no message within %v", who, patience)
		}
	}
	check("bob")
	h.enter(m, "carol", nil, receive) // comes later
	check("carol")
}

// Who shares hears nothing of it and counts once; the others see and hear it.
func TestContentIsShared(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), "", "127.0.0.1:0")
	m := h.meeting()
	sharer := h.enter(m, "sharer", nil, attendee.Handler{})
	s := new(screen)
	h.enter(m, "watcher", everybody, s.handler())
	keys, wanted := restarts(1)
	share := h.enterAs(sharer.cfg.Content(), attendee.Handler{KeyFrameWanted: wanted})
	share.filmLayers(t, keys, []attendee.Layer{{MaxKbps: 150}})
	wait(t, "the share", s.shows(320))
	s.mu.Lock()
	defer s.mu.Unlock()
	if want := sharer.cfg.AttendeeID + "#content"; s.sources[0].AttendeeID != want {
		t.Errorf("got a video of %q, want %q", s.sources[0].AttendeeID, want)
	}
}

// Sound comes through with redundancy, in stereo, with compressed SDP and
// without, by UDP and by TCP.
func TestSoundComesThroughHoweverItIsSent(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), "", "127.0.0.1:0")
	for _, tc := range []struct {
		name   string
		change func(*attendee.Config)
		way    string
	}{
		{"plain SDP", func(c *attendee.Config) { c.PlainSDP = true }, "udp"},
		{"redundant", func(c *attendee.Config) { c.RED = true }, "udp"},
		{"stereo", func(c *attendee.Config) { c.Stereo = true }, "udp"},
		{"TCP", func(c *attendee.Config) { c.Protocols = link.TCP }, "tcp"},
	} {
		m := h.meeting()
		d, err := opus.NewDecoder(1)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(d.Close)
		var heard atomic.Int64 // packets that are loud
		pcm := make([]float32, opus.MaxSamples)
		speaker := h.enter(m, "speaker", tc.change, attendee.Handler{})
		listener := h.enter(m, "listener", tc.change, attendee.Handler{AudioRTP: func(p *rtp.Packet, _ time.Time) {
			n, err := d.Decode(p.Payload, pcm)
			if err != nil {
				t.Errorf("%s: %v", tc.name, err)
			}
			if n > 0 && slices.Max(pcm[:n]) > 0.2 {
				heard.Add(1)
			}
		}})
		for _, p := range []*part{speaker, listener} {
			if got := p.Way(); got != tc.way {
				t.Errorf("%s: got way %q, want %q", tc.name, got, tc.way)
			}
		}
		background(t, func(ctx context.Context) {
			if err := speaker.speak(ctx); err != nil {
				t.Errorf("%s: %v", tc.name, err)
			}
		})
		wait(t, "sound: "+tc.name, func() bool { return heard.Load() > 20 })
	}
}

// speak sends a tone with its level.
func (p *part) speak(ctx context.Context) error {
	e, err := opus.NewEncoder(opus.EncoderConfig{Bitrate: 64000})
	if err != nil {
		return err
	}
	defer e.Close()
	tone := clip.Tone{Hz: 440, Amplitude: 0.25, Encode: e.Encode}
	return tone.Play(ctx, time.Now(), func(packet []byte, at time.Time) error {
		_ = p.SendSpeech(packet, at, 15) // not connected: not heard
		return nil
	})
}
