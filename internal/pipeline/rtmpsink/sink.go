// Package rtmpsink publishes one stream of H.264 and AAC to an RTMP or RTMPS
// server, whatever it is, and again whenever the connection is lost. Samples
// come in on the pipeline's clock; the messages' timestamps are that clock's,
// so that they go on where they were over every reconnection. Encoding is left
// to the caller, who is asked for a key frame when one is needed.
package rtmpsink

import (
	"crypto/x509"
	"errors"
	"log/slog"
	"sync"
	"time"

	"belfry.live/belfry/internal/wire/aac"
	"belfry.live/belfry/internal/wire/flv"
	"belfry.live/belfry/internal/wire/h264"
)

// ErrRefused is what Run's error wraps when the server refused for so long
// that it is no use to go on.
var ErrRefused = errors.New("the RTMP server refuses the stream")

// Metadata is what the server is told of the stream before its media.
type Metadata = flv.Metadata

// A Config says where to publish and how. What is zero takes its default.
type Config struct {
	URL URL

	// DialAddr is dialled instead of the URL's host and port: for a sink that
	// is our own ingest, whatever address it listens on.
	DialAddr string
	// ServerName is the name the server's certificate must have; default is
	// the URL's host.
	ServerName string
	// RootCAs are trusted instead of the system's: see ExtraRoots.
	RootCAs *x509.CertPool

	Metadata Metadata

	// RequestKeyFrame asks the encoder for a key frame soon; may be nil. It is
	// called from Run's and from the writers' goroutines and must not block.
	RequestKeyFrame func()
	// OnState hears of every change, from Run's goroutine; may be nil. It must
	// not block.
	OnState func(State)

	ConnectTimeout time.Duration // each of dial, TLS and publish; default 10 s
	StallTimeout   time.Duration // for the server to take a message; default 10 s
	MaxDelay       time.Duration // of media in the queue; default 4 s
	RefusedFor     time.Duration // refusals this long make Run give up; default 5 min
	EndTimeout     time.Duration // to send the queue and say goodbye; default 2 s
}

// A Phase is what the sink is doing.
type Phase int

// The phases. A sink goes from Connecting to Publishing or Lost, from
// Publishing to Lost or Ended, and from Lost to Connecting again.
const (
	Connecting Phase = iota
	Publishing       // the server said so; media flows
	Lost             // the attempt or connection failed; Err says why
	Ended            // Run is about to return
)

// A State is a phase and, when Lost, its cause.
type State struct {
	Phase Phase
	Err   error
	// Refused means that the server refused by protocol or by its certificate,
	// which waiting seldom heals.
	Refused bool
	Retry   time.Duration // until the next attempt, when Lost
}

// A Sample is one access unit or audio frame.
type Sample struct {
	DTS, PTS time.Duration // pipeline clock, one for audio and video
	KeyFrame bool          // video only
	Data     []byte        // video: NAL units after 4-byte lengths; audio: one raw AAC frame
}

// Stats counts since New.
type Stats struct {
	Connections     int   // that reached Publishing
	BytesSent       int64 // media
	VideoSent       int64
	AudioSent       int64
	DroppedOffline  int64 // samples that came while nothing was connected
	DroppedWaiting  int64 // samples before the key frame that media starts at
	DroppedOverflow int64 // samples dropped because the server was too slow
	QueueDelay      time.Duration
}

func (c Config) withDefaults() Config {
	span := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	span(&c.ConnectTimeout, 10*time.Second)
	span(&c.StallTimeout, 10*time.Second)
	span(&c.MaxDelay, 4*time.Second)
	span(&c.RefusedFor, 5*time.Minute)
	span(&c.EndTimeout, 2*time.Second)
	return c
}

// A Sink publishes one stream.
type Sink struct {
	cfg   Config
	log   *slog.Logger
	queue *queue

	mu       sync.Mutex // guards metadata
	metadata Metadata
}

// New makes a sink that is idle until Run.
func New(cfg Config, log *slog.Logger) (*Sink, error) {
	if cfg.URL.Host == "" {
		return nil, errors.New("rtmpsink: no URL")
	}
	cfg = cfg.withDefaults()
	if cfg.Metadata.Encoder == "" {
		cfg.Metadata.Encoder = "Belfry"
	}
	return &Sink{
		cfg:      cfg,
		log:      log.With("remote", cfg.URL.String()),
		queue:    newQueue(cfg.MaxDelay, cfg.RequestKeyFrame),
		metadata: cfg.Metadata,
	}, nil
}

// SetVideo tells the decoder configuration of the access units that follow;
// its lengths must have 4 bytes. Call it before the first WriteVideo, and
// before Run when there will be video: media then begins at a key frame.
func (s *Sink) SetVideo(c h264.Config) {
	if c.LengthSize != 4 {
		panic("rtmpsink: NAL unit lengths must have 4 bytes")
	}
	s.queue.setVideo(videoConfig(c.Append(nil)))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.metadata.Width, s.metadata.Height = c.Width, c.Height
	if s.metadata.FrameRate == 0 {
		s.metadata.FrameRate = c.FrameRate()
	}
}

// SetAudio tells the decoder configuration of the audio frames that follow.
func (s *Sink) SetAudio(c aac.Config) {
	s.queue.setAudio(audioConfig(c.Append(nil)))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.metadata.AudioSampleRate, s.metadata.AudioChannels = c.SampleRate, c.Channels
}

// WriteVideo queues an access unit. It never waits, and copies the data.
func (s *Sink) WriteVideo(v Sample) { s.queue.pushVideo(v) }

// WriteAudio queues an audio frame. It never waits, and copies the data.
func (s *Sink) WriteAudio(a Sample) { s.queue.pushAudio(a) }

// Stats returns the counts.
func (s *Sink) Stats() Stats { return s.queue.snapshot() }

// ExtraRoots returns the system's root certificates and those in pem.
func ExtraRoots(pem []byte) (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("no certificate in PEM data")
	}
	return pool, nil
}
