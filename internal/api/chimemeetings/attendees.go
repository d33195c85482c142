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
	n, err := newcomer(m.Features, in.attendeeItemInput)
	if err != nil {
		return attendeeOutput{}, err
	}
	a, err := s.meetings.AddAttendee(ctx, m.ID, n.ExternalUserID, n.Capabilities)
	if err != nil {
		return attendeeOutput{}, err
	}
	return attendeeOutput{shapeAttendee(a)}, nil
}

// newcomer checks who is to be added to a meeting with the features.
func newcomer(f meeting.Features, in attendeeItemInput) (meeting.Newcomer, error) {
	if reserved(in.ExternalUserID) {
		return meeting.Newcomer{}, invalid("ExternalUserId must not begin with %q: %q", reservedPrefix, in.ExternalUserID)
	}
	capabilities, err := capabilitiesFor(f, in.Capabilities)
	return meeting.Newcomer{ExternalUserID: in.ExternalUserID, Capabilities: capabilities}, err
}

func (s *service) batchCreateAttendee(ctx context.Context, c restjson.Caller, in batchInput) (batchOutput, error) {
	m, err := s.lookup(ctx, c, in.MeetingID)
	if err != nil {
		return batchOutput{}, err
	}
	return s.addAll(ctx, m, in.Attendees)
}

// addAll adds to the meeting whom it can; the others are told of one by one.
func (s *service) addAll(ctx context.Context, m meeting.Meeting, items []attendeeItemInput) (batchOutput, error) {
	b := newBatch(m.Features, items)
	admitted, err := s.meetings.AddAttendees(ctx, m.ID, b.newcomers)
	if err != nil {
		return batchOutput{}, err
	}
	return b.output(admitted), nil
}

func (s *service) createMeetingWithAttendees(ctx context.Context, c restjson.Caller, in createMeetingWithAttendeesInput) (meetingWithAttendeesOutput, error) {
	spec, err := s.spec(ctx, c, in.createMeetingInput)
	if err != nil {
		return meetingWithAttendeesOutput{}, err
	}
	b := newBatch(spec.Features, in.Attendees)
	m, admitted, isNew, err := s.meetings.CreateWith(ctx, spec, b.newcomers)
	if err != nil {
		return meetingWithAttendeesOutput{}, err
	}
	out := meetingWithAttendeesOutput{meetingOutput: meetingOutput{s.shape(m)}}
	if isNew {
		out.batchOutput = b.output(admitted)
		return out, nil
	}
	out.batchOutput, err = s.addAll(ctx, m, in.Attendees) // whose features may be others
	return out, err
}

// A batch is several attendees to be made.
type batch struct {
	items     []attendeeItemInput
	refused   []error // by item; nil: it is among the newcomers
	newcomers []meeting.Newcomer
}

func newBatch(f meeting.Features, items []attendeeItemInput) batch {
	b := batch{items: items, refused: make([]error, len(items))}
	for i, item := range items {
		n, err := newcomer(f, item)
		if b.refused[i] = err; err == nil {
			b.newcomers = append(b.newcomers, n)
		}
	}
	return b
}

// output tells what became of all, in the order of the items.
func (b batch) output(admitted []meeting.Admission) batchOutput {
	out := batchOutput{Attendees: []attendeeShape{}, Errors: []attendeeError{}}
	for i, item := range b.items {
		if err := b.refused[i]; err != nil {
			out.Errors = append(out.Errors, attendeeError{item.ExternalUserID, "BadRequest", message(err)})
			continue
		}
		a := admitted[0]
		admitted = admitted[1:]
		if a.Err != nil {
			out.Errors = append(out.Errors, attendeeError{item.ExternalUserID, "LimitExceeded", a.Err.Error()})
			continue
		}
		out.Attendees = append(out.Attendees, shapeAttendee(a.Attendee))
	}
	return out
}

// message is the text of a refusal without its type.
func message(err error) string {
	if e, ok := errors.AsType[*restjson.Error](err); ok {
		return e.Message
	}
	return err.Error()
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
	a, err := s.meetings.Attendee(ctx, m.ID, meeting.AttendeeID(strings.ToLower(in.AttendeeID)))
	if err != nil {
		return meeting.Attendee{}, fmt.Errorf("%w: %s in meeting %s", err, in.AttendeeID, m.ID)
	}
	return a, nil
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
