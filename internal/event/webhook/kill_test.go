package webhook_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"belfry.live/belfry/internal/event"
	"belfry.live/belfry/internal/event/webhook"
	"belfry.live/belfry/internal/store"
	"belfry.live/belfry/internal/store/natskv"
)

// Variables of the environment that make the test binary a process with a
// journal in the folder, which appends events, posts them to the URL, prints a
// line for each event that was acknowledged, and does so until it is killed.
const (
	postDir   = "BELFRY_TEST_POST_EVENTS"
	postURL   = "BELFRY_TEST_POST_URL"
	postRound = "BELFRY_TEST_POST_ROUND"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(postDir); dir != "" {
		fmt.Fprintln(os.Stderr, postForever(dir, os.Getenv(postURL), os.Getenv(postRound)))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func postForever(dir, url, round string) error {
	ctx, log := context.Background(), slog.New(slog.DiscardHandler)
	s, err := natskv.Open(ctx, natskv.Config{Dir: filepath.Join(dir, "nats")}, log)
	if err != nil {
		return err
	}
	conn, err := s.Connect("events")
	if err != nil {
		return err
	}
	j, err := event.Open(ctx, conn, event.Config{}, log)
	if err != nil {
		return err
	}
	table, err := s.Table(ctx, "webhooks", store.TableConfig{})
	if err != nil {
		return err
	}
	d, err := webhook.New(one(url), j, table, log)
	if err != nil {
		return err
	}
	go func() { _ = d.Run(ctx) }() // until the process is killed
	for begun := false; !begun; time.Sleep(time.Millisecond) {
		records, err := table.List(ctx, "")
		if err != nil {
			return err
		}
		begun = len(records) > 0
	}
	for n := 0; ; n++ {
		if round == "last" { // delivers what is left
			time.Sleep(time.Hour)
		}
		meeting := fmt.Sprintf("r%s-m%d", round, n%6)
		if err := j.Append(ctx, meetingEvent(account, meeting, n/6)); err != nil {
			return err
		}
		fmt.Println(meeting, n/6)
	}
}

// A process that appends and posts is killed again and again. Every event that
// was acknowledged is posted in the end, and the first posts of a meeting's
// events are in their order.
func TestWebhooksSurviveSIGKILL(t *testing.T) {
	var mu sync.Mutex
	posted := map[string]int{} // how many of the first events, by meeting
	r := receive(t, func(p post) int {
		if rand.IntN(25) == 0 {
			return http.StatusInternalServerError
		}
		mu.Lock()
		defer mu.Unlock()
		switch next := posted[p.meeting]; {
		case p.n == next:
			posted[p.meeting]++
		case p.n > next:
			t.Errorf("%s: got event %d, want %d first", p.meeting, p.n, next)
		}
		return http.StatusOK
	})
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	process := func(round string) (*exec.Cmd, *bufio.Scanner) {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), postDir+"="+dir, postURL+"="+r.URL, postRound+"="+round)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd, bufio.NewScanner(out)
	}
	kill := func(cmd *exec.Cmd) {
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
	}
	acknowledged := map[string]int{}
	for round := range 4 {
		cmd, said := process(fmt.Sprint(round))
		for enough := 100 + 37*round; said.Scan(); {
			var meeting string
			var n int
			if _, err := fmt.Sscan(said.Text(), &meeting, &n); err != nil {
				t.Fatalf("got %q: %v", said.Text(), err)
			}
			acknowledged[meeting] = n + 1
			if enough--; enough == 0 {
				kill(cmd)
			}
		}
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != -1 {
			t.Fatalf("got %v, want the process killed", err)
		}
	}
	cmd, _ := process("last")
	defer func() { kill(cmd); _ = cmd.Wait() }()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		mu.Lock()
		missing := 0
		for meeting, n := range acknowledged {
			missing += max(0, n-posted[meeting])
		}
		mu.Unlock()
		if missing == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("after a minute %d acknowledged events have not been posted", missing)
		}
	}
	if len(acknowledged) != 24 {
		t.Errorf("got events of %d meetings, want 24", len(acknowledged))
	}
}
