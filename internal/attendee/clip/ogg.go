package clip

import (
	"time"
)

// ParseOgg reads Opus in its Ogg container (RFC 3533, RFC 7845): each packet is
// a frame, at the time that the packets before it last. Pages begin with
//
//	bytes 0-3   "OggS"
//	byte  4     version, 0
//	bytes 5-25  flags, position, stream, page number, checksum: not looked at
//	byte  26    number of segments, then the length of each
//
// and a packet ends with the first of its segments that is shorter than 255
// bytes. The first two packets are headers.
func ParseOgg(b []byte) (*Clip, error) {
	const header = 27
	c := new(Clip)
	var packet []byte
	at, n := time.Duration(0), 0
	for len(b) > 0 {
		if len(b) < header || string(b[:4]) != "OggS" || b[4] != 0 {
			return nil, formatError("no Ogg page")
		}
		segments := int(b[header-1])
		if len(b) < header+segments {
			return nil, formatError("Ogg page cut")
		}
		lengths := b[header : header+segments]
		b = b[header+segments:]
		for _, length := range lengths {
			if int(length) > len(b) || len(packet) > maxFrame {
				return nil, formatError("Ogg packet cut")
			}
			packet = append(packet, b[:length]...)
			b = b[length:]
			if length == 255 {
				continue
			}
			switch {
			case n == 0 && (len(packet) < 8 || string(packet[:8]) != "OpusHead"):
				return nil, formatError("no Opus header")
			case n >= 2:
				d := opusDuration(packet)
				if d == 0 || len(c.Frames) == maxFrames {
					return nil, formatError("Opus packet %d", n-2)
				}
				c.Frames = append(c.Frames, Frame{Time: at, KeyFrame: true, Data: packet})
				at += d
			}
			n++
			packet = nil
		}
	}
	if len(c.Frames) == 0 {
		return nil, formatError("no packets")
	}
	c.Length = at
	return c, nil
}

// opusDuration is how long a packet lasts (RFC 6716 section 3.1), 0 if it is
// none.
func opusDuration(packet []byte) time.Duration {
	if len(packet) == 0 {
		return 0
	}
	var frame time.Duration
	switch config := packet[0] >> 3; {
	case config < 12:
		frame = [...]time.Duration{10, 20, 40, 60}[config&3] * time.Millisecond
	case config < 16:
		frame = [...]time.Duration{10, 20}[config&1] * time.Millisecond
	default:
		frame = 2500 * time.Microsecond << (config & 3)
	}
	count := 2
	switch packet[0] & 3 {
	case 0:
		count = 1
	case 3:
		if len(packet) < 2 {
			return 0
		}
		count = int(packet[1] & 0x3f)
	}
	return time.Duration(count) * frame
}
