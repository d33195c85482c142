// Package mix makes every attendee's sound: RTP with Opus comes in from each,
// and out to each goes one endless Opus stream of what all the others say, 50
// packets a second, silence included. Who may speak, RTP headers and sockets
// are left to the caller.
//
// One goroutine per meeting does it all on a tick of 20 ms. For each attendee
// it asks the jitter buffer for what is due, decodes, and follows the sender's
// clock; then it sums once, takes each speaker's own sound out of the sum
// again, and encodes. All who say nothing hear the same and share one encode.
package mix

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// Tick is the length of every packet out.
	Tick = 20 * time.Millisecond

	sampleRate = 48000
	frame      = 960 // samples of a tick

	// catchUp is how far the clock may be behind before ticks are left out.
	catchUp = 5 * Tick
)

// A Config says how the mix is encoded; its zero is mono at 64 kbit/s.
type Config struct {
	Bitrate    int // bit/s of each mix; 0: DefaultBitrate
	Complexity int // of libopus, 1 to 10; 0: 5
}

// DefaultBitrate carries music well in mono and keeps libopus in CELT mode,
// whose silence is made of zeros.
const DefaultBitrate = 64000

// A Frame is 20 ms of one listener's mix.
type Frame struct {
	Payload   []byte    // one Opus packet, valid until Sink returns
	Timestamp uint32    // RTP, 48 kHz
	Time      time.Time // when its first sample was mixed, on the mixer's clock
}

// A Mixer mixes one meeting.
type Mixer struct {
	// Fixed by New.
	cfg Config
	log *slog.Logger

	wake chan struct{} // holds one: somebody came

	mu           sync.Mutex     // guards participants; a participant's mu is never taken under it
	participants []*Participant // replaced, never changed

	// Touched by Run alone.
	timestamp uint32 // of the next frame
	sum       [frame]float32
	mixed     [frame]float32
	shared    output // what those hear who say nothing
}

// New makes a mixer that nobody is in. Run makes it work.
func New(cfg Config, log *slog.Logger) *Mixer {
	if cfg.Bitrate == 0 {
		cfg.Bitrate = DefaultBitrate
	}
	return &Mixer{cfg: cfg, log: log, wake: make(chan struct{}, 1)}
}

// Run ticks while anybody is in, until ctx ends, and calls every Sink.
func (m *Mixer) Run(ctx context.Context) error {
	defer m.shared.close()
	timer := time.NewTimer(0)
	defer timer.Stop()
	next := time.Now()
	for {
		if len(m.snapshot()) == 0 {
			select {
			case <-ctx.Done():
				return nil
			case <-m.wake:
			}
		}
		// Waiting for a point in time, not for a while, keeps errors from
		// adding up.
		timer.Reset(time.Until(next))
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		if behind := time.Since(next); behind > catchUp {
			// The listeners' clocks went on too: the timestamps show it.
			skipped := behind / Tick
			next = next.Add(skipped * Tick)
			m.timestamp += uint32(skipped) * frame
		}
		m.tick(next)
		next = next.Add(Tick)
	}
}

// tick mixes and hands out the frame of that time.
func (m *Mixer) tick(now time.Time) {
	all := m.snapshot()
	clear(m.sum[:])
	for _, p := range all {
		p.pull(now)
		if p.sounds {
			for i, x := range p.sound {
				m.sum[i] += x
			}
		}
	}
	packet := m.encodeShared(all)
	for _, p := range all {
		payload := packet
		if p.apart {
			payload = m.encodeApart(p)
		}
		if payload != nil {
			p.sink(Frame{Payload: payload, Timestamp: m.timestamp, Time: now})
		}
	}
	m.timestamp += frame
}

// encodeShared encodes the sum for those who are not in it.
func (m *Mixer) encodeShared(all []*Participant) []byte {
	listeners := 0
	for _, p := range all {
		switch apart := p.sinceSound < apartFor; {
		case !apart:
			listeners++
			if p.apart { // comes back from a stream of its own
				m.shared.rejoin()
			}
			p.apart = false
		case !p.apart:
			p.own.follow(&m.shared)
			p.apart = true
		}
	}
	m.mixed = m.sum
	if listeners == 0 {
		m.shared.skip(m.mixed[:])
		return nil
	}
	return m.shared.encode(m.mixed[:], m.cfg, m.log)
}

// encodeApart encodes the sum without p's own sound.
func (m *Mixer) encodeApart(p *Participant) []byte {
	m.mixed = m.sum
	if p.sounds {
		for i, x := range p.sound {
			m.mixed[i] -= x
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	return p.own.encode(m.mixed[:], m.cfg, m.log)
}

func (m *Mixer) snapshot() []*Participant {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.participants
}

// A Level is how loud somebody is now.
type Level struct {
	ID   string
	DBFS int // decibels below full scale, 0 loud to 127 silent
}

// Levels appends to dst the levels of those who speak now.
func (m *Mixer) Levels(dst []Level) []Level {
	for _, p := range m.snapshot() {
		if level := int(p.level.Load()); level <= speakingLevel {
			dst = append(dst, Level{ID: p.id, DBFS: level})
		}
	}
	return dst
}
