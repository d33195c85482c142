package api_test

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings/types"
	"github.com/google/uuid"

	"belfry.live/belfry/test/apiserver"
)

func TestMeetings(t *testing.T) {
	s, c := start(t)
	ctx := t.Context()
	in := meetingInput()
	in.MeetingHostId = aws.String("host #1 «é»")
	in.NotificationsConfiguration = &types.NotificationsConfiguration{}
	in.TenantIds = []string{"tenant-1", "tenant_2"}
	in.Tags = []types.Tag{{Key: aws.String("team"), Value: aws.String("a b+c@d")}}
	in.MediaPlacementNetworkType = types.MediaPlacementNetworkTypeDualStack
	in.MeetingFeatures = &types.MeetingFeaturesConfiguration{
		Audio:    &types.AudioFeatures{EchoReduction: types.MeetingFeatureStatusAvailable},
		Video:    &types.VideoFeatures{MaxResolution: types.VideoResolutionFhd},
		Content:  &types.ContentFeatures{MaxResolution: types.ContentResolutionUhd},
		Attendee: &types.AttendeeFeatures{MaxCount: aws.Int32(25)},
	}
	created, err := c.meetings.CreateMeeting(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	m := created.Meeting
	id := aws.ToString(m.MeetingId)
	host := strings.TrimPrefix(s.URL, "http://")
	for what, got := range map[string][2]string{
		"MeetingArn":        {aws.ToString(m.MeetingArn), "arn:aws:chime:us-east-1:123456789012:meeting/" + id},
		"ExternalMeetingId": {aws.ToString(m.ExternalMeetingId), "rehearsal"},
		"MediaRegion":       {aws.ToString(m.MediaRegion), "eu-central-1"},
		"MeetingHostId":     {aws.ToString(m.MeetingHostId), "host #1 «é»"},
		"TenantIds":         {strings.Join(m.TenantIds, " "), "tenant-1 tenant_2"},
		"SignalingUrl":      {aws.ToString(m.MediaPlacement.SignalingUrl), "ws://" + host + "/control/" + id},
		"AudioHostUrl":      {aws.ToString(m.MediaPlacement.AudioHostUrl), apiserver.MediaAddress},
		"AudioFallbackUrl":  {aws.ToString(m.MediaPlacement.AudioFallbackUrl), "ws://" + host + "/calls/" + id},
		"TurnControlUrl":    {aws.ToString(m.MediaPlacement.TurnControlUrl), s.URL + "/v2/turn_sessions"},
		"ScreenDataUrl":     {aws.ToString(m.MediaPlacement.ScreenDataUrl), "ws://" + host + "/v2/screen/" + id},
		"ScreenSharingUrl":  {aws.ToString(m.MediaPlacement.ScreenSharingUrl), "ws://" + host + "/v2/screen/" + id},
		"ScreenViewingUrl":  {aws.ToString(m.MediaPlacement.ScreenViewingUrl), "ws://" + host + "/ws/connect?passcode=null&viewer_uuid=null&X-BitHub-Call-Id=" + id},
		"EventIngestionUrl": {aws.ToString(m.MediaPlacement.EventIngestionUrl), s.URL + "/client-events/" + id},
		"EchoReduction":     {string(m.MeetingFeatures.Audio.EchoReduction), "AVAILABLE"},
		"video":             {string(m.MeetingFeatures.Video.MaxResolution), "FHD"},
		"content":           {string(m.MeetingFeatures.Content.MaxResolution), "UHD"},
		"MaxCount":          {strconv.Itoa(int(aws.ToInt32(m.MeetingFeatures.Attendee.MaxCount))), "25"},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: got %q, want %q", what, got[0], got[1])
		}
	}
	if uuid.Validate(id) != nil {
		t.Errorf("got meeting id %q, want a UUID", id)
	}

	again, err := c.meetings.CreateMeeting(ctx, in)
	if err != nil || aws.ToString(again.Meeting.MeetingId) != id {
		t.Errorf("same token again: got %v (%v), want meeting %s", again, err, id)
	}
	got, err := c.meetings.GetMeeting(ctx, &chimesdkmeetings.GetMeetingInput{MeetingId: aws.String(strings.ToUpper(id))})
	if err != nil || aws.ToString(got.Meeting.MediaPlacement.SignalingUrl) != aws.ToString(m.MediaPlacement.SignalingUrl) {
		t.Errorf("GetMeeting: got %v (%v), want the meeting as it was made", got, err)
	}

	if _, err := c.meetings.DeleteMeeting(ctx, &chimesdkmeetings.DeleteMeetingInput{MeetingId: m.MeetingId}); err != nil {
		t.Fatal(err)
	}
	_, err = c.meetings.GetMeeting(ctx, &chimesdkmeetings.GetMeetingInput{MeetingId: m.MeetingId})
	as[*types.NotFoundException](t, err)
	checkError(t, err, http.StatusNotFound, "NotFoundException", id)
	_, err = c.meetings.DeleteMeeting(ctx, &chimesdkmeetings.DeleteMeetingInput{MeetingId: m.MeetingId})
	checkError(t, err, http.StatusNotFound, "NotFoundException", id)
	again, err = c.meetings.CreateMeeting(ctx, in)
	if err != nil || aws.ToString(again.Meeting.MeetingId) == id {
		t.Errorf("same token after the end: got %v (%v), want a new meeting", again, err)
	}
}

