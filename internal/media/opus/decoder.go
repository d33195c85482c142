package opus

/*
#include <opus.h>

static int reset_decoder(OpusDecoder *d) { return opus_decoder_ctl(d, OPUS_RESET_STATE); }
*/
import "C"

import (
	"fmt"
	"runtime"
	"unsafe"
)

// A Decoder turns packets into PCM. It is for one goroutine at a time.
type Decoder struct {
	dec      *C.OpusDecoder // nil once closed
	channels int
}

// NewDecoder makes a decoder that gives 1 or 2 channels whatever the packets
// hold. Close frees it.
func NewDecoder(channels int) (*Decoder, error) {
	var code C.int
	dec := C.opus_decoder_create(SampleRate, C.int(channels), &code)
	if code != C.OPUS_OK {
		return nil, fmt.Errorf("create Opus decoder: %w", libError(code))
	}
	d := &Decoder{dec: dec, channels: channels}
	// Close is the way; this only keeps a forgotten decoder from leaking.
	runtime.SetFinalizer(d, (*Decoder).Close)
	return d, nil
}

// Decode decodes the packet into interleaved samples and says how many per
// channel they are. pcm with room for MaxSamples per channel is enough for
// every packet.
func (d *Decoder) Decode(packet []byte, pcm []float32) (int, error) {
	if len(packet) == 0 {
		return 0, fmt.Errorf("decode: %w: empty", ErrPacket)
	}
	return d.decode(packet, pcm, 0)
}

// DecodeFEC fills pcm with the sound just before the packet, from the copy
// inside it, and conceals where there is none. The packet itself is decoded
// after that. len(pcm) is the length of the gap, a multiple of MinSamples per
// channel.
func (d *Decoder) DecodeFEC(packet []byte, pcm []float32) (int, error) {
	if len(packet) == 0 {
		return 0, fmt.Errorf("decode FEC: %w: empty", ErrPacket)
	}
	return d.decode(packet, pcm, 1)
}

// Conceal fills pcm with what may have been lost, quieter the longer it
// lasts. len(pcm) is the length of the gap, a multiple of MinSamples per
// channel.
func (d *Decoder) Conceal(pcm []float32) (int, error) {
	return d.decode(nil, pcm, 0)
}

func (d *Decoder) decode(packet []byte, pcm []float32, fec C.int) (int, error) {
	if d.dec == nil {
		return 0, ErrClosed
	}
	if len(pcm) < d.channels {
		return 0, ErrBuffer
	}
	var data *C.uchar
	if len(packet) > 0 {
		data = (*C.uchar)(unsafe.Pointer(&packet[0]))
	}
	n := C.opus_decode_float(d.dec, data, C.opus_int32(len(packet)),
		(*C.float)(unsafe.Pointer(&pcm[0])), C.int(len(pcm)/d.channels), fec)
	runtime.KeepAlive(d)
	if n < 0 {
		return 0, fmt.Errorf("decode: %w", libError(n))
	}
	return int(n), nil
}

// Reset forgets all sound so far.
func (d *Decoder) Reset() error {
	if d.dec == nil {
		return ErrClosed
	}
	code := C.reset_decoder(d.dec)
	runtime.KeepAlive(d)
	return libError(code)
}

// Close frees the decoder. A second Close does nothing.
func (d *Decoder) Close() {
	if d.dec != nil {
		C.opus_decoder_destroy(d.dec)
		d.dec = nil
		runtime.SetFinalizer(d, nil)
	}
}

// libError gives a libopus code as an error, nil for success.
func libError(code C.int) error {
	switch code {
	case C.OPUS_OK:
		return nil
	case C.OPUS_INVALID_PACKET:
		return ErrPacket
	case C.OPUS_BUFFER_TOO_SMALL:
		return ErrBuffer
	}
	return fmt.Errorf("libopus: %s", C.GoString(C.opus_strerror(code)))
}
