package meeting_test

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"belfry.live/belfry/internal/meeting"
	"belfry.live/belfry/internal/wire/chime"
)

func (h *house) replica(of meeting.Meeting) meeting.Meeting {
	h.t.Helper()
	return must[meeting.Meeting](h.t)(h.Create(h.t.Context(), meeting.Spec{PrimaryID: of.ID}))
}

// watchFrom lets an attendee of a replica in and waits until it knows the
// roster.
func (h *house) watchFrom(a meeting.Attendee, session uint64) *guest {
	h.t.Helper()
	g := h.dial(a.MeetingID, a.JoinToken.Reveal())
	g.attendee = a
	g.join(session)
	g.connect()
	g.next(0, chime.Frame_AUDIO_STREAM_ID_INFO)
	return g
}

// promote asks to take part as another attendee.
func (g *guest) promote(as meeting.Attendee) uint32 {
	g.t.Helper()
	mark := g.mark()
	g.send(chime.Frame_PRIMARY_MEETING_JOIN, func(f *chime.Frame) {
		f.PrimaryMeetingJoin = &chime.PrimaryMeetingJoinFrame{Credentials: &chime.MeetingSessionCredentials{
			AttendeeId: proto.String(string(as.ID)), ExternalUserId: &as.ExternalUserID, JoinToken: proto.String(as.JoinToken.Reveal()),
		}}
	})
	return g.next(mark, chime.Frame_PRIMARY_MEETING_JOIN_ACK).GetError().GetStatus()
}

func (g *guest) demote() {
	g.t.Helper()
	g.send(chime.Frame_PRIMARY_MEETING_LEAVE, func(f *chime.Frame) { f.PrimaryMeetingLeave = &chime.PrimaryMeetingLeaveFrame{} })
}

// The audience in a replica sees and hears the primary and is itself nowhere
// to be found; promoted, one of it takes part.
func TestReplica(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), meeting.Config{MaxConnected: 3})
	m := h.meeting()
	rep := h.replica(m)
	ann := h.enter(m, "Ann")
	viv, wim := h.watchFrom(h.attendee(rep, "Viv"), 1), h.watchFrom(h.attendee(rep, "Wim"), 1)
	for _, g := range []*guest{ann, viv, wim} {
		g.sees(ann)
		g.wait("count of 1", func() bool { return g.index.GetNumParticipants() == 1 })
	}
	viv.wait("no room for its camera", func() bool { return viv.index.GetAtCapacity() })
	viv.media.cameraOn = true
	if got := viv.offer().GetError().GetStatus(); got != 206 {
		t.Errorf("camera in the audience: got status %d, want 206", got)
	}
	viv.media.cameraOn = false
	viv.offer()

	ann.media.say(440)
	viv.media.say(700)
	ann.media.cameraOn = true
	ann.offer()
	eventually(t, "the audience hears Ann", func() bool { return viv.media.loudness(440) > 0.1 && wim.media.loudness(440) > 0.1 })
	viv.wait("Ann's camera", func() bool { return len(viv.index.GetSources()) == 1 })
	section := viv.watch(viv.index.GetSources()[0].GetStreamId())
	viv.offer()
	eventually(t, "Viv sees Ann", func() bool { return viv.media.packets("v_"+section.Mid()) > 10 })
	for _, g := range []*guest{ann, wim} {
		if got := g.media.loudness(700); got > 0.001 {
			t.Errorf("%s hears the audience with %v, want silence", g.attendee.ExternalUserID, got)
		}
	}
	viv.tell("chat", "from the audience", 0)
	viv.next(0, chime.Frame_NOTIFICATION)
	ann.tell("chat", "to the audience", time.Minute)
	viv.hears("to the audience")
	wim.hears("to the audience")

	// Promotion.
	zoe := h.attendee(m, "Zoe")
	forged := zoe
	forged.ID = ann.attendee.ID
	for what, a := range map[string]meeting.Attendee{"another's id": forged, "attendee of the replica": wim.attendee} {
		if got := viv.promote(a); got != 403 {
			t.Errorf("promoted with %s: got status %d, want 403", what, got)
		}
	}
	if got := ann.promote(zoe); got != 403 {
		t.Errorf("promoted from the primary: got status %d, want 403", got)
	}
	if got := viv.promote(zoe); got != 0 {
		t.Fatalf("promoted: got status %d, want none", got)
	}
	asZoe := &guest{attendee: zoe}
	for _, g := range []*guest{ann, viv, wim} {
		g.sees(ann, asZoe)
		g.wait("count of 2", func() bool { return g.index.GetNumParticipants() == 2 })
	}
	viv.wait("room for its camera", func() bool { return !viv.index.GetAtCapacity() })
	eventually(t, "Ann and Wim hear Viv", func() bool { return ann.media.loudness(700) > 0.1 && wim.media.loudness(700) > 0.1 })
	eventually(t, "Viv hears Ann alone", func() bool { return viv.media.loudness(440) > 0.1 && viv.media.loudness(700) < 0.01 })
	viv.media.cameraOn = true
	if got := viv.offer().GetError().GetStatus(); got != 0 {
		t.Errorf("camera of one promoted: got status %d, want none", got)
	}
	ann.wait("Zoe's camera", func() bool {
		s := ann.index.GetSources()
		return len(s) == 1 && s[0].GetAttendeeId() == string(zoe.ID) && s[0].GetExternalUserId() == "Zoe"
	})
	viv.tell("chat", "as Zoe", 0)
	ann.hears("as Zoe")
	ann.locked(func() {
		if got := ann.messages()[0].GetSenderAttendeeId(); got != string(zoe.ID) {
			t.Errorf("sender: got %s, want %s", got, zoe.ID)
		}
	})
	share := h.dial(rep.ID, viv.attendee.JoinToken.Reveal()+"#content")
	share.attendee = zoe
	share.attendee.ID += "#content"
	share.join(9)
	share.connect()
	ann.sees(ann, asZoe, share)

	// Demotion.
	viv.demote()
	if got := share.status(); got != 410 {
		t.Errorf("share of one demoted: got status %d, want 410", got)
	}
	share.leave()
	for _, g := range []*guest{ann, viv, wim} {
		g.sees(ann)
	}
	ann.wait("no camera", func() bool { return len(ann.index.GetSources()) == 0 })
	eventually(t, "Viv is not heard any more", func() bool { return ann.media.loudness(700) < 0.001 })
	eventually(t, "Viv hears Ann still", func() bool { return viv.media.loudness(440) > 0.1 })

	// A promoted one that loses its connection comes back to the audience.
	if got := viv.promote(zoe); got != 0 {
		t.Fatalf("promoted again: got status %d, want none", got)
	}
	ann.sees(ann, asZoe)
	viv.conn.CloseNow()
	viv = h.watchFrom(viv.attendee, 1)
	ann.sees(ann)
	viv.sees(ann)
	viv.wait("no room for its camera", func() bool { return viv.index.GetAtCapacity() })
	wim.leave()
	viv.leave()
	ann.leave()
}

