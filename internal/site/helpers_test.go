package site_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmediapipelines"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings"
	"github.com/aws/aws-sdk-go-v2/service/ivs"

	"belfry.live/belfry/internal/site"
	"belfry.live/belfry/test/apiserver"
)

// A world is a site over a real server of the services it calls.
type world struct {
	server    *apiserver.Server
	site      *site.Site
	url       string
	meetings  *chimesdkmeetings.Client
	pipelines *chimesdkmediapipelines.Client
	channels  *ivs.Client
}

func newWorld(t *testing.T, cfg site.Config, change ...func(*aws.Config)) *world {
	t.Helper()
	return newWorldOver(t, apiserver.Start(t, apiserver.Config{}), cfg, change...)
}

func newWorldOver(t *testing.T, server *apiserver.Server, cfg site.Config, change ...func(*aws.Config)) *world {
	t.Helper()
	w := &world{
		server:    server,
		meetings:  chimesdkmeetings.NewFromConfig(server.AWS()),
		pipelines: chimesdkmediapipelines.NewFromConfig(server.AWS()),
		channels:  ivs.NewFromConfig(server.AWS()),
	}
	w.site, w.url = w.newSite(t, cfg, change...)
	return w
}

// newSite starts another site over the same services and tables.
func (w *world) newSite(t *testing.T, cfg site.Config, change ...func(*aws.Config)) (*site.Site, string) {
	t.Helper()
	services := w.server.AWS()
	services.RetryMaxAttempts = 1
	for _, f := range change {
		f(&services)
	}
	s, err := site.New(t.Context(), cfg, services, w.server.Tables, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(s)
	t.Cleanup(front.Close)
	return s, front.URL
}

// A meeting and attendee, as the front end sees them.
type joined struct {
	Meeting struct {
		MeetingId, ExternalMeetingId, MediaRegion string
		MediaPlacement                            struct{ SignalingUrl, AudioHostUrl string }
	}
	Attendee struct{ AttendeeId, ExternalUserId, JoinToken string }
}

type streamStatus struct {
	State, MediaPipelineID, PlaybackURL, Cause string
	StartedAt                                  time.Time
}

// call sends a request with a JSON body (nil: none), wants the status and
// decodes the answer.
func call(t *testing.T, method, url string, body any, status int, into any) {
	t.Helper()
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			t.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err)
		return
	}
	defer res.Body.Close()
	var raw json.RawMessage
	if err := json.NewDecoder(res.Body).Decode(&raw); err != nil {
		t.Errorf("%s %s: got %v, want JSON", method, url, err)
	}
	if res.StatusCode != status {
		t.Errorf("%s %s: got %s %s, want %d", method, url, res.Status, raw, status)
	}
	if into != nil {
		if err := json.Unmarshal(raw, into); err != nil {
			t.Errorf("%s %s: got %s, want %T", method, url, raw, into)
		}
	}
}

// refused is call for an answer that is an error, whose text it returns.
func refused(t *testing.T, method, url string, body any, status int) string {
	t.Helper()
	var answer struct{ Error string }
	call(t, method, url, body, status, &answer)
	return answer.Error
}

func (w *world) join(t *testing.T) joined {
	t.Helper()
	var j joined
	call(t, http.MethodPost, w.url+"/api/join", nil, http.StatusOK, &j)
	return j
}

func (w *world) status(t *testing.T, meetingID string) streamStatus {
	t.Helper()
	var st streamStatus
	call(t, http.MethodGet, w.url+"/api/stream?meetingId="+meetingID, nil, http.StatusOK, &st)
	return st
}

func (w *world) attendees(t *testing.T, meetingID string) []string {
	t.Helper()
	out, err := w.meetings.ListAttendees(t.Context(), &chimesdkmeetings.ListAttendeesInput{MeetingId: aws.String(meetingID)})
	if err != nil {
		t.Error(err)
		return nil
	}
	var ids []string
	for _, a := range out.Attendees {
		ids = append(ids, aws.ToString(a.AttendeeId))
	}
	return slices.Sorted(slices.Values(ids))
}

// nothingLeft wants no channel and no pipeline to be there any more.
func (w *world) nothingLeft(t *testing.T) {
	t.Helper()
	channels, err := w.channels.ListChannels(t.Context(), &ivs.ListChannelsInput{})
	if err != nil || len(channels.Channels) != 0 {
		t.Errorf("got channels %v (%v), want none left", channels, err)
	}
	until(t, "the pipelines are gone", func() bool {
		pipelines, err := w.pipelines.ListMediaPipelines(t.Context(), &chimesdkmediapipelines.ListMediaPipelinesInput{})
		return err == nil && len(pipelines.MediaPipelines) == 0
	})
}

// until waits for something to happen that takes a while.
func until(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !happened(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 30 s in vain: %s", what)
		}
	}
}
