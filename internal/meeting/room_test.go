package meeting_test

import (
	"slices"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/protobuf/proto"

	"belfry.live/belfry/internal/meeting"
	"belfry.live/belfry/internal/meeting/signal"
	"belfry.live/belfry/internal/wire/chime"
)

func TestTwoMeet(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), meeting.Config{})
	m := h.meeting()
	ann := h.enter(m, "Ann")
	ann.sees(ann)
	if n := ann.index.GetNumParticipants(); n != 1 || ann.index.GetAtCapacity() {
		t.Errorf("index of the first: got %v, want 1 participant", ann.index)
	}
	ben := h.enter(m, "Ben")
	ben.sees(ann, ben)
	ann.sees(ann, ben)
	if a, b := ann.roster[string(ann.attendee.ID)], ann.roster[string(ben.attendee.ID)]; b.streamID <= a.streamID {
		t.Errorf("audio stream ids: got %d, then %d, want them to grow", a.streamID, b.streamID)
	}
	ann.wait("count of 2", func() bool { return ann.index.GetNumParticipants() == 2 })

	ann.media.say(440)
	ben.media.say(1000)
	eventually(t, "Ann hears Ben alone", func() bool { return ann.media.loudness(1000) > 0.1 && ann.media.loudness(440) < 0.01 })
	eventually(t, "Ben hears Ann alone", func() bool { return ben.media.loudness(440) > 0.1 && ben.media.loudness(1000) < 0.01 })

	// Both speak: volumes about 5 times a second, of the right streams.
	mark := ann.mark()
	ids := []uint32{ann.roster[string(ann.attendee.ID)].streamID, ann.roster[string(ben.attendee.ID)].streamID}
	for len(ids) > 0 {
		for _, s := range ann.next(mark, chime.Frame_AUDIO_METADATA).GetAudioMetadata().GetAttendeeStates() {
			if v := s.GetVolume(); v < 5 || v > 30 {
				t.Errorf("volume of a tone at -13 dBFS: got %d, want about 13", v)
			}
			ids = slices.DeleteFunc(ids, func(id uint32) bool { return id == s.GetAudioStreamId() })
		}
		mark++
	}

	// Ben mutes: everybody is told, himself too, and he is not heard.
	mark = ben.mark()
	ben.send(chime.Frame_AUDIO_CONTROL, func(f *chime.Frame) { f.AudioControl = &chime.AudioControlFrame{Muted: proto.Bool(true)} })
	for _, g := range []*guest{ann, ben} {
		g.wait("mute of Ben", func() bool { return g.roster[string(ben.attendee.ID)].muted })
	}
	if s := ben.next(mark, chime.Frame_AUDIO_STREAM_ID_INFO).GetAudioStreamIdInfo().GetStreams()[0]; s.AttendeeId != nil {
		t.Errorf("mute: got %v, want no attendee id", s)
	}
	eventually(t, "Ann does not hear Ben", func() bool { return ann.media.loudness(1000) < 0.001 })

	// Ann falls silent: one last frame says so.
	mark = ann.mark()
	ann.media.say(0)
	quiet := func() (last *chime.AudioAttendeeState) {
		for _, f := range ann.frames[mark:] {
			if f.AudioMetadata != nil {
				last = f.AudioMetadata.AttendeeStates[0]
			}
		}
		return last
	}
	ann.wait("silence", func() bool { return quiet().GetVolume() == 127 })

	ben.leave()
	ann.wait("departure of Ben", func() bool { return slices.Equal(ann.left, []string{string(ben.attendee.ID)}) })
	for _, f := range ann.frames {
		for _, s := range f.GetAudioStreamIdInfo().GetStreams() {
			if s.AttendeeId == nil && s.Muted == nil && s.GetDropped() {
				t.Error("departure of Ben: got dropped, want a plain leave")
			}
		}
	}
	ann.wait("count of 1", func() bool { return ann.index.GetNumParticipants() == 1 })
	ann.sees(ann)
	ann.leave()
}

