package meeting_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"belfry.live/belfry/internal/meeting"
	"belfry.live/belfry/internal/store/natskv"
)

// openStore opens a real JetStream store; the caller may close it early.
func openStore(t *testing.T, dir string) *natskv.Store {
	t.Helper()
	s, err := natskv.Open(t.Context(), natskv.Config{Dir: dir}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// start runs a service until the test ends or stop is called.
func start(t *testing.T, tables *natskv.Store, cfg meeting.Config) (s *meeting.Service, stop func()) {
	t.Helper()
	s, err := meeting.New(t.Context(), cfg, tables, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run: got %v, want no error", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("Run does not end")
		}
	})
	t.Cleanup(stop)
	return s, stop
}

func newService(t *testing.T, cfg meeting.Config) *meeting.Service {
	t.Helper()
	tables := openStore(t, t.TempDir())
	t.Cleanup(tables.Close)
	s, _ := start(t, tables, cfg)
	return s
}

func wantErr(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestMeetingLife(t *testing.T) {
	ctx := t.Context()
	s := newService(t, meeting.Config{})
	spec := meeting.Spec{
		RequestToken: "a", Region: "us-east-1", MediaRegion: "eu-west-1", ExternalID: "choir", HostID: "h",
		Tags: map[string]string{"k": "v"}, Features: meeting.Features{VideoMaxResolution: "HD", MaxAttendees: 3},
	}
	m := must[meeting.Meeting](t)(s.Create(ctx, spec))
	got, err := s.Lookup(ctx, m.ID)
	wantErr(t, "lookup", err, nil)
	if g, w := fmt.Sprint(got), fmt.Sprint(m); g != w {
		t.Errorf("lookup: got %s, want %s", g, w)
	}
	if age := time.Since(got.Created); age < 0 || age > time.Minute {
		t.Errorf("age: got %v, want about none", age)
	}
	wantErr(t, "end", s.End(ctx, m.ID), nil)
	wantErr(t, "end again", s.End(ctx, m.ID), meeting.ErrNotFound)
	_, err = s.Lookup(ctx, m.ID)
	wantErr(t, "lookup after the end", err, meeting.ErrNotFound)
	_, err = s.AddAttendee(ctx, m.ID, "x", meeting.Capabilities{})
	wantErr(t, "add after the end", err, meeting.ErrNotFound)
	for _, id := range []meeting.ID{"", ".", "no uuid", "5ae2a1d8-6b0c-4d0e-9f3c-2f7e4b0d2713"} {
		_, err = s.Lookup(ctx, id)
		wantErr(t, "lookup of "+string(id), err, meeting.ErrNotFound)
		wantErr(t, "end of "+string(id), s.End(ctx, id), meeting.ErrNotFound)
	}
}

func TestCreateIsIdempotent(t *testing.T) {
	ctx := t.Context()
	s := newService(t, meeting.Config{})
	create := func(token, region, external string) meeting.Meeting {
		t.Helper()
		return must[meeting.Meeting](t)(s.Create(ctx, meeting.Spec{RequestToken: token, Region: region, ExternalID: external}))
	}
	a := create("t", "us-east-1", "one")
	if b := create("t", "us-east-1", "two"); b.ID != a.ID || b.ExternalID != "one" {
		t.Errorf("same token: got %v, want %v", b, a)
	}
	if b := create("t", "eu-west-1", "one"); b.ID == a.ID {
		t.Error("same token in another region: got the same meeting, want a new one")
	}
	if one, two := create("", "us-east-1", ""), create("", "us-east-1", ""); one.ID == two.ID {
		t.Error("no token: got the same meeting, want a new one")
	}
	wantErr(t, "end", s.End(ctx, a.ID), nil)
	if b := create("t", "us-east-1", "three"); b.ID == a.ID || b.ExternalID != "three" {
		t.Errorf("same token after the end: got %v, want a new meeting", b)
	}
}

func TestCreateTwinsAtOnce(t *testing.T) {
	s := newService(t, meeting.Config{MaxMeetings: 1000})
	var ids sync.Map
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			m, err := s.Create(context.Background(), meeting.Spec{RequestToken: "twin", Region: "r"})
			if err != nil {
				t.Error(err)
			}
			ids.Store(m.ID, true)
		})
	}
	wg.Wait()
	n := 0
	ids.Range(func(id, _ any) bool {
		n++
		_, err := s.Lookup(t.Context(), id.(meeting.ID))
		wantErr(t, "lookup", err, nil)
		return true
	})
	if n != 1 {
		t.Errorf("got %d meetings of one token, want 1", n)
	}
}

