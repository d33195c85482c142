package mix

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"

	"belfry.live/belfry/internal/media/jitter"
	"belfry.live/belfry/internal/media/opus"
)

const (
	// maxHeld bounds a participant's packets that wait to be mixed: more than
	// a second of them.
	maxHeld = 64
	// maxDelay bounds how long sound is held back for late packets, and
	// shrink is how much of that goes in a second when it is too long: splices
	// take it, which can take more than a change of pace.
	maxDelay = 300 * time.Millisecond
	shrink   = 20 * time.Millisecond
)

// A ParticipantConfig describes somebody in the meeting.
type ParticipantConfig struct {
	ID string
	// Owner is the same for participants who must not hear each other, such as
	// a content share and its sharer. Empty: hears all but itself.
	Owner  string
	Hidden bool // listens, is never heard
	Stereo bool // see SetStereo
	Deaf   bool // see SetDeaf
	// Sink gets every frame of the participant's mix from the mixer's
	// goroutine, which it must not block. A frame may be on its way while
	// Close returns.
	Sink func(Frame)
}

// A Participant is heard by the others and hears them.
type Participant struct {
	// Fixed by Add.
	id     string
	hidden bool
	sink   func(Frame)
	mixer  *Mixer
	group  *group

	// Set by anybody.
	closed, muted, deaf, stereo atomic.Bool
	level                       atomic.Int32 // dB below full scale

	mu     sync.Mutex // guards what follows; the mixer's mu may be taken under it
	buffer *jitter.Buffer
	ssrc   uint32
	stream int  // counts the SSRCs
	wide   bool // the stream had a stereo packet
	heard  loudness
	end    uint32 // timestamp after the packet that left the buffer last
	ended  bool   // one did
	lost   uint64 // packets with sound that did not come in time
	awake  bool   // is in the mixer's list of those who may be heard
	voiced bool   // has a voice, which says what is mixed when
	stats  Stats
	report senderReport
	mixed  mixPoint
	uplink uplink

	// Touched by the mixer's goroutine alone.
	voice  *voice  // nil: not decoded
	broken bool    // its sound made the mixer panic: it is heard no more
	score  int     // its rank among those who may be heard: less is louder
	blind  bool    // its packets do not say how loud they are
	chosen bool    // is to be heard
	since  uint64  // tick when it was chosen
	own    *output // its own mix while it sounds
	hears  *output // whose packets it got last; nil: silence, or nothing yet
}

// A group is the participants who do not hear each other.
type group struct {
	owner   string
	sounded uint64 // tick when one of them was in the mix last; touched by the mixer's goroutine alone
}

// senderReport joins two clocks of the sender (RFC 3550 section 6.4.1).
type senderReport struct {
	known bool
	ntp   time.Time
	rtp   uint32
}

// mixPoint says what is mixed when.
type mixPoint struct {
	known     bool
	time      time.Time
	timestamp uint32 // the sender's, of the first sample mixed then
}

const (
	// offsetPace is how fast the mix point follows the sound, in samples per
	// tick: 100 ms in a second. Sound that stumbles and is in step again soon
	// does not make the pictures jump.
	offsetPace = 96
	// offsetLeap is how far off it must be, in samples, to go there at once.
	offsetLeap = sampleRate
)

// follow takes in that the sample with that timestamp is mixed now.
func (m *mixPoint) follow(now time.Time, timestamp uint32) {
	if m.known {
		expected := m.timestamp + uint32(now.Sub(m.time)*sampleRate/time.Second)
		if off := int32(timestamp - expected); off > -offsetLeap && off < offsetLeap {
			timestamp = expected + uint32(min(max(off, -offsetPace), offsetPace))
		}
	}
	*m = mixPoint{known: true, time: now, timestamp: timestamp}
}

