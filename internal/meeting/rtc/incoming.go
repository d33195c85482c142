package rtc

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"belfry.live/belfry/internal/meeting/sfu"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

const (
	// readBuffer takes any datagram the ICE library passes on.
	readBuffer = 8192

	// maxIncomingSSRCs is how many streams one client may ever send: each
	// leaves some state behind. A browser has one for audio and, per layer
	// and its retransmissions, one for video.
	maxIncomingSSRCs = 64

	// ssrcSilence is how long the camera's stream must have said nothing
	// before another one may take its place.
	ssrcSilence = 500 * time.Millisecond
)

// Why an incoming packet was not used.
const (
	dropUnknownType  = iota // not agreed on, or no RTP at all
	dropBeforeKeys          // came before DTLS was done
	dropUnauthentic         // decryption failed, or seen before
	dropTooManySSRCs        // see maxIncomingSSRCs
	dropCameraOff
	dropOtherSSRC // a second stream beside that of the camera
	dropReasons
)

// An incoming is what comes from the client.
type incoming struct {
	ciphers atomic.Pointer[cipherPair] // nil before DTLS is done
	dropped [dropReasons]atomic.Uint64

	// Touched by the read loop alone.
	header   rtp.Header
	packet   rtp.Packet
	plain    []byte
	known    map[uint32]struct{}
	seqs     []uint16
	cameraAt time.Time // when the camera's stream last said something

	mu    sync.Mutex // guards what follows
	audio receiver
	video receiver
	rtt   time.Duration
	twcc  *twcc.Recorder
	heard bool // packets for the next feedback
}

func (in *incoming) init() {
	in.plain = make([]byte, 0, readBuffer)
	in.known = make(map[uint32]struct{})
	in.audio = receiver{clock: 48000}
	in.video = receiver{clock: 90000, nack: true}
	in.rtt = defaultRTT
}

func (in *incoming) open(c cipherPair) { in.ciphers.Store(&c) }

// readLoop takes packets apart by their first byte (RFC 7983, section 7).
func (p *Peer) readLoop(conn net.Conn, records *dtlsConn) error {
	b := make([]byte, readBuffer)
	for {
		n, err := conn.Read(b)
		if errors.Is(err, io.ErrShortBuffer) {
			continue
		}
		if err != nil {
			return ErrLost
		}
		switch pkt := b[:n]; {
		case n == 0:
		case pkt[0] >= 20 && pkt[0] <= 63:
			_, _ = records.in.Write(pkt) // full: DTLS sends again
		case pkt[0] >= 128 && pkt[0] <= 191 && n >= 2:
			if pkt[1] >= 192 && pkt[1] <= 223 { // RFC 5761, section 4
				p.readRTCP(pkt, time.Now())
			} else {
				p.readRTP(pkt, time.Now())
			}
		}
	}
}

// readRTP decrypts one packet and passes it on.
func (p *Peer) readRTP(b []byte, now time.Time) {
	in := &p.in
	ciphers := in.ciphers.Load()
	if ciphers == nil {
		in.dropped[dropBeforeKeys].Add(1)
		return
	}
	h := &in.header
	start, err := h.Unmarshal(b)
	if err != nil {
		in.dropped[dropUnknownType].Add(1)
		return
	}
	_, known := in.known[h.SSRC]
	if !known && len(in.known) == maxIncomingSSRCs {
		in.dropped[dropTooManySSRCs].Add(1)
		return
	}
	plain, err := ciphers.rtp.DecryptRTP(in.plain[:0], b, h)
	if err != nil || len(plain) < start {
		in.dropped[dropUnauthentic].Add(1)
		return
	}
	if !known {
		in.known[h.SSRC] = struct{}{}
	}
	p.takeRTP(h, plain[start:], now)
}

// takeRTP passes on a packet that is the client's own.
func (p *Peer) takeRTP(h *rtp.Header, payload []byte, now time.Time) {
	in := &p.in
	if h.Padding && len(payload) > 0 {
		pad := int(payload[len(payload)-1])
		if pad > len(payload) {
			in.dropped[dropUnknownType].Add(1)
			return
		}
		payload = payload[:len(payload)-pad]
	}

	plan := p.plan.Load()
	if id := plan.twcc; id != 0 {
		if e := h.GetExtension(id); len(e) >= 2 {
			in.mu.Lock()
			in.twcc.Record(h.SSRC, binary.BigEndian.Uint16(e), now.UnixMicro())
			in.heard = true
			in.mu.Unlock()
		}
	}
	switch t := plan.types[h.PayloadType&0x7f]; t.kind {
	case audioRTP:
		p.readAudio(plan, h, payload, now)
	case videoRTP:
		p.readVideo(plan, h, payload, t.format, now)
	case videoRTX:
		p.readRTX(plan, h, payload, t, now)
	default:
		in.dropped[dropUnknownType].Add(1)
	}
}

func (p *Peer) readAudio(plan *plan, h *rtp.Header, payload []byte, now time.Time) {
	in := &p.in
	in.mu.Lock()
	if in.audio.ssrc != h.SSRC {
		in.audio = receiver{ssrc: h.SSRC, clock: in.audio.clock}
	}
	in.audio.push(h.SequenceNumber, h.Timestamp, now)
	in.mu.Unlock()
	if p.ev.Audio == nil || len(payload) == 0 {
		return
	}
	level := uint8(LevelUnknown)
	if id := plan.audioLevel; id != 0 {
		if e := h.GetExtension(id); len(e) >= 1 {
			level = e[0] & 0x7f
		}
	}
	in.packet.Header, in.packet.Payload = *h, payload
	p.ev.Audio(&in.packet, level, now)
}

