package clip

import (
	"bytes"
	"time"
)

// NAL unit types (ITU-T H.264 table 7-1).
const (
	nalSlice = 1
	nalIDR   = 5
	nalSEI   = 6
	nalSPS   = 7
	nalPPS   = 8
	nalAUD   = 9
)

// ParseAnnexB cuts an H.264 byte stream (ITU-T H.264 annex B) into access
// units that come so long after each other. The frames are parts of b.
func ParseAnnexB(b []byte, interval time.Duration) (*Clip, error) {
	if interval <= 0 {
		return nil, formatError("%v between frames", interval)
	}
	c := new(Clip)
	begin, pictured, key := -1, false, false
	flush := func(end int) {
		if pictured {
			c.Frames = append(c.Frames, Frame{Time: time.Duration(len(c.Frames)) * interval, KeyFrame: key, Data: b[begin:end:end]})
		}
		begin, pictured, key = end, false, false
	}
	for at := startCode(b, 0); at >= 0; {
		body := at + 3
		next := startCode(b, body)
		if body >= len(b) {
			break
		}
		from := at
		if from > 0 && b[from-1] == 0 { // the long form of the start code
			from--
		}
		switch kind := b[body] & 0x1f; kind {
		case nalSlice, nalIDR:
			// first_mb_in_slice is 0, a single 1 bit, in the first slice of
			// a picture.
			if pictured && body+1 < len(b) && b[body+1]&0x80 != 0 {
				flush(from)
			}
			if begin < 0 {
				begin = from
			}
			pictured = true
			key = key || kind == nalIDR
		case nalSEI, nalSPS, nalPPS, nalAUD:
			if pictured || begin < 0 {
				flush(from)
			}
		}
		if len(c.Frames) == maxFrames {
			return nil, formatError("more than %d frames", maxFrames)
		}
		at = next
	}
	flush(len(b))
	if len(c.Frames) > 0 && !c.Frames[0].KeyFrame {
		return nil, formatError("no key frame first")
	}
	return c, c.close(interval)
}

// startCode finds the next 00 00 01, or gives -1.
func startCode(b []byte, from int) int {
	if from > len(b) {
		return -1
	}
	i := bytes.Index(b[from:], []byte{0, 0, 1})
	if i < 0 {
		return -1
	}
	return from + i
}
