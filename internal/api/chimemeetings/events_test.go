package chimemeetings

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"belfry.live/belfry/internal/meeting"
)

func TestEnvelope(t *testing.T) {
	m := meeting.Meeting{ID: "5ae2a1d8-6b0c-4d0e-9f3c-2f7e4b0d2713", Spec: meeting.Spec{
		Account: "123456789012", Region: "us-east-1", MediaRegion: "eu-central-1", ExternalID: "choir",
		Notify: meeting.Notify{SNS: "arn:aws:sns:us-east-1:123456789012:topic", SQS: "arn:aws:sqs:us-east-1:123456789012:queue"},
	}}
	a := meeting.Attendee{
		ID: "00000000-0000-0000-0000-000000000001", MeetingID: m.ID, ExternalUserID: "Ann",
		Capabilities: meeting.Capabilities{Audio: meeting.Receive, Video: meeting.SendReceive, Content: meeting.None},
	}
	at := time.Date(2026, 3, 4, 5, 6, 7, 89e6, time.UTC)
	const of = `"meetingId":"5ae2a1d8-6b0c-4d0e-9f3c-2f7e4b0d2713","externalMeetingId":"choir","mediaRegion":"eu-central-1"`
	const ann = `"attendeeId":"00000000-0000-0000-0000-000000000001","externalUserId":"Ann"`
	for _, v := range []struct {
		kind meeting.EventType
		who  meeting.Attendee
		want string
	}{
		{meeting.Started, meeting.Attendee{}, of},
		{meeting.Ended, meeting.Attendee{}, of},
		{meeting.AttendeeAdded, a, of + "," + ann},
		{meeting.AttendeeDeleted, a, of + "," + ann},
		{meeting.AttendeeJoined, a, of + "," + ann + `,"networkType":"Voip"`},
		{meeting.ContentVideoStarted, a, of + "," + ann + `,"networkType":"Voip"`},
		{meeting.CapabilitiesUpdated, a, of + "," + ann + `,"success":1,"attendeeCapabilities":{"audio":"Receive","video":"SendReceive","content":"None"}`},
	} {
		got, err := envelope(meeting.Event{ID: "id", Type: v.kind, Time: at, Meeting: m, Attendee: v.who})
		if err != nil {
			t.Fatal(err)
		}
		want := `{"version":"0","eventType":"` + string(v.kind) + `","timestamp":1772600767089,` + v.want + "}"
		if string(got.Detail) != want {
			t.Errorf("got detail\n%s, want\n%s", got.Detail, want)
		}
		if got.ID != "id" || got.Account != m.Account || got.Region != m.Region || got.Source != "aws.chime" ||
			got.DetailType != "Chime Meeting State Change" || !got.Time.Equal(at) || len(got.Resources) != 0 ||
			got.Kind != "meeting" || got.Subject != string(m.ID) || got.Type != string(v.kind) ||
			!slices.Equal(got.Notify, []string{m.Notify.SNS, m.Notify.SQS}) {
			t.Errorf("got %+v", got)
		}
		if !json.Valid(got.Detail) {
			t.Errorf("%s is no JSON", got.Detail)
		}
	}
}