// readVideo takes a packet of the camera.
func (p *Peer) readVideo(plan *plan, h *rtp.Header, payload []byte, f sfu.Format, now time.Time) {
	in := &p.in
	if in.video.ssrc != h.SSRC {
		if len(payload) == 0 || in.video.ssrc != 0 && h.SSRC != plan.cameraSSRC && now.Sub(in.cameraAt) < ssrcSilence {
			in.dropped[dropOtherSSRC].Add(1)
			return
		}
	}
	pub := p.video.source()
	if pub == nil {
		in.dropped[dropCameraOff].Add(1)
		return
	}
	in.cameraAt = now
	in.seqs = in.seqs[:0]
	in.mu.Lock()
	if in.video.ssrc != h.SSRC {
		in.video = receiver{ssrc: h.SSRC, clock: in.video.clock, nack: true}
	}
	if in.video.push(h.SequenceNumber, h.Timestamp, now) {
		in.seqs = in.video.ask(in.seqs, now, in.rtt)
	}
	in.mu.Unlock()
	if len(in.seqs) > 0 {
		p.sendNACK(h.SSRC, in.seqs)
	}
	pub.Write(h, payload, f, now)
}

// readRTX takes a packet the camera has sent again (RFC 4588, section 4). One
// without a payload only tests the bandwidth.
func (p *Peer) readRTX(plan *plan, h *rtp.Header, payload []byte, t payloadType, now time.Time) {
	in := &p.in
	pub := p.video.current()
	if pub == nil || len(payload) <= 2 || in.video.ssrc == 0 {
		return
	}
	if media, ok := plan.repairs[h.SSRC]; ok && media != in.video.ssrc {
		in.dropped[dropOtherSSRC].Add(1)
		return
	}
	h.SequenceNumber = binary.BigEndian.Uint16(payload)
	h.SSRC = in.video.ssrc
	in.mu.Lock()
	in.video.recovered(h.SequenceNumber)
	in.mu.Unlock()
	pub.Write(h, payload[2:], t.format, now)
}

// readRTCP decrypts a compound packet and acts on it.
func (p *Peer) readRTCP(b []byte, now time.Time) {
	ciphers := p.in.ciphers.Load()
	if ciphers == nil {
		p.in.dropped[dropBeforeKeys].Add(1)
		return
	}
	plain, err := ciphers.rtcp.DecryptRTCP(p.in.plain[:0], b, nil)
	if err != nil {
		p.in.dropped[dropUnauthentic].Add(1)
		return
	}
	p.takeRTCP(plain, now)
}

// takeRTCP acts on a compound packet that is the client's own.
func (p *Peer) takeRTCP(plain []byte, now time.Time) {
	list, err := rtcp.Unmarshal(plain)
	if err != nil {
		p.in.dropped[dropUnknownType].Add(1)
		return
	}
	p.in.mu.Lock()
	rtt := p.in.rtt
	p.in.mu.Unlock()
	plan := p.plan.Load()
	for _, pkt := range list {
		switch r := pkt.(type) {
		case *rtcp.SenderReport:
			p.senderReport(r, now)
			p.measureRTT(r.Reports, now)
		case *rtcp.ReceiverReport:
			p.measureRTT(r.Reports, now)
		case *rtcp.TransportLayerNack:
			if s := plan.subscribers[r.MediaSSRC]; s != nil {
				for _, pair := range r.Nacks {
					pair.Range(func(seq uint16) bool {
						s.Resend(seq, now, rtt)
						return true
					})
				}
			}
		case *rtcp.PictureLossIndication:
			if s := plan.subscribers[r.MediaSSRC]; s != nil {
				s.RequestKeyFrame()
			}
		case *rtcp.FullIntraRequest:
			for _, e := range r.FIR {
				if s := plan.subscribers[e.SSRC]; s != nil {
					s.RequestKeyFrame()
				}
			}
		}
	}
}

func (p *Peer) senderReport(r *rtcp.SenderReport, now time.Time) {
	in := &p.in
	in.mu.Lock()
	audio := in.audio.started && r.SSRC == in.audio.ssrc
	video := in.video.started && r.SSRC == in.video.ssrc
	switch {
	case audio:
		in.audio.senderReport(r.NTPTime, now)
	case video:
		in.video.senderReport(r.NTPTime, now)
	}
	in.mu.Unlock()
	switch {
	case audio && p.ev.AudioReport != nil:
		p.ev.AudioReport(fromNTP(r.NTPTime), r.RTPTime)
	case video:
		if pub := p.video.current(); pub != nil {
			pub.SenderReport(fromNTP(r.NTPTime), r.RTPTime)
		}
	}
}

// measureRTT takes the round trip time from what the client says about our
// sender reports (RFC 3550, section 6.4.1).
func (p *Peer) measureRTT(reports []rtcp.ReceptionReport, now time.Time) {
	for _, r := range reports {
		if r.LastSenderReport == 0 {
			continue
		}
		middle := uint32(toNTP(now) >> 16)
		took := int32(middle - r.LastSenderReport - r.Delay)
		rtt := time.Duration(took) * time.Second / 65536
		if rtt < 0 || rtt > 10*time.Second {
			continue
		}
		p.in.mu.Lock()
		p.in.rtt = (7*p.in.rtt + rtt) / 8
		p.in.mu.Unlock()
		return
	}
}