func TestCamera(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), meeting.Config{})
	m := h.meeting()
	ann, ben := h.enter(m, "Ann"), h.enter(m, "Ben")
	ann.sees(ann, ben)

	ann.media.cameraOn = true
	ack := ann.offer().GetSuback()
	if n := len(ack.GetAllocations()); n != 1 {
		t.Fatalf("allocations: got %d, want 1", n)
	}
	ben.wait("source in the index", func() bool { return len(ben.index.GetSources()) == 1 })
	src := ben.index.GetSources()[0]
	if src.GetAttendeeId() != string(ann.attendee.ID) || src.GetExternalUserId() != "Ann" || src.GetMediaType() != chime.StreamMediaType_VIDEO {
		t.Errorf("source: got %v, want Ann's video", src)
	}
	if a := ack.GetAllocations()[0]; a.GetStreamId() != src.GetStreamId() || a.GetGroupId() != src.GetGroupId() {
		t.Errorf("allocation: got %v, want the ids of %v", a, src)
	}
	if src.GetStreamId() == 0 || src.GetGroupId() == 0 || src.GetMaxBitrateKbps() != 1200 {
		t.Errorf("source: got %v, want ids and 1200 kbit/s", src)
	}

	section := ben.watch(src.GetStreamId())
	ack = ben.offer().GetSuback()
	if len(ack.GetTracks()) != 1 {
		t.Fatalf("tracks: got %v, want one", ack.GetTracks())
	}
	label := "v_" + section.Mid()
	if tr := ack.GetTracks()[0]; tr.GetTrackLabel() != label || tr.GetStreamId() != src.GetStreamId() || tr.GetSsrc() == 0 {
		t.Errorf("track: got %v, want %s of stream %d", tr, label, src.GetStreamId())
	}
	eventually(t, "video", func() bool { return ben.media.packets(label) > 10 })
	ben.wait("size in the index", func() bool {
		s := ben.index.GetSources()
		return len(s) == 1 && s[0].GetWidth() == 320 && s[0].GetHeight() == 240
	})
	b := ben.next(0, chime.Frame_BITRATES).GetBitrates().GetBitrates()
	if len(b) != 1 || b[0].GetSourceStreamId() != src.GetStreamId() {
		t.Errorf("bitrates: got %v, want one of stream %d", b, src.GetStreamId())
	}
	ann.locked(func() {
		if len(ann.index.GetSources()) != 0 {
			t.Errorf("index of the publisher: got %v, want nothing", ann.index)
		}
		for _, f := range ann.frames {
			if f.Bitrates != nil {
				t.Errorf("bitrates to the publisher: got %v, want none", f)
			}
		}
	})

	// Off and on again is another source.
	ann.media.cameraOn = false
	ann.offer()
	ben.wait("index without the source", func() bool { return len(ben.index.GetSources()) == 0 })
	ben.media.watched[section] = 0
	if ack := ben.offer().GetSuback(); len(ack.GetTracks()) != 0 {
		t.Errorf("tracks: got %v, want none", ack.GetTracks())
	}
	ann.media.cameraOn = true
	ann.offer()
	ben.wait("source in the index again", func() bool { return len(ben.index.GetSources()) == 1 })
	if again := ben.index.GetSources()[0]; again.GetGroupId() <= src.GetGroupId() || again.GetStreamId() == src.GetStreamId() {
		t.Errorf("source: got %v after %v, want new ids", again, src)
	}
	before := ben.media.packets(label)
	ben.media.watched[section] = ben.index.GetSources()[0].GetStreamId()
	ben.offer()
	eventually(t, "video again", func() bool { return ben.media.packets(label) > before+10 })
	ann.leave()
	ben.wait("index without who left", func() bool { return len(ben.index.GetSources()) == 0 })
}

