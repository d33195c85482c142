package meeting

import (
	"time"

	"github.com/google/uuid"
)

// An Event is something that happened to a meeting, or to somebody in it.
// Nothing is told of the server's own attendees.
type Event struct {
	ID       string // a UUID
	Type     EventType
	Time     time.Time
	Meeting  Meeting
	Attendee Attendee // whom it is about, without the join token; the zero one: the meeting
}

// An EventType says what happened, as AWS spells it.
type EventType string

// The events.
const (
	Started EventType = "chime:MeetingStarted"
	Ended   EventType = "chime:MeetingEnded"

	AttendeeAdded        EventType = "chime:AttendeeAdded"
	AttendeeDeleted      EventType = "chime:AttendeeDeleted"
	AttendeeAuthorized   EventType = "chime:AttendeeAuthorized" // joins with a token that is in use
	AttendeeJoined       EventType = "chime:AttendeeJoined"
	AttendeeLeft         EventType = "chime:AttendeeLeft"
	AttendeeDropped      EventType = "chime:AttendeeDropped"
	AttendeeVideoStarted EventType = "chime:AttendeeVideoStarted"
	AttendeeVideoStopped EventType = "chime:AttendeeVideoStopped"
	CapabilitiesUpdated  EventType = "chime:AttendeeCapabilitiesUpdated"

	ContentJoined       EventType = "chime:AttendeeContentJoined"
	ContentLeft         EventType = "chime:AttendeeContentLeft"
	ContentDropped      EventType = "chime:AttendeeContentDropped"
	ContentVideoStarted EventType = "chime:AttendeeContentVideoStarted"
	ContentVideoStopped EventType = "chime:AttendeeContentVideoStopped"
)

// ofContent is what an event is called when it happens to a content share.
var ofContent = map[EventType]EventType{
	AttendeeJoined:       ContentJoined,
	AttendeeLeft:         ContentLeft,
	AttendeeDropped:      ContentDropped,
	AttendeeVideoStarted: ContentVideoStarted,
	AttendeeVideoStopped: ContentVideoStopped,
}

// happened returns an event of the present.
func happened(what EventType, m Meeting, a Attendee) Event {
	a.JoinToken = Secret{}
	return Event{ID: uuid.NewString(), Type: what, Time: time.Now().UTC(), Meeting: m, Attendee: a}
}

// A guest is somebody of whom it was told that they came: it will be told that
// they went.
type guest struct {
	meeting  Meeting
	attendee Attendee
}

// asWhom returns as whom s takes part.
func (s *seat) asWhom() guest {
	if s.attendee.MeetingID == s.room.meeting.ID {
		return guest{s.room.meeting, s.attendee}
	}
	return guest{s.from, s.attendee}
}

// raise tells of something that happened in the room. It does not wait.
func (r *room) raise(what EventType, g guest) {
	if r.stopping || isHidden(g.attendee.ExternalUserID) {
		return // whoever is cut off by a restart comes back
	}
	if base := baseOf(g.attendee.ID); base != g.attendee.ID {
		what, g.attendee.ID = ofContent[what], base
	}
	r.service.history.Push(string(g.meeting.ID), happened(what, g.meeting, g.attendee))
}

// came tells that s is in, unless that is known: it may be the newer
// connection of somebody who is.
func (r *room) came(s *seat) {
	g := s.asWhom()
	if _, known := r.guests[g.attendee.ID]; !known {
		r.guests[g.attendee.ID] = g
		r.raise(AttendeeJoined, g)
	}
}

// went tells that somebody is not in any more who was.
func (r *room) went(id AttendeeID, dropped bool) {
	g, known := r.guests[id]
	if !known {
		return
	}
	delete(r.guests, id)
	if dropped {
		r.raise(AttendeeDropped, g)
	} else {
		r.raise(AttendeeLeft, g)
	}
}

// filmed tells that there is video of s, or that there is none any more.
func (r *room) filmed(s *seat, is bool) {
	if s.filmed == is {
		return
	}
	s.filmed = is
	if is {
		r.raise(AttendeeVideoStarted, s.asWhom())
	} else {
		r.raise(AttendeeVideoStopped, s.asWhom())
	}
}
