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
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/transport/v4"

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
	audio    func(p *rtp.Packet, pcm []float32)
	picture  func(v *video, p *rtp.Packet)
}

// setVideo has f look at all packets of video, under mu.
func (g *guest) setVideo(f func(v *video, p *rtp.Packet)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.picture = f
}

// setAudio has f look at all sound, under mu.
func (g *guest) setAudio(f func(p *rtp.Packet, pcm []float32)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.audio = f
}

type report struct {
	ntp time.Time
	rtp uint32
}

// time is when the timestamp is, by the report.
func (r report) time(timestamp uint32, rate time.Duration) time.Time {
	return r.ntp.Add(time.Duration(int32(timestamp-r.rtp)) * time.Second / rate)
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

// joinBy lets somebody in who uses that network.
func (h *house) joinBy(m meeting.ID, name string, network transport.Net) *guest {
	h.t.Helper()
	a, err := h.AddAttendee(h.t.Context(), m, name, meeting.Capabilities{})
	if err != nil {
		h.t.Fatal(err)
	}
	return h.joinVia(m, string(a.ID), name, a.JoinToken.Reveal(), 0, network)
}

func (h *house) joinAs(m meeting.ID, id, name, token string, hz float64) *guest {
	h.t.Helper()
	return h.joinVia(m, id, name, token, hz, nil)
}

func (h *house) joinVia(m meeting.ID, id, name, token string, hz float64, network transport.Net) *guest {
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
		Net:       network,
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
				if g.audio != nil {
					g.audio(p, pcm[:n])
				}
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
					if g.picture != nil {
						g.picture(v, p)
					}
				}
			})
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
		KeyFrameWanted: func(int) {
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

// theOnly gives the one video that g receives.
func (g *guest) theOnly() (attendee.Source, *video) {
	for s, v := range g.videos {
		if len(g.videos) == 1 {
			return s, v
		}
	}
	return attendee.Source{}, nil
}

func TestTwoSeeEachOther(t *testing.T) {
	for _, sent := range [][2]attendee.Codec{{attendee.VP8, attendee.H264}, {attendee.H264, attendee.VP8}} {
		t.Run(sent[0].String()+" and "+sent[1].String(), func(t *testing.T) {
			noLeaks(t)
			h := open(t, t.TempDir(), "", "127.0.0.1:0")
			m := h.meeting()
			a, b := h.join(m, "alice", 440), h.join(m, "bob", 1000)
			stopA, stopB := a.film(sent[0]), b.film(sent[1])
			for i, g := range []*guest{a, b} {
				other, codec := []*guest{b, a}[i], sent[1-i]
				g.wait("key frame", func() bool {
					s, v := g.theOnly()
					return v != nil && s.AttendeeID == other.id && v.codec == codec && hasKeyFrame(codec, v.packets)
				})
				g.wait("ten frames and a report", func() bool {
					_, v := g.theOnly()
					return v != nil && frames(v.packets) > 10 && len(v.reports) > 0
				})
				g.check(func() bool {
					s, v := g.theOnly()
					if want := []string{"alice", "bob"}[1-i]; s.ExternalUserID != want {
						t.Errorf("got external id %q, want %q", s.ExternalUserID, want)
					}
					for j := 1; j < len(v.packets); j++ {
						if d := v.packets[j].SequenceNumber - v.packets[j-1].SequenceNumber; d != 1 {
							t.Errorf("packet %d: got a step of %d in the sequence, want 1", j, d)
						}
					}
					return true
				})
			}
			// One switches off; the other's goes on.
			stopA()
			b.wait("end of a's video", func() bool { return len(b.videos) == 0 && len(b.gone) == 1 })
			a.check(func() bool { _, v := a.theOnly(); v.packets = nil; return true })
			a.wait("more of b's video", func() bool { _, v := a.theOnly(); return v != nil && frames(v.packets) > 5 })

			// On again, in the other codec: it is another source on the same
			// section.
			stopA = a.film(sent[1])
			b.wait("a's video again", func() bool {
				s, v := b.theOnly()
				return v != nil && s != b.gone[0] && v.codec == sent[1] && hasKeyFrame(sent[1], v.packets)
			})
			stopB()
			stopA()
			for _, g := range []*guest{a, b} {
				g.wait("end of all videos", func() bool { return len(g.videos) == 0 })
				g.leave()
				g.clean()
			}
		})
	}
}

// frames counts the packets that end a frame.
func frames(packets []*rtp.Packet) int {
	n := 0
	for _, p := range packets {
		if p.Marker {
			n++
		}
	}
	return n
}

// hasKeyFrame looks for the first packet of a key frame.
func hasKeyFrame(codec attendee.Codec, packets []*rtp.Packet) bool {
	for _, p := range packets {
		switch codec {
		case attendee.VP8:
			var d codecs.VP8Packet
			if b, err := d.Unmarshal(p.Payload); err == nil && d.S == 1 && len(b) > 0 && b[0]&1 == 0 {
				return true
			}
		case attendee.H264:
			// A parameter set, in STAP-A or alone (RFC 6184 section 5.4).
			if kind := p.Payload[0] & 0x1f; kind == 24 || kind == 7 {
				return true
			}
		}
	}
	return false
}

// A flash in the picture and a beep in the sound of the same moment come out at
// the same moment by the sender reports.
func TestSoundAndPictureAreOnOneClock(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), "", "127.0.0.1:0")
	m := h.meeting()
	a, b := h.join(m, "alice", 0), h.join(m, "bob", 0)

	// Alice beeps for 40 ms each second, when a key frame of her clip comes.
	e, err := opus.NewEncoder(opus.EncoderConfig{Bitrate: 64000})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	ctx, cancel := context.WithCancel(context.Background())
	var playing sync.WaitGroup
	defer playing.Wait()
	defer cancel()
	begun := time.Now()
	n := 0
	beep := clip.Tone{Hz: 1000, Amplitude: 0.5}
	beep.Encode = func(pcm []float32, packet []byte) (int, error) {
		if n%50 >= 2 {
			clear(pcm)
		}
		n++
		return e.Encode(pcm, packet)
	}
	b.wait("connection", func() bool { return len(b.connects) > 0 })
	playing.Go(func() {
		beep.Play(ctx, begun, func(packet []byte, at time.Time) error { a.SendAudio(packet, at); return nil })
	})
	c, err := clip.ParseIVF(read(t, "clip/testdata/bars.ivf"))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.StartVideo(attendee.VP8); err != nil {
		t.Fatal(err)
	}
	playing.Go(func() {
		c.Play(ctx, begun, nil, func(frame []byte, at time.Time) error { a.SendVideo(frame, at); return nil })
	})

	// Bob finds the beginnings of the beeps and the key frames, each on the
	// clock of its last report.
	var beeps, flashes []time.Time
	b.setAudio(func(p *rtp.Packet, pcm []float32) {
		if len(b.reports) == 0 {
			return
		}
		for i, x := range pcm {
			if x < 0.1 && x > -0.1 {
				continue
			}
			at := b.reports[len(b.reports)-1].time(p.Timestamp+uint32(i), 48000)
			if n := len(beeps); n == 0 || at.Sub(beeps[n-1]) > 500*time.Millisecond {
				beeps = append(beeps, at)
			}
			return
		}
	})
	b.setVideo(func(v *video, p *rtp.Packet) {
		if n := len(v.reports); n > 0 && hasKeyFrame(attendee.VP8, []*rtp.Packet{p}) {
			flashes = append(flashes, v.reports[n-1].time(p.Timestamp, 90000))
		}
	})
	b.wait("eight beeps and flashes", func() bool { return len(beeps) >= 8 && len(flashes) >= 8 })
	b.check(func() bool {
		var apart []time.Duration
		for _, flash := range flashes {
			for _, beep := range beeps {
				if d := flash.Sub(beep); d.Abs() < 500*time.Millisecond {
					apart = append(apart, d)
				}
			}
		}
		t.Logf("flashes after beeps: %v", apart)
		if len(apart) < 5 {
			t.Fatalf("got %d beeps with a flash, want at least 5", len(apart))
		}
		// The median: on a busy machine the sound may stumble, and the
		// reports show it a second later.
		slices.Sort(apart)
		if d := apart[len(apart)/2]; d.Abs() > 30*time.Millisecond {
			t.Errorf("got flashes %v after their beeps, want within 30 ms", d)
		}
		return true
	})
	b.clean()
}

