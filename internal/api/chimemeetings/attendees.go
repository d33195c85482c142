package chimemeetings

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"belfry.live/belfry/internal/api/restjson"
	"belfry.live/belfry/internal/meeting"
)

// reservedPrefix begins the ids of the server's own attendees.
const reservedPrefix = "aws:"

func reserved(id string) bool { return strings.HasPrefix(id, reservedPrefix) }

// defaultPage is how many attendees a page has unless another size is asked
// for.
const defaultPage = 100

type (
	attendeeItemInput struct {
		ExternalUserID string `json:"ExternalUserId"`
		Capabilities   *meeting.Capabilities
	}

	createAttendeeInput struct {
		MeetingID string `json:"MeetingId"`
		attendeeItemInput
	}

	batchInput struct {
		MeetingID string `json:"MeetingId"`
		Attendees []attendeeItemInput
	}

	createMeetingWithAttendeesInput struct {
		createMeetingInput
		Attendees []attendeeItemInput
	}

	attendeeInput struct {
		MeetingID  string `json:"MeetingId"`
		AttendeeID string `json:"AttendeeId"`
	}

	listAttendeesInput struct {
		MeetingID  string `json:"MeetingId"`
		NextToken  string
		MaxResults int
	}

	attendeeShape struct {
		ExternalUserID string `json:"ExternalUserId"`
		AttendeeID     string `json:"AttendeeId"`
		JoinToken      string
		Capabilities   meeting.Capabilities
	}

	attendeeError struct {
		ExternalUserID string `json:"ExternalUserId"`
		ErrorCode      string
		ErrorMessage   string
	}

	attendeeOutput struct {
		Attendee attendeeShape
	}

	batchOutput struct {
		Attendees []attendeeShape
		Errors    []attendeeError
	}

	meetingWithAttendeesOutput struct {
		meetingOutput
		batchOutput
	}

	listAttendeesOutput struct {
		Attendees []attendeeShape
		NextToken string `json:",omitempty"`
	}
)

func (s *service) createAttendee(ctx context.Context, c restjson.Caller, in createAttendeeInput) (attendeeOutput, error) {
	m, err := s.lookup(ctx, c, in.MeetingID)
	if err != nil {
		return attendeeOutput{}, err
	}
	a, err := s.newAttendee(ctx, m, in.attendeeItemInput)
	if err != nil {
		return attendeeOutput{}, err
	}
	return attendeeOutput{shapeAttendee(a)}, nil
}

func (s *service) newAttendee(ctx context.Context, m meeting.Meeting, in attendeeItemInput) (meeting.Attendee, error) {
	if reserved(in.ExternalUserID) {
		return meeting.Attendee{}, invalid("ExternalUserId must not begin with %s: %q", reservedPrefix, in.ExternalUserID)
	}
	capabilities, err := capabilitiesFor(m.Features, in.Capabilities)
	if err != nil {
		return meeting.Attendee{}, err
	}
	return s.meetings.AddAttendee(ctx, m.ID, in.ExternalUserID, capabilities)
}

func (s *service) batchCreateAttendee(ctx context.Context, c restjson.Caller, in batchInput) (batchOutput, error) {
	m, err := s.lookup(ctx, c, in.MeetingID)
	if err != nil {
		return batchOutput{}, err
	}
	return s.newAttendees(ctx, m, in.Attendees)
}

func (s *service) createMeetingWithAttendees(ctx context.Context, c restjson.Caller, in createMeetingWithAttendeesInput) (meetingWithAttendeesOutput, error) {
	m, err := s.newMeeting(ctx, c, in.createMeetingInput)
	if err != nil {
		return meetingWithAttendeesOutput{}, err
	}
	batch, err := s.newAttendees(ctx, m, in.Attendees)
	if err != nil {
		return meetingWithAttendeesOutput{}, err
	}
	return meetingWithAttendeesOutput{meetingOutput{s.shape(m)}, batch}, nil
}

// newAttendees makes what can be made; the rest is told one by one. It fails
// only where the fault is ours or the meeting has ended.
func (s *service) newAttendees(ctx context.Context, m meeting.Meeting, items []attendeeItemInput) (batchOutput, error) {
	out := batchOutput{Attendees: []attendeeShape{}, Errors: []attendeeError{}}
	for _, item := range items {
		a, err := s.newAttendee(ctx, m, item)
		refusal, wrong := errors.AsType[*restjson.Error](err)
		switch {
		case err == nil:
			out.Attendees = append(out.Attendees, shapeAttendee(a))
		case wrong:
			out.Errors = append(out.Errors, attendeeError{item.ExternalUserID, "BadRequest", refusal.Message})
		case errors.Is(err, meeting.ErrFull):
			out.Errors = append(out.Errors, attendeeError{item.ExternalUserID, "LimitExceeded", err.Error()})
		default:
			return batchOutput{}, err
		}
	}
	return out, nil
}

func (s *service) getAttendee(ctx context.Context, c restjson.Caller, in attendeeInput) (attendeeOutput, error) {
	a, err := s.attendee(ctx, c, in)
	if err != nil {
		return attendeeOutput{}, err
	}
	return attendeeOutput{shapeAttendee(a)}, nil
}

func (s *service) deleteAttendee(ctx context.Context, c restjson.Caller, in attendeeInput) error {
	a, err := s.attendee(ctx, c, in)
	if err != nil {
		return err
	}
	return s.meetings.RemoveAttendee(ctx, a.MeetingID, a.ID)
}

func (s *service) attendee(ctx context.Context, c restjson.Caller, in attendeeInput) (meeting.Attendee, error) {
	m, err := s.lookup(ctx, c, in.MeetingID)
	if err != nil {
		return meeting.Attendee{}, err
	}
	return s.meetings.Attendee(ctx, m.ID, meeting.AttendeeID(strings.ToLower(in.AttendeeID)))
}

// listAttendees lists whom an application made; the server's own attendees
// are none of its business.
func (s *service) listAttendees(ctx context.Context, c restjson.Caller, in listAttendeesInput) (listAttendeesOutput, error) {
	m, err := s.lookup(ctx, c, in.MeetingID)
	if err != nil {
		return listAttendeesOutput{}, err
	}
	all, err := s.meetings.Attendees(ctx, m.ID)
	if err != nil {
		return listAttendeesOutput{}, err
	}
	all = slices.DeleteFunc(all, func(a meeting.Attendee) bool { return reserved(a.ExternalUserID) })
	page, next, err := restjson.Page(c, "attendees of "+string(m.ID), restjson.Sorted(all, func(a meeting.Attendee) string {
		return fmt.Sprintf("%020d %s", a.Created.UnixNano(), a.ID)
	}), in.NextToken, cmp.Or(in.MaxResults, defaultPage))
	if err != nil {
		return listAttendeesOutput{}, err
	}
	out := listAttendeesOutput{Attendees: []attendeeShape{}, NextToken: next}
	for _, a := range page {
		out.Attendees = append(out.Attendees, shapeAttendee(a))
	}
	return out, nil
}

func shapeAttendee(a meeting.Attendee) attendeeShape {
	return attendeeShape{
		ExternalUserID: a.ExternalUserID,
		AttendeeID:     string(a.ID),
		JoinToken:      a.JoinToken.Reveal(),
		Capabilities:   a.Capabilities,
	}
}
