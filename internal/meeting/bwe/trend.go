package bwe

import "time"

// A usage says how the path is used.
type usage uint8

const (
	normal usage = iota
	under        // a queue is emptying
	over         // a queue is filling
)

const (
	// burstTime: packets sent within it are looked at together, since nothing
	// can be learned from how they follow each other.
	burstTime = 5 * time.Millisecond
	// maxBurst is how long a group may grow by packets that arrive at once.
	maxBurst = 100 * time.Millisecond

	// maxReorder is how many groups may arrive before the one before them,
	// until the client's clock is taken to have moved.
	maxReorder = 3
)

// A group is some packets that were sent together.
type group struct {
	firstSent, lastSent    time.Duration
	firstArrived, lastSeen time.Duration
}

// groups puts packets into groups.
type groups struct {
	have      int // of the two that follow
	before    group
	now       group
	reordered int
}

// A change is how much later the last group arrived than it was sent, compared
// with the one before.
type change struct {
	delay   time.Duration // what the queue has grown by
	sent    time.Duration // time between the groups when sent
	arrived time.Duration // of the later one
}

// add takes a received packet. It tells, when a group is complete, about it.
func (g *groups) add(sentAt, arrived time.Duration) (change, bool) {
	switch {
	case g.have == 0:
		g.open(sentAt, arrived)
		g.have = 1
		return change{}, false
	case sentAt < g.now.firstSent:
		return change{}, false // late: says nothing of the queue now
	case g.belongs(sentAt, arrived):
		g.now.lastSent = max(g.now.lastSent, sentAt)
		g.now.lastSeen = max(g.now.lastSeen, arrived)
		return change{}, false
	case g.have == 1:
		g.have = 2
		g.before = g.now
		g.open(sentAt, arrived)
		return change{}, false
	}
	c := change{sent: g.now.lastSent - g.before.lastSent, arrived: g.now.lastSeen}
	took := g.now.lastSeen - g.before.lastSeen
	c.delay = took - c.sent
	ok := took >= 0
	if !ok {
		if g.reordered++; g.reordered > maxReorder {
			*g = groups{}
			return change{}, false
		}
	} else {
		g.reordered = 0
	}
	g.before = g.now
	g.open(sentAt, arrived)
	return c, ok
}

func (g *groups) open(sentAt, arrived time.Duration) {
	g.now = group{firstSent: sentAt, lastSent: sentAt, firstArrived: arrived, lastSeen: arrived}
}

func (g *groups) belongs(sentAt, arrived time.Duration) bool {
	if sentAt-g.now.firstSent <= burstTime {
		return true
	}
	// What waited somewhere and then came in one go is one group too.
	gap := arrived - g.now.lastSeen
	return gap <= burstTime && gap < sentAt-g.now.lastSent && arrived-g.now.firstArrived < maxBurst
}

const (
	trendWindow = 20 // groups
	trendLeast  = 10 // groups
	trendSmooth = 0.9
	trendGain   = 4
	trendMost   = 60 // changes that count at most

	thresholdStart = 12.5 // ms
	thresholdLeast = 6
	thresholdMost  = 600
	thresholdUp    = 0.0087 // per ms
	thresholdDown  = 0.039
	thresholdLeap  = 15.0 // ms: further away says nothing about the threshold

	overuseTime = 10.0 // ms that it must last
)

// A trend tells a filling queue from jitter: by the slope of the smoothed
// delay over the last groups, against a threshold that follows the slopes
// usual on this path (draft-ietf-rmcat-gcc-02, section 5.4; the slope by least
// squares stands in for the Kalman filter of 5.3).
type trend struct {
	points [trendWindow]point
	n      int // changes so far
	first  time.Duration

	sum, smooth float64 // ms of delay, since the beginning

	threshold float64
	thereFor  float64 // ms above the threshold
	times     int
	slope     float64
	state     usage
	updated   time.Duration
}

type point struct{ at, delay float64 } // ms

func (t *trend) reset() { *t = trend{threshold: thresholdStart} }

func (t *trend) add(c change) usage {
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	if t.n == 0 {
		t.first, t.updated = c.arrived, c.arrived
	}
	t.sum += ms(c.delay)
	t.smooth = trendSmooth*t.smooth + (1-trendSmooth)*t.sum
	t.points[t.n%trendWindow] = point{ms(c.arrived - t.first), t.smooth}
	t.n++
	if t.n < trendLeast {
		return t.state
	}
	slope, ok := t.fit()
	if !ok {
		slope = t.slope
	}
	m := float64(min(t.n, trendMost)) * slope * trendGain
	switch {
	case m > t.threshold:
		if t.times == 0 {
			t.thereFor = ms(c.sent) / 2
		} else {
			t.thereFor += ms(c.sent)
		}
		t.times++
		if t.thereFor > overuseTime && t.times > 1 && slope >= t.slope {
			t.thereFor, t.times = 0, 0
			t.state = over
		}
	case m < -t.threshold:
		t.thereFor, t.times = 0, 0
		t.state = under
	default:
		t.thereFor, t.times = 0, 0
		t.state = normal
	}
	t.slope = slope
	t.adapt(m, c.arrived)
	return t.state
}

// fit returns the slope of the points, in ms per ms.
func (t *trend) fit() (float64, bool) {
	points := t.points[:min(t.n, trendWindow)]
	var x, y float64
	for _, p := range points {
		x += p.at
		y += p.delay
	}
	x, y = x/float64(len(points)), y/float64(len(points))
	var xy, xx float64
	for _, p := range points {
		xy += (p.at - x) * (p.delay - y)
		xx += (p.at - x) * (p.at - x)
	}
	if xx == 0 {
		return 0, false
	}
	return xy / xx, true
}

// adapt moves the threshold towards m, so that a path that jitters, or one
// shared with flows that fill its queue, is not taken for overused all the
// time.
func (t *trend) adapt(m float64, at time.Duration) {
	gap := min(float64(at-t.updated)/float64(time.Millisecond), 100)
	t.updated = at
	m = max(m, -m)
	if m > t.threshold+thresholdLeap {
		return
	}
	k := thresholdUp
	if m < t.threshold {
		k = thresholdDown
	}
	t.threshold = min(max(t.threshold+k*(m-t.threshold)*gap, thresholdLeast), thresholdMost)
}