// wantEnd waits for Run to end with an error.
func (g *guest) wantEnd(want error) {
	g.t.Helper()
	select {
	case <-g.ended:
	case <-time.After(patience):
		g.t.Fatalf("got no end within %v", patience)
	}
	if !errors.Is(g.err, want) {
		g.t.Errorf("Run: got %v, want %v", g.err, want)
	}
}

func TestEndings(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), "", "127.0.0.1:0")
	m := h.meeting()

	forger := h.joinAs(m, "nobody", "eve", "no-such-token", 0)
	forger.wantEnd(attendee.ErrRefused)
	if forger.err != nil && strings.Contains(forger.err.Error(), "no-such-token") {
		t.Errorf("got the token in %q, want it left out", forger.err)
	}

	removed, stays := h.join(m, "rita", 440), h.join(m, "sam", 1000)
	stays.wait("roster of two", func() bool { return len(stays.people) == 2 })
	if err := h.RemoveAttendee(t.Context(), m, meeting.AttendeeID(removed.id)); err != nil {
		t.Fatal(err)
	}
	removed.wantEnd(attendee.ErrRemoved)
	stays.wait("leave of the one removed", func() bool { return len(stays.people) == 1 })

	// The same attendee from another place: the newest wins.
	a, err := h.AddAttendee(t.Context(), m, "tess", meeting.Capabilities{})
	if err != nil {
		t.Fatal(err)
	}
	first := h.joinAs(m, string(a.ID), "tess", a.JoinToken.Reveal(), 440)
	first.wait("first connection", func() bool { return len(first.connects) == 1 && len(first.people) > 0 })
	second := h.joinAs(m, string(a.ID), "tess", a.JoinToken.Reveal(), 440)
	first.wantEnd(attendee.ErrJoinedElsewhere)
	second.wait("second connection", func() bool { return len(second.connects) == 1 })

	stop := stays.film(attendee.VP8)
	second.wait("video", func() bool { return len(second.videos) == 1 })
	if err := h.End(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	for _, g := range []*guest{stays, second} {
		g.wantEnd(attendee.ErrEnded)
	}
	stop()
	if len(second.videos) != 0 || len(second.gone) != 1 {
		t.Errorf("got %d videos and %d ended after the meeting, want 0 and 1", len(second.videos), len(second.gone))
	}
	late := h.joinAs(m, string(a.ID), "tess", a.JoinToken.Reveal(), 0)
	late.wantEnd(attendee.ErrEnded)
}

