package mix

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"
)

const (
	// apartFor is how many ticks a participant keeps an encoder of its own
	// after it last sounded, so that pauses in speech do not switch streams.
	apartFor = 50
	// gatePower is the mean square below which sound counts as none (-70
	// dBFS), and gateTicks how long it stays in the mix all the same.
	gatePower = 1e-7
	gateTicks = 25
	// speakingLevel is the level, in dB below full scale, from which somebody
	// speaks; silentLevel is how none at all is written.
	speakingLevel = 50
	silentLevel   = 127
	// levelDecay is how fast a level falls per tick: 15 dB in 200 ms.
	levelDecay = 0.7
	// ramp is how many samples it takes to fade in or out: 5 ms.
	ramp = 240
)

// A ParticipantConfig describes somebody in the meeting.
type ParticipantConfig struct {
	ID     string
	Hidden bool // listens, is never heard
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

	level atomic.Int32 // dB below full scale

	mu     sync.Mutex // guards what follows
	closed bool
	muted  bool
	source source
	own    output // its mix while it sounds; all but its encoder is the tick's
	report senderReport
	mixed  mixPoint

	// Touched by the mixer's tick alone.
	sound      [frame]float32 // what it adds to the sum
	sounds     bool           // sound is not all zero
	gain       float32        // at the end of the last tick: 0 or 1
	quiet      int            // ticks below the gate
	sinceSound int            // ticks
	apart      bool           // hears its own mix, not the shared one
	held       float64        // mean square, decaying
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
	p := &Participant{
		id: c.ID, hidden: c.Hidden, sink: c.Sink, mixer: m,
		sinceSound: apartFor,
		quiet:      gateTicks,
		apart:      true, // has not heard the shared mix so far
	}
	p.level.Store(silentLevel)
	p.source.init(m.log)
	m.mu.Lock()
	m.participants = append(slices.Clone(m.participants), p)
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
	return p
}

// Push takes a packet of Opus; it is copied.
func (p *Participant) Push(packet *rtp.Packet, arrival time.Time) {
	if p.hidden || len(packet.Payload) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.source.push(packet, arrival)
	}
}

// SenderReport takes what a sender report of the participant's audio says.
func (p *Participant) SenderReport(ntp time.Time, rtp uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.report = senderReport{known: true, ntp: ntp, rtp: rtp}
}

// SetMuted takes the participant out of the mix, or back in.
func (p *Participant) SetMuted(muted bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.muted = muted
}

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
	return p.source.counts()
}

// Close takes the participant out and frees what it held.
func (p *Participant) Close() {
	m := p.mixer
	m.mu.Lock()
	m.participants = slices.DeleteFunc(slices.Clone(m.participants), func(o *Participant) bool { return o == p })
	m.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.closed = true
	p.source.close()
	p.own.close()
	m.log.Debug("left the mix", "attendee", p.id, "sound", p.source.counts())
}

// pull gets the participant's sound of this tick into p.sound.
func (p *Participant) pull(now time.Time) {
	p.sounds = false
	p.sinceSound++
	if p.hidden {
		return
	}
	p.mu.Lock()
	playing := !p.closed && p.source.pull(now, p.muted && p.gain == 0, p.sound[:])
	if at, ok := p.source.position(); ok {
		p.mixed.follow(now, at)
	}
	muted := p.muted
	p.mu.Unlock()

	power := 0.0
	if playing {
		for _, x := range p.sound {
			power += float64(x) * float64(x)
		}
		power /= frame
	}
	if power >= gatePower {
		p.quiet = 0
	} else {
		p.quiet++
	}
	wanted := float32(0)
	if playing && !muted && p.quiet < gateTicks {
		wanted = 1
	}
	if playing && (p.gain != 0 || wanted != 0) {
		fade(p.sound[:], p.gain, wanted)
		p.sounds = true
		p.sinceSound = 0
	}
	p.gain = wanted
	if wanted == 0 {
		power = 0
	}
	p.held = max(power, p.held*levelDecay)
	p.level.Store(int32(decibels(p.held)))
}

// fade takes the gain from one value to the other in the first samples.
func fade(pcm []float32, from, to float32) {
	if from == 1 && to == 1 {
		return
	}
	step := (to - from) / ramp
	for i := range ramp {
		pcm[i] *= from + step*float32(i)
	}
	for i := ramp; i < len(pcm); i++ {
		pcm[i] *= to
	}
}

// decibels writes a mean square as dB below full scale, 0 to 127.
func decibels(power float64) int {
	if power <= 0 {
		return silentLevel
	}
	return int(min(max(-10*math.Log10(power)+0.5, 0), silentLevel))
}