// What an offer may not do, or cannot get, leaves the rest of it alone.
func TestOffersBeyondWhatIsThere(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), meeting.Config{MaxCameras: 1})
	m := h.meeting()
	ann, ben := h.enter(m, "Ann"), h.enter(m, "Ben")
	ann.media.cameraOn = true
	ann.offer()
	ben.wait("index at capacity", func() bool { return ben.index.GetAtCapacity() && len(ben.index.GetSources()) == 1 })
	ann.wait("count", func() bool { return ann.index.GetNumParticipants() == 2 && !ann.index.GetAtCapacity() })

	ben.media.cameraOn = true
	ben.watch(4711) // nothing
	ben.watch(ben.index.GetSources()[0].GetStreamId())
	section := ben.watch(ben.index.GetSources()[0].GetGroupId()) // no stream
	ack := ben.offer()
	if got := ack.GetError().GetStatus(); got != 206 {
		t.Errorf("second camera: got status %d, want 206", got)
	}
	eventually(t, "video", func() bool { return ben.media.packets("v_3") > 10 })
	if got := ben.media.packets("v_" + section.Mid()); got != 0 {
		t.Errorf("video of nothing: got %d packets, want 0", got)
	}
	ben.media.cameraOn = false
	if got := ben.offer().GetError().GetStatus(); got != 0 {
		t.Errorf("without camera: got status %d, want 0", got)
	}
	for _, sdp := range []string{"v=0", "no SDP at all"} {
		mark := ann.mark()
		ann.send(chime.Frame_SUBSCRIBE, func(f *chime.Frame) { f.Sub = &chime.SubscribeFrame{SdpOffer: &sdp} })
		if got := ann.next(mark, chime.Frame_SUBSCRIBE_ACK); got.GetError().GetStatus() != 400 || got.Suback == nil {
			t.Errorf("offer %q: got %v, want error 400", sdp, got)
		}
	}
}

func TestCloseCodes(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), meeting.Config{})
	m, other, over := h.meeting(), h.meeting(), h.meeting()
	ann := h.attendee(m, "Ann")
	foreign := h.attendee(other, "Ann")
	late := h.attendee(over, "Ann")
	gone := h.attendee(m, "Gone")
	wantErr(t, "end", h.End(t.Context(), over.ID), nil)
	wantErr(t, "remove", h.RemoveAttendee(t.Context(), m.ID, gone.ID), nil)
	forged := []byte(ann.JoinToken.Reveal())
	forged[len(forged)-1] ^= 1
	for _, c := range []struct {
		name  string
		in    meeting.ID
		token string
		want  websocket.StatusCode
	}{
		{"no token of ours", m.ID, "abc", signal.CloseForbidden},
		{"no base64", m.ID, "a-b", signal.CloseForbidden},
		{"one bit of the token wrong", m.ID, string(forged), signal.CloseForbidden},
		{"token of another meeting", m.ID, foreign.JoinToken.Reveal(), signal.CloseForbidden},
		{"removed attendee", m.ID, gone.JoinToken.Reveal(), signal.CloseForbidden},
		{"meeting over", over.ID, late.JoinToken.Reveal(), signal.CloseGone},
		{"no such meeting", meeting.ID(ann.ID), ann.JoinToken.Reveal(), signal.CloseGone},
	} {
		if got := h.dial(c.in, c.token).closeCode(); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
	if got := h.dial(m.ID, ann.JoinToken.Reveal()); got.end != nil {
		t.Errorf("right token: got %v, want an open socket", got.end)
	}
}

func TestTooManySocketsOfOne(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), meeting.Config{})
	a := h.attendee(h.meeting(), "Ann")
	for range 8 {
		h.dial(a.MeetingID, a.JoinToken.Reveal()).join(1)
	}
	var waiting []*guest
	for range 8 {
		waiting = append(waiting, h.dial(a.MeetingID, a.JoinToken.Reveal()))
	}
	refused := func() (n int) {
		for _, g := range waiting {
			g.locked(func() {
				if websocket.CloseStatus(g.end) == signal.CloseRetry {
					n++
				}
			})
		}
		return n
	}
	eventually(t, "some are refused", func() bool { return refused() > 0 })
}

func TestShutdown(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), meeting.Config{})
	m := h.meeting()
	ann, ben := h.enter(m, "Ann"), h.enter(m, "Ben")
	ann.sees(ann, ben)
	a := h.attendee(m, "Cas")
	idle := h.dial(m.ID, a.JoinToken.Reveal())
	ben.send(chime.Frame_LEAVE, nil)
	begin := time.Now()
	h.stop()
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("stop took %v, want about one second at most", took)
	}
	for _, g := range []*guest{ann, idle} {
		if got := g.closeCode(); got != signal.CloseRetry {
			t.Errorf("got close code %v, want %v", got, signal.CloseRetry)
		}
	}
}

