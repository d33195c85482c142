package av

// #include "av.h"
import "C"

import (
	"fmt"
	"unsafe"
)

// An AudioConfig says what an AudioEncoder makes: AAC-LC.
type AudioConfig struct {
	SampleRate int // 44100 or 48000 Hz
	Channels   int // 1 or 2
	Bitrate    int // bits per second
}

// An AudioEncoder makes AAC from samples.
type AudioEncoder struct {
	cfg     AudioConfig
	samples int64 // taken so far
	e       *C.bf_encoder
}

// An AudioPacket is one raw AAC frame (no ADTS header).
type AudioPacket struct {
	Data []byte
	// Start is the number of the sample, counted over all that were given to
	// Encode, at which what the packet decodes to begins. The encoder's delay
	// makes it negative for the first.
	Start int64
}

// NewAudioEncoder opens FFmpeg's AAC encoder.
func NewAudioEncoder(cfg AudioConfig) (*AudioEncoder, error) {
	if cfg.SampleRate != 44100 && cfg.SampleRate != 48000 || cfg.Channels < 1 || cfg.Channels > 2 ||
		cfg.Bitrate < 16_000 || cfg.Bitrate > 512_000 {
		return nil, fmt.Errorf("open audio encoder for %+v: %w", cfg, ErrFormat)
	}
	e := &AudioEncoder{cfg: cfg}
	err := failure("open audio encoder", C.bf_audio_encoder_open(&e.e,
		C.int(cfg.SampleRate), C.int(cfg.Channels), C.int64_t(cfg.Bitrate)))
	if err != nil {
		return nil, err
	}
	return e, nil
}

// Header is the AudioSpecificConfig (ISO/IEC 14496-3 section 1.6.2.1).
func (e *AudioEncoder) Header() []byte { return header(e.e) }

// FrameSize is how many samples per channel Encode takes.
func (e *AudioEncoder) FrameSize() int { return int(C.bf_frame_size(e.e)) }

// Priming is the encoder's delay: so many samples per channel come out of a
// decoder before the first that went into Encode. AudioPacket.Start has it
// taken into account already.
func (e *AudioEncoder) Priming() int { return int(C.bf_priming(e.e)) }

// Encode takes FrameSize interleaved samples per channel, from -1 to 1, and
// returns the packet that comes out, if one does (none does at first).
func (e *AudioEncoder) Encode(samples []float32) (p AudioPacket, ok bool, err error) {
	if e.e == nil {
		return AudioPacket{}, false, ErrClosed
	}
	n := e.FrameSize()
	if len(samples) != n*e.cfg.Channels {
		return AudioPacket{}, false, fmt.Errorf("encode %d samples, want %d: %w", len(samples), n*e.cfg.Channels, ErrFormat)
	}
	var out C.bf_packet
	got := C.bf_encode_audio(e.e, (*C.float)(unsafe.SliceData(samples)), C.int64_t(e.samples), &out)
	if err := failure("encode audio", got); err != nil {
		return AudioPacket{}, false, err
	}
	e.samples += int64(n)
	if got == 0 {
		return AudioPacket{}, false, nil
	}
	return AudioPacket{Data: C.GoBytes(unsafe.Pointer(out.data), out.size), Start: int64(out.pts)}, true, nil
}

// Close frees the encoder.
func (e *AudioEncoder) Close() { closeEncoder(&e.e) }
