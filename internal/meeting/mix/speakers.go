package mix

import (
	"cmp"
	"fmt"
	"runtime/debug"
	"slices"
	"time"
)

const (
	// Who may be heard at once: the loudest. One more adds an encode as well
	// as a decode, and nobody understands nine people talking.
	maxSpeakers = 8
	// maxBlind is how many more, whose packets do not say how loud they are:
	// only decoding tells.
	maxBlind = 32

	// wakeLevel is how loud a packet must be for its sender to be decoded, in
	// dB below full scale, and restLevel to go on being so.
	wakeLevel = 60
	restLevel = 66
	// hold is how long a sender is decoded after its last loud packet; blind
	// ones, after the last that was no silence.
	hold      = 1500 * time.Millisecond
	blindHold = 500 * time.Millisecond
	// presumed is the level of blind ones nobody has listened to yet.
	presumed = 40
	// levelMemory is how long after a packet with a level those without are
	// not taken for blind: lost ones that were brought back have none.
	levelMemory = 2 * time.Second
	// silentSize is the longest packet that is silence whatever it says:
	// libopus writes zeros in three bytes.
	silentSize = 3

	// Who is heard stays, against others not louder by stay dB; in the first
	// stayTicks by newStay dB, and blind ones against all: they are given a
	// hearing in turn.
	stay      = 6
	newStay   = 20
	stayTicks = 25
	// fall is how fast a level sinks to that of softer packets, in dB a
	// packet: 50 dB in a second.
	fall = 1
)

// loudness is how loud a sender's packets say they are, or that they do not.
type loudness struct {
	level int       // dB below full scale: of the loudest packet lately
	last  time.Time // when a packet came that was loud enough to be heard
	known time.Time // when the last packet came that says its level
	blind bool
	begun bool // a packet has come
}

// follow takes in a packet and says whether somebody should hear it.
func (l *loudness) follow(level uint8, size int, arrival time.Time) bool {
	if !l.begun {
		l.begun, l.level = true, silentLevel
	}
	switch {
	case size <= silentSize:
		level = silentLevel
	case level <= silentLevel:
		l.known, l.blind = arrival, false
	case arrival.Sub(l.known) < levelMemory:
		return false
	default:
		l.blind = true
		l.level, l.last = presumed, arrival
		return true
	}
	l.level = min(int(level), l.level+fall)
	if int(level) <= restLevel {
		l.last = arrival
	}
	return int(level) <= wakeLevel
}

// over says whether nothing is heard any more.
func (l *loudness) over(now time.Time) bool {
	if l.blind {
		return now.Sub(l.last) > blindHold
	}
	return now.Sub(l.last) > hold
}

// rouse puts p among those who may be heard; p's mu is held.
func (m *Mixer) rouse(p *Participant) {
	m.mu.Lock()
	m.roused = append(m.roused, p)
	m.mu.Unlock()
}

// choose says who is heard in this tick: of those whose packets are not
// silent, the loudest. What they say is in the jitter buffer still, so even
// its beginning is heard.
func (m *Mixer) choose(now time.Time) {
	m.awake = slices.DeleteFunc(m.awake, func(p *Participant) bool { return !m.mayBeHeard(p, now) })
	speakers, blind := 0, 0
	if len(m.awake) > maxSpeakers {
		slices.SortFunc(m.awake, func(a, b *Participant) int { return cmp.Compare(a.score, b.score) })
	}
	for _, p := range m.awake {
		count, most := &speakers, maxSpeakers
		if p.blind {
			count, most = &blind, maxBlind
		}
		chosen := *count < most && p.score < silentLevel
		if chosen {
			*count++
		}
		if chosen && !p.chosen {
			p.since = m.ticks
		}
		p.chosen = chosen
	}
}

// mayBeHeard ranks one who may be heard. False: it fell silent, and is taken
// off the list once its voice is gone.
func (m *Mixer) mayBeHeard(p *Participant, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.blind = p.heard.blind
	p.score = p.heard.level
	if p.blind && p.voice != nil {
		p.score = int(p.level.Load())
	}
	if !p.voiced {
		p.level.Store(int32(p.heard.level))
		if p.blind {
			p.level.Store(silentLevel)
		}
	}
	switch {
	case p.chosen && m.ticks-p.since < stayTicks && p.blind:
		p.score -= silentLevel
	case p.chosen && m.ticks-p.since < stayTicks:
		p.score -= newStay
	case p.chosen:
		p.score -= stay
	}
	if !p.closed.Load() && !p.muted.Load() && !p.broken && !p.heard.over(now) {
		return true
	}
	p.score = silentLevel
	p.chosen = false
	if p.voice != nil {
		return true
	}
	p.level.Store(silentLevel)
	p.awake = false
	if p.buffer != nil {
		p.buffer.SetIdle(true)
	}
	return false
}

// listen decodes and lets go those not chosen any more, after a fade.
func (m *Mixer) listen(now time.Time) {
	m.sounding = m.sounding[:0]
	for _, p := range m.awake {
		if p.voice == nil {
			if !p.chosen {
				continue
			}
			m.lend(p)
		}
		m.hear(p, now)
		if p.voice == nil {
			continue
		}
		if p.voice.sounds {
			m.sounding = append(m.sounding, p)
			p.group.sounded = m.ticks
			if p.voice.channels == 2 {
				m.widened = m.ticks
			}
		} else if !p.chosen {
			m.take(p)
		}
	}
}

// lend gives p a voice.
func (m *Mixer) lend(p *Participant) {
	v := m.idle.voice(m.log)
	p.mu.Lock()
	defer p.mu.Unlock()
	v.begin(p, p.wide)
	p.voice, p.voiced = v, true
}

// take takes p's voice away.
func (m *Mixer) take(p *Participant) {
	m.idle.keepVoice(p.voice)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.voice, p.voiced = nil, false
	p.level.Store(silentLevel)
}

// hear has p's voice speak. Should that panic, p alone is not heard any more.
func (m *Mixer) hear(p *Participant, now time.Time) {
	defer func() {
		if cause := recover(); cause != nil {
			p.broken = true
			p.voice.close() // whatever state it is in
			m.take(p)
			m.log.Error("a participant's sound cannot be decoded", "attendee", p.id, "err", fmt.Errorf("%v\n%s", cause, debug.Stack()))
		}
	}()
	v := p.voice
	v.speak(now, p.chosen)
	p.level.Store(int32(decibels(v.power)))
	p.mu.Lock()
	defer p.mu.Unlock()
	if at, ok := v.position(); ok {
		p.mixed.follow(now, at)
	}
	p.stats.add(v.stats)
	v.stats = Stats{}
}
