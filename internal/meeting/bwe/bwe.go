// Package bwe estimates, on the sending side, how much one client can receive,
// and decides when which packets may go. What was sent, and what the client
// says of it (transport-wide feedback, receiver reports, REMB) comes in; an
// estimate, a pace and padding to probe with come out. It has no socket and no
// clock: every call says what time it is. Which layers fit into the estimate is
// left to package allot, stamping and sending to package rtc.
package bwe

import "time"

// A Kind says what a packet carries. Lower kinds go before higher ones.
type Kind uint8

// The kinds.
const (
	Audio  Kind = iota // is never held back
	Resend             // of a video packet that got lost
	Video
	Padding // what a probe has in addition to media
)

// A Config bounds the estimate, in bit/s. Zero means the default.
type Config struct {
	Start, Min, Max int
}

// The defaults of a Config.
const (
	DefaultStart = 600_000
	DefaultMin   = 60_000
	DefaultMax   = 30_000_000
)

const (
	defaultRTT = 100 * time.Millisecond
	maxRTT     = 2 * time.Second // more than that is no help in waiting

	// staleREMB is how long a REMB bounds the estimate; clients repeat them
	// about once a second.
	staleREMB = 5 * time.Second

	// blindAfter is how long a client that sends receiver reports may send no
	// transport-wide feedback, until it is clear that it never will.
	blindAfter = 2 * time.Second

	// A client that has sent feedback and stops is likely to be unreachable:
	// one that is only busy seldom stops for so long.
	silentAfter = 2500 * time.Millisecond
	silentEvery = time.Second
	silentCut   = 0.5

	// silentLoss is which part more than usual of what was sent meanwhile may
	// be lost if it was only busy after all.
	silentLoss = 0.1

	// forgetAfter is how long the estimate must have been all that is wanted
	// until it no longer counts that the path was once too narrow.
	forgetAfter = 15 * time.Second

	// idleGrowth is by what the estimate grows with every probe for which
	// there was nothing to send.
	idleGrowth = 1.15
)

// A Controller decides how much is sent to one client. It is not safe for
// concurrent use, and times must not go backwards.
type Controller struct {
	min, max float64
	start    time.Time

	history history
	groups  groups
	trend   trend
	queue   queue
	rate    aimd  // delay-based
	loss    lossy // loss-based
	arrived meter // what the client has received
	left    meter // what was sent to it
	pace    pacer
	again   share // of packets sent again
	probe   prober

	wanted     float64 // bit/s
	rtt        time.Duration
	remb       float64
	rembAt     time.Duration
	rembSeen   bool
	feedbackAt time.Duration // the newest transport-wide feedback
	fed        bool          // there was one
	numbered   time.Duration // when the first packet with a number was sent
	blind      bool          // the client tells nothing but what got lost
	silentAt   time.Duration // the last cut for silence
	silent     bool          // nothing was heard since then
	narrow     bool          // the path was, for what is wanted
	easySince  time.Duration // the estimate is all that is wanted
}

// New returns a controller that nothing was sent by yet.
func New(cfg Config, now time.Time) *Controller {
	if cfg.Start <= 0 {
		cfg.Start = DefaultStart
	}
	if cfg.Min <= 0 {
		cfg.Min = DefaultMin
	}
	if cfg.Max <= 0 {
		cfg.Max = DefaultMax
	}
	c := &Controller{min: float64(cfg.Min), max: float64(cfg.Max), start: now, rtt: defaultRTT}
	c.trend.reset()
	c.rate.current = min(max(float64(cfg.Start), c.min), c.max)
	c.pace.set(c.rate.current, false)
	c.again.set(c.rate.current)
	return c
}

func (c *Controller) since(now time.Time) time.Duration { return now.Sub(c.start) }

// Estimate returns how many bit/s the client can receive, all packets counted
// with their RTP headers.
func (c *Controller) Estimate(now time.Time) int { return int(c.estimate(c.since(now))) }

