package meeting_test

import (
	"testing"

	"belfry.live/belfry/internal/meeting"
	"belfry.live/belfry/internal/wire/chime"
)

var all = meeting.Capabilities{Audio: meeting.SendReceive, Video: meeting.SendReceive, Content: meeting.SendReceive}

func TestCapabilitiesOfRecords(t *testing.T) {
	h := open(t, t.TempDir(), meeting.Config{})
	m := h.meeting()
	ann, ben, bot := h.attendee(m, "Ann"), h.attendee(m, "Ben"), h.attendee(m, "aws:MediaPipeline-1")
	listen := meeting.Capabilities{Audio: meeting.Receive, Video: meeting.None, Content: meeting.None}
	got, err := h.UpdateCapabilities(t.Context(), m.ID, ann.ID, listen)
	if err != nil || got.Capabilities != listen || got.ID != ann.ID || got.JoinToken != ann.JoinToken {
		t.Errorf("got %v, %v, want Ann with %v", got, err, listen)
	}
	_, err = h.UpdateCapabilities(t.Context(), m.ID, meeting.AttendeeID(m.ID), listen)
	wantErr(t, "of nobody", err, meeting.ErrAttendeeNotFound)
	_, err = h.UpdateCapabilities(t.Context(), meeting.ID(ann.ID), ann.ID, listen)
	wantErr(t, "of no meeting", err, meeting.ErrNotFound)
	wantErr(t, "of all but one", h.UpdateCapabilitiesExcept(t.Context(), m.ID, []meeting.AttendeeID{ann.ID}, all), nil)
	for id, want := range map[meeting.AttendeeID]meeting.Capabilities{ann.ID: listen, ben.ID: all, bot.ID: {}} {
		a, err := h.Attendee(t.Context(), m.ID, id)
		if err != nil || a.Capabilities != want {
			t.Errorf("%s: got %v, %v, want %v", a.ExternalUserID, a.Capabilities, err, want)
		}
	}
}

// Each capability that is taken away, or given back, takes effect at once on
// an attendee that is in the meeting.
func TestCapabilitiesChangeLive(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), meeting.Config{})
	m := h.meeting()
	ann, ben := h.enter(m, "Ann"), h.enter(m, "Ben")
	share := h.share(ann.attendee, 1)
	ann.media.say(440)
	ben.media.say(1000)
	may := func(g *guest, c meeting.Capabilities) {
		t.Helper()
		if _, err := h.UpdateCapabilities(t.Context(), m.ID, g.attendee.ID, c); err != nil {
			t.Fatal(err)
		}
	}
	without := func(change func(*meeting.Capabilities)) meeting.Capabilities {
		c := all
		change(&c)
		return c
	}
	hears := func(g *guest, hz float64) func() bool {
		return func() bool { return g.media.loudness(hz) > 0.1 }
	}
	silent := func(g *guest, hz float64) func() bool {
		return func() bool { return len(g.media.last()) == 24000 && g.media.loudness(hz) < 0.001 }
	}
	eventually(t, "Ben hears Ann", hears(ben, 440))

	may(ann, without(func(c *meeting.Capabilities) { c.Audio = meeting.Receive }))
	eventually(t, "Ben does not hear Ann, who may not speak", silent(ben, 440))
	eventually(t, "Ann hears Ben still", hears(ann, 1000))
	may(ann, without(func(c *meeting.Capabilities) { c.Audio = meeting.Send }))
	eventually(t, "Ann, who may not listen, gets silence", silent(ann, 1000))
	eventually(t, "Ben hears Ann again", hears(ben, 440))
	may(ann, all)
	eventually(t, "Ann hears Ben again", hears(ann, 1000))

	ben.media.cameraOn = true
	ben.offer()
	share.media.cameraOn = true
	share.offer()
	sources := func(g *guest, n int) {
		t.Helper()
		g.wait("sources in the index", func() bool { return len(g.index.GetSources()) == n })
	}
	sources(ben, 1) // the share
	sources(ann, 1) // Ben's camera

	watching := ann.watch(ann.index.GetSources()[0].GetStreamId())
	ann.offer()
	label := "v_" + watching.Mid()
	eventually(t, "Ann sees Ben", func() bool { return ann.media.packets(label) > 10 })
	may(ann, without(func(c *meeting.Capabilities) { c.Video = meeting.Send }))
	sources(ann, 0)
	eventually(t, "Ben's picture stands still for Ann, who may not watch", stops(func() int { return ann.media.packets(label) }))
	may(ann, all)
	sources(ann, 1)

	may(ben, without(func(c *meeting.Capabilities) { c.Content = meeting.None }))
	sources(ben, 0)
	may(ben, all)
	sources(ben, 1)

	// A camera that may not be on any more is taken off, and its client told.
	mark := ben.mark()
	may(ben, without(func(c *meeting.Capabilities) { c.Video = meeting.Receive }))
	sources(ann, 0)
	ben.wait("206 for the camera", func() bool {
		for _, f := range ben.frames[mark:] {
			if f.GetError().GetStatus() == 206 && f.GetType() == chime.Frame_INDEX && f.GetIndex().GetAtCapacity() {
				return true
			}
		}
		return false
	})
	if got := ben.offer().GetError().GetStatus(); got != 206 {
		t.Errorf("camera of one who may not: got status %d, want 206", got)
	}
	may(ben, all)
	ben.wait("room for the camera", func() bool { return !ben.index.GetAtCapacity() })
	ben.offer()
	sources(ann, 1)

	may(ann, without(func(c *meeting.Capabilities) { c.Content = meeting.Receive }))
	if got := share.status(); got != 403 {
		t.Errorf("share of one who may not: got status %d, want 403", got)
	}
	share.leave()
	sources(ben, 0)
}
