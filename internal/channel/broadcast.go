package channel

import (
	"strings"
	"sync"
	"time"

	"belfry.live/belfry/internal/channel/packager"
)

// A Broadcast is what viewers load under one set of playlists: the media of one
// publisher, and of those who took over from it in time.
type Broadcast struct {
	Channel ID
	Run     string // names it in URLs, so that no cache mixes two
	*packager.Packager
	Audience
}

// viewerWindow is how long a viewer counts after being seen.
const viewerWindow = 15 * time.Second

// maxViewers is how many sessions an Audience tells apart; it counts no more.
const maxViewers = 100_000

// An Audience counts viewers by the sessions that they name in their requests.
type Audience struct {
	mu   sync.Mutex // guards seen
	seen map[string]time.Time
}

// Saw notes a request of the session.
func (a *Audience) Saw(session string, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.seen == nil {
		a.seen = map[string]time.Time{}
	}
	if _, known := a.seen[session]; known {
		a.seen[session] = now
	} else if len(a.seen) < maxViewers {
		a.seen[strings.Clone(session)] = now // it may be a part of a long URL
	}
}

// Viewers counts the sessions seen of late.
func (a *Audience) Viewers(now time.Time) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	for session, t := range a.seen {
		if now.Sub(t) > viewerWindow {
			delete(a.seen, session)
		}
	}
	return len(a.seen)
}
