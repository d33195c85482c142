package bwe

import "time"

const (
	// paceFactor lets media go faster than the estimate, so that the frames
	// of a stream that fits wait little. The estimate holds on average
	// because what is sent is chosen to fit.
	paceFactor = 1.5
	// drainFactor lets less go than the link is thought to carry, for as long
	// as its queue is thought to be full.
	drainFactor = 0.9

	// paceBurst and leastBurst are what may go at once: a picture of a usual
	// stream on a usual link in one go, which is one message to the kernel.
	paceBurst  = 40 * time.Millisecond
	leastBurst = 2400 // bytes

	// shortWait and longWait bound how long after a burst to look again.
	shortWait = 5 * time.Millisecond
	longWait  = 20 * time.Millisecond

	// maxWait is how long video may have to wait in the queue, and leastRoom
	// what may wait anyway: a small key frame.
	maxWait   = 600 * time.Millisecond
	leastRoom = 30_000 // bytes

	// maxDebt is how long video waits at most for what has gone before it.
	maxDebt = 500 * time.Millisecond

	// againShare is the part of the estimate that packets sent again may take.
	// On a link that is full they would else take the place of what comes
	// after them, get lost too, and be asked for again.
	againShare = 0.3
	againBurst = 5000 // bytes

	// againWait is how long such a packet may wait: the client asks for it
	// once more before long.
	againWait = 100 * time.Millisecond
	againRoom = 6000 // bytes that may wait anyway
)

// A pacer spreads bursts, such as a key frame, over time. What was sent is a
// debt that is paid off at the pace; while more than a burst is owed, nothing
// goes but audio.
type pacer struct {
	target float64 // bytes/s
	debt   float64 // bytes
	paid   time.Duration
	speed  float64 // bytes/s, as last used
	probes bool    // it is that of a probe
}

func (p *pacer) set(bps float64, drain bool) {
	p.target = bps / 8 * paceFactor
	if drain {
		p.target = bps / 8 * drainFactor
	}
	if p.speed == 0 {
		p.speed = p.target
	}
}

func (p *pacer) pay(at time.Duration) {
	if at > p.paid {
		p.debt = max(p.debt-p.speed*(at-p.paid).Seconds(), 0)
		p.paid = at
	}
}

func (p *pacer) spend(at time.Duration, size int) {
	p.pay(at)
	p.debt = min(p.debt+float64(size), p.burst()+p.speed*maxDebt.Seconds())
}

func (p *pacer) burst() float64 { return max(p.speed*paceBurst.Seconds(), leastBurst) }

// backlog returns how many bytes may wait.
func (p *pacer) backlog() int { return max(int(p.target*maxWait.Seconds()), leastRoom) }

// allows says whether more may go. A probe under way has its own pace, in
// bytes/s, else 0.
func (p *pacer) allows(at time.Duration, probe float64) bool {
	p.pay(at)
	p.speed, p.probes = p.target, probe > 0
	if p.probes {
		p.speed = probe
		return p.debt < leastBurst
	}
	return p.debt < p.burst()
}

// room returns how many bytes may go now.
func (p *pacer) room(at time.Duration) int {
	p.pay(at)
	return max(int(leastBurst-p.debt), 1)
}

// wait returns after what time a fair part of a burst may go. A probe goes as
// evenly as possible.
func (p *pacer) wait(at time.Duration) time.Duration {
	p.pay(at)
	if p.probes {
		return time.Millisecond
	}
	if p.speed <= 0 {
		return shortWait
	}
	d := time.Duration((p.debt - p.burst()/2) / p.speed * float64(time.Second))
	return min(max(d, shortWait), longWait)
}

// A share is a part of the estimate.
type share struct {
	rate float64 // bytes/s
	debt float64 // bytes
	paid time.Duration
}

func (s *share) set(bps float64) { s.rate = bps / 8 * againShare }

func (s *share) pay(at time.Duration) {
	if at > s.paid {
		s.debt = max(s.debt-s.rate*(at-s.paid).Seconds(), 0)
		s.paid = at
	}
}

func (s *share) spend(at time.Duration, size int) {
	s.pay(at)
	s.debt += float64(size)
}

func (s *share) backlog() int { return max(int(s.rate*againWait.Seconds()), againRoom) }

func (s *share) allows(at time.Duration) bool {
	s.pay(at)
	return s.debt < max(againBurst, s.rate*paceBurst.Seconds())
}
