package attendee

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/protobuf/proto"

	"belfry.live/belfry/internal/attendee/link"
	"belfry.live/belfry/internal/wire/chime"
)

const (
	// connectTimeout is for everything from the socket to connected media,
	// and again for each answer to an offer.
	connectTimeout = 15 * time.Second
	writeTimeout   = 10 * time.Second
	// leaveTimeout is for the LEAVE_ACK.
	leaveTimeout = 2 * time.Second

	pingInterval = 10 * time.Second
	maxMissed    = 4 // pings in a row without a pong

	reportInterval = 500 * time.Millisecond

	// maxSDP is what an answer may inflate to, in bytes.
	maxSDP = 512 << 10

	// defaultVideoLimit is how many videos to receive if the JOIN_ACK does
	// not say.
	defaultVideoLimit = 25

	query       = "?X-Chime-Control-Protocol-Version=3&X-Amzn-Chime-Send-Close-On-Error=1"
	subprotocol = "_aws_wt_session"
)

// A session is one connection to the meeting: one WebSocket and one peer
// connection. Its loop owns all of it.
type session struct {
	// Fixed by newSession.
	c   *Client
	log *slog.Logger

	socket   *websocket.Conn
	frames   chan *chime.Frame
	media    chan error             // nil: it flows; else why it has ended
	promoted chan *chime.ErrorFrame // holds one: the answer to a promotion
	done     chan struct{}          // closed when the loop has ended

	// Touched by the loop alone, but for peer once media is connected.
	peer      *peer // nil before the first INDEX
	relays    []link.Relay
	limit     int
	compress  bool   // offers
	before    string // the last answer, which the next may refer to
	adapts    bool   // the server chooses layers
	up        bool   // media is connected, or was
	inFlight  bool   // a SUBSCRIBE without its answer
	sources   []Source
	announced []*chime.StreamDescriptor
	told      map[string]*chime.VideoSubscriptionConfiguration // by mid
	streams   []*chime.StreamAllocation                        // of the own camera
	muted     bool                                             // as the meeting knows it
	pings     uint32
	missed    int
	roster    bool              // the first has come
	people    map[uint32]string // attendee ids by audio stream id
	volumes   []Volume
}

func newSession(c *Client) *session {
	return &session{
		c: c, log: c.log,
		frames:   make(chan *chime.Frame),
		media:    make(chan error),
		promoted: make(chan *chime.ErrorFrame, 1),
		done:     make(chan struct{}),
		limit:    defaultVideoLimit,
		told:     make(map[string]*chime.VideoSubscriptionConfiguration),
		people:   make(map[uint32]string),
	}
}

// run holds the connection until it breaks, ends, or ctx does; then it leaves
// in good order.
func (s *session) run(ctx context.Context) error {
	if err := s.dial(ctx); err != nil {
		return err
	}
	// When ctx ends the socket is still needed, for the LEAVE.
	reading, stop := context.WithCancel(context.WithoutCancel(ctx))
	var reader sync.WaitGroup
	var readErr error
	reader.Go(func() {
		defer close(s.frames)
		readErr = s.read(reading)
	})
	err := s.loop(ctx)
	if errors.Is(err, errSocket) && s.drain() {
		err = readErr
	}
	close(s.done)
	s.c.setCurrent(nil)
	if s.peer != nil {
		s.peer.close()
	}
	stop()
	s.socket.CloseNow()
	reader.Wait()
	return err
}

func (s *session) dial(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	socket, _, err := websocket.Dial(ctx, s.c.cfg.SignalingURL+query, &websocket.DialOptions{
		HTTPClient:   s.c.cfg.HTTPClient,
		Subprotocols: []string{subprotocol, s.c.cfg.JoinToken},
	})
	if err != nil {
		return fmt.Errorf("open signaling connection: %w", withoutToken(err, s.c.cfg.JoinToken))
	}
	socket.SetReadLimit(chime.MaxFrame)
	s.socket = socket
	return nil
}

// withoutToken keeps the join token, which rides in a header, out of an
// error's text.
func withoutToken(err error, token string) error {
	if token == "" || !strings.Contains(err.Error(), token) {
		return err
	}
	return errors.New(strings.ReplaceAll(err.Error(), token, "(token)"))
}

// errSocket says that the socket has ended; the reader knows why.
var errSocket = errors.New("signaling connection ended")

// drain waits a little for the reader to end and says whether it did.
func (s *session) drain() bool {
	timeout := time.NewTimer(time.Second)
	defer timeout.Stop()
	for {
		select {
		case _, ok := <-s.frames:
			if !ok {
				return true
			}
		case <-s.media:
		case <-timeout.C:
			return false
		}
	}
}