func TestServerComesBack(t *testing.T) {
	noLeaks(t)
	dir := t.TempDir()
	h := open(t, dir, "", "127.0.0.1:0")
	m := h.meeting()
	a, b := h.join(m, "alice", 440), h.join(m, "bob", 1000)
	a.film(attendee.VP8)
	b.wait("sound and video", func() bool { return b.hears(a.hz) > 0.2 && len(b.videos) == 1 })
	addr := h.addr
	h.stop()
	for _, g := range []*guest{a, b} {
		g.wait("loss of the connection", func() bool { return len(g.losses) > 0 })
	}
	b.wait("end of the video", func() bool { return len(b.videos) == 0 })
	b.check(func() bool { b.heard = nil; return true })

	open(t, dir, addr, "127.0.0.1:0")
	for _, g := range []*guest{a, b} {
		g.wait("connection again", func() bool { return len(g.connects) == 2 && g.connects[1] })
	}
	b.wait("sound again", func() bool { return b.hears(a.hz) > 0.2 })
	b.wait("video again", func() bool {
		s, v := b.theOnly()
		return v != nil && s != b.gone[0] && hasKeyFrame(attendee.VP8, v.packets)
	})
	b.wait("roster again", func() bool { return len(b.people) == 2 })
	for _, g := range []*guest{a, b} {
		g.leave()
		g.clean()
	}
}
