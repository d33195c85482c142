package bwe

import "time"

const (
	probeTime    = 40 * time.Millisecond
	probePackets = 8 // at least
	probeBytes   = 4000

	probeLimit = 250 * time.Millisecond // a probe not sent by then is given up
	probeReply = 500 * time.Millisecond // and one not answered, after the round trip
	probeLost  = probeReply + maxRTT

	probeUp       = 2.0 // times the estimate
	probeWanted   = 1.2 // times what is wanted is enough
	probeWhole    = 0.9 // of the packets: fewer, and the rate is less by as much
	probeGood     = 0.8 // of the probed rate: the next may follow at once
	probeAgain    = 2 * time.Second
	probeAgainMax = 5 * time.Second
	probeEnough   = 1.05 // times what is wanted: an estimate above that is enough

	// probeQueue is how long the queue that a probe fills may last.
	probeQueue = 250 * time.Millisecond
)

// A prober tries whether more than the estimate gets through: for a moment it
// has packets sent at a higher rate, media and, in addition, padding, and looks
// how fast they arrive.
type prober struct {
	id      uint8 // of the newest cluster, 1 to 255
	target  float64
	sending bool
	waiting bool // for the client to tell

	began, ended time.Duration
	firstSize    int
	bytes, count int

	// For the line through the times of arrival over the times of sending.
	n, lost           float64
	origin, originArr time.Duration
	sx, sy, sxx, sxy  float64

	next    time.Duration // not before
	backoff time.Duration
}

func (p *prober) active(at time.Duration) bool { return p.sending && at-p.began < probeLimit }

// pace returns the rate of a probe under way in bytes/s, else 0.
func (p *prober) pace(at time.Duration) float64 {
	if !p.active(at) {
		return 0
	}
	return p.target / 8
}

// tick begins a probe if one is worth it. It reports that there was nothing to
// send for the one before.
func (p *prober) tick(at time.Duration, estimate, wanted, most float64, calm bool) (idle bool) {
	if p.sending && at-p.began >= probeLimit {
		p.sending = false
		p.next = at + probeAgain
		idle = true
	}
	if p.waiting && at-p.ended > probeLost {
		p.failed(at) // the client tells nothing of single packets
	}
	if p.sending || p.waiting || !calm || at < p.next || wanted*probeEnough < estimate || estimate >= most {
		return idle
	}
	p.id++
	if p.id == 0 {
		p.id = 1
	}
	p.target = min(estimate*probeUp, max(wanted*probeWanted, estimate*1.2), most)
	p.sending, p.began, p.bytes, p.count = true, at, 0, 0
	p.n, p.lost, p.sx, p.sy, p.sxx, p.sxy = 0, 0, 0, 0, 0, 0
	return idle
}

// sent takes a packet and returns the cluster it is part of, 0 for none.
func (p *prober) sent(at time.Duration, size int) uint8 {
	if !p.active(at) {
		return 0
	}
	if p.count == 0 {
		p.began, p.firstSize = at, size
	}
	p.count++
	p.bytes += size
	p.ended = at
	if at-p.began >= probeTime && p.count >= probePackets && p.bytes >= probeBytes {
		p.sending, p.waiting = false, true
	}
	return p.id
}

// arrived takes a packet of a cluster.
func (p *prober) arrived(cluster uint8, sentAt, arrived time.Duration) {
	if cluster == 0 || cluster != p.id || !p.sending && !p.waiting {
		return
	}
	if p.n == 0 {
		p.origin, p.originArr = sentAt, arrived
	}
	x, y := (sentAt - p.origin).Seconds(), (arrived - p.originArr).Seconds()
	p.n++
	p.sx += x
	p.sy += y
	p.sxx += x * x
	p.sxy += x * y
}

// missed takes that a packet of a cluster has not arrived.
func (p *prober) missed(cluster uint8) {
	if cluster != 0 && cluster == p.id && (p.sending || p.waiting) {
		p.lost++
	}
}

// filling says whether a queue may be the work of a probe.
func (p *prober) filling(at, rtt time.Duration) bool {
	return p.active(at) || p.waiting || p.ended > 0 && at-p.ended < rtt+probeQueue
}

// result returns, once, what a probe has found: the rate at which it arrived.
// Inherent is the part of all packets that gets lost anyway.
func (p *prober) result(at, rtt time.Duration, inherent float64) (float64, bool) {
	if !p.waiting {
		return 0, false
	}
	if at-p.ended > rtt+probeReply {
		p.failed(at)
		return 0, false
	}
	if p.n < 0.5*float64(p.count) || p.n+p.lost < float64(p.count) && at-p.ended < rtt+probeQueue {
		return 0, false
	}
	p.waiting = false
	spread := p.sxx - p.sx*p.sx/p.n
	took := (p.ended - p.began).Seconds()
	if spread <= 0 || took <= 0 {
		p.failed(at)
		return 0, false
	}
	rate := float64(p.bytes-p.firstSize) * 8 / took
	if stretch := (p.sxy - p.sx*p.sy/p.n) / spread; stretch > 1 {
		rate /= stretch
	}
	if got := p.n / float64(p.count) / (1 - inherent); got < probeWhole {
		rate *= got
	}
	rate = min(rate, p.target)
	if rate < probeGood*p.target {
		p.failed(at)
		rate *= 0.95 // the queue it left has to empty
	} else {
		p.backoff, p.next = 0, at+rtt
	}
	return rate, true
}

// failed has the next probe wait, longer every time.
func (p *prober) failed(at time.Duration) {
	p.sending, p.waiting = false, false
	p.backoff = min(max(2*p.backoff, probeAgain), probeAgainMax)
	p.next = at + p.backoff
}
