package sfu

import "time"

const (
	againSize = 512

	// maxResends is how often one packet is sent again. A receiver that has
	// not got it by then does not get it at all, or does not look.
	maxResends = 8

	// minResendWait is the shortest time between two; with a longer round
	// trip than that, a receiver cannot know better and asks too early.
	minResendWait = 20 * time.Millisecond

	// paddingDepth is how many packets back one is looked for that is short
	// enough to be padding.
	paddingDepth = 8
)

// An again is what was sent again lately.
type again struct {
	seq   int64
	last  time.Time
	times int
}

// Resend sends a packet the peer has missed once more, but not before the
// last one can have arrived.
func (s *Subscriber) Resend(seq uint16, now time.Time, rtt time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.target.Publisher == nil || !s.sent {
		return
	}
	out := s.last + int64(int16(seq-uint16(s.last)))
	if out > s.last {
		s.tooOldToSend.Add(1)
		return
	}
	if s.again == nil {
		s.again = make([]again, againSize)
	}
	a := &s.again[out&(againSize-1)]
	if a.seq != out {
		*a = again{seq: out}
	}
	if a.times == maxResends || now.Sub(a.last) < max(rtt, minResendWait) {
		s.refused.Add(1)
		return
	}
	o, ok := s.sentAs(out)
	if !ok {
		s.tooOldToSend.Add(1)
		return
	}
	if !s.sink.Send(o) {
		o.Packet.Release()
		s.dropped.Add(1)
		return
	}
	if o.Again {
		s.rtxSeq++
	}
	a.times++
	a.last = now
	s.resent.Add(1)
}

// Padding returns one of the latest packets once more, in RTX form and of at
// most limit bytes, to be sent for nothing but the bandwidth it takes. Its
// packet is retained. It is false when there is none, or RTX was not agreed
// on.
func (s *Subscriber) Padding(limit int) (Outgoing, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shown == nil || !s.sent {
		return Outgoing{}, false
	}
	for out := s.last; out > s.last-paddingDepth; out-- {
		o, ok := s.sentAs(out)
		if !ok {
			continue
		}
		if o.Again && o.Size() <= limit {
			s.rtxSeq++
			return o, true
		}
		o.Packet.Release()
	}
	return Outgoing{}, false
}

// sentAs returns the packet that was sent under one of our numbers, retained
// and in RTX form if the peer has agreed to that. It is false when the packet
// is gone, or never came.
func (s *Subscriber) sentAs(out int64) (Outgoing, bool) {
	sp, in, ok := s.history.origin(out)
	if !ok {
		return Outgoing{}, false
	}
	r := &s.history.runs[sp.run%maxRuns]
	pkt := r.publisher.cached(in)
	if pkt == nil {
		return Outgoing{}, false
	}
	c, ok := s.history.cut(sp.run, pkt)
	if !ok {
		pkt.Release()
		return Outgoing{}, false
	}
	o := s.outgoing(pkt, r, sp, c)
	if r.payload.RTX != 0 {
		o.Again, o.OriginalSeq = true, o.Seq
		o.Seq, o.SSRC, o.Type = s.rtxSeq, s.rtxSSRC, r.payload.RTX
	}
	return o, true
}
