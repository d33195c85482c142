package sfu

import (
	"time"

	"belfry.live/belfry/internal/wire/av1"
)

const (
	// minStep is how much later than the picture before another publisher's
	// first picture comes out at least, in ticks: a millisecond.
	minStep = clockRate / 1000

	// maxLeap is how far the clocks of two layers may put a picture from
	// where its arrival has it, in ticks, to be believed.
	maxLeap = clockRate
)

// A place is how far a subscriber has come in a run.
type place struct {
	newest  int64  // the publisher's number; what to do with all up to it is decided
	picture uint32 // the timestamp of that packet
	spatial uint8  // and its layer

	cut     cut    // what is forwarded now
	goes    bool   // the newest span goes on
	skipped uint16 // pictures left out so far

	structure               *av1.Structure // of the newest packet that had one
	topSpatial, topTemporal uint8          // as in payloadInfo
}

// forward sends one packet of p on.
func (s *Subscriber) forward(p *Publisher, pkt *Packet) {
	s.mu.Lock()
	ask := s.take(p, pkt)
	wanted := s.target.Publisher
	s.mu.Unlock()
	if ask && wanted != nil {
		wanted.RequestKeyFrame()
	}
}

// take does what there is to do with a packet of p. It reports whether to ask
// for a key frame.
func (s *Subscriber) take(p *Publisher, pkt *Packet) (ask bool) {
	if p == s.shown {
		switch r := s.history.current(); {
		case pkt.seq < r.first:
			return false // from before the key frame
		case pkt.stream != r.stream || pkt.format != r.payload.Format:
			s.stop()
			ask = true
		case !s.pass(pkt):
			s.stop()
			return true
		}
	}
	if p != s.shown && p == s.target.Publisher && pkt.info.keyStart {
		if !s.start(p, pkt) {
			s.stop()
			return true
		}
		ask = false
	}
	return ask || s.impatient(pkt.arrival)
}

// impatient reports, now and then, that more is wanted than there is.
func (s *Subscriber) impatient(now time.Time) bool {
	switch {
	case !s.pending():
		s.asked = time.Time{}
		return false
	case s.asked.IsZero():
		s.asked = now
		return false
	case now.Sub(s.asked) < patience:
		return false
	}
	s.asked = now
	return true
}

// stop ends what is forwarded: nothing follows until a key frame of the
// target.
func (s *Subscriber) stop() {
	p := s.shown
	s.shown = nil
	if p != nil && p != s.target.Publisher {
		p.remove(s)
	}
}

// start begins a run at a key frame, if the peer can decode it. It reports
// false if there is no room.
func (s *Subscriber) start(p *Publisher, pkt *Packet) bool {
	payload, ok := s.choose(pkt.format)
	if !ok {
		s.unsupported.Add(1)
		return true
	}
	last := s.history.current()
	r := run{publisher: p, stream: pkt.stream, first: pkt.seq, payload: payload}
	r.clock.from = pkt.timestamp
	if s.sent {
		r.clock = s.shift(p, pkt, last)
		r.picture = s.lastPicture + 1 - pkt.info.number()
		r.tl0 = s.lastTL0 + 1 - pkt.info.tl0
	}
	s.history.begin(r, last.publisher == nil || last.publisher.source != p.source)
	if s.shown != nil && s.shown != s.target.Publisher {
		s.shown.remove(s)
	}
	s.shown = p
	s.place = place{newest: pkt.seq - 1, picture: pkt.timestamp - 1}
	s.place.cut = s.target.limit().at(&pkt.info)
	s.history.rule(s.place.cut, pkt.timestamp, 0)
	if !s.pass(pkt) {
		return false
	}
	// The start may be a retransmission: what came before it belongs after it.
	for seq, newest := pkt.seq+1, p.newestSeq(); seq <= newest; seq++ {
		next := p.cached(seq)
		if next == nil {
			continue
		}
		ok := s.pass(next)
		next.Release()
		if !ok {
			return false
		}
	}
	return true
}

// shift returns how timestamps go on with a key frame of p.
func (s *Subscriber) shift(p *Publisher, pkt *Packet, last *run) shift {
	gap := max(pkt.arrival.Sub(s.lastArrival), time.Millisecond)
	expected := s.lastTimestamp + uint32(durationToTicks(gap))
	byArrival := shift{add: expected - pkt.timestamp, from: pkt.timestamp}
	add := last.clock.add
	switch {
	case last.publisher.source != p.source:
		return byArrival
	case last.publisher != p:
		lag, ok := p.lag(last.publisher)
		if !ok {
			return byArrival
		}
		add += lag
	case last.stream != pkt.stream:
		return byArrival
	}
	at := pkt.timestamp + add
	if off := int32(at - expected); off > maxLeap || off < -maxLeap {
		return byArrival
	}
	late := int32(s.lastTimestamp + minStep - at)
	return shift{add: add, from: pkt.timestamp, late: max(late, 0)}
}

