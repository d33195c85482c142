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

	// probeStop: a packet of a probe that is less late than one before it, by
	// so much, shows that the client has stopped in between. A queue that a
	// probe fills only grows.
	probeStop = 15 * time.Millisecond
	// probeRetry is how long the next probe waits for if that spoiled one, and
	// probeRetries how often in a row it may.
	probeRetry   = 200 * time.Millisecond
	probeRetries = 10

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

	// For when that line says nothing, since the client has stopped.
	got     int           // bytes
	latest  time.Duration // how late a packet was at most
	stopped bool
	proven  float64 // bit/s that the path has carried at least
	retries int

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
	p.got, p.latest, p.stopped, p.proven = 0, 0, false, 0
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

// arrived takes a packet, and how much longer its way was than the shortest.
func (p *prober) arrived(k packet, arrived, late time.Duration) {
	if k.cluster == 0 || k.cluster != p.id || !p.sending && !p.waiting {
		return
	}
	if p.n == 0 {
		p.origin, p.originArr = k.sent, arrived
	}
	p.latest = max(p.latest, late)
	p.stopped = p.stopped || late < p.latest-probeStop
	if took := k.sent - p.began; took >= probeTime/2 {
		// Whenever the client has read it: by then all before it was through.
		p.proven = max(p.proven, float64(p.got)*8/(took+late).Seconds())
	}
	p.got += int(k.size)
	x, y := (k.sent - p.origin).Seconds(), (arrived - p.originArr).Seconds()
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
	if p.stopped {
		rate = p.proven
	}
	rate = min(rate, p.target)
	if p.stopped && rate < probeGood*p.target && p.retries < probeRetries {
		p.retries++
		p.next = at + probeRetry
		return rate, true
	}
	p.retries = 0
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
