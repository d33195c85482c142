package bwe

import (
	"math"
	"time"
)

const (
	lossTime    = 250 * time.Millisecond // of an observation
	lossPackets = 40                     // in one, at least
	lossTimeMax = 2 * time.Second        // but it does not take longer

	lowLoss  = 0.02 // more than usual: no reason to slow down
	highLoss = 0.06 // more than usual, twice: something is wrong

	// lossDoubt is how many standard deviations of a share of n packets are
	// taken for chance.
	lossDoubt = 1.5

	// maxInherent is what a path may lose whatever the rate. One that loses
	// more is overloaded, or of no use anyway.
	maxInherent = 0.35

	// A test sends less for a while to see whether less gets lost.
	testCut     = 0.85
	testTime    = 800 * time.Millisecond
	testPackets = 60
	testTimeMax = 2500 * time.Millisecond
	testStill   = 0.4              // of the loss before: it is no matter of rate
	testAgain   = 10 * time.Second // before the next test
	testDoubted = 3 * time.Second  // and after one that may have been wrong

	limitCut    = 0.95
	limitGrowth = 0.08 // per second
)

// A lossy is the loss-based bound. Loss comes from a link that is full, or
// from one that is bad; only in the first case sending less helps. It finds
// out by trying: when more than usual gets lost, it sends less for a moment.
// If the loss goes, the link was full, and what got through is the bound; if
// it stays, it is inherent to the path and no bound at all.
type lossy struct {
	inherent float64
	limit    float64 // bit/s, 0: none
	full     bool    // a full link was found just now

	// The observation under way.
	begun         bool
	since         time.Duration // sending time of the first packet
	until         time.Duration
	packets, lost int
	bytes         int

	high     int // observations with too much loss in a row
	seen     sum // by them
	testing  bool
	testedAt time.Duration // the end of the last test, or the beginning of this
	tested   bool
	settle   time.Duration // before that, what is told was sent before the test
	before   sum
	during   sum
	updated  time.Duration
}

// A sum adds up observations, weighted by packets.
type sum struct{ packets, lost, rates float64 }

func (s *sum) add(share float64, n int, rate float64) {
	s.packets += float64(n)
	s.lost += share * float64(n)
	s.rates += rate * float64(n)
}

func (s *sum) share() float64 { return s.lost / max(s.packets, 1) }
func (s *sum) rate() float64  { return s.rates / max(s.packets, 1) }

// bound returns the estimate in view of the loss.
func (l *lossy) bound(rate float64) float64 {
	if l.limit > 0 {
		return min(rate, l.limit)
	}
	return rate
}

// count takes a packet whose fate is known.
func (l *lossy) count(p sent, got bool) {
	if !l.begun {
		l.begun, l.since = true, time.Duration(p.at)
	}
	l.until = time.Duration(p.at)
	l.packets++
	l.bytes += int(p.size)
	if !got {
		l.lost++
	}
}

// judge ends the observation under way if it is long enough.
func (l *lossy) judge(at, rtt time.Duration, estimate float64) {
	span := l.until - l.since
	if !l.begun || span < lossTime || l.packets < lossPackets && span < lossTimeMax {
		return
	}
	share := float64(l.lost) / float64(l.packets)
	rate := float64(l.bytes) * 8 / span.Seconds()
	n, sentAt := l.packets, l.since
	l.begun, l.packets, l.lost, l.bytes = false, 0, 0, 0
	if l.testing && sentAt < l.settle {
		return
	}
	l.observe(share, n, rate, at, rtt, estimate)
}

// observe takes which part of n packets, sent at a rate, got lost.
func (l *lossy) observe(share float64, n int, rate float64, at, rtt time.Duration, estimate float64) {
	gap := min(at-l.updated, 2*time.Second)
	l.updated = at
	if l.testing {
		l.during.add(share, n, rate)
		l.conclude(at)
		return
	}
	extra := share - l.inherent
	usual := max(l.inherent, lowLoss)
	chance := lossDoubt * math.Sqrt(usual*(1-usual)/float64(n))
	if extra > highLoss+chance {
		l.high++
		l.seen.add(share, n, rate)
	} else {
		l.high, l.seen = 0, sum{}
		// The path may have become better, or be a little worse.
		l.inherent += extra * min(0.1*float64(n)/lossPackets, 0.3)
	}
	l.inherent = min(max(l.inherent, 0), maxInherent)
	if l.limit > 0 && extra <= lowLoss {
		l.limit *= math.Pow(1+limitGrowth, gap.Seconds())
		if l.limit > estimate*1.1 {
			l.limit = 0
		}
	}
	if l.high < 2 {
		return
	}
	seen := l.seen
	l.high, l.seen = 0, sum{}
	delivered := seen.rate() * (1 - seen.share())
	again := testAgain
	if l.limit > 0 && seen.rate() < 0.9*l.limit {
		again = testDoubted // the limit was to end the loss
	}
	switch {
	case seen.share() > maxInherent:
		l.full = true
		l.lower(limitCut * delivered)
	case !l.tested || at-l.testedAt >= again:
		l.testing, l.testedAt, l.settle = true, at, at+rtt/4
		l.before, l.during = seen, sum{}
		l.lower(testCut * delivered)
	case l.limit > 0 && again == testAgain:
		l.lower(limitCut * delivered)
	}
}

func (l *lossy) lower(to float64) {
	if l.limit == 0 || to < l.limit {
		l.limit = to
	}
}

// conclude ends a test that has seen enough.
func (l *lossy) conclude(at time.Duration) {
	took := at - l.testedAt
	if took < testTime || l.during.packets < testPackets && took < testTimeMax {
		return
	}
	l.testing, l.tested, l.testedAt = false, true, at
	slower := l.during.rate() < 0.95*l.before.rate()
	if slower && l.during.share() < testStill*l.before.share() {
		l.full = true
		return // the limit helps
	}
	l.inherent = min(max(l.during.share(), l.inherent), maxInherent)
	l.limit = 0
}

// lift takes that a probe got through at a rate.
func (l *lossy) lift(rate float64) {
	if l.limit > 0 && !l.testing && rate > l.limit {
		l.limit = rate
	}
}
