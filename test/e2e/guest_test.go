package e2e

import (
	"context"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtp"

	"belfry.live/belfry/internal/attendee"
	"belfry.live/belfry/internal/attendee/clip"
	"belfry.live/belfry/internal/media/opus"
	"belfry.live/belfry/test/running"
)

// A look is how a guest shows and sounds.
type look struct {
	name   string
	codec  attendee.Codec
	source string // ffmpeg's, of the camera
	rgb    [3]int // of a camera with one colour
	hertz  float64
	gate   bool // sound for the first 100 ms of every 2 s only
}

var (
	red  = look{name: "Ann", codec: attendee.VP8, source: "color=c=0xd02020:s=640x360:r=30:d=2", rgb: [3]int{208, 32, 32}, hertz: 600}
	blue = look{name: "Bob", codec: attendee.H264, source: "color=c=0x2040d0:s=640x360:r=30:d=2", rgb: [3]int{32, 64, 208}, hertz: 1100}
	// screen is not as wide as a camera's picture.
	screen = look{name: "Ann's screen", codec: attendee.VP8, source: "color=c=0x20a040:s=640x480:r=30:d=2", rgb: [3]int{32, 160, 64}}
	// flash turns white and beeps at once, every 2 s.
	flash = look{
		name: "Flash", codec: attendee.VP8, hertz: 1000, gate: true,
		source: "color=c=black:s=640x360:r=30:d=2,drawbox=c=white:t=fill:enable='lt(t,0.1)'",
	}
)

// A guest is an attendee with a camera, a microphone and ears.
type guest struct {
	look
	running.Joined
	client *attendee.Client
	leave  func() error // and wait; the error is Run's

	mu     sync.Mutex
	heard  []float32 // the last seconds of the mix
	seen   map[string]int
	roster map[string]bool

	out          atomic.Bool  // Run has returned
	packets      atomic.Int64 // of the mix
	reconnects   atomic.Int64
	longestPause atomic.Int64 // between packets of the mix, nanoseconds
}

const earMemory = 2 * opus.SampleRate

// join puts a guest into a meeting through the site.
func (s server) join(l look) *guest {
	s.t.Helper()
	j, err := s.Join(l.name)
	if err != nil {
		s.t.Fatal(err)
	}
	return attend(s.t, l, j)
}

