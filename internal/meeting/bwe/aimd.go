package bwe

import (
	"math"
	"time"
)

const (
	// decrease is what is left of the received rate when the queue fills.
	decrease = 0.85
	// growth of the rate per second while the link's capacity is unknown.
	growth = 0.08

	// maxOvershoot bounds the rate by what is received: a client that gets
	// little says nothing about more.
	maxOvershoot = 1.5
	spare        = 10_000 // bit/s

	capacitySmooth = 0.05
	packetBits     = 1200 * 8

	// calmAfter is how long nothing must have gone wrong for a probe.
	calmAfter = time.Second
)

// An aimd is the delay-based estimate: it rises slowly while nothing is wrong
// and falls at once when a queue fills (draft-ietf-rmcat-gcc-02, section 5.5).
type aimd struct {
	current  float64 // bit/s
	hold     bool    // until the queue is empty again
	updated  time.Duration
	lastDrop time.Duration
	dropped  bool
	spared   float64 // what it was before a silence, 0: none

	// What the link can carry, by the rates at which queues have filled.
	capacity float64 // bit/s, 0: unknown
	spread   float64 // variance, in bit/s per bit/s of capacity
}

func (a *aimd) update(u usage, received float64, seen bool, at, rtt time.Duration) {
	gap := min(at-a.updated, time.Second)
	a.updated = at
	switch u {
	case over:
		a.overuse(received, seen, at, rtt)
	case under:
		a.hold = true
	default:
		if a.hold {
			a.hold = false
			return
		}
		a.increase(received, seen, gap, rtt)
	}
}

func (a *aimd) overuse(received float64, seen bool, at, rtt time.Duration) {
	// One drop empties the queue only after it got there and back.
	if !seen || a.dropped && at-a.lastDrop < rtt+burstTime*20 && received > a.current*0.5 {
		a.hold = true
		return
	}
	rate := decrease * received
	if rate > a.current && a.capacity > 0 {
		rate = decrease * a.capacity
	}
	if a.capacity > 0 && received < a.capacity-3*a.deviation() {
		a.capacity = 0 // another link than it was
	}
	a.learn(received)
	a.current = min(a.current, rate)
	a.hold, a.dropped, a.lastDrop = true, true, at
}

func (a *aimd) increase(received float64, seen bool, gap, rtt time.Duration) {
	if a.capacity > 0 && seen && received > a.capacity+3*a.deviation() {
		a.capacity = 0
	}
	most := a.current
	if seen {
		most = max(most, maxOvershoot*received+spare)
	}
	if a.capacity > 0 {
		// Near the capacity: about one more packet per response time.
		response := rtt + 100*time.Millisecond
		a.current += max(packetBits/response.Seconds()*gap.Seconds(), 1000*gap.Seconds())
	} else {
		a.current += max(a.current*(math.Pow(1+growth, gap.Seconds())-1), 1000*gap.Seconds())
	}
	a.current = min(a.current, most)
}

func (a *aimd) learn(received float64) {
	if a.capacity == 0 {
		a.capacity, a.spread = received, 400
		return
	}
	miss := a.capacity - received
	a.capacity -= capacitySmooth * miss
	a.spread = (1-capacitySmooth)*a.spread + capacitySmooth*miss*miss/max(a.capacity, 1)
	a.spread = min(max(a.spread, 400), 2500)
}

func (a *aimd) deviation() float64 { return math.Sqrt(a.spread * a.capacity) }

// probed takes what a probe has found out.
func (a *aimd) probed(rate, most float64, at time.Duration) {
	if rate <= a.current {
		return
	}
	a.current = min(rate, most)
	a.capacity = 0
}

// silence takes that nothing is heard of the client any more.
func (a *aimd) silence(cut, least float64) {
	if a.spared == 0 {
		a.spared = a.current
	}
	a.current = max(a.current*cut, least)
	a.hold, a.capacity = true, 0
}

// heard takes that the client is heard again, and whether it has received what
// was sent meanwhile: then it was only busy, and the path is what it was.
func (a *aimd) heard(whole bool) {
	if whole {
		a.current = max(a.current, a.spared)
	}
	a.spared = 0
}

// calm says whether probing would disturb nothing.
func (a *aimd) calm(at, rtt time.Duration) bool {
	return !a.hold && (!a.dropped || at-a.lastDrop > calmAfter+2*rtt)
}
