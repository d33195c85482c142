package server

import (
	"context"
	"errors"

	"belfry.live/belfry/internal/connector"
	"belfry.live/belfry/internal/meeting"
)

// hosts invites live connectors to this server's meetings.
type hosts struct {
	meetings  *meeting.Service
	signaling string // ws://host:port
}

func (h hosts) Find(ctx context.Context, account, meetingID string) (connector.Meeting, error) {
	m, err := h.meetings.Lookup(ctx, meeting.ID(meetingID))
	if errors.Is(err, meeting.ErrNotFound) || err == nil && m.Account != account {
		return connector.Meeting{}, connector.ErrMeetingNotFound
	}
	return connector.Meeting{ExternalID: m.ExternalID, MediaRegion: m.MediaRegion}, err
}

func (h hosts) Invite(ctx context.Context, account, meetingID, externalUserID string) (connector.Invitation, error) {
	all := meeting.Capabilities{Audio: meeting.SendReceive, Video: meeting.SendReceive, Content: meeting.SendReceive}
	if _, err := h.Find(ctx, account, meetingID); err != nil {
		return connector.Invitation{}, err
	}
	a, err := h.meetings.AddAttendee(ctx, meeting.ID(meetingID), externalUserID, all)
	if errors.Is(err, meeting.ErrNotFound) {
		return connector.Invitation{}, connector.ErrMeetingNotFound
	}
	if err != nil {
		return connector.Invitation{}, err
	}
	return connector.Invitation{
		SignalingURL:   h.signaling + "/control/" + meetingID,
		AttendeeID:     string(a.ID),
		ExternalUserID: a.ExternalUserID,
		JoinToken:      a.JoinToken.Reveal(),
	}, nil
}
