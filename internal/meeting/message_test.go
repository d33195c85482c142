package meeting_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"belfry.live/belfry/internal/meeting"
	"belfry.live/belfry/internal/wire/chime"
)

// tell sends a data message.
func (g *guest) tell(topic, text string, lifetime time.Duration) {
	g.t.Helper()
	g.send(chime.Frame_DATA_MESSAGE, func(f *chime.Frame) {
		f.DataMessage = &chime.DataMessageFrame{Messages: []*chime.DataMessagePayload{{
			Topic: &topic, Data: []byte(text), LifetimeMs: proto.Uint32(uint32(lifetime.Milliseconds())),
		}}}
	})
}

// messages returns the data messages that have come. The guest is locked.
func (g *guest) messages() (all []*chime.DataMessagePayload) {
	for _, f := range g.frames {
		all = append(all, f.GetDataMessage().GetMessages()...)
	}
	return all
}

func texts(messages []*chime.DataMessagePayload) (all []string) {
	for _, m := range messages {
		all = append(all, string(m.GetData()))
	}
	return all
}

// hears waits until exactly those messages have come.
func (g *guest) hears(want ...string) {
	g.t.Helper()
	g.wait(fmt.Sprintf("messages %q", want), func() bool {
		got := texts(g.messages())
		if len(got) >= len(want) && !slices.Equal(got, want) {
			g.t.Fatalf("%s: got messages %q, want %q", g.attendee.ExternalUserID, got, want)
		}
		return len(got) == len(want)
	})
}

func TestMessages(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), meeting.Config{})
	m := h.meeting()
	ann, ben := h.enter(m, "Ann"), h.enter(m, "Ben")
	share := h.share(ben.attendee, 1)
	hidden := h.attendee(m, "aws:MediaPipeline-1")
	bot := h.dial(m.ID, hidden.JoinToken.Reveal())
	bot.attendee = hidden
	bot.join(1)
	bot.connect()

	before := time.Now()
	ann.tell("chat", "live", 0)
	for i := range 5 {
		ann.tell("chat", fmt.Sprint("kept ", i), time.Minute)
	}
	ann.tell("chat", "short", 50*time.Millisecond)
	ben.hears("live", "kept 0", "kept 1", "kept 2", "kept 3", "kept 4", "short")
	var last int64
	ben.locked(func() {
		for _, m := range ben.messages() {
			if m.GetTopic() != "chat" || m.GetSenderAttendeeId() != string(ann.attendee.ID) || m.GetSenderExternalUserId() != "Ann" {
				t.Errorf("got %v, want a message from Ann", m)
			}
			at := m.GetIngestTimeNs()
			if at/1e6 <= last/1e6 {
				t.Errorf("got time %d after %d, want each to have a millisecond of its own", at, last)
			}
			if off := time.Unix(0, at).Sub(before); off < -time.Second || off > patience {
				t.Errorf("got a time %v from now, want about none", off)
			}
			last = at
		}
	})
	time.Sleep(60 * time.Millisecond) // the life of "short" is over

	// Late joiners and those who come back get what is kept, in order.
	cas := h.enter(m, "Cas")
	kept := []string{"kept 0", "kept 1", "kept 2", "kept 3", "kept 4"}
	cas.hears(kept...)
	ben.conn.CloseNow()
	ben = h.reenter(ben.attendee, 1)
	ben.hears(kept...)
	ben.tell("chat", "back", time.Minute)
	cas.hears(append(kept, "back")...)
	ann.hears("back")
	// The sender knows what it sent, unless its page was loaded anew.
	ben.conn.CloseNow()
	ben = h.reenter(ben.attendee, 1)
	ben.hears(kept...)
	ben.leave()
	h.reenter(ben.attendee, 2).hears(append(kept, "back")...)
	for name, g := range map[string]*guest{"share": share, "hidden attendee": bot} {
		g.locked(func() {
			if got := g.messages(); len(got) != 0 {
				t.Errorf("the %s got %v, want no messages", name, got)
			}
		})
	}
}

