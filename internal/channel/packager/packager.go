// Package packager turns a publisher's samples into what viewers load: parts,
// segments and playlists of Low-Latency HLS, one rendition for the picture and
// one for the sound, all in memory.
//
// In come samples with the publisher's timestamps and the time of their
// arrival; out go immutable bytes and playlist texts, and readers may wait for
// those that do not exist yet. Nothing is transcoded. Who may publish is left
// to package channel, HTTP to package playback.
package packager

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"belfry.live/belfry/internal/wire/aac"
	"belfry.live/belfry/internal/wire/fmp4"
	"belfry.live/belfry/internal/wire/h264"
)

// Errors of a Packager's writing side. Whoever gets one should cut the
// publisher off; every later call returns it again.
var (
	// ErrTracks says that the publisher came back with a picture or sound
	// where it had none before, or without one it had. Playlists cannot follow
	// that; the broadcast has to end and a new one to begin.
	ErrTracks = errors.New("the stream has come back with other tracks")
	// ErrTimestamps says that picture and sound are not on one clock.
	ErrTimestamps = errors.New("the timestamps of picture and sound do not belong together")
	// ErrTooLarge says that a sample or a segment is larger than allowed.
	ErrTooLarge = errors.New("the stream is larger than allowed")
	// ErrNoConfig says that media came before its codec's configuration.
	ErrNoConfig = errors.New("media came before its codec configuration")
)

// Config says how media is cut and kept. Its zero value is the default.
type Config struct {
	// TargetDuration is what a segment should last, in whole seconds (0: 2 s).
	// A publisher whose key frames are further apart gets longer segments, and
	// playlists that say so.
	TargetDuration time.Duration
	MaxSegment     time.Duration // after which one ends without a key frame (0: 10 s)
	PartDuration   time.Duration // what a part should last (0: 200 ms)
	// Window is how much of the stream the playlists list (0: 24 s). As much
	// again is kept for players that are slow to load it.
	Window time.Duration
	// TrackWait is how long a publisher that has sent only picture or only
	// sound may take to send the other (0: 1 s).
	TrackWait time.Duration
	MaxBytes  int // of media kept in memory (0: 128 MiB)
	MaxSample int // bytes of a sample (0: 8 MiB)
}

func (c Config) withDefaults() Config {
	c.TargetDuration = cmp.Or(c.TargetDuration, 2*time.Second)
	c.MaxSegment = max(cmp.Or(c.MaxSegment, 10*time.Second), c.TargetDuration)
	c.PartDuration = cmp.Or(c.PartDuration, 200*time.Millisecond)
	c.Window = cmp.Or(c.Window, 24*time.Second)
	c.TrackWait = cmp.Or(c.TrackWait, time.Second)
	c.MaxBytes = cmp.Or(c.MaxBytes, 128<<20)
	c.MaxSample = cmp.Or(c.MaxSample, 8<<20)
	return c
}

// longest returns the longest segment that a target duration, in whole seconds,
// allows: it promises every duration rounded to the nearest (RFC 8216bis,
// 4.4.3.1).
func longest(target time.Duration) time.Duration { return target + 450*time.Millisecond }

// A Packager makes the renditions of one broadcast: everything that viewers
// see under the same playlists, of one publisher or of several one after the
// other.
//
// Begin, Set*, Write*, Interrupt and End are the writing side; one goroutine
// at a time may use it. Everything else may be called at any time.
type Packager struct {
	cfg Config
	log *slog.Logger

	video, audio *track

	// The rest is touched by the writing side alone, but for what is atomic.
	err     error
	epoch   epoch
	clock   clock
	cuts    []time.Duration // media times at which the audio has yet to cut, as the video did
	restart restarts

	sound     bool // the present publisher has sent sound
	gathering bool
	held      []heldSample // while gathering
	heldBytes int

	warned struct{ keyFrames, parts bool }

	target  atomic.Int64 // duration of the longest segment, rounded to seconds; only grows
	playing atomic.Bool  // a part of the present publisher can be played
	aligned atomic.Bool  // every segment begins with a key frame
	bytes   atomic.Int64 // of all parts
	stats   Stats
}

// Stats count what a Packager could not use, by reason.
type Stats struct {
	NoKeyFrame  atomic.Int64 // pictures before the first key frame
	OutOfTime   atomic.Int64 // samples whose timestamps belong nowhere
	AudioTooOld atomic.Int64 // sound that ran ahead of its timestamps
}

type heldSample struct {
	t   *track
	now time.Time
	Sample
}

// New returns a Packager without any media.
func New(cfg Config, log *slog.Logger) *Packager {
	cfg = cfg.withDefaults()
	p := &Packager{cfg: cfg, log: log}
	p.video = newTrack(p, "video")
	p.audio = newTrack(p, "audio")
	p.video.Rendition.other, p.audio.Rendition.other = p.audio.Rendition, p.video.Rendition
	p.aligned.Store(true)
	p.target.Store(int64(cfg.TargetDuration))
	return p
}

// Begin says that a publisher begins, the first or one that continues the
// broadcast after an Interrupt. Its timestamps need not go on from those of
// the last.
func (p *Packager) Begin() {
	p.Interrupt()
	p.gathering = true
	p.video.begin()
	p.audio.begin()
}

// SetVideo gives the configuration of the pictures that follow.
func (p *Packager) SetVideo(c h264.Config) error {
	record := c.Append(nil)
	return p.video.configure(initSegment{
		timescale: 90000,
		codec:     c.Codec(),
		width:     c.Width,
		height:    c.Height,
		frameRate: c.FrameRate(),
		data:      fmp4.Init(fmp4.Track{Timescale: 90000, Video: &fmp4.Video{Width: c.Width, Height: c.Height, Config: record}}),
	})
}

