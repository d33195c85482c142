package event_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"belfry.live/belfry/internal/event"
	"belfry.live/belfry/internal/store/natskv"
)

// appendDir makes the test binary a process that appends events to the journal
// in the folder until it is killed, and prints a line for each one that was
// acknowledged.
const appendDir = "BELFRY_TEST_APPEND_EVENTS"

func TestMain(m *testing.M) {
	if dir := os.Getenv(appendDir); dir != "" {
		fmt.Fprintln(os.Stderr, appendForever(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func appendForever(dir string) error {
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
	latest, err := j.Latest(ctx, "aws.chime", "meeting")
	if err != nil {
		return err
	}
	failed := make(chan error)
	var mu sync.Mutex // guards standard output
	for m := range 4 {
		go func() {
			id := fmt.Sprint("m", m)
			n := 0
			if said, ok := latest[id]; ok {
				fmt.Sscanf(said, "number %d", &n)
				n++
			}
			size := 1 + 19*(m%2) // every other one appends batches
			for {
				var events []event.Event
				for range size {
					events = append(events, meetingEvent(id, fmt.Sprint("number ", n), n))
					n++
				}
				if err := j.Append(ctx, events...); err != nil {
					failed <- err
					return
				}
				mu.Lock()
				fmt.Println(id, n-1)
				mu.Unlock()
			}
		}()
	}
	return <-failed
}

// A process that appends is killed again and again; each goes on where the one
// before was cut off. Whatever was acknowledged is there, once and in order.
func TestAcknowledgedEventsSurviveSIGKILL(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	acknowledged := map[string]int{} // the last one, by meeting
	lines := 0
	for round := range 4 {
		cmd := exec.CommandContext(t.Context(), self)
		cmd.Env = append(os.Environ(), appendDir+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		said := bufio.NewScanner(out)
		for enough := 60 + 17*round; said.Scan(); {
			var id string
			var n int
			if _, err := fmt.Sscan(said.Text(), &id, &n); err != nil {
				t.Fatalf("got %q: %v", said.Text(), err)
			}
			if before, ok := acknowledged[id]; ok && n <= before {
				t.Errorf("round %d: %s number %d was acknowledged, although it was before up to %d", round, id, n, before)
			}
			acknowledged[id] = n
			if lines++; enough > 0 {
				if enough--; enough == 0 {
					if err := cmd.Process.Kill(); err != nil { // and read what it had said by then
						t.Fatal(err)
					}
				}
			}
		}
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != -1 {
			t.Fatalf("got %v, want the process killed", err)
		}
	}

	j, _ := openJournal(t, dir, event.Config{})
	last, err := j.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	events := reader{j, account, 0}
	next := map[string]int{}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for seen := uint64(0); seen < last; {
		r, err := events.next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		seen = r.Sequence
		id := r.Subject[len("events.111122223333.aws.chime.meeting."):]
		if got, want := number(t, r), next[id]; got != want {
			t.Fatalf("%s: got number %d at %d, want %d", id, got, r.Sequence, want)
		}
		next[id]++
	}
	if len(acknowledged) != 4 || lines < 240 {
		t.Errorf("got %d meetings and %d events acknowledged, want 4 and at least 240", len(acknowledged), lines)
	}
	for id, n := range acknowledged {
		if next[id] <= n {
			t.Errorf("%s: got %d events, want at least the %d that were acknowledged", id, next[id], n+1)
		}
	}
	t.Logf("%d acknowledged, %d in the journal", lines, last)
}
