package meeting_test

import (
	"slices"
	"testing"
	"time"

	"belfry.live/belfry/internal/meeting"
	"belfry.live/belfry/internal/wire/chime"
)

// After a restart clients come back one by one. What each remembers stays
// true: nobody is seen to leave who comes back, and who does not leaves late.
func TestRestartWithoutFlicker(t *testing.T) {
	noLeaks(t)
	dir := t.TempDir()
	h := open(t, dir, meeting.Config{})
	m := h.meeting()
	ann, ben, cas := h.enter(m, "Ann"), h.enter(m, "Ben"), h.enter(m, "Cas")
	share := h.share(ben.attendee, 1)
	ann.sees(ann, ben, cas, share)
	ben.send(chime.Frame_AUDIO_CONTROL, func(f *chime.Frame) {
		muted := true
		f.AudioControl = &chime.AudioControlFrame{Muted: &muted}
	})
	ann.wait("mute of Ben", func() bool { return ann.roster[string(ben.attendee.ID)].muted })
	before := ann.roster
	time.Sleep(time.Until(m.Created.Add(500 * time.Millisecond))) // ids grow with time
	h.stop()

	h = open(t, dir, meeting.Config{})
	remember := func(old *guest) *guest {
		g := h.dial(m.ID, old.attendee.JoinToken.Reveal())
		g.attendee = old.attendee
		g.locked(func() {
			for id, p := range before {
				g.roster[id] = p
			}
		})
		g.join(1)
		g.connect()
		return g
	}
	ann = remember(ann)
	first := ann.next(0, chime.Frame_AUDIO_STREAM_ID_INFO).GetAudioStreamIdInfo().GetStreams()
	if len(first) != 4 {
		t.Errorf("first roster after the restart: got %v, want all four", first)
	}
	for _, s := range first {
		old := before[s.GetAttendeeId()]
		switch {
		case s.GetAttendeeId() == string(ann.attendee.ID):
			if s.GetAudioStreamId() <= old.streamID {
				t.Errorf("Ann: got stream %d, want more than %d", s.GetAudioStreamId(), old.streamID)
			}
		case s.GetAudioStreamId() != old.streamID, s.GetMuted() != old.muted:
			t.Errorf("got %v, want it as it was: %v", s, old)
		}
	}
	if n := ann.index.GetNumParticipants(); n != 3 {
		t.Errorf("participants: got %d, want 3", n)
	}
	share = h.share(ben.attendee, 1) // the share may be faster than its sharer
	ben = remember(ben)
	for _, g := range []*guest{ben, share} {
		ann.wait("a newer stream", func() bool {
			return ann.roster[string(g.attendee.ID)].streamID > before[string(g.attendee.ID)].streamID
		})
	}
	if len(ann.left) != 0 {
		t.Errorf("left: got %v, want nobody", ann.left)
	}
	ann.wait("departure of Cas", func() bool { return slices.Equal(ann.left, []string{string(cas.attendee.ID)}) })
	ann.wait("count of 2", func() bool { return ann.index.GetNumParticipants() == 2 })
	ann.leave()
	ben.leave()
}

// A server that was killed has said no goodbye: what it wrote down while it ran
// does.
func TestRestartAfterCrash(t *testing.T) {
	noLeaks(t)
	dir := t.TempDir()
	tables := openStore(t, dir)
	h := openWith(t, tables, meeting.Config{})
	m := h.meeting()
	ann, ben := h.enter(m, "Ann"), h.enter(m, "Ben")
	ann.sees(ann, ben)
	time.Sleep(1500 * time.Millisecond) // a mark is written once a second
	tables.Close()                      // nothing is written any more, as after a crash
	h.stop()

	h = open(t, dir, meeting.Config{})
	ann = h.reenter(ann.attendee, 1)
	ann.sees(ann, ben)
	ann.leave()
}

// Nobody is expected in a meeting that everybody had left.
func TestRestartOfAnEmptyMeeting(t *testing.T) {
	noLeaks(t)
	dir := t.TempDir()
	h := open(t, dir, meeting.Config{})
	m := h.meeting()
	ann, ben := h.enter(m, "Ann"), h.enter(m, "Ben")
	ann.sees(ann, ben)
	time.Sleep(1500 * time.Millisecond)
	ben.leave()
	ann.leave()
	eventually(t, "the end of the room", func() bool { return h.Metrics(t.Context()).Rooms == 0 })
	h.stop()
	h = open(t, dir, meeting.Config{})
	ann = h.reenter(ann.attendee, 1)
	ann.sees(ann)
	ann.leave()
}
