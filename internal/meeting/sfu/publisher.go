// Package sfu forwards published video: RTP packets of one publisher come in,
// every subscriber gets them out as one unbroken stream of its own that starts
// at a key frame. What is lost on the way out is sent again from one cache per
// publisher. Sockets, encryption and SDP are left to package rtc.
package sfu

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"
)

const (
	// cacheSize is how many packets of a publisher can be sent again: five
	// seconds of 2 Mbit/s, far more than any receiver still waits for.
	cacheSize = 1024

	// maxJump is how far a sequence number may leap before it counts as a new
	// stream.
	maxJump = 10_000

	clockRate = 90_000 // of all video, Hz
)

// A PublisherConfig is what a publisher is made of.
type PublisherConfig struct {
	// AskForKeyFrame sends a request (PLI) to the client. It is called from
	// any goroutine, must not block and must not call the publisher.
	AskForKeyFrame func()

	// RID names the simulcast encoding, "" if there is only one.
	RID string

	// Source is shared by the publishers of one picture: they are layers of
	// it. Nil: there are no others.
	Source *Source

	// DependencyDescriptor is the id under which the client sends that header
	// extension, 0 if it does not.
	DependencyDescriptor uint8
}

// A Publisher is one RTP stream of a published video source, from the moment
// its camera was switched on until it is switched off: a simulcast encoding, or
// all there is. Write, SenderReport and Tick come from
// one peer; everything else from anywhere.
type Publisher struct {
	// Fixed by NewPublisher.
	ask        func()
	rid        string
	source     *Source
	descriptor uint8

	subscribers atomic.Pointer[[]*Subscriber] // copied on change, under mu

	mu     sync.Mutex // guards what follows; taken after a Subscriber's, never before
	closed bool
	format Format
	ssrc   uint32

	cache   [cacheSize]*Packet // by seq modulo cacheSize
	started bool
	stream  int
	highest int64  // newest extended sequence number
	newest  uint32 // and its timestamp

	wantKey     bool
	askedForKey time.Time
	keyStarted  bool // a key frame has started at keyAt
	keyAt       uint32

	inspector inspector
	clock     clock
	meter     meter
	stats     Stats
}

// NewPublisher returns a publisher without packets and subscribers.
func NewPublisher(cfg PublisherConfig) *Publisher {
	source := cfg.Source
	if source == nil {
		source = new(Source)
	}
	return &Publisher{ask: cfg.AskForKeyFrame, rid: cfg.RID, source: source, descriptor: cfg.DependencyDescriptor}
}

// RID returns the name of the simulcast encoding, "" if there is only one.
func (p *Publisher) RID() string { return p.rid }

// Source returns what all layers of this picture have in common.
func (p *Publisher) Source() *Source { return p.source }

// Codec returns the codec of the newest packet.
func (p *Publisher) Codec() Codec { return p.Format().Codec }

// Format returns the format of the newest packet.
func (p *Publisher) Format() Format {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.format
}

// Stats returns the current measurements.
func (p *Publisher) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats
}

// Tick does what time asks for. Call it ten times a second or more.
func (p *Publisher) Tick(now time.Time) {
	p.requestKeyFrame(now, false)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.meter.roll(now, &p.inspector, &p.stats)
}

// Write takes one packet of the publisher and forwards it. It keeps neither h
// nor payload. Packets may come late or twice.
func (p *Publisher) Write(h *rtp.Header, payload []byte, f Format, arrival time.Time) {
	pkt := p.store(h, payload, f, arrival)
	if pkt == nil {
		return
	}
	if subs := p.subscribers.Load(); subs != nil {
		for _, s := range *subs {
			s.forward(p, pkt)
		}
	}
	pkt.Release()
}

// store puts the packet into the cache and returns it retained, or nil when
// there is nothing to forward.
func (p *Publisher) store(h *rtp.Header, payload []byte, f Format, arrival time.Time) *Packet {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	var descriptor []byte
	if p.descriptor != 0 {
		descriptor = h.GetExtension(p.descriptor)
	}
	if len(payload)+len(descriptor) > MaxPayload {
		p.stats.TooLong++
		return nil
	}
	seq := p.extend(h)
	slot := &p.cache[seq&(cacheSize-1)]
	switch {
	case seq <= p.highest-cacheSize:
		p.stats.Late++
		return nil
	case *slot != nil && (*slot).seq == seq:
		p.stats.Duplicates++
		return nil
	}

	newest := seq >= p.highest
	if newest && f != p.format && p.stats.Packets > 0 {
		p.inspector.reset() // another codec on the same SSRC
		p.wantKey = true
	}
	pkt := NewPacket(payload)
	pkt.describe(descriptor)
	pkt.format, pkt.stream = f, p.stream
	pkt.seq, pkt.timestamp, pkt.marker, pkt.arrival = seq, h.Timestamp, h.Marker, arrival
	pkt.info = p.inspector.inspect(f.Codec, payload, descriptor, newest)
	if pkt.info.idrStart && !pkt.info.keyStart {
		// Without parameter sets in front, and none missing, it starts a key
		// frame itself.
		before := p.cache[(seq-1)&(cacheSize-1)]
		pkt.info.keyStart = p.stats.Packets == 0 ||
			before != nil && before.seq == seq-1 && before.timestamp != h.Timestamp
	}
	if p.stats.Packets == 0 {
		p.wantKey = true // unless this starts one
	}
	if pkt.info.keyStart {
		p.wantKey = false
		if !p.keyStarted || p.keyAt != h.Timestamp {
			p.stats.KeyFrames++
		}
		p.keyStarted, p.keyAt = true, h.Timestamp
	}
	if top := pkt.info.topSpatial; p.inspector.width[top] != 0 {
		p.stats.Width, p.stats.Height = p.inspector.width[top], p.inspector.height[top]
	}
	newFrame := false
	if newest {
		newFrame = p.stats.Packets == 0 || h.Timestamp != p.newest
		p.highest, p.newest, p.format = seq, h.Timestamp, f
	}
	if newFrame {
		p.clock.arrived(h.Timestamp, arrival)
	}
	p.stats.Packets++
	p.stats.Active = true
	p.meter.add(&pkt.info, len(payload), newFrame, arrival)

	if *slot != nil {
		(*slot).Release()
	}
	*slot = pkt
	pkt.Retain()
	if pkt.info.hasStructure && !newest {
		p.inspectAgain(seq)
	}
	return pkt
}

