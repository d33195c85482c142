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
		x, next, ok := p.nextPacket(now)
		if !ok {
			return next
		}
		if n := p.seal(buf, x, now); n > 0 {
			b.Add(n)
		} else {
			p.out.writeFailed.Add(1)
		}
	}
	return time.Time{} // the port calls again
}

// A departure is a packet that leaves now.
type departure struct {
	sfu.Outgoing
	kind    bwe.Kind
	padding int // bytes to add
}

// nextPacket takes the packet that is to leave next. If there is none it says
// when to look again, zero for when one is queued.
func (p *Peer) nextPacket(now time.Time) (d departure, next time.Time, ok bool) {
	o := &p.out
	o.mu.Lock()
	if d.Outgoing, ok = o.audio.pop(); ok {
		o.mu.Unlock()
		d.kind = bwe.Audio
		return d, next, true
	}
	again, video := o.again.count, o.video.count
	o.mu.Unlock()
	if again+video == 0 {
		return p.nextPadding(now)
	}
	again = min(again, 1)
	if again > 0 && !p.band.allowed(bwe.Resend, now) {
		again = 0
	}
	if again == 0 && (video == 0 || !p.band.allowed(bwe.Video, now)) {
		return d, p.band.next(now), false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if again > 0 {
		d.kind = bwe.Resend
		d.Outgoing, ok = o.again.pop()
		return d, next, ok
	}
	if o.video.count == 0 {
		return d, next, false // shut in between
	}
	size := o.video.evenSize()
	d.Outgoing, ok = o.video.pop()
	d.kind, d.padding = bwe.Video, size-d.Size()
	return d, next, ok
}

// seal encrypts a packet into buf, which has room for port.MaxPacket bytes, and
// returns the length, 0 if it is impossible. It releases the packet.
func (p *Peer) seal(buf []byte, d departure, now time.Time) int {
	defer d.Packet.Release()
	d.TWCC, d.TWCCSeq = p.band.sent(d.kind, d.Size()+d.padding, now)
	if d.Size()+d.padding+maxTag > cap(buf) {
		return 0
	}
	plain := d.Append(buf)
	if d.padding > 0 { // RFC 3550, section 5.1
		plain[0] |= 0x20
		for range d.padding {
			plain = append(plain, 0)
		}
		plain[len(plain)-1] = byte(d.padding)
	}
	sealed, err := p.out.cipher.rtp.EncryptRTP(buf, plain, &p.out.header)
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
