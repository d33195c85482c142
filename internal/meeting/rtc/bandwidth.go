package rtc

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"belfry.live/belfry/internal/meeting/bwe"
	"belfry.live/belfry/internal/meeting/sfu"
)

const (
	// audioShare is kept free for the mix, Opus with its headers, until it has
	// been measured; audioMargin is by what it may grow.
	audioShare  = 80_000 // bit/s
	audioMargin = 1.15
	audioSmooth = 0.1 // of every tick

	// unknownBudget is for clients that say nothing of what they receive.
	unknownBudget = bwe.DefaultMax - audioShare

	// meanPacket turns packets into bytes where only packets are counted.
	meanPacket = 1000

	// watchedFor is how long after the last video packet the way to a client
	// is still looked at. Audio alone is not: it is never held back, and so
	// listeners send no feedback and cost nothing.
	watchedFor = 5 * time.Second

	// maxPadding is what one packet can have of it (RFC 3550, section 5.1), and
	// leastPadding how long a packet of a probe is made with it.
	maxPadding   = 255
	leastPadding = 300

	// maxReported is how many streams' receiver reports are remembered.
	maxReported = 64

	packetSource   = 201 // RTCP receiver report (RFC 3550, section 6.4.2)
	packetSender   = 200 // RTCP sender report
	packetFeedback = 205 // transport layer feedback (RFC 4585, section 6.1)
	packetPayload  = 206 // payload-specific feedback
	formatTWCC     = 15  // of 205
	formatREMB     = 15  // of 206
)

// A bandwidth decides how fast packets go to one client, and estimates how
// much it can receive. Its methods may be called from any goroutine.
type bandwidth struct {
	extension atomic.Uint32 // id of the header extension for numbers, 0: not agreed

	mu      sync.Mutex      // guards what follows
	control *bwe.Controller // nil before the first video packet
	videoAt time.Time       // of the newest video packet
	wanted  int             // bit/s
	audio   int             // bytes since the last tick
	ticked  time.Time
	share   float64 // bit/s of audio, 0: not measured yet
	highest map[uint32]uint32
}

// agree sets by which header extension packets to the client are numbered for
// transport-wide feedback; 0 is none.
func (b *bandwidth) agree(id uint8) { b.extension.Store(uint32(id)) }

// sent takes a packet that goes now, of that many bytes with its RTP header.
// If id is not 0 the packet must carry seq in that header extension.
func (b *bandwidth) sent(kind bwe.Kind, size int, now time.Time) (id uint8, seq uint16) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if kind == bwe.Audio {
		if b.control == nil || now.Sub(b.videoAt) > watchedFor {
			return 0, 0
		}
		b.audio += size
	} else {
		b.videoAt = now
	}
	if b.control == nil {
		b.control = bwe.New(bwe.Config{}, now)
	}
	if id = uint8(b.extension.Load()); id == 0 {
		b.control.Unnumbered(kind, size, now)
		return 0, 0
	}
	return id, b.control.Sent(kind, size, now)
}

// allowed says whether a packet of a kind may go now.
func (b *bandwidth) allowed(kind bwe.Kind, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.control == nil || b.control.Allowed(kind, now)
}

// room returns how many packets of video, and how many sent again, may wait; it
// is false while that is not known.
func (b *bandwidth) room() (video, again int, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.control == nil {
		return 0, 0, false
	}
	video, again = b.control.Room()
	return video / meanPacket, again / meanPacket, true
}

// next returns when to ask again after allowed said no, or padding that it is
// probing.
func (b *bandwidth) next(now time.Time) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.control == nil {
		return now
	}
	return b.control.Next(now)
}

// padding returns how many bytes to send now beside media, when no media
// waits. Probing says to ask again at the next time.
func (b *bandwidth) padding(now time.Time) (size int, probing bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.control == nil {
		return 0, false
	}
	return b.control.Padding(now)
}

// tick does what time asks for. Call it about 20 times a second.
func (b *bandwidth) tick(rtt time.Duration, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.control == nil && b.wanted > 0 {
		b.control = bwe.New(bwe.Config{}, now)
	}
	c := b.control
	if c == nil {
		return
	}
	c.SetRTT(rtt)
	b.measureAudio(now)
	if b.wanted > 0 {
		c.SetWanted(int((float64(b.wanted) + b.forAudio()) / (1 - c.Loss())))
	} else {
		c.SetWanted(0)
	}
	c.Tick(now)
}

// budget returns what the video may use: the estimate less what is sent again,
// less the audio.
func (b *bandwidth) budget(now time.Time) int {
	e := float64(b.control.Estimate(now)) * (1 - b.control.Loss())
	return max(int(e-b.forAudio()), 0)
}