// inspectAgain looks once more into the packets after one that came late with
// what they refer to. Those who still have the packet may go on reading it.
func (p *Publisher) inspectAgain(seq int64) {
	for seq++; seq <= p.highest; seq++ {
		slot := &p.cache[seq&(cacheSize-1)]
		old := *slot
		if old == nil || old.seq != seq || old.descriptor == 0 || old.info.structure != nil {
			continue
		}
		pkt := NewPacket(old.buf[:old.size])
		pkt.describe(old.buf[old.size : old.size+old.descriptor])
		pkt.format, pkt.stream = old.format, old.stream
		pkt.seq, pkt.timestamp, pkt.marker, pkt.arrival = old.seq, old.timestamp, old.marker, old.arrival
		pkt.info = p.inspector.inspect(old.format.Codec, pkt.buf[:pkt.size], pkt.buf[pkt.size:pkt.size+pkt.descriptor], false)
		*slot = pkt
		old.Release()
	}
}

// extend returns the extended sequence number of a packet. A new SSRC or a
// leap starts a new stream, far above the old one.
func (p *Publisher) extend(h *rtp.Header) int64 {
	if p.started && h.SSRC == p.ssrc {
		if delta := int16(h.SequenceNumber - uint16(p.highest)); delta > -maxJump && delta < maxJump {
			return p.highest + int64(delta)
		}
	}
	base := int64(1) << 16
	if p.started {
		base = (p.highest>>16 + 2) << 16
		p.forget()
		p.clock.restart()
		p.inspector.reset()
		p.wantKey = true
		p.stream++
	}
	p.started, p.ssrc = true, h.SSRC
	p.highest = base + int64(h.SequenceNumber)
	p.newest, p.keyStarted = h.Timestamp-1, false
	return p.highest
}

// cached returns the packet retained, or nil if it is not there any more.
func (p *Publisher) cached(seq int64) *Packet {
	p.mu.Lock()
	defer p.mu.Unlock()
	pkt := p.cache[seq&(cacheSize-1)]
	if pkt == nil || pkt.seq != seq {
		return nil
	}
	pkt.Retain()
	return pkt
}

// newestSeq returns the newest sequence number.
func (p *Publisher) newestSeq() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.highest
}

func (p *Publisher) forget() {
	for i, pkt := range p.cache {
		if pkt != nil {
			pkt.Release()
			p.cache[i] = nil
		}
	}
}

// SenderReport tells what the publisher's clock says about its timestamps.
func (p *Publisher) SenderReport(ntp time.Time, rtp uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clock.report(ntp, rtp)
}

// SetClockOffset tells what to add to the publisher's NTP time to get the
// server's.
func (p *Publisher) SetClockOffset(o time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clock.setOffset(o)
}

// lag is clock.lag between the clocks of two layers.
func (p *Publisher) lag(o *Publisher) (uint32, bool) {
	p.mu.Lock()
	c := p.clock
	p.mu.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	return c.lag(&o.clock)
}

// timestampAt returns the publisher's RTP timestamp at a time on the server's
// clock.
func (p *Publisher) timestampAt(now time.Time) (uint32, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.clock.timestampAt(now)
}

func (p *Publisher) add(s *Subscriber) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	var list []*Subscriber
	if old := p.subscribers.Load(); old != nil {
		list = slices.Clone(*old)
	}
	list = append(list, s)
	p.subscribers.Store(&list)
}

func (p *Publisher) remove(s *Subscriber) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.subscribers.Load()
	if old == nil {
		return
	}
	list := slices.DeleteFunc(slices.Clone(*old), func(o *Subscriber) bool { return o == s })
	p.subscribers.Store(&list)
}

// Close ends the publisher: nothing is forwarded or sent again any more.
func (p *Publisher) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.subscribers.Store(nil)
	p.forget()
}
