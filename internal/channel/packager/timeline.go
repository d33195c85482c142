package packager

import (
	"fmt"
	"time"
)

// Limits of what a publisher's timestamps may do without a new epoch.
const (
	backLimit    = time.Second      // samples this much too early are put right behind the one before
	forwardLimit = 10 * time.Second // what a pause may last
	clockBlock   = 30 * time.Second // in which the promptest sample tells the time
	clockDrift   = time.Second      // how wrong the wall clock of the playlists may get
)

// An epoch is a stretch of media whose timestamps are on one clock. Between two
// epochs the playlists have a discontinuity, in every rendition.
type epoch struct {
	n     int           // counts them, from 1
	from  time.Duration // the publisher's timestamp at which it begins
	shift time.Duration // added to the publisher's timestamps makes media time
	// continues says that the clock is the one of the epoch before: what is
	// earlier than from belongs there.
	continues bool
}

// restarts limits how often a publisher's clock may jump.
type restarts struct {
	since time.Time
	count int
}

const maxRestarts = 20 // a minute

// beginEpoch starts an epoch at the publisher's timestamp. Media time goes on
// as the wall clock does, so that it never repeats and the gap between two
// publishers shows in it.
func (p *Packager) beginEpoch(now time.Time, from time.Duration, continues bool) error {
	if now.Sub(p.restart.since) > time.Minute {
		p.restart = restarts{since: now}
	}
	if p.restart.count++; p.restart.count > maxRestarts {
		return p.fail(fmt.Errorf("%w: %d jumps in a minute", ErrTimestamps, maxRestarts))
	}
	e := epoch{n: p.epoch.n + 1, from: from, shift: p.epoch.shift, continues: continues}
	switch {
	case continues:
	case e.n == 1:
		p.clock.set(now, from)
	default:
		media := max(now.Sub(p.clock.zero), p.video.end(), p.audio.end()).Truncate(time.Millisecond) + time.Millisecond
		e.shift = media - from
		p.clock.watch(now)
		p.cuts = nil
	}
	p.epoch = e
	return nil
}

// place finds the sample's epoch and hands it to its track with media time.
func (p *Packager) place(t *track, now time.Time, s Sample) error {
	split := t.split || p.clock.wrong && t.main()
	if split && t.began && t.epoch == p.epoch.n && (t == p.audio || s.KeyFrame) {
		// The codec's configuration or the wall clock has changed; the
		// publisher's clock goes on.
		t.split = false
		p.clock.correct(now)
		if err := p.beginEpoch(now, s.DTS, true); err != nil {
			return err
		}
	}
	if t.began && t.epoch == p.epoch.n {
		if d := s.DTS - t.lastDTS; d < -backLimit || d > forwardLimit {
			if err := p.beginEpoch(now, s.DTS, false); err != nil {
				return err
			}
		}
	}
	if !t.began || t.epoch != p.epoch.n {
		old := p.epoch.continues && t.began && t.epoch == p.epoch.n-1
		switch d := s.DTS - p.position(t); {
		case old && (s.DTS < p.epoch.from || t == p.video && !s.KeyFrame):
			// It still belongs to the epoch before.
		case d < -forwardLimit || d > forwardLimit:
			if t.strays++; t.strays > maxStrays {
				return p.fail(fmt.Errorf("%w: %s is %v from the other", ErrTimestamps, t.name, d))
			}
			p.stats.OutOfTime.Add(1)
			return nil
		case t == p.video && !s.KeyFrame:
			p.stats.NoKeyFrame.Add(1)
			return nil
		default:
			t.join(p.epoch, s.DTS+p.epoch.shift)
		}
	}
	if t.split { // of the new configuration, before its first key frame
		p.stats.NoKeyFrame.Add(1)
		return nil
	}
	t.strays = 0
	t.lastDTS = s.DTS
	media := s.DTS + t.shift
	p.clock.observe(now, media)
	if t == p.video {
		return p.writePicture(media, s)
	}
	return p.writeSound(media, s)
}

// position returns the publisher's timestamp at which the epoch is, as the
// other track than t tells it.
func (p *Packager) position(t *track) time.Duration {
	other := p.video
	if t == p.video {
		other = p.audio
	}
	if other.began && other.epoch == p.epoch.n {
		return other.lastDTS
	}
	return p.epoch.from
}

// maxStrays is how many samples of one track in a row may be off the clock of
// the other: about 10 s of them.
const maxStrays = 500

// A clock relates media time to the wall clock, by the samples that came with
// the least delay. Players compare the wall clock times of renditions and add
// segments' durations to them, so within an epoch nothing of it may move.
type clock struct {
	zero time.Time // wall clock at media time 0, in whole milliseconds

	since time.Time     // when the present block of samples began
	least time.Duration // delay in it
	any   bool          // there were samples in it
	// wrong says that the publisher's clock and ours have drifted apart so
	// far, by least, that an epoch should begin.
	wrong bool
}

func (c *clock) set(now time.Time, media time.Duration) {
	c.zero = now.Add(-media).Truncate(time.Millisecond)
	c.watch(now)
}

// watch begins a block.
func (c *clock) watch(now time.Time) { c.since, c.any, c.wrong = now, false, false }

// observe takes a sample's arrival. No sample arrives before it is made, so the
// promptest of a block tells the time.
func (c *clock) observe(now time.Time, media time.Duration) {
	if c.wrong {
		return
	}
	delay := now.Sub(c.zero) - media
	if !c.any || delay < c.least {
		c.least, c.any = delay, true
	}
	if now.Sub(c.since) < clockBlock {
		return
	}
	if c.least.Abs() > clockDrift {
		c.wrong = true
		return
	}
	c.watch(now)
}

// correct sets the clock right if it is wrong.
func (c *clock) correct(now time.Time) {
	if c.wrong {
		c.zero = c.zero.Add(c.least).Truncate(time.Millisecond)
		c.watch(now)
	}
}

// at returns the wall clock at a media time.
func (c *clock) at(media time.Duration) time.Time { return c.zero.Add(media) }
