package mediapipelines

import (
	"testing"
	"time"

	"belfry.live/belfry/internal/connector"
)

func TestEnvelope(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 89e6, time.UTC)
	live := connector.Pipeline{
		ID: "5ae2a1d8-6b0c-4d0e-9f3c-2f7e4b0d2713", Meeting: connector.Meeting{ExternalID: "choir", MediaRegion: "eu-central-1"},
		Spec: connector.Spec{
			Kind: connector.LiveConnector, Account: "123456789012", Region: "us-east-1", MeetingID: "m",
			SinkURL: connector.NewSinkURL("rtmp://h/a/secret"), Request: []byte("secret"),
		},
	}
	for _, kind := range []connector.EventType{connector.Began, connector.TemporaryFailure, connector.Resumed, connector.PermanentFailure, connector.Deleted} {
		got, err := envelope(connector.Event{ID: "id", Type: kind, Time: at, Pipeline: live})
		if err != nil {
			t.Fatal(err)
		}
		want := `{"version":"0","eventType":"` + string(kind) + `","timestamp":1772600767089,"meetingId":"m","externalMeetingId":"choir",` +
			`"mediaPipelineId":"5ae2a1d8-6b0c-4d0e-9f3c-2f7e4b0d2713","mediaRegion":"eu-central-1"}`
		if string(got.Detail) != want {
			t.Errorf("got detail\n%s, want\n%s", got.Detail, want)
		}
		if got.ID != "id" || got.Account != live.Account || got.Region != live.Region || got.Source != "aws.chime" ||
			got.DetailType != "Chime Media Pipeline State Change" || !got.Time.Equal(at) || len(got.Resources) != 0 ||
			got.Kind != "media-pipeline" || got.Subject != string(live.ID) || got.Type != string(kind) {
			t.Errorf("got %+v", got)
		}
	}
}
