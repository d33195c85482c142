package event_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"belfry.live/belfry/internal/event"
	"belfry.live/belfry/internal/store/natskv"
)

const account = "111122223333"

// openJournal opens the journal in the folder; close closes it.
func openJournal(t testing.TB, dir string, cfg event.Config) (j *event.Journal, closeJournal func()) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	s, err := natskv.Open(t.Context(), natskv.Config{Dir: filepath.Join(dir, "nats")}, log)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := s.Connect("events")
	if err != nil {
		t.Fatal(err)
	}
	if j, err = event.Open(t.Context(), conn, cfg, log); err != nil {
		t.Fatal(err)
	}
	closeJournal = sync.OnceFunc(func() { conn.Close(); s.Close() })
	t.Cleanup(closeJournal)
	return j, closeJournal
}

// meetingEvent is an event of a meeting with the number n in its detail.
func meetingEvent(meeting, kind string, n int) event.Event {
	e, err := event.New(account, "eu-central-1", "aws.chime", "Chime Meeting State Change", map[string]any{"eventType": kind, "n": n})
	if err != nil {
		panic(err)
	}
	e.Kind, e.Subject, e.Type = "meeting", meeting, kind
	return e
}

func number(t testing.TB, r event.Record) int {
	t.Helper()
	e, err := r.Envelope()
	if err != nil {
		t.Fatal(err)
	}
	var detail struct{ N int }
	if err := json.Unmarshal(e.Detail, &detail); err != nil {
		t.Fatal(err)
	}
	return detail.N
}

// A reader reads the events of one account, or of all, one after the other.
type reader struct {
	journal *event.Journal
	account string
	from    uint64
}

func (r *reader) next(ctx context.Context) (event.Record, error) {
	found, err := r.journal.Next(ctx, event.Subjects(r.account, ""), r.from)
	r.from = found.Sequence + 1
	return found, err
}

func mustAppend(t testing.TB, j *event.Journal, events ...event.Event) {
	t.Helper()
	if err := j.Append(t.Context(), events...); err != nil {
		t.Fatal(err)
	}
}

