package meeting_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"belfry.live/belfry/internal/meeting"
	"belfry.live/belfry/internal/store"
	"belfry.live/belfry/internal/wire/chime"
)

// A diary is what is written down of meetings.
type diary struct {
	mu     sync.Mutex
	events map[meeting.ID][]meeting.Event
	fail   error // of every writing
}

func newDiary() *diary { return &diary{events: map[meeting.ID][]meeting.Event{}} }

func (d *diary) record(_ context.Context, events []meeting.Event) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		return d.fail
	}
	for _, e := range events {
		d.events[e.Meeting.ID] = append(d.events[e.Meeting.ID], e)
	}
	return nil
}

func (d *diary) recorded(context.Context) (map[meeting.ID]meeting.EventType, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	newest := map[meeting.ID]meeting.EventType{}
	for id, list := range d.events {
		newest[id] = list[len(list)-1].Type
	}
	return newest, nil
}

func (d *diary) added(_ context.Context, since time.Time) (map[meeting.AttendeeID]bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := map[meeting.AttendeeID]bool{}
	for _, list := range d.events {
		for _, e := range list {
			if e.Type == meeting.AttendeeAdded && !e.Time.Before(since) {
				all[e.Attendee.ID] = true
			}
		}
	}
	return all, nil
}

func (d *diary) breaks(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = err
}

// of returns what was written of a meeting: "AttendeeAdded Ann".
func (d *diary) of(id meeting.ID) (lines []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.events[id] {
		lines = append(lines, strings.TrimSpace(strings.TrimPrefix(string(e.Type), "chime:")+" "+e.Attendee.ExternalUserID))
	}
	return lines
}

func (d *diary) config() meeting.Config {
	return meeting.Config{Record: d.record, Recorded: d.recorded, RecordedAdded: d.added, RecordedFor: time.Hour}
}

// tells waits until exactly the lines were written.
func (d *diary) tells(t *testing.T, id meeting.ID, want ...string) {
	t.Helper()
	for end := time.Now().Add(patience); !slices.Equal(d.of(id), want); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("got\n\t%s\nwant\n\t%s", strings.Join(d.of(id), "\n\t"), strings.Join(want, "\n\t"))
		}
	}
}

