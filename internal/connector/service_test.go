package connector_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"belfry.live/belfry/internal/connector"
	"belfry.live/belfry/internal/store/natskv"
)

const key = "sk_us-east-1_secret"

// A house is a service over a real store, with workers made by the test.
type house struct {
	*connector.Service
	runs chan run
	stop func() // ends Run and waits for it
}

// A run is one worker at work: what it returns and reports is the test's.
type run struct {
	pipeline connector.Pipeline
	as       connector.Invitation
	report   func(connector.Report)
	end      chan error
	asked    <-chan struct{} // closed when it is to finish
}

type meetings map[string]bool

func (m meetings) Find(_ context.Context, _, id string) (connector.Meeting, error) {
	if !m[id] {
		return connector.Meeting{}, connector.ErrMeetingNotFound
	}
	return connector.Meeting{ExternalID: "the " + id, MediaRegion: "eu-west-1"}, nil
}

func (m meetings) Invite(_ context.Context, _, id, name string) (connector.Invitation, error) {
	if !m[id] {
		return connector.Invitation{}, connector.ErrMeetingNotFound
	}
	return connector.Invitation{AttendeeID: "a", ExternalUserID: name}, nil
}

func open(t *testing.T, tables *natskv.Store, m meetings, log *slog.Logger) *house {
	t.Helper()
	return openWith(t, tables, m, log, connector.Config{MaxPipelines: 2})
}

// openWith has all the service's kinds of pipelines.
func openWith(t *testing.T, tables *natskv.Store, m meetings, log *slog.Logger, cfg connector.Config) *house {
	t.Helper()
	h := &house{runs: make(chan run)}
	work := func(ctx context.Context, p connector.Pipeline, as connector.Invitation, report func(connector.Report)) error {
		r := run{p, as, report, make(chan error, 1), ctx.Done()}
		select {
		case h.runs <- r:
		case <-ctx.Done():
			return nil
		}
		select {
		case err := <-r.end:
			return err
		case <-ctx.Done():
			return nil
		}
	}
	cfg.Work = work
	if cfg.MaxPipelines != 2 {
		cfg.Capture, cfg.Concatenate = work, work
	}
	var err error
	if h.Service, err = connector.New(t.Context(), cfg, tables, m, log); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- h.Run(ctx) }()
	h.stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	return h
}

