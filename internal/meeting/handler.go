package meeting

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"belfry.live/belfry/internal/meeting/signal"
)

// admitTimeout bounds how long a socket waits to be let in.
const admitTimeout = 10 * time.Second

// Handler serves GET /control/{meetingId}, the signaling WebSocket, and POST
// /client-events/{meetingId}.
func (s *Service) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /control/{meetingId}", s.serveSignaling)
	mux.HandleFunc("POST "+EventsPath+"{meetingId}", s.serveEvents)
	mux.HandleFunc("OPTIONS "+EventsPath+"{meetingId}", s.allowEvents)
	return mux
}

// serveSignaling upgrades whom it refuses, too, and tells them by a close
// code: to a script in a browser any other answer looks like a network failure,
// and the client would try for two minutes. Only when there are many of them
// they have to do with that.
func (s *Service) serveSignaling(w http.ResponseWriter, req *http.Request) {
	if !s.gate.connect() {
		s.counts.refusals[refusedConnections].Add(1)
		http.Error(w, "too many connections", http.StatusServiceUnavailable)
		return
	}
	defer s.gate.disconnect()
	id := ID(req.PathValue("meetingId"))
	log := s.log.With("meeting", id, "remote", req.RemoteAddr)
	c := signal.RequestCredentials(req)
	if _, _, err := s.authenticate(id, c.Token); err != nil && !s.gate.refusals.Allow() {
		s.countRefusal(err)
		http.Error(w, "too many requests", http.StatusTooManyRequests)
		return
	}
	session, err := signal.Accept(w, req, s.cfg.Signal, log)
	if err != nil {
		log.Debug("not a signaling request", "err", err)
		return
	}
	ctx := context.WithoutCancel(req.Context())
	st, err := s.admit(ctx, id, c, session)
	if err != nil {
		s.countRefusal(err)
		code, reason := refusalCode(err)
		log.Info("signaling connection refused", "code", code, "err", err)
		session.Refuse(code, reason)
		return
	}
	session.Run(ctx, st)
	st.socketClosed()
}

// errBadToken says that the token is nobody's in this meeting.
var errBadToken = errors.New("the join token is of no attendee of the meeting")

func refusalCode(err error) (code int, reason string) {
	switch {
	case errors.Is(err, errBadToken):
		return signal.CloseForbidden, "the join token is not valid"
	case errors.Is(err, ErrNotFound):
		return signal.CloseGone, "the meeting has ended"
	default:
		return signal.CloseRetry, "try again later"
	}
}

func (s *Service) countRefusal(err error) {
	why := refusedOther
	switch {
	case errors.Is(err, errBadToken):
		why = refusedToken
	case errors.Is(err, ErrNotFound):
		why = refusedEnded
	}
	s.counts.refusals[why].Add(1)
}

// admit gives the token's attendee a seat, not joined yet, in the meeting's
// room, or in that of its primary.
func (s *Service) admit(ctx context.Context, id ID, c signal.Credentials, session *signal.Session) (*seat, error) {
	ctx, cancel := context.WithTimeout(ctx, admitTimeout)
	defer cancel()
	for {
		m, a, err := s.authenticate(id, c.Token)
		if err != nil {
			return nil, err
		}
		from := m
		if m.PrimaryID != "" {
			if m, err = s.Lookup(ctx, m.PrimaryID); err != nil {
				return nil, fmt.Errorf("primary: %w", err)
			}
		}
		r, err := s.enterRoom(ctx, m)
		if err != nil {
			return nil, err
		}
		st := newSeat(r, from, a, c, session)
		err = r.enter(ctx, st)
		if errors.Is(err, errRoomClosed) {
			continue
		}
		if err != nil {
			return nil, err
		}
		// From here on the room is told when the attendee is removed, or changed.
		// If it was before, the record says so.
		_, again, err := s.authenticate(id, c.Token)
		if err != nil {
			st.Leave(signal.Ended)
			st.socketClosed()
			return nil, err
		}
		if again.Capabilities != a.Capabilities {
			s.applyCapabilities(id, []AttendeeID{a.ID}, again.Capabilities)
		}
		return st, nil
	}
}

// authenticate finds the attendee whose token this is.
func (s *Service) authenticate(id ID, token string) (Meeting, Attendee, error) {
	rec, err := s.records.load(id)
	if err != nil {
		return Meeting{}, Attendee{}, err
	}
	a, ok := rec.holds(token)
	if !ok {
		return Meeting{}, Attendee{}, errBadToken
	}
	return rec.Meeting, a, nil
}

// holds finds the attendee whose token this is.
func (r *record) holds(token string) (Attendee, bool) {
	claimed, ok := attendeeOf(token)
	if !ok {
		return Attendee{}, false
	}
	a, ok := r.attendee(claimed)
	if !ok || !a.JoinToken.matches(token) {
		return Attendee{}, false
	}
	return a, true
}
