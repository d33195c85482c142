package bwe

import (
	"encoding/binary"
	"errors"
	"time"
)

// ErrFeedback says that a packet is no transport-wide feedback that can be
// believed.
var ErrFeedback = errors.New("malformed transport-wide feedback")

const (
	// maxStatus is how many packets one feedback may tell about: more were
	// forgotten by the time it comes.
	maxStatus = historySize

	feedbackHeader = 20
	arrivalUnit    = 64 * time.Millisecond  // of the reference time
	deltaUnit      = 250 * time.Microsecond // of what follows
	arrivalWrap    = 1 << 24 * arrivalUnit
)

// A Feedback is what one RTCP packet says about the arrival of packets
// (draft-holmer-rmcat-transport-wide-cc-extensions-01, section 3.1). It points
// into the packet.
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|V=2|P| FMT=15  |    PT=205     |            length             |
//	|                     SSRC of the sender                        |
//	|                     SSRC of the media                         |
//	|     base sequence number      |      packet status count      |
//	|             reference time                    | feedback no.  |
//	|  chunks of 2 bytes ...  | deltas of 1 or 2 bytes ... | padding
type Feedback struct {
	base           uint16
	count          int
	reference      time.Duration // wraps at arrivalWrap
	chunks, deltas []byte
}

// Statuses of packets.
const (
	notReceived = iota
	smallDelta  // 1 byte, unsigned
	largeDelta  // 2 bytes, signed
)

// ParseFeedback reads one RTCP packet, which must be as long as its header
// says.
func ParseFeedback(b []byte) (Feedback, error) {
	if len(b) < feedbackHeader || b[0]&0xdf != 0x80|15 || b[1] != 205 || int(binary.BigEndian.Uint16(b[2:]))*4+4 != len(b) {
		return Feedback{}, ErrFeedback
	}
	if b[0]&0x20 != 0 { // padding
		pad := int(b[len(b)-1])
		if pad == 0 || pad > len(b)-feedbackHeader {
			return Feedback{}, ErrFeedback
		}
		b = b[:len(b)-pad]
	}
	f := Feedback{
		base:      binary.BigEndian.Uint16(b[12:]),
		count:     int(binary.BigEndian.Uint16(b[14:])),
		reference: time.Duration(uint32(b[16])<<16|uint32(b[17])<<8|uint32(b[18])) * arrivalUnit,
	}
	if f.count == 0 || f.count > maxStatus {
		return Feedback{}, ErrFeedback
	}
	body := b[feedbackHeader:]
	covered, need, chunks := 0, 0, 0
	for covered < f.count {
		if len(body)-chunks < 2 {
			return Feedback{}, ErrFeedback
		}
		c := binary.BigEndian.Uint16(body[chunks:])
		chunks += 2
		n := min(chunkLen(c), f.count-covered)
		if n == 0 {
			return Feedback{}, ErrFeedback
		}
		if isRun(c) {
			need += n * deltaLen(runStatus(c))
		} else {
			for i := range n {
				need += deltaLen(vectorStatus(c, i))
			}
		}
		covered += n
	}
	if need > len(body)-chunks {
		return Feedback{}, ErrFeedback
	}
	f.chunks, f.deltas = body[:chunks], body[chunks:chunks+need]
	return f, nil
}

func isRun(chunk uint16) bool    { return chunk&0x8000 == 0 }
func runStatus(chunk uint16) int { return int(chunk>>13) & 3 }

// chunkLen returns how many packets a chunk tells about.
func chunkLen(chunk uint16) int {
	switch {
	case isRun(chunk):
		return int(chunk & 0x1fff)
	case chunk&0x4000 == 0:
		return 14
	default:
		return 7
	}
}

// vectorStatus returns the status of packet i of a status vector.
func vectorStatus(chunk uint16, i int) int {
	if chunk&0x4000 == 0 {
		return int(chunk>>(13-i)) & 1
	}
	return int(chunk>>(12-2*i)) & 3
}

// deltaLen returns how many bytes tell the arrival; the reserved status 3 has
// none.
func deltaLen(status int) int {
	switch status {
	case smallDelta:
		return 1
	case largeDelta:
		return 2
	}
	return 0
}

// each calls yield for every packet, in the order of sequence numbers. The
// arrival is on the client's clock and wraps at arrivalWrap; it means nothing
// of a packet that was not received.
func (f *Feedback) each(yield func(seq uint16, got bool, arrival time.Duration)) {
	seq, left := f.base, f.count
	at, deltas := f.reference, f.deltas
	for b := f.chunks; len(b) >= 2 && left > 0; b = b[2:] {
		c := binary.BigEndian.Uint16(b)
		for i := range min(chunkLen(c), left) {
			status := runStatus(c)
			if !isRun(c) {
				status = vectorStatus(c, i)
			}
			switch status {
			case smallDelta:
				at += time.Duration(deltas[0]) * deltaUnit
				deltas = deltas[1:]
			case largeDelta:
				at += time.Duration(int16(binary.BigEndian.Uint16(deltas))) * deltaUnit
				deltas = deltas[2:]
			}
			yield(seq, status == smallDelta || status == largeDelta, at)
			seq++
			left--
		}
	}
}

// ParseREMB reads the bitrate, in bit/s, of an RTCP packet if it is a REMB
// (draft-alvestrand-rmcat-remb-03, section 2.2).
func ParseREMB(b []byte) (bps int, ok bool) {
	if len(b) < 20 || b[0]&0x1f != 15 || b[1] != 206 || string(b[12:16]) != "REMB" {
		return 0, false
	}
	exponent := b[17] >> 2
	mantissa := uint64(b[17]&3)<<16 | uint64(b[18])<<8 | uint64(b[19])
	if exponent > 40 { // beyond any link: no bound at all
		return 1 << 40, true
	}
	return int(min(mantissa<<exponent, 1<<40)), true
}