// After a restart clients come back by themselves, with what they remember.
func TestRestart(t *testing.T) {
	noLeaks(t)
	dir := t.TempDir()
	h := open(t, dir, meeting.Config{})
	m := h.meeting()
	ann, ben := h.enter(m, "Ann"), h.enter(m, "Ben")
	ann.sees(ann, ben)
	before := ann.roster
	time.Sleep(time.Until(m.Created.Add(500 * time.Millisecond))) // ids grow with time
	h.stop()

	h = open(t, dir, meeting.Config{})
	ann, ben = h.reenter(ann.attendee, 1), h.reenter(ben.attendee, 1)
	ann.sees(ann, ben)
	for id, p := range ann.roster {
		for _, old := range before {
			if p.streamID <= old.streamID {
				t.Errorf("%s: got audio stream id %d, want more than %d", id, p.streamID, old.streamID)
			}
		}
	}
	ann.leave()
	ben.leave()
}

func TestMeetingEnded(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), meeting.Config{})
	m := h.meeting()
	ann, ben := h.enter(m, "Ann"), h.enter(m, "Ben")
	cas := h.attendee(m, "Cas")
	idle := h.dial(m.ID, cas.JoinToken.Reveal())
	idle.send(chime.Frame_PING_PONG, func(f *chime.Frame) {
		f.PingPong = &chime.PingPongFrame{Type: chime.PingPongType_PING.Enum(), PingId: proto.Uint32(1)}
	})
	idle.next(0, chime.Frame_PING_PONG)
	wantErr(t, "end", h.End(t.Context(), m.ID), nil)
	for _, g := range []*guest{ann, ben} {
		if got := g.next(0, chime.Frame_AUDIO_STATUS).GetAudioStatus().GetAudioStatus(); got != 410 {
			t.Errorf("got status %d, want 410", got)
		}
	}
	if got := idle.closeCode(); got != signal.CloseGone {
		t.Errorf("socket without JOIN: got close code %v, want %v", got, signal.CloseGone)
	}
	if got := h.dial(m.ID, cas.JoinToken.Reveal()).closeCode(); got != signal.CloseGone {
		t.Errorf("late joiner: got close code %v, want %v", got, signal.CloseGone)
	}
	ann.leave()
	ben.leave()
}

func TestAttendeeRemoved(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), meeting.Config{})
	m := h.meeting()
	ann, ben := h.enter(m, "Ann"), h.enter(m, "Ben")
	ann.sees(ann, ben)
	wantErr(t, "remove", h.RemoveAttendee(t.Context(), m.ID, ben.attendee.ID), nil)
	if got := ben.next(0, chime.Frame_AUDIO_STATUS).GetAudioStatus().GetAudioStatus(); got != 411 {
		t.Errorf("got status %d, want 411", got)
	}
	ann.sees(ann)
	ben.leave()
	if got := h.dial(m.ID, ben.attendee.JoinToken.Reveal()).closeCode(); got != signal.CloseForbidden {
		t.Errorf("got close code %v, want %v", got, signal.CloseForbidden)
	}
	ann.leave()
}

// The newer connection of an attendee wins, and nobody sees it leave.
func TestJoinTwice(t *testing.T) {
	for _, c := range []struct {
		name    string
		session uint64
		status  uint32
	}{
		{"from another device", 2, 301},
		{"the same client again", 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			noLeaks(t)
			h := open(t, t.TempDir(), meeting.Config{})
			m := h.meeting()
			ann, ben := h.enter(m, "Ann"), h.enter(m, "Ben")
			ann.sees(ann, ben)
			old := ann.roster[string(ben.attendee.ID)].streamID
			again := h.reenter(ben.attendee, c.session)
			again.sees(ann, ben)
			ann.wait("new stream id", func() bool { return ann.roster[string(ben.attendee.ID)].streamID > old })
			if c.status != 0 {
				if got := ben.next(0, chime.Frame_AUDIO_STATUS).GetAudioStatus().GetAudioStatus(); got != c.status {
					t.Errorf("got status %d, want %d", got, c.status)
				}
				ben.leave()
			} else if got := ben.closeCode(); got != -1 {
				t.Errorf("got close code %v, want the socket to be gone", got)
			}
			again.leave()
			ann.sees(ann)
			if want := []string{string(ben.attendee.ID)}; !slices.Equal(ann.left, want) {
				t.Errorf("left: got %v, want %v", ann.left, want)
			}
			ann.leave()
		})
	}
}

