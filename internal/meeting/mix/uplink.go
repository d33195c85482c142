package mix

import "time"

const (
	// uplinkEvery is over how long a participant's losses are counted.
	uplinkEvery = 3 * time.Second
	// Losses in thousands from which the signal is medium, and bad. Below
	// that, concealment is hardly heard.
	mediumLoss = 50
	badLoss    = 150
	// uplinkQuiet is how long nothing may come before the signal is bad: one
	// who pauses sends every 400 ms.
	uplinkQuiet = 3 * time.Second
)

// The strengths of a Signal.
const (
	SignalBad    = 0
	SignalMedium = 1
	SignalGood   = 2
)

// A Signal is how well somebody's sound comes through the network.
type Signal struct {
	ID       string
	Strength int // SignalBad to SignalGood
}

// uplink watches how well a participant's packets come.
type uplink struct {
	last     time.Time // when a packet came
	at       time.Time // when strength was found
	lost     uint64    // at that time
	received uint64
	badness  int // 0 good, 1 medium, 2 bad
	told     int // badness that Signals told last
}

func (u *uplink) came(arrival time.Time) { u.last = arrival }

// judge finds the strength anew when it is time.
func (u *uplink) judge(now time.Time, lost, received uint64) {
	if u.last.IsZero() {
		return
	}
	if now.Sub(u.last) > uplinkQuiet {
		u.badness = 2
		return
	}
	if now.Sub(u.at) < uplinkEvery {
		return
	}
	newLost, all := lost-u.lost, lost-u.lost+received-u.received
	u.at, u.lost, u.received = now, lost, received
	switch {
	case all == 0:
	case newLost*1000 >= badLoss*all:
		u.badness = 2
	case newLost*1000 >= mediumLoss*all:
		u.badness = 1
	default:
		u.badness = 0
	}
}

// Signals appends to dst those whose sound comes badly, and once more each
// that has come to be good again. It is asked now and then, by one caller.
func (m *Mixer) Signals(now time.Time, dst []Signal) []Signal {
	for _, p := range m.snapshot() {
		if p.hidden {
			continue
		}
		p.mu.Lock()
		p.uplink.judge(now, p.lost, p.buffer.Stats().Received)
		bad, told := p.uplink.badness, p.uplink.told
		p.uplink.told = bad
		p.mu.Unlock()
		if bad != 0 || told != 0 {
			dst = append(dst, Signal{ID: p.id, Strength: SignalGood - bad})
		}
	}
	return dst
}
