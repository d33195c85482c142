package guest

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/pion/webrtc/v4"
	"google.golang.org/protobuf/encoding/protowire"
)

// LiveKit is a room on a LiveKit server.
type LiveKit struct {
	URL         string // ws://host:port
	Key, Secret string // of the API
	Room        string
}

// The numbers of LiveKit's signaling messages that are used (livekit_rtc.proto
// of its protocol 1.50: SignalRequest, SignalResponse).
const (
	requestOffer    = 1
	requestAnswer   = 2
	requestTrickle  = 3
	requestAddTrack = 4
	requestPing     = 14

	responseJoin      = 1
	responseAnswer    = 2
	responseOffer     = 3
	responseTrickle   = 4
	responsePublished = 6
	responseLeave     = 8

	targetPublisher  = 0
	targetSubscriber = 1
)

// A liveKitGuest has two connections, one for each direction.
type liveKitGuest struct {
	*Guest
	socket                *websocket.Conn
	publisher, subscriber *webrtc.PeerConnection
	camera                *webrtc.RTPTransceiver
	published             int // tracks the server has agreed to

	writing sync.Mutex
	early   [2][]webrtc.ICECandidateInit // before their connection's description
}

// Join enters the room. Everything published is subscribed to.
func (l LiveKit) Join(ctx context.Context, name string, r Role) (*Guest, error) {
	dialing, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	g := &liveKitGuest{Guest: newGuest(r, [3]string{"q", "h", "f"})}
	query := url.Values{"access_token": {l.token(name)}, "protocol": {"9"}, "auto_subscribe": {"1"}, "adaptive_stream": {"0"}, "sdk": {"go"}}
	var err error
	if g.socket, _, err = websocket.Dial(dialing, l.URL+"/rtc?"+query.Encode(), nil); err != nil {
		return nil, fmt.Errorf("%s: open the signaling connection", name)
	}
	g.socket.SetReadLimit(1 << 20)
	if g.publisher, err = g.peer(); err == nil {
		g.subscriber, err = g.peer()
	}
	if err != nil {
		return nil, errors.Join(err, g.socket.CloseNow())
	}
	running, stop := context.WithCancel(ctx)
	g.stop = stop
	g.close = func() error { return errors.Join(g.socket.CloseNow(), g.publisher.Close(), g.subscriber.Close()) }
	ended := make(chan error, 1)
	g.tasks.Go(func() { ended <- g.talk(running) })
	awaited := g.subscriber
	if r.Publish {
		awaited = g.publisher
	}
	if err = connected(dialing, awaited); err != nil {
		select {
		case cause := <-ended:
			err = cause
		default:
		}
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), g.Leave())
	}
	g.Connected = time.Since(g.began)
	return g.Guest, nil
}

// token is a JSON web token (RFC 7519) with LiveKit's grants.
func (l LiveKit) token(name string) string {
	encode := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err) // only maps of strings and numbers come here
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	now := time.Now()
	signed := encode(map[string]any{"alg": "HS256", "typ": "JWT"}) + "." + encode(map[string]any{
		"iss": l.Key, "sub": name, "nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(time.Hour).Unix(),
		"video": map[string]any{"roomJoin": true, "room": l.Room},
	})
	mac := hmac.New(sha256.New, []byte(l.Secret))
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func (g *liveKitGuest) talk(ctx context.Context) error {
	g.tasks.Go(func() { g.ping(ctx) })
	for {
		_, message, err := g.socket.Read(ctx)
		if err != nil {
			return fmt.Errorf("signaling ended: %w", err)
		}
		kind, body, err := first(message)
		if err != nil {
			return err
		}
		switch kind {
		case responseJoin:
			err = g.publish(ctx)
		case responsePublished:
			if g.published++; g.published == 2 {
				err = g.propose(ctx)
			}
		case responseAnswer:
			err = g.describe(targetPublisher, webrtc.SDPTypeAnswer, text(body, 2))
			if err == nil {
				g.tasks.Go(func() { g.Guest.camera.run(ctx, g.Guest, g.camera) })
			}
		case responseOffer:
			err = g.accept(ctx, body)
		case responseTrickle:
			err = g.candidate(body)
		case responseLeave:
			err = errors.New("the server ends the session")
		}
		if err != nil {
			return err
		}
	}
}

// publish announces the tracks of one who has any.
func (g *liveKitGuest) publish(ctx context.Context) (err error) {
	if g.Guest.camera == nil {
		return nil
	}
	if g.camera, err = g.Guest.camera.add(g.publisher); err != nil {
		return err
	}
	const audio, video, fromCamera, fromMicrophone = 0, 1, 1, 2
	if err = g.send(ctx, requestAddTrack, addTrack("microphone", audio, fromMicrophone, nil)); err != nil {
		return err
	}
	return g.send(ctx, requestAddTrack, addTrack("camera", video, fromCamera, g.Guest.camera.layers))
}

