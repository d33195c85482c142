package channel

import (
	"fmt"
	"sync"
	"time"

	"belfry.live/belfry/internal/channel/packager"
)

// What AWS lets a publisher send.
const (
	maxPixels     = 1920 * 1088 // 1080p in whole macroblocks
	maxEdge       = 1920        // pixels
	basicSD       = 480         // lines up to which a BASIC channel has the lower limit
	basicLow      = 1_500_000   // bit/s
	basicHigh     = 3_500_000
	standardLimit = 8_500_000
)

// maxBitrate returns what a publisher may send on a channel of the type, in
// bit/s, with pictures of that size.
func maxBitrate(kind string, width, height int) int64 {
	switch {
	case kind != "BASIC":
		return standardLimit
	case min(width, height) <= basicSD:
		return basicLow
	}
	return basicHigh
}

// beyondSize returns what a picture's size is measured by, or ok if it is not
// too large.
func beyondSize(width, height int) (b Breach, ok bool) {
	switch edge := max(width, height); {
	case edge > maxEdge:
		return Breach{Limit: maxEdge, ExceededBy: int64(edge - maxEdge), Unit: "pixels per edge"}, false
	case width*height > maxPixels:
		return Breach{Limit: maxPixels, ExceededBy: int64(width*height - maxPixels), Unit: "pixels"}, false
	}
	return Breach{}, true
}

// meterWindow is the time over which a publisher's bitrate is measured: long
// enough for key frames and what piles up in a short pause not to count.
const meterWindow = 10 * time.Second

// A meter measures a publisher's bitrate.
type meter struct {
	since time.Time
	first time.Duration // media time
	bytes int64
}

// add counts a sample that arrived now. It returns the bitrate of the window
// when one is full.
func (m *meter) add(now time.Time, dts time.Duration, size int) (rate int64, full bool) {
	if m.since.IsZero() {
		m.since, m.first = now, dts
	}
	m.bytes += int64(size)
	took := now.Sub(m.since)
	if took < meterWindow {
		return 0, false
	}
	// What the network held back comes all at once: by the media's own time it
	// is no more than usual. Timestamps that run away prove nothing.
	took = max(took, min(dts-m.first, 2*took))
	rate = 8 * m.bytes * int64(time.Second) / int64(took)
	*m = meter{since: now, first: dts}
	return rate, true
}

// seats bounds the publishers of every owner.
type seats struct {
	max int

	mu    sync.Mutex // guards taken; nothing is called with it held
	taken map[Owner]int
}

func (s *seats) take(o Owner) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken == nil {
		s.taken = map[Owner]int{}
	}
	if s.taken[o] >= s.max {
		return false
	}
	s.taken[o]++
	return true
}

func (s *seats) give(o Owner) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[o]--; s.taken[o] == 0 {
		delete(s.taken, o)
	}
}

// checkLimits cuts the publisher off if it sends more than the channel's type
// allows; l.mu is held.
func (s *Service) checkLimits(l *live, p *publication, sample packager.Sample, now time.Time) error {
	if s.cfg.NoIngestLimits {
		return nil
	}
	if b, ok := beyondSize(p.in.Width, p.in.Height); !ok {
		return s.breach(l, IngestResolution, b, now)
	}
	rate, full := p.meter.add(now, sample.DTS, len(sample.Data))
	if limit := maxBitrate(l.channel.Type, p.in.Width, p.in.Height); full && rate > limit {
		return s.breach(l, IngestBitrate, Breach{Limit: limit, ExceededBy: rate - limit, Unit: "bits per second"}, now)
	}
	return nil
}

// breach tells that the publisher passed a limit and cuts it off; l.mu is held.
func (s *Service) breach(l *live, name string, b Breach, now time.Time) error {
	err := fmt.Errorf("%s: %d %s is the limit, got %d more", name, b.Limit, b.Unit, b.ExceededBy)
	e := l.event(l.runID(), LimitBreach, name, now)
	e.Breach, e.Reason = &b, err.Error()
	s.recorder.happened(e)
	s.log.Warn("a publisher is cut off that passed a limit", "channel", l.channel.ID, "err", err)
	s.leave(l, now, err.Error())
	s.end(l, now)
	return err
}

// countViewers tells of owners with more viewers than they may have.
func (s *Service) countViewers(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	viewers := map[Owner]int{}
	for _, l := range s.lives {
		l.mu.Lock()
		if l.broadcast != nil && l.on(now) {
			viewers[l.channel.Owner()] += l.broadcast.Viewers(now)
		}
		l.mu.Unlock()
	}
	for _, l := range s.lives {
		l.mu.Lock()
		s.crowd(l, viewers[l.channel.Owner()], now)
		l.mu.Unlock()
	}
}

// crowd tells of a live channel, once, that its owner has too many viewers;
// l.mu is held.
func (s *Service) crowd(l *live, viewers int, now time.Time) {
	extra := viewers - s.cfg.MaxViewers
	switch {
	case extra <= 0:
		l.crowded = false
	case !l.crowded && l.on(now):
		l.crowded = true
		e := l.event(l.air.ID, LimitBreach, ConcurrentViewers, now)
		e.Breach = &Breach{Limit: int64(s.cfg.MaxViewers), ExceededBy: int64(extra), Unit: "viewers"}
		s.recorder.happened(e)
	}
}
