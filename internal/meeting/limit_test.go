package meeting_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"belfry.live/belfry/internal/meeting"
	"belfry.live/belfry/internal/meeting/signal"
	"belfry.live/belfry/internal/wire/chime"
)

// refused joins and returns the status that it is refused with.
func (h *house) refused(a meeting.Attendee) uint32 {
	h.t.Helper()
	g := h.dial(a.MeetingID, a.JoinToken.Reveal())
	g.attendee = a
	g.join(1)
	status := g.status()
	if g.next(0, chime.Frame_NOTIFICATION).GetNotification().GetMessage() == "" {
		h.t.Error("got no reason, want one")
	}
	g.leave()
	return status
}

// A full node takes nobody new, in whatever meeting; who is in comes back.
func TestNodeIsFull(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), meeting.Config{Limits: meeting.Limits{Attendees: 2}})
	m, other := h.meeting(), h.meeting()
	ann, ben := h.enter(m, "Ann"), h.enter(other, "Ben")
	if got := h.refused(h.attendee(other, "Cas")); got != 503 {
		t.Errorf("third attendee: got status %d, want 503", got)
	}
	h.share(ann.attendee, 1) // is no attendee
	bot := h.reenterBot(m)
	ann.conn.CloseNow()
	ann = h.reenter(ann.attendee, 1)
	h.reenter(ann.attendee, 2).leave() // from another device, and gone
	cas := h.enter(other, "Cas")
	ben.sees(ben, cas)
	bot.leave()
	if got := h.Metrics(t.Context()).Refusals["busy"]; got != 1 {
		t.Errorf("refusals: got %d, want 1", got)
	}
}

// reenterBot lets one of our own in, which sees but is not seen.
func (h *house) reenterBot(m meeting.Meeting) *guest {
	h.t.Helper()
	return h.watchFrom(h.attendee(m, "aws:MediaPipeline-1"), 1)
}

// A busy node says so before it is overloaded, and lets those stay who are in.
func TestNodeIsBusy(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), meeting.Config{Limits: meeting.Limits{CPU: 1e-9}})
	m := h.meeting()
	ann := h.enter(m, "Ann") // before anything was measured
	eventually(t, "closed by load", func() bool { return h.Metrics(t.Context()).Closed })
	if got := h.refused(h.attendee(m, "Ben")); got != 503 {
		t.Errorf("got status %d, want 503", got)
	}
	ann.conn.CloseNow()
	h.reenter(ann.attendee, 1).leave()
}

// Who has no room for a camera watches on; a share without its picture is
// nothing.
func TestNodeHasEnoughVideos(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), meeting.Config{Limits: meeting.Limits{Videos: 1}})
	m := h.meeting()
	ann, ben := h.enter(m, "Ann"), h.enter(m, "Ben")
	share := h.share(ben.attendee, 1)
	ann.media.cameraOn = true
	if got := ann.offer().GetError(); got != nil {
		t.Errorf("first video: got %v, want it taken", got)
	}
	eventually(t, "the camera is counted", func() bool {
		ben.media.cameraOn = true
		return ben.offer().GetError().GetStatus() == 206
	})
	share.media.cameraOn = true
	if got := share.offer().GetError().GetStatus(); got != 509 {
		t.Errorf("second video, shared content: got status %d, want 509", got)
	}
	ann.media.cameraOn = false
	ann.offer()
	eventually(t, "room for a camera", func() bool { return ben.offer().GetError() == nil })
}

func TestNodeHasEnoughSockets(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), meeting.Config{Limits: meeting.Limits{Connections: 1}})
	a := h.attendee(h.meeting(), "Ann")
	g := h.dial(a.MeetingID, a.JoinToken.Reveal())
	url := "ws" + strings.TrimPrefix(h.url, "http") + "/control/" + string(a.MeetingID)
	_, answer, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{Subprotocols: []string{"_aws_wt_session", a.JoinToken.Reveal()}})
	if err == nil || answer == nil || answer.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("second socket: got %v, %v, want 503", answer, err)
	}
	g.conn.CloseNow()
	eventually(t, "room again", func() bool { return h.Metrics(t.Context()).Connections == 0 })
	h.dial(a.MeetingID, a.JoinToken.Reveal()).join(1)
}

// The audience is counted apart from the stage.
func TestReplicaIsFull(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), meeting.Config{MaxConnected: 1})
	m := h.meeting()
	rep := h.replica(m)
	h.watchFrom(h.attendee(rep, "Viv"), 1)
	h.enter(m, "Ann")
	if got := h.refused(h.attendee(rep, "Wim")); got != 409 {
		t.Errorf("second in the audience: got status %d, want 409", got)
	}
	if got := h.refused(h.attendee(m, "Ben")); got != 409 {
		t.Errorf("second on the stage: got status %d, want 409", got)
	}
}

