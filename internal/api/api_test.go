package api_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
	"github.com/google/uuid"

	"belfry.live/belfry/internal/api/restjson"
	"belfry.live/belfry/test/apiserver"
)

func TestWrongSecret(t *testing.T) {
	s, _ := start(t)
	cfg := s.AWS()
	cfg.Credentials = credentials.NewStaticCredentialsProvider(apiserver.AccessKeyID, "another secret", "")
	c := newClients(cfg)
	_, err := c.meetings.CreateMeeting(t.Context(), meetingInput())
	checkError(t, err, http.StatusForbidden, "InvalidSignatureException", "signature does not match")
	_, err = c.channels.CreateChannel(t.Context(), &ivs.CreateChannelInput{})
	checkError(t, err, http.StatusForbidden, "InvalidSignatureException", "signature does not match")
	if strings.Contains(err.Error(), apiserver.Secret) {
		t.Error("the error tells the secret")
	}
}

func TestUnknownKey(t *testing.T) {
	s, _ := start(t)
	cfg := s.AWS()
	cfg.Credentials = credentials.NewStaticCredentialsProvider("AKIASOMEBODYELSE", apiserver.Secret, "")
	c := newClients(cfg)
	_, err := c.meetings.CreateMeeting(t.Context(), meetingInput())
	checkError(t, err, http.StatusForbidden, "UnrecognizedClientException", "AKIASOMEBODYELSE")
	_, err = c.channels.CreateChannel(t.Context(), &ivs.CreateChannelInput{})
	checkError(t, err, http.StatusForbidden, "UnrecognizedClientException", "AKIASOMEBODYELSE")
}

// A clock that is off is told the server's time, and the clients correct theirs
// by the Date of the answer when they try again.
func TestClockSkew(t *testing.T) {
	for _, off := range []time.Duration{time.Hour, -time.Hour} {
		s := apiserver.Start(t, apiserver.Config{Now: func() time.Time { return time.Now().Add(off) }})
		c := newClients(s.AWS())
		says := "the server has " + time.Now().Add(off).UTC().Format("20060102T15")
		_, err := c.meetings.CreateMeeting(t.Context(), meetingInput())
		checkError(t, err, http.StatusForbidden, "InvalidSignatureException", says)
		_, err = c.channels.CreateChannel(t.Context(), nil)
		checkError(t, err, http.StatusForbidden, "InvalidSignatureException", says)

		cfg := s.AWS()
		cfg.RetryMaxAttempts = 3
		if _, err := chimesdkmeetings.NewFromConfig(cfg).CreateMeeting(t.Context(), meetingInput()); err != nil {
			t.Errorf("%v off, with retries: got %v, want the client to learn the server's time", off, err)
		}
		if _, err := ivs.NewFromConfig(cfg).CreateChannel(t.Context(), nil); err != nil {
			t.Errorf("%v off, with retries: got %v, want the client to learn the server's time", off, err)
		}
	}
	for _, off := range []time.Duration{4 * time.Minute, -4 * time.Minute} {
		s := apiserver.Start(t, apiserver.Config{Now: func() time.Time { return time.Now().Add(off) }})
		newClients(s.AWS()).newMeeting(t)
	}
}

func TestUnsigned(t *testing.T) {
	s, _ := start(t)
	credential := "Credential=" + apiserver.AccessKeyID + "/20260304/us-east-1/ivs/aws4_request"
	signature := strings.Repeat("0", 64)
	for _, v := range []struct{ target, header, kind, says string }{
		{"/meetings", "", "MissingAuthenticationTokenException", "Missing Authentication Token"},
		{"/CreateChannel", "", "MissingAuthenticationTokenException", "Missing Authentication Token"},
		{"/meetings", "Basic abc", "IncompleteSignatureException", "AWS4-HMAC-SHA256"},
		{"/CreateChannel", "AWS4-HMAC-SHA256 Credential=x", "IncompleteSignatureException", "Credential in the Authorization header is malformed"},
		{"/CreateChannel", "AWS4-HMAC-SHA256 SignedHeaders=host, Signature=0", "IncompleteSignatureException", "has no Credential"},
		{"/CreateChannel", "AWS4-HMAC-SHA256 " + credential + ", Signature=0", "IncompleteSignatureException", "has no SignedHeaders"},
		{"/CreateChannel", "AWS4-HMAC-SHA256 " + credential + ", SignedHeaders=host", "IncompleteSignatureException", "has no Signature"},
		{"/CreateChannel", "AWS4-HMAC-SHA256 " + credential + ", SignedHeaders=x-amz-date, Signature=" + signature, "IncompleteSignatureException", "host is not signed"},
		{"/CreateChannel", "AWS4-HMAC-SHA256 " + credential + ", SignedHeaders=host, Signature=" + signature, "IncompleteSignatureException", "x-amz-date is not signed"},
	} {
		res, body := send(t, s, "chime", http.MethodPost, v.target, "{}", func(r *http.Request) {
			r.Header.Del("Authorization")
			if v.header != "" {
				r.Header.Set("Authorization", v.header)
			}
		})
		if res.StatusCode != http.StatusForbidden || res.Header.Get("X-Amzn-ErrorType") != v.kind || !strings.Contains(body, v.says) {
			t.Errorf("%s with %q: got %s %s %s, want %s", v.target, v.header, res.Status, res.Header.Get("X-Amzn-ErrorType"), body, v.kind)
		}
	}
}