// SetAudio gives the configuration of the sound that follows.
func (p *Packager) SetAudio(c aac.Config) error {
	if c.SampleRate <= 0 {
		return fmt.Errorf("audio of %d samples a second", c.SampleRate)
	}
	return p.audio.configure(initSegment{
		timescale: uint32(c.SampleRate),
		codec:     c.Codec(),
		channels:  c.Channels,
		frame:     int64(c.FrameSamples()),
		data: fmp4.Init(fmp4.Track{Timescale: uint32(c.SampleRate), Audio: &fmp4.Audio{
			SampleRate: c.SampleRate, Channels: c.Channels, Config: c.Append(nil),
		}}),
	})
}

// WriteVideo takes a picture that arrived now.
func (p *Packager) WriteVideo(now time.Time, s Sample) error { return p.write(p.video, now, s) }

// WriteAudio takes an audio frame that arrived now.
func (p *Packager) WriteAudio(now time.Time, s Sample) error { return p.write(p.audio, now, s) }

func (p *Packager) write(t *track, now time.Time, s Sample) error {
	switch {
	case p.err != nil:
		return p.err
	case t.pending == nil:
		return p.fail(fmt.Errorf("%w: %s", ErrNoConfig, t.name))
	case len(s.Data) > p.cfg.MaxSample:
		return p.fail(fmt.Errorf("%w: a sample of %d bytes, limit %d", ErrTooLarge, len(s.Data), p.cfg.MaxSample))
	case p.gathering:
		return p.gather(t, now, s)
	}
	return p.place(t, now, s)
}

// gather holds the first samples back until it is known which tracks there
// are: multivariant playlists are loaded once.
func (p *Packager) gather(t *track, now time.Time, s Sample) error {
	s.Data = slices.Clone(s.Data)
	p.held = append(p.held, heldSample{t, now, s})
	p.heldBytes += len(s.Data)
	picture := slices.ContainsFunc(p.held, func(h heldSample) bool { return h.t == p.video })
	sound := slices.ContainsFunc(p.held, func(h heldSample) bool { return h.t == p.audio })
	first := slices.IndexFunc(p.held, func(h heldSample) bool { return h.t == p.video && h.KeyFrame })
	waited := now.Sub(p.held[0].now) >= p.cfg.TrackWait
	if (picture && first < 0) || !(waited || picture && sound) {
		p.forget()
		return nil
	}
	from := p.held[0]
	if first >= 0 {
		from = p.held[first]
	}
	if (p.video.present() || p.audio.present()) && (picture != p.video.present() || sound != p.audio.present()) {
		return p.fail(ErrTracks)
	}
	p.gathering, p.sound = false, sound
	held := p.held
	p.held, p.heldBytes = nil, 0
	made := from.now
	for _, h := range held {
		// No sample arrives before it is made: the promptest one tells when.
		if t := h.now.Add(from.DTS - h.DTS); t.Before(made) {
			made = t
		}
	}
	if err := p.beginEpoch(made, from.DTS, false); err != nil {
		return err
	}
	for _, h := range held {
		if h.DTS < from.DTS {
			continue // sound before the first picture
		}
		if err := p.place(h.t, h.now, h.Sample); err != nil {
			return err
		}
	}
	return nil
}

// forget drops the oldest held samples once they are too many.
func (p *Packager) forget() {
	for p.heldBytes > p.cfg.MaxBytes/4 || len(p.held) > maxHeld {
		p.stats.NoKeyFrame.Add(1)
		p.heldBytes -= len(p.held[0].Data)
		p.held = p.held[1:]
	}
}

// maxHeld is the most samples held while gathering: about 5 s of 60 pictures
// and 50 audio frames a second.
const maxHeld = 600

// Interrupt says that the publisher was lost. What it sent is made loadable;
// the playlists stay open for another.
func (p *Packager) Interrupt() {
	p.gathering, p.held, p.heldBytes = false, nil, 0
	p.video.finish(false)
	p.audio.finish(false)
	p.playing.Store(false)
}

// End says that nothing follows.
func (p *Packager) End() {
	p.Interrupt()
	p.video.finish(true)
	p.audio.finish(true)
	p.err = errEnded
}

var errEnded = errors.New("the broadcast has ended")

// fail makes err what every later call returns.
func (p *Packager) fail(err error) error {
	p.err = err
	return err
}

// targetDuration is what the playlists say. RFC 8216bis (6.2.1) lets it never
// change. It grows nevertheless when a publisher's key frames turn out to be
// further apart: segments that do not begin with one cannot be played by some
// players at all, and when the first playlist is due nobody knows.
func (p *Packager) targetDuration() time.Duration { return time.Duration(p.target.Load()) }

// raiseTarget lets segments of that duration in; the writing side calls it.
func (p *Packager) raiseTarget(segment time.Duration) {
	if rounded := segment.Round(time.Second); rounded > p.targetDuration() {
		p.target.Store(int64(rounded))
	}
}

// Playing tells whether a part that the present publisher sent can be played.
func (p *Packager) Playing() bool { return p.playing.Load() }

// Bytes returns how much media is kept in memory.
func (p *Packager) Bytes() int64 { return p.bytes.Load() }

// Stats returns the counters.
func (p *Packager) Stats() *Stats { return &p.stats }

// Rendition returns the named rendition, "video" or "audio", if there is one.
func (p *Packager) Rendition(name string) (*Rendition, bool) {
	for _, t := range []*track{p.video, p.audio} {
		if t.name == name && t.present() {
			return t.Rendition, true
		}
	}
	return nil, false
}
