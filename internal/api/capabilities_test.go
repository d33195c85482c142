package api_test

import (
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings/types"
	"github.com/google/uuid"
)

const (
	both = types.MediaCapabilitiesSendReceive
	give = types.MediaCapabilitiesSend
	take = types.MediaCapabilitiesReceive
	none = types.MediaCapabilitiesNone
)

func capabilities(audio, video, content types.MediaCapabilities) *types.AttendeeCapabilities {
	return &types.AttendeeCapabilities{Audio: audio, Video: video, Content: content}
}

func (c clients) newAttendee(t *testing.T, m *types.Meeting, name string) *types.Attendee {
	t.Helper()
	out, err := c.meetings.CreateAttendee(t.Context(), &chimesdkmeetings.CreateAttendeeInput{MeetingId: m.MeetingId, ExternalUserId: aws.String(name)})
	if err != nil {
		t.Fatal(err)
	}
	return out.Attendee
}

func (c clients) capabilitiesOf(t *testing.T, m *types.Meeting, a *types.Attendee) types.AttendeeCapabilities {
	t.Helper()
	out, err := c.meetings.GetAttendee(t.Context(), &chimesdkmeetings.GetAttendeeInput{MeetingId: m.MeetingId, AttendeeId: a.AttendeeId})
	if err != nil {
		t.Fatal(err)
	}
	return *out.Attendee.Capabilities
}

// The same rules hold whenever capabilities are asked for.
func TestCapabilityRules(t *testing.T) {
	_, c := start(t)
	ctx := t.Context()
	for _, v := range []struct {
		name           string
		video, content string // MaxResolution; "": unsaid
		ask            *types.AttendeeCapabilities
		says           string // "": allowed
	}{
		{"all", "", "", capabilities(both, both, both), ""},
		{"nothing at all", "", "", capabilities(none, none, none), ""},
		{"listen", "", "", capabilities(take, none, none), ""},
		{"send without receiving", "", "", capabilities(give, give, give), ""},
		{"content is seen as video", "", "", capabilities(both, none, both), "Capabilities.Content is \"SendReceive\", which needs Capabilities.Video"},
		{"content is seen as video, received", "", "", capabilities(both, give, take), "Capabilities.Content is \"Receive\", which needs Capabilities.Video"},
		{"sent content needs none", "", "", capabilities(both, none, give), ""},
		{"no video", "None", "", capabilities(both, take, none), "Capabilities.Video must be None"},
		{"no video, none asked for", "None", "", capabilities(both, none, give), ""},
		{"no content", "", "None", capabilities(both, both, take), "Capabilities.Content must be None"},
		{"no content, none asked for", "HD", "None", capabilities(both, both, none), ""},
		{"neither", "None", "None", capabilities(take, none, none), ""},
	} {
		t.Run(v.name, func(t *testing.T) {
			in := meetingInput()
			in.MeetingFeatures = &types.MeetingFeaturesConfiguration{}
			if v.video != "" {
				in.MeetingFeatures.Video = &types.VideoFeatures{MaxResolution: types.VideoResolution(v.video)}
			}
			if v.content != "" {
				in.MeetingFeatures.Content = &types.ContentFeatures{MaxResolution: types.ContentResolution(v.content)}
			}
			created, err := c.meetings.CreateMeeting(ctx, in)
			if err != nil {
				t.Fatal(err)
			}
			m := created.Meeting
			a := c.newAttendee(t, m, "first")
			before := c.capabilitiesOf(t, m, a)
			check := func(what string, err error, get func() types.AttendeeCapabilities) {
				t.Helper()
				if v.says != "" {
					checkError(t, err, http.StatusBadRequest, "BadRequestException", v.says)
					if got := get(); got != before {
						t.Errorf("%s: got %v, want them as before: %v", what, got, before)
					}
					return
				}
				if err != nil {
					t.Errorf("%s: got %v, want no error", what, err)
				} else if got := get(); got != *v.ask {
					t.Errorf("%s: got %v, want %v", what, got, *v.ask)
				}
			}
			updated, err := c.meetings.UpdateAttendeeCapabilities(ctx, &chimesdkmeetings.UpdateAttendeeCapabilitiesInput{
				MeetingId: m.MeetingId, AttendeeId: a.AttendeeId, Capabilities: v.ask,
			})
			check("update", err, func() types.AttendeeCapabilities { return c.capabilitiesOf(t, m, a) })
			if err == nil && (*updated.Attendee.Capabilities != *v.ask || aws.ToString(updated.Attendee.JoinToken) != aws.ToString(a.JoinToken)) {
				t.Errorf("got %+v, want the attendee with %v", updated.Attendee, *v.ask)
			}
			b := c.newAttendee(t, m, "second")
			before = c.capabilitiesOf(t, m, b)
			_, err = c.meetings.BatchUpdateAttendeeCapabilitiesExcept(ctx, &chimesdkmeetings.BatchUpdateAttendeeCapabilitiesExceptInput{
				MeetingId: m.MeetingId, ExcludedAttendeeIds: []types.AttendeeIdItem{{AttendeeId: a.AttendeeId}}, Capabilities: v.ask,
			})
			check("batch", err, func() types.AttendeeCapabilities { return c.capabilitiesOf(t, m, b) })
			made, err := c.meetings.CreateAttendee(ctx, &chimesdkmeetings.CreateAttendeeInput{
				MeetingId: m.MeetingId, ExternalUserId: aws.String("third"), Capabilities: v.ask,
			})
			check("create", err, func() types.AttendeeCapabilities {
				if made == nil {
					return before
				}
				return *made.Attendee.Capabilities
			})
		})
	}
}

