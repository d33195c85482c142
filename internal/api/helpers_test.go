package api_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmediapipelines"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings"
	meetingtypes "github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings/types"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
	"github.com/aws/smithy-go"
	"github.com/google/uuid"

	"belfry.live/belfry/test/apiserver"
)

// clients are the official ones, as an application sets them up.
type clients struct {
	meetings  *chimesdkmeetings.Client
	pipelines *chimesdkmediapipelines.Client
	channels  *ivs.Client
}

func newClients(cfg aws.Config) clients {
	cfg.RetryMaxAttempts = 1
	return clients{
		chimesdkmeetings.NewFromConfig(cfg),
		chimesdkmediapipelines.NewFromConfig(cfg),
		ivs.NewFromConfig(cfg),
	}
}

func start(t *testing.T) (*apiserver.Server, clients) {
	t.Helper()
	s := apiserver.Start(t, apiserver.Config{})
	return s, newClients(s.AWS())
}

// newMeeting makes a meeting with nothing special about it.
func (c clients) newMeeting(t *testing.T) *meetingtypes.Meeting {
	t.Helper()
	out, err := c.meetings.CreateMeeting(t.Context(), meetingInput())
	if err != nil {
		t.Fatal(err)
	}
	return out.Meeting
}

func meetingInput() *chimesdkmeetings.CreateMeetingInput {
	return &chimesdkmeetings.CreateMeetingInput{
		ClientRequestToken: aws.String(uuid.NewString()),
		ExternalMeetingId:  aws.String("rehearsal"),
		MediaRegion:        aws.String("eu-central-1"),
	}
}

// checkError holds an error to its type, its status and what its message says.
func checkError(t *testing.T, err error, status int, code, says string) {
	t.Helper()
	e, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		t.Errorf("got %v, want %s", err, code)
		return
	}
	var got interface{ HTTPStatusCode() int }
	if !errors.As(err, &got) || got.HTTPStatusCode() != status || e.ErrorCode() != code || !strings.Contains(message(e), says) {
		t.Errorf("got %v: %q, want %d %s saying %q", err, message(e), status, code, says)
	}
	var id interface{ ServiceRequestID() string }
	if !errors.As(err, &id) || uuid.Validate(id.ServiceRequestID()) != nil {
		t.Errorf("got %v, want it to carry a request id", err)
	}
}

// message returns what the error says. The client for IVS has it in a field of
// the modelled errors, where ErrorMessage does not look.
func message(e smithy.APIError) string {
	if v := reflect.Indirect(reflect.ValueOf(e)); v.Kind() == reflect.Struct {
		if f := v.FieldByName("ExceptionMessage"); f.IsValid() {
			return aws.ToString(f.Interface().(*string))
		}
	}
	return e.ErrorMessage()
}

// as returns err as a T, the type that a client has for a modelled error.
func as[T error](t *testing.T, err error) T {
	t.Helper()
	e, ok := errors.AsType[T](err)
	if !ok {
		t.Fatalf("got %v, want a %T", err, e)
	}
	return e
}

// send signs and sends a request that no client would make, and returns the
// answer with its body.
func send(t *testing.T, s *apiserver.Server, service, method, target, body string, change func(*http.Request)) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256([]byte(body))
	creds := aws.Credentials{AccessKeyID: apiserver.AccessKeyID, SecretAccessKey: apiserver.Secret}
	err = v4.NewSigner().SignHTTP(t.Context(), creds, req, hex.EncodeToString(hash[:]), service, apiserver.Region, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(req)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text)
}
