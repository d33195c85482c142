package signal

import (
	"context"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"
	"google.golang.org/protobuf/proto"

	"belfry.live/belfry/internal/wire/chime"
)

// A reader is the goroutine that handles a session's frames in their order.
type reader struct {
	*Session
	seat   Seat
	frames *rate.Limiter
	bytes  *rate.Limiter
	offers *rate.Limiter
	stats  *rate.Limiter

	joined   bool
	left     bool   // the seat has been told
	previous string // the last SDP answer: the dictionary of the next
}

func newReader(s *Session, seat Seat) *reader {
	return &reader{
		Session: s, seat: seat,
		frames: rate.NewLimiter(frameRate, frameBurst),
		bytes:  rate.NewLimiter(byteRate, byteBurst),
		offers: rate.NewLimiter(offerRate, offerBurst),
		stats:  rate.NewLimiter(statRate, statBurst),
	}
}

// run handles frames until the socket is closed and says how that came. After
// a LEAVE the client has some time to close the socket itself.
func (r *reader) run(ctx context.Context) Departure {
	silence := time.AfterFunc(r.cfg.SilenceTimeout, func() {
		if r.stop(0, "", Silent) {
			r.cfg.Counts.silent.Add(1)
		}
	})
	defer silence.Stop()
	idle := time.AfterFunc(r.cfg.JoinTimeout, func() { r.Close(CloseRetry, "no JOIN came") })
	defer idle.Stop()
	for {
		// Not ctx: its end would cut the socket before the close code is sent.
		kind, message, err := r.conn.Read(context.Background())
		if err != nil {
			r.stop(0, "", departure(err))
			return r.why
		}
		now := time.Now()
		silence.Reset(r.cfg.SilenceTimeout)
		r.cfg.Counts.framesIn.Add(1)
		r.cfg.Counts.bytesIn.Add(int64(len(message)))
		if !r.frames.AllowN(now, 1) || !r.bytes.AllowN(now, len(message)) {
			r.cfg.Counts.floods.Add(1)
			r.log.Warn("signaling session cut: too many frames, or too much in them")
			r.stop(0, "", Ended)
			continue
		}
		if kind != websocket.MessageBinary {
			r.cfg.Counts.garbage.Add(1)
			continue
		}
		f, err := chime.Parse(message)
		if err != nil {
			r.cfg.Counts.garbage.Add(1)
			r.log.Debug("signaling frame ignored", "err", err)
			continue
		}
		r.handle(ctx, f)
		if r.joined {
			idle.Stop()
		}
	}
}

// handle acts on one frame. Frames of unknown types and frames that come out
// of turn are ignored.
func (r *reader) handle(ctx context.Context, f *chime.Frame) {
	switch f.GetType() {
	case chime.Frame_PING_PONG:
		if f.GetPingPong().GetType() == chime.PingPongType_PING && f.PingPong != nil {
			pong := chime.New(chime.Frame_PING_PONG, time.Now())
			pong.PingPong = &chime.PingPongFrame{Type: chime.PingPongType_PONG.Enum(), PingId: f.PingPong.PingId}
			r.Send(chime.Append(nil, pong))
		}
		return
	case chime.Frame_LEAVE:
		r.leave()
		return
	}
	if r.left || r.ended.Load() {
		return
	}
	if f.GetType() == chime.Frame_JOIN {
		r.join(ctx, f.GetJoin())
	}
	if !r.joined {
		return
	}
	switch f.GetType() {
	case chime.Frame_SUBSCRIBE:
		r.subscribe(ctx, f.GetSub())
	case chime.Frame_AUDIO_CONTROL:
		r.seat.SetMuted(f.GetAudioControl().GetMuted())
	case chime.Frame_PAUSE, chime.Frame_RESUME:
		if ids := f.GetPause().GetStreamIds(); len(ids) <= maxSections {
			r.seat.Pause(ids, f.GetType() == chime.Frame_PAUSE)
		}
	case chime.Frame_REMOTE_VIDEO_UPDATE:
		u := f.GetRemoteVideoUpdate()
		if u != nil && len(u.AddedOrUpdatedVideoSubscriptions) <= maxSections && len(u.RemovedVideoSubscriptionMids) <= maxSections {
			r.seat.UpdateVideo(u)
		}
	case chime.Frame_DATA_MESSAGE:
		if m := f.GetDataMessage().GetMessages(); len(m) <= maxMessages {
			for _, m := range m {
				r.seat.Message(m)
			}
		}
	case chime.Frame_PRIMARY_MEETING_JOIN:
		r.promote(ctx, f.GetPrimaryMeetingJoin().GetCredentials())
	case chime.Frame_PRIMARY_MEETING_LEAVE:
		r.seat.Demote()
	case chime.Frame_CLIENT_METRIC:
		if fewMetrics(f.GetClientMetric()) && r.stats.Allow() {
			r.seat.Metrics(f.GetClientMetric())
		}
	case chime.Frame_MEETING_SESSION_TIMING:
		if fewTimings(f.GetMeetingSessionTiming()) && r.stats.Allow() {
			r.seat.Timing(f.GetMeetingSessionTiming())
		}
	}
}

