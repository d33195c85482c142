// Package opus codes sound with libopus. PCM at 48 kHz goes in and Opus
// packets (RFC 6716) come out, and the other way round, with concealment of
// what was lost. RTP, timing and mixing are left to others.
package opus

import (
	"errors"
	"fmt"
)

// Rates and sizes that hold for every encoder and decoder of this package.
const (
	SampleRate = 48000 // Hz; the Opus RTP clock too (RFC 7587 section 4.1)

	// MaxPacket is the most bytes Encode writes: one frame (RFC 6716
	// section 3.4, rule 2) and its table of contents.
	MaxPacket = 1276
	// MaxSamples is how many samples per channel a packet holds at most:
	// 120 ms (RFC 6716 section 3.4, rule 5).
	MaxSamples = 5760
	// MinSamples is 2.5 ms, the grain of concealment.
	MinSamples = 120
)

// Errors of packets and buffers. An error of libopus itself comes with its
// own text.
var (
	ErrPacket = errors.New("not an Opus packet")
	ErrBuffer = errors.New("no whole Opus frame fits the samples")
	ErrClosed = errors.New("codec is closed")
)

// silence is a mono 20 ms frame of CELT at full band whose silence flag is
// set.
var silence = [3]byte{0xf8, 0xff, 0xfe}

// Silence returns a packet of 20 ms of zeros, which an encoder in
// CELT mode writes itself for them. The caller must not change it.
func Silence() []byte { return silence[:] }

// Samples says how many samples per channel the packet stands for at 48 kHz,
// from its first bytes alone (RFC 6716 section 3.1 and 3.2):
//
//	 0 1 2 3 4 5 6 7
//	+-+-+-+-+-+-+-+-+
//	| config  |s| c |   config: mode, bandwidth, frame size; s: stereo
//	+-+-+-+-+-+-+-+-+   c: 0 one frame, 1 and 2 two, 3 as many as byte 1 says
func Samples(packet []byte) (int, error) {
	if len(packet) == 0 {
		return 0, fmt.Errorf("%w: empty", ErrPacket)
	}
	frames := 0
	switch packet[0] & 3 {
	case 0:
		frames = 1
	case 1, 2:
		frames = 2
	case 3:
		if len(packet) < 2 {
			return 0, fmt.Errorf("%w: frame count missing", ErrPacket)
		}
		frames = int(packet[1] & 0x3f)
	}
	n := frames * frameSamples(packet[0]>>3)
	if n == 0 || n > MaxSamples {
		return 0, fmt.Errorf("%w: %d samples, want 1 to %d", ErrPacket, n, MaxSamples)
	}
	return n, nil
}

// Stereo says whether the packet was coded with two channels.
func Stereo(packet []byte) bool { return len(packet) > 0 && packet[0]&4 != 0 }

// HasFEC says whether the packet carries the frame before its own a second
// time. In the SILK layer of its first frame each channel begins with a flag
// for each 20 ms of voice activity, then one for that (RFC 6716 section
// 4.2.3): bits of even odds, which the range coder leaves as they are.
func HasFEC(packet []byte) bool {
	if len(packet) < 2 || packet[0]>>3 >= 16 {
		return false // nothing, or CELT
	}
	samples := frameSamples(packet[0] >> 3)
	data := packet[1:]
	switch packet[0] & 3 {
	case 0, 1: // one frame, or two equally long ones
	case 2: // length of the first of two
		if data[0] >= 252 && len(data) < 2 {
			return false
		}
		if data[0] >= 252 {
			data = data[1:]
		}
		data = data[1:]
	default:
		return false // any number of frames: nobody sends FEC so
	}
	if len(data) == 0 {
		return false
	}
	activity := max(samples/960, 1)
	mid := data[0]>>(7-activity)&1 != 0
	if packet[0]&4 == 0 {
		return mid
	}
	return mid || data[0]>>(7-2*activity-1)&1 != 0
}

// frameSamples is table 2 of RFC 6716 section 3.1.
func frameSamples(config byte) int {
	switch {
	case config < 12: // SILK: 10, 20, 40, 60 ms
		return [4]int{480, 960, 1920, 2880}[config&3]
	case config < 16: // hybrid: 10, 20 ms
		return 480 << (config & 1)
	default: // CELT: 2.5, 5, 10, 20 ms
		return 120 << (config & 3)
	}
}
