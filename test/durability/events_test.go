package durability

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// eventsLimit is how long all events may take to be read.
const eventsLimit = 30 * time.Second

// A told is what the journal says of a meeting.
type told struct {
	started, ended bool
	added          map[string]bool // attendees
}

// verifyEvents finds in the journal of events what happened to the writers'
// meetings, in the order in which it can have.
func verifyEvents(t *testing.T, program, data string, all []*writer) {
	t.Helper()
	missing := map[string]bool{}
	for _, w := range all {
		for _, m := range w.meetings {
			missing["chime:MeetingStarted "+m.id] = true
			for _, a := range m.attendees {
				missing["chime:AttendeeAdded "+a.id] = true
			}
		}
		for _, id := range w.ended {
			missing["chime:MeetingStarted "+id] = true
			missing["chime:MeetingEnded "+id] = true
		}
	}
	total := len(missing)
	ctx, stop := context.WithTimeout(t.Context(), eventsLimit)
	defer stop()
	cmd := exec.CommandContext(ctx, program, "events", "--data", data, "--since", "1h", "--source", "aws.chime")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		stop()
		_ = cmd.Wait() // was killed
	}()
	meetings := map[string]*told{}
	lines := bufio.NewScanner(out)
	for len(missing) > 0 && lines.Scan() {
		var e struct {
			Detail struct{ EventType, MeetingID, AttendeeID string }
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("got the event %s: %v", lines.Bytes(), err)
		}
		d := e.Detail
		if strings.HasPrefix(d.EventType, "chime:MediaPipeline") {
			continue // has an order of its own
		}
		delete(missing, d.EventType+" "+d.MeetingID)
		delete(missing, d.EventType+" "+d.AttendeeID)
		if wrong := follow(meetings, d.EventType, d.MeetingID, d.AttendeeID); wrong != "" {
			t.Errorf("event %s: %s", lines.Bytes(), wrong)
		}
	}
	if len(missing) > 0 {
		t.Errorf("got %d of %d events, without %.2000s", total-len(missing), total, fmt.Sprint(missing))
	}
	t.Logf("measured: the journal has all of %d events that were acknowledged", total-len(missing))
}

// follow says what is wrong with an event after those before it.
func follow(meetings map[string]*told, kind, meeting, attendee string) string {
	m := meetings[meeting]
	if m == nil {
		m = &told{added: map[string]bool{}}
		meetings[meeting] = m
	}
	switch {
	case m.ended:
		return "the meeting had ended"
	case kind == "chime:MeetingStarted" && m.started:
		return "it had started before"
	case kind == "chime:MeetingStarted":
		m.started = true
	case !m.started:
		return "the meeting had not started"
	case kind == "chime:MeetingEnded":
		m.ended = true
	case kind == "chime:AttendeeAdded" && m.added[attendee]:
		return "it was added before"
	case kind == "chime:AttendeeAdded":
		m.added[attendee] = true
	case kind == "chime:AttendeeDeleted" && !m.added[attendee]:
		return "it was never added"
	}
	return ""
}
