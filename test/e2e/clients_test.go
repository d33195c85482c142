package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"belfry.live/belfry/test/clients"
	"belfry.live/belfry/test/running"
)

// What existing applications wait: before they ask for the stream, for they
// ask once, and before they delete the channel.
const (
	applicationStarts = 5 * time.Second
	applicationEnds   = 3 * time.Second
)

// TestExistingApplications does with each official client what applications
// written for AWS do, call by call, with people in the meeting and a viewer.
func TestExistingApplications(t *testing.T) {
	s := start(t)
	key, err := s.Access()
	if err != nil {
		t.Fatal(err)
	}
	setup := clients.Setup{Endpoint: s.Endpoint, Region: "us-east-1", AccessKeyID: key.AccessKeyID, Secret: key.SecretAccessKey}
	environment := []string{ // what belfry env prints
		"AWS_ENDPOINT_URL_CHIME_SDK_MEETINGS=" + s.Endpoint, "AWS_ENDPOINT_URL_CHIME_SDK_MEDIA_PIPELINES=" + s.Endpoint,
		"AWS_ENDPOINT_URL_IVS=" + s.Endpoint,
		"AWS_ACCESS_KEY_ID=" + key.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + key.SecretAccessKey, "AWS_REGION=us-east-1",
	}
	t.Run("Go", func(t *testing.T) { application{t, clients.NewGo(), setup}.run() })
	t.Run("JavaScript, set up by the environment", func(t *testing.T) {
		application{t, clients.JavaScript(t, environment...), clients.Setup{}}.run()
	})
	t.Run("aws CLI", func(t *testing.T) { application{t, clients.CLI(t), setup}.run() })
}

// An application is one that was written for AWS.
type application struct {
	t      *testing.T
	client clients.Client
	setup  clients.Setup
}

// call returns the answer of a call, which must succeed with the status if the
// client tells it.
func (a application) call(status int, service, operation string, input map[string]any) clients.Answer {
	a.t.Helper()
	answer, err := a.client.Call(a.t.Context(), a.setup, clients.Request{Service: service, Operation: operation, Input: input})
	if err == nil && answer.Error != nil {
		err = fmt.Errorf("%s: %s", answer.Error.Type, answer.Error.Text)
	}
	if err == nil && answer.Status != 0 && answer.Status != status {
		err = fmt.Errorf("got status %d, want %d", answer.Status, status)
	}
	if err != nil {
		a.t.Fatalf("%s: %v", operation, err)
	}
	return answer
}

// get decodes what a call answers.
func (a application) get(status int, service, operation string, input map[string]any, into any) {
	a.t.Helper()
	text, err := json.Marshal(a.call(status, service, operation, input).Output)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		a.t.Fatalf("%s: %v", operation, err)
	}
}

type object = map[string]any

func (a application) run() {
	t := a.t
	var made running.Joined
	a.get(http.StatusOK, clients.Meetings, "CreateMeeting", object{
		"ClientRequestToken": uuid.NewString(), "MediaRegion": "us-east-1", "ExternalMeetingId": "rehearsal", "NotificationsConfiguration": object{},
	}, &made)
	meeting := object{"MeetingId": made.Meeting.MeetingID}
	guests := map[string]*guest{}
	for _, l := range []look{red, blue} {
		j := made
		a.get(http.StatusOK, clients.Meetings, "CreateAttendee", object{"MeetingId": made.Meeting.MeetingID, "ExternalUserId": l.name}, &j)
		a.get(http.StatusOK, clients.Meetings, "GetMeeting", meeting, &j) // as every joiner asks
		guests[l.name] = attend(t, l, j)
	}
	ann, bob := guests[red.name], guests[blue.name]

	var channel struct {
		Channel   struct{ ARN, IngestEndpoint, PlaybackURL string }
		StreamKey struct{ Value string }
	}
	a.get(http.StatusOK, clients.IVS, "CreateChannel", object{"latencyMode": "NORMAL"}, &channel)
	var pipeline struct {
		MediaLiveConnectorPipeline struct {
			MediaPipelineID string `json:"MediaPipelineId"`
		}
	}
	account := strings.Split(channel.Channel.ARN, ":")[4]
	a.get(http.StatusCreated, clients.Pipelines, "CreateMediaLiveConnectorPipeline", object{
		"Sources": []any{object{
			"SourceType": "ChimeSdkMeeting",
			"ChimeSdkMeetingLiveConnectorConfiguration": object{
				"Arn":     "arn:aws:chime::" + account + ":meeting:" + made.Meeting.MeetingID,
				"MuxType": "AudioWithCompositedVideo",
				"CompositedVideo": object{
					"Layout": "GridView", "Resolution": "FHD", "GridViewConfiguration": object{"ContentShareLayout": "Vertical"},
				},
			},
		}},
		"Sinks": []any{object{
			"SinkType": "RTMP",
			"RTMPConfiguration": object{
				"Url":           "rtmps://" + channel.Channel.IngestEndpoint + ":443/app/" + channel.StreamKey.Value,
				"AudioChannels": "Stereo", "AudioSampleRate": "48000",
			},
		}},
	}, &pipeline)

	time.Sleep(applicationStarts)
	var live struct {
		Stream struct{ State, PlaybackURL string }
	}
	a.get(http.StatusOK, clients.IVS, "GetStream", object{"channelArn": channel.Channel.ARN}, &live)
	if live.Stream.State != "LIVE" || live.Stream.PlaybackURL != channel.Channel.PlaybackURL {
		t.Errorf("got the stream %+v, want it LIVE at %s", live.Stream, channel.Channel.PlaybackURL)
	}
	r := watch(t, channel.Channel.PlaybackURL, 2*time.Second)
	last := len(r.pictures) - 1
	if last < 30 {
		t.Fatalf("got %d pictures in 2 s", len(r.pictures))
	}
	left, right := r.colour(last, 0.25, 0.5), r.colour(last, 0.75, 0.5)
	if !(near(left, ann.rgb) && near(right, bob.rgb)) && !(near(left, bob.rgb) && near(right, ann.rgb)) {
		t.Errorf("got colours %v and %v in the grid, want %v and %v", left, right, ann.rgb, bob.rgb)
	}

	a.call(http.StatusNoContent, clients.Pipelines, "DeleteMediaPipeline", object{"MediaPipelineId": pipeline.MediaLiveConnectorPipeline.MediaPipelineID})
	time.Sleep(applicationEnds)
	a.call(http.StatusNoContent, clients.IVS, "DeleteChannel", object{"arn": channel.Channel.ARN})
	a.call(http.StatusNoContent, clients.Meetings, "DeleteMeeting", meeting)
	gone, err := a.client.Call(t.Context(), a.setup, clients.Request{Service: clients.Meetings, Operation: "GetMeeting", Input: meeting})
	if err != nil || gone.Error == nil || gone.Error.Type != "NotFoundException" {
		t.Errorf("GetMeeting after the end: got %+v (%v), want NotFoundException", gone, err)
	}
	for _, g := range guests {
		until(t, 5*time.Second, g.name+" was told that the meeting has ended", g.over)
	}
}
