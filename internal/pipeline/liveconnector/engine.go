package liveconnector

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"belfry.live/belfry/internal/media/av"
	"belfry.live/belfry/internal/media/compose"
	"belfry.live/belfry/internal/media/jitter"
	"belfry.live/belfry/internal/media/opus"
	"belfry.live/belfry/internal/pipeline/rtmpsink"
	"belfry.live/belfry/internal/wire/aac"
	"belfry.live/belfry/internal/wire/h264"
)

const (
	frameRate   = 30 // Hz
	frameTime   = time.Second / frameRate
	keyInterval = 2 * time.Second

	// maxBehind is how many frames the picture may be behind its time before
	// some are left out; fewer are made up for.
	maxBehind = 5
	// soundStep is how much sound is made at a time, in samples.
	soundStep = opus.SampleRate / 100
)

// An Output takes the encoded stream; *rtmpsink.Sink is one. It must not wait.
type Output interface {
	SetVideo(h264.Config)
	SetAudio(aac.Config)
	WriteVideo(rtmpsink.Sample)
	WriteAudio(rtmpsink.Sample)
}

// A Format says what the engine makes.
type Format struct {
	Width, Height int // pixels
	VideoBitrate  int // bits per second
	SampleRate    int // 44100 or 48000 Hz
	Channels      int // 1 or 2
	AudioBitrate  int // bits per second
}

// An Engine makes one stream of a meeting's media: from the moment it runs, a
// picture thirty times a second and sound without a gap, whatever comes in.
type Engine struct {
	// Fixed by NewEngine.
	format Format
	out    Output
	log    *slog.Logger
	clock  *outputClock
	sound  *sound
	canvas *compose.Canvas
	video  *av.VideoEncoder
	audio  *av.AudioEncoder

	counts    counts
	keyWanted atomic.Bool

	mu      sync.Mutex // guards the three below
	sources []*Source  // in the order of their tiles
	added   int        // sources ever
	ended   bool

	// Touched by Run's video goroutine alone.
	visible []string // keys of the tiles, in order
}

// NewEngine makes an engine and tells out what it will make. The output's time
// is zero now.
func NewEngine(f Format, out Output, log *slog.Logger) (_ *Engine, err error) {
	e := &Engine{format: f, out: out, log: log}
	defer func() {
		if err != nil {
			e.free()
		}
	}()
	if e.canvas, err = compose.New(f.Width, f.Height); err != nil {
		return nil, err
	}
	e.video, err = av.NewVideoEncoder(av.VideoConfig{
		Width: f.Width, Height: f.Height, FrameRate: frameRate,
		Bitrate: f.VideoBitrate, KeyInterval: keyInterval,
	})
	if err != nil {
		return nil, err
	}
	e.audio, err = av.NewAudioEncoder(av.AudioConfig{
		SampleRate: f.SampleRate, Channels: f.Channels, Bitrate: f.AudioBitrate,
	})
	if err != nil {
		return nil, err
	}
	videoConfig, err := h264.NewConfigAnnexB(e.video.Header())
	if err != nil {
		return nil, fmt.Errorf("read the encoder's parameter sets: %w", err)
	}
	audioConfig, err := aac.ParseConfig(e.audio.Header())
	if err != nil {
		return nil, fmt.Errorf("read the encoder's AudioSpecificConfig: %w", err)
	}
	out.SetVideo(videoConfig)
	out.SetAudio(audioConfig)
	e.clock = newOutputClock(time.Now())
	e.sound, err = newSound(f.Channels, e.clock, &e.counts)
	return e, err
}

// free frees what NewEngine has made.
func (e *Engine) free() {
	if e.canvas != nil {
		e.canvas.Close()
	}
	if e.video != nil {
		e.video.Close()
	}
	if e.audio != nil {
		e.audio.Close()
	}
	if e.sound != nil {
		e.sound.close()
	}
}

// RequestKeyFrame makes the next frame a key frame.
func (e *Engine) RequestKeyFrame() { e.keyWanted.Store(true) }

// PushSound takes an RTP packet of the meeting's mix. The payload is copied.
func (e *Engine) PushSound(p jitter.Packet) { e.sound.push(p) }

// SoundReport takes an RTCP sender report of the mix.
func (e *Engine) SoundReport(ntp time.Time, timestamp uint32) { e.sound.senderReport(ntp, timestamp) }

// RestartSound says that the next packet of sound belongs to a new stream.
func (e *Engine) RestartSound() { e.sound.restart() }

// AddSource puts another video into the picture, after those of its kind that
// are there, from its first decoded frame on.
func (e *Engine) AddSource(cfg SourceConfig) *Source {
	e.mu.Lock()
	e.added++
	s := newSource(strconv.Itoa(e.added), cfg, e)
	ended := e.ended
	if !ended {
		e.sources = append(e.sources, s)
		go s.decode() // closeSources or compose waits for it
	}
	e.mu.Unlock()
	if ended {
		s.Close()
	}
	return s
}

