package opus

/*
#cgo pkg-config: opus
#include <opus.h>

// The control call of libopus is variadic, which cgo cannot make.
static int set_bitrate(OpusEncoder *e, opus_int32 v)    { return opus_encoder_ctl(e, OPUS_SET_BITRATE(v)); }
static int set_complexity(OpusEncoder *e, opus_int32 v) { return opus_encoder_ctl(e, OPUS_SET_COMPLEXITY(v)); }
static int set_fec(OpusEncoder *e, opus_int32 v)        { return opus_encoder_ctl(e, OPUS_SET_INBAND_FEC(v)); }
static int set_loss(OpusEncoder *e, opus_int32 v)       { return opus_encoder_ctl(e, OPUS_SET_PACKET_LOSS_PERC(v)); }
static int set_dtx(OpusEncoder *e, opus_int32 v)        { return opus_encoder_ctl(e, OPUS_SET_DTX(v)); }
static int set_alone(OpusEncoder *e, opus_int32 v)      { return opus_encoder_ctl(e, OPUS_SET_PREDICTION_DISABLED(v)); }
static int reset_encoder(OpusEncoder *e)                { return opus_encoder_ctl(e, OPUS_RESET_STATE); }
*/
import "C"

import (
	"fmt"
	"runtime"
	"unsafe"
)

// An Application tells the encoder what it is for.
type Application int

// The applications. Audio keeps to CELT from about 32 kbit/s at the default
// complexity, VoIP prefers SILK and hybrid, LowDelay has CELT alone.
const (
	Audio Application = iota
	VoIP
	LowDelay
)

// EncoderConfig is what an encoder does; its zero is one channel for Audio at
// a bit rate of libopus' choice.
type EncoderConfig struct {
	Channels    int // 1 or 2; 0: 1
	Application Application
	Bitrate     int  // bit/s; 0: libopus decides
	Complexity  int  // 1 to 10; 0: 5
	FEC         bool // carry the frame before a second time, in SILK and hybrid modes
	PacketLoss  int  // percent the encoder should expect
	DTX         bool // in silence write packets of a byte or two, which need not be sent
}

// An Encoder turns PCM into packets. It is for one goroutine at a time.
type Encoder struct {
	enc      *C.OpusEncoder // nil once closed
	channels int
}

// NewEncoder makes an encoder, which Close frees.
func NewEncoder(cfg EncoderConfig) (*Encoder, error) {
	if cfg.Channels == 0 {
		cfg.Channels = 1
	}
	if cfg.Complexity == 0 {
		cfg.Complexity = 5
	}
	app := C.int(C.OPUS_APPLICATION_AUDIO)
	switch cfg.Application {
	case Audio:
	case VoIP:
		app = C.OPUS_APPLICATION_VOIP
	case LowDelay:
		app = C.OPUS_APPLICATION_RESTRICTED_LOWDELAY
	}
	var code C.int
	enc := C.opus_encoder_create(SampleRate, C.int(cfg.Channels), app, &code)
	if code != C.OPUS_OK {
		return nil, fmt.Errorf("create Opus encoder: %w", libError(code))
	}
	e := &Encoder{enc: enc, channels: cfg.Channels}
	bitrate := C.opus_int32(C.OPUS_AUTO)
	if cfg.Bitrate != 0 {
		bitrate = C.opus_int32(cfg.Bitrate)
	}
	for _, set := range []struct {
		what string
		code C.int
	}{
		{"bit rate", C.set_bitrate(enc, bitrate)},
		{"complexity", C.set_complexity(enc, C.opus_int32(cfg.Complexity))},
		{"FEC", C.set_fec(enc, flag(cfg.FEC))},
		{"packet loss", C.set_loss(enc, C.opus_int32(cfg.PacketLoss))},
		{"DTX", C.set_dtx(enc, flag(cfg.DTX))},
	} {
		if set.code != C.OPUS_OK {
			e.Close()
			return nil, fmt.Errorf("set %s of Opus encoder: %w", set.what, libError(set.code))
		}
	}
	// Close is the way; this only keeps a forgotten encoder from leaking.
	runtime.SetFinalizer(e, (*Encoder).Close)
	return e, nil
}

// Encode codes one frame of interleaved samples (full scale is 1; 2.5, 5, 10,
// 20, 40 or 60 ms of them) into packet, which should have room for MaxPacket
// bytes, and says how many it took.
func (e *Encoder) Encode(pcm []float32, packet []byte) (int, error) {
	if e.enc == nil {
		return 0, ErrClosed
	}
	if len(pcm) == 0 || len(packet) == 0 {
		return 0, ErrBuffer
	}
	n := C.opus_encode_float(e.enc, (*C.float)(unsafe.Pointer(&pcm[0])), C.int(len(pcm)/e.channels),
		(*C.uchar)(unsafe.Pointer(&packet[0])), C.opus_int32(len(packet)))
	runtime.KeepAlive(e)
	if n < 0 {
		return 0, fmt.Errorf("encode: %w", libError(C.int(n)))
	}
	return int(n), nil
}

// SetPrediction says whether coming frames may lean on those before them.
// Without, a decoder that did not hear this encoder's last frames can follow.
func (e *Encoder) SetPrediction(on bool) error {
	if e.enc == nil {
		return ErrClosed
	}
	code := C.set_alone(e.enc, flag(!on))
	runtime.KeepAlive(e)
	return libError(code)
}

// Reset forgets all sound so far; settings stay.
func (e *Encoder) Reset() error {
	if e.enc == nil {
		return ErrClosed
	}
	code := C.reset_encoder(e.enc)
	runtime.KeepAlive(e)
	return libError(code)
}

// Close frees the encoder. A second Close does nothing.
func (e *Encoder) Close() {
	if e.enc != nil {
		C.opus_encoder_destroy(e.enc)
		e.enc = nil
		runtime.SetFinalizer(e, nil)
	}
}

func flag(on bool) C.opus_int32 {
	if on {
		return 1
	}
	return 0
}
