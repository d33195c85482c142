package e2e

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings/types"
	"github.com/nats-io/nats.go"
)

// anEvent is an event as every way out of the server tells it.
type anEvent struct {
	ID, Account, Region, Source string
	DetailType                  string `json:"detail-type"`
	Detail                      struct{ EventType, MeetingID string }
}

func (e anEvent) String() string { return e.Detail.EventType + " " + e.ID }

// heard are the events that came one way.
type heard struct {
	mu     sync.Mutex
	events []anEvent
}

func (h *heard) add(text []byte) error {
	var e anEvent
	if err := json.Unmarshal(text, &e); err != nil {
		return fmt.Errorf("%q: %w", text, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
	return nil
}

// types are what happened to the meeting.
func (h *heard) types(meeting string) (list []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events {
		if e.Detail.MeetingID == meeting {
			list = append(list, strings.TrimPrefix(e.Detail.EventType, "chime:"))
		}
	}
	return list
}

// of are the events of the meeting.
func (h *heard) of(meeting string) (list []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events {
		if e.Detail.MeetingID == meeting {
			list = append(list, e.String())
		}
	}
	return list
}

// listen runs a program that prints events, each after the prefix on a line of
// its own, until the test ends.
func (s server) listen(prefix string, command ...string) *heard {
	s.t.Helper()
	h := &heard{}
	cmd := exec.CommandContext(s.t.Context(), command[0], command[1:]...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if text, ok := bytes.CutPrefix(lines.Bytes(), []byte(prefix)); ok && len(text) > 0 {
				if err := h.add(text); err != nil {
					s.t.Error(err)
				}
			}
		}
		_ = cmd.Wait() // it is killed, or the server has gone
	}()
	s.t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	return h
}

func (s server) curl(k accessKey, args ...string) []string {
	return append([]string{
		"curl", "--silent", "--no-buffer", "--aws-sigv4", "aws:amz:us-east-1:events", "--user", k.AccessKeyID + ":" + k.SecretAccessKey,
	}, args...)
}

func (s server) meetings(k accessKey) *chimesdkmeetings.Client {
	return chimesdkmeetings.NewFromConfig(aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(s.Endpoint),
		Credentials: credentials.NewStaticCredentialsProvider(k.AccessKeyID, k.SecretAccessKey, k.SessionToken),
	})
}

// hook takes posts, checks their signatures and drops what it has had; while it
// is told to refuse, it does.
type hook struct {
	*httptest.Server
	heard
	t      *testing.T
	mu     sync.Mutex
	refuse bool
	had    map[string]bool
}

const hookSecret = "a secret for the webhooks of a test"

