package mix

import (
	"log/slog"
	"slices"
	"time"

	"belfry.live/belfry/internal/media/opus"
)

const (
	// apartFor is how many ticks a participant keeps a mix of its own after it
	// last sounded, so that pauses in speech do not switch streams.
	apartFor = 50
	// wideFor is how many ticks the stereo mix goes on after the last stereo
	// sound.
	wideFor = 250
	// maxIdle is how many voices and outputs are kept for the next who need
	// one.
	maxIdle = 4
)

// The rows in which listeners stand: those of one row get the same packets,
// but for the last.
const (
	rowMono = iota
	rowStereo
	rowSilence
	rowApart
	rows
)

// route puts everybody into a row, and gets their output ready for who comes
// from another.
func (m *Mixer) route(all []*Participant) {
	wide := m.ticks-m.widened < wideFor
	if wide && m.widened == m.ticks && m.shared[1].resting {
		m.shared[1].follow(&m.shared[0])
	}
	m.shared[1].resting = !wide
	m.apart = slices.DeleteFunc(m.apart, func(p *Participant) bool {
		if p.closed.Load() {
			m.release(p)
			return true
		}
		return false
	})
	for i := range m.rows {
		m.rows[i] = m.rows[i][:0]
	}
	for _, p := range all {
		row := rowMono
		switch stereo := wide && p.stereo.Load(); {
		case p.deaf.Load():
			row = rowSilence
			p.hears = nil
		case m.ticks-p.group.sounded < apartFor:
			row = rowApart
			m.keepApart(p, stereo)
		case stereo:
			row = rowStereo
		}
		if row < rowSilence && p.hears != &m.shared[row] {
			m.shared[row].alone = true
			p.hears = &m.shared[row]
		}
		if row != rowApart && p.own != nil {
			m.release(p)
			m.apart = slices.DeleteFunc(m.apart, func(o *Participant) bool { return o == p })
		}
		m.rows[row] = append(m.rows[row], p)
	}
}

// keepApart gives p an output of its own, in the form that is wanted.
func (m *Mixer) keepApart(p *Participant, stereo bool) {
	channels := 1
	if stereo {
		channels = 2
	}
	if p.own != nil && p.own.channels == channels {
		return
	}
	own := m.idle.output(channels)
	own.follow(p.hears)
	if p.own == nil {
		m.apart = append(m.apart, p)
	} else {
		m.idle.keepOutput(p.own)
	}
	p.own, p.hears = own, own
}

// release takes p's own output away.
func (m *Mixer) release(p *Participant) {
	m.idle.keepOutput(p.own)
	p.own = nil
}

// deliver encodes what each row hears and calls their sinks, first those of
// many.
func (m *Mixer) deliver(now time.Time) {
	f := Frame{Timestamp: m.timestamp, Time: now}
	for i := range m.shared {
		out, row := &m.shared[i], m.rows[i]
		switch {
		case len(row) > 0:
			f.Payload = m.encode(out, m.sum(nil, out.channels))
			m.send(f, row)
		case !out.resting:
			out.skip(m.sum(nil, out.channels))
		}
	}
	f.Payload = opus.Silence()
	m.send(f, m.rows[rowSilence])
	for i, p := range m.rows[rowApart] {
		f.Payload = m.encode(p.own, m.sum(p.group, p.own.channels))
		m.send(f, m.rows[rowApart][i:i+1])
	}
}

// send gives the same frame to each.
func (m *Mixer) send(f Frame, to []*Participant) {
	for i, p := range to {
		f.Repeat = i > 0
		p.sink(f)
	}
}

// sum adds up what all but one group say.
func (m *Mixer) sum(but *group, channels int) [][]float32 {
	mixed := [2][]float32{m.mixed[0][:], m.mixed[1][:]}
	for c := range channels {
		clear(mixed[c])
		for _, p := range m.sounding {
			switch {
			case p.group == but:
			case channels == 1:
				add(&m.mixed[c], p.voice.mono())
			default:
				add(&m.mixed[c], p.voice.channel(c))
			}
		}
	}
	m.mix = mixed
	return m.mix[:channels]
}

func add(to, x *[frame]float32) {
	for i := range to {
		to[i] += x[i]
	}
}

func (m *Mixer) encode(o *output, mix [][]float32) []byte {
	packet, encoded := o.encode(mix, m.cfg, m.log)
	if encoded {
		m.counts.encoded.Add(1)
	}
	return packet
}

// idle keeps voices and outputs that nobody needs now, for their memory and
// their codecs.
type idle struct {
	voices  []*voice
	outputs [2][]*output // of one channel and of two
}

func (l *idle) voice(log *slog.Logger) *voice {
	if n := len(l.voices); n > 0 {
		v := l.voices[n-1]
		l.voices = l.voices[:n-1]
		return v
	}
	return newVoice(log)
}

func (l *idle) keepVoice(v *voice) {
	v.feed = nil
	if len(l.voices) == maxIdle {
		v.close()
		return
	}
	l.voices = append(l.voices, v)
}

func (l *idle) output(channels int) *output {
	list := &l.outputs[channels-1]
	if n := len(*list); n > 0 {
		o := (*list)[n-1]
		*list = (*list)[:n-1]
		return o
	}
	return &output{channels: channels}
}

func (l *idle) keepOutput(o *output) {
	list := &l.outputs[o.channels-1]
	if len(*list) == maxIdle {
		o.close()
		return
	}
	*list = append(*list, o)
}

func (l *idle) free() {
	for _, v := range l.voices {
		v.close()
	}
	for _, list := range l.outputs {
		for _, o := range list {
			o.close()
		}
	}
	*l = idle{}
}