// Run makes the stream until ctx ends, and frees the engine.
func (e *Engine) Run(ctx context.Context) error {
	defer e.free()
	defer e.closeSources()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return e.runVideo(ctx) })
	g.Go(func() error { return e.runSound(ctx) })
	g.Go(func() error { return e.runCounts(ctx) })
	return g.Wait()
}

func (e *Engine) closeSources() {
	e.mu.Lock()
	e.ended = true
	sources := e.sources
	e.mu.Unlock()
	for _, s := range sources {
		s.Close()
		<-s.finished
	}
}

// waitUntil waits for the output time t. False: ctx has ended.
func (e *Engine) waitUntil(ctx context.Context, t time.Duration) bool {
	for {
		d := e.clock.wait(time.Now(), t)
		if d <= 0 {
			return ctx.Err() == nil
		}
		timer := time.NewTimer(d)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false
		}
	}
}

func (e *Engine) runVideo(ctx context.Context) error {
	var unit []byte
	for n := int64(0); ; n++ {
		if !e.waitUntil(ctx, timeOfFrame(n)) {
			return nil
		}
		now := time.Now()
		if behind := int64((e.clock.now(now) - timeOfFrame(n)) / frameTime); behind > maxBehind {
			e.counts.framesSkipped.Add(uint64(behind))
			n += behind
		}
		picture, err := e.compose(now, timeOfFrame(n))
		if err != nil {
			return err
		}
		p, err := e.video.Encode(picture, n, e.keyWanted.Swap(false))
		if err != nil {
			return err
		}
		unit = h264.AppendAVCC(unit[:0], p.Data)
		e.out.WriteVideo(rtmpsink.Sample{
			DTS: timeOfFrame(p.Number), PTS: timeOfFrame(p.Number), KeyFrame: p.KeyFrame, Data: unit,
		})
	}
}

// compose brings the canvas to output time t.
func (e *Engine) compose(now time.Time, t time.Duration) (*av.Picture, error) {
	var screens, people []string
	fresh := make(map[string]*av.Picture)
	for _, s := range e.openSources() {
		p := s.next(now, t)
		if p != nil {
			fresh[s.key] = p
		}
		// The first picture brings the tile.
		if p == nil && !slices.Contains(e.visible, s.key) {
			continue
		}
		if s.screen {
			screens = append(screens, s.key)
		} else {
			people = append(people, s.key)
		}
	}
	if visible := append(screens, people...); !slices.Equal(visible, e.visible) {
		e.visible = visible
		e.canvas.Arrange(visible, len(screens))
	}
	for key, p := range fresh {
		e.canvas.Show(key, p)
	}
	return e.canvas.Draw()
}

// openSources lists the sources that are not closed, and waits for the decoders
// of those that are once they have ended.
func (e *Engine) openSources() []*Source {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sources = slices.DeleteFunc(e.sources, (*Source).over)
	open := make([]*Source, 0, len(e.sources))
	for _, s := range e.sources {
		if s.isOpen() {
			open = append(open, s)
		}
	}
	return open
}

func (e *Engine) runSound(ctx context.Context) error {
	var rate *resampler
	if e.format.SampleRate != opus.SampleRate {
		rate = newResampler(e.format.Channels)
	}
	step := make([]float32, soundStep*e.format.Channels)
	unit := e.audio.FrameSize() * e.format.Channels
	var made []float32 // waits until it is a frame
	for done := int64(soundStep); ; done += soundStep {
		if !e.waitUntil(ctx, sampleTime(done)) {
			return nil
		}
		e.sound.fill(time.Now(), step)
		if rate != nil {
			made = rate.push(step, made)
		} else {
			made = append(made, step...)
		}
		for len(made) >= unit {
			p, ok, err := e.audio.Encode(made[:unit])
			if err != nil {
				return err
			}
			made = made[:copy(made, made[unit:])]
			if !ok || p.Start < 0 { // the encoder's priming
				continue
			}
			at := timeAt(p.Start, int64(e.format.SampleRate))
			e.out.WriteAudio(rtmpsink.Sample{DTS: at, PTS: at, Data: p.Data})
		}
	}
}

// runCounts reports once a second what went wrong, if anything did.
func (e *Engine) runCounts(ctx context.Context) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	var last reading
	for {
		select {
		case <-ticker.C:
			last = e.counts.logSince(last, e.log)
		case <-ctx.Done():
			e.counts.logSince(last, e.log)
			return nil
		}
	}
}

// timeOfFrame is the output time of a frame.
func timeOfFrame(n int64) time.Duration { return timeAt(n, frameRate) }

// timeAt is the time of the n-th of rate things a second, exact over any
// length.
func timeAt(n, rate int64) time.Duration {
	return time.Duration(n/rate)*time.Second + time.Duration(n%rate)*time.Second/time.Duration(rate)
}
