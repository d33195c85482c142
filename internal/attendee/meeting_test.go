package attendee_test

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net"
	"net/http/httptest"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"

	"belfry.live/belfry/internal/attendee"
	"belfry.live/belfry/internal/attendee/clip"
	"belfry.live/belfry/internal/media/opus"
	"belfry.live/belfry/internal/meeting"
	"belfry.live/belfry/internal/meeting/rtc"
	"belfry.live/belfry/internal/store/natskv"
)

// patience is for what happens by itself on a busy machine.
const patience = 20 * time.Second

func testLog(t *testing.T) *slog.Logger {
	if testing.Verbose() {
		return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(slog.DiscardHandler)
}

// noLeaks fails the test if goroutines are left when everything registered
// after it is cleaned up.
func noLeaks(t *testing.T) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		for end := time.Now().Add(patience); runtime.NumGoroutine() > before; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				b := make([]byte, 1<<20)
				t.Errorf("got %d goroutines, want %d as before:\n%s", runtime.NumGoroutine(), before, b[:runtime.Stack(b, true)])
				return
			}
		}
	})
}

// wait fails the test unless ok becomes true.
func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("got no %s within %v", what, patience)
		}
	}
}

// A house is a real meeting service behind real ports.
type house struct {
	*meeting.Service
	t    *testing.T
	addr string // of HTTP
	stop func()
}

// open starts a house on the records in dir, at the address given or a new
// one.
func open(t *testing.T, dir, addr, media string) *house {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	tables, err := natskv.Open(t.Context(), natskv.Config{Dir: dir}, log)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := rtc.NewTransport(rtc.Config{Addr: media}, log)
	if err != nil {
		t.Fatal(err)
	}
	s, err := meeting.New(t.Context(), meeting.Config{Transport: transport}, tables, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	web := httptest.NewUnstartedServer(s.Handler())
	if addr != "" {
		web.Listener.Close()
		wait(t, "port "+addr, func() bool {
			l, err := net.Listen("tcp", addr)
			web.Listener = l
			return err == nil
		})
	}
	web.Start()
	h := &house{Service: s, t: t, addr: web.Listener.Addr().String()}
	h.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("meeting service: got %v, want no error", err)
		}
		web.Close()
		if err := transport.Close(); err != nil {
			t.Errorf("close transport: got %v, want no error", err)
		}
		tables.Close()
	})
	t.Cleanup(h.stop)
	return h
}

func (h *house) meeting() meeting.ID {
	h.t.Helper()
	m, err := h.Create(h.t.Context(), meeting.Spec{})
	if err != nil {
		h.t.Fatal(err)
	}
	return m.ID
}

// A guest is a Client, what it sends and what it was told.
type guest struct {
	*attendee.Client
	t       *testing.T
	id      string
	hz      float64
	decoder *opus.Decoder

	leave func()        // ends Run and waits
	ended chan struct{} // closed after Run
	err   error         // of Run, once ended

	mu       sync.Mutex // guards what follows
	connects []bool
	losses   []error
	people   map[string]attendee.Participant
	volumes  map[string]int
	heard    []float32 // the last second
	packets  int       // of audio
	reports  []report
	videos   map[attendee.Source]*video
	gone     []attendee.Source
	wrong    []string
	key      chan struct{}
}

type report struct {
	ntp time.Time
	rtp uint32
}

type video struct {
	codec   attendee.Codec
	packets []*rtp.Packet
	reports []report
}

// join lets somebody in who plays a tone and receives all videos.
func (h *house) join(m meeting.ID, name string, hz float64) *guest {
	h.t.Helper()
	a, err := h.AddAttendee(h.t.Context(), m, name, meeting.Capabilities{})
	if err != nil {
		h.t.Fatal(err)
	}
	return h.joinAs(m, string(a.ID), name, a.JoinToken.Reveal(), hz)
}

