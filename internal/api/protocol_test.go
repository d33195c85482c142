package api_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
	ivstypes "github.com/aws/aws-sdk-go-v2/service/ivs/types"
	"github.com/aws/smithy-go"
	"github.com/google/uuid"

	"belfry.live/belfry/internal/api"
	"belfry.live/belfry/test/apiserver"
)

// cutting returns an endpoint of the server that does all that is asked, but
// cuts the line instead of the first answer to every second request.
func cutting(t *testing.T, s *apiserver.Server) (url string, cuts *atomic.Int32) {
	var n atomic.Int32
	cuts = &atomic.Int32{}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1)%2 == 0 {
			s.API.ServeHTTP(w, r)
			return
		}
		cuts.Add(1)
		s.API.ServeHTTP(httptest.NewRecorder(), r)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_ = conn.Close()
	}))
	t.Cleanup(front.Close)
	return front.URL, cuts
}

// A client that did not get the answer asks again, and what it asked for is
// done once.
func TestAnswersCutOff(t *testing.T) {
	s, direct := start(t)
	endpoint, cuts := cutting(t, s)
	cfg := s.AWS()
	cfg.BaseEndpoint = aws.String(endpoint)
	cfg.RetryMaxAttempts = 3
	c := ivs.NewFromConfig(cfg)

	made, err := c.CreateChannel(t.Context(), &ivs.CreateChannelInput{Name: aws.String("once")})
	if err != nil {
		t.Fatal(err)
	}
	list, err := direct.channels.ListChannels(t.Context(), &ivs.ListChannelsInput{})
	if err != nil || len(list.Channels) != 1 || *list.Channels[0].Arn != *made.Channel.Arn {
		t.Errorf("got %v (%v), want the one channel that was answered with", list, err)
	}
	if _, err := c.DeleteChannel(t.Context(), &ivs.DeleteChannelInput{Arn: made.Channel.Arn}); err != nil {
		t.Errorf("delete: got %v, want success", err)
	}
	_, err = c.GetChannel(t.Context(), &ivs.GetChannelInput{Arn: made.Channel.Arn})
	checkError(t, err, http.StatusNotFound, "ResourceNotFoundException", *made.Channel.Arn)
	if cuts.Load() != 3 {
		t.Errorf("got %d lines cut, want 3", cuts.Load())
	}
}

// An error is repeated as it was, with the id under which the log has it.
func TestErrorsCutOff(t *testing.T) {
	s, _ := start(t)
	id := func(r *http.Request) { r.Header.Set("Amz-Sdk-Invocation-Id", "0b0e2c8c") }
	target := "/meetings/" + uuid.NewString()
	first, text := send(t, s, "chime", http.MethodDelete, target, "", id)
	second, again := send(t, s, "chime", http.MethodDelete, target, "", id)
	if first.StatusCode != http.StatusNotFound || second.StatusCode != first.StatusCode || again != text ||
		second.Header.Get("X-Amzn-RequestId") != first.Header.Get("X-Amzn-RequestId") ||
		second.Header.Get("X-Amzn-ErrorType") != "NotFoundException" {
		t.Errorf("got %s %v %s, then %s %v %s, want the same", first.Status, first.Header, text, second.Status, second.Header, again)
	}
	if got := s.API.Stats(); got != (api.Stats{Refused: 1, Repeated: 1}) {
		t.Errorf("got %+v, want one request refused and one repeated", got)
	}
	other, _ := send(t, s, "chime", http.MethodDelete, target, "", nil)
	if other.Header.Get("X-Amzn-RequestId") == first.Header.Get("X-Amzn-RequestId") {
		t.Error("another request got the answer")
	}
}

func TestThrottling(t *testing.T) {
	s := apiserver.Start(t, apiserver.Config{Throttling: api.AWSThrottling})
	for _, c := range []struct{ service, method, target, body, kind string }{
		{"chime", http.MethodGet, "/meetings/" + uuid.NewString(), "", "ThrottlingException"},
		{"chime", http.MethodGet, "/sdk-media-pipelines/" + uuid.NewString(), "", "ThrottledClientException"},
		{"ivs", http.MethodPost, "/ListChannels", "{}", "ThrottlingException"},
	} {
		var group sync.WaitGroup
		var refused atomic.Pointer[http.Response]
		for range 80 {
			group.Go(func() {
				if res, _ := send(t, s, c.service, c.method, c.target, c.body, nil); res.StatusCode == http.StatusTooManyRequests {
					refused.Store(res)
				}
			})
		}
		group.Wait()
		res := refused.Load()
		if res == nil || res.Header.Get("X-Amzn-ErrorType") != c.kind || res.Header.Get("Retry-After") != "1" {
			t.Errorf("%s: got %+v, want %s with Retry-After 1", c.target, res, c.kind)
		}
	}
}

// The Go client has no text for the errors of IVS that it knows, but in a field
// of their own; it has one for all others.
func TestMessagesOfIVS(t *testing.T) {
	s, c := start(t)
	_, err := c.channels.GetChannel(t.Context(), &ivs.GetChannelInput{Arn: aws.String("x")})
	known := as[*ivstypes.ValidationException](t, err)
	if aws.ToString(known.ExceptionMessage) == "" || known.ErrorMessage() != "" {
		t.Errorf("got %q and ErrorMessage %q, want a text and none: docs/api.md says so", aws.ToString(known.ExceptionMessage), known.ErrorMessage())
	}
	cfg := s.AWS()
	cfg.Credentials = credentials.NewStaticCredentialsProvider(apiserver.AccessKeyID, "another secret", "")
	_, err = newClients(cfg).channels.GetChannel(t.Context(), &ivs.GetChannelInput{Arn: aws.String("x")})
	if other := as[*smithy.GenericAPIError](t, err); !strings.Contains(other.ErrorMessage(), "signature") {
		t.Errorf("got %q, want ErrorMessage to speak of the signature", other.ErrorMessage())
	}
}

func TestStats(t *testing.T) {
	s, c := start(t)
	c.newMeeting(t)
	_, _ = send(t, s, "chime", http.MethodGet, "/meetings/"+uuid.NewString(), "", nil)
	_, _ = send(t, s, "ivs", http.MethodGet, "/sdk-media-pipelines", "", nil) // signed for another service
	_, _ = send(t, s, "ivs", http.MethodPost, "/MakeCoffee", "", nil)
	if got := s.API.Stats(); got != (api.Stats{Done: 1, Refused: 2, Forbidden: 1}) {
		t.Errorf("got %+v, want one done, two refused and one forbidden", got)
	}
}

// Where regions are ignored, all are one.
func TestOneRegion(t *testing.T) {
	s := apiserver.Start(t, apiserver.Config{OnlyRegion: "eu-central-1"})
	made := newClients(s.AWS()).newMeeting(t)
	elsewhere := s.AWS()
	elsewhere.Region = "ap-south-1"
	got, err := newClients(elsewhere).meetings.GetMeeting(t.Context(), &chimesdkmeetings.GetMeetingInput{MeetingId: made.MeetingId})
	if err != nil {
		t.Fatal(err)
	}
	if want := "arn:aws:chime:eu-central-1:" + apiserver.Account + ":meeting/" + *made.MeetingId; *got.Meeting.MeetingArn != want {
		t.Errorf("got %s, want %s", *got.Meeting.MeetingArn, want)
	}
}
