package rtc

import (
	"encoding/binary"
	"sync"
	"time"

	"belfry.live/belfry/internal/meeting/sfu"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

const (
	// ssrcSilence is how long a stream must have said nothing before another
	// one may take its place.
	ssrcSilence = 500 * time.Millisecond

	// layerSilence is how long a layer must have said nothing to count as
	// paused: no key frame is asked for that cannot come.
	layerSilence = 2 * time.Second
)

// A camera is the video a client publishes.
type camera struct {
	peer *Peer

	mu         sync.Mutex // guards what follows
	on         bool
	source     *sfu.Source // of this time on
	descriptor uint8       // id of the header extension, 0: not agreed
	layers     []*layer    // in the order of the offer
	offset     time.Duration
	offsetSet  bool
}

// A layer is one stream of the camera: one simulcast encoding, or all there
// is. It outlives the times the camera is on, as its SSRC does: clients name
// the encoding of a stream only until they know that we know it.
type layer struct {
	rid       string // "" without simulcast
	bound     bool   // a packet has come: in is of its SSRC
	in        receiver
	rtx       uint32         // SSRC of its retransmissions, 0: not known
	heard     time.Time      // when the last packet came
	publisher *sfu.Publisher // nil until the first packet of each time on
}

// agree follows an answer: whether the camera is on, and in which encodings.
// No ids is one encoding without a name.
func (c *camera) agree(on bool, rids []string, descriptor uint8) {
	if len(rids) == 0 {
		rids = []string{""}
	}
	c.mu.Lock()
	layers := make([]*layer, len(rids))
	for i, rid := range rids {
		if layers[i] = c.named(rid); layers[i] == nil {
			layers[i] = &layer{rid: rid, in: receiver{clock: 90000, nack: true}}
		}
	}
	if on && !c.on {
		c.source = new(sfu.Source)
	}
	old := c.layers
	c.on, c.layers, c.descriptor = on, layers, descriptor
	var stopped []*sfu.Publisher
	for _, l := range old {
		if l.publisher == nil || on && c.named(l.rid) == l {
			continue
		}
		gone := l.publisher
		l.publisher = nil
		stopped = append(stopped, gone)
		if c.peer.ev.VideoStopped != nil {
			c.peer.notes.post(func() { c.peer.ev.VideoStopped(gone) })
		}
	}
	c.mu.Unlock()
	for _, pub := range stopped {
		pub.Close()
	}
}

// named returns the layer with an id, or nil.
func (c *camera) named(rid string) *layer {
	for _, l := range c.layers {
		if l.rid == rid {
			return l
		}
	}
	return nil
}

// bind finds the layer that a packet with a payload belongs to. A stream that
// is new is told by its encoding's id, or without simulcast by being declared
// or alone; it does not take the place of one that still is heard. If there is
// none the reason says why.
func (c *camera) bind(plan *plan, h *rtp.Header, now time.Time) (l *layer, reason int) {
	for _, l := range c.layers {
		if l.bound && l.in.ssrc == h.SSRC {
			return l, 0
		}
	}
	if mid := h.GetExtension(plan.mid); plan.mid != 0 && len(mid) > 0 && string(mid) != plan.cameraMID {
		return nil, dropOtherSSRC
	}
	declared := false
	if len(c.layers) == 1 && c.layers[0].rid == "" {
		l, declared = c.layers[0], h.SSRC == plan.cameraSSRC
	} else if l = c.named(string(h.GetExtension(plan.rid))); plan.rid == 0 || l == nil {
		return nil, dropUnknownRID
	}
	if l.bound && !declared && now.Sub(l.heard) < ssrcSilence {
		return nil, dropOtherSSRC
	}
	l.bound, l.rtx = true, 0
	l.in = receiver{ssrc: h.SSRC, clock: 90000, nack: true}
	return l, 0
}

// repaired finds the layer whose packets are sent again with a header.
func (c *camera) repaired(plan *plan, h *rtp.Header) *layer {
	for _, l := range c.layers {
		if l.bound && l.rtx == h.SSRC {
			return l
		}
	}
	if len(c.layers) == 1 && c.layers[0].rid == "" {
		l := c.layers[0]
		if media, ok := plan.repairs[h.SSRC]; ok && media != l.in.ssrc {
			return nil
		}
		return l
	}
	if plan.repairedRID == 0 {
		return nil
	}
	l := c.named(string(h.GetExtension(plan.repairedRID)))
	if l != nil && l.bound {
		l.rtx = h.SSRC
	}
	return l
}

// publish returns the publisher of a layer, a new one for the first packet of
// each time the camera is on.
func (c *camera) publish(l *layer) *sfu.Publisher {
	if l.publisher != nil {
		return l.publisher
	}
	started := sfu.NewPublisher(sfu.PublisherConfig{
		AskForKeyFrame:       func() { c.askForKeyFrame(l) },
		RID:                  l.rid,
		Source:               c.source,
		DependencyDescriptor: c.descriptor,
	})
	l.publisher = started
	if c.offsetSet {
		started.SetClockOffset(c.offset)
	}
	if c.peer.ev.VideoStarted != nil {
		c.peer.notes.post(func() { c.peer.ev.VideoStarted(started) })
	}
	return started
}

// askForKeyFrame is called by the layer's publisher, from any goroutine. A
// layer that is paused is not asked: its publisher goes on wanting one.
func (c *camera) askForKeyFrame(l *layer) {
	c.mu.Lock()
	ssrc, ok := l.in.ssrc, l.bound && time.Since(l.heard) < layerSilence
	c.mu.Unlock()
	if ok {
		c.peer.sendRTCP(&rtcp.PictureLossIndication{SenderSSRC: c.peer.out.audioSSRC, MediaSSRC: ssrc})
	}
}

// read takes a packet of the camera.
func (c *camera) read(plan *plan, h *rtp.Header, payload []byte, f sfu.Format, now time.Time) {
	in := &c.peer.in
	in.seqs = in.seqs[:0]
	rtt := in.rtt()
	c.mu.Lock()
	l, reason := c.layerOf(plan, h, len(payload) > 0, now)
	if l == nil {
		c.mu.Unlock()
		in.dropped[reason].Add(1)
		return
	}
	l.heard = now
	if l.in.push(h.SequenceNumber, h.Timestamp, now) {
		in.seqs = l.in.ask(in.seqs, now, rtt)
	}
	pub := c.publish(l)
	c.mu.Unlock()
	if len(in.seqs) > 0 {
		c.peer.sendNACK(h.SSRC, in.seqs)
	}
	pub.Write(h, payload, f, now)
}

// layerOf returns the layer of a packet that is to be forwarded. One that only
// fills the line starts nothing.
func (c *camera) layerOf(plan *plan, h *rtp.Header, filled bool, now time.Time) (l *layer, reason int) {
	if !c.on {
		return nil, dropCameraOff
	}
	if filled {
		return c.bind(plan, h, now)
	}
	for _, l := range c.layers {
		if l.bound && l.in.ssrc == h.SSRC && l.publisher != nil {
			return l, 0
		}
	}
	return nil, dropOtherSSRC
}

// readAgain takes a packet the camera has sent again (RFC 4588, section 4).
// One without a payload only tests the bandwidth.
func (c *camera) readAgain(plan *plan, h *rtp.Header, payload []byte, f sfu.Format, now time.Time) {
	c.mu.Lock()
	l := c.repaired(plan, h)
	if l == nil || !l.bound || l.publisher == nil || len(payload) <= 2 {
		c.mu.Unlock()
		if l == nil {
			c.peer.in.dropped[dropOtherSSRC].Add(1)
		}
		return
	}
	h.SequenceNumber = binary.BigEndian.Uint16(payload)
	h.SSRC = l.in.ssrc
	l.in.recovered(h.SequenceNumber)
	pub := l.publisher
	c.mu.Unlock()
	pub.Write(h, payload[2:], f, now)
}

// senderReport takes a report of one of the layers' streams.
func (c *camera) senderReport(r *rtcp.SenderReport, now time.Time) {
	var pub *sfu.Publisher
	c.mu.Lock()
	for _, l := range c.layers {
		if l.bound && l.in.ssrc == r.SSRC {
			l.in.senderReport(r.NTPTime, now)
			pub = l.publisher
		}
	}
	c.mu.Unlock()
	if pub != nil {
		pub.SenderReport(fromNTP(r.NTPTime), r.RTPTime)
	}
}

// A layerDue is what time asks for on a layer.
type layerDue struct {
	ssrc      uint32
	seqs      []uint16 // to ask for again
	lost      bool     // packets are gone for good
	publisher *sfu.Publisher
}

// due returns what is due on the layer with an index, in the room of seqs. It
// is false if there is no such layer.
func (c *camera) due(index int, seqs []uint16, now time.Time) (layerDue, bool) {
	rtt := c.peer.in.rtt()
	c.mu.Lock()
	defer c.mu.Unlock()
	if index >= len(c.layers) {
		return layerDue{}, false
	}
	l := c.layers[index]
	d := layerDue{ssrc: l.in.ssrc, seqs: seqs[:0], publisher: l.publisher}
	if l.publisher != nil {
		d.seqs = l.in.ask(d.seqs, now, rtt)
		d.lost = l.in.lost()
	}
	return d, true
}

// report appends what was received of each layer.
func (c *camera) report(blocks []rtcp.ReceptionReport, now time.Time) []rtcp.ReceptionReport {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.layers {
		if b, ok := l.in.report(now); ok {
			blocks = append(blocks, b)
		}
	}
	return blocks
}

// ssrcs appends those of the layers that were heard.
func (c *camera) ssrcs(list []uint32) []uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.layers {
		if l.bound {
			list = append(list, l.in.ssrc)
		}
	}
	return list
}

// SetClockOffset tells what to add to this client's NTP time to get the
// server's, so that its video is in step with its audio in the mix.
func (p *Peer) SetClockOffset(o time.Duration) {
	c := &p.video
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset, c.offsetSet = o, true
	for _, l := range c.layers {
		if l.publisher != nil {
			l.publisher.SetClockOffset(o)
		}
	}
}
