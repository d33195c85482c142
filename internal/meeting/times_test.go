package meeting_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"belfry.live/belfry/internal/meeting"
	"belfry.live/belfry/internal/store/storetest"
)

// A meeting's tags say when it ends, from the moment they are there.
func TestTimesByTag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := meeting.Config{EmptyTimeout: 5 * time.Minute, MaxAge: 24 * time.Hour}
		s, err := meeting.New(t.Context(), cfg, new(storetest.Memory), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		defer func() {
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}()
		create := func(tags map[string]string) meeting.ID {
			t.Helper()
			return must[meeting.Meeting](t)(s.Create(t.Context(), meeting.Spec{Tags: tags})).ID
		}
		begun := time.Now()
		plain := create(nil)
		short := create(map[string]string{meeting.TagEmptyTimeout: "30s"})
		long := create(map[string]string{meeting.TagEmptyTimeout: "2h"})
		old := create(map[string]string{meeting.TagEmptyTimeout: "never", meeting.TagMaxAge: "30h"})
		forever := create(map[string]string{meeting.TagEmptyTimeout: "never", meeting.TagMaxAge: "never"})
		changed := create(map[string]string{meeting.TagEmptyTimeout: "never"})
		lasts := func(id meeting.ID, want time.Duration) {
			t.Helper()
			const late = 2 * time.Second
			time.Sleep(time.Until(begun.Add(want - time.Second)))
			if _, err := s.Lookup(t.Context(), id); err != nil {
				t.Errorf("after %v: got %v, want it to live until %v", time.Since(begun), err, want)
			}
			time.Sleep(time.Second + late)
			if _, err := s.Lookup(t.Context(), id); !errors.Is(err, meeting.ErrNotFound) {
				t.Errorf("after %v: got %v, want it ended", time.Since(begun), err)
			}
		}
		lasts(short, 30*time.Second)
		lasts(plain, 5*time.Minute)
		time.Sleep(time.Until(begun.Add(10 * time.Minute)))
		wantErr(t, "tag", s.Tag(t.Context(), changed, map[string]string{meeting.TagEmptyTimeout: "15m"}), nil)
		lasts(changed, 15*time.Minute)
		lasts(long, 2*time.Hour)
		lasts(old, 30*time.Hour)
		time.Sleep(100 * time.Hour)
		wantErr(t, "lookup of one that never ends", second(s.Lookup(t.Context(), forever)), nil)
		wantErr(t, "untag", s.Untag(t.Context(), forever, []string{meeting.TagMaxAge, "unknown"}), nil)
		time.Sleep(2 * time.Second)
		wantErr(t, "lookup without the tag", second(s.Lookup(t.Context(), forever)), meeting.ErrNotFound)
	})
}

func TestTags(t *testing.T) {
	s := newService(t, meeting.Config{})
	ctx := t.Context()
	for _, bad := range []string{"", "soon", "5", "-1m", "0s", "9s", "8761h", "Never"} {
		_, err := s.Create(ctx, meeting.Spec{Tags: map[string]string{meeting.TagMaxAge: bad}})
		wantErr(t, "max age "+bad, err, meeting.ErrTag)
	}
	m := must[meeting.Meeting](t)(s.Create(ctx, meeting.Spec{Tags: map[string]string{"a": "1"}}))
	wantErr(t, "bad tag", s.Tag(ctx, m.ID, map[string]string{meeting.TagEmptyTimeout: "soon"}), meeting.ErrTag)
	tags := map[string]string{"a": "2"}
	for i := range meeting.MaxTags - 1 {
		tags[fmt.Sprintf("k%d", i)] = ""
	}
	wantErr(t, "50 tags", s.Tag(ctx, m.ID, tags), nil)
	wantErr(t, "51 tags", s.Tag(ctx, m.ID, map[string]string{"one": "more"}), meeting.ErrTooManyTags)
	wantErr(t, "untag", s.Untag(ctx, m.ID, []string{"k1", "k1", "nothing"}), nil)
	got := must[meeting.Meeting](t)(s.Lookup(ctx, m.ID))
	if len(got.Tags) != meeting.MaxTags-1 || got.Tags["a"] != "2" {
		t.Errorf("got %d tags with a=%q, want 49 with a=2", len(got.Tags), got.Tags["a"])
	}
	wantErr(t, "end", s.End(ctx, m.ID), nil)
	wantErr(t, "tag after the end", s.Tag(ctx, m.ID, map[string]string{"x": ""}), meeting.ErrNotFound)
	wantErr(t, "untag after the end", s.Untag(ctx, m.ID, []string{"x"}), meeting.ErrNotFound)
}

// Accounts do not take each other's places.
func TestMeetingsAreCountedByAccount(t *testing.T) {
	s := newService(t, meeting.Config{MaxMeetings: 2})
	ctx := t.Context()
	create := func(account string) (meeting.Meeting, error) { return s.Create(ctx, meeting.Spec{Account: account}) }
	m := must[meeting.Meeting](t)(create("a"))
	must[meeting.Meeting](t)(create("a"))
	wantErr(t, "a third", second(create("a")), meeting.ErrTooMany)
	must[meeting.Meeting](t)(create("b"))
	wantErr(t, "end", s.End(ctx, m.ID), nil)
	must[meeting.Meeting](t)(create("a"))
}
