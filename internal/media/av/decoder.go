package av

// #include "av.h"
import "C"

import (
	"fmt"
	"unsafe"
)

// A Codec is a compressed video format that Decoder reads.
type Codec int

// The codecs of WebRTC that every browser has (RFC 7742 section 5).
const (
	VP8  Codec = C.BF_VP8
	H264 Codec = C.BF_H264
)

// String names the codec as SDP does.
func (c Codec) String() string {
	switch c {
	case VP8:
		return "VP8"
	case H264:
		return "H264"
	}
	return fmt.Sprintf("Codec(%d)", int(c))
}

// MaxFrameSize is the largest compressed frame that Decode takes, in bytes.
const MaxFrameSize = 4 << 20

// A Decoder turns the frames of one video into pictures.
type Decoder struct {
	d *C.bf_decoder // nil when closed
}

// NewDecoder makes a decoder; it needs no parameters beyond what the stream
// itself carries.
func NewDecoder(c Codec) (*Decoder, error) {
	if c != VP8 && c != H264 {
		return nil, fmt.Errorf("open decoder for %v: %w", c, ErrFormat)
	}
	var d Decoder
	if err := failure("open decoder", C.bf_decoder_open(&d.d, C.int(c))); err != nil {
		return nil, err
	}
	return &d, nil
}

// Decode takes one whole frame: for VP8 what RFC 6386 calls a frame, for H.264
// an access unit in Annex B form, key frames with their parameter sets. It
// returns the picture, or nil when the frame shows none. Data is not kept.
//
// After an error the decoder goes on; its pictures are worth showing again
// from the next key frame.
func (d *Decoder) Decode(data []byte, pts int64) (*Picture, error) {
	if d.d == nil {
		return nil, ErrClosed
	}
	if len(data) == 0 {
		return nil, fmt.Errorf("decode: empty frame: %w", ErrDamaged)
	}
	if len(data) > MaxFrameSize {
		return nil, fmt.Errorf("decode: frame of %d bytes, limit %d: %w", len(data), MaxFrameSize, ErrDamaged)
	}
	var f *C.AVFrame
	n := C.bf_decode(d.d, (*C.uint8_t)(unsafe.SliceData(data)), C.int(len(data)), C.int64_t(pts), &f)
	if err := failure("decode", n); err != nil || n == 0 {
		return nil, err
	}
	return wrap(f), nil
}

// Reset forgets all earlier frames; the next must be a key frame.
func (d *Decoder) Reset() {
	if d.d != nil {
		C.bf_decoder_reset(d.d)
	}
}

// Close frees the decoder. Pictures it has made stay valid.
func (d *Decoder) Close() {
	if d.d != nil {
		C.bf_decoder_close(d.d)
		d.d = nil
	}
}