// read passes frames on to the loop until the socket ends.
func (s *session) read(ctx context.Context) error {
	for {
		kind, message, err := s.socket.Read(ctx)
		if err != nil {
			return closedBy(err)
		}
		if kind != websocket.MessageBinary {
			continue
		}
		f, err := chime.Parse(message)
		if err != nil {
			s.log.Debug("signaling frame dropped", "err", err)
			continue
		}
		select {
		case s.frames <- f:
		case <-s.done:
			return nil
		}
	}
}

// closedBy turns the end of a read into what the server means by it.
func closedBy(err error) error {
	switch code := websocket.CloseStatus(err); code {
	case 4403:
		return fmt.Errorf("%w: closed with %d", ErrRefused, code)
	case 4410:
		return fmt.Errorf("%w: closed with %d", ErrEnded, code)
	}
	return fmt.Errorf("read signaling: %w", err)
}

// loop does all that happens in a session, one thing after the other.
func (s *session) loop(ctx context.Context) error {
	ping := time.NewTicker(pingInterval)
	defer ping.Stop()
	reports := time.NewTicker(reportInterval)
	defer reports.Stop()
	// Until media is connected, and again while an answer is awaited.
	deadline := time.NewTimer(connectTimeout)
	defer deadline.Stop()

	if err := s.join(ctx); err != nil {
		return err
	}
	for {
		awaiting := s.inFlight || !s.up
		var err error
		select {
		case <-ctx.Done():
			s.leave()
			return nil
		case f, ok := <-s.frames:
			if !ok {
				return errSocket
			}
			err = s.handle(ctx, f)
		case err = <-s.media:
			if err == nil {
				s.connected()
			}
		case <-s.c.changed:
			err = s.tellMuted(ctx)
		case <-ping.C:
			err = s.ping(ctx)
		case now := <-reports.C:
			if s.up {
				s.peer.sendReports(now)
			}
		case <-deadline.C:
			if awaiting {
				return fmt.Errorf("no connection or answer within %v", connectTimeout)
			}
		}
		if err == nil {
			err = s.subscribeIfNeeded(ctx)
		}
		if err == nil {
			err = s.followPreferences(ctx)
		}
		if final(err) {
			s.log.Info("attendance ends", "err", err)
			s.leave()
			return err
		}
		if err != nil {
			return err
		}
		if now := s.inFlight || !s.up; now && !awaiting {
			deadline.Reset(connectTimeout)
		}
	}
}

func (s *session) send(ctx context.Context, f *chime.Frame) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	if err := s.socket.Write(ctx, websocket.MessageBinary, chime.Append(nil, f)); err != nil {
		return fmt.Errorf("%w: write: %w", errSocket, err)
	}
	return nil
}

func (s *session) join(ctx context.Context) error {
	if err := s.ping(ctx); err != nil {
		return err
	}
	f := chime.New(chime.Frame_JOIN, time.Now())
	f.Join = &chime.JoinFrame{
		ProtocolVersion: proto.Uint32(2),
		Flags:           proto.Uint32(uint32(chime.JoinFlags_HAS_STREAM_UPDATE)),
		ClientDetails: &chime.ClientDetails{
			PlatformName: proto.String("Go"), PlatformVersion: proto.String(runtime.Version()),
			ClientSource: proto.String("belfry"), OsName: proto.String(runtime.GOOS),
		},
		AudioSessionId:            &s.c.id,
		WantsCompressedSdp:        proto.Bool(!s.c.cfg.PlainSDP),
		ServerSideNetworkAdaption: chime.ServerSideNetworkAdaption_DEFAULT.Enum(),
	}
	if s.c.cfg.Adaptation {
		all := chime.ServerSideNetworkAdaption_BANDWIDTH_PROBING_AND_VIDEO_QUALITY_ADAPTION
		f.Join.ServerSideNetworkAdaption = all.Enum()
		f.Join.SupportedServerSideNetworkAdaptions = []chime.ServerSideNetworkAdaption{
			chime.ServerSideNetworkAdaption_NONE, chime.ServerSideNetworkAdaption_BANDWIDTH_PROBING, all,
		}
	}
	return s.send(ctx, f)
}

func (s *session) ping(ctx context.Context) error {
	if s.missed >= maxMissed {
		return fmt.Errorf("%d pings in a row without an answer", s.missed)
	}
	s.pings++
	s.missed++
	return s.sendPing(ctx, chime.PingPongType_PING, s.pings)
}

