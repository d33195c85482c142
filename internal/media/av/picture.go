package av

// #include "av.h"
import "C"

import (
	"errors"
	"fmt"
	"image"
	"unsafe"
)

// A Picture is 8-bit I420 (4:2:0), in limited range unless a decoder made it of
// a stream in full range; Scale makes the range limited. Its memory is not Go's:
// whoever holds it last must Release it, and must not touch the planes after.
type Picture struct {
	Width, Height int // pixels
	// Row r of the luma starts at Y[r*StrideY]; the chroma planes have half
	// the rows and columns, rounded up.
	Y, U, V           []byte
	StrideY, StrideUV int
	// PTS is what the decoder was given with the frame.
	PTS int64

	frame *C.AVFrame
}

// NewPicture makes a picture of undefined contents. Width and height are 2 to
// MaxSide and even.
func NewPicture(width, height int) (*Picture, error) {
	if width < 2 || height < 2 || width > MaxSide || height > MaxSide || width%2 != 0 || height%2 != 0 {
		return nil, fmt.Errorf("new picture of %dx%d: %w", width, height, ErrFormat)
	}
	f := C.bf_picture_new(C.int(width), C.int(height))
	if f == nil {
		return nil, errors.New("av: out of memory")
	}
	return wrap(f), nil
}

// wrap takes over a frame whose format the C side has checked.
func wrap(f *C.AVFrame) *Picture {
	p := &Picture{
		Width: int(f.width), Height: int(f.height),
		StrideY: int(f.linesize[0]), StrideUV: int(f.linesize[1]),
		PTS:   int64(f.pts),
		frame: f,
	}
	plane := func(i, stride, width, height int) []byte {
		return unsafe.Slice((*byte)(unsafe.Pointer(f.data[i])), stride*(height-1)+width)
	}
	halfW, halfH := (p.Width+1)/2, (p.Height+1)/2
	p.Y = plane(0, p.StrideY, p.Width, p.Height)
	p.U = plane(1, p.StrideUV, halfW, halfH)
	p.V = plane(2, int(f.linesize[2]), halfW, halfH)
	return p
}

// Release frees the picture; a second call does nothing.
func (p *Picture) Release() {
	if p.frame == nil {
		return
	}
	C.av_frame_free(&p.frame)
	p.Y, p.U, p.V = nil, nil, nil
}

// Bounds is the rectangle of the whole picture.
func (p *Picture) Bounds() image.Rectangle { return image.Rect(0, 0, p.Width, p.Height) }

// Scale draws the part from of src into the part to of p, with a bilinear
// filter. Both must lie inside their picture and begin at even coordinates.
func (p *Picture) Scale(to image.Rectangle, src *Picture, from image.Rectangle) error {
	if p.frame == nil || src.frame == nil {
		return ErrClosed
	}
	if !fits(to, p) || !fits(from, src) {
		return fmt.Errorf("scale %v of %v to %v of %v: %w", from, src.Bounds(), to, p.Bounds(), ErrFormat)
	}
	return failure("scale", C.bf_scale(
		p.frame, C.int(to.Min.X), C.int(to.Min.Y), C.int(to.Dx()), C.int(to.Dy()),
		src.frame, C.int(from.Min.X), C.int(from.Min.Y), C.int(from.Dx()), C.int(from.Dy())))
}

func fits(r image.Rectangle, p *Picture) bool {
	return !r.Empty() && r.In(p.Bounds()) && r.Min.X%2 == 0 && r.Min.Y%2 == 0
}