func TestScopeOfAnotherService(t *testing.T) {
	s, _ := start(t)
	res, body := send(t, s, "ivs", http.MethodGet, "/sdk-media-pipelines", "", nil)
	if res.StatusCode != http.StatusForbidden || !strings.Contains(body, `scoped to service \"chime\"`) {
		t.Errorf("got %s %s, want it refused for its scope", res.Status, body)
	}
}

func TestEveryAnswerIsLabelled(t *testing.T) {
	s, _ := start(t)
	for _, target := range []string{"/meetings/" + uuid.NewString(), "/nothing", "/sdk-media-pipelines"} {
		res, _ := send(t, s, "chime", http.MethodGet, target, "", nil)
		if uuid.Validate(res.Header.Get("X-Amzn-RequestId")) != nil || res.Header.Get("Date") == "" || res.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: got headers %v, want a request id, a date and JSON", target, res.Header)
		}
	}
}

func TestErrorBodies(t *testing.T) {
	s, _ := start(t)
	_, body := send(t, s, "chime", http.MethodGet, "/meetings/"+uuid.NewString(), "", nil)
	var chime struct{ Code, Message, RequestId string }
	if err := json.Unmarshal([]byte(body), &chime); err != nil || chime.Code != "NotFound" || chime.Message == "" || chime.RequestId == "" {
		t.Errorf("got %s (%v), want Code NotFound, Message and RequestId", body, err)
	}
	_, body = send(t, s, "ivs", http.MethodPost, "/GetChannel", `{}`, nil)
	var video struct{ ExceptionMessage, Message string }
	if err := json.Unmarshal([]byte(body), &video); err != nil || video.ExceptionMessage != "arn is required" || video.Message != "arn is required" {
		t.Errorf("got %s (%v), want exceptionMessage and message to say that arn is required", body, err)
	}
}

func TestUnknownOperations(t *testing.T) {
	s, _ := start(t)
	for _, v := range []struct{ service, method, target string }{
		{"chime", http.MethodPatch, "/meetings"},
		{"chime", http.MethodPost, "/meetings?operation=unheard-of"},
		{"chime", http.MethodGet, "/sdk-media-nothing"},
		{"ivs", http.MethodPost, "/MakeCoffee"},
		{"ivs", http.MethodGet, "/CreateChannel"},
	} {
		res, body := send(t, s, v.service, v.method, v.target, "", nil)
		if res.StatusCode != http.StatusNotFound || res.Header.Get("X-Amzn-ErrorType") != "UnknownOperationException" || !json.Valid([]byte(body)) {
			t.Errorf("%s %s: got %s %s, want 404 UnknownOperationException", v.method, v.target, res.Status, body)
		}
	}
}

