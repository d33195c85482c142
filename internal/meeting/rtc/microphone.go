package rtc

import (
	"sync"
	"time"

	"belfry.live/belfry/internal/wire/red"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// A microphone is the audio a client publishes: plain Opus, or Opus in
// redundant packets.
type microphone struct {
	// Touched by the one that takes packets.
	packet   rtp.Packet // what is passed on
	blocks   [red.MaxBlocks]red.Block
	recovery red.Recovery
	lost     func(seq uint16, timestamp uint32, payload []byte) // passes on what recovery found
	level    uint8
	arrival  time.Time

	mu    sync.Mutex // guards what follows
	in    receiver
	heard time.Time // when the last packet came
}

func (m *microphone) init(p *Peer) {
	m.in = receiver{clock: 48000}
	m.lost = func(seq uint16, timestamp uint32, payload []byte) {
		was := m.packet.Header
		m.packet.SequenceNumber, m.packet.Timestamp, m.packet.Marker = seq, timestamp, false
		m.packet.Payload = payload
		p.in.recovered.Add(1)
		p.ev.Audio(&m.packet, m.level, m.arrival)
		m.packet.Header = was
	}
}

// read takes a packet of the microphone. Another stream than the one heard, or
// declared, has to wait until that one is silent.
func (m *microphone) read(p *Peer, plan *plan, h *rtp.Header, payload []byte, redundant bool, now time.Time) {
	m.mu.Lock()
	if m.in.ssrc != h.SSRC || !m.in.started {
		if m.in.started && h.SSRC != plan.audioSSRC && now.Sub(m.heard) < ssrcSilence {
			m.mu.Unlock()
			p.in.dropped[dropOtherSSRC].Add(1)
			return
		}
		m.in = receiver{ssrc: h.SSRC, clock: 48000}
		m.recovery.Reset()
	}
	m.heard = now
	m.in.push(h.SequenceNumber, h.Timestamp, now)
	m.mu.Unlock()
	if p.ev.Audio == nil {
		return
	}
	if len(payload) == 0 { // a test of the bandwidth: no frame, nor the loss of one
		m.recovery.Packet(h.SequenceNumber, h.Timestamp, nil, nil)
		return
	}
	m.level = LevelUnknown
	if id := plan.audioLevel; id != 0 {
		if e := h.GetExtension(id); len(e) >= 1 {
			m.level = e[0] & 0x7f
		}
	}
	m.packet.Header, m.arrival = *h, now
	m.packet.PayloadType = plan.opus
	if redundant {
		if payload = m.unwrap(p, plan, h, payload); len(payload) == 0 {
			return
		}
	} else {
		m.recovery.Packet(h.SequenceNumber, h.Timestamp, nil, nil)
	}
	m.packet.Payload = payload
	p.ev.Audio(&m.packet, m.level, now)
}

// unwrap passes on the frames of a redundant packet that were lost before, and
// returns its own.
func (m *microphone) unwrap(p *Peer, plan *plan, h *rtp.Header, payload []byte) []byte {
	blocks, err := red.Parse(m.blocks[:0], payload)
	if err != nil {
		p.in.dropped[dropBadRED].Add(1)
		return nil
	}
	for _, b := range blocks {
		if b.Type != plan.opus {
			p.in.dropped[dropBadRED].Add(1)
			return nil
		}
	}
	m.recovery.Packet(h.SequenceNumber, h.Timestamp, blocks, m.lost)
	return blocks[len(blocks)-1].Payload
}

// senderReport takes a report; it is true if it is of this stream.
func (m *microphone) senderReport(r *rtcp.SenderReport, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.in.started || r.SSRC != m.in.ssrc {
		return false
	}
	m.in.senderReport(r.NTPTime, now)
	return true
}

// report appends what was received.
func (m *microphone) report(blocks []rtcp.ReceptionReport, now time.Time) []rtcp.ReceptionReport {
	m.mu.Lock()
	defer m.mu.Unlock()
	if b, ok := m.in.report(now); ok {
		blocks = append(blocks, b)
	}
	return blocks
}

// counts returns how many packets came, and how many are missing.
func (m *microphone) counts() (received, lost int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.in.started {
		return 0, 0
	}
	return m.in.received, max(m.in.highest-m.in.first+1-m.in.received, 0)
}
