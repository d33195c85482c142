package meeting

import (
	"log/slog"
	"slices"
	"testing"

	"belfry.live/belfry/internal/meeting/sfu"
	"belfry.live/belfry/internal/meeting/signal"
	"belfry.live/belfry/internal/outbox"
	"belfry.live/belfry/internal/wire/chime"
)

// newTestRoom makes a room without a loop: the test is the loop. Nobody in it
// is present, so nothing is sent.
func newTestRoom(t testing.TB, cfg Config, names ...string) (*room, []*seat) {
	s := &Service{cfg: cfg.withDefaults(), log: slog.New(slog.DiscardHandler), living: map[ID]*life{}}
	s.history = outbox.New(s.cfg.Record, 0, s.log)
	s.gate = newGate(s.cfg.Limits, s.sentBytes, s.log)
	r := newRoom(s, Meeting{ID: "m"}, 0, nil)
	t.Cleanup(func() { r.indexWait.Stop(); r.viewsWait.Stop() })
	var seats []*seat
	for _, name := range names {
		st := newSeat(r, Meeting{ID: "m"}, Attendee{ID: AttendeeID("id of " + name), MeetingID: "m", ExternalUserID: name}, signal.Credentials{}, nil)
		r.seats[st.attendee.ID] = st
		r.all[st] = struct{}{}
		seats = append(seats, st)
	}
	return r, seats
}

func newTestPublisher(t testing.TB) *sfu.Publisher {
	p := sfu.NewPublisher(sfu.PublisherConfig{})
	t.Cleanup(p.Close)
	return p
}

func duplex(videos int, receive ...uint32) *chime.SubscribeFrame {
	f := &chime.SubscribeFrame{Duplex: chime.StreamServiceType_DUPLEX.Enum(), ReceiveStreamIds: receive}
	for range videos {
		f.SendStreams = append(f.SendStreams, &chime.StreamDescriptor{MediaType: chime.StreamMediaType_VIDEO.Enum()})
	}
	return f
}

// Clients leave sources out when the sum of what is announced is too much.
func TestIndexFitsTheClient(t *testing.T) {
	for _, n := range []int{1, 10, 11, 25} {
		names := []string{"viewer", "aws:bot"}
		for i := range n {
			names = append(names, string(rune('A'+i)))
		}
		r, seats := newTestRoom(t, Config{}, names...)
		for _, s := range seats[2:] {
			if _, answer, _ := r.subscribe(s, duplex(1)); answer.Status != 0 {
				t.Errorf("%d cameras: got status %d, want 0", n, answer.Status)
			}
			r.videoStarted(s, newTestPublisher(t))
		}
		for i, want := range []int{n, n, n - 1} {
			index := r.index(seats[i])
			var sum, last uint32
			for _, d := range index.Sources {
				sum += d.GetMaxBitrateKbps()
				if d.GetGroupId() <= last {
					t.Errorf("%d cameras: got group %d after %d, want them in order", n, d.GetGroupId(), last)
				}
				last = d.GetGroupId()
			}
			if len(index.Sources) != want || sum > clientBudget {
				t.Errorf("%d cameras: got %d sources of %d kbit/s, want %d of at most %d", n, len(index.Sources), sum, want, clientBudget)
			}
			if got := int(index.GetNumParticipants()); got != n+1 {
				t.Errorf("%d cameras: got %d participants, want %d", n, got, n+1)
			}
		}
		if got, want := r.index(seats[0]).GetAtCapacity(), n == 25; got != want {
			t.Errorf("%d cameras: got at capacity %t, want %t", n, got, want)
		}
	}
}

