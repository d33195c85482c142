package rtc

import (
	"time"

	"github.com/pion/rtcp"
)

const (
	// maxMissing is how many packets are asked for at a time. When more are
	// gone, a key frame is cheaper.
	maxMissing = 256

	maxAsks    = 10 // how often one packet is asked for
	minAskWait = 20 * time.Millisecond
	defaultRTT = 100 * time.Millisecond

	// maxSeqJump is how far a sequence number may leap before it counts as a
	// new stream.
	maxSeqJump = 3000
)

// A receiver keeps the books of one incoming stream: what was lost, for
// receiver reports (RFC 3550, section 6.4.1 and appendix A), and what to ask
// for again (RFC 4585, section 6.2.1).
type receiver struct {
	ssrc  uint32
	clock int  // Hz
	nack  bool // lost packets are asked for

	started  bool
	first    int64 // extended sequence numbers
	highest  int64
	received int64

	jitter      float64 // in units of the clock
	lastArrival time.Time
	lastRTP     uint32

	expectedBefore, receivedBefore int64 // at the last report

	reportNTP uint64 // of the sender's last report, 0 none
	reportAt  time.Time

	missing []missing // by sequence number
	gaveUp  bool      // something is lost for good; taken by lost
}

type missing struct {
	seq  int64
	asks int
	last time.Time
}

// push takes a packet. It reports whether the packet revealed a gap.
func (r *receiver) push(seq uint16, timestamp uint32, at time.Time) (gap bool) {
	delta := int64(int16(seq - uint16(r.highest)))
	if !r.started || delta > maxSeqJump || delta < -maxSeqJump {
		r.restart(seq)
		delta = 1
	}
	r.received++
	if r.started && !r.lastArrival.IsZero() && timestamp != r.lastRTP {
		elapsed := at.Sub(r.lastArrival).Seconds() * float64(r.clock)
		d := elapsed - float64(int32(timestamp-r.lastRTP))
		r.jitter += (max(d, -d) - r.jitter) / 16
	}
	if timestamp != r.lastRTP {
		r.lastArrival, r.lastRTP = at, timestamp
	}
	if delta <= 0 {
		r.found(r.highest + delta)
		return false
	}
	for s := r.highest + 1; s < r.highest+delta; s++ {
		r.lose(s)
		gap = true
	}
	r.highest += delta
	return gap && r.nack
}

func (r *receiver) restart(seq uint16) {
	*r = receiver{ssrc: r.ssrc, clock: r.clock, nack: r.nack, started: true, gaveUp: r.started}
	r.first = 1<<16 + int64(seq)
	r.highest = r.first - 1
}

func (r *receiver) lose(seq int64) {
	if !r.nack {
		return
	}
	if len(r.missing) == maxMissing {
		r.missing = r.missing[:0]
		r.gaveUp = true
	}
	r.missing = append(r.missing, missing{seq: seq})
}

// found takes a packet that came late or was sent again.
func (r *receiver) found(seq int64) {
	for i := range r.missing {
		if r.missing[i].seq == seq {
			r.missing = append(r.missing[:i], r.missing[i+1:]...)
			return
		}
	}
}

// recovered takes a packet that came as a retransmission. It does not count
// as received: the report says what the network lost.
func (r *receiver) recovered(seq uint16) {
	if r.started {
		r.found(r.highest + int64(int16(seq-uint16(r.highest))))
	}
}

// ask appends the sequence numbers to ask for now.
func (r *receiver) ask(list []uint16, now time.Time, rtt time.Duration) []uint16 {
	wait := max(rtt+rtt/4, minAskWait)
	kept := r.missing[:0]
	for _, m := range r.missing {
		if m.asks == maxAsks {
			r.gaveUp = true
			continue
		}
		if m.asks == 0 || now.Sub(m.last) >= wait {
			m.asks++
			m.last = now
			list = append(list, uint16(m.seq))
		}
		kept = append(kept, m)
	}
	r.missing = kept
	return list
}

// lost reports, once, that packets are gone for good.
func (r *receiver) lost() bool {
	gone := r.gaveUp
	r.gaveUp = false
	return gone
}

// senderReport takes the NTP time of a sender report.
func (r *receiver) senderReport(ntp uint64, at time.Time) {
	r.reportNTP, r.reportAt = ntp, at
}

// report returns the receiver report since the last one.
func (r *receiver) report(now time.Time) (rtcp.ReceptionReport, bool) {
	if !r.started {
		return rtcp.ReceptionReport{}, false
	}
	expected := r.highest - r.first + 1
	lostNow := (expected - r.expectedBefore) - (r.received - r.receivedBefore)
	var fraction uint8
	if span := expected - r.expectedBefore; lostNow > 0 && span > 0 {
		fraction = uint8(min(lostNow*256/span, 255))
	}
	r.expectedBefore, r.receivedBefore = expected, r.received
	rr := rtcp.ReceptionReport{
		SSRC:               r.ssrc,
		FractionLost:       fraction,
		TotalLost:          uint32(min(max(expected-r.received, 0), 1<<23-1)),
		LastSequenceNumber: uint32(r.highest),
		Jitter:             uint32(r.jitter),
	}
	if r.reportNTP != 0 {
		rr.LastSenderReport = uint32(r.reportNTP >> 16)
		rr.Delay = uint32(now.Sub(r.reportAt) * 65536 / time.Second)
	}
	return rr, true
}
