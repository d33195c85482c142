package signal

import (
	"context"
	"encoding/binary"
	"log/slog"
	"strings"
	"testing"

	"golang.org/x/time/rate"
	"google.golang.org/protobuf/proto"

	"belfry.live/belfry/internal/wire/chime"
)

// A strictSeat fails when it is told what a seat must never be told.
type strictSeat struct {
	*notebook
	t            *testing.T
	joined, left bool
}

func (s *strictSeat) during() {
	if !s.joined || s.left {
		s.t.Errorf("told outside of join (%t) and leave (%t)", s.joined, s.left)
	}
}

func (s *strictSeat) Join(ctx context.Context, f *chime.JoinFrame) {
	if s.joined || s.left {
		s.t.Error("joins twice")
	}
	s.joined = true
	s.notebook.Join(ctx, f)
}

func (s *strictSeat) Subscribe(ctx context.Context, f *chime.SubscribeFrame) Answer {
	s.during()
	if n := len(f.GetSdpOffer()); n == 0 || n > maxOffer || len(f.SendStreams) > maxSections || len(f.ReceiveStreamIds) > maxSections {
		s.t.Errorf("got an offer beyond the limits: %d bytes, %d out, %d in", n, len(f.SendStreams), len(f.ReceiveStreamIds))
	}
	return Answer{Ack: &chime.SubscribeAckFrame{}}
}

func (s *strictSeat) Answered()     { s.during() }
func (s *strictSeat) SetMuted(bool) { s.during() }
func (s *strictSeat) Message(m *chime.DataMessagePayload) {
	s.during()
	if m == nil {
		s.t.Error("got no message")
	}
}

func (s *strictSeat) Promote(_ context.Context, c *chime.MeetingSessionCredentials) uint32 {
	s.during()
	return uint32(len(c.GetJoinToken()))
}
func (s *strictSeat) Demote() { s.during() }
func (s *strictSeat) Metrics(f *chime.ClientMetricFrame) {
	s.during()
	n := len(f.GlobalMetrics)
	for _, x := range f.StreamMetricFrames {
		n += len(x.GetMetrics())
	}
	if n > maxMetrics*(maxSections+1) {
		s.t.Errorf("got %d metrics, want fewer", n)
	}
}
func (s *strictSeat) Timing(*chime.MeetingSessionTimingFrame) { s.during() }
func (s *strictSeat) Pause(ids []uint32, _ bool) {
	s.during()
	if len(ids) > maxSections {
		s.t.Errorf("got %d paused streams, want at most %d", len(ids), maxSections)
	}
}
func (s *strictSeat) UpdateVideo(*chime.RemoteVideoUpdateFrame) { s.during() }
func (s *strictSeat) Leave(Departure) {
	if s.left {
		s.t.Error("leaves twice")
	}
	s.left = true
}

// FuzzHandle feeds a session what a stranger might send: messages, each after
// two bytes of length.
func FuzzHandle(f *testing.F) {
	join := frame(chime.Frame_JOIN, func(f *chime.Frame) { f.Join = &chime.JoinFrame{} })
	wide := frame(chime.Frame_SUBSCRIBE, func(f *chime.Frame) {
		f.Sub = &chime.SubscribeFrame{SdpOffer: proto.String("v=0"), ReceiveStreamIds: make([]uint32, maxSections+1)}
	})
	long := subscribe(strings.Repeat("a", 600))
	update := frame(chime.Frame_REMOTE_VIDEO_UPDATE, func(f *chime.Frame) {
		f.RemoteVideoUpdate = &chime.RemoteVideoUpdateFrame{
			AddedOrUpdatedVideoSubscriptions: []*chime.VideoSubscriptionConfiguration{{Mid: proto.String("2")}},
			RemovedVideoSubscriptionMids:     []string{"", "99"},
		}
	})
	message := frame(chime.Frame_DATA_MESSAGE, func(f *chime.Frame) {
		f.DataMessage = &chime.DataMessageFrame{Messages: []*chime.DataMessagePayload{{}, {Topic: proto.String("x"), LifetimeMs: proto.Uint32(1 << 31)}}}
	})
	packed := frame(chime.Frame_SUBSCRIBE, func(f *chime.Frame) {
		f.Sub = &chime.SubscribeFrame{CompressedSdpOffer: chime.CompressSDP("v=0", "")}
	})
	metrics := frame(chime.Frame_CLIENT_METRIC, func(f *chime.Frame) {
		f.ClientMetric = &chime.ClientMetricFrame{GlobalMetrics: []*chime.Metric{{Value: proto.Float64(1)}}, StreamMetricFrames: []*chime.StreamMetricFrame{{}}}
	})
	pause := frame(chime.Frame_PAUSE, func(f *chime.Frame) { f.Pause = &chime.PauseResumeFrame{StreamIds: []uint32{0, 1 << 31}} })
	for _, seed := range [][]*chime.Frame{
		{ping(1), join, subscribe("v=0"), leave()},
		{subscribe("v=0"), join, join, leave(), leave(), join, subscribe("v=0")},
		{join, wide, long, update, pause},
		{join, message, packed, metrics, frame(chime.Frame_MEETING_SESSION_TIMING, nil), frame(chime.Frame_PRIMARY_MEETING_JOIN, nil), frame(chime.Frame_PRIMARY_MEETING_LEAVE, nil)},
		{frame(chime.Frame_PING_PONG, nil), frame(chime.Frame_JOIN, nil), frame(chime.Frame_SUBSCRIBE, nil), frame(chime.Frame_AUDIO_CONTROL, nil), frame(chime.Frame_RESUME, nil)},
	} {
		var b []byte
		for _, f := range seed {
			m := chime.Append(nil, f)
			b = append(binary.BigEndian.AppendUint16(b, uint16(len(m))), m...)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s := newSession(nil, nil, Config{}.withDefaults(), slog.New(slog.DiscardHandler))
		seat := &strictSeat{notebook: &notebook{session: s}, t: t}
		r := newReader(s, seat)
		r.offers.SetLimit(rate.Inf)
		for len(b) > 2 {
			n := min(int(binary.BigEndian.Uint16(b)), len(b)-2)
			if f, err := chime.Parse(b[2 : 2+n]); err == nil {
				r.handle(t.Context(), f)
			}
			b = b[2+n:]
		}
		for _, m := range s.pull() {
			if _, err := chime.Parse(m); err != nil {
				t.Errorf("sent: got %v, want a frame", err)
			}
		}
	})
}
