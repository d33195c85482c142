package meeting

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"belfry.live/belfry/internal/meeting/signal"
	"belfry.live/belfry/internal/meeting/telemetry"
)

// EventsPath begins the URL that a meeting's clients post their events to; the
// meeting's id follows.
const EventsPath = "/client-events/"

// Clients post every 5 s if there is something, and try again after a 429.
const (
	eventRate  = 200 // bodies a second, of all clients
	eventBurst = 2000
)

// serveEvents counts what clients post of themselves, and keeps nothing else
// of it. Pages of any origin may post: the join token is what lets them.
func (s *Service) serveEvents(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, telemetry.MaxBody))
	switch {
	case err != nil:
		s.refuseEvents(w, http.StatusRequestEntityTooLarge)
		return
	case !s.eventLimit.Allow():
		s.refuseEvents(w, http.StatusTooManyRequests)
		return
	}
	events, err := telemetry.ParseEvents(body)
	if err != nil {
		s.refuseEvents(w, http.StatusBadRequest)
		return
	}
	token, ok := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
	if !ok { // a beacon cannot have headers
		token = events.Authorization
	}
	c := signal.ParseToken(strings.TrimPrefix(token, "Bearer "))
	id := ID(req.PathValue("meetingId"))
	if _, _, err := s.authenticate(id, c.Token); err != nil && !s.ended.has(id, c.Token, time.Now()) {
		s.refuseEvents(w, http.StatusForbidden)
		return
	}
	s.tally.Events(events)
	s.counts.events.Add(1)
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, "{}") // the client has gone if this fails
}

func (s *Service) refuseEvents(w http.ResponseWriter, status int) {
	s.counts.eventsRefused.Add(1)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, "{}") // the client has gone if this fails
}

// allowEvents answers what browsers ask before they post to another origin.
func (s *Service) allowEvents(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Allow-Methods", http.MethodPost)
	h.Set("Access-Control-Allow-Headers", "authorization, content-type")
	h.Set("Access-Control-Max-Age", "7200")
	w.WriteHeader(http.StatusNoContent)
}

// endedMeetings knows the attendees of meetings that ended a moment ago, whose
// clients have that to report.
type endedMeetings struct {
	mu   sync.Mutex
	list []endedMeeting // by time
}

type endedMeeting struct {
	at  time.Time
	rec record
}

const (
	endedFor = 2 * time.Minute
	maxEnded = 100
)

func (e *endedMeetings) add(rec record, now time.Time) {
	if rec.Meeting.ID == "" {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.forget(now)
	if len(e.list) == maxEnded {
		e.list = e.list[1:]
	}
	e.list = append(e.list, endedMeeting{now, rec})
}

// has says whether the token was of an attendee.
func (e *endedMeetings) has(id ID, token string, now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.forget(now)
	for _, m := range e.list {
		if m.rec.Meeting.ID == id {
			_, ok := m.rec.holds(token)
			return ok
		}
	}
	return false
}

func (e *endedMeetings) forget(now time.Time) {
	for len(e.list) > 0 && now.Sub(e.list[0].at) > endedFor {
		e.list[0] = endedMeeting{}
		e.list = e.list[1:]
	}
}
