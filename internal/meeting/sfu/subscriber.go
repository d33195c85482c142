package sfu

import (
	"sync"
	"sync/atomic"
	"time"
)

// A Sink takes the packets of subscribers to one peer.
type Sink interface {
	// Send queues o. If it returns true it has taken over one count of
	// o.Packet, if false there was no room.
	Send(o Outgoing) bool
}

// A PayloadType says by which numbers a peer wants a format.
type PayloadType struct {
	Format Format
	Type   uint8
	RTX    uint8 // 0: no retransmission format
}

// A SubscriberConfig is what a subscriber is made of.
type SubscriberConfig struct {
	Sink         Sink
	SSRC         uint32
	RTXSSRC      uint32
	PayloadTypes []PayloadType // in the peer's order

	// DependencyDescriptor is the id under which the peer takes that header
	// extension, 0 if it does not.
	DependencyDescriptor uint8
}

const (
	againSize = 512

	// maxResends is how often one packet is sent again. A receiver that has
	// not got it by then does not get it at all, or does not look.
	maxResends = 8

	// minResendWait is the shortest time between two; with a longer round
	// trip than that, a receiver cannot know better and asks too early.
	minResendWait = 20 * time.Millisecond
)

// An again is what was sent again lately.
type again struct {
	seq   int64
	last  time.Time
	times int
}

// A Subscriber forwards one publisher at a time to one receive section of one
// peer. Whatever the publisher, the peer sees one stream with one SSRC:
// sequence numbers, timestamps and VP8 picture ids go on where they were.
type Subscriber struct {
	// Fixed by NewSubscriber.
	sink          Sink
	ssrc, rtxSSRC uint32
	types         []PayloadType

	dropped      atomic.Uint64 // no room in the queue
	unsupported  atomic.Uint64 // the peer has not agreed to the format
	resent       atomic.Uint64
	refused      atomic.Uint64 // asked for again too soon or too often
	tooOldToSend atomic.Uint64 // asked for again, but not cached any more

	mu      sync.Mutex // guards what follows; taken before a Publisher's
	source  *Publisher
	waiting bool // for a key frame: nothing is forwarded
	payload PayloadType
	rtxSeq  uint16
	again   [againSize]again // by our number modulo againSize

	// The run: the packets since the last start at a key frame. It turns the
	// publisher's numbers into ours by adding.
	stream    int
	inFirst   int64 // the run's first packet, the publisher's number
	outFirst  int64 // and ours
	timestamp uint32
	pictureID uint16
	tl0       uint8

	// The newest packet sent.
	sent          bool
	last          int64 // our number
	lastTimestamp uint32
	lastArrival   time.Time
	lastPictureID uint16
	lastTL0       uint8

	packets, octets uint32 // for sender reports, wrap as there
}

// NewSubscriber returns a subscriber without a source.
func NewSubscriber(cfg SubscriberConfig) *Subscriber {
	return &Subscriber{
		sink:    cfg.Sink,
		ssrc:    cfg.SSRC,
		rtxSSRC: cfg.RTXSSRC,
		types:   cfg.PayloadTypes,
		last:    1 << 16,
	}
}

// Source returns the publisher that is forwarded now, or nil.
func (s *Subscriber) Source() *Publisher {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.source
}

// SetSource makes p the publisher that is forwarded, from its next key frame
// on. Nil is none.
func (s *Subscriber) SetSource(p *Publisher) { s.SetTarget(Whole(p)) }

// SetTarget says what to forward: from the next key frame on.
func (s *Subscriber) SetTarget(t Target) {
	p := t.Publisher
	s.mu.Lock()
	old := s.source
	if old == p {
		s.mu.Unlock()
		return
	}
	s.source, s.waiting = p, true
	s.mu.Unlock()
	if old != nil {
		old.remove(s)
	}
	if p != nil {
		p.add(s)
		p.RequestKeyFrame()
	}
}

// Current returns what is forwarded now. The zero target is nothing, or
// waiting for a key frame.
func (s *Subscriber) Current() Target {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting {
		return Target{}
	}
	return Whole(s.source)
}

// RequestKeyFrame passes on that the peer cannot decode.
func (s *Subscriber) RequestKeyFrame() {
	if p := s.Source(); p != nil {
		p.RequestKeyFrame()
	}
}

// forward sends one packet of p on.
func (s *Subscriber) forward(p *Publisher, pkt *Packet) {
	s.mu.Lock()
	full := s.forwardLocked(p, pkt)
	s.mu.Unlock()
	if full {
		p.RequestKeyFrame()
	}
}

// forwardLocked reports whether the queue was full.
func (s *Subscriber) forwardLocked(p *Publisher, pkt *Packet) (full bool) {
	if s.source != p {
		return false
	}
	if !s.waiting {
		if pkt.seq < s.inFirst {
			return false // from before the key frame
		}
		if pkt.stream != s.stream || pkt.format != s.payload.Format {
			s.waiting = true
		}
	}
	if !s.waiting {
		return !s.send(pkt)
	}
	if !pkt.info.keyStart || !s.start(pkt) {
		return false
	}
	if !s.send(pkt) {
		return true
	}
	// The start may be a retransmission: what came before it belongs after it.
	for seq, newest := pkt.seq+1, p.newestSeq(); seq <= newest; seq++ {
		next := p.cached(seq)
		if next == nil {
			continue
		}
		ok := s.send(next)
		next.Release()
		if !ok {
			return true
		}
	}
	return false
}