func TestCapabilitiesBindVideo(t *testing.T) {
	r, seats := newTestRoom(t, Config{}, "sender", "receiver", "neither", "both")
	for i, c := range []Capability{Send, Receive, None, SendReceive} {
		seats[i].attendee.Capabilities.Video = c
	}
	both := seats[3]
	r.subscribe(both, duplex(1))
	r.videoStarted(both, newTestPublisher(t))
	for i, want := range []struct{ publish, watch bool }{{true, false}, {false, true}, {false, false}, {true, false}} {
		offer, answer, _ := r.subscribe(seats[i], duplex(1, 0, both.camera.streams[0].id))
		if offer.Publish != want.publish || (answer.Status == 206) == want.publish {
			t.Errorf("%s: got publish %t, status %d, want publish %t", seats[i].attendee.ExternalUserID, offer.Publish, answer.Status, want.publish)
		}
		if got := offer.Receive[1].Target.Publisher != nil; got != want.watch {
			t.Errorf("%s: got video %t, want %t", seats[i].attendee.ExternalUserID, got, want.watch)
		}
	}
}

// FuzzSubscribe has one attendee offer whatever it likes; all others' cameras
// stay as they are.
func FuzzSubscribe(f *testing.F) {
	f.Add([]byte{})
	f.Add(chime.Append(nil, chimeFrame(duplex(1, 0, 4))))
	f.Add(chime.Append(nil, chimeFrame(duplex(64, 0, 2, 4, 1<<31, 4))))
	f.Add(chime.Append(nil, chimeFrame(&chime.SubscribeFrame{ReceiveStreamIds: []uint32{1, 2, 3, 4, 5}})))
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, err := chime.Parse(b)
		if err != nil {
			return
		}
		sub := frame.GetSub()
		r, seats := newTestRoom(t, Config{MaxCameras: 2}, "ann", "ben")
		ann, ben := seats[0], seats[1]
		r.subscribe(ben, duplex(1))
		theirs := newTestPublisher(t)
		r.videoStarted(ben, theirs)
		was := *ben.camera
		stream := was.streams[0].id
		for range 2 {
			offer, answer, _ := r.subscribe(ann, sub)
			if got, want := len(offer.Receive), len(sub.GetReceiveStreamIds()); got != want {
				t.Errorf("got %d sections, want %d", got, want)
			}
			for i, x := range offer.Receive {
				if hit := sub.ReceiveStreamIds[i] == stream; (x.Target.Publisher == theirs) != hit || (x.Target.Publisher != nil) != hit {
					t.Errorf("stream %d: got source %p, want one only for stream %d", sub.ReceiveStreamIds[i], x.Target.Publisher, stream)
				}
			}
			videos := 0
			for _, d := range sub.GetSendStreams() {
				if d.GetMediaType() == chime.StreamMediaType_VIDEO {
					videos++
				}
			}
			if got := len(answer.Ack.GetAllocations()); got != videos {
				t.Errorf("got %d allocations, want %d", got, videos)
			}
			for _, a := range answer.Ack.GetAllocations() {
				if a.GetStreamId() == 0 || a.GetGroupId() == 0 {
					t.Errorf("got allocation %v, want no 0", a)
				}
			}
			if offer.Publish != (ann.camera != nil) {
				t.Errorf("got publish %t with camera %v", offer.Publish, ann.camera)
			}
			if ann.camera != nil {
				r.videoStarted(ann, theirs)
			}
			r.index(ben)
		}
		if ben.camera.group != was.group || ben.camera.source != was.source || !slices.Equal(ben.camera.streams, was.streams) {
			t.Errorf("another's camera: got %v, want %v", *ben.camera, was)
		}
	})
}

func chimeFrame(sub *chime.SubscribeFrame) *chime.Frame {
	f := &chime.Frame{TimestampMs: new(uint64), Type: chime.Frame_SUBSCRIBE.Enum(), Sub: sub}
	return f
}

func FuzzJoinToken(f *testing.F) {
	f.Add(newJoinToken("00000000-0000-0000-0000-000000000000").Reveal())
	f.Add("")
	f.Add("\x80\x00:")
	f.Add("MDA6")
	f.Fuzz(func(t *testing.T, said string) {
		a := Attendee{ID: "00000000-0000-0000-0000-000000000000"}
		a.JoinToken = newJoinToken(a.ID)
		attendeeOf(said)
		if a.JoinToken.matches(said) {
			t.Errorf("a new secret matches %q", said)
		}
	})
}
