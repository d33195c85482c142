package rtc

import (
	"time"

	"belfry.live/belfry/internal/meeting/bwe"
	"belfry.live/belfry/internal/meeting/port"
	"belfry.live/belfry/internal/meeting/sfu"
	"github.com/pion/rtcp"
)

// fill encrypts what may leave now. It is called by one goroutine at a time.
// Audio goes at once; what is sent again goes before other video; both when
// the bandwidth allows it.
func (p *Peer) fill(b *port.Burst, now time.Time) (next time.Time) {
	for buf := b.Next(); buf != nil; buf = b.Next() {
		x, kind, next, ok := p.nextPacket(now)
		if !ok {
			return next
		}
		if n := p.seal(buf, x, kind, now); n > 0 {
			b.Add(n)
		} else {
			p.out.writeFailed.Add(1)
		}
	}
	return time.Time{} // the port calls again
}

// nextPacket takes the packet that is to leave next. If there is none it says
// when to look again, zero for when one is queued.
func (p *Peer) nextPacket(now time.Time) (x sfu.Outgoing, kind bwe.Kind, next time.Time, ok bool) {
	o := &p.out
	o.mu.Lock()
	if x, ok = o.audio.pop(); ok {
		o.mu.Unlock()
		return x, bwe.Audio, next, true
	}
	waiting := o.again.count + o.video.count
	o.mu.Unlock()
	if waiting == 0 {
		x, next, ok = p.nextPadding(now)
		return x, bwe.Padding, next, ok
	}
	if !p.band.allowed(now, waiting) {
		return x, bwe.Video, p.band.next(now), false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if x, ok = o.again.pop(); ok {
		return x, bwe.Resend, next, true
	}
	x, ok = o.video.pop()
	return x, bwe.Video, next, ok
}

// seal encrypts x into buf, which has room for port.MaxPacket bytes, and
// returns the length, 0 if it is impossible. It releases the packet.
func (p *Peer) seal(buf []byte, x sfu.Outgoing, kind bwe.Kind, now time.Time) int {
	defer x.Packet.Release()
	x.TWCC, x.TWCCSeq = p.band.sent(kind, x.Size(), now)
	if x.Size()+maxTag > cap(buf) {
		return 0
	}
	sealed, err := p.out.cipher.rtp.EncryptRTP(buf, x.Append(buf), &p.out.header)
	if err != nil {
		return 0
	}
	return len(sealed)
}

// sendRTCP sends packets, in as many compounds as it takes. Before the
// connection is up and after its end it does nothing.
func (p *Peer) sendRTCP(packets ...rtcp.Packet) {
	for len(packets) > 0 {
		size, n := 0, 0
		for n < len(packets) && (n == 0 || size+packets[n].MarshalSize() <= maxRTCP) {
			size += packets[n].MarshalSize()
			n++
		}
		p.sendCompound(packets[:n])
		packets = packets[n:]
	}
}

func (p *Peer) sendCompound(packets []rtcp.Packet) {
	plain, err := rtcp.Marshal(packets)
	if err != nil {
		return
	}
	o := &p.out.rtcp
	o.Lock()
	defer o.Unlock()
	if o.link == nil {
		return
	}
	sealed, err := o.cipher.rtcp.EncryptRTCP(o.buf[:0], plain, nil)
	if err != nil {
		return
	}
	o.buf = sealed
	_ = o.link.Write(sealed) // RTCP is repeated
}