func newHook(t *testing.T) *hook {
	h := &hook{t: t, had: map[string]bool{}}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		h.t.Error(err)
	}
	mac := hmac.New(sha256.New, []byte(hookSecret))
	fmt.Fprintf(mac, "%s.%s.%s", r.Header.Get("Webhook-Id"), r.Header.Get("Webhook-Timestamp"), body)
	if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); r.Header.Get("Webhook-Signature") != want {
		h.t.Errorf("got signature %q, want %q", r.Header.Get("Webhook-Signature"), want)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	id := r.Header.Get("Webhook-Id")
	if h.refuse {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if h.had[id] {
		return
	}
	h.had[id] = true
	if err := h.add(body); err != nil {
		h.t.Error(err)
	}
}

func (h *hook) refuseAll(refuse bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refuse = refuse
}

// One meeting's events are told in the same order by curl's stream, by belfry
// events, by NATS and by webhooks; nobody else's key gets them; and a server
// that is killed and started again goes on where it was.
func TestEvents(t *testing.T) {
	const queue = "arn:aws:sqs:us-east-1:000000000000:meetings"
	everything, asked := newHook(t), newHook(t)
	file := filepath.Join(t.TempDir(), "belfry.toml")
	settings := fmt.Sprintf(`
[events]
nats = "127.0.0.1:0"
[[events.webhook]]
url = %[1]q
secret = %[3]q
[[events.webhook]]
name = "queue"
url = %[2]q
secret = %[3]q
arn = %[4]q
`, everything.URL+"/hook?token=s3cret", asked.URL, hookSecret, queue)
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, "--config", file)
	access, err := s.Access()
	if err != nil {
		t.Fatal(err)
	}
	owner := accessKey{access.AccessKeyID, access.SecretAccessKey, ""}
	stranger := s.newKey("--account", "222222222222")
	temporary := s.newKey("--ttl", "1h")

	stream := s.listen("data: ", s.curl(owner, s.Endpoint+"/events?detail-type=Chime%20Meeting%20State%20Change&since=1h")...)
	tail := s.listen("", program, "events", "--data", s.Data, "--since", "1h")
	session := s.listen("", program, "events", "--data", s.Data, "--since", "1h", "--key", temporary.AccessKeyID, "--source", "aws.chime")
	foreign := s.listen("data: ", s.curl(stranger, s.Endpoint+"/events?since=1h")...)
	subscribed := &heard{}
	subscriber, err := nats.Connect(s.natsAddress(), nats.UserInfo(owner.AccessKeyID, owner.SecretAccessKey))
	if err != nil {
		t.Fatal(err)
	}
	defer subscriber.Close()
	for name, k := range map[string]accessKey{"a temporary key": temporary, "a wrong secret": {owner.AccessKeyID, stranger.SecretAccessKey, ""}} {
		if c, err := nats.Connect(s.natsAddress(), nats.UserInfo(k.AccessKeyID, k.SecretAccessKey)); err == nil {
			c.Close()
			t.Errorf("NATS lets in %s", name)
		}
	}
	if _, err := subscriber.Subscribe("events.000000000000.>", func(m *nats.Msg) {
		if err := subscribed.add(m.Data); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := subscriber.Flush(); err != nil {
		t.Fatal(err)
	}

	everyone := map[string]*heard{
		"curl": stream, "belfry events": tail, "with a session token": session, "NATS": subscribed, "webhook": &everything.heard, "webhook of the queue": &asked.heard,
	}
	told := func(meeting string, want []string, ways ...string) {
		t.Helper()
		for name, h := range everyone {
			if len(ways) > 0 && !slices.Contains(ways, name) {
				continue
			}
			until(t, 20*time.Second, fmt.Sprintf("%s: %v, want %v", name, h.types(meeting), want), func() bool { return len(h.types(meeting)) >= len(want) })
			if got := h.types(meeting); !slices.Equal(got, want) {
				t.Errorf("%s: got %v, want %v", name, got, want)
			}
			if got, want := h.of(meeting), tail.of(meeting); (len(ways) == 0 || slices.Contains(ways, "belfry events")) && !slices.Equal(got, want) {
				t.Errorf("%s: got %v, want %v as belfry events", name, got, want)
			}
		}
	}
	client := s.meetings(owner)
	create := func(queue string) string {
		t.Helper()
		in := &chimesdkmeetings.CreateMeetingInput{ExternalMeetingId: aws.String("m1"), MediaRegion: aws.String("us-east-1")}
		if queue != "" {
			in.NotificationsConfiguration = &types.NotificationsConfiguration{SqsQueueArn: aws.String(queue)}
		}
		out, err := client.CreateMeeting(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		return *out.Meeting.MeetingId
	}
	end := func(id string) {
		t.Helper()
		if _, err := client.DeleteMeeting(t.Context(), &chimesdkmeetings.DeleteMeetingInput{MeetingId: &id}); err != nil {
			t.Fatal(err)
		}
	}
	life := []string{"MeetingStarted", "AttendeeAdded", "MeetingEnded"}
	first := create(queue)
	if _, err := client.CreateAttendee(t.Context(), &chimesdkmeetings.CreateAttendeeInput{MeetingId: &first, ExternalUserId: aws.String("somebody")}); err != nil {
		t.Fatal(err)
	}
	end(first)
	told(first, life, "curl", "with a session token", "NATS", "webhook", "webhook of the queue")
	// A meeting that names no queue, and an account of its own.
	second := create("")
	told(second, life[:1], "curl", "with a session token", "NATS", "webhook")
	theirs, err := s.meetings(stranger).CreateMeeting(t.Context(), &chimesdkmeetings.CreateMeetingInput{ExternalMeetingId: aws.String("m2"), MediaRegion: aws.String("us-east-1")})
	if err != nil {
		t.Fatal(err)
	}
	until(t, 20*time.Second, "the stranger hears of its own meeting", func() bool { return len(foreign.types(*theirs.Meeting.MeetingId)) == 1 })

	// While the server is away nothing is lost: not what webhooks refused, and
	// not what was acknowledged just before it was killed.
	everything.refuseAll(true)
	end(second)
	third := create(queue)
	if err := s.PinPorts(); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	everything.refuseAll(false)
	s.run()
	end(third)
	told(second, []string{"MeetingStarted", "MeetingEnded"}, "webhook")
	told(third, []string{"MeetingStarted", "MeetingEnded"}, "webhook", "webhook of the queue")

	for _, h := range everyone {
		if got := h.types(*theirs.Meeting.MeetingId); len(got) > 0 && h != &everything.heard {
			t.Errorf("got %v of another account's meeting, want nothing", got)
		}
	}
	for _, id := range []string{first, second, third} {
		if got := foreign.types(id); len(got) > 0 {
			t.Errorf("another account's key: got %v, want nothing", got)
		}
		if got := asked.types(id); id == second && len(got) > 0 {
			t.Errorf("the webhook of the queue: got %v of a meeting that named none", got)
		}
	}
	if log := s.Log.String(); strings.Contains(log, "s3cret") || strings.Contains(log, hookSecret) || strings.Contains(log, owner.SecretAccessKey) {
		t.Error("the log holds a secret")
	}
}

// natsAddress is where the log says that NATS subscribers are listened to.
func (s server) natsAddress() string {
	s.t.Helper()
	found := regexp.MustCompile(` nats=(\S+)`).FindStringSubmatch(s.Log.String())
	if found == nil {
		s.t.Fatal("the log does not say where NATS subscribers are listened to")
	}
	return "nats://" + found[1]
}

// Who may not have events is told why, in the form that AWS clients read.
func TestEventsAreRefused(t *testing.T) {
	s := start(t)
	access, err := s.Access()
	if err != nil {
		t.Fatal(err)
	}
	owner := accessKey{access.AccessKeyID, access.SecretAccessKey, ""}
	policy := func(action string) accessKey {
		text := fmt.Sprintf(`{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": [%q], "Resource": "*"}]}`, action)
		name := filepath.Join(t.TempDir(), "policy.json")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return s.newKey("--policy", name)
	}
	other := owner
	other.SecretAccessKey = strings.Repeat("x", 40)
	temporary := s.newKey("--ttl", "1h")
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"nobody", []string{"curl", "--silent", "--include"}, "MissingAuthenticationTokenException"},
		{"wrong secret", s.curl(other, "--include"), "InvalidSignatureException"},
		{"no permission", s.curl(policy("ivs:*"), "--include"), "AccessDeniedException"},
		{"no session token", s.curl(temporary, "--include"), "UnrecognizedClientException"},
		{"permission", s.curl(policy("events:Subscribe"), "--include", "--head"), "ValidationException"}, // HEAD
	} {
		for _, path := range []string{"/events", "/events/dead"} {
			out, err := exec.CommandContext(t.Context(), c.args[0], append(c.args[1:], s.Endpoint+path)...).Output()
			if err != nil || !strings.Contains(strings.ToLower(string(out)), strings.ToLower("X-Amzn-ErrorType: "+c.want)) {
				t.Errorf("%s at %s: got %s (%v), want %s", c.name, path, out, err, c.want)
			}
		}
	}
	out, stderr, err := belfry("events", "dead", "--data", s.Data)
	if err != nil || out != "" {
		t.Errorf("belfry events dead: got %q %s (%v), want nothing", out, stderr, err)
	}
	if _, stderr, err := belfry("events", "--data", s.Data, "--since", "yesterday"); err == nil || !strings.Contains(stderr, "since is") {
		t.Errorf("got %q (%v), want what is wrong with since", stderr, err)
	}
}

// What a webhook did not take in time is shown and counted.
func TestDeadLetters(t *testing.T) {
	nobody := httptest.NewServer(http.NotFoundHandler())
	nobody.Close()
	file := filepath.Join(t.TempDir(), "belfry.toml")
	settings := fmt.Sprintf("[events]\nretry_for = \"1s\"\n[[events.webhook]]\nname = \"gone\"\nurl = %q\nsecret = %q\n", nobody.URL, hookSecret)
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, "--config", file)
	joined, err := s.Join("Ann")
	if err != nil {
		t.Fatal(err)
	}
	var out string
	until(t, 20*time.Second, "two dead letters", func() bool {
		var stderr string
		if out, stderr, err = belfry("events", "dead", "--data", s.Data); err != nil {
			t.Fatalf("%v: %s", err, stderr)
		}
		return strings.Count(out, "\n") == 2 // the meeting started, and an attendee was added
	})
	var letter struct {
		Webhook, Reason string
		Attempts        int
		Event           anEvent
	}
	first, _, _ := strings.Cut(out, "\n")
	if err := json.Unmarshal([]byte(first), &letter); err != nil {
		t.Fatal(err)
	}
	if letter.Webhook != "gone" || letter.Reason != "it cannot be reached" || letter.Attempts < 1 ||
		letter.Event.Detail.EventType != "chime:MeetingStarted" || letter.Event.Detail.MeetingID != joined.Meeting.MeetingID {
		t.Errorf("got %s", first)
	}
	metrics := func() string {
		res, err := http.Get(s.Endpoint + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, want := range []string{
		`belfry_events_total{source="aws.chime"} 2`, `belfry_webhook_dead_total{webhook="gone"} 2`,
		`belfry_webhook_delivered_total{webhook="gone"} 0`, `belfry_webhook_failures_total{reason="connect",webhook="gone"}`,
		`belfry_webhook_retries_total{webhook="gone"}`, `belfry_webhook_waiting{webhook="gone"} 0`, `belfry_event_clients 0`,
	} {
		until(t, 5*time.Second, want+" in the metrics", func() bool { return strings.Contains(metrics(), "\n"+want) })
	}
}