// top returns a limit, but no more layers than the stream has.
func (pl *place) top(l limit) limit {
	return limit{min(l.spatial, pl.topSpatial), min(l.temporal, pl.topTemporal)}
}

// have returns the layers that are forwarded.
func (pl *place) have() limit { return pl.top(pl.cut.limits(pl.structure)) }

// pass sends a packet of the run, if it is wanted. It reports false if there
// is no room.
func (s *Subscriber) pass(pkt *Packet) bool {
	pl, v := &s.place, &pkt.info
	if pkt.seq <= pl.newest {
		return s.passLate(pkt)
	}
	newPicture := pkt.timestamp != pl.picture
	newFrame := newPicture || v.spatial != pl.spatial
	if newFrame {
		s.adjust(pkt, newPicture)
	}
	pl.picture, pl.spatial = pkt.timestamp, v.spatial
	pl.topSpatial, pl.topTemporal = v.topSpatial, v.topTemporal
	if v.structure != nil {
		pl.structure = v.structure
	}

	keep := pl.cut.keeps(v)
	before := pl.newest
	pl.newest = pkt.seq
	// What was lost before it counts as wanted, unless it is in the middle of
	// a frame that is left out.
	if pkt.seq > before+1 && (keep || newFrame || pl.goes) {
		s.span(before + 1)
	}
	if !keep {
		if pl.goes {
			s.history.newest().end = pkt.seq
			pl.goes = false
		}
		if newPicture {
			pl.skipped++
		}
		return true
	}
	return s.send(pkt, s.span(pkt.seq), pl.cut)
}

// adjust brings what is forwarded as near to what is wanted as the frame that
// begins with pkt allows.
func (s *Subscriber) adjust(pkt *Packet, newPicture bool) {
	pl, v := &s.place, &pkt.info
	wanted := pl.cut.limit
	if s.shown == s.target.Publisher {
		wanted = s.target.limit()
	}
	if pl.cut == whole && wanted == noLimit {
		return
	}
	c := pl.cut
	if v.structure != nil && pl.structure != nil && v.structure != pl.structure {
		c = wanted.at(v) // only a key frame brings another
	} else {
		c = c.towards(wanted, v, newPicture)
	}
	if c == pl.cut {
		return
	}
	pl.cut = c
	if newPicture {
		s.history.rule(c, pkt.timestamp, 0)
	} else {
		s.history.rule(c, pkt.timestamp, v.spatial)
	}
}

// span returns the span that goes on, or a new one from a number of the
// publisher.
func (s *Subscriber) span(in int64) *span {
	pl := &s.place
	if pl.goes {
		return s.history.newest()
	}
	pl.goes = true
	return s.history.add(span{in: in, skipped: pl.skipped}, s.last+1)
}

// passLate sends a packet that came late under the number that was left for
// it. If it turns out not to be wanted it goes without its payload, so that
// nobody waits for it.
func (s *Subscriber) passLate(pkt *Packet) bool {
	sp := s.history.of(pkt.seq)
	if sp == nil {
		return true
	}
	c, ok := s.history.cut(s.history.run, pkt)
	if !ok {
		return true
	}
	return s.send(pkt, sp, c)
}

// send queues one packet of the run. It reports false if there is no room.
func (s *Subscriber) send(pkt *Packet, sp *span, c cut) bool {
	o := s.outgoing(pkt, s.history.current(), sp, c)
	pkt.Retain()
	if !s.sink.Send(o) {
		pkt.Release()
		s.dropped.Add(1)
		return false
	}
	if out := pkt.seq - sp.in + sp.out; out > s.last {
		if o.Timestamp != s.lastTimestamp || !s.sent {
			s.lastArrival = pkt.arrival
		}
		s.sent, s.last, s.lastTimestamp = true, out, o.Timestamp
		if pkt.info.numbered() {
			s.lastPicture, s.lastTL0 = o.picture, o.tl0
		}
	}
	s.packets++
	if !o.empty {
		s.octets += uint32(pkt.size)
	}
	return true
}

// outgoing returns a packet as it goes out, of a span in a run, when c is what
// is forwarded of its picture.
func (s *Subscriber) outgoing(pkt *Packet, r *run, sp *span, c cut) Outgoing {
	v := &pkt.info
	o := Outgoing{
		Packet:    pkt,
		SSRC:      s.ssrc,
		Type:      r.payload.Type,
		Seq:       uint16(pkt.seq - sp.in + sp.out),
		Timestamp: r.clock.apply(pkt.timestamp),
		picture:   v.number() + r.picture,
		tl0:       v.tl0 + r.tl0,
	}
	if !c.keeps(v) {
		o.empty = true
		return o
	}
	o.Marker = pkt.marker || c.ends(v)
	switch pkt.format.Codec {
	case VP8: // its receivers take a gap for a lost picture
		o.picture = (o.picture - sp.skipped) & maxPictureID
	case VP9:
		o.picture &= maxPictureID
	case AV1:
		o.descriptor = s.descriptor
		if v.frameStart && c.target != everything {
			o.setActive, o.active = true, c.within&v.active
		}
	}
	return o
}