// A meeting without wishes has no features and no nulls that clients trip on.
func TestPlainMeeting(t *testing.T) {
	_, c := start(t)
	m := c.newMeeting(t)
	if m.MeetingFeatures != nil || m.MeetingHostId != nil || m.PrimaryMeetingId != nil {
		t.Errorf("got %+v, want what nobody asked for to be absent", m)
	}
}

// A replica names its primary; there are four of one at most, and none of a
// replica. All end with the primary.
func TestReplicas(t *testing.T) {
	_, c := start(t)
	ctx := t.Context()
	primary := c.newMeeting(t)
	replica := func(of *string) (*chimesdkmeetings.CreateMeetingOutput, error) {
		in := meetingInput()
		in.PrimaryMeetingId = of
		return c.meetings.CreateMeeting(ctx, in)
	}
	var last *types.Meeting
	for range 4 {
		out, err := replica(primary.MeetingId)
		if err != nil {
			t.Fatal(err)
		}
		last = out.Meeting
		if got := aws.ToString(last.PrimaryMeetingId); got != *primary.MeetingId || *last.MeetingId == got {
			t.Errorf("got primary %s of %s, want %s", got, *last.MeetingId, *primary.MeetingId)
		}
	}
	_, err := replica(primary.MeetingId)
	checkError(t, err, http.StatusBadRequest, "LimitExceededException", "4")
	_, err = replica(last.MeetingId)
	checkError(t, err, http.StatusBadRequest, "BadRequestException", "replica itself")
	if _, err := c.meetings.DeleteMeeting(ctx, &chimesdkmeetings.DeleteMeetingInput{MeetingId: primary.MeetingId}); err != nil {
		t.Fatal(err)
	}
	_, err = c.meetings.GetMeeting(ctx, &chimesdkmeetings.GetMeetingInput{MeetingId: last.MeetingId})
	checkError(t, err, http.StatusNotFound, "NotFoundException", *last.MeetingId)
}

func TestMeetingsAreOfTheirRegion(t *testing.T) {
	s, c := start(t)
	m := c.newMeeting(t)
	cfg := s.AWS()
	cfg.Region = "ap-southeast-2"
	there := newClients(cfg)
	_, err := there.meetings.GetMeeting(t.Context(), &chimesdkmeetings.GetMeetingInput{MeetingId: m.MeetingId})
	checkError(t, err, http.StatusNotFound, "NotFoundException", "ap-southeast-2")
	if got := aws.ToString(there.newMeeting(t).MeetingArn); !strings.HasPrefix(got, "arn:aws:chime:ap-southeast-2:123456789012:meeting/") {
		t.Errorf("got ARN %s, want the caller's region in it", got)
	}
}

