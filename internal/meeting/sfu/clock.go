package sfu

import "time"

// A clock maps a publisher's RTP timestamps to the server's time.
//
// Best is what the publisher itself says in its sender reports, moved by the
// offset that the mixer knows from the same publisher's audio. Until both are
// there the arrival of frames stands in; of these the least delayed count.
type clock struct {
	reported   bool
	reportNTP  time.Time // publisher's clock
	reportRTP  uint32
	haveOffset bool
	offset     time.Duration

	seen    bool
	seenAt  time.Time // server's clock
	seenRTP uint32
}

// drift is how fast the arrival mapping gives way to later frames: a delay
// that stays is taken over within a few hundred frames.
const drift = 256

func (c *clock) report(ntp time.Time, rtp uint32) {
	c.reported, c.reportNTP, c.reportRTP = true, ntp, rtp
}

func (c *clock) setOffset(o time.Duration) { c.haveOffset, c.offset = true, o }

// arrived takes the arrival of the first packet of a frame.
func (c *clock) arrived(rtp uint32, at time.Time) {
	if !c.seen {
		c.seen, c.seenAt, c.seenRTP = true, at, rtp
		return
	}
	expected := c.seenAt.Add(ticksToDuration(int64(int32(rtp - c.seenRTP))))
	if late := at.Sub(expected); late > 0 {
		expected = expected.Add(late / drift)
	} else {
		expected = at
	}
	c.seenAt, c.seenRTP = expected, rtp
}

// restart forgets everything but the offset: the timestamps are new.
func (c *clock) restart() { c.reported, c.seen = false, false }

func (c *clock) timestampAt(now time.Time) (uint32, bool) {
	switch {
	case c.reported && c.haveOffset:
		return c.reportRTP + uint32(durationToTicks(now.Sub(c.reportNTP)-c.offset)), true
	case c.seen:
		return c.seenRTP + uint32(durationToTicks(now.Sub(c.seenAt))), true
	}
	return 0, false
}

// lag returns what to add to the timestamps of c to get those of o for what
// was taken at the same time. Both are clocks of one client, so its own reports
// say it best; else frames that came at the same time count.
func (c *clock) lag(o *clock) (uint32, bool) {
	switch {
	case c.reported && o.reported:
		return o.reportRTP - c.reportRTP + uint32(durationToTicks(c.reportNTP.Sub(o.reportNTP))), true
	case c.seen && o.seen:
		return o.seenRTP - c.seenRTP + uint32(durationToTicks(c.seenAt.Sub(o.seenAt))), true
	}
	return 0, false
}

func ticksToDuration(ticks int64) time.Duration {
	return time.Duration(ticks) * time.Second / clockRate
}

func durationToTicks(d time.Duration) int64 {
	return int64(d/time.Second)*clockRate + int64(d%time.Second)*clockRate/int64(time.Second)
}
