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

func ticksToDuration(ticks int64) time.Duration {
	return time.Duration(ticks) * time.Second / clockRate
}

func durationToTicks(d time.Duration) int64 {
	return int64(d/time.Second)*clockRate + int64(d%time.Second)*clockRate/int64(time.Second)
}

// A meter counts over windows of about a second.
type meter struct {
	since  time.Time
	bytes  int
	frames int
}

func (m *meter) add(bytes int, frame bool) {
	m.bytes += bytes
	if frame {
		m.frames++
	}
}

// roll ends the window when it is long enough and writes what it saw to s.
func (m *meter) roll(now time.Time, s *Stats) {
	if m.since.IsZero() {
		m.since = now
		return
	}
	took := now.Sub(m.since)
	if took < time.Second {
		return
	}
	s.Bitrate = int(float64(m.bytes*8) / took.Seconds())
	s.FrameRate = float64(m.frames) / took.Seconds()
	*m = meter{since: now}
}
