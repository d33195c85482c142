package attendee

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
)

const (
	// nackInterval is how often what is missing is asked for, nackTries how
	// often each packet.
	nackInterval = 30 * time.Millisecond
	nackTries    = 10

	// When ICE takes a silent connection for broken, then for gone.
	iceDisconnected = 5 * time.Second
	iceFailed       = 10 * time.Second
	iceKeepAlive    = 2 * time.Second
)

var opusCapability = webrtc.RTPCodecCapability{
	MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1",
}

var vp8Capability = webrtc.RTPCodecCapability{
	MimeType: webrtc.MimeTypeVP8, ClockRate: 90000, RTCPFeedback: videoFeedback,
}

var h264Capability = h264Profile("42e01f")

var videoFeedback = []webrtc.RTCPFeedback{{Type: "ccm", Parameter: "fir"}, {Type: "nack"}, {Type: "nack", Parameter: "pli"}}

func h264Profile(id string) webrtc.RTPCodecCapability {
	return webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeH264, ClockRate: 90000, RTCPFeedback: videoFeedback,
		SDPFmtpLine: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=" + id,
	}
}

// payloadTypes are what is offered: all profiles of H.264 that browsers send.
var payloadTypes = []struct {
	number     webrtc.PayloadType
	codec      Codec
	capability webrtc.RTPCodecCapability
}{
	{111, Opus, opusCapability},
	{96, VP8, vp8Capability},
	{102, H264, h264Capability},
	{104, H264, h264Profile("42001f")},
	{106, H264, h264Profile("4d001f")},
	{108, H264, h264Profile("64001f")},
	{110, H264, h264Profile("640c1f")},
}

// codecOf is the codec of a payload type, 0 if it was not offered.
func codecOf(number uint8) Codec {
	for _, p := range payloadTypes {
		if uint8(p.number) == number {
			return p.codec
		}
	}
	return 0
}

// A peer is the WebRTC side of a session: one audio section, one of the own
// camera, and one for each video that is received. A section whose video has
// ended rests and takes the next one.
//
// The library makes a section anew when it rests. To keep each as it is from
// the first time to the last, it sees none rest: only the offers that go out
// say so, and the answers that come in have it taken back.
type peer struct {
	// Fixed by newPeer.
	client *Client
	pc     *webrtc.PeerConnection
	mic    *webrtc.RTPTransceiver
	camera *webrtc.RTPTransceiver

	// Touched by the session's loop alone.
	filming Codec // as offered last, 0: off
	loaded  Codec // of the camera's track

	mu       sync.Mutex // guards what follows
	closed   bool
	sections []*section // in the order of the SDP
	readers  sync.WaitGroup
}

func newPeer(c *Client, servers []webrtc.ICEServer, state func(webrtc.PeerConnectionState)) (*peer, error) {
	media := new(webrtc.MediaEngine)
	for _, p := range payloadTypes {
		kind := webrtc.RTPCodecTypeVideo
		if p.codec == Opus {
			kind = webrtc.RTPCodecTypeAudio
		}
		codec := webrtc.RTPCodecParameters{RTPCodecCapability: p.capability, PayloadType: p.number}
		if err := media.RegisterCodec(codec, kind); err != nil {
			return nil, fmt.Errorf("register %v: %w", p.codec, err)
		}
	}
	logs := peerLog{log: c.log}
	chain := new(interceptor.Registry)
	responder, err := nack.NewResponderInterceptor(nack.WithResponderLoggerFactory(logs))
	if err != nil {
		return nil, fmt.Errorf("answer NACKs: %w", err)
	}
	generator, err := nack.NewGeneratorInterceptor(nack.WithGeneratorLoggerFactory(logs),
		nack.GeneratorInterval(nackInterval), nack.GeneratorMaxNacksPerPacket(nackTries))
	if err != nil {
		return nil, fmt.Errorf("send NACKs: %w", err)
	}
	receiver, err := report.NewReceiverInterceptor(report.WithReceiverLoggerFactory(logs))
	if err != nil {
		return nil, fmt.Errorf("send receiver reports: %w", err)
	}
	chain.Add(responder)
	chain.Add(generator)
	chain.Add(receiver)

	settings := webrtc.SettingEngine{LoggerFactory: logs}
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6})
	if c.net != nil {
		settings.SetNet(c.net)
	}
	settings.SetICETimeouts(iceDisconnected, iceFailed, iceKeepAlive)

	cfg := webrtc.Configuration{ICEServers: servers, BundlePolicy: webrtc.BundlePolicyMaxBundle}
	if len(servers) > 0 {
		cfg.ICETransportPolicy = webrtc.ICETransportPolicyRelay
	}
	api := webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(chain), webrtc.WithSettingEngine(settings))
	pc, err := api.NewPeerConnection(cfg)
	if err != nil {
		return nil, fmt.Errorf("make peer connection: %w", err)
	}
	p := &peer{client: c, pc: pc}
	pc.OnTrack(p.onTrack)
	pc.OnConnectionStateChange(state)
	if err := p.addSenders(); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *peer) addSenders() error {
	audio, err := webrtc.NewTrackLocalStaticRTP(opusCapability, "audio", "attendee")
	if err != nil {
		return fmt.Errorf("make audio track: %w", err)
	}
	if p.mic, err = p.pc.AddTransceiverFromTrack(audio); err != nil {
		return fmt.Errorf("add audio: %w", err)
	}
	video, err := webrtc.NewTrackLocalStaticRTP(vp8Capability, "video", "attendee")
	if err != nil {
		return fmt.Errorf("make video track: %w", err)
	}
	p.loaded = VP8
	if p.camera, err = p.pc.AddTransceiverFromTrack(video); err != nil {
		return fmt.Errorf("add camera: %w", err)
	}
	for _, t := range []*webrtc.RTPTransceiver{p.mic, p.camera} {
		p.start(func() { p.readFeedback(t.Sender()) })
	}
	return nil
}

