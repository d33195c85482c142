package running

import (
	"fmt"
	"net/http"

	"belfry.live/belfry/internal/attendee"
)

// Joined is what /api/join answers, as far as an attendee needs it.
type Joined struct {
	Meeting struct {
		MeetingID      string `json:"MeetingId"`
		MediaPlacement struct {
			SignalingURL string `json:"SignalingUrl"`
		}
	}
	Attendee struct {
		AttendeeID     string `json:"AttendeeId"`
		ExternalUserID string `json:"ExternalUserId"`
		JoinToken      string
	}
}

// Join asks the site for a place in a meeting, under the name if there is one.
func (s *Server) Join(name string) (j Joined, err error) {
	var body any
	if name != "" {
		body = map[string]string{"name": name}
	}
	status, text, err := s.Post("/api/join", body, &j)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("/api/join answered %d: %s", status, text)
	}
	return j, err
}

// Config is how the attendee goes in.
func (j Joined) Config() attendee.Config {
	return attendee.Config{
		SignalingURL: j.Meeting.MediaPlacement.SignalingURL, AttendeeID: j.Attendee.AttendeeID,
		ExternalUserID: j.Attendee.ExternalUserID, JoinToken: j.Attendee.JoinToken,
	}
}
