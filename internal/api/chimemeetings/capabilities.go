package chimemeetings

import (
	"context"
	"strings"

	"belfry.live/belfry/internal/api/restjson"
	"belfry.live/belfry/internal/meeting"
)

type (
	updateCapabilitiesInput struct {
		attendeeInput
		Capabilities meeting.Capabilities
	}

	updateExceptInput struct {
		MeetingID           string `json:"MeetingId"`
		ExcludedAttendeeIDs []struct {
			AttendeeID string `json:"AttendeeId"`
		} `json:"ExcludedAttendeeIds"`
		Capabilities meeting.Capabilities
	}
)

func (s *service) updateAttendeeCapabilities(ctx context.Context, c restjson.Caller, in updateCapabilitiesInput) (attendeeOutput, error) {
	m, err := s.lookup(ctx, c, in.MeetingID)
	if err != nil {
		return attendeeOutput{}, err
	}
	a, err := s.attendee(ctx, c, in.attendeeInput)
	if err == nil && reserved(a.ExternalUserID) {
		err = meeting.ErrAttendeeNotFound // what the server's own may do is its own business
	}
	if err != nil {
		return attendeeOutput{}, err
	}
	capabilities, err := capabilitiesFor(m.Features, &in.Capabilities)
	if err != nil {
		return attendeeOutput{}, err
	}
	a, err = s.meetings.UpdateCapabilities(ctx, m.ID, a.ID, capabilities)
	if err != nil {
		return attendeeOutput{}, err
	}
	return attendeeOutput{shapeAttendee(a)}, nil
}

func (s *service) updateCapabilitiesExcept(ctx context.Context, c restjson.Caller, in updateExceptInput) error {
	m, err := s.lookup(ctx, c, in.MeetingID)
	if err != nil {
		return err
	}
	capabilities, err := capabilitiesFor(m.Features, &in.Capabilities)
	if err != nil {
		return err
	}
	// Applications that mean everybody name somebody who is not there.
	except := make([]meeting.AttendeeID, len(in.ExcludedAttendeeIDs))
	for i, a := range in.ExcludedAttendeeIDs {
		except[i] = meeting.AttendeeID(strings.ToLower(a.AttendeeID))
	}
	return s.meetings.UpdateCapabilitiesExcept(ctx, m.ID, except, capabilities)
}
