// Package jitter puts the RTP packets of one stream back in order, says which
// are lost for good, and finds how long sound has to be held back so that
// late packets still count. It never waits and has no clock: packets come in
// with the time of their arrival, and the caller asks, with the time, what is
// due. Decoding and concealment are left to the caller.
package jitter

import (
	"math/bits"
	"time"
)

// MaxPayload is the largest payload a buffer takes, in bytes. RTP here comes
// in datagrams that fit an Ethernet frame.
const MaxPayload = 2048

// Defaults of Config.
const (
	DefaultClockRate = 48000
	DefaultCapacity  = 512
	DefaultMinDelay  = 20 * time.Millisecond
	DefaultMaxDelay  = 400 * time.Millisecond
	DefaultShrink    = 10 * time.Millisecond
)

// A Config says how a buffer waits. Its zero suits Opus.
type Config struct {
	ClockRate int // of the timestamps, Hz
	Capacity  int // packets held at most, rounded up to a power of two, at most 32768

	// Prompt lets packets that are in order leave at once; only at a gap
	// the buffer waits, MaxDelay from the first packet after it. That is for
	// video, whose frames are timed elsewhere and whose losses are sent
	// again. Otherwise every packet waits until it is due.
	Prompt bool

	MinDelay, MaxDelay time.Duration // bounds of the wait
	// Shrink is how much of a wait that is longer than need be goes in a
	// second. The default can be worked off by playing faster without notice.
	Shrink time.Duration
}

// A Packet is what a buffer needs of an RTP packet, and what it gives back.
type Packet struct {
	Sequence  uint16
	Timestamp uint32
	Marker    bool
	Arrival   time.Time
	Payload   []byte // copied by Push; from Pop, Take and Peek valid until the next Push

	// Lost is how many packets between the one given out last and this one
	// did not come in time, or overflowed. Push ignores it.
	Lost int
}

// Stats count since New. Received is all of them, whatever became of each.
type Stats struct {
	Received  uint64
	Lost      uint64 // given up
	Late      uint64 // came after they were given up; part of Lost too
	Duplicate uint64
	Overflow  uint64 // dropped, the oldest first, because nobody took them
	Refused   uint64 // too large, or far from the sequence
	Resets    uint64 // the stream began anew
}

// A Buffer holds one stream. It is for one goroutine at a time.
type Buffer struct {
	rate   int64
	prompt bool
	max    time.Duration

	slots []slot // a packet's place is its sequence number & mask
	mask  int64
	begun bool
	head  int64 // next sequence number that may go out, unwrapped
	taken int64 // last one given out
	high  int64 // highest received
	held  int   // packets in slots

	jump     uint16 // a sequence number far away that came last
	jumpSeen bool

	playout playout
	stats   Stats
}

type slot struct {
	sequence  int64 // the last one that was here
	used      bool  // there has been one
	present   bool  // it is still here
	marker    bool
	timestamp uint32
	arrival   time.Time
	payload   []byte
}

// New makes an empty buffer.
func New(cfg Config) *Buffer {
	if cfg.ClockRate <= 0 {
		cfg.ClockRate = DefaultClockRate
	}
	if cfg.Capacity <= 0 {
		cfg.Capacity = DefaultCapacity
	}
	if cfg.MinDelay <= 0 {
		cfg.MinDelay = DefaultMinDelay
	}
	if cfg.MaxDelay <= 0 {
		cfg.MaxDelay = DefaultMaxDelay
	}
	if cfg.Shrink <= 0 {
		cfg.Shrink = DefaultShrink
	}
	size := min(1<<bits.Len(uint(cfg.Capacity-1)), 1<<15) // sequence numbers compare within half their range
	return &Buffer{
		rate:   int64(cfg.ClockRate),
		prompt: cfg.Prompt,
		max:    cfg.MaxDelay,
		slots:  make([]slot, size),
		mask:   int64(size - 1),
		playout: playout{
			rate: int64(cfg.ClockRate), min: cfg.MinDelay, max: max(cfg.MinDelay, cfg.MaxDelay), shrink: cfg.Shrink,
		},
	}
}

// Push takes a packet in, in whatever order they come.
func (b *Buffer) Push(p Packet) {
	b.stats.Received++
	if len(p.Payload) > MaxPayload {
		b.stats.Refused++
		return
	}
	if !b.begun {
		b.begin(p)
	}
	seq := b.high + int64(int16(p.Sequence-uint16(b.high)))
	if d := seq - b.high; d >= int64(len(b.slots)) || d <= -int64(len(b.slots)) {
		// One stray packet is an accident, two in a row are a sender that
		// began anew (RFC 3550 appendix A.1).
		if !b.jumpSeen || p.Sequence != b.jump+1 {
			b.jump, b.jumpSeen = p.Sequence, true
			b.stats.Refused++
			return
		}
		b.restart(p)
		seq = b.high
	}
	b.jumpSeen = false
	if b.received(seq) {
		b.stats.Duplicate++
		return
	}
	if !b.playout.add(p.Timestamp, p.Arrival) {
		b.restart(p)
		seq = b.high
		b.playout.add(p.Timestamp, p.Arrival)
	}
	if seq < b.head {
		b.stats.Late++
		return
	}
	for seq-b.head >= int64(len(b.slots)) { // nobody takes them: the oldest go
		if s := b.at(b.head); s.present && s.sequence == b.head {
			s.present = false
			b.held--
			b.stats.Overflow++
		} else {
			b.stats.Lost++
		}
		b.head++
	}
	s := b.at(seq)
	*s = slot{
		sequence: seq, used: true, present: true, marker: p.Marker,
		timestamp: p.Timestamp, arrival: p.Arrival, payload: append(s.payload[:0], p.Payload...),
	}
	b.held++
	b.high = max(b.high, seq)
}