func addTrack(id string, kind, source uint64, layers []*layer) (b []byte) {
	b = appendText(b, 1, id)
	b = appendText(b, 2, id)
	b = appendNumber(b, 3, kind)
	b = appendNumber(b, 8, source)
	for i, l := range layers {
		quality := uint64(i) // from low to high
		if len(layers) == 1 {
			quality = 2
		}
		var m []byte
		m = appendNumber(m, 1, quality)
		m = appendNumber(m, 2, uint64(l.width))
		m = appendNumber(m, 3, uint64(l.height))
		m = appendNumber(m, 4, uint64(l.bitrate))
		b = protowire.AppendBytes(protowire.AppendTag(b, 9, protowire.BytesType), m)
	}
	if len(layers) > 0 {
		top := layers[len(layers)-1]
		b = appendNumber(b, 5, uint64(top.height))
		b = appendNumber(b, 4, uint64(top.width))
	}
	return b
}

func (g *liveKitGuest) propose(ctx context.Context) error {
	sdp, err := offer(ctx, g.publisher)
	if err != nil {
		return err
	}
	return g.send(ctx, requestOffer, description("offer", sdp, 0))
}

func (g *liveKitGuest) accept(ctx context.Context, body []byte) error {
	if err := g.describe(targetSubscriber, webrtc.SDPTypeOffer, text(body, 2)); err != nil {
		return err
	}
	answer, err := g.subscriber.CreateAnswer(nil)
	if err != nil {
		return err
	}
	sdp, err := local(ctx, g.subscriber, answer)
	if err != nil {
		return err
	}
	return g.send(ctx, requestAnswer, description("answer", sdp, number(body, 3)))
}

func (g *liveKitGuest) connection(target uint64) *webrtc.PeerConnection {
	if target == targetSubscriber {
		return g.subscriber
	}
	return g.publisher
}

func (g *liveKitGuest) describe(target uint64, t webrtc.SDPType, sdp string) error {
	pc := g.connection(target)
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: t, SDP: sdp}); err != nil {
		return err
	}
	for _, c := range g.early[target] {
		if err := pc.AddICECandidate(c); err != nil {
			return err
		}
	}
	g.early[target] = nil
	return nil
}

func (g *liveKitGuest) candidate(body []byte) error {
	var c webrtc.ICECandidateInit
	if err := json.Unmarshal([]byte(text(body, 1)), &c); err != nil {
		return fmt.Errorf("candidate: %w", err)
	}
	target := number(body, 2)
	if target > targetSubscriber {
		return nil
	}
	pc := g.connection(target)
	if pc.RemoteDescription() == nil {
		g.early[target] = append(g.early[target], c)
		return nil
	}
	return pc.AddICECandidate(c)
}

func (g *liveKitGuest) ping(ctx context.Context) {
	tick := time.NewTicker(pingInterval)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			m := protowire.AppendVarint(protowire.AppendTag(nil, requestPing, protowire.VarintType), uint64(now.UnixMilli()))
			if g.write(ctx, m) != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

func (g *liveKitGuest) send(ctx context.Context, kind protowire.Number, body []byte) error {
	return g.write(ctx, protowire.AppendBytes(protowire.AppendTag(nil, kind, protowire.BytesType), body))
}

func (g *liveKitGuest) write(ctx context.Context, message []byte) error {
	g.writing.Lock()
	defer g.writing.Unlock()
	return g.socket.Write(ctx, websocket.MessageBinary, message)
}

func description(kind, sdp string, id uint64) (b []byte) {
	b = appendText(b, 1, kind)
	b = appendText(b, 2, sdp)
	return appendNumber(b, 3, id)
}

func appendText(b []byte, n protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), s)
}

func appendNumber(b []byte, n protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), v)
}

// first returns the only field of a message and its bytes, nil if it is a
// number.
func first(message []byte) (protowire.Number, []byte, error) {
	n, kind, size := protowire.ConsumeTag(message)
	if size < 0 {
		return 0, nil, protowire.ParseError(size)
	}
	if kind != protowire.BytesType {
		return n, nil, nil
	}
	body, size := protowire.ConsumeBytes(message[size:])
	if size < 0 {
		return 0, nil, protowire.ParseError(size)
	}
	return n, body, nil
}

// each calls f for every field of a message until one is malformed.
func each(message []byte, f func(n protowire.Number, bytes []byte, number uint64)) {
	for len(message) > 0 {
		n, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			return
		}
		message = message[size:]
		switch kind {
		case protowire.BytesType:
			b, size := protowire.ConsumeBytes(message)
			if size < 0 {
				return
			}
			f(n, b, 0)
			message = message[size:]
		case protowire.VarintType:
			v, size := protowire.ConsumeVarint(message)
			if size < 0 {
				return
			}
			f(n, nil, v)
			message = message[size:]
		default:
			size := protowire.ConsumeFieldValue(n, kind, message)
			if size < 0 {
				return
			}
			message = message[size:]
		}
	}
}

func text(message []byte, wanted protowire.Number) (s string) {
	each(message, func(n protowire.Number, b []byte, _ uint64) {
		if n == wanted {
			s = string(b)
		}
	})
	return s
}

func number(message []byte, wanted protowire.Number) (v uint64) {
	each(message, func(n protowire.Number, _ []byte, x uint64) {
		if n == wanted {
			v = x
		}
	})
	return v
}
