package mix

import (
	"time"

	"belfry.live/belfry/internal/media/opus"
)

// These make a participant the feed of its voice. Each holds the lock for a
// moment only, never while sound is decoded: packets come in meanwhile.

func (p *Participant) due(now time.Time) (timestamp uint32, stream int, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	timestamp, ok = p.buffer.Due(now)
	return timestamp, p.stream, ok
}

func (p *Participant) peek(b *packet) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	next, ok := p.buffer.Peek()
	if ok {
		b.set(next)
	}
	return ok
}

func (p *Participant) take(b *packet) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		next, ok := p.buffer.Peek()
		if !ok || int16(b.sequence-next.Sequence) < 0 {
			return
		}
		p.dropNext() // also one that came since, too late
	}
}

func (p *Participant) behind(n int, b *packet) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	before, ok := p.buffer.Behind(n)
	if ok {
		b.set(before)
	}
	return ok
}

func (p *Participant) discard(before uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.discardBefore(before)
}

// discardBefore drops the packets that end before the timestamp; mu is held.
func (p *Participant) discardBefore(timestamp uint32) {
	for {
		next, ok := p.buffer.Peek()
		if !ok {
			return
		}
		n, _ := opus.Samples(next.Payload)
		if int32(timestamp-next.Timestamp-uint32(n)) < 0 {
			return
		}
		p.dropNext()
	}
}

// dropNext takes the next packet out of the buffer and counts what is missing
// before it; mu is held. Browsers number packets without sound too, by which
// they test the bandwidth, and those do not come here: where the timestamps go
// on nothing is lost.
func (p *Participant) dropNext() {
	next, ok := p.buffer.Take()
	if !ok {
		return
	}
	n, err := opus.Samples(next.Payload)
	if err != nil {
		return
	}
	if gap := int32(next.Timestamp - p.end); next.Lost > 0 && p.ended && gap > 0 && gap <= maxGap {
		p.lost += uint64(min(next.Lost, (int(gap)+n-1)/n))
	}
	p.end, p.ended = next.Timestamp+uint32(n), true
}