// Guessed tokens are told so by close codes as long as they are few.
func TestGuessedTokens(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), meeting.Config{})
	m := h.meeting()
	url := "ws" + strings.TrimPrefix(h.url, "http") + "/control/" + string(m.ID)
	const n = 300
	results := make(chan int)
	for range n {
		go func() {
			conn, answer, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{Subprotocols: []string{"_aws_wt_session", "guess"}})
			if err != nil {
				if answer == nil {
					results <- 0
				} else {
					results <- answer.StatusCode
				}
				return
			}
			defer conn.CloseNow()
			_, _, err = conn.Read(t.Context())
			results <- int(websocket.CloseStatus(err))
		}()
	}
	got := map[int]int{}
	for range n {
		got[<-results]++
	}
	if got[signal.CloseForbidden] < 200 || got[http.StatusTooManyRequests] == 0 || got[signal.CloseForbidden]+got[http.StatusTooManyRequests] != n {
		t.Errorf("got %v, want 200 or more closed with %d and the rest answered with 429", got, signal.CloseForbidden)
	}
	if refused := h.Metrics(t.Context()).Refusals["token"]; refused != n {
		t.Errorf("refusals: got %d, want %d", refused, n)
	}
}

func TestMetricsOfAMeeting(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), meeting.Config{})
	m := h.meeting()
	rep := h.replica(m)
	ann, ben := h.enter(m, "Ann"), h.enter(m, "Ben")
	viv := h.watchFrom(h.attendee(rep, "Viv"), 1)
	share := h.share(ben.attendee, 1)
	bot := h.reenterBot(m)
	ann.media.say(440)
	ann.media.cameraOn = true
	ann.offer()
	ben.wait("Ann's camera", func() bool { return len(ben.index.GetSources()) == 1 })
	section := ben.watch(ben.index.GetSources()[0].GetStreamId())
	ben.offer()
	eventually(t, "video", func() bool { return ben.media.packets("v_"+section.Mid()) > 50 })
	ann.send(chime.Frame_CLIENT_METRIC, func(f *chime.Frame) {
		kind, value := uint32(7), 80.0
		f.ClientMetric = &chime.ClientMetricFrame{GlobalMetrics: []*chime.Metric{{Type: &kind, Value: &value}}}
	})
	var got meeting.Metrics
	eventually(t, "counts", func() bool {
		got = h.Metrics(t.Context())
		return got.Speaking == 1 && got.Media.VideoSent > 50 && got.Media.Decoded > 50 && len(got.Client.Histograms) == 1
	})
	if got.Meetings != 2 || got.Rooms != 1 || got.Connections != 5 || got.Attendees != 3 || got.Audience != 1 || got.Hidden != 1 || got.Shares != 1 || got.Cameras != 1 || got.Joins != 5 {
		t.Errorf("got %+v, want 2 meetings, 1 room, 5 connections, 3 attendees with an audience of 1, 1 hidden, 1 share, 1 camera", got)
	}
	if got.Media.AudioReceived == 0 || got.Media.AudioSent == 0 || got.Signal.FramesIn == 0 || got.Signal.BytesOut == 0 || got.Mix.Ticks == 0 || got.Port.Flows != 5 {
		t.Errorf("got %+v, want packets and frames", got)
	}
	// What was counted stays when everybody has left.
	for _, g := range []*guest{share, viv, bot, ben, ann} {
		g.leave()
	}
	eventually(t, "the end of the room", func() bool { return h.Metrics(t.Context()).Rooms == 0 })
	after := h.Metrics(t.Context())
	for what, n := range map[string][2]uint64{
		"audio received": {got.Media.AudioReceived, after.Media.AudioReceived}, "audio sent": {got.Media.AudioSent, after.Media.AudioSent},
		"decoded": {got.Media.Decoded, after.Media.Decoded}, "ticks": {got.Mix.Ticks, after.Mix.Ticks},
		"video sent": {got.Media.VideoSent, after.Media.VideoSent},
	} {
		if n[1] < n[0] {
			t.Errorf("%s: got %d after %d, want counts to grow only", what, n[1], n[0])
		}
	}
	if after.Attendees != 0 || after.Connections != 0 || after.Cameras != 0 || after.Drops != 0 {
		t.Errorf("got %+v, want nobody", after)
	}
}
