package sfu

import (
	"sync"
	"time"
)

const (
	// keyFrameInterval is the shortest time between two requests to one
	// source. A key frame is worth about ten others, so answering a storm of
	// requests costs at most about half of the bitrate again, and somebody
	// who just missed one waits no longer than half a second. Browsers do not
	// answer more often than every 300 ms either, for all layers together.
	keyFrameInterval = 500 * time.Millisecond

	// together is how long after a request the other layers may still make
	// theirs: a tick asks for all of them.
	together = 20 * time.Millisecond
)

// A Source stands for one picture that is published, in one encoding or in
// several: publishers that share a Source are layers of each other.
type Source struct {
	mu    sync.Mutex // guards asked; nothing is locked inside
	asked time.Time  // when one of the layers was last asked for a key frame
}

// mayAsk reports whether a layer that was last asked at a time may be asked
// again now.
func (s *Source) mayAsk(last, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	since := now.Sub(s.asked)
	if since >= keyFrameInterval {
		s.asked = now
		return true
	}
	return since <= together && last.Before(s.asked)
}

// RequestKeyFrame asks the publisher for a key frame. Requests are throttled;
// one that comes too early is made later, and it is repeated until a key frame
// starts.
func (p *Publisher) RequestKeyFrame() { p.requestKeyFrame(time.Now(), true) }

func (p *Publisher) requestKeyFrame(now time.Time, want bool) {
	p.mu.Lock()
	p.wantKey = p.wantKey || want
	due := p.wantKey && !p.closed && p.source.mayAsk(p.askedForKey, now)
	if due {
		p.askedForKey = now
	}
	p.mu.Unlock()
	if due && p.ask != nil {
		p.ask()
	}
}