func (c *Controller) estimate(at time.Duration) float64 {
	e := c.loss.bound(c.rate.current)
	if c.rembSeen && at-c.rembAt < staleREMB {
		e = min(e, c.remb)
	}
	return min(max(e, c.min), c.max)
}

// Congested says whether more was sent lately than the client could receive, or
// its REMB says that it cannot receive what is wanted. Else the estimate may
// only be low because nothing more was tried.
func (c *Controller) Congested() bool { return c.narrow || c.silent }

// judge follows whether the path is too narrow for what is wanted.
func (c *Controller) judge(at time.Duration, estimate float64) {
	full := c.rate.dropped && c.rate.lastDrop == at || c.loss.full ||
		c.rembSeen && at-c.rembAt < staleREMB && c.remb < c.wanted
	c.loss.full = false
	switch {
	case estimate < c.wanted:
		c.narrow = c.narrow || full
		c.easySince = at
	case at-c.easySince >= forgetAfter:
		c.narrow = false
	}
}

// Loss returns which part of the packets gets lost whatever the rate, 0 to 1.
func (c *Controller) Loss() float64 { return c.loss.inherent }

// SetWanted tells what would be sent, in bit/s, if the client could take it.
// As long as that is above the estimate, the controller probes for more.
func (c *Controller) SetWanted(bps int) { c.wanted = float64(bps) }

// SetRTT tells the round trip time.
func (c *Controller) SetRTT(d time.Duration) { c.rtt = min(max(d, time.Millisecond), maxRTT) }

// Sent takes a packet that goes now and returns its transport-wide sequence
// number. Size is that of the RTP packet.
func (c *Controller) Sent(kind Kind, size int, now time.Time) uint16 {
	at := c.since(now)
	c.spend(kind, size, at)
	if c.history.ring == nil {
		c.numbered = at
	}
	return c.history.add(at, size, c.probe.sent(at, size))
}

// Unnumbered takes a packet that goes now without a sequence number, to a
// client without transport-wide feedback. As long as that tells of no loss, and
// sends no REMB, it is sent all it wants.
func (c *Controller) Unnumbered(kind Kind, size int, now time.Time) {
	at := c.since(now)
	c.goBlind()
	c.spend(kind, size, at)
	c.probe.sent(at, size)
}

func (c *Controller) spend(kind Kind, size int, at time.Duration) {
	c.left.add(at, size)
	c.pace.spend(at, size)
	if kind == Resend {
		c.again.spend(at, size)
	}
}

func (c *Controller) goBlind() {
	if !c.blind && !c.fed && !c.rembSeen {
		c.blind = true
		c.rate.current = c.max
		c.pace.set(c.max, false)
	}
}

// Allowed says whether a packet of that kind may go now. Audio always may.
func (c *Controller) Allowed(kind Kind, now time.Time) bool {
	at := c.since(now)
	probe := c.probe.pace(at)
	switch {
	case kind == Audio:
		return true
	case kind == Resend && probe == 0 && !c.again.allows(at):
		return false
	}
	return c.pace.allows(at, probe)
}

// Room returns how many bytes of video, and how many of what is sent again, may
// wait: more would be late anyway, and are better not sent at all.
func (c *Controller) Room() (video, again int) { return c.pace.backlog(), c.again.backlog() }

// Next returns when Allowed is worth asking again.
func (c *Controller) Next(now time.Time) time.Time {
	return now.Add(c.pace.wait(c.since(now)))
}

// Padding returns how many bytes a probe wants to be sent now in addition to
// the media; call it when no media waits. Probing says whether a probe is
// under way, so that it is worth asking again soon.
func (c *Controller) Padding(now time.Time) (size int, probing bool) {
	at := c.since(now)
	if !c.probe.active(at) {
		return 0, false
	}
	if !c.pace.allows(at, c.probe.pace(at)) {
		return 0, true
	}
	return c.pace.room(at), true
}