func TestMeetingRefusals(t *testing.T) {
	_, c := start(t)
	for _, v := range []struct {
		name   string
		change func(*chimesdkmeetings.CreateMeetingInput)
		says   string
	}{
		{"short token", func(in *chimesdkmeetings.CreateMeetingInput) { in.ClientRequestToken = aws.String("x") }, "ClientRequestToken must have 2 to 64 characters, got 1"},
		{"token with a blank", func(in *chimesdkmeetings.CreateMeetingInput) { in.ClientRequestToken = aws.String("a b") }, "ClientRequestToken must be letters, digits, - and _"},
		{"short region", func(in *chimesdkmeetings.CreateMeetingInput) { in.MediaRegion = aws.String("e") }, "MediaRegion must have 2 to 64 characters"},
		{"long external id", func(in *chimesdkmeetings.CreateMeetingInput) {
			in.ExternalMeetingId = aws.String(strings.Repeat("x", 65))
		}, "ExternalMeetingId must have 2 to 64 characters, got 65"},
		{"external id in another script", func(in *chimesdkmeetings.CreateMeetingInput) { in.ExternalMeetingId = aws.String("会議") }, "ExternalMeetingId must be letters up to ÿ"},
		{"reserved external id", func(in *chimesdkmeetings.CreateMeetingInput) { in.ExternalMeetingId = aws.String("aws:x") }, `ExternalMeetingId must not begin with "aws:"`},
		{"reserved host", func(in *chimesdkmeetings.CreateMeetingInput) { in.MeetingHostId = aws.String("aws:x") }, `MeetingHostId must not begin with "aws:"`},
		{"topic that is no ARN", func(in *chimesdkmeetings.CreateMeetingInput) {
			in.NotificationsConfiguration = &types.NotificationsConfiguration{SnsTopicArn: aws.String("topic")}
		}, "NotificationsConfiguration.SnsTopicArn must be an ARN"},
		{"unknown resolution", func(in *chimesdkmeetings.CreateMeetingInput) {
			in.MeetingFeatures = &types.MeetingFeaturesConfiguration{Video: &types.VideoFeatures{MaxResolution: "4K"}}
		}, `MeetingFeatures.Video.MaxResolution must be None or HD or FHD: "4K"`},
		{"too many attendees", func(in *chimesdkmeetings.CreateMeetingInput) {
			in.MeetingFeatures = &types.MeetingFeaturesConfiguration{Attendee: &types.AttendeeFeatures{MaxCount: aws.Int32(251)}}
		}, "MeetingFeatures.Attendee.MaxCount must be a whole number from 1 to 250"},
		{"FHD without a count", func(in *chimesdkmeetings.CreateMeetingInput) {
			in.MeetingFeatures = &types.MeetingFeaturesConfiguration{Video: &types.VideoFeatures{MaxResolution: "FHD"}}
		}, "MeetingFeatures.Attendee.MaxCount is required"},
		{"UHD with many", func(in *chimesdkmeetings.CreateMeetingInput) {
			in.MeetingFeatures = &types.MeetingFeaturesConfiguration{
				Content:  &types.ContentFeatures{MaxResolution: "UHD"},
				Attendee: &types.AttendeeFeatures{MaxCount: aws.Int32(26)},
			}
		}, "MeetingFeatures.Attendee.MaxCount must be at most 25 with FHD video or UHD content: 26"},
		{"replica", func(in *chimesdkmeetings.CreateMeetingInput) { in.PrimaryMeetingId = aws.String(uuid.NewString()) }, "PrimaryMeetingId"},
		{"no tenants", func(in *chimesdkmeetings.CreateMeetingInput) { in.TenantIds = []string{} }, "TenantIds must have 1 to 5 items, got 0"},
		{"tenant of one letter", func(in *chimesdkmeetings.CreateMeetingInput) { in.TenantIds = []string{"xaaaay"} }, "TenantIds[0] must be letters"},
		{"tag without a key", func(in *chimesdkmeetings.CreateMeetingInput) {
			in.Tags = []types.Tag{{Key: aws.String(""), Value: aws.String("")}}
		}, "Tags[0].Key must have 1 to 128 characters, got 0"},
		{"tag twice", func(in *chimesdkmeetings.CreateMeetingInput) {
			tag := types.Tag{Key: aws.String("k"), Value: aws.String("v")}
			in.Tags = []types.Tag{tag, tag}
		}, `Tags has the key "k" twice`},
		{"network type", func(in *chimesdkmeetings.CreateMeetingInput) { in.MediaPlacementNetworkType = "Ipv6Only" }, "MediaPlacementNetworkType must be Ipv4Only or DualStack"},
	} {
		t.Run(v.name, func(t *testing.T) {
			in := meetingInput()
			v.change(in)
			_, err := c.meetings.CreateMeeting(t.Context(), in)
			as[*types.BadRequestException](t, err)
			checkError(t, err, http.StatusBadRequest, "BadRequestException", v.says)
		})
	}
}

