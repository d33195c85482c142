package meeting_test

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"belfry.live/belfry/internal/meeting"
	"belfry.live/belfry/internal/meeting/signal"
	"belfry.live/belfry/internal/wire/chime"
)

// A ferry is a relay as far as clients are told of it.
type ferry struct{}

func (ferry) URIs() []string { return []string{"turn:ferry:3478?transport=udp"} }
func (ferry) Credentials(attendee string, _ time.Time) (username, password string, ttl time.Duration) {
	return attendee, "secret", time.Hour
}

// welcomed joins and returns what JOIN_ACK said.
func (g *guest) welcomed() *chime.JoinAckFrame {
	g.t.Helper()
	g.join(1)
	return g.next(0, chime.Frame_JOIN_ACK).GetJoinack()
}

// Who is told of the relay uses nothing else, so it is for those that need it:
// because somebody says so, or because the direct way has failed.
func TestWhoIsRelayed(t *testing.T) {
	for _, c := range []struct {
		name, mark, tag string
		policy          signal.Relay
		external        string
		want            bool
	}{
		{"by default", "", "", signal.RelayAuto, "Ann", false},
		{"the operator says always", "", "", signal.RelayAlways, "Ann", true},
		{"the meeting says never", "", "never", signal.RelayAlways, "Ann", false},
		{"the meeting says always", "", "always", signal.RelayNever, "Ann", true},
		{"the token says always", ".relay", "never", signal.RelayNever, "Ann", true},
		{"the token says never", ".direct", "always", signal.RelayAlways, "Ann", false},
		{"one of our own", ".relay", "always", signal.RelayAlways, "aws:MediaPipeline-1", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			noLeaks(t)
			h := open(t, t.TempDir(), meeting.Config{Relay: ferry{}, RelayPolicy: c.policy})
			m := must[meeting.Meeting](t)(h.Create(t.Context(), meeting.Spec{Tags: map[string]string{"belfry:relay": c.tag}}))
			a := h.attendee(m, c.external)
			w := h.dial(m.ID, a.JoinToken.Reveal()+c.mark).welcomed().GetTurnCredentials()
			want := "none none []"
			if c.want {
				want = string(a.ID) + " secret [turn:ferry:3478?transport=udp]"
			}
			if got := fmt.Sprint(w.GetUsername(), " ", w.GetPassword(), " ", w.GetUris()); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

// A client whose offer was answered and that never connected is sent the other
// way when it comes back; one that connects goes the same way again.
func TestFailedAttemptIsRelayedNext(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), meeting.Config{Relay: ferry{}})
	m := h.meeting()
	ann, ben := h.attendee(m, "Ann"), h.attendee(m, "Ben")
	relayed := func(a meeting.Attendee, offers bool, wait time.Duration) bool {
		t.Helper()
		g := h.dial(m.ID, a.JoinToken.Reveal())
		g.attendee = a
		uris := g.welcomed().GetTurnCredentials().GetUris()
		if offers {
			g.send(chime.Frame_SUBSCRIBE, func(f *chime.Frame) { f.Sub = &chime.SubscribeFrame{SdpOffer: proto.String(deadOffer)} })
			if got := g.next(0, chime.Frame_SUBSCRIBE_ACK); got.GetError() != nil {
				t.Fatalf("offer: got %v, want an answer", got)
			}
		}
		time.Sleep(wait)
		g.leave()
		return len(uris) > 0
	}
	const long = 5200 * time.Millisecond
	for i, c := range []struct {
		who    meeting.Attendee
		offers bool
		wait   time.Duration
		want   bool
	}{
		{ann, false, 0, false},
		{ann, true, 0, false},    // left too soon to say anything
		{ann, true, long, false}, // could not connect
		{ben, false, 0, false},   // another
		{ann, true, long, true},  // so it is relayed; that fails, too
		{ann, false, 0, false},   // direct again
	} {
		if got := relayed(c.who, c.offers, c.wait); got != c.want {
			t.Fatalf("attempt %d: got relayed %t, want %t", i, got, c.want)
		}
	}
	g := h.reenter(ann, 1) // connects, directly
	g.leave()
	if relayed(ann, false, 0) {
		t.Error("after a direct connection: got relayed, want direct")
	}
	if got := h.Metrics(t.Context()); got.Relayed != 1 || got.Unreached != 2 {
		t.Errorf("got %d relayed and %d unreached, want 1 and 2", got.Relayed, got.Unreached)
	}
}

// deadOffer is of a client that cannot be reached and that reaches nobody.
const deadOffer = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n" +
	"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n" +
	"a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n" +
	"a=setup:actpass\r\na=mid:0\r\na=sendrecv\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n"