// Tick does what time asks for. Call it about 20 times a second.
func (c *Controller) Tick(now time.Time) {
	at := c.since(now)
	if c.fed && c.history.waitingSince(at) > silentAfter+c.rtt && at-c.feedbackAt > silentAfter+c.rtt && at-c.silentAt >= silentEvery {
		c.silentAt, c.silent = at, true
		c.rate.silence(silentCut, c.min)
		c.trend.reset()
		c.groups = groups{}
		c.probe.failed(at)
	}
	idle := c.probe.tick(at, c.estimate(at), c.wanted, c.max, c.rate.calm(at, c.rtt) && !c.loss.testing)
	if idle {
		// All is paused: somebody has to try.
		c.rate.current = min(c.rate.current*idleGrowth, max(c.wanted, c.rate.current))
	}
	e := c.estimate(at)
	c.pace.set(e, !c.rate.calm(at, c.rtt))
	c.again.set(e)
	c.judge(at, e)
}

// Feedback takes what the client says about when packets have arrived.
func (c *Controller) Feedback(f Feedback, now time.Time) {
	at := c.since(now)
	if c.blind { // it does tell after all
		c.blind = false
		c.rate.current = min(c.rate.current, max(c.loss.bound(c.max), DefaultStart))
	}
	c.feedbackAt, c.fed = at, true
	usage := normal
	overused := false
	var newest int64
	var told, missed int
	f.each(func(seq uint16, got bool, arrival time.Duration) {
		p, ok := c.history.report(seq, got)
		if !ok {
			return
		}
		newest = max(newest, p.seq)
		told++
		if !got {
			missed++
			c.probe.missed(p.cluster)
			return
		}
		arrival = c.history.unwrap(arrival)
		c.arrived.add(arrival, int(p.size))
		late := c.queue.add(p.sent, arrival)
		c.probe.arrived(p, arrival, late)
		if g, ok := c.groups.add(p.sent, arrival); ok {
			usage = c.trend.add(g)
			overused = overused || usage == over
		}
	})
	if overused {
		usage = over
	}
	if !c.queue.stands() && c.loss.high == 0 {
		// The client was busy, or the path jitters: sending less would not
		// help. A short queue that overflows never stands, but loses packets.
		usage, overused = normal, false
	}
	received, seen := c.arrived.rate()
	if overused {
		received, seen = c.arrived.peak()
		if c.probe.filling(at, c.rtt) {
			usage = under // wait until it is empty
		}
	}
	received /= 1 - c.loss.inherent // what gets lost anyway counts as sent
	if c.silent {
		c.silent = false
		whole := float64(missed) <= (c.loss.inherent+silentLoss)*float64(told)
		c.rate.heard(whole)
		c.narrow = c.narrow || !whole
	}
	c.rate.update(usage, received, seen, at, c.rtt)
	c.rate.current = min(max(c.rate.current, c.min), c.max)
	c.history.settle(newest, func(p sent, got bool) { c.loss.count(p, got) })
	c.loss.judge(at, c.rtt, c.rate.current)
	if rate, ok := c.probe.result(at, c.rtt, c.loss.inherent); ok {
		c.rate.probed(rate, c.max, at)
		c.loss.lift(rate)
	}
	c.Tick(now)
}

// REMB takes the client's own estimate (draft-alvestrand-rmcat-remb). It bounds
// ours, and is the estimate itself if there is no transport-wide feedback.
func (c *Controller) REMB(bps int, now time.Time) {
	c.remb, c.rembAt, c.rembSeen = float64(max(bps, 0)), c.since(now), true
	if !c.fed {
		c.rate.current = min(max(c.remb, c.min), c.max)
	}
	c.Tick(now)
}

// Report takes a receiver report (RFC 3550, section 6.4): which part of how
// many packets got lost since the last one. With transport-wide feedback it
// says nothing new.
func (c *Controller) Report(lost float64, packets int, now time.Time) {
	if c.fed || packets <= 0 {
		return
	}
	at := c.since(now)
	if c.history.ring != nil && at-c.numbered < blindAfter+c.rtt {
		return // feedback may still come
	}
	c.goBlind()
	if sent, ok := c.left.rate(); ok {
		c.loss.observe(lost, packets, sent, at, c.rtt, c.rate.current)
	}
	c.Tick(now)
}
