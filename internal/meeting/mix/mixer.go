// Package mix makes every attendee's sound: RTP with Opus comes in from each,
// and out to each goes one endless Opus stream of what all the others say, 50
// packets a second, silence included. Who may speak, RTP headers and sockets
// are left to the caller.
//
// One goroutine per meeting does it all on a tick of 20 ms. It decodes those
// who can be heard, by the levels that their packets say: a handful, however
// many are in. For each it asks the jitter buffer for what is due and follows
// the sender's clock. Then it sums once for all who say nothing, and once for
// each speaker without its own sound. All who hear the same share one encode,
// in mono or, while there is stereo sound, in stereo.
package mix

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// Tick is the length of every packet out.
	Tick = 20 * time.Millisecond

	sampleRate = 48000
	frame      = 960 // samples of a tick

	// catchUp is how far the clock may be behind before ticks are left out.
	catchUp = 5 * Tick
	// lateBy is when a tick counts as late: then listeners' jitter buffers
	// have to work for it.
	lateBy = Tick
)

// A Config says how the mix is encoded; its zero is mono at 64 kbit/s and
// stereo at 128.
type Config struct {
	Bitrate       int // bit/s of each mono mix; 0: DefaultBitrate
	StereoBitrate int // bit/s of each stereo mix; 0: DefaultStereoBitrate
	Complexity    int // of libopus, 1 to 10; 0: 5
}

// DefaultBitrate carries music well in mono and keeps libopus in CELT mode,
// whose silence is made of zeros. DefaultStereoBitrate is what the client's
// stereo profile asks for.
const (
	DefaultBitrate       = 64000
	DefaultStereoBitrate = 128000
)

// A Frame is 20 ms of one listener's mix.
type Frame struct {
	Payload   []byte    // one Opus packet, valid until Sink returns
	Timestamp uint32    // RTP, 48 kHz
	Time      time.Time // when its first sample was mixed, on the mixer's clock

	// Repeat says that the payload is the same as in the call of a Sink before
	// this one, so that what was made of that can be used again.
	Repeat bool
}

// A Mixer mixes one meeting.
type Mixer struct {
	// Fixed by New.
	cfg Config
	log *slog.Logger

	wake chan struct{} // holds one: somebody came, or the last one left

	mu           sync.Mutex     // guards what follows; no other is taken under it
	participants []*Participant // replaced, never changed
	roused       []*Participant // have begun to sound

	// Touched by the mixer's goroutine alone.
	ticks     uint64         // begins far from 0, so that nothing was lately
	timestamp uint32         // of the next frame
	awake     []*Participant // who may be heard
	sounding  []*Participant // who is in the mix of this tick
	widened   uint64         // tick when stereo was in the mix last
	shared    [2]output      // what those hear who say nothing: in mono, in stereo
	apart     []*Participant // who have a mix of their own
	rows      [rows][]*Participant
	mixed     [2][frame]float32
	mix       [2][]float32 // parts of mixed
	idle      idle

	counts struct{ ticks, late, skipped, encoded, busy atomic.Uint64 }
}

// New makes a mixer that nobody is in. Run makes it work.
func New(cfg Config, log *slog.Logger) *Mixer {
	if cfg.Bitrate == 0 {
		cfg.Bitrate = DefaultBitrate
	}
	if cfg.StereoBitrate == 0 {
		cfg.StereoBitrate = DefaultStereoBitrate
	}
	m := &Mixer{cfg: cfg, log: log, wake: make(chan struct{}, 1), ticks: 1 << 20}
	m.shared[0].channels, m.shared[1].channels = 1, 2
	return m
}

// Run ticks while anybody is in, until ctx ends, and calls every Sink.
func (m *Mixer) Run(ctx context.Context) error {
	defer m.free()
	timer := time.NewTimer(0)
	defer timer.Stop()
	next := time.Now()
	for {
		if len(m.snapshot()) == 0 {
			m.free()
			select {
			case <-ctx.Done():
				return nil
			case <-m.wake:
				continue
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
		begun := time.Now()
		behind := begun.Sub(next)
		if behind > lateBy {
			m.counts.late.Add(1)
		}
		if behind > catchUp {
			// The listeners' clocks went on too: the timestamps show it.
			skipped := behind / Tick
			next = next.Add(skipped * Tick)
			m.timestamp += uint32(skipped) * frame
			m.counts.skipped.Add(uint64(skipped))
		}
		m.tick(next)
		m.counts.busy.Add(uint64(time.Since(begun)))
		next = next.Add(Tick)
	}
}

// tick mixes and hands out the frame of that time.
func (m *Mixer) tick(now time.Time) {
	m.ticks++
	all := m.begin()
	m.choose(now)
	m.listen(now)
	m.route(all)
	m.deliver(now)
	m.timestamp += frame
	m.counts.ticks.Add(1)
}

// begin takes over what others have put down since the last tick.
func (m *Mixer) begin() []*Participant {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.awake = append(m.awake, m.roused...)
	clear(m.roused)
	m.roused = m.roused[:0]
	return m.participants
}

func (m *Mixer) snapshot() []*Participant {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.participants
}

// free lets go of all that was made for those who have left.
func (m *Mixer) free() {
	m.begin()
	for _, p := range m.awake {
		if p.voice != nil {
			m.take(p)
		}
		p.chosen = false
		p.mu.Lock()
		p.awake = false
		p.mu.Unlock()
	}
	clear(m.awake)
	m.awake = m.awake[:0]
	clear(m.sounding)
	m.sounding = m.sounding[:0]
	for _, p := range m.apart {
		m.idle.keepOutput(p.own)
		p.own, p.hears = nil, nil
	}
	clear(m.apart)
	m.apart = m.apart[:0]
	for i := range m.rows {
		clear(m.rows[i])
		m.rows[i] = m.rows[i][:0]
	}
	for i := range m.shared {
		m.shared[i].close()
	}
	m.idle.free()
}

// A Level is how loud somebody is now.
type Level struct {
	ID   string
	DBFS int // decibels below full scale, 0 loud to 127 silent
}

// Levels appends to dst the levels of those who speak now, decoded or not.
func (m *Mixer) Levels(dst []Level) []Level {
	for _, p := range m.snapshot() {
		if level := int(p.level.Load()); level <= speakingLevel {
			dst = append(dst, Level{ID: p.id, DBFS: level})
		}
	}
	return dst
}

// Load is what a mixer did so far.
type Load struct {
	Ticks   uint64        // frames mixed
	Late    uint64        // of them, begun more than 20 ms after their time
	Skipped uint64        // left out, since the machine was too busy for more than 100 ms
	Encoded uint64        // packets; silence takes none
	Busy    time.Duration // in ticks
}

// Load gives the counts so far.
func (m *Mixer) Load() Load {
	return Load{
		Ticks: m.counts.ticks.Load(), Late: m.counts.late.Load(), Skipped: m.counts.skipped.Load(),
		Encoded: m.counts.encoded.Load(), Busy: time.Duration(m.counts.busy.Load()),
	}
}
