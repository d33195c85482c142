package bwe

import "time"

const (
	// paceFactor lets media go faster than the estimate, so that the frames
	// of a stream that fits wait little. The estimate holds on average
	// because what is sent is chosen to fit.
	paceFactor = 1.5

	// paceBurst and leastBurst are what may go at once: a picture of a usual
	// stream on a usual link in one go.
	paceBurst  = 10 * time.Millisecond
	leastBurst = 2400 // bytes

	// maxQueue is how long anything may wait in the queue: a longer queue is
	// sent faster, whatever the estimate says.
	maxQueue = 500 * time.Millisecond

	// maxDebt is how long video waits at most for what has gone before it.
	maxDebt = 500 * time.Millisecond
)

// A pacer spreads bursts, such as a key frame, over time. What was sent is a
// debt that is paid off at the pace; while more than a burst is owed, nothing
// goes but audio.
type pacer struct {
	target float64 // bytes/s
	debt   float64 // bytes
	paid   time.Duration
	speed  float64 // bytes/s, as last used
}

func (p *pacer) set(bps float64) {
	p.target = bps / 8 * paceFactor
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

// allows says whether more may go. A probe under way has its own pace, in
// bytes/s, else 0.
func (p *pacer) allows(at time.Duration, queued int, probe float64) bool {
	p.pay(at)
	p.speed = max(p.target, float64(queued)/maxQueue.Seconds())
	if probe > 0 {
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

// wait returns after what time a fair part of a burst may go.
func (p *pacer) wait(at time.Duration) time.Duration {
	p.pay(at)
	if p.speed <= 0 {
		return paceBurst
	}
	d := time.Duration((p.debt - p.burst()/2) / p.speed * float64(time.Second))
	return min(max(d, time.Millisecond), paceBurst)
}
