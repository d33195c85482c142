package meeting_test

import (
	"testing"
	"time"

	"belfry.live/belfry/internal/meeting"
	"belfry.live/belfry/internal/wire/chime"
)

// share lets an attendee's content connection in.
func (h *house) share(a meeting.Attendee, session uint64) *guest {
	h.t.Helper()
	g := h.dial(a.MeetingID, a.JoinToken.Reveal()+"#content")
	g.attendee = a
	g.attendee.ID += "#content"
	g.join(session)
	g.connect()
	g.wait("itself in the roster", func() bool { return g.roster[string(g.attendee.ID)].streamID != 0 })
	return g
}

// status waits for the final status of a guest that is not let in, or put out.
func (g *guest) status() uint32 {
	g.t.Helper()
	return g.next(0, chime.Frame_AUDIO_STATUS).GetAudioStatus().GetAudioStatus()
}

func TestShare(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), meeting.Config{MaxConnected: 2, MaxCameras: 1})
	m := h.meeting()
	ann, ben := h.enter(m, "Ann"), h.enter(m, "Ben")
	ben.media.cameraOn = true
	ben.offer() // the one camera that is allowed
	share := h.share(ann.attendee, 7)
	for _, g := range []*guest{ann, ben} {
		g.sees(ann, ben, share) // the sharer starts with its entry in the roster
		g.wait("a count without the share", func() bool { return g.index.GetNumParticipants() == 2 })
	}
	share.media.cameraOn = true
	if ack := share.offer(); ack.GetError() != nil || len(ack.GetSuback().GetAllocations()) != 1 {
		t.Errorf("the share's picture: got %v, want an allocation", ack)
	}
	ben.wait("content in the index", func() bool { return len(ben.index.GetSources()) == 1 })
	src := ben.index.GetSources()[0]
	if src.GetAttendeeId() != string(ann.attendee.ID)+"#content" || src.GetExternalUserId() != "Ann" {
		t.Errorf("source: got %v, want Ann's content", src)
	}
	ann.wait("Ben's camera alone in the index", func() bool {
		s := ann.index.GetSources()
		return len(s) == 1 && s[0].GetExternalUserId() == "Ben"
	})
	share.locked(func() {
		if len(share.index.GetSources()) != 0 || share.index.GetAtCapacity() {
			t.Errorf("index of the share: got %v, want nothing to watch and room to publish", share.index)
		}
	})
	section := ben.watch(src.GetStreamId())
	ben.offer()
	eventually(t, "the content's picture", func() bool { return ben.media.packets("v_"+section.Mid()) > 10 })

	// Its sound is heard by all but its sharer, and the share hears nobody.
	share.media.say(700)
	ben.media.say(1000)
	eventually(t, "Ben hears the share alone", func() bool { return ben.media.loudness(700) > 0.1 && ben.media.loudness(1000) < 0.01 })
	eventually(t, "Ann hears Ben, not her share", func() bool { return ann.media.loudness(1000) > 0.1 && ann.media.loudness(700) < 0.01 })
	if got := share.media.loudness(1000); got > 0.001 {
		t.Errorf("the share hears Ben with %v, want silence", got)
	}
	share.media.mu.Lock()
	if len(share.media.heard) < 24000 {
		t.Errorf("the share got %d samples, want silence all the time", len(share.media.heard))
	}
	share.media.mu.Unlock()

	share.leave()
	for _, g := range []*guest{ann, ben} {
		g.sees(ann, ben)
	}
	ben.wait("index without the content", func() bool { return len(ben.index.GetSources()) == 0 })
	ann.leave()
	ben.leave()
}

// A share ends with the attendee it belongs to, however that ends.
func TestShareEndsWithItsSharer(t *testing.T) {
	for _, c := range []struct {
		name   string
		end    func(h *house, ann *guest)
		status uint32
	}{
		{"left", func(_ *house, ann *guest) { ann.leave() }, 410},
		{"removed", func(h *house, ann *guest) {
			wantErr(h.t, "remove", h.RemoveAttendee(h.t.Context(), ann.attendee.MeetingID, ann.attendee.ID), nil)
		}, 411},
		{"meeting over", func(h *house, ann *guest) {
			wantErr(h.t, "end", h.End(h.t.Context(), ann.attendee.MeetingID), nil)
		}, 410},
		{"lost", func(_ *house, ann *guest) { ann.conn.CloseNow() }, 410},
		{"joined elsewhere", func(h *house, ann *guest) { h.reenter(ann.attendee, 2) }, 301},
	} {
		t.Run(c.name, func(t *testing.T) {
			noLeaks(t)
			h := open(t, t.TempDir(), meeting.Config{LostTimeout: 300 * time.Millisecond})
			ann := h.enter(h.meeting(), "Ann")
			share := h.share(ann.attendee, 7)
			ann.sees(ann, share)
			c.end(h, ann)
			if got := share.status(); got != c.status {
				t.Errorf("got status %d, want %d", got, c.status)
			}
			share.leave()
		})
	}
}

func TestShareRefused(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), meeting.Config{})
	m := h.meeting()
	ann, ben, cas := h.enter(m, "Ann"), h.enter(m, "Ben"), h.enter(m, "Cas")
	refused := func(what string, a meeting.Attendee, want uint32) {
		t.Helper()
		g := h.dial(m.ID, a.JoinToken.Reveal()+"#content")
		g.attendee = a
		g.join(1)
		if got := g.status(); got != want {
			t.Errorf("%s: got status %d, want %d", what, got, want)
		}
		if n := g.next(0, chime.Frame_NOTIFICATION).GetNotification(); n.GetMessage() == "" {
			t.Errorf("%s: got no reason, want one", what)
		}
		g.leave()
	}
	refused("of one who is not in", h.attendee(m, "Dan"), 403)
	mute := must[meeting.Attendee](t)(h.AddAttendee(t.Context(), m.ID, "Eve",
		meeting.Capabilities{Audio: meeting.SendReceive, Video: meeting.SendReceive, Content: meeting.Receive}))
	eve := h.reenter(mute, 1)
	refused("of one who may not", mute, 403)
	first, second := h.share(ann.attendee, 1), h.share(ben.attendee, 1)
	refused("a third", cas.attendee, 409)
	h.share(ann.attendee, 1) // the same again is no third
	if got := first.closeCode(); got != -1 {
		t.Errorf("the older share: got close code %v, want the socket to be gone", got)
	}
	second.leave()
	ann.sees(ann, ben, cas, eve, first)
	h.share(cas.attendee, 1)
}