func TestEnvelope(t *testing.T) {
	j, _ := openJournal(t, t.TempDir(), event.Config{})
	e := event.Event{
		ID: "0d6bd2e6-7d8c-4c24-9a6a-3f2bdb1f0f10", Account: account, Region: "us-east-1", Source: "aws.ivs",
		DetailType: "IVS Stream State Change", Time: time.Date(2026, 3, 4, 5, 6, 7, 89e6, time.FixedZone("", 3600)),
		Resources: []string{"arn:aws:ivs:us-east-1:111122223333:channel/abcdEFGH1234"},
		Detail:    json.RawMessage(`{"event_name": "Stream Start"}`),
		Kind:      "channel", Subject: "abcdEFGH1234", Type: "Stream Start", Notify: []string{"arn:aws:sqs:us-east-1:111122223333:q"},
	}
	mustAppend(t, j, e)
	r, err := j.Next(t.Context(), event.Subjects(account, ""), 0)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"version":"0","id":"0d6bd2e6-7d8c-4c24-9a6a-3f2bdb1f0f10","detail-type":"IVS Stream State Change","source":"aws.ivs",` +
		`"account":"111122223333","time":"2026-03-04T04:06:07Z","region":"us-east-1",` +
		`"resources":["arn:aws:ivs:us-east-1:111122223333:channel/abcdEFGH1234"],"detail":{"event_name":"Stream Start"}}`
	if string(r.Body) != want {
		t.Errorf("got %s, want %s", r.Body, want)
	}
	if r.Sequence != 1 || r.Type != e.Type || !slices.Equal(r.Notify, e.Notify) || r.Account() != account ||
		r.Subject != "events.111122223333.aws.ivs.channel.abcdEFGH1234" || time.Since(r.Appended) > time.Minute {
		t.Errorf("got %+v", r)
	}
}

func TestWhatIsNoEventIsRefused(t *testing.T) {
	j, _ := openJournal(t, t.TempDir(), event.Config{})
	for name, spoil := range map[string]func(*event.Event){
		"Account":     func(e *event.Event) { e.Account = "11112222333*" },
		"Region":      func(e *event.Event) { e.Region = "" },
		"Source":      func(e *event.Event) { e.Source = "aws..chime" },
		"DetailType":  func(e *event.Event) { e.DetailType = "a\r\nb" },
		"Kind":        func(e *event.Event) { e.Kind = ">" },
		"Subject":     func(e *event.Event) { e.Subject = "a.b" },
		"Type":        func(e *event.Event) { e.Type = "a\nBelfry-Notify: x" },
		"Detail":      func(e *event.Event) { e.Detail = json.RawMessage(`[]`) },
		"Notify":      func(e *event.Event) { e.Notify = []string{"arn:x\r\ny"} },
		"envelope":    func(e *event.Event) { e.Detail = fmt.Appendf(nil, `{"x":%q}`, strings.Repeat("x", event.MaxEnvelope)) },
		"ID":          func(e *event.Event) { e.ID = "a b" },
		"invalid":     func(e *event.Event) { e.Detail = json.RawMessage(`{`) },
		"9 ARNs":      func(e *event.Event) { e.Notify = slices.Repeat([]string{"arn:x"}, 9) },
		"17 Resource": func(e *event.Event) { e.Resources = slices.Repeat([]string{"arn:x"}, 17) },
	} {
		e := meetingEvent("m", "chime:MeetingStarted", 1)
		spoil(&e)
		if err := j.Append(t.Context(), e); !errors.Is(err, event.ErrInvalid) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v, want ErrInvalid that names it", name, err)
		}
	}
	if last, err := j.Last(t.Context()); last != 0 || err != nil {
		t.Errorf("got %d events, %v, want none", last, err)
	}
}

func TestOneIDIsRecordedOnce(t *testing.T) {
	j, _ := openJournal(t, t.TempDir(), event.Config{})
	e := meetingEvent("m", "chime:MeetingStarted", 1)
	mustAppend(t, j, e, e, meetingEvent("m", "chime:MeetingEnded", 2))
	if last, err := j.Last(t.Context()); last != 2 || err != nil {
		t.Errorf("got %d events, %v, want 2", last, err)
	}
}

func TestBatch(t *testing.T) {
	j, _ := openJournal(t, t.TempDir(), event.Config{})
	var events []event.Event
	for n := range 1100 {
		events = append(events, meetingEvent(fmt.Sprint("m", n%3), "chime:AttendeeAdded", n))
	}
	mustAppend(t, j, events[:20]...)
	mustAppend(t, j, events[10:]...) // ten of them once more
	read := reader{j, account, 0}
	for want := range events {
		if r, err := read.next(t.Context()); err != nil || number(t, r) != want {
			t.Fatalf("got %s, %v, want number %d", r.Body, err, want)
		}
	}
	if last, err := j.Last(t.Context()); last != 1100 || err != nil {
		t.Errorf("got %d events, %v, want 1100", last, err)
	}
	events[50].ID, events[50].Subject = "", "a.b"
	if err := j.Append(t.Context(), events[40:60]...); !errors.Is(err, event.ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
}

// An event is recorded although its caller has gone meanwhile.
func TestAppendGoesOnWithoutItsCaller(t *testing.T) {
	j, _ := openJournal(t, t.TempDir(), event.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := j.Append(ctx, meetingEvent("m", "chime:MeetingStarted", 1)); err != nil {
		t.Errorf("got %v, want nil", err)
	}
}

func TestOrderOfEachResource(t *testing.T) {
	j, _ := openJournal(t, t.TempDir(), event.Config{})
	const meetings, each = 8, 25
	var wg sync.WaitGroup
	for m := range meetings {
		wg.Go(func() {
			for n := range each {
				if err := j.Append(t.Context(), meetingEvent(fmt.Sprint("m", m), "chime:AttendeeJoined", n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	events := reader{j, account, 0} // while they are being appended
	next := map[string]int{}
	for range meetings * each {
		r, err := events.next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got, want := number(t, r), next[r.Subject]; got != want {
			t.Fatalf("%s: got event %d, want %d", r.Subject, got, want)
		}
		next[r.Subject]++
	}
	wg.Wait()
	if len(next) != meetings {
		t.Errorf("got events of %d meetings, want %d", len(next), meetings)
	}
	if got := j.Stats(); got.Appended["aws.chime"] != meetings*each || got.Failed != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestLatest(t *testing.T) {
	dir := t.TempDir()
	j, closeJournal := openJournal(t, dir, event.Config{})
	if got, err := j.Latest(t.Context(), "aws.chime", "meeting"); err != nil || len(got) != 0 {
		t.Errorf("got %v, %v, want none", got, err)
	}
	want := map[string]string{}
	for i := range 50 {
		id := fmt.Sprint("m", i)
		mustAppend(t, j, meetingEvent(id, "chime:MeetingStarted", i))
		want[id] = "chime:MeetingStarted"
		if i%2 == 0 {
			mustAppend(t, j, meetingEvent(id, "chime:MeetingEnded", i))
			want[id] = "chime:MeetingEnded"
		}
	}
	other := meetingEvent("p", "chime:MediaPipelineInProgress", 1)
	other.Kind = "media-pipeline"
	mustAppend(t, j, other)
	for range 2 { // also after a restart
		if got, err := j.Latest(t.Context(), "aws.chime", "meeting"); err != nil || !maps.Equal(got, want) {
			t.Errorf("got %v, %v, want %v", got, err, want)
		}
		closeJournal()
		j, closeJournal = openJournal(t, dir, event.Config{})
	}
}

func TestReadFromAnywhere(t *testing.T) {
	j, _ := openJournal(t, t.TempDir(), event.Config{})
	foreign := meetingEvent("m", "chime:MeetingStarted", 2)
	foreign.Account = "999900001111"
	mustAppend(t, j, meetingEvent("m", "chime:MeetingStarted", 1), foreign, meetingEvent("m", "chime:MeetingEnded", 3))
	for _, c := range []struct {
		account string
		from    uint64
		want    []int
	}{
		{"", 0, []int{1, 2, 3}},
		{"", 2, []int{2, 3}},
		{account, 0, []int{1, 3}},
		{account, 2, []int{3}},
		{"999900001111", 0, []int{2}},
		{account, 4, nil},
	} {
		events := reader{j, c.account, c.from}
		for _, want := range c.want {
			if r, err := events.next(t.Context()); err != nil || number(t, r) != want {
				t.Errorf("account %q from %d: got %s, %v, want number %d", c.account, c.from, r.Body, err, want)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if r, err := events.next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("account %q from %d: got %s, %v, want no more", c.account, c.from, r.Body, err)
		}
		cancel()
		var each []int
		err := j.Each(t.Context(), event.Subjects(c.account, ""), c.from, func(r event.Record) error {
			if again, ok, err := j.At(t.Context(), r.Subject, r.Sequence); err != nil || !ok || again.ID != r.ID || !again.Appended.Equal(r.Appended) || again.Type != r.Type {
				t.Errorf("each: got %+v, want the same as at its sequence, %+v, %v", r, again, err)
			}
			each = append(each, number(t, r))
			return nil
		})
		if err != nil || !slices.Equal(each, c.want) {
			t.Errorf("account %q, each from %d: got %v, %v, want %v", c.account, c.from, each, err, c.want)
		}
	}
}

func TestSince(t *testing.T) {
	j, _ := openJournal(t, t.TempDir(), event.Config{})
	if got, err := j.Since(t.Context(), time.Now()); got != 1 || err != nil {
		t.Errorf("of an empty journal: got %d, %v, want 1", got, err)
	}
	mustAppend(t, j, meetingEvent("m", "chime:MeetingStarted", 1))
	first, err := j.Next(t.Context(), event.Subjects("", ""), 0)
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, j, meetingEvent("m", "chime:MeetingEnded", 2))
	for _, c := range []struct {
		at   time.Time
		want uint64
	}{
		{first.Appended.Add(-time.Hour), 1},
		{first.Appended, 1},
		{first.Appended.Add(time.Microsecond), 2},
		{time.Now().Add(time.Hour), 3},
	} {
		if got, err := j.Since(t.Context(), c.at); got != c.want || err != nil {
			t.Errorf("since %v: got %d, %v, want %d", c.at, got, err, c.want)
		}
	}
}

func TestBoundOfBytes(t *testing.T) {
	j, _ := openJournal(t, t.TempDir(), event.Config{MaxBytes: 64 << 10})
	for n := range 40 {
		e := meetingEvent("m", "chime:AttendeeJoined", n)
		e.Detail = fmt.Appendf(nil, `{"n":%d,"x":%q}`, n, bytes.Repeat([]byte("x"), 4<<10))
		mustAppend(t, j, e)
	}
	first, err := j.Next(t.Context(), event.Subjects("", ""), 0)
	if err != nil || first.Sequence < 20 || first.Sequence > 40 {
		t.Errorf("got %d as the oldest of 40 events, %v, want only what fits", first.Sequence, err)
	}
}

// The limits may be others after a restart.
func TestOtherLimits(t *testing.T) {
	dir := t.TempDir()
	j, closeJournal := openJournal(t, dir, event.Config{})
	for n := range 40 {
		e := meetingEvent("m", "chime:AttendeeJoined", n)
		e.Detail = fmt.Appendf(nil, `{"n":%d,"x":%q}`, n, bytes.Repeat([]byte("x"), 4<<10))
		mustAppend(t, j, e)
	}
	for _, c := range []struct {
		cfg  event.Config
		want int // the oldest is this one or later
	}{
		{event.Config{MaxAge: time.Minute, MaxBytes: 64 << 10, DeadMaxAge: time.Minute}, 20},
		{event.Config{MaxAge: 24 * time.Hour, MaxBytes: 1 << 30}, 20},
	} {
		closeJournal()
		j, closeJournal = openJournal(t, dir, c.cfg)
		first, err := j.Next(t.Context(), event.Subjects("", ""), 0)
		if err != nil || number(t, first) < c.want {
			t.Errorf("%+v: got event %d as the oldest, %v, want %d or later", c.cfg, number(t, first), err, c.want)
		}
		mustAppend(t, j, meetingEvent("m", "chime:MeetingEnded", 100))
	}
}

func TestDeadLetters(t *testing.T) {
	j, _ := openJournal(t, t.TempDir(), event.Config{})
	mustAppend(t, j, meetingEvent("m", "chime:MeetingStarted", 1), meetingEvent("m", "chime:MeetingEnded", 2))
	events := reader{j, "", 0}
	for range 2 {
		r, err := events.next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		letter := event.DeadLetter{Webhook: "1", Reason: "status 500", Attempts: 3, Died: time.Now()}
		for range 2 { // twice, and kept once
			if err := j.Bury(t.Context(), r, letter); err != nil {
				t.Fatal(err)
			}
		}
	}
	all, err := j.Dead(t.Context(), account, 0, 10)
	if err != nil || len(all) != 2 || all[0].Sequence != 1 || all[1].Sequence != 2 {
		t.Fatalf("got %+v, %v, want two", all, err)
	}
	if l := all[0]; l.Webhook != "1" || l.Reason != "status 500" || l.Attempts != 3 || !bytes.Contains(l.Event, []byte("chime:MeetingStarted")) {
		t.Errorf("got %+v", l)
	}
	if got, err := j.Dead(t.Context(), account, 2, 10); err != nil || len(got) != 1 {
		t.Errorf("from the second: got %+v, %v, want one", got, err)
	}
	if got, err := j.Dead(t.Context(), account, 0, 1); err != nil || len(got) != 1 {
		t.Errorf("at most one: got %+v, %v", got, err)
	}
	if got, err := j.Dead(t.Context(), "999900001111", 0, 10); err != nil || len(got) != 0 {
		t.Errorf("of another account: got %+v, %v, want none", got, err)
	}
}

// Readers that follow closely and readers that are far behind, of one account
// or of all, each get everything that is theirs, while more is appended than is
// kept in memory.
func TestManyReaders(t *testing.T) {
	dir := t.TempDir()
	j, closeJournal := openJournal(t, dir, event.Config{})
	const others = "999900001111"
	const before, count = 300, 1500
	add := func(from, to int) {
		var events []event.Event
		for n := from; n < to; n++ {
			e := meetingEvent(fmt.Sprint("m", n%7), "chime:AttendeeJoined", n)
			if n%3 == 0 {
				e.Account = others
			}
			events = append(events, e)
		}
		mustAppend(t, j, events...)
	}
	add(0, before)
	closeJournal() // so that these are on disk alone
	j, _ = openJournal(t, dir, event.Config{})
	var wg sync.WaitGroup
	defer wg.Wait()
	behind := make(chan struct{})
	for i := range 12 {
		wg.Go(func() {
			if i%2 == 1 {
				<-behind
			}
			mine := []string{account, others, ""}[i%3]
			read := reader{j, mine, 0}
			for n := range count {
				if mine == account && n%3 == 0 || mine == others && n%3 != 0 {
					continue
				}
				r, err := read.next(t.Context())
				if err != nil || r.Sequence != uint64(n+1) {
					t.Errorf("reader %d: got event %d, %v, want %d", i, r.Sequence, err, n+1)
					return
				}
			}
		})
	}
	for n := before; n < count; n += 25 {
		add(n, n+25)
	}
	close(behind)
}