// What the client would not have sent is left out, and its sender is told.
func TestMessagesRefused(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), meeting.Config{})
	m := h.meeting()
	ann, ben := h.enter(m, "Ann"), h.enter(m, "Ben")
	long := strings.Repeat("x", 2048)
	for _, c := range []struct{ name, topic, text string }{
		{"no topic", "", "a"},
		{"reserved topic", "aws:chime:transcription", "a"},
		{"blank in the topic", "a b", "a"},
		{"other letters", "тема", "a"},
		{"long topic", strings.Repeat("t", 37), "a"},
		{"long message", "t", long + "x"},
	} {
		mark := ann.mark()
		ann.tell(c.topic, c.text, time.Minute)
		if n := ann.next(mark, chime.Frame_NOTIFICATION).GetNotification().GetMessage(); !strings.HasPrefix(n, "data message not sent: ") {
			t.Errorf("%s: got %q, want a reason", c.name, n)
		}
	}
	ann.tell(strings.Repeat("t", 36), long, 0)
	ann.tell("_-aZ09", "", 0)
	ben.hears(long, "")
	if got := h.Metrics(t.Context()); got.MessagesRefused != 6 || got.Messages != 2 {
		t.Errorf("got %d refused and %d taken, want 6 and 2", got.MessagesRefused, got.Messages)
	}
}

// Who sends faster than it may gets its messages back; much faster, it is cut.
func TestMessagesThrottled(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), meeting.Config{})
	m := h.meeting()
	ann, ben := h.enter(m, "Ann"), h.enter(m, "Ben")
	const n = 600
	for i := range n {
		ann.tell("burst", fmt.Sprint(i), 0)
	}
	var thrown, arrived []string
	ann.wait("throttled messages and arrived ones to be all", func() bool {
		thrown = nil
		for _, m := range ann.messages() {
			if m.IngestTimeNs == nil || m.GetIngestTimeNs() != 0 {
				t.Errorf("a message came back with time %v, want 0", m.IngestTimeNs)
			}
			thrown = append(thrown, string(m.GetData()))
		}
		ben.locked(func() { arrived = texts(ben.messages()) })
		return len(thrown)+len(arrived) == n
	})
	if len(arrived) < 200 || len(thrown) == 0 {
		t.Errorf("got %d through and %d back, want 200 or more through and the rest back", len(arrived), len(thrown))
	}
	for _, text := range thrown {
		if slices.Contains(arrived, text) {
			t.Errorf("message %s came back and arrived, want one of both", text)
		}
	}
	for range 2500 {
		if ann.write(chime.Frame_DATA_MESSAGE, func(f *chime.Frame) {
			f.DataMessage = &chime.DataMessageFrame{Messages: []*chime.DataMessagePayload{{Topic: proto.String("flood")}}}
		}) != nil {
			break
		}
	}
	if got := ann.closeCode(); got != -1 {
		t.Errorf("after a flood: got close code %v, want the socket to be gone", got)
	}
	ben.locked(func() {
		if ben.end != nil {
			t.Errorf("the other: got %v, want an open socket", ben.end)
		}
	})
}

// The board keeps so much and no more, and a late joiner gets all of it though
// it does not fit into a session's queue at once.
func TestMessagesKept(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), meeting.Config{})
	m := h.meeting()
	var senders []*guest
	for i := range 6 { // each within its rate
		senders = append(senders, h.enter(m, fmt.Sprint("sender ", i)))
	}
	filler := bytes.Repeat([]byte("."), 2000)
	for i := range 180 {
		for j, s := range senders {
			s.tell("t", fmt.Sprintf("%d %d %s", i, j, filler), time.Hour)
		}
	}
	eventually(t, "all are taken", func() bool { return h.Metrics(t.Context()).Messages == 1080 })
	if got := h.Metrics(t.Context()).Stored; got != 1024 {
		t.Errorf("got %d kept, want 1024", got)
	}
	late := h.enter(m, "Late")
	late.wait("all that is kept", func() bool { return len(late.messages()) == 1024 })
	late.locked(func() {
		var last int64
		for _, m := range late.messages() {
			if m.GetIngestTimeNs() <= last {
				t.Fatalf("got time %d after %d, want the order they were sent in", m.GetIngestTimeNs(), last)
			}
			last = m.GetIngestTimeNs()
		}
	})
}