func openStore(t *testing.T) *natskv.Store {
	t.Helper()
	s, err := natskv.Open(t.Context(), natskv.Config{Dir: filepath.Join(t.TempDir(), "nats")}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func spec(meeting, token string) connector.Spec {
	return connector.Spec{
		Region: "us-east-1", RequestToken: token, MeetingID: meeting,
		SinkURL: connector.NewSinkURL("rtmps://localhost:443/app/" + key),
	}
}

func (h *house) create(t *testing.T, s connector.Spec) connector.Pipeline {
	t.Helper()
	p, err := h.Create(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (h *house) next(t *testing.T) run {
	t.Helper()
	select {
	case r := <-h.runs:
		return r
	case <-time.After(10 * time.Second):
		t.Fatal("no worker was started within 10 s")
		return run{}
	}
}

// until waits for what the service does behind a call's back.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for limit := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

func (h *house) gone(t *testing.T, id connector.ID) {
	t.Helper()
	until(t, "the pipeline is gone", func() bool {
		_, err := h.Get(t.Context(), id)
		return errors.Is(err, connector.ErrNotFound)
	})
}

func TestAPipelineLivesAndEnds(t *testing.T) {
	var logged bytes.Buffer
	h := open(t, openStore(t), meetings{"m": true}, slog.New(slog.NewTextHandler(&logged, nil)))
	p := h.create(t, spec("m", "token"))
	if p.Status != connector.Initializing {
		t.Errorf("got status %s at first, want Initializing", p.Status)
	}
	if again := h.create(t, spec("m", "token")); again.ID != p.ID {
		t.Errorf("same token: got pipeline %s, want %s", again.ID, p.ID)
	}
	r := h.next(t)
	if want := "aws:MediaPipeline-" + string(p.ID); r.as.ExternalUserID != want {
		t.Errorf("joins as %q, want %q", r.as.ExternalUserID, want)
	}
	if got := r.pipeline.SinkURL.Reveal(); !strings.HasSuffix(got, key) {
		t.Errorf("worker got sink %q, want the key in it", got)
	}
	r.report(connector.Live)
	if got, err := h.Get(t.Context(), p.ID); err != nil || got.Status != connector.InProgress {
		t.Errorf("got %s, %v when live, want InProgress", got.Status, err)
	}
	r.report(connector.Lost)
	if err := h.Delete(t.Context(), p.ID); err != nil {
		t.Fatal(err)
	}
	select {
	case <-r.asked:
	case <-time.After(time.Second):
		t.Error("the worker was not asked to finish")
	}
	h.gone(t, p.ID)
	if err := h.Delete(t.Context(), p.ID); !errors.Is(err, connector.ErrNotFound) {
		t.Errorf("delete again: got %v, want ErrNotFound", err)
	}
	if _, err := h.Create(t.Context(), spec("m", "token")); !errors.Is(err, connector.ErrTokenSpent) {
		t.Errorf("token of a pipeline that is gone: got %v, want ErrTokenSpent", err)
	}
	h.create(t, spec("m", "other"))
	h.stop()
	if strings.Contains(logged.String(), key) {
		t.Errorf("the log holds the stream key:\n%s", logged.String())
	}
}

func TestWhatMayNotBeMade(t *testing.T) {
	h := open(t, openStore(t), meetings{"m": true, "n": true, "o": true}, slog.New(slog.DiscardHandler))
	defer h.stop()
	h.create(t, spec("m", "1"))
	h.create(t, spec("n", "2"))
	if _, err := h.Create(t.Context(), spec("o", "3")); !errors.Is(err, connector.ErrTooMany) {
		t.Errorf("a third of two: got %v, want ErrTooMany", err)
	}
	p := h.create(t, spec("n", "2"))
	if err := h.Delete(t.Context(), p.ID); err != nil {
		t.Fatal(err)
	}
	h.gone(t, p.ID)
	if _, err := h.Create(t.Context(), spec("m", "4")); !errors.Is(err, connector.ErrMeetingTaken) {
		t.Errorf("second of one meeting: got %v, want ErrMeetingTaken", err)
	}
	if _, err := h.Create(t.Context(), spec("nowhere", "5")); !errors.Is(err, connector.ErrMeetingNotFound) {
		t.Errorf("unknown meeting: got %v, want ErrMeetingNotFound", err)
	}
}

func TestACrashedWorkerIsReplaced(t *testing.T) {
	h := open(t, openStore(t), meetings{"m": true}, slog.New(slog.DiscardHandler))
	defer h.stop()
	p := h.create(t, spec("m", "t"))
	for range 3 {
		h.next(t).end <- errors.New("signal: killed")
	}
	h.next(t).report(connector.Live)
	if got, err := h.Get(t.Context(), p.ID); err != nil || got.Status != connector.InProgress {
		t.Errorf("got %s, %v, want InProgress", got.Status, err)
	}
}

func TestAPipelineEndsWithItsMeeting(t *testing.T) {
	h := open(t, openStore(t), meetings{"m": true}, slog.New(slog.DiscardHandler))
	defer h.stop()
	p := h.create(t, spec("m", "t"))
	r := h.next(t)
	r.report(connector.Ended)
	r.end <- nil
	h.gone(t, p.ID)
}

func TestARefusedPipelineFailsAndFreesItsMeeting(t *testing.T) {
	h := open(t, openStore(t), meetings{"m": true}, slog.New(slog.DiscardHandler))
	defer h.stop()
	p := h.create(t, spec("m", "t"))
	r := h.next(t)
	r.report(connector.Refused)
	r.end <- errors.New("NetStream.Publish.BadName")
	got, err := h.Get(t.Context(), p.ID)
	if err != nil || got.Status != connector.Failed || got.Cause == "" {
		t.Errorf("got %s (%q), %v, want Failed with a cause", got.Status, got.Cause, err)
	}
	h.create(t, spec("m", "u"))
}

func TestPipelinesAreResumed(t *testing.T) {
	tables := openStore(t)
	m := meetings{"m": true, "n": true}
	before := open(t, tables, m, slog.New(slog.DiscardHandler))
	p, q := before.create(t, spec("m", "1")), before.create(t, spec("n", "2"))
	before.next(t)
	before.next(t)
	before.stop()
	delete(m, "n") // ended while nobody looked

	after := open(t, tables, m, slog.New(slog.DiscardHandler))
	defer after.stop()
	if r := after.next(t); r.pipeline.ID != p.ID {
		t.Errorf("resumed %s, want %s", r.pipeline.ID, p.ID)
	}
	after.gone(t, q.ID)
	if list, err := after.List(t.Context(), "", "us-east-1"); err != nil || len(list) != 1 {
		t.Errorf("got %d pipelines, %v, want 1", len(list), err)
	}
	if list, err := after.List(t.Context(), "", "eu-west-1"); err != nil || len(list) != 0 {
		t.Errorf("of another region: got %d pipelines, %v, want 0", len(list), err)
	}
}

func TestASinkURLDoesNotPrintItsKey(t *testing.T) {
	for _, u := range []string{"rtmps://h:443/app/" + key, "rtmp://user:" + key + "@h/a/b?x=" + key, "%zz" + key} {
		if got := connector.NewSinkURL(u).String(); strings.Contains(got, key) {
			t.Errorf("got %q for %q", got, u)
		}
	}
}

func TestStoppedWhileStarting(t *testing.T) {
	h := open(t, openStore(t), meetings{}, slog.New(slog.DiscardHandler))
	h.stop()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Run(ctx); err != nil {
		t.Errorf("got %v, want nil", err)
	}
}
