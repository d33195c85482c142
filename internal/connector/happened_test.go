package connector_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"belfry.live/belfry/internal/connector"
)

// A diary is what is written down of pipelines.
type diary struct {
	mu     sync.Mutex
	events map[connector.ID][]connector.EventType
	fail   error // of every writing
}

func newDiary() *diary { return &diary{events: map[connector.ID][]connector.EventType{}} }

func (d *diary) record(_ context.Context, events []connector.Event) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		return d.fail
	}
	for _, e := range events {
		d.events[e.Pipeline.ID] = append(d.events[e.Pipeline.ID], e.Type)
	}
	return nil
}

func (d *diary) recorded(context.Context) (map[connector.ID]connector.EventType, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	newest := map[connector.ID]connector.EventType{}
	for id, list := range d.events {
		newest[id] = list[len(list)-1]
	}
	return newest, nil
}

func (d *diary) breaks(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = err
}

func (d *diary) of(id connector.ID) (lines []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.events[id] {
		lines = append(lines, strings.TrimPrefix(string(e), "chime:MediaPipeline"))
	}
	return lines
}

// tells waits until exactly the lines were written.
func (d *diary) tells(t *testing.T, id connector.ID, want ...string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !slices.Equal(d.of(id), want); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("got %q, want %q", d.of(id), want)
		}
	}
}

func (d *diary) config() connector.Config {
	return connector.Config{Record: d.record, Recorded: d.recorded, RecordedFor: time.Hour}
}

func TestARunIsTold(t *testing.T) {
	d := newDiary()
	h := openWith(t, openStore(t), meetings{"m": true, "n": true}, slog.New(slog.DiscardHandler), d.config())
	defer h.stop()
	p := h.create(t, liveSpec("m", "t"))
	r := h.next(t)
	d.tells(t, p.ID)
	r.report(connector.Lost) // before it began at all
	d.tells(t, p.ID, "TemporaryFailure")
	r.report(connector.Live)
	r.report(connector.Live) // news to nobody
	d.tells(t, p.ID, "TemporaryFailure", "InProgress")
	r.report(connector.Lost)
	r.report(connector.Lost)
	r.report(connector.Live)
	d.tells(t, p.ID, "TemporaryFailure", "InProgress", "TemporaryFailure", "Resumed")
	r.end <- errors.New("signal: killed")
	r = h.next(t)
	r.report(connector.Live)
	want := []string{"TemporaryFailure", "InProgress", "TemporaryFailure", "Resumed", "TemporaryFailure", "Resumed"}
	d.tells(t, p.ID, want...)
	if err := h.Delete(t.Context(), p.ID); err != nil {
		t.Error(err)
	}
	h.gone(t, p.ID)
	d.tells(t, p.ID, append(want, "Deleted")...)

	q := h.create(t, liveSpec("n", "u"))
	r = h.next(t)
	r.report(connector.Refused)
	r.end <- errors.New("NetStream.Publish.BadName")
	d.tells(t, q.ID, "PermanentFailure")
	if err := h.Delete(t.Context(), q.ID); err != nil {
		t.Error(err)
	}
	h.gone(t, q.ID)
	d.tells(t, q.ID, "PermanentFailure", "Deleted")
}

// What a crash kept from being told is told at the next start, and once.
func TestACrashIsMadeUpFor(t *testing.T) {
	d := newDiary()
	tables := openStore(t)
	m := meetings{"began": true, "lost": true, "resumed": true, "deleted": true}
	h := openWith(t, tables, m, slog.New(slog.DiscardHandler), d.config())
	ids, runs := map[string]connector.ID{}, map[string]run{}
	for name := range m {
		p := h.create(t, liveSpec(name, name))
		ids[name], runs[name] = p.ID, h.next(t)
	}
	for _, name := range []string{"lost", "resumed", "deleted"} {
		runs[name].report(connector.Live)
	}
	runs["resumed"].report(connector.Lost)
	d.breaks(errors.New("crashed"))
	runs["began"].report(connector.Live)
	runs["lost"].report(connector.Lost)
	runs["resumed"].report(connector.Live)
	if err := h.Delete(t.Context(), ids["deleted"]); err != nil {
		t.Error(err)
	}
	h.stop()

	d.breaks(nil)
	for range 2 {
		h = openWith(t, tables, m, slog.New(slog.DiscardHandler), d.config())
		h.gone(t, ids["deleted"])
		for name, want := range map[string][]string{
			"began":   {"InProgress"},
			"lost":    {"InProgress", "TemporaryFailure"},
			"resumed": {"InProgress", "TemporaryFailure", "Resumed"},
			"deleted": {"InProgress", "Deleted"},
		} {
			d.tells(t, ids[name], want...)
		}
		h.stop()
	}
}

// What cannot be written for a while is written later.
func TestRecordingRecovers(t *testing.T) {
	d := newDiary()
	h := openWith(t, openStore(t), meetings{"m": true}, slog.New(slog.DiscardHandler), d.config())
	defer h.stop()
	p := h.create(t, liveSpec("m", "t"))
	r := h.next(t)
	d.breaks(errors.New("the disk is full"))
	r.report(connector.Live)
	if err := h.Delete(t.Context(), p.ID); err != nil {
		t.Error(err)
	}
	select {
	case <-r.asked:
	case <-time.After(time.Second):
		t.Error("the worker was not asked to finish")
	}
	d.breaks(nil)
	d.tells(t, p.ID, "InProgress", "Deleted")
}

// A pipeline that failed goes with its meeting.
func TestAFailedPipelineIsSwept(t *testing.T) {
	d := newDiary()
	tables := openStore(t)
	m := meetings{"m": true}
	h := openWith(t, tables, m, slog.New(slog.DiscardHandler), d.config())
	p := h.create(t, liveSpec("m", "t"))
	r := h.next(t)
	r.report(connector.Refused)
	r.end <- nil
	until(t, "it failed", func() bool {
		got, err := h.Get(t.Context(), p.ID)
		return err == nil && got.Status == connector.Failed
	})
	h.stop()
	delete(m, "m")
	h = openWith(t, tables, m, slog.New(slog.DiscardHandler), d.config())
	defer h.stop()
	h.gone(t, p.ID)
	d.tells(t, p.ID, "PermanentFailure", "Deleted")
}
