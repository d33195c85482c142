package e2e

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAServerStartsAnswersAndStops(t *testing.T) {
	s := start(t)
	resp, err := http.Get(s.Endpoint + "/healthz")
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("got %v, %v from /healthz, want 200", resp, err)
	}
	resp.Body.Close()
	for _, f := range []string{"keys.json", "tls/authority.pem", "tls/server.pem"} {
		info, err := os.Stat(filepath.Join(s.Data, f))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: got %v, %v, want a file of mode 0600", f, info, err)
		}
	}
	if took := s.stop(); took > 5*time.Second {
		t.Errorf("took %v to stop, want less than 5 s", took)
	}
}

func TestEnvTellsHowToReachTheServer(t *testing.T) {
	s := start(t)
	out, _, err := belfry("env", "--data", s.Data)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"export AWS_ENDPOINT_URL_CHIME_SDK_MEETINGS='" + s.Endpoint + "'",
		"export AWS_ENDPOINT_URL_CHIME_SDK_MEDIA_PIPELINES='" + s.Endpoint + "'",
		"export AWS_ENDPOINT_URL_IVS='" + s.Endpoint + "'",
		"export AWS_ACCESS_KEY_ID='AKIA", "export AWS_SECRET_ACCESS_KEY='", "export AWS_REGION='us-east-1'",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("got %q, want %q in it", out, want)
		}
	}
	// A shell that has an AWS account of its own gets rid of it.
	shell := exec.Command("sh", "-ec", `eval "$("$0" env --data "$1")"; env`, program, s.Data)
	shell.Env = append(os.Environ(), "AWS_SESSION_TOKEN=foreign", "AWS_PROFILE=foreign", "AWS_ACCESS_KEY_ID=foreign")
	got, err := shell.CombinedOutput()
	if err != nil || strings.Contains(string(got), "foreign") || !strings.Contains(string(got), "AWS_ENDPOINT_URL_IVS="+s.Endpoint+"\n") {
		t.Errorf("after eval: %v\n%s", err, got)
	}
	s.stop()
	if _, stderr, err := belfry("env", "--data", s.Data); err == nil || !strings.Contains(stderr, "no belfry is running") {
		t.Errorf("after the stop: got %q, %v, want it to say that none runs", stderr, err)
	}
}

func TestWhatKeepsAServerFromStartingIsSaid(t *testing.T) {
	s := start(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	addr := taken.Addr().String()
	free := filepath.Join(t.TempDir(), "data")
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"data folder in use", []string{"--data", s.Data}, s.Data + ": another belfry is running"},
		{"HTTP port taken", []string{"--data", free, "--http", addr}, "the http address " + addr + " is taken"},
		{"RTMP port taken", []string{"--data", free, "--http", "127.0.0.1:0", "--rtmp", addr}, "the rtmp address " + addr + " is taken"},
		{"media port taken", []string{
			"--data", free, "--http", "127.0.0.1:0", "--rtmp", "127.0.0.1:0", "--rtmps", "127.0.0.1:0", "--media", addr,
		}, "the media address " + addr + " is taken"},
		{"unknown flag", []string{"--htpp", addr}, "unknown flag: --htpp"},
		{"bad address", []string{"--data", free, "--http", "8080"}, `http: "8080" is no address, want host:port`},
		{"no such file", []string{"--config", free}, "read the configuration"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, stderr, err := belfry(append([]string{"serve"}, c.args...)...)
			if err == nil || !strings.Contains(stderr, c.want) {
				t.Errorf("got %q, %v, want %q", stderr, err, c.want)
			}
		})
	}
}
