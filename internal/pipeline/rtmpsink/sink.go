// Package rtmpsink publishes one stream of H.264 and AAC to an RTMP or RTMPS
// server, whatever it is, and again whenever the connection is lost. Samples
// come in on the pipeline's clock; the messages' timestamps are that clock's,
// so that they go on where they were over every reconnection. Encoding is left
// to the caller, who is asked for a key frame when one is needed.
package rtmpsink

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
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

// A Sink publishes one stream.
type Sink struct {
	cfg Config
	log *slog.Logger
}

// New makes a sink that is idle until Run.
func New(cfg Config, log *slog.Logger) (*Sink, error) { return &Sink{cfg: cfg, log: log}, nil }

// Run connects and publishes until ctx ends, then ends the stream in good
// order and returns nil. It returns an error that wraps ErrRefused when the
// server refused for Config.RefusedFor.
func (s *Sink) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// SetVideo tells the decoder configuration of the access units that follow.
// Call it before the first WriteVideo, and before Run when there will be
// video: media then starts at a key frame.
func (s *Sink) SetVideo(c h264.Config) {}

// SetAudio tells the decoder configuration of the audio frames that follow.
func (s *Sink) SetAudio(c aac.Config) {}

// WriteVideo queues an access unit. It never waits, and copies the data.
func (s *Sink) WriteVideo(v Sample) {}

// WriteAudio queues an audio frame. It never waits, and copies the data.
func (s *Sink) WriteAudio(a Sample) {}

// Stats returns the counts.
func (s *Sink) Stats() Stats { return Stats{} }

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
