package channel

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"belfry.live/belfry/internal/channel/ingest"
)

const (
	// maxTakeovers is how often a stream may get another publisher by priority.
	maxTakeovers = 100
	// challengeTime is how long a publisher that wants to take over may take
	// to show that its media fits.
	challengeTime = 10 * time.Second
)

var errMismatch = errors.New("picture or sound are not like the stream's: resolution and codecs must be the same")

// parsePriority reads the priority that a publisher asks for; 0 is none.
func parsePriority(query url.Values) (int64, error) {
	if !query.Has("priority") {
		return 0, nil
	}
	text := query.Get("priority")
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("priority must be a whole number from 1 to 2147483647: %.20q", text)
	}
	return n, nil
}

// challenge lets p try to take over from the publisher; l.mu is held.
func (s *Service) challenge(l *live, p *publication, now time.Time) error {
	rival := l.publisher.priority
	if l.challenger != nil {
		rival = max(rival, l.challenger.priority)
	}
	switch {
	case p.badPriority != nil:
		s.takeoverFailed(l, CodeInvalidPriority, p.badPriority.Error(), now)
		return ingest.ErrBusy
	case p.priority == 0:
		return ingest.ErrBusy
	case p.priority <= rival:
		s.takeoverFailed(l, CodeInvalidPriority, fmt.Sprintf("priority %d is not higher than %d", p.priority, rival), now)
		return ingest.ErrBusy
	case l.run != nil && l.run.takeovers >= maxTakeovers:
		s.takeoverFailed(l, CodeTakeoverLimit, fmt.Sprintf("the stream was taken over %d times, the limit", maxTakeovers), now)
		return ingest.ErrBusy
	}
	if l.challenger != nil {
		close(l.challenger.stopped)
	}
	l.challenger = p
	return nil
}

// takeoverFailed tells that a publisher could not take over.
func (s *Service) takeoverFailed(l *live, code, reason string, now time.Time) {
	if l.run == nil || !l.often(TakeoverFailure+code, now) {
		return
	}
	e := l.event(l.run.ID, StateChange, TakeoverFailure, now)
	e.Code, e.Reason = code, reason
	s.recorder.happened(e)
}

// refuseTakeover cuts the challenger off; l.mu is held.
func (s *Service) refuseTakeover(l *live, p *publication, code, reason string, now time.Time) {
	s.log.Warn("a publisher may not take over", "channel", l.channel.ID, "remote", p.remote, "err", reason)
	s.takeoverFailed(l, code, reason, now)
	close(p.stopped)
	l.challenger = nil
}

// advance looks whether the challenger can take over with the sample that it
// sent, and reports whether it is the publisher now; l.mu is held. Until then
// the stream is the other's.
func (s *Service) advance(l *live, p *publication, keyFrame bool, now time.Time) (bool, error) {
	old := l.publisher
	if old == nil { // the other has gone meanwhile
		if !s.seats.take(l.channel.Owner()) {
			close(p.stopped)
			l.challenger = nil
			return false, ingest.ErrTooMany
		}
		l.challenger = nil
		s.enter(l, p)
		s.begin(l, now)
		return true, p.introduce(l, now)
	}
	if !p.like(old) {
		s.refuseTakeover(l, p, CodeMediaMismatch, errMismatch.Error(), now)
		return false, errMismatch
	}
	if !keyFrame || old.hasAudio && !p.hasAudio {
		return false, nil
	}
	close(old.stopped)
	l.challenger = nil
	s.enter(l, p)
	if l.run != nil {
		l.run.takeovers++
		e := l.event(l.run.ID, StateChange, StreamTakeover, now)
		e.Reason = fmt.Sprintf("priority %d", p.priority)
		s.recorder.happened(e)
	}
	s.log.Info("a publisher of a higher priority takes over", "channel", l.channel.ID, "remote", p.remote)
	return true, p.introduce(l, now)
}

// like tells whether what p has shown of its media is like other's.
func (p *publication) like(other *publication) bool {
	if p.hasVideo && other.hasVideo &&
		(p.video.Width != other.video.Width || p.video.Height != other.video.Height || p.video.Profile != other.video.Profile) {
		return false
	}
	if p.hasAudio && (other.hasVideo && !other.hasAudio || other.hasAudio && p.audio != other.audio) {
		return false
	}
	return true
}

// introduce tells the broadcast what the publisher sends; l.mu is held.
func (p *publication) introduce(l *live, now time.Time) error {
	var err error
	if p.hasVideo {
		err = l.broadcast.SetVideo(p.video)
	}
	if err == nil && p.hasAudio {
		err = l.broadcast.SetAudio(p.audio)
	}
	if err != nil {
		return p.fail(err, now)
	}
	return nil
}
