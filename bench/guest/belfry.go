package guest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/coder/websocket"
	"github.com/pion/webrtc/v4"
	"google.golang.org/protobuf/proto"

	"belfry.live/belfry/internal/wire/chime"
)

const (
	joinTimeout  = 20 * time.Second
	pingInterval = 10 * time.Second
)

// A Ticket is what a guest gets into a meeting of Belfry with.
type Ticket struct{ SignalingURL, JoinToken string }

// Belfry is a meeting on a Belfry server. It gives each guest a ticket.
type Belfry func(name string) (Ticket, error)

// A chimeGuest speaks the Chime protocol, as far as media needs it.
type chimeGuest struct {
	*Guest
	socket  *websocket.Conn
	pc      *webrtc.PeerConnection
	camera  *webrtc.RTPTransceiver
	watched []watched // by section, from the one after the camera's
	ready   chan error
}

type watched struct{ group, stream uint32 }

// Join enters with a ticket. A guest who does not publish only listens.
func (b Belfry) Join(ctx context.Context, name string, r Role) (*Guest, error) {
	ticket, err := b(name)
	if err != nil {
		return nil, err
	}
	dialing, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	g := &chimeGuest{Guest: newGuest(r, [3]string{"low", "mid", "hi"}), ready: make(chan error, 1)}
	g.socket, _, err = websocket.Dial(dialing, ticket.SignalingURL+"?X-Chime-Control-Protocol-Version=3&X-Amzn-Chime-Send-Close-On-Error=1",
		&websocket.DialOptions{Subprotocols: []string{"_aws_wt_session", ticket.JoinToken}})
	if err != nil {
		return nil, fmt.Errorf("%s: open the signaling connection", name)
	}
	g.socket.SetReadLimit(chime.MaxFrame)
	if g.pc, err = g.peer(); err != nil {
		return nil, errors.Join(err, g.socket.CloseNow())
	}
	running, stop := context.WithCancel(ctx)
	g.stop = stop
	g.Guest.close = func() error { return errors.Join(g.socket.CloseNow(), g.pc.Close()) }
	g.tasks.Go(func() { g.ready <- g.talk(running) })
	if err = connected(dialing, g.pc); err != nil {
		select {
		case cause := <-g.ready:
			err = cause
		default:
		}
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), g.Leave())
	}
	g.Connected = time.Since(g.began)
	return g.Guest, nil
}

// talk handles signaling until ctx ends or the connection breaks.
func (g *chimeGuest) talk(ctx context.Context) error {
	if err := g.transceivers(); err != nil {
		return err
	}
	join := chime.New(chime.Frame_JOIN, time.Now())
	join.Join = &chime.JoinFrame{ProtocolVersion: proto.Uint32(2), Flags: proto.Uint32(2), AudioSessionId: proto.Uint64(uint64(time.Now().UnixNano()) & 0xffffffff)}
	if err := g.send(ctx, join); err != nil {
		return err
	}
	g.tasks.Go(func() { g.ping(ctx) })
	joined, inFlight := false, false
	var newest *chime.IndexFrame
	for {
		_, message, err := g.socket.Read(ctx)
		if err != nil {
			return fmt.Errorf("signaling ended: %w", err)
		}
		f, err := chime.Parse(message)
		if err != nil {
			return err
		}
		if status := f.GetError().GetStatus(); status >= 300 {
			return fmt.Errorf("the server says %d", status)
		}
		switch f.GetType() {
		case chime.Frame_INDEX:
			newest = f.GetIndex()
		case chime.Frame_SUBSCRIBE_ACK:
			answer := webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: f.GetSuback().GetSdpAnswer()}
			if err := g.pc.SetRemoteDescription(answer); err != nil {
				return err
			}
			if g.Guest.camera != nil && !joined {
				g.tasks.Go(func() { g.Guest.camera.run(ctx, g.Guest, g.camera) })
			}
			joined, inFlight = true, false
		case chime.Frame_AUDIO_STATUS:
			return fmt.Errorf("the server says %d", f.GetAudioStatus().GetAudioStatus())
		}
		if newest == nil || inFlight {
			continue
		}
		if added, err := g.watch(newest); err != nil {
			return err
		} else if added || !joined {
			inFlight = true
			if err := g.subscribe(ctx); err != nil {
				return err
			}
		}
	}
}

func (g *chimeGuest) transceivers() (err error) {
	if g.Guest.camera != nil {
		g.camera, err = g.Guest.camera.add(g.pc)
		return err
	}
	if _, err = g.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
		return err
	}
	// The camera's section, on which nothing ever comes. This library cannot
	// make an inactive one.
	g.camera, err = g.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
	return err
}

// watch adds a section for every source that is new, and says whether any was.
// Of a source's layers it takes the best.
func (g *chimeGuest) watch(index *chime.IndexFrame) (added bool, err error) {
	best := map[uint32]*chime.StreamDescriptor{}
	var groups []uint32
	for _, d := range index.GetSources() {
		old := best[d.GetGroupId()]
		if old == nil {
			groups = append(groups, d.GetGroupId())
		}
		if old == nil || d.GetMaxBitrateKbps() > old.GetMaxBitrateKbps() {
			best[d.GetGroupId()] = d
		}
	}
	for _, group := range groups {
		i := slices.IndexFunc(g.watched, func(w watched) bool { return w.group == group })
		if i < 0 {
			_, err := g.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
			if err != nil {
				return false, err
			}
			g.watched = append(g.watched, watched{group: group})
			i = len(g.watched) - 1
		}
		if stream := best[group].GetStreamId(); stream != g.watched[i].stream {
			g.watched[i].stream, added = stream, true
		}
	}
	return added, nil
}

func (g *chimeGuest) subscribe(ctx context.Context) error {
	sdp, err := offer(ctx, g.pc)
	if err != nil {
		return err
	}
	f := chime.New(chime.Frame_SUBSCRIBE, time.Now())
	f.Sub = &chime.SubscribeFrame{
		Duplex:           chime.StreamServiceType_RX.Enum(),
		SdpOffer:         proto.String(sdp),
		AudioHost:        proto.String("x"),
		ReceiveStreamIds: []uint32{0},
	}
	if c := g.Guest.camera; c != nil {
		f.Sub.Duplex = chime.StreamServiceType_DUPLEX.Enum()
		for i, l := range c.layers {
			f.Sub.SendStreams = append(f.Sub.SendStreams, &chime.StreamDescriptor{
				MediaType: chime.StreamMediaType_VIDEO.Enum(), TrackLabel: proto.String("camera" + strconv.Itoa(i)),
				StreamId: proto.Uint32(uint32(i) + 2), GroupId: proto.Uint32(2), Framerate: proto.Uint32(frameRate),
				MaxBitrateKbps: proto.Uint32(uint32(l.bitrate / 1000)),
			})
		}
	}
	for _, w := range g.watched {
		f.Sub.ReceiveStreamIds = append(f.Sub.ReceiveStreamIds, w.stream)
	}
	return g.send(ctx, f)
}

func (g *chimeGuest) ping(ctx context.Context) {
	tick := time.NewTicker(pingInterval)
	defer tick.Stop()
	for id := uint32(1); ; id++ {
		f := chime.New(chime.Frame_PING_PONG, time.Now())
		f.PingPong = &chime.PingPongFrame{Type: chime.PingPongType_PING.Enum(), PingId: &id}
		if g.send(ctx, f) != nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (g *chimeGuest) send(ctx context.Context, f *chime.Frame) error {
	return g.socket.Write(ctx, websocket.MessageBinary, chime.Append(nil, f))
}