// measureAudio follows how much the mix takes.
func (b *bandwidth) measureAudio(now time.Time) {
	gap := now.Sub(b.ticked).Seconds()
	if bps := float64(b.audio) * 8 / gap; gap > 0 && gap < 1 && b.audio > 0 {
		if b.share == 0 {
			b.share = audioShare
		}
		b.share += audioSmooth * (bps - b.share)
	}
	b.ticked, b.audio = now, 0
}

// forAudio returns what is kept free for the mix, in bit/s.
func (b *bandwidth) forAudio() float64 {
	if b.share == 0 {
		return audioShare
	}
	return min(b.share*audioMargin, audioShare)
}

// nextPadding returns a packet for a probe that is under way, when no media
// waits: the latest video once more, which also helps if it got lost, or else
// one with nothing but padding. If there is none it says when to look again,
// zero for when something is queued.
func (p *Peer) nextPadding(now time.Time) (d departure, next time.Time, ok bool) {
	d.kind = bwe.Padding
	size, probing := p.band.padding(now)
	if size > 0 {
		subscribers := p.plan.Load().subscribers
		for _, s := range subscribers {
			if d.Outgoing, ok = s.Padding(sfu.MaxPayload); ok {
				d.padding = max(min(leastPadding-d.Size(), maxPadding), 0)
				return d, next, true
			}
		}
		for _, s := range subscribers {
			if d.Outgoing, ok = s.Blank(); ok {
				d.padding = maxPadding
				return d, next, true
			}
		}
	}
	if probing {
		next = p.band.next(now)
	}
	return d, next, false
}

func (b *bandwidth) setWanted(bps int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wanted = bps
}

// SetWanted tells how many bit/s of video the client would be sent if it could
// take them. While that is more than it can, more is probed for.
func (p *Peer) SetWanted(bps int) { p.band.setWanted(bps) }

// Bandwidth returns how many bit/s of video the client can take now: a guess
// while it was not sent any.
func (p *Peer) Bandwidth(now time.Time) int {
	b := &p.band
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.control != nil:
		return b.budget(now)
	case b.extension.Load() == 0:
		return unknownBudget
	}
	return bwe.DefaultStart - audioShare
}

// Congested says whether the way to the client was ever seen to be too narrow
// for what was sent.
func (p *Peer) Congested() bool {
	p.band.mu.Lock()
	defer p.band.mu.Unlock()
	return p.band.control != nil && p.band.control.Congested()
}

// takeFeedback reads what a compound packet says about the way to the client,
// and returns the rest of it, in the same bytes, without the packets that only
// it reads.
func (p *Peer) takeFeedback(compound []byte, now time.Time) []byte {
	rest := compound[:0]
	for len(compound) >= 4 {
		n := int(binary.BigEndian.Uint16(compound[2:]))*4 + 4
		if n > len(compound) {
			break
		}
		pkt := compound[:n]
		compound = compound[n:]
		switch format := pkt[0] & 0x1f; {
		case pkt[1] == packetFeedback && format == formatTWCC:
			if f, err := bwe.ParseFeedback(pkt); err == nil {
				p.band.feedback(f, now)
			} else {
				p.in.dropped[dropUnknownType].Add(1)
			}
			continue
		case pkt[1] == packetPayload && format == formatREMB:
			if bps, ok := bwe.ParseREMB(pkt); ok {
				p.band.remb(bps, now)
			}
			continue
		case pkt[1] == packetSource && n > 8:
			p.band.reports(pkt[8:], p.plan.Load(), now)
		case pkt[1] == packetSender && n > 28:
			p.band.reports(pkt[28:], p.plan.Load(), now)
		}
		rest = append(rest, pkt...)
	}
	return append(rest, compound...)
}

func (b *bandwidth) feedback(f bwe.Feedback, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.control != nil {
		b.control.Feedback(f, now)
	}
}

func (b *bandwidth) remb(bps int, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.control != nil {
		b.control.REMB(bps, now)
	}
}

const reportBlock = 24 // bytes (RFC 3550, section 6.4.1)

// reports takes the report blocks about video.
func (b *bandwidth) reports(blocks []byte, plan *plan, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.control == nil || b.extension.Load() != 0 {
		return
	}
	lost, packets := 0.0, 0
	for ; len(blocks) >= reportBlock; blocks = blocks[reportBlock:] {
		ssrc := binary.BigEndian.Uint32(blocks)
		if plan.subscribers[ssrc] == nil {
			continue
		}
		highest := binary.BigEndian.Uint32(blocks[8:])
		before, known := b.highest[ssrc]
		if b.highest == nil || len(b.highest) >= maxReported {
			b.highest = make(map[uint32]uint32)
		}
		b.highest[ssrc] = highest
		if n := int32(highest - before); known && n > 0 && n < 1<<16 {
			packets += int(n)
			lost += float64(blocks[4]) / 256 * float64(n)
		}
	}
	if packets > 0 {
		b.control.Report(lost/float64(packets), packets, now)
	}
}
