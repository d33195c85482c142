package rtc

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"belfry.live/belfry/internal/meeting/port"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

const (
	// One client may bring maxIncomingSSRCs streams at once, and another one
	// every ten seconds: each leaves some state behind for as long as the
	// client stays. A browser has one for audio and two for each layer of the
	// camera.
	maxIncomingSSRCs = 64
	newSSRCsPerSec   = 0.1

	// maxControlSSRCs is the same for the senders of control packets, of
	// which Firefox has one for each section.
	maxControlSSRCs = 128

	// What one client may send: a camera with three layers is 4 Mbit/s, a
	// content share 2.5, and tests of the bandwidth may double that. More
	// would have to go out to everybody who watches.
	maxUplinkBytes    = 2 << 20 // a second, and at once
	maxUplinkPackets  = 2000    // a second, and at once
	maxControlPackets = 1000    // a second, and twice that at once

	// maxResendRequests is how many packets one client may ask for again in a
	// second, and at once: all that a client's 15 Mbit/s of video are.
	maxResendRequests = 1500
)

// Why an incoming packet was not used.
const (
	dropUnknownType  = iota // not agreed on, or no RTP at all
	dropBeforeKeys          // came before DTLS was done
	dropUnauthentic         // decryption failed, or seen before
	dropTooManySSRCs        // see maxIncomingSSRCs
	dropCameraOff
	dropOtherSSRC  // another stream beside the one that is heard
	dropUnknownRID // a new stream that is none of the agreed encodings
	dropBadRED     // redundant audio that cannot be read
	dropTooMuch    // see maxUplinkBytes and the others
	dropReasons
)

// An incoming is what comes from the client.
type incoming struct {
	ciphers   atomic.Pointer[cipherPair] // nil before DTLS is done
	dropped   [dropReasons]atomic.Uint64
	recovered atomic.Uint64 // audio frames found in redundant packets
	rttNanos  atomic.Int64

	// Touched by the one that takes packets.
	header       rtp.Header
	plain        []byte
	seqs         []uint16
	known        map[uint32]struct{} // SSRCs of media
	knownControl map[uint32]struct{} // and of control packets
	newSSRCs     allowance
	newControl   allowance
	bytes        allowance
	packets      allowance
	control      allowance
	resends      allowance

	audio microphone

	mu    sync.Mutex // guards what follows
	twcc  *twcc.Recorder
	heard bool // packets for the next feedback
}

func (in *incoming) init(p *Peer) {
	in.plain = make([]byte, 0, port.MaxPacket)
	in.known = make(map[uint32]struct{})
	in.knownControl = make(map[uint32]struct{})
	in.newSSRCs = newAllowance(newSSRCsPerSec, maxIncomingSSRCs)
	in.newControl = newAllowance(newSSRCsPerSec, maxControlSSRCs)
	in.bytes = newAllowance(maxUplinkBytes, maxUplinkBytes)
	in.packets = newAllowance(maxUplinkPackets, maxUplinkPackets)
	in.control = newAllowance(maxControlPackets, 2*maxControlPackets)
	in.resends = newAllowance(maxResendRequests, maxResendRequests)
	in.rttNanos.Store(int64(defaultRTT))
	in.audio.init(p)
}

// rtt returns the smoothed round trip time.
func (in *incoming) rtt() time.Duration { return time.Duration(in.rttNanos.Load()) }

func (in *incoming) open(c cipherPair) { in.ciphers.Store(&c) }

// readRTP decrypts one packet and passes it on. It reports whether the packet
// is the client's own.
func (p *Peer) readRTP(b []byte, now time.Time) (authentic bool) {
	in := &p.in
	ciphers := in.ciphers.Load()
	if ciphers == nil {
		in.dropped[dropBeforeKeys].Add(1)
		return false
	}
	h := &in.header
	start, err := h.Unmarshal(b)
	if err != nil {
		in.dropped[dropUnknownType].Add(1)
		return false
	}
	if !in.packets.take(1, now) || !in.bytes.take(float64(len(b)), now) {
		in.dropped[dropTooMuch].Add(1)
		return false
	}
	_, known := in.known[h.SSRC]
	if !known && !in.newSSRCs.has(now) {
		in.dropped[dropTooManySSRCs].Add(1)
		return false
	}
	plain, err := ciphers.rtp.DecryptRTP(in.plain[:0], b, h)
	if err != nil || len(plain) < start {
		in.dropped[dropUnauthentic].Add(1)
		return false
	}
	if !known {
		in.newSSRCs.take(1, now)
		in.known[h.SSRC] = struct{}{}
	}
	p.takeRTP(h, plain[start:], now)
	return true
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
		in.audio.read(p, plan, h, payload, false, now)
	case audioRED:
		in.audio.read(p, plan, h, payload, true, now)
	case videoRTP:
		p.video.read(plan, h, payload, t.format, now)
	case videoRTX:
		p.video.readAgain(plan, h, payload, t.format, now)
	default:
		in.dropped[dropUnknownType].Add(1)
	}
}

// readRTCP decrypts a compound packet and acts on it. It reports whether the
// packet is the client's own.
func (p *Peer) readRTCP(b []byte, now time.Time) (authentic bool) {
	ciphers := p.in.ciphers.Load()
	if ciphers == nil {
		p.in.dropped[dropBeforeKeys].Add(1)
		return false
	}
	if len(b) < 8 {
		p.in.dropped[dropUnknownType].Add(1)
		return false
	}
	if !p.in.control.take(1, now) || !p.in.bytes.take(float64(len(b)), now) {
		p.in.dropped[dropTooMuch].Add(1)
		return false
	}
	sender := binary.BigEndian.Uint32(b[4:])
	_, known := p.in.knownControl[sender]
	if !known && !p.in.newControl.has(now) {
		p.in.dropped[dropTooManySSRCs].Add(1)
		return false
	}
	plain, err := ciphers.rtcp.DecryptRTCP(p.in.plain[:0], b, nil)
	if err != nil {
		p.in.dropped[dropUnauthentic].Add(1)
		return false
	}
	if !known {
		p.in.newControl.take(1, now)
		p.in.knownControl[sender] = struct{}{}
	}
	p.takeRTCP(plain, now)
	return true
}

// takeRTCP acts on a compound packet that is the client's own.
func (p *Peer) takeRTCP(plain []byte, now time.Time) {
	if plain = p.takeFeedback(plain, now); len(plain) == 0 {
		return
	}
	list, err := rtcp.Unmarshal(plain)
	if err != nil {
		p.in.dropped[dropUnknownType].Add(1)
		return
	}
	rtt := p.in.rtt()
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
						if !p.in.resends.take(1, now) {
							p.in.dropped[dropTooMuch].Add(1)
							return false
						}
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
	if !p.in.audio.senderReport(r, now) {
		p.video.senderReport(r, now)
	} else if p.ev.AudioReport != nil {
		p.ev.AudioReport(fromNTP(r.NTPTime), r.RTPTime)
	}
}

// measureRTT takes the round trip time from what the client says about our
// sender reports (RFC 3550, section 6.4.1), and how much of the mix it loses.
func (p *Peer) measureRTT(reports []rtcp.ReceptionReport, now time.Time) {
	for _, r := range reports {
		if r.SSRC == p.out.audioSSRC {
			p.out.redundancy.report(r, p.Bandwidth(now), now)
		}
	}
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
		p.in.rttNanos.Store(int64((7*p.in.rtt() + rtt) / 8))
		return
	}
}