// What an API call did is told when it returns.
func TestCallsAreTold(t *testing.T) {
	d := newDiary()
	tables := openStore(t, t.TempDir())
	t.Cleanup(tables.Close)
	s, _ := start(t, tables, d.config())
	ctx := t.Context()
	m, admitted, isNew, err := s.CreateWith(ctx, meeting.Spec{RequestToken: "t"}, []meeting.Newcomer{
		{ExternalUserID: "Ann", Capabilities: all}, {ExternalUserID: "Ben", Capabilities: all}, {ExternalUserID: "Ann", Capabilities: all},
	})
	if err != nil || !isNew || len(admitted) != 3 || admitted[0] != admitted[2] {
		t.Fatalf("got %v, %v, %v, want Ann twice and Ben, new", admitted, isNew, err)
	}
	want := []string{"MeetingStarted", "AttendeeAdded Ann", "AttendeeAdded Ben"}
	check := func() {
		t.Helper()
		if got := d.of(m.ID); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	check()
	if _, _, isNew, err := s.CreateWith(ctx, meeting.Spec{RequestToken: "t"}, nil); err != nil || isNew {
		t.Errorf("same token: got new %v, %v, want the old one", isNew, err)
	}
	must[meeting.Attendee](t)(s.AddAttendee(ctx, m.ID, "Ann", all))
	must[meeting.Attendee](t)(s.AddAttendee(ctx, m.ID, "aws:MediaPipeline-1", all))
	check() // nothing happened, or to nobody
	cas := must[meeting.Attendee](t)(s.AddAttendee(ctx, m.ID, "Cas", all))
	listen := meeting.Capabilities{Audio: meeting.Receive, Video: meeting.None, Content: meeting.None}
	must[meeting.Attendee](t)(s.UpdateCapabilities(ctx, m.ID, cas.ID, listen))
	wantErr(t, "of all but Cas", s.UpdateCapabilitiesExcept(ctx, m.ID, []meeting.AttendeeID{cas.ID}, listen), nil)
	wantErr(t, "remove", s.RemoveAttendee(ctx, m.ID, cas.ID), nil)
	wantErr(t, "end", s.End(ctx, m.ID), nil)
	want = append(want, "AttendeeAdded Cas", "AttendeeCapabilitiesUpdated Cas", "AttendeeCapabilitiesUpdated Ann",
		"AttendeeCapabilitiesUpdated Ben", "AttendeeDeleted Cas", "MeetingEnded")
	check()
	for _, e := range d.events[m.ID] {
		if e.Attendee.JoinToken.Reveal() != "" || e.ID == "" || e.Meeting.RequestToken != "t" {
			t.Errorf("got %+v, want an id, the meeting, and no join token", e)
		}
		if e.Type == meeting.CapabilitiesUpdated && e.Attendee.Capabilities != listen {
			t.Errorf("got %v, want the new capabilities %v", e.Attendee.Capabilities, listen)
		}
	}
}

func TestGuestsAreTold(t *testing.T) {
	noLeaks(t)
	d := newDiary()
	cfg := d.config()
	cfg.LostTimeout = time.Millisecond
	h := open(t, t.TempDir(), cfg)
	m := h.meeting()
	want := []string{"MeetingStarted"}
	tells := func(more ...string) {
		t.Helper()
		want = append(want, more...)
		d.tells(t, m.ID, want...)
	}
	ann := h.enter(m, "Ann")
	tells("AttendeeAdded Ann", "AttendeeJoined Ann")
	h.reenterBot(m)
	ann.media.cameraOn = true
	ann.offer()
	tells("AttendeeVideoStarted Ann")
	share := h.share(ann.attendee, 7)
	tells("AttendeeContentJoined Ann")
	share.media.cameraOn = true
	share.offer()
	tells("AttendeeContentVideoStarted Ann")
	share.leave()
	tells("AttendeeContentVideoStopped Ann", "AttendeeContentLeft Ann")
	ann.media.cameraOn = false
	ann.offer()
	tells("AttendeeVideoStopped Ann")

	other := h.reenter(ann.attendee, 2) // on another device
	tells("AttendeeAuthorized Ann")
	other.conn.CloseNow()
	tells("AttendeeDropped Ann")

	ben := h.enter(m, "Ben")
	tells("AttendeeAdded Ben", "AttendeeJoined Ben")
	ben.leave()
	tells("AttendeeLeft Ben")
	ben = h.reenter(ben.attendee, 3)
	tells("AttendeeJoined Ben")
	wantErr(t, "remove", h.RemoveAttendee(t.Context(), m.ID, ben.attendee.ID), nil)
	tells("AttendeeLeft Ben", "AttendeeDeleted Ben")

	cas := h.enter(m, "Cas")
	cas.media.cameraOn = true
	cas.offer()
	tells("AttendeeAdded Cas", "AttendeeJoined Cas", "AttendeeVideoStarted Cas")
	wantErr(t, "end", h.End(t.Context(), m.ID), nil)
	tells("AttendeeVideoStopped Cas", "AttendeeLeft Cas", "MeetingEnded")
	cas.closeCode()
	if got := h.Metrics(t.Context()).EventsDropped; got != 0 {
		t.Errorf("got %d events dropped, want none", got)
	}
	h.stop()
	tells() // nothing comes after the end
}

// An attendee of a replica is told of in the replica; promoted, it has left
// that one, and whom it takes part as has joined the primary.
func TestAudienceIsTold(t *testing.T) {
	noLeaks(t)
	d := newDiary()
	h := open(t, t.TempDir(), d.config())
	m := h.meeting()
	rep := h.replica(m)
	viv := h.watchFrom(h.attendee(rep, "Viv"), 1)
	as := h.attendee(m, "Speaker")
	d.tells(t, rep.ID, "MeetingStarted", "AttendeeAdded Viv", "AttendeeJoined Viv")
	if status := viv.promote(as); status != 0 {
		t.Fatalf("got status %d, want 0", status)
	}
	d.tells(t, rep.ID, "MeetingStarted", "AttendeeAdded Viv", "AttendeeJoined Viv", "AttendeeLeft Viv")
	d.tells(t, m.ID, "MeetingStarted", "AttendeeAdded Speaker", "AttendeeJoined Speaker")
	viv.demote()
	d.tells(t, m.ID, "MeetingStarted", "AttendeeAdded Speaker", "AttendeeJoined Speaker", "AttendeeLeft Speaker")
	wantErr(t, "end", h.End(t.Context(), m.ID), nil)
	d.tells(t, rep.ID, "MeetingStarted", "AttendeeAdded Viv", "AttendeeJoined Viv", "AttendeeLeft Viv", "AttendeeJoined Viv",
		"AttendeeLeft Viv", "MeetingEnded")
	d.tells(t, m.ID, "MeetingStarted", "AttendeeAdded Speaker", "AttendeeJoined Speaker", "AttendeeLeft Speaker", "MeetingEnded")
	viv.closeCode()
}

// Whoever is cut off by a restart and comes back has never been away; whoever
// does not has dropped.
func TestARestartIsNotTold(t *testing.T) {
	noLeaks(t)
	d := newDiary()
	dir := t.TempDir()
	h := open(t, dir, d.config())
	m := h.meeting()
	ann, ben := h.enter(m, "Ann"), h.enter(m, "Ben")
	ann.sees(ann, ben)
	h.stop()
	if got := ann.closeCode(); got == websocket.StatusNormalClosure {
		t.Errorf("got %v, want to be told to come back", got)
	}
	h = open(t, dir, d.config())
	ann = h.reenter(ann.attendee, 1)
	want := []string{"MeetingStarted", "AttendeeAdded Ann", "AttendeeJoined Ann", "AttendeeAdded Ben", "AttendeeJoined Ben", "AttendeeDropped Ben"}
	d.tells(t, m.ID, want...)
	ann.next(0, chime.Frame_INDEX)
	ann.leave()
	d.tells(t, m.ID, append(want, "AttendeeLeft Ann")...)
}

// What a crash kept from being told is told at the next start, and once.
func TestACrashIsMadeUpFor(t *testing.T) {
	dir := t.TempDir()
	broken := errors.New("crashed")
	d := newDiary()
	tables := openStore(t, dir)
	s, stop := start(t, tables, d.config())
	told := must[meeting.Meeting](t)(s.Create(t.Context(), meeting.Spec{ExternalID: "told"}))
	lives := must[meeting.Meeting](t)(s.Create(t.Context(), meeting.Spec{ExternalID: "lives"}))
	must[meeting.Attendee](t)(s.AddAttendee(t.Context(), lives.ID, "Ann", all))
	d.breaks(broken)
	_, err := s.AddAttendee(t.Context(), lives.ID, "Ben", all)
	wantErr(t, "add", err, broken)
	_, err = s.Create(t.Context(), meeting.Spec{ExternalID: "half made"})
	wantErr(t, "create", err, broken)
	wantErr(t, "end", s.End(t.Context(), told.ID), broken)
	wantErr(t, "lookup after an end that is not told yet", second(s.Lookup(t.Context(), told.ID)), meeting.ErrNotFound)
	tables.Close()
	stop()

	d.breaks(nil)
	for range 2 { // nothing is left for the second start
		tables = openStore(t, dir)
		_, stop = start(t, tables, d.config())
		d.tells(t, told.ID, "MeetingStarted", "MeetingEnded")
		d.tells(t, lives.ID, "MeetingStarted", "AttendeeAdded Ann", "AttendeeAdded Ben")
		stop()
		tables.Close()
	}
	// Of the other nobody ever knew: it may be told of with its end, or not at
	// all, but it must not live.
	for id := range d.events {
		if id == lives.ID {
			continue
		}
		if lines := d.of(id); lines[len(lines)-1] != "MeetingEnded" {
			t.Errorf("got %q, want it ended", lines)
		}
	}
}

// A meeting whose record was written, and nothing more, is told of at the next
// start.
func TestAHalfMadeMeetingIsTold(t *testing.T) {
	dir := t.TempDir()
	tables := openStore(t, dir)
	s, stop := start(t, tables, meeting.Config{}) // which tells nobody
	m := must[meeting.Meeting](t)(s.Create(t.Context(), meeting.Spec{}))
	stop()
	d := newDiary()
	cfg := d.config()
	cfg.RecordedFor = time.Nanosecond // so long ago that it was forgotten
	_, stop = start(t, tables, cfg)
	if got := d.of(m.ID); len(got) != 0 {
		t.Errorf("got %q, want nothing", got)
	}
	stop()
	_, stop = start(t, tables, d.config())
	d.tells(t, m.ID, "MeetingStarted")
	stop()
	tables.Close()
}

func second[T any](_ T, err error) error { return err }

// What cannot be written for a while is written later, in order, and a call
// that finds what another one made waits for that.
func TestRecordingRecovers(t *testing.T) {
	d := newDiary()
	tables := openStore(t, t.TempDir())
	t.Cleanup(tables.Close)
	s, _ := start(t, tables, d.config())
	m := must[meeting.Meeting](t)(s.Create(t.Context(), meeting.Spec{}))
	full := errors.New("the disk is full")
	d.breaks(full)
	_, err := s.AddAttendee(t.Context(), m.ID, "Ann", all)
	wantErr(t, "add", err, full)
	_, err = s.AddAttendee(t.Context(), m.ID, "Ann", all)
	if err == nil {
		t.Error("add again: got no error although nothing was written")
	}
	d.breaks(nil)
	d.tells(t, m.ID, "MeetingStarted", "AttendeeAdded Ann")
	wantErr(t, "end", s.End(t.Context(), m.ID), nil)
	d.tells(t, m.ID, "MeetingStarted", "AttendeeAdded Ann", "MeetingEnded")
}

// A replica whose primary is gone ends, also when the server was killed between
// the one and the other.
func TestAReplicaAloneEnds(t *testing.T) {
	d := newDiary()
	tables := openStore(t, t.TempDir())
	t.Cleanup(tables.Close)
	s, stop := start(t, tables, d.config())
	m := must[meeting.Meeting](t)(s.Create(t.Context(), meeting.Spec{}))
	rep := must[meeting.Meeting](t)(s.Create(t.Context(), meeting.Spec{PrimaryID: m.ID}))
	stop()
	records, err := tables.Table(t.Context(), "meetings", store.TableConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if err := records.Delete(t.Context(), string(m.ID), 0); err != nil {
		t.Fatal(err)
	}
	s, _ = start(t, tables, d.config())
	eventually(t, "the replica ends", ended(t, s, rep.ID))
	d.tells(t, rep.ID, "MeetingStarted", "MeetingEnded")
}