func TestBodies(t *testing.T) {
	s, _ := start(t)
	big := `{"name":"` + strings.Repeat("x", restjson.MaxBody) + `"}`
	res, body := send(t, s, "ivs", http.MethodPost, "/CreateChannel", big, nil)
	if res.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(body, "1048576 bytes") {
		t.Errorf("of more than 1 MiB: got %s %.100s, want 413 naming the limit", res.Status, body)
	}
	res, body = send(t, s, "ivs", http.MethodPost, "/CreateChannel", "", nil)
	if res.StatusCode != http.StatusOK {
		t.Errorf("empty: got %s %s, want 200", res.Status, body)
	}
	res, body = send(t, s, "ivs", http.MethodPost, "/CreateChannel", "{}", func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") })
	if res.StatusCode != http.StatusOK {
		t.Errorf("of another type: got %s %s, want 200", res.Status, body)
	}
	res, body = send(t, s, "ivs", http.MethodPost, "/CreateChannel", "{}", func(r *http.Request) {
		r.Body = http.NoBody
		r.ContentLength = 0
	})
	if res.StatusCode != http.StatusForbidden {
		t.Errorf("not the signed one: got %s %s, want 403", res.Status, body)
	}
}

// Endpoints may end in a slash or have a path, and neither may be redirected.
func TestEndpointForms(t *testing.T) {
	s, _ := start(t)
	// The JavaScript client sends a doubled slash but signs a single one.
	res, body := send(t, s, "ivs", http.MethodPost, "/CreateChannel", "{}", func(r *http.Request) { r.URL.Path = "//CreateChannel" })
	if res.StatusCode != http.StatusOK {
		t.Errorf("//CreateChannel: got %s %s, want 200", res.Status, body)
	}
	cfg := s.AWS()
	cfg.BaseEndpoint = aws.String(s.URL + "/")
	newClients(cfg).newMeeting(t)

	based := apiserver.Start(t, apiserver.Config{BasePath: "/aws/v1/"})
	cfg = based.AWS()
	cfg.BaseEndpoint = aws.String(based.URL + "/aws/v1")
	c := newClients(cfg)
	m := c.newMeeting(t)
	if _, err := c.meetings.GetMeeting(t.Context(), &chimesdkmeetings.GetMeetingInput{MeetingId: m.MeetingId}); err != nil {
		t.Errorf("below a base path: got %v, want the meeting", err)
	}
	if res, _ := send(t, based, "chime", http.MethodGet, "/meetings/"+*m.MeetingId, "", nil); res.StatusCode != http.StatusNotFound {
		t.Errorf("beside the base path: got %s, want 404", res.Status)
	}
}

// Behind a proxy the client signed the proxy's name.
func TestForwardedHost(t *testing.T) {
	for _, trust := range []bool{false, true} {
		s := apiserver.Start(t, apiserver.Config{TrustProxy: trust})
		backend := s.URL
		s.URL = "http://belfry.example.com" // what the client sees and signs
		res, body := send(t, s, "chime", http.MethodGet, "/sdk-media-pipelines", "", func(r *http.Request) {
			r.Header.Set("X-Forwarded-Host", r.URL.Host)
			r.Host = strings.TrimPrefix(backend, "http://")
			r.URL.Host = r.Host
		})
		want := map[bool]int{false: http.StatusForbidden, true: http.StatusOK}[trust]
		if res.StatusCode != want {
			t.Errorf("trust %t: got %s %s, want %d", trust, res.Status, body, want)
		}
	}
}

func TestClaims(t *testing.T) {
	s, _ := start(t)
	based := apiserver.Start(t, apiserver.Config{BasePath: "aws"})
	for _, v := range []struct {
		server        *apiserver.Server
		method        string
		target        string
		authorization string
		want          bool
	}{
		{s, http.MethodPost, "/meetings", "", true},
		{s, http.MethodPost, "//CreateChannel", "", true},
		{s, http.MethodGet, "/meetings/x/attendees?next-token=1", "", true},
		{s, http.MethodPost, "/MakeCoffee", "AWS4-HMAC-SHA256 x", true},
		{s, http.MethodGet, "/", "", false},
		{s, http.MethodGet, "/watch/x", "", false},
		{s, http.MethodGet, "/assets/index.js", "", false},
		{s, http.MethodGet, "/watch/x", "Bearer x", false},
		{based, http.MethodPost, "/aws/CreateChannel", "", true},
		{based, http.MethodPost, "//aws//CreateChannel", "", true},
		{based, http.MethodPost, "/CreateChannel", "", false},
		{based, http.MethodPost, "/awsCreateChannel", "", false},
	} {
		r := httptest.NewRequest(v.method, "http://localhost"+v.target, bytes.NewReader(nil))
		r.RequestURI = v.target
		if v.authorization != "" {
			r.Header.Set("Authorization", v.authorization)
		}
		if got := v.server.API.Claims(r); got != v.want {
			t.Errorf("%s %s with %q: got %t, want %t", v.method, v.target, v.authorization, got, v.want)
		}
	}
}
