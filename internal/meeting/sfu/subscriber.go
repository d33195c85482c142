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

// patience is how long a subscriber waits for a key frame, or for another
// place where it can go up to higher layers, before it asks once more.
const patience = time.Second

// A Subscriber forwards one publisher at a time to one receive section of one
// peer. Whatever the publisher and its layers, the peer sees one stream with
// one SSRC: sequence numbers, timestamps, picture ids and frame numbers go on
// where they were.
type Subscriber struct {
	// Fixed by NewSubscriber.
	sink          Sink
	ssrc, rtxSSRC uint32
	types         []PayloadType
	descriptor    uint8

	dropped      atomic.Uint64 // no room in the queue
	unsupported  atomic.Uint64 // the peer has not agreed to the format
	resent       atomic.Uint64
	refused      atomic.Uint64 // asked for again too soon or too often
	tooOldToSend atomic.Uint64 // asked for again, but not cached any more

	mu     sync.Mutex // guards what follows; taken before a Publisher's
	target Target
	asked  time.Time // since when more is waited for than there is; zero: not yet known

	// shown is the publisher that is forwarded: the target's, or another
	// layer of the same picture until that one's key frame comes. Nil while
	// nothing is. The subscriber is in the lists of both.
	shown   *Publisher
	history history
	place   place

	// The newest packet sent.
	sent          bool
	last          int64 // our number
	lastTimestamp uint32
	lastArrival   time.Time
	lastPicture   uint16 // picture id or frame number
	lastTL0       uint8

	packets, octets uint32 // for sender reports, wrap as there

	rtxSeq uint16
	again  []again // by our number modulo againSize; nil before the first
}

// NewSubscriber returns a subscriber without a target.
func NewSubscriber(cfg SubscriberConfig) *Subscriber {
	return &Subscriber{
		sink:       cfg.Sink,
		ssrc:       cfg.SSRC,
		rtxSSRC:    cfg.RTXSSRC,
		types:      cfg.PayloadTypes,
		descriptor: cfg.DependencyDescriptor,
		last:       1 << 16,
	}
}

// SetTarget says what to forward. Another publisher starts at its next key
// frame; if it is a layer of the picture that is shown, that goes on until
// then, else it stops at once. Layers inside a stream are left out from the
// next picture on, and come back where a decoder can go on with them.
func (s *Subscriber) SetTarget(t Target) {
	if t.Publisher == nil {
		t = Target{}
	}
	s.mu.Lock()
	if t == s.target {
		s.mu.Unlock()
		return
	}
	before := [2]*Publisher{s.target.Publisher, s.shown}
	s.target = t
	if s.shown != nil && (t.Publisher == nil || t.Publisher.source != s.shown.source) {
		s.shown = nil
	}
	after := [2]*Publisher{t.Publisher, s.shown}
	for i, p := range before {
		if p != nil && p != after[0] && p != after[1] && (i == 0 || p != before[0]) {
			p.remove(s)
		}
	}
	if p := t.Publisher; p != nil && p != before[0] && p != before[1] {
		p.add(s)
	}
	ask := s.needsKeyFrame()
	s.asked = time.Time{}
	s.mu.Unlock()
	if ask {
		t.Publisher.RequestKeyFrame()
	}
}

// needsKeyFrame says whether only a key frame brings what is wanted. Temporal
// layers come and go by themselves, mostly.
func (s *Subscriber) needsKeyFrame() bool {
	if s.target.Publisher == nil || s.shown != s.target.Publisher {
		return s.target.Publisher != nil
	}
	pl := &s.place
	have, want := pl.have(), pl.top(s.target.limit())
	return have.spatial < want.spatial || have.spatial > want.spatial && !pl.cut.includes(pl.structure, want)
}

// pending says whether other layers are wanted than there are yet.
func (s *Subscriber) pending() bool {
	if s.target.Publisher == nil || s.shown != s.target.Publisher {
		return s.target.Publisher != nil
	}
	return s.place.have() != s.place.top(s.target.limit())
}

// Current returns what is forwarded now: the target itself once all of it is
// there. The zero target is nothing, or waiting for a key frame.
func (s *Subscriber) Current() Target {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.shown == nil:
		return Target{}
	case !s.pending():
		return s.target
	}
	l := s.place.cut.limits(s.place.structure)
	return Target{Publisher: s.shown, Spatial: int(l.spatial), Temporal: int(l.temporal)}
}

// RequestKeyFrame passes on that the peer cannot decode.
func (s *Subscriber) RequestKeyFrame() {
	s.mu.Lock()
	p, other := s.target.Publisher, s.shown
	s.mu.Unlock()
	if p != nil {
		p.RequestKeyFrame()
	}
	if other != nil && other != p {
		other.RequestKeyFrame()
	}
}

// choose finds the payload type for a format. An H.264 profile the peer has
// not named goes out under the first H.264 it has: most decoders take more
// than they say.
func (s *Subscriber) choose(f Format) (chosen PayloadType, found bool) {
	for _, t := range s.types {
		if t.Format.Codec != f.Codec {
			continue
		}
		if t.Format == f {
			return t, true
		}
		if !found {
			chosen, found = PayloadType{Format: f, Type: t.Type, RTX: t.RTX}, true
		}
	}
	return chosen, found
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
	if s.shown == nil {
		return Report{}, false
	}
	ts, ok := s.shown.timestampAt(now)
	if !ok {
		return Report{}, false
	}
	return Report{
		SSRC:      s.ssrc,
		ClockRate: clockRate,
		Timestamp: ts + s.history.current().clock.add,
		Packets:   s.packets,
		Octets:    s.octets,
	}, true
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
func (s *Subscriber) Close() { s.SetTarget(Target{}) }