// Add puts somebody in, from the next tick on. Close takes them out.
func (m *Mixer) Add(c ParticipantConfig) *Participant {
	p := &Participant{id: c.ID, hidden: c.Hidden, sink: c.Sink, mixer: m}
	p.level.Store(silentLevel)
	p.stereo.Store(c.Stereo)
	p.deaf.Store(c.Deaf)
	if !c.Hidden {
		p.buffer = jitter.New(jitter.Config{Capacity: maxHeld, MaxDelay: maxDelay, Shrink: shrink})
		p.buffer.SetIdle(true)
	}
	m.mu.Lock()
	p.group = m.enter(c.Owner)
	m.participants = append(slices.Clone(m.participants), p)
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
	return p
}

// enter returns the owner's group. The mixer's mu is held.
func (m *Mixer) enter(owner string) *group {
	if owner == "" {
		return &group{}
	}
	for _, p := range m.participants {
		if p.group.owner == owner {
			return p.group
		}
	}
	return &group{owner: owner}
}

// Push takes a packet of Opus, which is copied, and its level: dB below full
// scale (RFC 6464), 127 silent, above that unknown.
func (p *Participant) Push(packet *rtp.Packet, level uint8, arrival time.Time) {
	if p.hidden || len(packet.Payload) == 0 || p.closed.Load() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if packet.SSRC != p.ssrc {
		if p.ssrc != 0 {
			p.buffer.Reset()
			p.mixed.known = false
		}
		p.ssrc = packet.SSRC
		p.stream++
		p.wide, p.ended = false, false
		p.heard = loudness{}
	}
	p.wide = p.wide || opus.Stereo(packet.Payload)
	p.uplink.came(arrival)
	p.buffer.Push(jitter.Packet{
		Sequence: packet.SequenceNumber, Timestamp: packet.Timestamp, Arrival: arrival, Payload: packet.Payload,
	})
	loud := p.heard.follow(level, len(packet.Payload), arrival)
	if loud && !p.awake && !p.muted.Load() {
		p.awake = true
		p.buffer.SetIdle(false)
		p.mixer.rouse(p)
	}
	if p.voiced {
		return
	}
	// Nobody decodes it: only the schedule goes on.
	if due, ok := p.buffer.Due(arrival); ok {
		p.discardBefore(due - frame)
		p.mixed.follow(arrival, due-frame)
	}
}

// SenderReport takes what a sender report of the participant's audio says.
func (p *Participant) SenderReport(ntp time.Time, rtp uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.report = senderReport{known: true, ntp: ntp, rtp: rtp}
}

// SetMuted takes the participant out of the mix, or back in.
func (p *Participant) SetMuted(muted bool) { p.muted.Store(muted) }

// SetStereo says whether the participant's mix has two channels while there is
// stereo sound in it. Without stereo sound all get mono: it is the same.
func (p *Participant) SetStereo(stereo bool) { p.stereo.Store(stereo) }

// SetDeaf says whether the participant gets packets of silence in place of a
// mix.
func (p *Participant) SetDeaf(deaf bool) { p.deaf.Store(deaf) }

// Offset is how much later than the participant's own clock says its sound is
// mixed: the mixer's time minus the sender's time of the same sample, without
// short stumbles. False until sound and a sender report have come.
func (p *Participant) Offset() (time.Duration, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.report.known || !p.mixed.known {
		return 0, false
	}
	since := int32(p.mixed.timestamp - p.report.rtp)
	sent := p.report.ntp.Add(time.Duration(since) * time.Second / sampleRate)
	return p.mixed.time.Sub(sent), true
}

// Stats gives the counts of the participant's sound so far.
func (p *Participant) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts()
}

func (p *Participant) counts() Stats {
	s := p.stats
	if p.buffer != nil {
		s.Stats = p.buffer.Stats()
		s.Lost = p.lost
	}
	return s
}

// Close takes the participant out. The mixer frees what it held for it.
func (p *Participant) Close() {
	if p.closed.Swap(true) {
		return
	}
	m := p.mixer
	m.mu.Lock()
	m.participants = slices.DeleteFunc(slices.Clone(m.participants), func(o *Participant) bool { return o == p })
	m.mu.Unlock()
	m.log.Debug("left the mix", "attendee", p.id, "sound", p.Stats())
	select {
	case m.wake <- struct{}{}: // the last one: what was held is freed
	default:
	}
}
