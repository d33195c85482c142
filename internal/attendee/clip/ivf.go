package clip

import (
	"encoding/binary"
	"time"
)

// ParseIVF reads a VP8 file in the container of the libvpx tools:
//
//	bytes 0-3   "DKIF"
//	bytes 4-5   version, 0
//	bytes 6-7   length of this header
//	bytes 8-11  "VP80"
//	bytes 12-15 width and height
//	bytes 16-19 units of time per second
//	bytes 20-23 length of that unit
//	bytes 24-31 number of frames, unused
//
// and then for each frame its length (4), its time (8) and its bytes. All
// numbers have their low byte first. The frames are parts of b.
func ParseIVF(b []byte) (*Clip, error) {
	if len(b) < 32 || string(b[:4]) != "DKIF" {
		return nil, formatError("no IVF header")
	}
	if codec := string(b[8:12]); codec != "VP80" {
		return nil, formatError("codec %q, want VP80", codec)
	}
	header := int(binary.LittleEndian.Uint16(b[6:]))
	rate, scale := binary.LittleEndian.Uint32(b[16:]), binary.LittleEndian.Uint32(b[20:])
	if header < 32 || header > len(b) || rate == 0 || scale == 0 {
		return nil, formatError("IVF header of %d bytes, %d/%d frames/s", header, rate, scale)
	}
	c := new(Clip)
	for b = b[header:]; len(b) > 0; {
		if len(b) < 12 {
			return nil, formatError("frame header cut")
		}
		size, ticks := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint64(b[4:])
		b = b[12:]
		if size == 0 || size > maxFrame || int(size) > len(b) || len(c.Frames) == maxFrames || ticks > 1<<40 {
			return nil, formatError("frame of %d bytes at %d", size, ticks)
		}
		at := time.Duration(float64(ticks) * float64(scale) / float64(rate) * float64(time.Second))
		// The first bit of a frame is 0 for key frames (RFC 6386 section 9.1).
		f := Frame{Time: at, KeyFrame: b[0]&1 == 0, Data: b[:size:size]}
		if n := len(c.Frames); n == 0 && !f.KeyFrame || n > 0 && at <= c.Frames[n-1].Time {
			return nil, formatError("frame %d: key frame %v at %v", n, f.KeyFrame, at)
		}
		c.Frames = append(c.Frames, f)
		b = b[size:]
	}
	return c, c.close(time.Duration(float64(scale) / float64(rate) * float64(time.Second)))
}

// close sets the length: the last frame stays for the usual while.
func (c *Clip) close(while time.Duration) error {
	if len(c.Frames) == 0 || while <= 0 {
		return formatError("no frames")
	}
	first := c.Frames[0].Time
	for i := range c.Frames {
		c.Frames[i].Time -= first
	}
	c.Length = c.Frames[len(c.Frames)-1].Time + while
	return nil
}