func TestAttendees(t *testing.T) {
	_, c := start(t)
	ctx := t.Context()
	m := c.newMeeting(t)
	in := &chimesdkmeetings.CreateAttendeeInput{MeetingId: m.MeetingId, ExternalUserId: aws.String("1a2b#Zoë")}
	created, err := c.meetings.CreateAttendee(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	a := created.Attendee
	if c := a.Capabilities; c == nil || *c != (types.AttendeeCapabilities{Audio: "SendReceive", Video: "SendReceive", Content: "SendReceive"}) {
		t.Errorf("got capabilities %+v, want everything", c)
	}
	if uuid.Validate(aws.ToString(a.AttendeeId)) != nil || aws.ToString(a.ExternalUserId) != "1a2b#Zoë" || len(aws.ToString(a.JoinToken)) < 32 {
		t.Errorf("got %+v, want an attendee with all that a client needs", a)
	}
	again, err := c.meetings.CreateAttendee(ctx, in)
	if err != nil || aws.ToString(again.Attendee.AttendeeId) != aws.ToString(a.AttendeeId) || aws.ToString(again.Attendee.JoinToken) != aws.ToString(a.JoinToken) {
		t.Errorf("same ExternalUserId again: got %v (%v), want the same attendee", again, err)
	}
	get := &chimesdkmeetings.GetAttendeeInput{MeetingId: m.MeetingId, AttendeeId: a.AttendeeId}
	got, err := c.meetings.GetAttendee(ctx, get)
	if err != nil || aws.ToString(got.Attendee.JoinToken) != aws.ToString(a.JoinToken) {
		t.Errorf("GetAttendee: got %v (%v), want the token again", got, err)
	}
	remove := &chimesdkmeetings.DeleteAttendeeInput{MeetingId: m.MeetingId, AttendeeId: a.AttendeeId}
	if _, err := c.meetings.DeleteAttendee(ctx, remove); err != nil {
		t.Fatal(err)
	}
	_, err = c.meetings.DeleteAttendee(ctx, remove)
	as[*types.NotFoundException](t, err)
	_, err = c.meetings.GetAttendee(ctx, get)
	checkError(t, err, http.StatusNotFound, "NotFoundException", "")

	_, err = c.meetings.CreateAttendee(ctx, &chimesdkmeetings.CreateAttendeeInput{MeetingId: m.MeetingId, ExternalUserId: aws.String("aws:MediaPipeline-1")})
	checkError(t, err, http.StatusBadRequest, "BadRequestException", `ExternalUserId must not begin with "aws:"`)
	nowhere := aws.String(uuid.NewString())
	_, err = c.meetings.CreateAttendee(ctx, &chimesdkmeetings.CreateAttendeeInput{MeetingId: nowhere, ExternalUserId: aws.String("me")})
	checkError(t, err, http.StatusNotFound, "NotFoundException", *nowhere)
	_, err = c.meetings.ListAttendees(ctx, &chimesdkmeetings.ListAttendeesInput{MeetingId: nowhere})
	checkError(t, err, http.StatusNotFound, "NotFoundException", *nowhere)
	_, err = c.meetings.GetMeeting(ctx, &chimesdkmeetings.GetMeetingInput{MeetingId: aws.String("not-a-uuid")})
	checkError(t, err, http.StatusBadRequest, "BadRequestException", "MeetingId must have 36 characters, got 10")
}

func TestAttendeeCapabilities(t *testing.T) {
	_, c := start(t)
	type caps = types.AttendeeCapabilities
	for _, v := range []struct {
		name           string
		video, content string // MaxResolution
		asked          *caps
		want           caps
		says           string // what the refusal says
	}{
		{"asked", "", "", &caps{Audio: "Receive", Video: "Send", Content: "None"}, caps{Audio: "Receive", Video: "Send", Content: "None"}, ""},
		{"no video, nothing asked", "None", "", nil, caps{Audio: "SendReceive", Video: "Receive", Content: "SendReceive"}, ""},
		{"no content, nothing asked", "", "None", nil, caps{Audio: "SendReceive", Video: "SendReceive", Content: "None"}, ""},
		{"neither, nothing asked", "None", "None", nil, caps{Audio: "SendReceive", Video: "None", Content: "None"}, ""},
		{"video where there is none", "None", "", &caps{Audio: "None", Video: "Receive", Content: "None"}, caps{}, "Capabilities.Video must be None"},
		{"content where there is none", "", "None", &caps{Audio: "None", Video: "Receive", Content: "Send"}, caps{}, "Capabilities.Content must be None"},
		{"content without video", "", "", &caps{Audio: "None", Video: "Send", Content: "Receive"}, caps{}, `Capabilities.Content is "Receive", which needs Capabilities.Video`},
		{"no such capability", "", "", &caps{Audio: "Shout", Video: "None", Content: "None"}, caps{}, "Capabilities.Audio must be SendReceive or Send or Receive or None"},
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
			m, err := c.meetings.CreateMeeting(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			out, err := c.meetings.CreateAttendee(t.Context(), &chimesdkmeetings.CreateAttendeeInput{
				MeetingId: m.Meeting.MeetingId, ExternalUserId: aws.String("me"), Capabilities: v.asked,
			})
			if v.says != "" {
				checkError(t, err, http.StatusBadRequest, "BadRequestException", v.says)
				return
			}
			if err != nil || *out.Attendee.Capabilities != v.want {
				t.Errorf("got %+v (%v), want %+v", out, err, v.want)
			}
		})
	}
}

