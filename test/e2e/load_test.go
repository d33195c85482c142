package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"belfry.live/belfry/internal/attendee"
)

// loaded is what the load tool says that scripts rely on.
type loaded struct {
	Meeting      string
	Joined       int
	Failed       int
	JoinMs       struct{ P50, P99 float64 }
	AudioGaps    *int
	VideoFreezes *int
	Lost         *int
	AudioPackets int
	Videos       int
	VideoFrames  int
	Seconds      float64
	Errors       map[string]int
}

// attendees is belfry attendee, with the environment that belfry env gives.
func (s server) attendees(args ...string) *exec.Cmd {
	script := `eval "$("$0" env --data "$1")"; shift; exec "$0" attendee "$@"`
	return exec.Command("sh", append([]string{"-ec", script, program, s.Data}, args...)...)
}

// load runs it to its end.
func (s server) load(args ...string) (out loaded, stderr string) {
	s.t.Helper()
	cmd := s.attendees(append(args, "--json")...)
	var text bytes.Buffer
	cmd.Stderr = &text
	b, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("belfry attendee: %v\n%s%s", err, b, &text)
	}
	if err := json.Unmarshal(b, &out); err != nil {
		s.t.Fatalf("belfry attendee --json: %v\n%s", err, b)
	}
	return out, text.String()
}

func TestTwentyAttendeesLoadAMeeting(t *testing.T) {
	for _, codec := range []string{"vp8", "h264"} {
		t.Run(codec, func(t *testing.T) {
			s := start(t)
			out, stderr := s.load("--count", "20", "--publish", "3", "--subscribe", "2", "--duration", "3s", "--codec", codec)
			if out.Joined != 20 || out.Failed != 0 || len(out.Errors) > 0 {
				t.Errorf("got %d joined, %d failed, errors %v, want 20 and none", out.Joined, out.Failed, out.Errors)
			}
			if out.JoinMs.P50 <= 0 || out.JoinMs.P99 < out.JoinMs.P50 {
				t.Errorf("got join times %+v", out.JoinMs)
			}
			if out.AudioGaps == nil || out.VideoFreezes == nil || out.Lost == nil {
				t.Errorf("got %+v, want audioGaps, videoFreezes and lost to be said", out)
			}
			// Half of what is sent, for machines that are busy with other tests.
			if want := 20 * 25 * int(out.Seconds); out.AudioPackets < want {
				t.Errorf("got %d packets of audio in %.1f s, want at least %d", out.AudioPackets, out.Seconds, want)
			}
			if want := 40 * 15 * int(out.Seconds); out.Videos != 40 || out.VideoFrames < want {
				t.Errorf("got %d videos, %d pictures in %.1f s, want 40, at least %d", out.Videos, out.VideoFrames, out.Seconds, want)
			}
			if !strings.Contains(stderr, "20 in, 0 failed") {
				t.Errorf("got progress %q, want it to say how many are in", stderr)
			}
		})
	}
}

// A server that sends everybody through its relay, spoken to by TLS with a
// certificate of its own making.
func TestLoadGoesThroughRelayAndTLS(t *testing.T) {
	t.Setenv("BELFRY_RELAY", "always")
	s := start(t, "--tls", "127.0.0.1:0")
	t.Setenv("AWS_CA_BUNDLE", filepath.Join(s.Data, "tls", "authority.pem"))
	for _, transport := range []string{"auto", "tcp"} {
		out, log := s.load("--count", "4", "--publish", "2", "--subscribe", "1", "--duration", "1s", "--transport", transport, "--verbose")
		if out.Joined != 4 || out.Failed != 0 || out.Videos != 4 {
			t.Errorf("transport %s: got %+v, want 4 joined and 4 videos", transport, out)
		}
		if n := strings.Count(log, "way=relay"); n != 4 {
			t.Errorf("transport %s: got %d attendees on the relay, want 4", transport, n)
		}
	}
}

// roomOf follows who is in a meeting until the test ends.
type roomOf struct {
	mu   sync.Mutex
	here map[string]string // external user ids by attendee id
	most int
}

func (r *roomOf) count() (now, most int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.here), r.most
}

func watchRoster(t *testing.T, cfg attendee.Config) *roomOf {
	t.Helper()
	r := &roomOf{here: make(map[string]string)}
	c := attendee.New(cfg, attendee.Handler{Roster: func(p attendee.Participant) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.here[p.AttendeeID] = p.ExternalUserID; !p.Present {
			delete(r.here, p.AttendeeID)
		}
		r.most = max(r.most, len(r.here))
	}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("attendee: %v", err)
		}
	})
	return r
}

// Who loads somebody else's meeting leaves it as it was, also when told to stop
// early.
func TestLoadLeavesTheMeetingAsItWas(t *testing.T) {
	s := start(t)
	j, err := s.Join("")
	if err != nil {
		t.Fatal(err)
	}
	room := watchRoster(t, j.Config())
	in := func(n int) func() bool {
		return func() bool { now, _ := room.count(); return now == n }
	}
	eventually(t, "own presence", in(1))

	out, _ := s.load("--meeting", j.Meeting.MeetingID, "--count", "5", "--publish", "1", "--subscribe", "1", "--codec", "none", "--duration", "1s")
	if _, most := room.count(); out.Meeting != j.Meeting.MeetingID || out.Joined != 5 || most != 6 {
		t.Errorf("got %d joined in meeting %s, %d there at most, want 5 in %s, 6", out.Joined, out.Meeting, most, j.Meeting.MeetingID)
	}
	eventually(t, "the others' leave", in(1))

	cmd := s.attendees("--meeting", j.Meeting.MeetingID, "--count", "5", "--duration", "1h")
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "five more", in(6))
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after ctrl-C: got %v, want a good end\n%s", err, &text)
	}
	if !strings.Contains(text.String(), " of 5, 0 failed") {
		t.Errorf("got no table after ctrl-C:\n%s", &text)
	}
	eventually(t, "the others' leave after ctrl-C", in(1))
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("got no %s within 20 s", what)
		}
	}
}

func TestLoadSaysWhatIsWrong(t *testing.T) {
	s := start(t)
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"no such meeting":   {[]string{"--meeting", "00000000-0000-0000-0000-000000000000"}, "find the meeting: "},
		"too many publish":  {[]string{"--count", "2", "--publish", "3"}, "3 of 2 attendees cannot publish"},
		"unknown codec":     {[]string{"--codec", "mpeg1"}, "--codec mpeg1: there are vp8, h264 and none"},
		"unknown transport": {[]string{"--transport", "pigeon"}, "--transport pigeon: "},
		"nobody there":      {[]string{"--endpoint", "http://127.0.0.1:1"}, "create a meeting: "},
	} {
		out, err := s.attendees(tc.args...).CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || !strings.Contains(string(out), tc.want) {
			t.Errorf("%s: got %v, %q, want a failure that says %q", name, err, out, tc.want)
		}
	}
	cmd := exec.Command(program, "attendee")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "AWS_ACCESS_KEY_ID") || !strings.Contains(string(out), "belfry env") {
		t.Errorf("without an environment: got %v, %q, want it to say what is missing", err, out)
	}
}
