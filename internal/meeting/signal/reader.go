package signal

import (
	"context"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/protobuf/proto"

	"belfry.live/belfry/internal/wire/chime"
)

// What a client may send. Honest ones send a metrics frame a second, a ping
// every ten, and bursts of data messages.
const (
	frameRate  = 200 // frames/s
	frameBurst = 2000
	offerRate  = 5 // SUBSCRIBEs/s; more have to wait
	offerBurst = 20

	maxOffer    = 512 << 10 // bytes of SDP
	maxSections = 64        // m= sections, and hence streams
)

// A reader is the goroutine that handles a session's frames in their order.
type reader struct {
	*Session
	seat   Seat
	frames bucket
	offers bucket

	joined bool
	left   bool // the seat has been told
}

// run handles frames until the socket is closed and says how that came. After
// a LEAVE the client has some time to close the socket itself.
func (r *reader) run(ctx context.Context) Departure {
	silence := time.AfterFunc(r.cfg.SilenceTimeout, func() { r.stop(0, "", Silent) })
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
		if !r.frames.take(now) {
			r.log.Warn("signaling session cut: too many frames")
			r.stop(0, "", Ended)
			continue
		}
		if kind != websocket.MessageBinary {
			continue
		}
		f, err := chime.Parse(message)
		if err != nil {
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
	ack := chime.New(chime.Frame_JOIN_ACK, time.Now())
	ack.Joinack = &chime.JoinAckFrame{
		// Without URIs: the client offers as soon as it has one candidate. Any
		// URI would make it use the relay alone.
		TurnCredentials: &chime.TurnCredentials{
			Username: proto.String("none"),
			Password: proto.String("none"),
			Ttl:      proto.Uint32(300),
		},
		VideoSubscriptionLimit: proto.Uint32(r.cfg.VideoLimit),
		WantsCompressedSdp:     proto.Bool(false),
	}
	r.Send(chime.Append(nil, ack))
	r.seat.Join(ctx, f)
}

func (r *reader) subscribe(ctx context.Context, f *chime.SubscribeFrame) {
	if !r.offers.wait(ctx) {
		return
	}
	a := Answer{Ack: &chime.SubscribeAckFrame{}, Status: 400}
	if wellFormed(f) {
		a = r.seat.Subscribe(ctx, f)
	}
	if ctx.Err() != nil {
		return
	}
	ack := chime.New(chime.Frame_SUBSCRIBE_ACK, time.Now())
	ack.Suback = a.Ack
	if a.Status != 0 {
		ack.Error = &chime.ErrorFrame{Status: proto.Uint32(a.Status)}
	}
	r.Send(chime.Append(nil, ack))
}

// wellFormed says whether an offer keeps the limits and is in the form that
// JOIN_ACK asked for.
func wellFormed(f *chime.SubscribeFrame) bool {
	return f.GetSdpOffer() != "" && len(f.GetSdpOffer()) <= maxOffer &&
		len(f.GetSendStreams()) <= maxSections &&
		len(f.GetReceiveStreamIds()) <= maxSections &&
		len(f.GetVideoSubscriptionConfiguration()) <= maxSections
}
