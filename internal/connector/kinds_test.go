package connector_test

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/google/uuid"

	"belfry.live/belfry/internal/connector"
)

func captureSpec(meeting, token string) connector.Spec {
	return connector.Spec{
		Kind: connector.Capture, Account: "1", Region: "us-east-1", RequestToken: token, MeetingID: meeting,
		SinkARN: "arn:aws:s3:::bucket",
	}
}

func concatenationSpec(of connector.ID, token string) connector.Spec {
	return connector.Spec{
		Kind: connector.Concatenation, Account: "1", Region: "us-east-1", RequestToken: token, CaptureID: of,
		SinkARN: "arn:aws:s3:::bucket/joined",
	}
}

func liveSpec(meeting, token string) connector.Spec {
	s := spec(meeting, token)
	s.Kind, s.Account = connector.LiveConnector, "1"
	return s
}

// A meeting may have one pipeline of each kind.
func TestOneOfAKind(t *testing.T) {
	h := openWith(t, openStore(t), meetings{"m": true}, slog.New(slog.DiscardHandler), connector.Config{})
	defer h.stop()
	live, capture := h.create(t, liveSpec("m", "l")), h.create(t, captureSpec("m", "c"))
	h.next(t)
	h.next(t)
	for _, s := range []connector.Spec{liveSpec("m", "l2"), captureSpec("m", "c2")} {
		if _, err := h.Create(t.Context(), s); !errors.Is(err, connector.ErrMeetingTaken) {
			t.Errorf("a second %s: got %v, want ErrMeetingTaken", s.Kind, err)
		}
	}
	if _, err := h.Create(t.Context(), captureSpec("m", "l")); !errors.Is(err, connector.ErrTokenTaken) {
		t.Errorf("token of another kind: got %v, want ErrTokenTaken", err)
	}
	if again := h.create(t, captureSpec("m", "c")); again.ID != capture.ID {
		t.Errorf("same token: got %s, want %s", again.ID, capture.ID)
	}
	if live.Meeting.ExternalID != "the m" || live.Meeting.MediaRegion != "eu-west-1" {
		t.Errorf("got meeting %v, want what there is to know of it", live.Meeting)
	}
}

// A concatenation waits until its capture is over, and not longer.
func TestAConcatenationFollowsItsCapture(t *testing.T) {
	tables := openStore(t)
	m := meetings{"m": true}
	h := openWith(t, tables, m, slog.New(slog.DiscardHandler), connector.Config{})
	capture := h.create(t, captureSpec("m", "c"))
	recording := h.next(t)
	recording.report(connector.Live)
	waiting := h.create(t, concatenationSpec(capture.ID, "w"))
	if waiting.Status != connector.NotStarted || waiting.Meeting.ExternalID != "the m" {
		t.Errorf("got %s of %v, want NotStarted of the capture's meeting", waiting.Status, waiting.Meeting)
	}
	unwanted := h.create(t, concatenationSpec(capture.ID, "u"))
	if err := h.Delete(t.Context(), unwanted.ID); err != nil {
		t.Error(err)
	}
	h.gone(t, unwanted.ID)
	h.stop() // waiting survives a restart
	h = openWith(t, tables, m, slog.New(slog.DiscardHandler), connector.Config{})
	recording = h.next(t)
	if recording.pipeline.ID != capture.ID {
		t.Errorf("resumed %s, want the capture %s alone", recording.pipeline.ID, capture.ID)
	}
	recording.report(connector.Ended)
	recording.end <- nil
	joining := h.next(t)
	if joining.pipeline.ID != waiting.ID || joining.as != (connector.Invitation{}) {
		t.Errorf("got %s as %v, want the concatenation %s, which joins no meeting", joining.pipeline.ID, joining.as, waiting.ID)
	}
	joining.report(connector.Live)
	if p, err := h.Get(t.Context(), waiting.ID); err != nil || p.Status != connector.InProgress {
		t.Errorf("got %s, %v, want InProgress", p.Status, err)
	}
	joining.report(connector.Ended)
	joining.end <- nil
	h.gone(t, waiting.ID)

	later := h.create(t, concatenationSpec(capture.ID, "later")) // the capture is gone, and remembered
	if later.Status != connector.Initializing {
		t.Errorf("got %s, want Initializing", later.Status)
	}
	if r := h.next(t); r.pipeline.ID != later.ID {
		t.Errorf("got %s at work, want %s", r.pipeline.ID, later.ID)
	}
	h.stop()
}