// start runs f in a goroutine that close waits for.
func (p *peer) start(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.readers.Go(f)
	}
}

// readFeedback takes what the server says of the media sent; NACKs are
// answered on the way.
func (p *peer) readFeedback(s *webrtc.RTPSender) {
	for {
		packets, _, err := s.ReadRTCP()
		if err != nil {
			return
		}
		for _, packet := range packets {
			switch packet.(type) {
			case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
				if p.client.handler.KeyFrameWanted != nil {
					p.client.handler.KeyFrameWanted()
				}
			}
		}
	}
}

// cameraLoad puts a track of the codec behind the camera section.
func (p *peer) cameraLoad(c Codec) error {
	if c == p.loaded {
		return nil
	}
	capability := vp8Capability
	if c == H264 {
		capability = h264Capability
	}
	track, err := webrtc.NewTrackLocalStaticRTP(capability, "video", "attendee")
	if err != nil {
		return fmt.Errorf("make video track: %w", err)
	}
	if err := p.camera.Sender().ReplaceTrack(track); err != nil {
		return fmt.Errorf("change the camera's codec: %w", err)
	}
	p.loaded = c
	return nil
}

// connect lets the client's audio flow.
func (p *peer) connect() {
	p.attach(p.client.audio, p.mic, Opus)
}

func (p *peer) attach(o *outgoing, t *webrtc.RTPTransceiver, codec Codec) {
	if track, ok := t.Sender().Track().(*webrtc.TrackLocalStaticRTP); ok {
		o.attach(track, uint32(t.Sender().GetParameters().Encodings[0].SSRC), codec)
	}
}

// offer makes an offer with the videos wanted, each on the section that has
// it or a resting one, and the camera as wanted. Its streams are one for each
// m=video, in the order of the SDP.
func (p *peer) offer(ctx context.Context, want []Source, filming Codec) (sdp string, streams []uint32, err error) {
	if err := p.assign(want); err != nil {
		return "", nil, err
	}
	if filming != 0 {
		if err := p.cameraLoad(filming); err != nil {
			return "", nil, err
		}
	}
	p.filming = filming
	description, err := p.pc.CreateOffer(nil)
	if err != nil {
		return "", nil, fmt.Errorf("make offer: %w", err)
	}
	gathered := webrtc.GatheringCompletePromise(p.pc)
	if err := p.pc.SetLocalDescription(description); err != nil {
		return "", nil, fmt.Errorf("set offer: %w", err)
	}
	select {
	case <-gathered:
	case <-ctx.Done():
		return "", nil, context.Cause(ctx)
	}
	session, parts := splitSDP(p.pc.LocalDescription().SDP)
	for i, part := range parts {
		if !strings.HasPrefix(part, "m=video") {
			continue
		}
		stream, active := uint32(0), p.filming != 0
		if mid := sectionMID(part); mid != p.camera.Mid() {
			stream, active = p.streamOn(mid)
		}
		streams = append(streams, stream)
		if !active {
			parts[i] = withDirection(part, "inactive")
		}
	}
	return session + strings.Join(parts, ""), streams, nil
}

// answer takes the server's answer to the last offer.
func (p *peer) answer(sdp string) error {
	session, parts := splitSDP(sdp)
	for i, part := range parts {
		mid := sectionMID(part)
		if mid == p.camera.Mid() {
			if direction(part) == "inactive" {
				parts[i] = withDirection(part, "recvonly")
			}
			continue
		}
		if s := p.sectionOf(mid); s != nil {
			parts[i] = s.answered(part)
		}
	}
	err := p.pc.SetRemoteDescription(webrtc.SessionDescription{
		Type: webrtc.SDPTypeAnswer, SDP: session + strings.Join(parts, ""),
	})
	if err != nil {
		return fmt.Errorf("set answer: %w", err)
	}
	if p.filming != 0 {
		p.attach(p.client.camera, p.camera, p.filming)
		if p.client.handler.KeyFrameWanted != nil {
			p.client.handler.KeyFrameWanted()
		}
	} else {
		p.client.camera.detach()
	}
	return nil
}

// sendReports puts the streams sent on one clock (RFC 3550 section 6.4.1).
func (p *peer) sendReports(now time.Time) error {
	for _, o := range []*outgoing{p.client.audio, p.client.camera} {
		r := o.report(now)
		if r == nil {
			continue
		}
		names := rtcp.NewCNAMESourceDescription(r.SSRC, p.client.cfg.AttendeeID)
		if err := p.pc.WriteRTCP([]rtcp.Packet{r, names}); err != nil {
			return fmt.Errorf("send sender report: %w", err)
		}
	}
	return nil
}

// close ends all media; the videos have ended when it returns.
func (p *peer) close() {
	p.client.audio.detach()
	p.client.camera.detach()
	p.mu.Lock()
	p.closed = true
	sections := p.sections
	p.mu.Unlock()
	for _, s := range sections {
		s.bind(Source{}, false)
	}
	if err := p.pc.GracefulClose(); err != nil {
		p.client.log.Debug("close peer connection", "err", err)
	}
	p.readers.Wait()
}