func (s *session) sendPing(ctx context.Context, t chime.PingPongType, id uint32) error {
	f := chime.New(chime.Frame_PING_PONG, time.Now())
	f.PingPong = &chime.PingPongFrame{Type: t.Enum(), PingId: &id}
	return s.send(ctx, f)
}

// handle does what a frame says.
func (s *session) handle(ctx context.Context, f *chime.Frame) error {
	if f.GetType() == chime.Frame_PRIMARY_MEETING_JOIN_ACK { // its error ends that alone
		s.promotionAnswered(f)
		return nil
	}
	if err := envelopeError(f.GetError()); err != nil {
		return err
	}
	switch f.GetType() {
	case chime.Frame_PING_PONG:
		switch p := f.GetPingPong(); {
		case p.GetType() == chime.PingPongType_PING:
			return s.sendPing(ctx, chime.PingPongType_PONG, p.GetPingId())
		case p.GetPingId() == s.pings:
			s.missed = 0
		}
	case chime.Frame_JOIN_ACK:
		s.joined(f.GetJoinack())
	case chime.Frame_INDEX:
		return s.indexed(ctx, f.GetIndex())
	case chime.Frame_SUBSCRIBE_ACK:
		if s.inFlight && f.GetSuback() != nil {
			s.inFlight = false
			return s.answered(f.GetSuback())
		}
	case chime.Frame_PAUSE:
		s.serverPaused(f.GetPause().GetGroupIds(), true)
	case chime.Frame_RESUME:
		s.serverPaused(f.GetPause().GetGroupIds(), false)
	case chime.Frame_DATA_MESSAGE:
		s.dataArrived(f.GetDataMessage().GetMessages())
	case chime.Frame_AUDIO_STREAM_ID_INFO:
		s.rosterChanged(f.GetAudioStreamIdInfo().GetStreams())
	case chime.Frame_AUDIO_METADATA:
		s.volumesChanged(f.GetAudioMetadata().GetAttendeeStates())
	case chime.Frame_AUDIO_STATUS:
		return audioStatus(f.GetAudioStatus())
	}
	return nil
}

func (s *session) joined(f *chime.JoinAckFrame) {
	if n := f.GetVideoSubscriptionLimit(); n > 0 {
		s.limit = int(min(n, 1000))
	}
	t := f.GetTurnCredentials()
	for _, uri := range t.GetUris() {
		s.relays = append(s.relays, link.Relay{URL: uri, Username: t.GetUsername(), Password: t.GetPassword()})
	}
	s.compress = f.GetWantsCompressedSdp() && !s.c.cfg.PlainSDP
	s.adapts = s.c.cfg.Adaptation &&
		f.GetDefaultServerSideNetworkAdaption() >= chime.ServerSideNetworkAdaption_BANDWIDTH_PROBING
}

// indexed takes the list of all videos there are. The first one means that
// the meeting let us in.
func (s *session) indexed(ctx context.Context, f *chime.IndexFrame) error {
	s.announced = f.GetSources()
	s.sources = choose(s.announced, s.c.cfg, s.limit)
	if s.peer != nil {
		return nil
	}
	p, err := newPeer(ctx, s.c, s.relays)
	if err != nil {
		return err
	}
	s.peer = p
	return nil
}

// answered takes the server's answer to the last offer.
func (s *session) answered(f *chime.SubscribeAckFrame) error {
	sdp := f.GetSdpAnswer()
	if b := f.GetCompressedSdpAnswer(); len(b) > 0 {
		var err error
		if sdp, err = chime.InflateSDP(b, s.before, maxSDP); err != nil {
			return err
		}
	}
	s.before = sdp
	if s.peer.filming != nil {
		s.streams = f.GetAllocations()
	}
	return s.peer.answer(sdp, func(err error) {
		select {
		case s.media <- err:
		case <-s.done:
		}
	})
}

// connected is called when media flows.
func (s *session) connected() {
	s.up = true
	s.c.setCurrent(s)
	again := s.c.connected
	s.c.connected = true
	s.log.Info("attends", "again", again, "way", s.peer.link.Way())
	if s.c.handler.Connected != nil {
		s.c.handler.Connected(again)
	}
}

// subscribeIfNeeded makes an offer when what is received or sent is not what
// is wanted. One is under way at a time. The first asks for no video, as with
// browsers: it brings the connection up.
func (s *session) subscribeIfNeeded(ctx context.Context) error {
	if s.peer == nil || s.inFlight {
		return nil
	}
	first := !s.peer.begun
	var videos []Source
	var filming *filming
	if !first {
		if !s.up {
			return nil
		}
		videos, filming = s.sources, s.c.wants().video
		s.peer.settle(videos)
		if s.peer.has(videos) && filming == s.peer.filming {
			return nil
		}
	}
	return s.subscribe(ctx, videos, filming)
}