func TestManyAttendees(t *testing.T) {
	_, c := start(t)
	ctx := t.Context()
	in := meetingInput()
	created, err := c.meetings.CreateMeetingWithAttendees(ctx, &chimesdkmeetings.CreateMeetingWithAttendeesInput{
		ClientRequestToken: in.ClientRequestToken, ExternalMeetingId: in.ExternalMeetingId, MediaRegion: in.MediaRegion,
		MeetingFeatures: &types.MeetingFeaturesConfiguration{Attendee: &types.AttendeeFeatures{MaxCount: aws.Int32(4)}},
		Attendees: []types.CreateAttendeeRequestItem{
			{ExternalUserId: aws.String("u1")},
			{ExternalUserId: aws.String("aws:u2")},
			{ExternalUserId: aws.String("u3")},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := externalIDs(created.Attendees); !slices.Equal(got, []string{"u1", "u3"}) {
		t.Errorf("got attendees %q, want u1 and u3", got)
	}
	if len(created.Errors) != 1 || aws.ToString(created.Errors[0].ExternalUserId) != "aws:u2" || aws.ToString(created.Errors[0].ErrorCode) != "BadRequest" {
		t.Errorf("got errors %+v, want one for aws:u2", created.Errors)
	}
	id := created.Meeting.MeetingId
	batch, err := c.meetings.BatchCreateAttendee(ctx, &chimesdkmeetings.BatchCreateAttendeeInput{
		MeetingId: id,
		Attendees: []types.CreateAttendeeRequestItem{
			{ExternalUserId: aws.String("u4")},
			{ExternalUserId: aws.String("u1")}, // there already
			{ExternalUserId: aws.String("u5")},
			{ExternalUserId: aws.String("u6")}, // one too many
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := externalIDs(batch.Attendees); !slices.Equal(got, []string{"u4", "u1", "u5"}) {
		t.Errorf("got attendees %q, want u4, u1 and u5", got)
	}
	if len(batch.Errors) != 1 || aws.ToString(batch.Errors[0].ExternalUserId) != "u6" || aws.ToString(batch.Errors[0].ErrorCode) != "LimitExceeded" {
		t.Errorf("got errors %+v, want one for u6", batch.Errors)
	}
	_, err = c.meetings.CreateAttendee(ctx, &chimesdkmeetings.CreateAttendeeInput{MeetingId: id, ExternalUserId: aws.String("u7")})
	as[*types.LimitExceededException](t, err)
	checkError(t, err, http.StatusBadRequest, "LimitExceededException", "")
	_, err = c.meetings.BatchCreateAttendee(ctx, &chimesdkmeetings.BatchCreateAttendeeInput{MeetingId: id, Attendees: []types.CreateAttendeeRequestItem{}})
	checkError(t, err, http.StatusBadRequest, "BadRequestException", "Attendees must have 1 to 100 items, got 0")
	crowd := slices.Repeat([]types.CreateAttendeeRequestItem{{ExternalUserId: aws.String("u1")}}, 21)
	_, err = c.meetings.CreateMeetingWithAttendees(ctx, &chimesdkmeetings.CreateMeetingWithAttendeesInput{
		ClientRequestToken: aws.String("t-21"), ExternalMeetingId: in.ExternalMeetingId, MediaRegion: in.MediaRegion, Attendees: crowd,
	})
	checkError(t, err, http.StatusBadRequest, "BadRequestException", "Attendees must have 1 to 20 items, got 21")
	_, err = c.meetings.BatchCreateAttendee(ctx, &chimesdkmeetings.BatchCreateAttendeeInput{
		MeetingId: aws.String(uuid.NewString()), Attendees: []types.CreateAttendeeRequestItem{{ExternalUserId: aws.String("u1")}},
	})
	checkError(t, err, http.StatusNotFound, "NotFoundException", "")

	var pages []string
	pager := chimesdkmeetings.NewListAttendeesPaginator(c.meetings, &chimesdkmeetings.ListAttendeesInput{MeetingId: id, MaxResults: aws.Int32(3)})
	for pager.HasMorePages() {
		page, err := pager.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, strings.Join(externalIDs(page.Attendees), " "))
	}
	if want := []string{"u1 u3 u4", "u5"}; !slices.Equal(pages, want) {
		t.Errorf("got pages %q, want %q", pages, want)
	}
	_, err = c.meetings.ListAttendees(ctx, &chimesdkmeetings.ListAttendeesInput{MeetingId: id, NextToken: aws.String("made up")})
	checkError(t, err, http.StatusBadRequest, "BadRequestException", `gave out this token: "made up"`)
	_, err = c.meetings.ListAttendees(ctx, &chimesdkmeetings.ListAttendeesInput{MeetingId: id, MaxResults: aws.Int32(101)})
	checkError(t, err, http.StatusBadRequest, "BadRequestException", "MaxResults must be a whole number from 1 to 100")
}

func externalIDs(attendees []types.Attendee) []string {
	var ids []string
	for _, a := range attendees {
		ids = append(ids, aws.ToString(a.ExternalUserId))
	}
	return ids
}
