package e2e

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
	"github.com/aws/smithy-go"
)

// accessKey is one as `belfry keys create --json` prints it.
type accessKey struct{ AccessKeyID, SecretAccessKey, SessionToken string }

func (s server) newKey(args ...string) accessKey {
	s.t.Helper()
	out, stderr, err := belfry(append([]string{"keys", "create", "--json", "--data", s.Data}, args...)...)
	if err != nil {
		s.t.Fatalf("%v: %s", err, stderr)
	}
	var k accessKey
	if err := json.Unmarshal([]byte(out), &k); err != nil {
		s.t.Fatal(err)
	}
	return k
}

func (s server) revoke(id string) {
	s.t.Helper()
	if _, stderr, err := belfry("keys", "revoke", id, "--data", s.Data); err != nil {
		s.t.Fatalf("%v: %s", err, stderr)
	}
}

func (s server) channels(k accessKey) *ivs.Client {
	return ivs.NewFromConfig(aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(s.Endpoint), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(k.AccessKeyID, k.SecretAccessKey, k.SessionToken),
	})
}

func TestKeysWhileTheServerRuns(t *testing.T) {
	s := start(t)
	owner, err := s.Access()
	if err != nil {
		t.Fatal(err)
	}
	owners := accessKey{owner.AccessKeyID, owner.SecretAccessKey, ""}
	if _, err := s.channels(owners).CreateChannel(t.Context(), &ivs.CreateChannelInput{}); err != nil {
		t.Fatal(err)
	}

	// A new key works at once, for its own account.
	other := s.newKey("--account", "222222222222")
	list, err := s.channels(other).ListChannels(t.Context(), nil)
	if err != nil || len(list.Channels) != 0 {
		t.Errorf("another account: got %v (%v), want no channels", list, err)
	}
	s.revoke(other.AccessKeyID)
	until(t, 2*time.Second, "the revoked key is refused", func() bool {
		_, err := s.channels(other).ListChannels(t.Context(), nil)
		refusal, ok := errors.AsType[smithy.APIError](err)
		return ok && refusal.ErrorCode() == "UnrecognizedClientException"
	})

	// A temporary one goes through a shell's environment.
	temporary := s.newKey("--ttl", "1h", "--name", "visitor")
	shell := exec.Command("sh", "-ec", `eval "$("$0" env --data "$1" --key "$2")"; env`, program, s.Data, temporary.AccessKeyID)
	shell.Env = append(os.Environ(), "AWS_SESSION_TOKEN=foreign", "AWS_PROFILE=foreign")
	text, err := shell.CombinedOutput()
	if err != nil || strings.Contains(string(text), "foreign") {
		t.Errorf("after eval: %v\n%s", err, text)
	}
	env := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		env[name] = value
	}
	from := accessKey{env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], env["AWS_SESSION_TOKEN"]}
	if from != temporary {
		t.Errorf("got the key %s from the environment, want %s", from.AccessKeyID, temporary.AccessKeyID)
	}
	if list, err := s.channels(from).ListChannels(t.Context(), nil); err != nil || len(list.Channels) != 1 {
		t.Errorf("temporary: got %v (%v), want the channel", list, err)
	}

	for _, k := range []accessKey{owners, other, temporary} {
		if strings.Contains(s.Log.String(), k.SecretAccessKey) || k.SessionToken != "" && strings.Contains(s.Log.String(), k.SessionToken) {
			t.Errorf("the server's log has a secret of %s", k.AccessKeyID)
		}
	}
}

// The owner's key can be replaced without a stop: the site goes over to the new
// one.
func TestReplacingTheOwnersKey(t *testing.T) {
	s := start(t)
	old, err := s.Access()
	if err != nil {
		t.Fatal(err)
	}
	join := func(when string) {
		t.Helper()
		if status, text := s.post("/api/join", map[string]string{"name": "Ada"}, nil); status != http.StatusOK {
			t.Errorf("%s: got %d %s, want to join", when, status, text)
		}
	}
	join("before")
	if _, stderr, err := belfry("keys", "revoke", old.AccessKeyID, "--data", s.Data); err == nil || !strings.Contains(stderr, "the site and belfry env need it") {
		t.Errorf("revoke the only one: got %q, %v, want it refused", stderr, err)
	}
	k := s.newKey()
	s.revoke(old.AccessKeyID)
	until(t, 2*time.Second, "the old key is refused", func() bool {
		_, err := s.channels(accessKey{old.AccessKeyID, old.SecretAccessKey, ""}).ListChannels(t.Context(), nil)
		return err != nil
	})
	join("after")
	if out, _, err := belfry("env", "--data", s.Data); err != nil || !strings.Contains(out, "AWS_ACCESS_KEY_ID='"+k.AccessKeyID+"'") {
		t.Errorf("got %s (%v), want the new key", out, err)
	}
	s.stop()
	stopped := s.newKey("--name", "made-while-stopped")
	s.run()
	join("after a new start")
	if _, err := s.channels(stopped).ListChannels(t.Context(), nil); err != nil {
		t.Errorf("made while the server was stopped: got %v, want the key to work", err)
	}
}