// Pop gives the next packet if its time has come. False: nothing yet.
func (b *Buffer) Pop(now time.Time) (Packet, bool) {
	s := b.next()
	switch {
	case s == nil:
		return Packet{}, false
	case !b.prompt:
		if due, ok := b.Due(now); !ok || int32(due-s.timestamp) < 0 {
			return Packet{}, false
		}
	case s.sequence != b.head && now.Sub(s.arrival) < b.max:
		return Packet{}, false
	}
	return b.Take()
}

// Peek gives what Take would, and leaves it there.
func (b *Buffer) Peek() (Packet, bool) {
	s := b.next()
	if s == nil {
		return Packet{}, false
	}
	return b.packet(s), true
}

// Take gives the next packet at once, due or not, and gives up those missing
// before it. It is for callers that time their sound themselves, by Due.
func (b *Buffer) Take() (Packet, bool) {
	s := b.next()
	if s == nil {
		return Packet{}, false
	}
	p := b.packet(s)
	b.stats.Lost += uint64(s.sequence - b.head)
	b.taken = s.sequence
	b.head = b.taken + 1
	s.present = false
	b.held--
	return p, true
}

// Behind gives the packet that is so many numbers before the one that Take
// would give, if it was given out lately: a decoder that begins in the middle
// of a stream hears it first. Its Payload is valid until the next Push.
func (b *Buffer) Behind(n int) (Packet, bool) {
	next := b.next()
	if next == nil || n <= 0 {
		return Packet{}, false
	}
	seq := next.sequence - int64(n)
	s := b.at(seq)
	if !s.used || s.present || s.sequence != seq {
		return Packet{}, false
	}
	return Packet{
		Sequence: uint16(seq), Timestamp: s.timestamp, Marker: s.marker, Arrival: s.arrival, Payload: s.payload,
	}, true
}

// SetIdle says that nobody hears the stream now, or that somebody does. While
// nobody does, a wait that is too long goes at once.
func (b *Buffer) SetIdle(idle bool) { b.playout.idle = idle }

// Due is the timestamp whose turn it is at that time. False until the first
// packet has come. It moves with the clock, a little slower or faster when
// the delay is being changed, and jumps when that widens or the stream begins
// anew.
func (b *Buffer) Due(now time.Time) (uint32, bool) {
	if !b.begun {
		return 0, false
	}
	return b.playout.due(now), true
}

// Delay is how long a packet that came as fast as any waits until it is due.
func (b *Buffer) Delay() time.Duration { return b.playout.delay() }

// Len is how many packets wait.
func (b *Buffer) Len() int { return b.held }

// Stats gives the counts so far.
func (b *Buffer) Stats() Stats { return b.stats }

// Reset empties the buffer; the next packet begins a new stream.
func (b *Buffer) Reset() {
	for i := range b.slots {
		b.slots[i].used, b.slots[i].present = false, false
	}
	b.held = 0
	b.begun = false
	b.jumpSeen = false
	b.stats.Resets++
}

func (b *Buffer) begin(p Packet) {
	b.begun = true
	// Far from zero on both sides, so that packets before the first have a
	// number too.
	b.head = 1<<32 + int64(p.Sequence)
	b.high = b.head
	b.taken = b.head - 1
	b.playout.begin(p.Timestamp, p.Arrival)
}

func (b *Buffer) restart(p Packet) {
	b.Reset()
	b.begin(p)
}

func (b *Buffer) packet(s *slot) Packet {
	return Packet{
		Sequence: uint16(s.sequence), Timestamp: s.timestamp, Marker: s.marker,
		Arrival: s.arrival, Payload: s.payload, Lost: int(s.sequence - b.taken - 1),
	}
}

func (b *Buffer) at(seq int64) *slot { return &b.slots[seq&b.mask] }

func (b *Buffer) received(seq int64) bool {
	s := b.at(seq)
	return s.used && s.sequence == seq
}

// next is the first packet that waits.
func (b *Buffer) next() *slot {
	if b.held == 0 {
		return nil
	}
	for seq := b.head; seq <= b.high; seq++ {
		if s := b.at(seq); s.present && s.sequence == seq {
			return s
		}
	}
	return nil
}
