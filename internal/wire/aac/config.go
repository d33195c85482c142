// Package aac reads and writes the AudioSpecificConfig of AAC streams
// (ISO/IEC 14496-3, 1.6.2.1), which tells a decoder the sample rate and the
// channels. Coding the sound is left to package media/av.
package aac

import (
	"errors"
	"fmt"
)

// Audio object types (ISO/IEC 14496-3, table 1.17).
const (
	TypeMain = 1
	TypeLC   = 2
	TypeSSR  = 3
	TypeLTP  = 4
	TypeSBR  = 5  // HE-AAC
	TypePS   = 29 // HE-AAC v2
)

// MaxConfig is the most bytes ParseConfig reads: a config has 2 to 7, more
// only with channel layouts that are not supported.
const MaxConfig = 64

// sampleRates is table 1.18: samplingFrequencyIndex to Hz.
var sampleRates = [...]int{96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350}

// channels is table 1.19: channelConfiguration to channels. 0 would be a
// layout of its own in the stream.
var channels = [...]int{0, 1, 2, 3, 4, 5, 6, 8}

// A Config is an AudioSpecificConfig. Configs can be compared with ==.
type Config struct {
	// ObjectType is TypeLC for AAC-LC; TypeSBR or TypePS when the stream says
	// that it is HE-AAC.
	ObjectType int
	SampleRate int // Hz, of the core coder
	Channels   int // of the core coder: 1 to 6, or 8
	// ExtensionRate is the output rate in Hz of HE-AAC, else zero.
	ExtensionRate int
	ShortFrames   bool // frames of 960 samples instead of 1024
}

// ParseConfig reads a config:
//
//	audioObjectType         5 (31: 6 more, type-32)
//	samplingFrequencyIndex  4 (15: 24 more, Hz)
//	channelConfiguration    4
//	types 5 and 29: extension's index 4 (or 24 more), core's type 5
//	frameLengthFlag 1, dependsOnCoreCoder 1, extensionFlag 1
//	may follow: 0x2b7 11, type 5 5, sbrPresent 1, index 4 ...
func ParseConfig(b []byte) (Config, error) {
	if len(b) < 2 {
		return Config{}, fmt.Errorf("AudioSpecificConfig has %d bytes, want 2 or more", len(b))
	}
	if len(b) > MaxConfig {
		return Config{}, fmt.Errorf("AudioSpecificConfig has %d bytes, limit %d", len(b), MaxConfig)
	}
	r := &bitReader{b: b}
	c := Config{ObjectType: r.objectType(), SampleRate: r.sampleRate()}
	layout := int(r.bits(4))
	core := c.ObjectType
	if c.ObjectType == TypeSBR || c.ObjectType == TypePS {
		c.ExtensionRate = r.sampleRate()
		core = r.objectType()
	}
	if r.err != nil {
		return Config{}, fmt.Errorf("AudioSpecificConfig: %w", r.err)
	}
	switch {
	case core < TypeMain || core > TypeLTP:
		return Config{}, fmt.Errorf("AudioSpecificConfig: audio object type %d is not supported", core)
	case layout == 0 || layout >= len(channels):
		return Config{}, fmt.Errorf("AudioSpecificConfig: channel configuration %d is not supported", layout)
	}
	c.Channels = channels[layout]
	c.ShortFrames = r.bits(1) == 1
	if r.bits(1) == 1 { // dependsOnCoreCoder
		r.bits(14)
	}
	r.bits(1)
	if r.err != nil {
		return Config{}, fmt.Errorf("AudioSpecificConfig: %w", r.err)
	}
	if c.ExtensionRate == 0 && r.left() >= 16 && r.bits(11) == 0x2b7 && r.objectType() == TypeSBR && r.bits(1) == 1 {
		c.ObjectType, c.ExtensionRate = TypeSBR, r.sampleRate()
		if r.err == nil && r.left() >= 12 && r.bits(11) == 0x548 && r.bits(1) == 1 {
			c.ObjectType = TypePS
		}
		if r.err != nil {
			return Config{}, fmt.Errorf("AudioSpecificConfig: %w", r.err)
		}
	}
	return c, nil
}

// Append appends the config in its short form.
func (c Config) Append(b []byte) []byte {
	w := bitWriter{b: b}
	w.bits(uint32(c.ObjectType), 5)
	w.sampleRate(c.SampleRate)
	for i, n := range channels {
		if n == c.Channels && n > 0 {
			w.bits(uint32(i), 4)
		}
	}
	if c.ObjectType == TypeSBR || c.ObjectType == TypePS {
		w.sampleRate(c.ExtensionRate)
		w.bits(TypeLC, 5)
	}
	if c.ShortFrames {
		w.bits(1, 1)
	} else {
		w.bits(0, 1)
	}
	w.bits(0, 2)
	return w.b
}

// Codec returns the codecs parameter of RFC 6381, like mp4a.40.2.
func (c Config) Codec() string { return fmt.Sprintf("mp4a.40.%d", c.ObjectType) }

// FrameSamples returns how many samples of the core coder's rate a frame has.
func (c Config) FrameSamples() int {
	if c.ShortFrames {
		return 960
	}
	return 1024
}

var errShort = errors.New("ends too early")

// A bitReader reads bits, the first error sticks.
type bitReader struct {
	b   []byte
	pos int
	err error
}

func (r *bitReader) left() int { return 8*len(r.b) - r.pos }

func (r *bitReader) bits(n int) uint32 {
	if n > r.left() {
		if r.err == nil {
			r.err = errShort
		}
		r.pos = 8 * len(r.b)
		return 0
	}
	var v uint32
	for range n {
		v = v<<1 | uint32(r.b[r.pos/8]>>(7-r.pos%8))&1
		r.pos++
	}
	return v
}

func (r *bitReader) objectType() int {
	if t := r.bits(5); t != 31 {
		return int(t)
	}
	return 32 + int(r.bits(6))
}

func (r *bitReader) sampleRate() int {
	i := r.bits(4)
	hz := 0
	switch {
	case i == 15:
		hz = int(r.bits(24))
	case int(i) < len(sampleRates):
		hz = sampleRates[i]
	}
	if r.err == nil && (hz < 7350 || hz > 96000) {
		r.err = fmt.Errorf("sample rate %d Hz is not of 7350 to 96000", hz)
	}
	return hz
}

// A bitWriter appends bits to b.
type bitWriter struct {
	b    []byte
	free int // bits of the last byte that are not written yet
}

func (w *bitWriter) bits(v uint32, n int) {
	for i := n - 1; i >= 0; i-- {
		if w.free == 0 {
			w.b = append(w.b, 0)
			w.free = 8
		}
		w.free--
		w.b[len(w.b)-1] |= uint8(v>>i&1) << w.free
	}
}

func (w *bitWriter) sampleRate(hz int) {
	for i, rate := range sampleRates {
		if rate == hz {
			w.bits(uint32(i), 4)
			return
		}
	}
	w.bits(15, 4)
	w.bits(uint32(hz), 24)
}