func attend(t *testing.T, l look, j running.Joined) *guest {
	t.Helper()
	g := &guest{look: l, Joined: j, seen: map[string]int{}, roster: map[string]bool{}}
	ear, err := opus.NewDecoder(1)
	if err != nil {
		t.Fatal(err)
	}
	pcm := make([]float32, opus.MaxSamples)
	var last time.Time
	ready, restart := make(chan struct{}, 1), make(chan struct{}, 1)
	cfg := j.Config()
	cfg.WantVideo = func(attendee.Source) bool { return true }
	g.client = attendee.New(cfg, attendee.Handler{
		Connected: func(again bool) {
			if again {
				g.reconnects.Add(1)
			}
			select {
			case ready <- struct{}{}:
			default:
			}
		},
		Roster: func(p attendee.Participant) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.roster[p.AttendeeID] = p.Present
		},
		AudioRTP: func(p *rtp.Packet, arrival time.Time) {
			if !last.IsZero() {
				if pause := arrival.Sub(last); int64(pause) > g.longestPause.Load() {
					g.longestPause.Store(int64(pause))
				}
			}
			last = arrival
			g.packets.Add(1)
			n, err := ear.Decode(p.Payload, pcm)
			if err != nil {
				return // shows as a missing tone
			}
			g.mu.Lock()
			defer g.mu.Unlock()
			g.heard = append(g.heard, pcm[:n]...)
			if extra := len(g.heard) - earMemory; extra > 0 {
				g.heard = append(g.heard[:0], g.heard[extra:]...)
			}
		},
		VideoRTP: func(s attendee.Source, _ *rtp.Packet, _ time.Time) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.seen[s.AttendeeID]++
		},
		KeyFrameWanted: func(int) {
			select {
			case restart <- struct{}{}:
			default:
			}
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	var plays sync.WaitGroup
	ended := make(chan error, 1)
	plays.Go(func() {
		ended <- g.client.Run(ctx)
		g.out.Store(true)
	})
	select {
	case <-ready:
	case err := <-ended:
		t.Fatalf("%s could not join: %v", l.name, err)
	case <-time.After(15 * time.Second):
		t.Fatalf("%s did not get in within 15 s", l.name)
	}
	g.leave = sync.OnceValue(func() error {
		cancel()
		plays.Wait()
		ear.Close()
		return <-ended
	})
	t.Cleanup(func() { _ = g.leave() }) // tests that care have called it

	started := time.Now()
	if l.hertz > 0 {
		mouth := newMouth(t, l)
		plays.Go(func() {
			defer mouth.encoder.Close()
			tone := clip.Tone{Hz: l.hertz, Amplitude: 0.4, Encode: mouth.encode}
			if err := tone.Play(ctx, started, unlessAway(g.client.SendAudio)); err != nil {
				t.Errorf("%s's microphone: %v", l.name, err)
			}
		})
	}
	if l.source != "" {
		film := record(t, l)
		if err := g.client.StartVideo(l.codec); err != nil {
			t.Fatal(err)
		}
		if l.gate {
			restart = nil // begun anew, the film would leave the sound
		}
		plays.Go(func() {
			if err := film.Play(ctx, started, restart, unlessAway(g.client.SendVideo)); err != nil {
				t.Errorf("%s's camera: %v", l.name, err)
			}
		})
	}
	return g
}

// share has the guest show a screen beside the camera.
func (g *guest) share(t *testing.T, l look) *guest {
	t.Helper()
	j := g.Joined
	j.Attendee.AttendeeID += "#content"
	j.Attendee.JoinToken += "#content"
	return attend(t, l, j)
}

// unlessAway lets a clip play on while its attendee is not connected.
func unlessAway(send func([]byte, time.Time) error) func([]byte, time.Time) error {
	return func(b []byte, at time.Time) error {
		if err := send(b, at); !errors.Is(err, attendee.ErrNotConnected) {
			return err
		}
		return nil
	}
}

// A mouth is an encoder that may be silent for most of every 2 s.
type mouth struct {
	encoder *opus.Encoder
	gate    bool
	samples int
}

func newMouth(t *testing.T, l look) *mouth {
	t.Helper()
	e, err := opus.NewEncoder(opus.EncoderConfig{Channels: 1, Bitrate: 48000})
	if err != nil {
		t.Fatal(err)
	}
	return &mouth{encoder: e, gate: l.gate}
}

func (m *mouth) encode(pcm []float32, packet []byte) (int, error) {
	for i := range pcm {
		if m.gate && m.samples%(2*opus.SampleRate) >= opus.SampleRate/10 {
			pcm[i] = 0
		}
		m.samples++
	}
	return m.encoder.Encode(pcm, packet)
}

var films sync.Map // by look's name

// record makes the guest's camera clip.
func record(t *testing.T, l look) *clip.Clip {
	t.Helper()
	if c, ok := films.Load(l.name); ok {
		return c.(*clip.Clip)
	}
	args := []string{"-hide_banner", "-loglevel", "error", "-f", "lavfi", "-i", l.source, "-threads", "1"}
	file := filepath.Join(t.TempDir(), "clip.ivf")
	if l.codec == attendee.H264 {
		file = filepath.Join(t.TempDir(), "clip.h264")
		args = append(args, "-c:v", "libx264", "-profile:v", "baseline", "-tune", "zerolatency", "-g", "15", "-b:v", "600k")
	} else {
		args = append(args, "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-g", "15", "-b:v", "600k")
	}
	if out, err := exec.Command("ffmpeg", append(args, file)...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, out)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parse := clip.ParseIVF
	if l.codec == attendee.H264 {
		parse = func(b []byte) (*clip.Clip, error) { return clip.ParseAnnexB(b, time.Second/30) }
	}
	c, err := parse(b)
	if err != nil {
		t.Fatal(err)
	}
	films.Store(l.name, c)
	return c
}

// hears is the level of a tone in the last half second of the mix, in dB below
// full scale (a full sine is 0).
func (g *guest) hears(hertz float64) float64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return level(g.heard[max(0, len(g.heard)-opus.SampleRate/2):], hertz)
}

// over says that the guest is out of the meeting for good.
func (g *guest) over() bool { return g.out.Load() }

// forget empties the ears.
func (g *guest) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.heard = nil
}

func (g *guest) sees(other *guest) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.seen[other.Attendee.AttendeeID]
}

// level is the Goertzel algorithm: the level of one frequency, in dB.
func level(pcm []float32, hertz float64) float64 {
	if len(pcm) == 0 {
		return math.Inf(-1)
	}
	w := 2 * math.Pi * hertz / opus.SampleRate
	var a, b float64
	for _, x := range pcm {
		a, b = float64(x)+2*math.Cos(w)*a-b, a
	}
	power := a*a + b*b - 2*math.Cos(w)*a*b
	return 20 * math.Log10(2*math.Sqrt(max(power, 0))/float64(len(pcm))+1e-9)
}
