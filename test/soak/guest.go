package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/pion/rtp"

	"belfry.live/belfry/internal/attendee"
	"belfry.live/belfry/internal/attendee/clip"
	"belfry.live/belfry/internal/media/opus"
)

const (
	// joinTime is how long a guest may take to hear the meeting.
	joinTime = 20 * time.Second
	// gapTime without a packet is a gap.
	gapTime = 250 * time.Millisecond
)

// A guest is an attendee with a microphone, a camera and an ear.
type guest struct {
	*attendee.Client
	name    string
	tally   *tally
	film    *clip.Clip
	web     *http.Transport
	restart chan struct{}
	leave   func() // and wait
	ended   chan struct{}
	err     error // of Run, once ended

	mu        sync.Mutex // guards what follows
	conn      net.Conn   // of the signaling
	connected chan struct{}
	cutting   bool // it cut its connection itself, which has not ended yet
	deaf      bool // has not heard anything yet on this connection
	over      bool // listens no more
	sequence  uint16
	last      time.Time // packet
	camera    func()    // switches it off; nil: it is
}

// attend brings a guest in and waits until it hears the meeting. With an error
// there is none.
func attend(cfg attendee.Config, t *tally, film *clip.Clip, hertz float64) (*guest, error) {
	g := &guest{
		name: cfg.ExternalUserID, tally: t, film: film, deaf: true,
		restart: make(chan struct{}, 1), connected: make(chan struct{}), ended: make(chan struct{}),
	}
	g.web = &http.Transport{DialContext: g.dial}
	cfg.HTTPClient = &http.Client{Transport: g.web}
	cfg.WantVideo = func(attendee.Source) bool { return true }
	g.Client = attendee.New(cfg, attendee.Handler{
		Disconnected: g.disconnected,
		AudioRTP:     g.hear,
		KeyFrameWanted: func(int) {
			select {
			case g.restart <- struct{}{}:
			default:
			}
		},
	})
	mouth, err := opus.NewEncoder(opus.EncoderConfig{Channels: 1, Bitrate: 32000})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		defer close(g.ended)
		g.err = g.Run(ctx)
	})
	running.Go(func() {
		defer mouth.Close()
		tone := clip.Tone{Hz: hertz, Amplitude: 0.05, Encode: mouth.Encode}
		_ = tone.Play(ctx, time.Now(), func(packet []byte, at time.Time) error {
			_ = g.SendAudio(packet, at) // who is not connected is not heard
			return nil
		})
	})
	g.leave = sync.OnceFunc(func() {
		g.filming(false)
		g.listened()
		cancel()
		running.Wait()
		g.web.CloseIdleConnections()
	})
	if err := g.awaitSound(); err != nil {
		g.mu.Lock()
		g.over = true
		g.mu.Unlock()
		g.leave()
		return nil, err
	}
	return g, nil
}

func (g *guest) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.conn = conn
	return conn, err
}

// cut ends the signaling connection without a word. What is not heard from now
// on is the guest's own doing.
func (g *guest) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cutting, g.connected = true, make(chan struct{})
	_ = g.conn.Close()
}

// awaitSound waits until something is heard, for the first time or again.
func (g *guest) awaitSound() error {
	g.mu.Lock()
	connected := g.connected
	g.mu.Unlock()
	select {
	case <-connected:
		return nil
	case <-g.ended:
		return fmt.Errorf("%s: left with %w before it heard the meeting", g.name, errors.Join(g.err, errOut))
	case <-time.After(joinTime):
		return fmt.Errorf("%s: heard nothing within %v", g.name, joinTime)
	}
}

var errOut = errors.New("not in the meeting")

func (g *guest) disconnected(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.cutting && !g.over {
		g.tally.fail(fmt.Errorf("%s: connection lost: %w", g.name, err))
	}
	g.cutting, g.deaf = false, true
}

// hear counts gaps. After a cut packets of the old connection still come for a
// moment.
func (g *guest) hear(p *rtp.Packet, arrival time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cutting || g.over {
		return
	}
	if g.deaf {
		g.deaf = false
		g.sequence, g.last = p.SequenceNumber, arrival
		select {
		case <-g.connected:
		default:
			close(g.connected)
		}
		return
	}
	d := int16(p.SequenceNumber - g.sequence)
	if d <= 0 {
		return // late
	}
	if pause := arrival.Sub(g.last); d > 1 || pause > gapTime {
		g.tally.gap(g.name, pause, int(d)-1)
	}
	g.sequence, g.last = p.SequenceNumber, arrival
}

// listened ends the listening: with a gap if nothing came any more, and with a
// failure if it was put out.
func (g *guest) listened() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over {
		return
	}
	g.over = true
	select {
	case <-g.ended:
		g.tally.fail(fmt.Errorf("%s: put out: %w", g.name, errors.Join(g.err, errOut)))
		return
	default:
	}
	if pause := time.Since(g.last); !g.deaf && !g.cutting && pause > 4*gapTime {
		g.tally.gap(g.name, pause, 0)
	}
}

// filming switches the camera on or off.
func (g *guest) filming(on bool) {
	g.mu.Lock()
	off := g.camera
	g.camera = nil
	g.mu.Unlock()
	if off != nil {
		off()
	}
	if !on {
		return
	}
	if err := g.StartVideo(attendee.VP8); err != nil {
		g.tally.fail(err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = g.film.Play(ctx, time.Now(), g.restart, func(frame []byte, at time.Time) error {
			_ = g.SendVideo(frame, at) // who is not connected is not seen
			return nil
		})
	}()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.camera = func() { cancel(); <-done; g.StopVideo() }
}
