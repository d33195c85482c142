package av

// #include "av.h"
import "C"

import (
	"fmt"
	"time"
	"unsafe"
)

// A VideoConfig says what a VideoEncoder makes: H.264 High profile without B
// frames, one slice a frame, at a nearly constant bit rate.
type VideoConfig struct {
	Width, Height int // pixels, even
	FrameRate     int // frames per second
	Bitrate       int // bits per second, on average and over any second
	// KeyInterval is the distance of key frames, counted on the frames' time
	// from 0: frame 0 and the first frame at or after every multiple.
	KeyInterval time.Duration
}

// A VideoEncoder makes H.264 from pictures. No frame waits for a later one:
// each picture comes out before the next goes in.
type VideoEncoder struct {
	cfg       VideoConfig
	keyFrames int64 // frames between key frames
	nextKey   int64 // number of the frame at or after which one is due
	e         *C.bf_encoder
}

// A VideoPacket is one encoded frame.
type VideoPacket struct {
	Data     []byte // an access unit in Annex B form, without parameter sets
	Number   int64  // as given to Encode
	KeyFrame bool   // IDR
}

// NewVideoEncoder opens x264 with preset superfast and tune zerolatency on one
// thread.
func NewVideoEncoder(cfg VideoConfig) (*VideoEncoder, error) {
	if cfg.Width < 16 || cfg.Height < 16 || cfg.Width > MaxSide || cfg.Height > MaxSide ||
		cfg.Width%2 != 0 || cfg.Height%2 != 0 {
		return nil, fmt.Errorf("open video encoder for %dx%d: %w", cfg.Width, cfg.Height, ErrFormat)
	}
	if cfg.FrameRate < 1 || cfg.FrameRate > 240 || cfg.Bitrate < 10_000 || cfg.Bitrate > 100_000_000 {
		return nil, fmt.Errorf("open video encoder for %d frames/s at %d bit/s: %w", cfg.FrameRate, cfg.Bitrate, ErrFormat)
	}
	e := &VideoEncoder{cfg: cfg, keyFrames: int64(cfg.KeyInterval) * int64(cfg.FrameRate) / int64(time.Second)}
	if e.keyFrames < 1 {
		return nil, fmt.Errorf("open video encoder with key frames every %v: %w", cfg.KeyInterval, ErrFormat)
	}
	err := failure("open video encoder", C.bf_video_encoder_open(&e.e,
		C.int(cfg.Width), C.int(cfg.Height), C.int(cfg.FrameRate), C.int64_t(cfg.Bitrate)))
	if err != nil {
		return nil, err
	}
	return e, nil
}

// Header is the sequence and picture parameter sets in Annex B form. They hold
// for the encoder's whole life; the packets do not repeat them.
func (e *VideoEncoder) Header() []byte { return header(e.e) }

// Encode encodes the picture as frame number n, that is, with time n divided
// by the frame rate. Numbers rise but may leave some out. A key frame comes
// out when key is set, and otherwise as KeyInterval asks. The picture is not
// kept.
func (e *VideoEncoder) Encode(p *Picture, n int64, key bool) (VideoPacket, error) {
	if e.e == nil || p.frame == nil {
		return VideoPacket{}, ErrClosed
	}
	if p.Width != e.cfg.Width || p.Height != e.cfg.Height {
		return VideoPacket{}, fmt.Errorf("encode picture of %dx%d, want %dx%d: %w",
			p.Width, p.Height, e.cfg.Width, e.cfg.Height, ErrFormat)
	}
	ask := C.int(0)
	if key || n >= e.nextKey {
		ask = 1
	}
	var out C.bf_packet
	got := C.bf_encode_video(e.e, p.frame, C.int64_t(n), ask, &out)
	if err := failure("encode video", got); err != nil {
		return VideoPacket{}, err
	}
	if got == 0 {
		return VideoPacket{}, fmt.Errorf("encode video: frame %d gave nothing", n)
	}
	if n >= e.nextKey {
		e.nextKey = (n/e.keyFrames + 1) * e.keyFrames
	}
	return VideoPacket{
		Data:     C.GoBytes(unsafe.Pointer(out.data), out.size),
		Number:   int64(out.pts),
		KeyFrame: out.key != 0,
	}, nil
}

// Close frees the encoder.
func (e *VideoEncoder) Close() { closeEncoder(&e.e) }

func header(e *C.bf_encoder) []byte {
	if e == nil {
		return nil
	}
	var size C.int
	data := C.bf_header(e, &size)
	return C.GoBytes(unsafe.Pointer(data), size)
}

func closeEncoder(e **C.bf_encoder) {
	if *e != nil {
		C.bf_encoder_close(*e)
		*e = nil
	}
}