func TestConcatenationsOfNothing(t *testing.T) {
	h := openWith(t, openStore(t), meetings{"m": true}, slog.New(slog.DiscardHandler), connector.Config{})
	defer h.stop()
	live, capture := h.create(t, liveSpec("m", "l")), h.create(t, captureSpec("m", "c"))
	h.next(t)
	h.next(t)
	foreign, elsewhere := concatenationSpec(capture.ID, "f"), concatenationSpec(capture.ID, "e")
	foreign.Account, elsewhere.Region = "2", "eu-west-1"
	for what, s := range map[string]connector.Spec{
		"of a live connector": concatenationSpec(live.ID, "1"),
		"of nothing":          concatenationSpec(connector.ID(uuid.NewString()), "2"),
		"of no id":            concatenationSpec("x", "3"),
		"of another account":  foreign,
		"of another region":   elsewhere,
	} {
		if _, err := h.Create(t.Context(), s); !errors.Is(err, connector.ErrNoCapture) {
			t.Errorf("%s: got %v, want ErrNoCapture", what, err)
		}
	}
}

// A server without the workers for a kind says so, when all else is right.
func TestWhatIsNotAvailable(t *testing.T) {
	h := open(t, openStore(t), meetings{"m": true}, slog.New(slog.DiscardHandler))
	defer h.stop()
	if _, err := h.Create(t.Context(), captureSpec("m", "c")); !errors.Is(err, connector.ErrNotAvailable) {
		t.Errorf("a capture: got %v, want ErrNotAvailable", err)
	}
	if _, err := h.Create(t.Context(), captureSpec("nowhere", "c")); !errors.Is(err, connector.ErrMeetingNotFound) {
		t.Errorf("a capture of nothing: got %v, want ErrMeetingNotFound", err)
	}
	if _, err := h.Create(t.Context(), concatenationSpec(connector.ID(uuid.NewString()), "t")); !errors.Is(err, connector.ErrNoCapture) {
		t.Errorf("a concatenation: got %v, want ErrNoCapture", err)
	}
}

func TestPipelinesAreCountedByAccount(t *testing.T) {
	h := open(t, openStore(t), meetings{"m": true, "n": true, "o": true}, slog.New(slog.DiscardHandler))
	defer h.stop()
	of := func(account, meeting string) connector.Spec {
		s := spec(meeting, account+meeting)
		s.Account = account
		return s
	}
	h.create(t, of("1", "m"))
	h.create(t, of("1", "n"))
	if _, err := h.Create(t.Context(), of("1", "o")); !errors.Is(err, connector.ErrTooMany) {
		t.Errorf("a third of two: got %v, want ErrTooMany", err)
	}
	h.create(t, of("2", "o"))
}

func TestTags(t *testing.T) {
	h := open(t, openStore(t), meetings{"m": true}, slog.New(slog.DiscardHandler))
	defer h.stop()
	s := spec("m", "t")
	s.Tags = map[string]string{"a": "1", "b": "2"}
	p := h.create(t, s)
	if err := h.Tag(t.Context(), p.ID, map[string]string{"b": "3", "c": "4"}); err != nil {
		t.Error(err)
	}
	if err := h.Untag(t.Context(), p.ID, []string{"a", "nothing"}); err != nil {
		t.Error(err)
	}
	many := map[string]string{}
	for i := range connector.MaxTags - 1 {
		many[fmt.Sprint(i)] = ""
	}
	if err := h.Tag(t.Context(), p.ID, many); !errors.Is(err, connector.ErrTooManyTags) {
		t.Errorf("201 tags: got %v, want ErrTooManyTags", err)
	}
	got, err := h.Get(t.Context(), p.ID)
	if want := map[string]string{"b": "3", "c": "4"}; err != nil || fmt.Sprint(got.Tags) != fmt.Sprint(want) {
		t.Errorf("got %v, %v, want %v", got.Tags, err, want)
	}
	if err := h.Tag(t.Context(), connector.ID(uuid.NewString()), many); !errors.Is(err, connector.ErrNotFound) {
		t.Errorf("tags of nothing: got %v, want ErrNotFound", err)
	}
	if err := h.Untag(t.Context(), "x", nil); !errors.Is(err, connector.ErrNotFound) {
		t.Errorf("untag what cannot be: got %v, want ErrNotFound", err)
	}
}