// Whose newer connection has no media yet is still in the roster, until that
// connection is over, too.
func TestJoinTwiceWithoutMedia(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), meeting.Config{})
	m := h.meeting()
	ann, ben := h.enter(m, "Ann"), h.enter(m, "Ben")
	ann.sees(ann, ben)
	again := h.dial(m.ID, ben.attendee.JoinToken.Reveal())
	again.attendee = ben.attendee
	again.join(2)
	ben.next(0, chime.Frame_AUDIO_STATUS)
	ben.leave()
	cas := h.enter(m, "Cas")
	cas.sees(ann, ben, cas)
	ann.sees(ann, ben, cas)
	again.leave()
	ann.sees(ann, cas)
	cas.sees(ann, cas)
	if want := []string{string(ben.attendee.ID)}; !slices.Equal(ann.left, want) {
		t.Errorf("left: got %v, want %v", ann.left, want)
	}
	ann.leave()
	cas.leave()
}

// A connection that breaks keeps its place for a while.
func TestLost(t *testing.T) {
	dropped := func(g *guest) (n int) {
		for _, f := range g.frames {
			for _, s := range f.GetAudioStreamIdInfo().GetStreams() {
				if s.AttendeeId == nil && s.Muted == nil && s.GetDropped() {
					n++
				}
			}
		}
		return n
	}
	t.Run("for good", func(t *testing.T) {
		noLeaks(t)
		h := open(t, t.TempDir(), meeting.Config{LostTimeout: 500 * time.Millisecond})
		m := h.meeting()
		ann, ben := h.enter(m, "Ann"), h.enter(m, "Ben")
		ann.sees(ann, ben)
		begin := time.Now()
		ben.conn.CloseNow()
		ann.sees(ann)
		if took := time.Since(begin); took < 400*time.Millisecond {
			t.Errorf("left after %v, want 500 ms", took)
		}
		ann.wait("dropped", func() bool { return dropped(ann) == 1 })
		ann.leave()
	})
	t.Run("and back", func(t *testing.T) {
		noLeaks(t)
		h := open(t, t.TempDir(), meeting.Config{})
		m := h.meeting()
		ann, ben := h.enter(m, "Ann"), h.enter(m, "Ben")
		ann.sees(ann, ben)
		ben.conn.CloseNow()
		ben = h.reenter(ben.attendee, 1)
		ben.sees(ann, ben)
		ben.leave()
		ann.sees(ann)
		ann.wait("one plain leave", func() bool { return len(ann.left) == 1 && dropped(ann) == 0 })
		ann.leave()
	})
	// However the one that lost its socket goes, its media connection must not
	// stay: its client may be gone, and say nothing of it.
	for _, end := range []struct {
		name string
		end  func(h *house, ben *guest)
	}{
		{"and replaced", func(h *house, ben *guest) { h.reenter(ben.attendee, 1).leave() }},
		{"and elsewhere", func(h *house, ben *guest) { h.reenter(ben.attendee, 2).leave() }},
		{"and removed", func(h *house, ben *guest) {
			if err := h.RemoveAttendee(h.t.Context(), ben.attendee.MeetingID, ben.attendee.ID); err != nil {
				h.t.Fatal(err)
			}
		}},
		{"and over", func(h *house, ben *guest) {
			if err := h.End(h.t.Context(), ben.attendee.MeetingID); err != nil {
				h.t.Fatal(err)
			}
		}},
	} {
		t.Run(end.name, func(t *testing.T) {
			noLeaks(t)
			h := open(t, t.TempDir(), meeting.Config{LostTimeout: time.Hour})
			ben := h.enter(h.meeting(), "Ben")
			ben.conn.CloseNow()
			eventually(t, "no socket", func() bool { return h.Metrics(t.Context()).Connections == 0 })
			end.end(h, ben)
			eventually(t, "no peer", func() bool { return h.Metrics(t.Context()).Peers == 0 })
		})
	}
	t.Run("with its media", func(t *testing.T) {
		noLeaks(t)
		h := open(t, t.TempDir(), meeting.Config{LostTimeout: time.Hour})
		m := h.meeting()
		ann, ben := h.enter(m, "Ann"), h.enter(m, "Ben")
		ann.sees(ann, ben)
		ben.conn.CloseNow()
		if err := ben.media.pc.GracefulClose(); err != nil {
			t.Error(err)
		}
		ann.sees(ann)
		ann.leave()
	})
	t.Run("media alone", func(t *testing.T) {
		noLeaks(t)
		h := open(t, t.TempDir(), meeting.Config{})
		ann := h.enter(h.meeting(), "Ann")
		if err := ann.media.pc.GracefulClose(); err != nil {
			t.Error(err)
		}
		if got := ann.closeCode(); got != signal.CloseRetry {
			t.Errorf("got close code %v, want %v", got, signal.CloseRetry)
		}
	})
}