// start begins a run at a key frame. It reports false if the peer cannot
// decode it.
func (s *Subscriber) start(pkt *Packet) bool {
	if !s.choose(pkt.format) {
		s.unsupported.Add(1)
		return false
	}
	s.waiting = false
	s.stream = pkt.stream
	s.inFirst, s.outFirst = pkt.seq, s.last+1
	s.timestamp, s.pictureID, s.tl0 = 0, 0, 0
	if s.sent {
		// At least a millisecond later than what was sent before.
		gap := max(pkt.arrival.Sub(s.lastArrival), time.Millisecond)
		s.timestamp = s.lastTimestamp + uint32(durationToTicks(gap)) - pkt.timestamp
		s.pictureID = s.lastPictureID + 1 - pkt.info.pictureID
		s.tl0 = s.lastTL0 + 1 - pkt.info.tl0
	}
	return true
}

// choose finds the payload type for a format. An H.264 profile the peer has
// not named goes out under the first H.264 it has: most decoders take more
// than they say.
func (s *Subscriber) choose(f Format) bool {
	found := false
	for _, t := range s.types {
		if t.Format.Codec != f.Codec {
			continue
		}
		if t.Format == f {
			s.payload = t
			return true
		}
		if !found {
			found, s.payload = true, PayloadType{Format: f, Type: t.Type, RTX: t.RTX}
		}
	}
	return found
}

// send queues one packet of the run. If there is no room, nothing more is
// sent until the next key frame.
func (s *Subscriber) send(pkt *Packet) bool {
	o := s.outgoing(pkt)
	pkt.Retain()
	if !s.sink.Send(o) {
		pkt.Release()
		s.dropped.Add(1)
		s.waiting = true
		return false
	}
	if out := pkt.seq - s.inFirst + s.outFirst; out > s.last {
		if o.Timestamp != s.lastTimestamp || !s.sent {
			s.lastArrival = pkt.arrival
		}
		s.sent, s.last = true, out
		s.lastTimestamp = o.Timestamp
		if pkt.format.Codec == VP8 {
			s.lastPictureID, s.lastTL0 = o.pictureID, o.tl0
		}
	}
	s.packets++
	s.octets += uint32(pkt.size)
	return true
}

func (s *Subscriber) outgoing(pkt *Packet) Outgoing {
	return Outgoing{
		Packet:    pkt,
		SSRC:      s.ssrc,
		Type:      s.payload.Type,
		Seq:       uint16(pkt.seq - s.inFirst + s.outFirst),
		Timestamp: pkt.timestamp + s.timestamp,
		Marker:    pkt.marker,
		pictureID: (pkt.info.pictureID + s.pictureID) & 0x7fff,
		tl0:       pkt.info.tl0 + s.tl0,
	}
}

// Resend sends a packet the peer has missed once more, but not before the
// last one can have arrived.
func (s *Subscriber) Resend(seq uint16, now time.Time, rtt time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.source == nil || !s.sent {
		return
	}
	out := s.last + int64(int16(seq-uint16(s.last)))
	if out < s.outFirst || out > s.last {
		s.tooOldToSend.Add(1)
		return
	}
	a := &s.again[out&(againSize-1)]
	if a.seq != out {
		*a = again{seq: out}
	}
	if a.times == maxResends || now.Sub(a.last) < max(rtt, minResendWait) {
		s.refused.Add(1)
		return
	}
	pkt := s.source.cached(out - s.outFirst + s.inFirst)
	if pkt == nil {
		s.tooOldToSend.Add(1)
		return
	}
	o := s.outgoing(pkt)
	if s.payload.RTX != 0 {
		o.Again, o.OriginalSeq = true, o.Seq
		o.Seq, o.SSRC, o.Type = s.rtxSeq, s.rtxSSRC, s.payload.RTX
		s.rtxSeq++
	}
	if !s.sink.Send(o) {
		pkt.Release()
		s.dropped.Add(1)
		return
	}
	a.times++
	a.last = now
	s.resent.Add(1)
}

// A Report is what an RTCP sender report says (RFC 3550, section 6.4.1).
type Report struct {
	SSRC            uint32
	ClockRate       int    // Hz
	Timestamp       uint32 // at the time of the report
	Packets, Octets uint32
}

// Report returns the sender report for now, on the server's clock. It is false
// while nothing is being sent.
func (s *Subscriber) Report(now time.Time) (Report, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.source == nil || s.waiting || !s.sent {
		return Report{}, false
	}
	ts, ok := s.source.timestampAt(now)
	if !ok {
		return Report{}, false
	}
	return Report{SSRC: s.ssrc, ClockRate: clockRate, Timestamp: ts + s.timestamp, Packets: s.packets, Octets: s.octets}, true
}

// SubscriberStats count packets since the beginning.
type SubscriberStats struct {
	Sent         uint32 // first transmissions
	Resent       uint64
	DroppedQueue uint64 // no room in the peer's queue
	DroppedCodec uint64 // key frames in a format the peer has not agreed to
	MissedCache  uint64 // asked for again too late
	Refused      uint64 // asked for again too soon or too often
}

// Stats returns the counters.
func (s *Subscriber) Stats() SubscriberStats {
	s.mu.Lock()
	sent := s.packets
	s.mu.Unlock()
	return SubscriberStats{
		Sent:         sent,
		Resent:       s.resent.Load(),
		DroppedQueue: s.dropped.Load(),
		DroppedCodec: s.unsupported.Load(),
		MissedCache:  s.tooOldToSend.Load(),
		Refused:      s.refused.Load(),
	}
}

// Close ends the subscriber.
func (s *Subscriber) Close() { s.SetSource(nil) }