func (r *reader) leave() {
	ack := chime.New(chime.Frame_LEAVE_ACK, time.Now())
	ack.LeaveAck = &chime.LeaveAckFrame{}
	r.Send(chime.Append(nil, ack))
	if r.left {
		return
	}
	r.left = true
	r.seat.Leave(Left)
	time.AfterFunc(ackTimeout, func() { r.Close(CloseNormal, "") })
}

func (r *reader) join(ctx context.Context, f *chime.JoinFrame) {
	if r.joined {
		return
	}
	r.joined = true
	r.wantsCompression = f.GetWantsCompressedSdp()
	r.seat.Join(ctx, f)
}

func (r *reader) subscribe(ctx context.Context, f *chime.SubscribeFrame) {
	if r.offers.Wait(ctx) != nil {
		return
	}
	a := Answer{Ack: &chime.SubscribeAckFrame{}, Status: 400}
	compressed := len(f.GetCompressedSdpOffer()) > 0
	if wellFormed(f) && inflate(f) {
		a = r.seat.Subscribe(ctx, f)
	}
	if ctx.Err() != nil {
		return
	}
	if sdp := a.Ack.GetSdpAnswer(); sdp != "" {
		if compressed {
			a.Ack.CompressedSdpAnswer = chime.CompressSDP(sdp, r.previous)
			a.Ack.SdpAnswer = nil
		}
		r.previous = sdp
	}
	if a.Notice != "" {
		r.Notify(a.Notice)
	}
	ack := chime.New(chime.Frame_SUBSCRIBE_ACK, time.Now())
	ack.Suback = a.Ack
	if a.Status != 0 {
		ack.Error = &chime.ErrorFrame{Status: proto.Uint32(a.Status)}
	}
	r.Send(chime.Append(nil, ack))
	r.seat.Answered()
}

// inflate puts the offer into its plain form. It says false if there is none,
// or one that is too long.
func inflate(f *chime.SubscribeFrame) bool {
	if b := f.GetCompressedSdpOffer(); len(b) > 0 {
		// Clients keep the previous offer as a dictionary in name only: what
		// they keep is empty.
		sdp, err := chime.InflateSDP(b, "", maxOffer)
		if err != nil {
			return false
		}
		f.SdpOffer, f.CompressedSdpOffer = &sdp, nil
	}
	return f.GetSdpOffer() != "" && len(f.GetSdpOffer()) <= maxOffer
}

func (r *reader) promote(ctx context.Context, c *chime.MeetingSessionCredentials) {
	if r.offers.Wait(ctx) != nil { // as costly, and as rare
		return
	}
	status := r.seat.Promote(ctx, c)
	if ctx.Err() != nil {
		return
	}
	ack := chime.New(chime.Frame_PRIMARY_MEETING_JOIN_ACK, time.Now())
	ack.PrimaryMeetingJoinAck = &chime.PrimaryMeetingJoinAckFrame{}
	if status != 0 {
		ack.Error = &chime.ErrorFrame{Status: &status}
	}
	r.Send(chime.Append(nil, ack))
}