func TestHidden(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), meeting.Config{EmptyTimeout: time.Second, MaxConnected: 1})
	m := h.meeting()
	ann := h.enter(m, "Ann")
	a := h.attendee(m, "aws:MediaPipeline-1")
	bot := h.dial(m.ID, a.JoinToken.Reveal())
	bot.attendee = a
	bot.join(1)
	bot.connect()
	bot.sees(ann)
	bot.media.cameraOn = true
	if got := bot.offer().GetError().GetStatus(); got != 206 {
		t.Errorf("camera of a hidden attendee: got status %d, want 206", got)
	}
	bot.media.say(440)
	ann.media.say(1000)
	eventually(t, "the hidden one hears", func() bool { return bot.media.loudness(1000) > 0.1 })
	if got := ann.media.loudness(440); got > 0.001 {
		t.Errorf("a hidden one is heard with %v, want silence", got)
	}
	ann.media.cameraOn = true
	ann.offer()
	bot.wait("source", func() bool { return len(bot.index.GetSources()) == 1 && bot.index.GetNumParticipants() == 1 })
	ann.sees(ann)
	if ann.index.GetNumParticipants() != 1 {
		t.Errorf("index: got %v, want 1 participant", ann.index)
	}
	ann.leave()
	// Nobody who counts is in: the meeting ends, for the hidden one too.
	if got := bot.next(0, chime.Frame_AUDIO_STATUS).GetAudioStatus().GetAudioStatus(); got != 410 {
		t.Errorf("got status %d, want 410", got)
	}
	bot.leave()
	eventually(t, "end", ended(t, h.Service, m.ID))
}

func TestSomebodyKeepsTheMeeting(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), meeting.Config{EmptyTimeout: 300 * time.Millisecond})
	ann := h.enter(h.meeting(), "Ann")
	time.Sleep(time.Second)
	if ended(t, h.Service, ann.attendee.MeetingID)() {
		t.Fatal("got an end with somebody in, want none")
	}
	ann.leave()
	eventually(t, "end", ended(t, h.Service, ann.attendee.MeetingID))
}

func TestRefusedInTheMeeting(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), meeting.Config{MaxConnected: 1})
	m := h.meeting()
	ann := h.enter(m, "Ann")
	full := h.dial(m.ID, h.attendee(m, "Ben").JoinToken.Reveal())
	full.join(1)
	if got := full.next(0, chime.Frame_AUDIO_STATUS).GetAudioStatus().GetAudioStatus(); got != 409 {
		t.Errorf("got status %d, want 409", got)
	}
	full.leave()
	h.reenter(ann.attendee, 1).leave() // the same attendee again is not one more
	if len(ann.index.GetSources()) != 0 || ann.index.GetNumParticipants() != 1 {
		t.Errorf("index: got %v, want 1 participant", ann.index)
	}
}

// A client whose packets get lost is shown to all with fewer bars.
func TestWeakSignal(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), meeting.Config{})
	m := h.meeting()
	ann, ben := h.enter(m, "Ann"), h.enter(m, "Ben")
	ann.sees(ann, ben)
	id := ann.roster[string(ben.attendee.ID)].streamID
	told := func(mark int, want uint32) func() bool {
		return func() bool {
			for _, f := range ann.frames[mark:] {
				for _, s := range f.GetAudioMetadata().GetAttendeeStates() {
					if s.SignalStrength != nil && s.Volume != nil {
						t.Errorf("got %v, want either a volume or a strength", s)
					}
					if s.GetAudioStreamId() == id && s.SignalStrength != nil && s.GetSignalStrength() == want {
						return true
					}
				}
			}
			return false
		}
	}
	time.Sleep(2500 * time.Millisecond) // measured once
	cut := func(yes bool) (mark int) {
		mark = ann.mark()
		ben.media.mu.Lock()
		defer ben.media.mu.Unlock()
		ben.media.cut = yes
		return mark
	}
	ann.wait("no signal of Ben", told(cut(true), 0))
	ann.wait("a full signal of Ben", told(cut(false), 2))
}
