package meeting

import (
	"context"
	"errors"
	"net/http"
	"time"

	"belfry.live/belfry/internal/meeting/signal"
)

// admitTimeout bounds how long a socket waits to be let in.
const admitTimeout = 10 * time.Second

// Handler serves GET /control/{meetingId}, the signaling WebSocket.
func (s *Service) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /control/{meetingId}", s.serveSignaling)
	return mux
}

// serveSignaling always upgrades and refuses, if it must, with a close code:
// to a script in a browser any other answer looks like a network failure, and
// the client would try for two minutes.
func (s *Service) serveSignaling(w http.ResponseWriter, req *http.Request) {
	id := ID(req.PathValue("meetingId"))
	log := s.log.With("meeting", id, "remote", req.RemoteAddr)
	token, share := signal.Token(req)
	session, err := signal.Accept(w, req, s.cfg.Signal, log)
	if err != nil {
		log.Debug("not a signaling request", "err", err)
		return
	}
	ctx := context.WithoutCancel(req.Context())
	st, err := s.admit(ctx, id, token, share, session)
	if err != nil {
		code, reason := refusal(err)
		log.Info("signaling connection refused", "code", code, "err", err)
		session.Refuse(code, reason)
		return
	}
	session.Run(ctx, st)
	st.socketClosed()
}

// errBadToken says that the token is nobody's in this meeting.
var errBadToken = errors.New("the join token is of no attendee of the meeting")

func refusal(err error) (code int, reason string) {
	switch {
	case errors.Is(err, errBadToken):
		return signal.CloseForbidden, "the join token is not valid"
	case errors.Is(err, ErrNotFound):
		return signal.CloseGone, "the meeting has ended"
	default:
		return signal.CloseRetry, "try again later"
	}
}

// admit gives the token's attendee a seat, not joined yet, in the meeting's
// room.
func (s *Service) admit(ctx context.Context, id ID, token string, share bool, session *signal.Session) (*seat, error) {
	ctx, cancel := context.WithTimeout(ctx, admitTimeout)
	defer cancel()
	for {
		m, a, err := s.authenticate(ctx, id, token)
		if err != nil {
			return nil, err
		}
		r, err := s.enterRoom(ctx, m)
		if err != nil {
			return nil, err
		}
		st := newSeat(r, a, share, session)
		err = r.enter(ctx, st)
		if errors.Is(err, errRoomClosed) {
			continue
		}
		if err != nil {
			return nil, err
		}
		// From here on the room is told when the attendee is removed. If it
		// was before, the record says so.
		if _, _, err := s.authenticate(ctx, id, token); err != nil {
			st.Leave(signal.Ended)
			st.socketClosed()
			return nil, err
		}
		return st, nil
	}
}

// authenticate finds the attendee whose token this is.
func (s *Service) authenticate(ctx context.Context, id ID, token string) (Meeting, Attendee, error) {
	rec, _, err := s.records.load(ctx, id)
	if err != nil {
		return Meeting{}, Attendee{}, err
	}
	claimed, ok := attendeeOf(token)
	if !ok {
		return Meeting{}, Attendee{}, errBadToken
	}
	a, ok := rec.attendee(claimed)
	if !ok || !a.JoinToken.matches(token) {
		return Meeting{}, Attendee{}, errBadToken
	}
	return rec.Meeting, a, nil
}
