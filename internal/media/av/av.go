// Package av decodes, scales and encodes: compressed frames come in and I420
// pictures go out, pictures and sound come in and H.264 and AAC go out. It is
// a thin layer over FFmpeg's libraries and libyuv with a few coarse calls per
// frame; packets, timing and layout are left to the callers.
//
// FFmpeg 5.1 is what it is built and tested with. Every call it makes exists
// unchanged in FFmpeg 6 and 7: channel layouts are AVChannelLayout (new in
// 5.1), key frames are asked for by picture type and never read from a frame
// (key_frame became a flag in 6.1), profiles are options by name (the
// constants were renamed in 6.1).
//
// Every object belongs to one goroutine at a time, and Close frees it.
package av

// #cgo pkg-config: libavcodec libavutil
// #cgo LDFLAGS: -lyuv
// #cgo CFLAGS: -O2 -Wall
// #include "av.h"
import "C"

import (
	"errors"
	"fmt"
)

// MaxSide is the largest width and height of a picture, in pixels.
const MaxSide = C.BF_MAX_SIDE

// Errors that callers tell apart.
var (
	// ErrClosed is returned by every call on an object that was closed.
	ErrClosed = errors.New("av: closed")
	// ErrFormat means that the data is sound but of a kind that is not
	// supported: other than 8 bits of 4:2:0, or larger than MaxSide.
	ErrFormat = errors.New("av: unsupported picture format")
	// ErrDamaged means that the decoder could make nothing of the data.
	ErrDamaged = errors.New("av: damaged data")
)

// failure turns the answer of a C call into an error, nil for none.
func failure(what string, code C.int) error {
	switch {
	case code >= 0:
		return nil
	case code == C.BF_UNSUPPORTED:
		return fmt.Errorf("%s: %w", what, ErrFormat)
	case code == C.BF_DAMAGED:
		return fmt.Errorf("%s: %w", what, ErrDamaged)
	}
	var text [C.BF_ERROR_TEXT]C.char
	C.bf_error_text(code, &text[0])
	return fmt.Errorf("%s: %s", what, C.GoString(&text[0]))
}
