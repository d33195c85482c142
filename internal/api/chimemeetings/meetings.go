package chimemeetings

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"belfry.live/belfry/internal/api/restjson"
	"belfry.live/belfry/internal/meeting"
)

type (
	createMeetingInput struct {
		ClientRequestToken         string
		MediaRegion                string
		MeetingHostID              string `json:"MeetingHostId"`
		ExternalMeetingID          string `json:"ExternalMeetingId"`
		MeetingFeatures            *features
		PrimaryMeetingID           string   `json:"PrimaryMeetingId"`
		TenantIDs                  []string `json:"TenantIds"`
		Tags                       []tagShape
		MediaPlacementNetworkType  string
		NotificationsConfiguration struct {
			LambdaFunctionARN string `json:"LambdaFunctionArn"`
			SNSTopicARN       string `json:"SnsTopicArn"`
			SQSQueueARN       string `json:"SqsQueueArn"`
		}
	}

	features struct {
		Audio    *audioFeatures    `json:",omitempty"`
		Video    *videoFeatures    `json:",omitempty"`
		Content  *videoFeatures    `json:",omitempty"`
		Attendee *attendeeFeatures `json:",omitempty"`
	}
	audioFeatures    struct{ EchoReduction string }
	videoFeatures    struct{ MaxResolution string }
	attendeeFeatures struct{ MaxCount int }

	meetingOutput struct {
		Meeting meetingShape
	}

	meetingShape struct {
		MeetingID         string `json:"MeetingId"`
		MeetingHostID     string `json:"MeetingHostId,omitempty"`
		ExternalMeetingID string `json:"ExternalMeetingId"`
		MediaRegion       string
		MediaPlacement    mediaPlacement
		MeetingFeatures   *features `json:",omitempty"`
		PrimaryMeetingID  string    `json:"PrimaryMeetingId,omitempty"`
		TenantIDs         []string  `json:"TenantIds"`
		MeetingARN        string    `json:"MeetingArn"`
	}

	mediaPlacement struct {
		AudioHostURL      string `json:"AudioHostUrl"`
		AudioFallbackURL  string `json:"AudioFallbackUrl"`
		SignalingURL      string `json:"SignalingUrl"`
		TurnControlURL    string `json:"TurnControlUrl"`
		ScreenDataURL     string `json:"ScreenDataUrl"`
		ScreenViewingURL  string `json:"ScreenViewingUrl"`
		ScreenSharingURL  string `json:"ScreenSharingUrl"`
		EventIngestionURL string `json:"EventIngestionUrl"`
	}

	meetingInput struct {
		MeetingID string `json:"MeetingId"`
	}
)

func (s *service) createMeeting(ctx context.Context, c restjson.Caller, in createMeetingInput) (meetingOutput, error) {
	spec, err := s.spec(ctx, c, in)
	if err != nil {
		return meetingOutput{}, err
	}
	m, err := s.meetings.Create(ctx, spec)
	if err != nil {
		return meetingOutput{}, err
	}
	return meetingOutput{s.shape(m)}, nil
}

// spec is what a request for a meeting asks for.
func (s *service) spec(ctx context.Context, c restjson.Caller, in createMeetingInput) (meeting.Spec, error) {
	for name, id := range map[string]string{"ExternalMeetingId": in.ExternalMeetingID, "MeetingHostId": in.MeetingHostID} {
		if reserved(id) {
			return meeting.Spec{}, invalid("%s must not begin with %q: %q", name, reservedPrefix, id)
		}
	}
	primary, err := s.primary(ctx, c, in.PrimaryMeetingID)
	if err != nil {
		return meeting.Spec{}, err
	}
	f := in.MeetingFeatures.spec()
	if err := checkFeatures(f); err != nil {
		return meeting.Spec{}, err
	}
	tags, err := tagMap(in.Tags)
	if err != nil {
		return meeting.Spec{}, err
	}
	return meeting.Spec{
		RequestToken: in.ClientRequestToken,
		Account:      c.Account,
		Region:       c.Region,
		MediaRegion:  in.MediaRegion,
		ExternalID:   in.ExternalMeetingID,
		HostID:       in.MeetingHostID,
		PrimaryID:    primary,
		TenantIDs:    in.TenantIDs,
		Tags:         tags,
		NetworkType:  in.MediaPlacementNetworkType,
		Features:     f,
		Notify: meeting.Notify{
			Lambda: in.NotificationsConfiguration.LambdaFunctionARN,
			SNS:    in.NotificationsConfiguration.SNSTopicARN,
			SQS:    in.NotificationsConfiguration.SQSQueueARN,
		},
	}, nil
}

// primary finds the meeting that a replica is to be of; "": it is none.
func (s *service) primary(ctx context.Context, c restjson.Caller, id string) (meeting.ID, error) {
	if id == "" {
		return "", nil
	}
	m, err := s.lookup(ctx, c, id)
	if errors.Is(err, meeting.ErrNotFound) {
		return "", invalid("PrimaryMeetingId: %v", err)
	}
	return m.ID, err
}

func (s *service) getMeeting(ctx context.Context, c restjson.Caller, in meetingInput) (meetingOutput, error) {
	m, err := s.lookup(ctx, c, in.MeetingID)
	if err != nil {
		return meetingOutput{}, err
	}
	return meetingOutput{s.shape(m)}, nil
}

func (s *service) deleteMeeting(ctx context.Context, c restjson.Caller, in meetingInput) error {
	m, err := s.lookup(ctx, c, in.MeetingID)
	if err != nil {
		return err
	}
	return s.meetings.End(ctx, m.ID)
}

// shape returns the meeting as clients see it. Only SignalingUrl,
// EventIngestionUrl and AudioHostUrl are dialled or looked at by today's media
// clients; the others are there for their shape.
func (s *service) shape(m meeting.Meeting) meetingShape {
	id := string(m.ID)
	screen := s.socketURL("v2", "screen", id)
	viewing := s.socketURL("ws", "connect")
	viewing.RawQuery = "passcode=null&viewer_uuid=null&X-BitHub-Call-Id=" + url.QueryEscape(id)
	tenants := m.TenantIDs
	if tenants == nil {
		tenants = []string{}
	}
	return meetingShape{
		MeetingID:         id,
		MeetingHostID:     m.HostID,
		ExternalMeetingID: m.ExternalID,
		MediaRegion:       m.MediaRegion,
		MediaPlacement: mediaPlacement{
			AudioHostURL:      s.cfg.MediaAddress,
			AudioFallbackURL:  s.socketURL("calls", id).String(),
			SignalingURL:      s.socketURL("control", id).String(),
			TurnControlURL:    s.cfg.PublicURL.JoinPath("v2", "turn_sessions").String(),
			ScreenDataURL:     screen.String(),
			ScreenViewingURL:  viewing.String(),
			ScreenSharingURL:  screen.String(),
			EventIngestionURL: s.cfg.PublicURL.JoinPath(meeting.EventsPath, id).String(),
		},
		MeetingFeatures:  featuresShape(m.Features),
		PrimaryMeetingID: string(m.PrimaryID),
		TenantIDs:        tenants,
		MeetingARN:       fmt.Sprintf("arn:aws:chime:%s:%s:meeting/%s", m.Region, m.Account, id),
	}
}

// socketURL returns the WebSocket URL of a path on the public host.
func (s *service) socketURL(path ...string) *url.URL {
	u := s.cfg.PublicURL.JoinPath(path...)
	u.Scheme = map[string]string{"http": "ws", "https": "wss"}[u.Scheme]
	return u
}
