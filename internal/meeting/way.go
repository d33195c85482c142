package meeting

import (
	"time"

	"belfry.live/belfry/internal/meeting/signal"
	"belfry.live/belfry/internal/wire/chime"
)

// A Relay is a TURN server, for those whom the media port does not reach.
type Relay interface {
	// Credentials let the attendee use it for a while.
	Credentials(attendee string, now time.Time) (username, password string, ttl time.Duration)
	// URIs are what clients are told (RFC 7065).
	URIs() []string
}

// relayTag is the tag of a meeting that says how its attendees' media goes:
// "always" or "never" by TURN.
const relayTag = "belfry:relay"

// patience is how long a client must have tried to connect for its failure to
// say anything about its network. Clients give up after 15 s.
const patience = 5 * time.Second

// welcome returns what s is told when it joins.
func (r *room) welcome(s *seat, f *chime.JoinFrame) signal.Welcome {
	w := signal.Welcome{
		Compress:   !r.cfg.PlainSDP,
		Adaptation: adaptationFor(f),
		VideoLimit: videoLimit,
	}
	if r.cfg.Relay == nil || !r.byRelay(s) {
		return w
	}
	s.relayed = true
	s.log.Info("attendee is sent to the relay")
	r.service.counts.relayed.Add(1)
	w.Username, w.Password, w.TTL = r.cfg.Relay.Credentials(string(s.attendee.ID), time.Now())
	w.URIs = r.cfg.Relay.URIs()
	return w
}

// byRelay says whether s's media goes by TURN. A client that is told of a
// relay uses nothing else, so one is told of it that could not connect
// without, or that somebody said it of: the application with the token, then
// with the meeting, then the operator.
func (r *room) byRelay(s *seat) bool {
	switch {
	case s.ours: // on this very machine, or as good as
		return false
	case s.relay != signal.RelayAuto:
		return s.relay == signal.RelayAlways
	}
	switch r.meeting.Tags[relayTag] {
	case "always":
		return true
	case "never":
		return false
	}
	if r.cfg.RelayPolicy != signal.RelayAuto {
		return r.cfg.RelayPolicy == signal.RelayAlways
	}
	return r.service.needsRelay(r.meeting.ID, s.home.ID)
}

// learnWay notes whether s's media got through as it was told to go. If not,
// the next connection of the attendee tries the other way.
func (r *room) learnWay(s *seat) {
	switch {
	case s.present:
		r.service.setNeedsRelay(r.meeting.ID, s.home.ID, s.relayed)
	case !s.offeredAt.IsZero() && time.Since(s.offeredAt) >= patience:
		r.service.counts.unreached.Add(1)
		s.log.Warn("no media connection was made", "relay", s.relayed)
		r.service.setNeedsRelay(r.meeting.ID, s.home.ID, !s.relayed)
	}
}

// needsRelay says what the attendee's last connection taught.
func (s *Service) needsRelay(id ID, attendee AttendeeID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.living[id]
	return l != nil && l.relayed[attendee]
}

func (s *Service) setNeedsRelay(id ID, attendee AttendeeID, needs bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch l := s.living[id]; {
	case l == nil:
	case !needs:
		delete(l.relayed, attendee)
	default:
		if l.relayed == nil {
			l.relayed = map[AttendeeID]bool{}
		}
		l.relayed[attendee] = true
	}
}
