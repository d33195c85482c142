package attendee

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	// Backoff between attempts: a random time up to one second that doubles
	// with each attempt, up to a limit.
	firstBackoff = time.Second
	maxBackoff   = 5 * time.Second
)

// A Client is one attendee. Its methods may be called from any goroutine,
// also from a Handler.
type Client struct {
	// Fixed by New.
	cfg     Config
	handler Handler
	log     *slog.Logger
	id      uint64 // of the session: one client, however often it reconnects
	audio   *outgoing
	camera  [maxLayers]*outgoing // by layer

	changed chan struct{} // holds one: wanted has changed

	mu      sync.Mutex // guards what follows
	wanted  wanted
	current *session              // the one whose media is connected
	prefer  map[string]Preference // by attendee id

	// Touched by Run alone.
	connected bool // at least once
	lost      time.Time
	people    map[string]Participant // who is in, by attendee id
}

// wanted is what the caller wants to send.
type wanted struct {
	video *filming // nil: off
	muted bool
}

// filming is one time the camera is on.
type filming struct {
	codec  Codec
	layers []Layer // at least one
}

// maxLayers is how many encodings of the camera there may be.
const maxLayers = 3

// New makes a Client. Run joins.
func New(cfg Config, h Handler) *Client {
	if cfg.HTTPClient == nil {
		cfg.HTTPClient = http.DefaultClient
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Codecs == nil {
		cfg.Codecs = []Codec{VP8, H264}
	}
	epoch := time.Now()
	c := &Client{
		cfg: cfg, handler: h,
		log:     cfg.Log.With("attendee", cfg.AttendeeID),
		id:      uint64(rand.Uint32()),
		audio:   newOutgoing(48000, epoch),
		changed: make(chan struct{}, 1),
		prefer:  make(map[string]Preference),
		people:  make(map[string]Participant),
	}
	for i := range c.camera {
		c.camera[i] = newOutgoing(90000, epoch)
	}
	return c
}

// Run attends the meeting until ctx ends, then leaves it in good order and
// returns nil. It may be called once.
func (c *Client) Run(ctx context.Context) error {
	c.lost = time.Now()
	for attempt := 0; ; attempt++ {
		up, err := c.attend(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if final(err) {
			return err
		}
		if up {
			attempt = 0
			c.lost = time.Now()
			if c.handler.Disconnected != nil {
				c.handler.Disconnected(err)
			}
		}
		if p := c.cfg.Patience; p > 0 && time.Since(c.lost) > p {
			return fmt.Errorf("no connection for %v: %w", p, err)
		}
		wait := rand.N(min(firstBackoff<<min(attempt, 8), maxBackoff))
		c.log.Info("trying again to attend", "in", wait, "err", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// attend holds one connection for as long as it lasts, and says whether media
// ever flowed.
func (c *Client) attend(ctx context.Context) (up bool, err error) {
	s := newSession(c)
	err = s.run(ctx)
	return s.up, err
}

// final says whether it is no use to try again.
func final(err error) bool {
	for _, e := range []error{ErrEnded, ErrRemoved, ErrJoinedElsewhere, ErrRefused, ErrFull} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// SendAudio sends one Opus packet whose first sample was captured at that
// time. Packets of a steady stream are given times as many samples apart as
// they hold.
func (c *Client) SendAudio(payload []byte, at time.Time) error {
	return c.audio.send(payload, at, noLevel)
}

// SendSpeech is SendAudio with the packet's loudness, in decibels below full
// scale (RFC 6464): 0 is the loudest, 127 silence.
func (c *Client) SendSpeech(payload []byte, at time.Time, level uint8) error {
	return c.audio.send(payload, at, min(level, 127))
}

// StartVideo switches the camera on, with several layers for simulcast, the
// least first. The video is not sent before the meeting has agreed, upon which
// KeyFrameWanted is called.
func (c *Client) StartVideo(codec Codec, layers ...Layer) error {
	if codec < VP8 || codec > AV1 {
		return fmt.Errorf("start video: codec %v cannot be sent", codec)
	}
	if len(layers) == 0 {
		layers = []Layer{{MaxKbps: 1500}}
	}
	if len(layers) > maxLayers {
		return fmt.Errorf("start video: %d layers, at most %d", len(layers), maxLayers)
	}
	for _, l := range layers {
		if l.RID == "" && len(layers) > 1 || len(l.RID) > 16 {
			return fmt.Errorf("start video: a layer is called %q", l.RID)
		}
	}
	f := &filming{codec: codec, layers: slices.Clone(layers)}
	c.change(func(w *wanted) { w.video = f })
	return nil
}

// StopVideo switches the camera off.
func (c *Client) StopVideo() { c.change(func(w *wanted) { w.video = nil }) }

// SendVideo sends one frame of the only or least layer that was captured at
// that time: a VP8 or VP9 frame, an H.264 access unit in Annex B form, or an
// AV1 temporal unit.
func (c *Client) SendVideo(frame []byte, at time.Time) error { return c.SendLayer(0, frame, at) }

// SendLayer sends one frame of a layer. Those of a layer that the meeting does
// not take go nowhere.
func (c *Client) SendLayer(layer int, frame []byte, at time.Time) error {
	return c.camera[layer].send(frame, at, noLevel)
}

// SetMuted tells the meeting that the microphone is off, or on again. It does
// not touch what SendAudio sends.
func (c *Client) SetMuted(muted bool) { c.change(func(w *wanted) { w.muted = muted }) }

// RequestKeyFrame asks the meeting for a key frame of a video.
func (c *Client) RequestKeyFrame(s Source) {
	c.mu.Lock()
	current := c.current
	c.mu.Unlock()
	if current != nil {
		current.requestKeyFrame(s)
	}
}

// keyFrameWanted tells that a layer should begin anew.
func (c *Client) keyFrameWanted(layer int) {
	if c.handler.KeyFrameWanted != nil {
		c.handler.KeyFrameWanted(layer)
	}
}

// Way says what the media goes over: "udp", "tcp", "relay", or "" while there
// is none.
func (c *Client) Way() string {
	c.mu.Lock()
	current := c.current
	c.mu.Unlock()
	if current == nil {
		return ""
	}
	return current.peer.link.Way()
}

func (c *Client) change(f func(*wanted)) {
	c.mu.Lock()
	f(&c.wanted)
	c.mu.Unlock()
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

func (c *Client) wants() wanted {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wanted
}

func (c *Client) setCurrent(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current = s
}