func TestCapabilitiesOfMany(t *testing.T) {
	_, c := start(t)
	ctx := t.Context()
	m := c.newMeeting(t)
	host, guest, other := c.newAttendee(t, m, "host"), c.newAttendee(t, m, "guest"), c.newAttendee(t, m, "other")
	batch := func(ask *types.AttendeeCapabilities, except ...string) error {
		in := &chimesdkmeetings.BatchUpdateAttendeeCapabilitiesExceptInput{
			MeetingId: m.MeetingId, Capabilities: ask, ExcludedAttendeeIds: []types.AttendeeIdItem{},
		}
		for _, id := range except {
			in.ExcludedAttendeeIds = append(in.ExcludedAttendeeIds, types.AttendeeIdItem{AttendeeId: aws.String(id)})
		}
		_, err := c.meetings.BatchUpdateAttendeeCapabilitiesExcept(ctx, in)
		return err
	}
	listen := capabilities(take, take, take)
	if err := batch(listen, aws.ToString(host.AttendeeId), uuid.NewString()); err != nil {
		t.Error(err)
	}
	for a, want := range map[*types.Attendee]*types.AttendeeCapabilities{host: capabilities(both, both, both), guest: listen, other: listen} {
		if got := c.capabilitiesOf(t, m, a); got != *want {
			t.Errorf("%s: got %v, want %v", aws.ToString(a.ExternalUserId), got, *want)
		}
	}
	checkError(t, batch(listen), http.StatusBadRequest, "BadRequestException", "ExcludedAttendeeIds must have 1 to 250 items, got 0")
	checkError(t, batch(listen, "host"), http.StatusBadRequest, "BadRequestException", "ExcludedAttendeeIds[0].AttendeeId must have 36 characters")
	checkError(t, batch(capabilities(both, "Some", none), uuid.NewString()), http.StatusBadRequest, "BadRequestException",
		`Capabilities.Video must be SendReceive or Send or Receive or None: "Some"`)

	update := func(meeting, attendee *string) error {
		_, err := c.meetings.UpdateAttendeeCapabilities(ctx, &chimesdkmeetings.UpdateAttendeeCapabilitiesInput{
			MeetingId: meeting, AttendeeId: attendee, Capabilities: listen,
		})
		return err
	}
	checkError(t, update(m.MeetingId, aws.String(uuid.NewString())), http.StatusNotFound, "NotFoundException", "attendee not found")
	checkError(t, update(aws.String(uuid.NewString()), host.AttendeeId), http.StatusNotFound, "NotFoundException", "meeting not found")
	if _, err := c.meetings.DeleteMeeting(ctx, &chimesdkmeetings.DeleteMeetingInput{MeetingId: m.MeetingId}); err != nil {
		t.Fatal(err)
	}
	checkError(t, update(m.MeetingId, host.AttendeeId), http.StatusNotFound, "NotFoundException", "meeting not found")
	checkError(t, batch(listen, uuid.NewString()), http.StatusNotFound, "NotFoundException", "meeting not found")
	_, err := c.meetings.DeleteMeeting(ctx, &chimesdkmeetings.DeleteMeetingInput{MeetingId: m.MeetingId})
	checkError(t, err, http.StatusNotFound, "NotFoundException", "meeting not found")
}