func TestAttendees(t *testing.T) {
	ctx := t.Context()
	s := newService(t, meeting.Config{})
	m := must[meeting.Meeting](t)(s.Create(ctx, meeting.Spec{}))
	caps := meeting.Capabilities{Audio: meeting.SendReceive, Video: meeting.Receive, Content: meeting.None}
	a := must[meeting.Attendee](t)(s.AddAttendee(ctx, m.ID, "Ann #1 / ü", caps))
	b := must[meeting.Attendee](t)(s.AddAttendee(ctx, m.ID, "Ben", meeting.Capabilities{}))
	again := must[meeting.Attendee](t)(s.AddAttendee(ctx, m.ID, "Ann #1 / ü", meeting.Capabilities{}))
	if again != a {
		t.Errorf("same name: got %v, want %v", again, a)
	}
	if a.Capabilities != caps || a.MeetingID != m.ID || a.ExternalUserID != "Ann #1 / ü" {
		t.Errorf("got %+v, want what was asked for", a)
	}
	if got := must[meeting.Attendee](t)(s.Attendee(ctx, m.ID, b.ID)); got != b {
		t.Errorf("got %v, want %v", got, b)
	}
	all := must[[]meeting.Attendee](t)(s.Attendees(ctx, m.ID))
	if len(all) != 2 || all[0] != a || all[1] != b {
		t.Errorf("got %v, want %v", all, []meeting.Attendee{a, b})
	}

	wantErr(t, "remove", s.RemoveAttendee(ctx, m.ID, a.ID), nil)
	wantErr(t, "remove again", s.RemoveAttendee(ctx, m.ID, a.ID), meeting.ErrAttendeeNotFound)
	_, err := s.Attendee(ctx, m.ID, a.ID)
	wantErr(t, "get removed", err, meeting.ErrAttendeeNotFound)
	_, err = s.Attendee(ctx, meeting.ID(a.ID), a.ID)
	wantErr(t, "get in no meeting", err, meeting.ErrNotFound)
	_, err = s.Attendees(ctx, meeting.ID(a.ID))
	wantErr(t, "list of no meeting", err, meeting.ErrNotFound)
	wantErr(t, "remove from no meeting", s.RemoveAttendee(ctx, meeting.ID(a.ID), a.ID), meeting.ErrNotFound)
}

func TestJoinTokens(t *testing.T) {
	ctx := t.Context()
	s := newService(t, meeting.Config{})
	m := must[meeting.Meeting](t)(s.Create(ctx, meeting.Spec{}))
	seen := map[string]bool{}
	for i := range 50 {
		a := must[meeting.Attendee](t)(s.AddAttendee(ctx, m.ID, fmt.Sprint(i), meeting.Capabilities{}))
		token := a.JoinToken.Reveal()
		if !regexp.MustCompile(`^[A-Za-z0-9]{98}$`).MatchString(token) {
			t.Errorf("got token %q, want 98 letters and digits", token)
		}
		raw, err := base64.RawStdEncoding.DecodeString(token)
		if err != nil || !strings.HasPrefix(string(raw), string(a.ID)+":") {
			t.Errorf("got token of %q (%v), want one of %s", raw, err, a.ID)
		}
		if seen[token] {
			t.Errorf("token %d: got one that was there before", i)
		}
		seen[token] = true
		if got := fmt.Sprintf("%v %+v", a, a.JoinToken); strings.Contains(got, token) {
			t.Errorf("printed: got %s, want no token in it", got)
		}
	}
}