func TestPromotedAttendeeIsRemoved(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), meeting.Config{MaxConnected: 2})
	m := h.meeting()
	rep := h.replica(m)
	ann := h.enter(m, "Ann")
	zoe, yan := h.attendee(m, "Zoe"), h.attendee(m, "Yan")
	viv, wim := h.watchFrom(h.attendee(rep, "Viv"), 1), h.watchFrom(h.attendee(rep, "Wim"), 1)
	if got := viv.promote(zoe); got != 0 {
		t.Fatalf("got status %d, want none", got)
	}
	if got := wim.promote(yan); got != 409 {
		t.Errorf("promoted into a full meeting: got status %d, want 409", got)
	}
	mark := viv.mark()
	wantErr(t, "remove", h.RemoveAttendee(t.Context(), m.ID, zoe.ID), nil)
	viv.next(mark, chime.Frame_PRIMARY_MEETING_LEAVE) // demoted, not put out
	ann.sees(ann)
	if got := viv.promote(zoe); got != 403 {
		t.Errorf("promoted to one removed: got status %d, want 403", got)
	}
	wantErr(t, "remove from the replica", h.RemoveAttendee(t.Context(), rep.ID, viv.attendee.ID), nil)
	if got := viv.status(); got != 411 {
		t.Errorf("got status %d, want 411", got)
	}
	viv.leave()
	if got := wim.promote(yan); got != 0 {
		t.Errorf("promoted with room: got status %d, want none", got)
	}
	wantErr(t, "end of the replica", h.End(t.Context(), rep.ID), nil)
	if got := wim.status(); got != 410 {
		t.Errorf("got status %d, want 410", got)
	}
	wim.leave()
	ann.sees(ann)
	ann.leave()
}

func TestReplicasLiveWithTheirPrimary(t *testing.T) {
	noLeaks(t)
	dir := t.TempDir()
	cfg := meeting.Config{EmptyTimeout: 500 * time.Millisecond, MaxReplicas: 2}
	h := open(t, dir, cfg)
	ctx := t.Context()
	m := h.meeting()
	first, second := h.replica(m), h.replica(m)
	for what, of := range map[string]struct {
		id   meeting.ID
		want error
	}{
		"a third":      {m.ID, meeting.ErrTooManyReplicas},
		"of a replica": {first.ID, meeting.ErrPrimary},
		"of nothing":   {meeting.ID(h.attendee(m, "x").ID), meeting.ErrPrimary},
	} {
		_, err := h.Create(ctx, meeting.Spec{PrimaryID: of.id})
		wantErr(t, what, err, of.want)
	}
	wantErr(t, "end of one", h.End(ctx, second.ID), nil)
	second = h.replica(m)
	ann := h.enter(m, "Ann") // keeps the primary, and so the replicas
	time.Sleep(time.Second)
	for _, id := range []meeting.ID{m.ID, first.ID, second.ID} {
		if ended(t, h.Service, id)() {
			t.Fatalf("%s ended, want it to live with its primary", id)
		}
	}
	h.stop()
	h = open(t, dir, cfg) // known again after a restart
	if _, err := h.Create(ctx, meeting.Spec{PrimaryID: m.ID}); err == nil {
		t.Error("a third after a restart: got no error, want one")
	}
	ann = h.reenter(ann.attendee, 1)
	ann.leave()
	for _, id := range []meeting.ID{m.ID, first.ID, second.ID} {
		eventually(t, fmt.Sprint("end of ", id), ended(t, h.Service, id))
	}
}
