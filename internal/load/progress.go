package load

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// showProgress writes a line every few seconds until ctx ends.
func (r *run) showProgress(ctx context.Context, began time.Time) {
	tick := time.NewTicker(progressInterval)
	defer tick.Stop()
	last, lastAt := r.totals(), began
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			t := r.totals()
			seconds := now.Sub(lastAt).Seconds()
			line := fmt.Sprintf("%3.0f s: %d in, %d failed; audio %.0f packets/s",
				now.Sub(began).Seconds(), t.in, t.failed, float64(t.audio-last.audio)/seconds)
			if t.videos > 0 {
				line += fmt.Sprintf("; %d videos, %.1f Mbit/s, %.0f pictures/s",
					t.videos, float64(t.bytes-last.bytes)*8/1e6/seconds, float64(t.frames-last.frames)/seconds)
			}
			if t.gaps+t.freezes+t.lost > 0 {
				line += fmt.Sprintf("; %d gaps, %d freezes, %d packets lost", t.gaps, t.freezes, t.lost)
			}
			tell(r.cfg.Progress, "%s", line)
			last, lastAt = t, now
		}
	}
}

// totals are sums over all attendees: media since they came, the others since
// the measuring began.
type totals struct{ in, failed, audio, videos, bytes, frames, gaps, freezes, lost int }

func (r *run) totals() (t totals) {
	for _, p := range r.people {
		p.mu.Lock()
		switch {
		case p.left:
			t.failed++
		case !p.joined.IsZero():
			t.in++
		}
		t.audio += p.heard
		t.gaps += p.ear.Gaps
		t.lost += p.ear.Lost
		t.bytes += p.watched
		t.frames += p.pictures
		for _, e := range p.eyes {
			t.videos++
			t.freezes += e.Freezes
			t.lost += e.Lost
		}
		p.mu.Unlock()
	}
	return t
}

// A lagMeter notes how late timers are, and so how far what is measured can be
// believed.
type lagMeter struct {
	mu      sync.Mutex
	buckets [delayBuckets]uint32 // of a millisecond
}

const lagInterval = 10 * time.Millisecond

func (m *lagMeter) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		due := time.Now().Add(lagInterval)
		timer.Reset(lagInterval)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		late := int(time.Since(due) / time.Millisecond)
		m.mu.Lock()
		m.buckets[min(max(late, 0), delayBuckets-1)]++
		m.mu.Unlock()
	}
}

func (m *lagMeter) reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.buckets[:])
}

func (m *lagMeter) quantiles() Quantiles {
	m.mu.Lock()
	defer m.mu.Unlock()
	return spread(m.buckets[:])
}