func (h *house) joinAs(m meeting.ID, id, name, token string, hz float64) *guest {
	h.t.Helper()
	g := &guest{
		t: h.t, id: id, hz: hz,
		people: map[string]attendee.Participant{}, volumes: map[string]int{},
		videos: map[attendee.Source]*video{}, key: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	var err error
	if g.decoder, err = opus.NewDecoder(1); err != nil {
		h.t.Fatal(err)
	}
	g.Client = attendee.New(attendee.Config{
		SignalingURL: "ws://" + h.addr + "/control/" + string(m),
		AttendeeID:   id, ExternalUserID: name, JoinToken: token,
		WantVideo: func(attendee.Source) bool { return true },
		Log:       testLog(h.t),
	}, g.handler())
	ctx, cancel := context.WithCancel(context.Background())
	var playing sync.WaitGroup
	go func() {
		defer close(g.ended)
		defer g.decoder.Close()
		defer playing.Wait()
		defer cancel()
		g.err = g.Run(ctx)
	}()
	if hz > 0 {
		playing.Go(func() { g.play(ctx) })
	}
	g.leave = func() { cancel(); <-g.ended }
	h.t.Cleanup(g.leave)
	return g
}

// play sends the tone until ctx ends.
func (g *guest) play(ctx context.Context) {
	e, err := opus.NewEncoder(opus.EncoderConfig{Bitrate: 64000})
	if err != nil {
		g.t.Error(err)
		return
	}
	defer e.Close()
	tone := clip.Tone{Hz: g.hz, Amplitude: 0.25, Encode: e.Encode}
	err = tone.Play(ctx, time.Now(), func(packet []byte, at time.Time) error {
		if err := g.SendAudio(packet, at); err != nil && !errors.Is(err, attendee.ErrNotConnected) {
			return err
		}
		return nil
	})
	if err != nil {
		g.t.Errorf("play: %v", err)
	}
}

// film sends a clip until the returned function is called.
func (g *guest) film(codec attendee.Codec) (stop func()) {
	g.t.Helper()
	var c *clip.Clip
	var err error
	if codec == attendee.VP8 {
		c, err = clip.ParseIVF(read(g.t, "clip/testdata/bars.ivf"))
	} else {
		c, err = clip.ParseAnnexB(read(g.t, "clip/testdata/bars.h264"), time.Second/15)
	}
	if err != nil {
		g.t.Fatal(err)
	}
	if err := g.StartVideo(codec); err != nil {
		g.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := c.Play(ctx, time.Now(), g.key, func(frame []byte, at time.Time) error {
			if err := g.SendVideo(frame, at); err != nil && !errors.Is(err, attendee.ErrNotConnected) {
				return err
			}
			return nil
		})
		if err != nil {
			g.t.Errorf("film: %v", err)
		}
	}()
	stop = sync.OnceFunc(func() { g.StopVideo(); cancel(); <-done })
	g.t.Cleanup(stop)
	return stop
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (g *guest) handler() attendee.Handler {
	pcm := make([]float32, opus.MaxSamples)
	locked := func(f func()) {
		g.mu.Lock()
		defer g.mu.Unlock()
		f()
	}
	return attendee.Handler{
		Connected:    func(again bool) { locked(func() { g.connects = append(g.connects, again) }) },
		Disconnected: func(err error) { locked(func() { g.losses = append(g.losses, err) }) },
		Roster: func(p attendee.Participant) {
			locked(func() {
				if g.people[p.AttendeeID] = p; !p.Present {
					delete(g.people, p.AttendeeID)
				}
			})
		},
		Volumes: func(list []attendee.Volume) {
			locked(func() {
				for _, v := range list {
					g.volumes[v.AttendeeID] = v.DBFS
				}
			})
		},
		AudioRTP: func(p *rtp.Packet, _ time.Time) {
			n, err := g.decoder.Decode(p.Payload, pcm)
			locked(func() {
				if err != nil || n != 960 {
					g.wrong = append(g.wrong, "audio packet does not decode")
				}
				g.packets++
				g.heard = append(g.heard, pcm[:n]...)
				g.heard = g.heard[max(0, len(g.heard)-opus.SampleRate):]
			})
		},
		AudioReport: func(ntp time.Time, rtp uint32) { locked(func() { g.reports = append(g.reports, report{ntp, rtp}) }) },
		VideoStarted: func(s attendee.Source, c attendee.Codec) {
			locked(func() {
				if g.videos[s] != nil {
					g.wrong = append(g.wrong, "video started twice")
				}
				g.videos[s] = &video{codec: c}
			})
			g.RequestKeyFrame(s)
		},
		VideoRTP: func(s attendee.Source, p *rtp.Packet, _ time.Time) {
			locked(func() {
				if v := g.videos[s]; v == nil {
					g.wrong = append(g.wrong, "video packet before its start or after its end")
				} else if len(v.packets) < 10000 {
					v.packets = append(v.packets, p.Clone())
				}
			})
			g.RequestKeyFrame(s) // must not block
		},
		VideoReport: func(s attendee.Source, ntp time.Time, rtp uint32) {
			locked(func() {
				if v := g.videos[s]; v != nil {
					v.reports = append(v.reports, report{ntp, rtp})
				}
			})
		},
		VideoEnded: func(s attendee.Source) {
			locked(func() { delete(g.videos, s); g.gone = append(g.gone, s) })
		},
		KeyFrameWanted: func() {
			select {
			case g.key <- struct{}{}:
			default:
			}
		},
	}
}

// check says whether ok holds of what g was told.
func (g *guest) check(ok func() bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return ok()
}

func (g *guest) wait(what string, ok func() bool) {
	g.t.Helper()
	wait(g.t, what, func() bool { return g.check(ok) })
}

// hears says how loud a tone is in the last half second (Goertzel).
func (g *guest) hears(hz float64) float64 {
	pcm := g.heard[max(0, len(g.heard)-opus.SampleRate/2):]
	c := 2 * math.Cos(2*math.Pi*hz/opus.SampleRate)
	var s1, s2 float64
	for i, x := range pcm {
		w := 1 - math.Cos(2*math.Pi*float64(i)/float64(len(pcm)))
		s1, s2 = float64(x)*w+c*s1-s2, s1
	}
	return 2 * math.Sqrt(max(s1*s1+s2*s2-c*s1*s2, 0)) / float64(max(len(pcm), 1))
}

func (g *guest) clean() {
	g.t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, w := range g.wrong {
		g.t.Errorf("%s: %s", g.id, w)
	}
}

func TestTwoHearEachOther(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), "", "127.0.0.1:0")
	m := h.meeting()
	a, b := h.join(m, "alice", 440), h.join(m, "bob", 1000)
	a.wait("tone of b at a", func() bool { return a.hears(b.hz) > 0.2 })
	b.wait("tone of a at b", func() bool { return b.hears(a.hz) > 0.2 })
	for _, g := range []*guest{a, b} {
		g.wait("roster of two", func() bool { return len(g.people) == 2 })
		g.wait("volumes of two", func() bool { return g.volumes[a.id] > 0 && g.volumes[b.id] > 0 })
		g.wait("sender report", func() bool { return len(g.reports) > 0 })
		g.check(func() bool {
			if own := g.hears(g.hz); own > 0.002 {
				t.Errorf("%s hears itself at %.4f, want less than 0.002", g.id, own)
			}
			// An amplitude of 0.25 is 15 dB below full scale.
			if v := g.volumes[a.id]; v < 13 || v > 17 {
				t.Errorf("got volume %d, want about 15", v)
			}
			if p := g.people[b.id]; p != (attendee.Participant{AttendeeID: b.id, ExternalUserID: "bob", Present: true}) {
				t.Errorf("got %+v in the roster, want bob", p)
			}
			return true
		})
		g.clean()
	}

	a.SetMuted(true)
	b.wait("mute at b", func() bool { return b.people[a.id].Muted })
	b.wait("silence at b", func() bool { return b.hears(a.hz) < 0.0001 })
	a.SetMuted(false)
	b.wait("unmute at b", func() bool { return !b.people[a.id].Muted && b.hears(a.hz) > 0.2 })

	b.leave()
	if b.err != nil {
		t.Errorf("Run after leaving: got %v, want nil", b.err)
	}
	a.wait("leave of b", func() bool { return len(a.people) == 1 })
}