func TestLimits(t *testing.T) {
	ctx := t.Context()
	s := newService(t, meeting.Config{MaxMeetings: 2, MaxAttendees: 4})
	m := must[meeting.Meeting](t)(s.Create(ctx, meeting.Spec{Features: meeting.Features{MaxAttendees: 2}}))
	other := must[meeting.Meeting](t)(s.Create(ctx, meeting.Spec{RequestToken: "o"}))
	_, err := s.Create(ctx, meeting.Spec{})
	wantErr(t, "third meeting", err, meeting.ErrTooMany)
	_, err = s.Create(ctx, meeting.Spec{RequestToken: "o"})
	wantErr(t, "same token at the limit", err, nil)
	wantErr(t, "end", s.End(ctx, other.ID), nil)
	other = must[meeting.Meeting](t)(s.Create(ctx, meeting.Spec{}))

	for _, c := range []struct {
		in    meeting.ID
		limit int
	}{{m.ID, 2}, {other.ID, 4}} {
		for i := range c.limit {
			_, err = s.AddAttendee(ctx, c.in, fmt.Sprint(i), meeting.Capabilities{})
			wantErr(t, "add", err, nil)
		}
		_, err = s.AddAttendee(ctx, c.in, "one more", meeting.Capabilities{})
		wantErr(t, "one more", err, meeting.ErrFull)
		_, err = s.AddAttendee(ctx, c.in, "0", meeting.Capabilities{})
		wantErr(t, "same name at the limit", err, nil)
		_, err = s.AddAttendee(ctx, c.in, "aws:MediaPipeline-x", meeting.Capabilities{})
		wantErr(t, "hidden beyond the limit", err, nil)
	}
}

func TestAttendeesAtOnce(t *testing.T) {
	s := newService(t, meeting.Config{})
	m := must[meeting.Meeting](t)(s.Create(t.Context(), meeting.Spec{Features: meeting.Features{MaxAttendees: 10}}))
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			_, err := s.AddAttendee(context.Background(), m.ID, fmt.Sprint(i%20), meeting.Capabilities{})
			if err != nil && !errors.Is(err, meeting.ErrFull) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	names := map[string]bool{}
	for _, a := range must[[]meeting.Attendee](t)(s.Attendees(t.Context(), m.ID)) {
		names[a.ExternalUserID] = true
	}
	if len(names) != 10 {
		t.Errorf("got %d names, want 10", len(names))
	}
}

func TestMeetingsSurviveRestart(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	tables := openStore(t, dir)
	s, stop := start(t, tables, meeting.Config{})
	m := must[meeting.Meeting](t)(s.Create(ctx, meeting.Spec{RequestToken: "t", Region: "r"}))
	a := must[meeting.Attendee](t)(s.AddAttendee(ctx, m.ID, "Ann", meeting.Capabilities{}))
	gone := must[meeting.Meeting](t)(s.Create(ctx, meeting.Spec{}))
	wantErr(t, "end", s.End(ctx, gone.ID), nil)
	stop()
	tables.Close()

	tables = openStore(t, dir)
	defer tables.Close()
	s, stop = start(t, tables, meeting.Config{})
	defer stop()
	if got := must[meeting.Meeting](t)(s.Create(ctx, meeting.Spec{RequestToken: "t", Region: "r"})); got.ID != m.ID {
		t.Errorf("same token: got %s, want %s", got.ID, m.ID)
	}
	if got := must[meeting.Attendee](t)(s.AddAttendee(ctx, m.ID, "Ann", meeting.Capabilities{})); got != a {
		t.Errorf("got %+v, want %+v", got, a)
	}
	_, err := s.Lookup(ctx, gone.ID)
	wantErr(t, "lookup of an ended one", err, meeting.ErrNotFound)
}

// eventually waits for what happens by itself.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: did not happen", what)
		}
	}
}

func ended(t *testing.T, s *meeting.Service, id meeting.ID) func() bool {
	return func() bool {
		_, err := s.Lookup(t.Context(), id)
		return errors.Is(err, meeting.ErrNotFound)
	}
}

func TestMeetingsEndByThemselves(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  meeting.Config
		ends bool
	}{
		{"nobody ever came", meeting.Config{EmptyTimeout: 100 * time.Millisecond}, true},
		{"too old", meeting.Config{EmptyTimeout: -1, MaxAge: 100 * time.Millisecond}, true},
		{"never", meeting.Config{EmptyTimeout: -1, MaxAge: -1}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newService(t, c.cfg)
			m := must[meeting.Meeting](t)(s.Create(t.Context(), meeting.Spec{}))
			if c.ends {
				eventually(t, "end", ended(t, s, m.ID))
				return
			}
			time.Sleep(300 * time.Millisecond)
			if ended(t, s, m.ID)() {
				t.Error("got an end, want none")
			}
		})
	}
}