func (s *session) subscribe(ctx context.Context, videos []Source, filming *filming) error {
	sdp, streams := s.peer.offer(videos, filming)
	s.muted = s.c.wants().muted
	sub := &chime.SubscribeFrame{
		Duplex: chime.StreamServiceType_RX.Enum(),
		SendStreams: []*chime.StreamDescriptor{{
			MediaType: chime.StreamMediaType_AUDIO.Enum(), TrackLabel: proto.String("AmazonChimeExpressAudio"),
			StreamId: proto.Uint32(1), GroupId: proto.Uint32(1), Framerate: proto.Uint32(15),
			MaxBitrateKbps: proto.Uint32(600), AvgBitrateBps: proto.Uint32(400000), AttendeeId: &s.c.cfg.AttendeeID,
		}},
		ReceiveStreamIds: streams,
		SdpOffer:         &sdp,
		AudioCheckin:     proto.Bool(false),
		AudioMuted:       proto.Bool(s.muted),
	}
	if s.compress {
		// Browsers never refer to the offer before.
		sub.CompressedSdpOffer, sub.SdpOffer = chime.CompressSDP(sdp, ""), proto.String("")
	}
	if s.adapts {
		sub.VideoSubscriptionConfiguration = s.configurations()
		clear(s.told)
		for _, c := range sub.VideoSubscriptionConfiguration {
			s.told[c.GetMid()] = c
		}
	}
	if filming != nil {
		sub.Duplex = chime.StreamServiceType_DUPLEX.Enum()
		sub.SendStreams = append(sub.SendStreams, s.descriptors(filming)...)
	}
	f := chime.New(chime.Frame_SUBSCRIBE, time.Now())
	f.Sub = sub
	s.inFlight = true
	return s.send(ctx, f)
}

// descriptors tell of the own camera's layers. The server gives them their
// numbers, which are said from then on.
func (s *session) descriptors(f *filming) []*chime.StreamDescriptor {
	video := chime.StreamMediaType_VIDEO.Enum()
	if f.layers[0].RID == "" {
		return []*chime.StreamDescriptor{{
			MediaType: video, TrackLabel: proto.String("AmazonChimeExpressVideo"),
			StreamId: proto.Uint32(2), GroupId: proto.Uint32(2), Framerate: proto.Uint32(15),
			MaxBitrateKbps: proto.Uint32(uint32(f.layers[0].MaxKbps)), AttendeeId: &s.c.cfg.AttendeeID,
		}}
	}
	var list []*chime.StreamDescriptor
	for i, l := range f.layers {
		d := &chime.StreamDescriptor{
			MediaType: video, TrackLabel: proto.String(""), Framerate: proto.Uint32(15),
			MaxBitrateKbps: proto.Uint32(uint32(l.MaxKbps)), AttendeeId: &s.c.cfg.AttendeeID,
		}
		if i < len(s.streams) {
			d.StreamId, d.GroupId = s.streams[i].StreamId, s.streams[i].GroupId
		}
		list = append(list, d)
	}
	return list
}

// tellMuted says so if the microphone's state is not what the meeting knows.
func (s *session) tellMuted(ctx context.Context) error {
	muted := s.c.wants().muted
	if s.peer == nil || muted == s.muted {
		return nil // the first SUBSCRIBE says it
	}
	s.muted = muted
	f := chime.New(chime.Frame_AUDIO_CONTROL, time.Now())
	f.AudioControl = &chime.AudioControlFrame{Muted: &muted}
	return s.send(ctx, f)
}

// leave says goodbye and waits a little for the answer.
func (s *session) leave() {
	f := chime.New(chime.Frame_LEAVE, time.Now())
	f.Leave = &chime.LeaveFrame{}
	if err := s.send(context.Background(), f); err != nil {
		return // gone already
	}
	timeout := time.NewTimer(leaveTimeout)
	defer timeout.Stop()
	for {
		select {
		case f, ok := <-s.frames:
			if !ok || f.GetType() == chime.Frame_LEAVE_ACK {
				s.socket.Close(websocket.StatusNormalClosure, "")
				return
			}
		case <-s.media:
		case <-timeout.C:
			return
		}
	}
}

func (s *session) requestKeyFrame(source Source) { s.peer.requestKeyFrame(source) }
