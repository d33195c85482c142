package attendee

import (
	"slices"
	"time"

	"github.com/pion/rtcp"
)

const (
	// A missing packet is asked for when the gap shows and again every
	// nackInterval, nackTries times.
	nackInterval = 40 * time.Millisecond
	nackTries    = 10

	// maxMissing is how many packets may be missing before the gap is given
	// up: a key frame must mend it.
	maxMissing = 256

	// maxReported is how many streams fit one report (RFC 3550 section 6.4.2).
	maxReported = 31
)

// An incoming is what is known of one stream that is received: enough for
// receiver reports and to ask for what is missing (RFC 3550 appendix A).
type incoming struct {
	ssrc    uint32
	rate    float64
	asks    bool // for what is missing
	section *section

	begun    bool
	highest  uint32 // extended sequence number
	base     uint32
	received uint32
	transit  float64
	jitter   float64

	priorExpected, priorReceived uint32
	lastReport                   uint32 // the middle of the last sender report's time
	lastReportAt                 time.Time

	missing []absent
}

// An absent packet has been asked for some times.
type absent struct {
	sequence uint32
	next     time.Time
	tries    int
}

// arrived takes note of a packet. False: it is a retransmission of one that is
// here already, as come in place of padding.
func (s *incoming) arrived(sequence uint16, timestamp uint32, now time.Time, retransmitted bool) bool {
	if !s.begun {
		s.begun = true
		s.highest = 1<<16 | uint32(sequence) // room for those that come before
		s.base = s.highest
	}
	extended := s.highest + uint32(int32(int16(sequence-uint16(s.highest))))
	if retransmitted {
		return s.found(extended)
	}
	if extended > s.highest {
		for n := s.highest + 1; s.asks && n != extended; n++ {
			if len(s.missing) == maxMissing {
				s.missing = s.missing[:0]
				break
			}
			s.missing = append(s.missing, absent{sequence: n})
		}
		s.highest = extended
	} else {
		s.found(extended)
	}
	s.received++
	transit := now.Sub(clockZero).Seconds()*s.rate - float64(timestamp)
	if d := transit - s.transit; s.received > 1 && d < s.rate && -d < s.rate {
		s.jitter += (max(d, -d) - s.jitter) / 16
	}
	s.transit = transit
	return true
}

// found takes a packet out of the missing ones, and says whether it was one.
func (s *incoming) found(sequence uint32) bool {
	i := slices.IndexFunc(s.missing, func(m absent) bool { return m.sequence == sequence })
	if i >= 0 {
		s.missing = slices.Delete(s.missing, i, i+1)
	}
	return i >= 0
}

// clockZero is what arrival times are counted from.
var clockZero = time.Now()

// wanted gives what to ask for now.
func (s *incoming) wanted(now time.Time, list []uint16) []uint16 {
	kept := s.missing[:0]
	for _, m := range s.missing {
		if now.Before(m.next) {
			kept = append(kept, m)
			continue
		}
		if m.tries == nackTries {
			continue
		}
		m.tries++
		m.next = now.Add(nackInterval)
		list = append(list, uint16(m.sequence))
		kept = append(kept, m)
	}
	s.missing = kept
	return list
}

// reported takes the time of a sender report.
func (s *incoming) reported(ntp uint64, now time.Time) {
	s.lastReport, s.lastReportAt = uint32(ntp>>16), now
}

// reception is the stream's part of a receiver report.
func (s *incoming) reception(now time.Time) rtcp.ReceptionReport {
	expected := s.highest - s.base + 1
	lost := int64(expected) - int64(s.received)
	newExpected, newReceived := expected-s.priorExpected, s.received-s.priorReceived
	s.priorExpected, s.priorReceived = expected, s.received
	fraction := uint8(0)
	if newExpected > newReceived && newExpected < 1<<31 {
		fraction = uint8(min(255, (uint64(newExpected-newReceived)<<8)/uint64(newExpected)))
	}
	r := rtcp.ReceptionReport{
		SSRC: s.ssrc, FractionLost: fraction, TotalLost: uint32(min(max(lost, 0), 1<<23-1)),
		LastSequenceNumber: s.highest - 1<<16, Jitter: uint32(s.jitter), LastSenderReport: s.lastReport,
	}
	if !s.lastReportAt.IsZero() {
		r.Delay = uint32(now.Sub(s.lastReportAt).Seconds() * 65536)
	}
	return r
}
