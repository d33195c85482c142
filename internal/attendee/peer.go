package attendee

import (
	"context"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"belfry.live/belfry/internal/attendee/link"
	"belfry.live/belfry/internal/wire/red"
)

const (
	// feedbackInterval is how often the arrival of packets is reported.
	feedbackInterval = 100 * time.Millisecond

	// maxEarly is how many packets are kept that come before the answer that
	// says what they are.
	maxEarly = 256
)

// A peer is the media side of a session: one audio section, one of the own
// camera, and one for each video that is received. A section whose video has
// ended rests and takes the next one.
type peer struct {
	// Fixed by newPeer.
	client *Client
	link   *link.Link
	id     uint64 // of the session, in SDP

	transportSequence atomic.Uint32 // of packets sent

	// Touched by the session's loop alone.
	filming *filming // as offered last, nil: off
	offers  uint64
	begun   bool // an answer has come

	running sync.WaitGroup // the link
	stop    context.CancelFunc

	mu       sync.Mutex // guards what follows
	sections []*section // in the order of the SDP

	receiving sync.Mutex // guards what follows; mu and a section's locks may be taken under it
	streams   map[uint32]*incoming
	repairs   map[uint32]*incoming // by the SSRC of retransmissions
	early     []earlyPacket        // in their order
	transport byte                 // id of the transport sequence extension, 0: none
	arrivals  *twcc.Recorder
	heard     bool        // packets that no feedback told of
	feedback  time.Time   // when it went out last
	asking    []uint16    // scratch
	blocks    []red.Block // scratch
}

// An earlyPacket came before it was said what it is.
type earlyPacket struct {
	packet rtp.Packet
	at     time.Time
}

func newPeer(ctx context.Context, c *Client, relays []link.Relay) (*peer, error) {
	l, err := link.New(ctx, link.Config{
		Relays: relays, Protocols: c.cfg.Protocols, Net: c.cfg.Net, TLS: c.cfg.TLS, Log: c.log,
	})
	if err != nil {
		return nil, err
	}
	return &peer{
		client: c, link: l, id: rand.Uint64() >> 2,
		streams: make(map[uint32]*incoming), repairs: make(map[uint32]*incoming),
		arrivals: twcc.NewRecorder(c.audio.ssrc),
	}, nil
}

// offer makes an offer with the videos wanted, each on the section that has
// it or a resting one, and the camera as wanted. Its streams are one for each
// m=video, in the order of the SDP.
func (p *peer) offer(want []Source, camera *filming) (sdp string, streams []uint32) {
	p.assign(want)
	p.filming = camera
	p.offers++
	o := &offer{
		session: p.id, version: p.offers, local: p.link.Local(),
		codecs: p.client.cfg.Codecs, stereo: p.client.cfg.Stereo, red: p.client.cfg.RED,
		audio: p.client.audio, camera: camera, layers: p.client.camera[:],
	}
	streams = []uint32{0}
	for _, s := range p.sections {
		stream, active := s.wants()
		o.videos = append(o.videos, offeredVideo{mid: s.mid, active: active})
		streams = append(streams, stream)
	}
	return o.write(), streams
}

// answer takes the server's answer to the last offer. After the first one the
// link runs, and told hears when media can flow (nil) and why it has ended.
func (p *peer) answer(sdp string, told func(error)) error {
	a, err := parseAnswer(sdp)
	if err != nil {
		return err
	}
	p.receive(a)
	if !p.begun {
		p.begun = true
		ctx, cancel := context.WithCancel(context.Background())
		p.stop = cancel
		p.running.Go(func() {
			h := link.Handler{Up: func() { told(nil) }, RTP: p.tookRTP, RTCP: p.tookRTCP}
			if err := p.link.Run(ctx, a.remote, h); err != nil {
				told(err)
			}
		})
	}
	p.send(a)
	return nil
}

// send lets what was agreed flow out. Before the link is up there is nobody to
// take it.
func (p *peer) send(a *answer) {
	var camera *answeredSection
	for i := range a.sections {
		s := &a.sections[i]
		switch {
		case s.kind == "audio" && s.takes() && slices.Contains(s.types, typeOpus):
			to := &sending{peer: p, codec: Opus, number: typeOpus, exts: s.exts, mid: midAudio}
			if slices.Contains(s.types, typeRED) {
				to.red = typeRED
			}
			p.client.audio.attach(to)
		case s.mid == midCamera && s.takes():
			camera = s
		}
	}
	if p.filming == nil || camera == nil || camera.numberOf(p.filming.codec) == 0 {
		for _, o := range p.client.camera {
			o.detach()
		}
		return
	}
	number := camera.numberOf(p.filming.codec)
	for i, o := range p.client.camera {
		if i >= len(p.filming.layers) || i > 0 && !slices.Contains(camera.rids, p.filming.layers[i].RID) {
			o.detach()
			continue
		}
		rid := p.filming.layers[i].RID
		if !slices.Contains(camera.rids, rid) {
			rid = "" // the server takes one stream only
		}
		o.attach(&sending{
			peer: p, codec: p.filming.codec, number: number, repair: camera.rtx[number],
			exts: camera.exts, mid: midCamera, rid: rid,
		})
		p.client.keyFrameWanted(i)
	}
}

// receive learns which streams an answer announces.
func (p *peer) receive(a *answer) {
	p.receiving.Lock()
	defer p.receiving.Unlock()
	for i := range a.sections {
		s := &a.sections[i]
		if id := s.exts[uriTransport]; id != 0 {
			p.transport = id
		}
		if s.ssrc == 0 || !s.sends() || s.mid == midCamera {
			continue
		}
		in := p.streams[s.ssrc]
		if in == nil {
			in = &incoming{ssrc: s.ssrc, rate: 48000}
			p.streams[s.ssrc] = in
		}
		if s.kind == "video" {
			in.section, in.asks, in.rate = p.sectionOf(s.mid), true, 90000
			if in.section != nil {
				in.section.setSSRC(s.ssrc)
			}
		}
		if s.repair != 0 {
			p.repairs[s.repair] = in
		}
	}
	early := p.early
	p.early = nil
	for i := range early {
		p.took(&early[i].packet, early[i].at)
	}
}

// tookRTP takes a packet from the link.
func (p *peer) tookRTP(packet *rtp.Packet, now time.Time) {
	p.receiving.Lock()
	defer p.receiving.Unlock()
	if p.transport != 0 {
		if ext := packet.GetExtension(p.transport); len(ext) >= 2 {
			p.arrivals.Record(packet.SSRC, uint16(ext[0])<<8|uint16(ext[1]), now.Sub(clockZero).Microseconds())
			p.heard = true
		}
	}
	p.took(packet, now)
	p.ask(now)
}

func (p *peer) took(packet *rtp.Packet, now time.Time) {
	in := p.streams[packet.SSRC]
	retransmitted := false
	if in == nil {
		if in = p.repairs[packet.SSRC]; in == nil {
			if len(p.early) < maxEarly {
				p.early = append(p.early, earlyPacket{*packet.Clone(), now})
			}
			return
		}
		retransmitted = true
		if len(packet.Payload) < 2 {
			return // padding
		}
		packet.SequenceNumber = uint16(packet.Payload[0])<<8 | uint16(packet.Payload[1])
		packet.Payload = packet.Payload[2:]
		packet.PayloadType--
		packet.SSRC = in.ssrc
	}
	if !in.arrived(packet.SequenceNumber, packet.Timestamp, now, retransmitted) || len(packet.Payload) == 0 {
		return // padding
	}
	if in.section != nil {
		if codec, _ := codecOf(packet.PayloadType); codec != 0 {
			in.section.deliver(packet, codec, now)
		}
		return
	}
	if packet.PayloadType == typeRED {
		packet.Payload = p.primary(packet.Payload)
	}
	if h := p.client.handler.AudioRTP; h != nil && len(packet.Payload) > 0 {
		h(packet, now)
	}
}

// primary is the newest block of redundant audio, nil if there is none.
func (p *peer) primary(b []byte) []byte {
	blocks, err := red.Parse(p.blocks[:0], b)
	if err != nil {
		return nil
	}
	p.blocks = blocks
	return blocks[len(blocks)-1].Payload
}

// ask sends what is due after a packet: for what is missing, and of what has
// arrived.
func (p *peer) ask(now time.Time) {
	for _, in := range p.streams {
		if len(in.missing) == 0 {
			continue
		}
		if p.asking = in.wanted(now, p.asking[:0]); len(p.asking) > 0 {
			p.write(&rtcp.TransportLayerNack{
				SenderSSRC: p.client.audio.ssrc, MediaSSRC: in.ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(p.asking),
			})
		}
	}
	if p.heard && now.Sub(p.feedback) >= feedbackInterval {
		p.heard, p.feedback = false, now
		p.write(p.arrivals.BuildFeedbackPacket()...)
	}
}

// write sends reports. A failed write means a connection that is lost, which
// shows elsewhere.
func (p *peer) write(packets ...rtcp.Packet) {
	if len(packets) == 0 {
		return
	}
	b, err := rtcp.Marshal(packets)
	if err != nil {
		p.client.log.Debug("make report", "err", err)
		return
	}
	_ = p.link.WriteRTCP(b)
}

// tookRTCP takes what the server says of the media, sent and received.
func (p *peer) tookRTCP(compound []byte, now time.Time) {
	packets, err := rtcp.Unmarshal(compound)
	if err != nil {
		return
	}
	for _, packet := range packets {
		switch r := packet.(type) {
		case *rtcp.SenderReport:
			p.reported(r, now)
		case *rtcp.TransportLayerNack:
			if o := p.layerOf(r.MediaSSRC); o != nil {
				for _, pair := range r.Nacks {
					o.resend(pair.PacketList(), now)
				}
			}
		case *rtcp.PictureLossIndication:
			p.keyFrameWanted(r.MediaSSRC)
		case *rtcp.FullIntraRequest:
			for _, f := range r.FIR {
				p.keyFrameWanted(f.SSRC)
			}
		case *rtcp.ReceiverEstimatedMaximumBitrate:
			if h := p.client.handler.UplinkLimit; h != nil {
				h(int(r.Bitrate))
			}
		}
	}
}

func (p *peer) reported(r *rtcp.SenderReport, now time.Time) {
	p.receiving.Lock()
	defer p.receiving.Unlock()
	in := p.streams[r.SSRC]
	if in == nil {
		return
	}
	in.reported(r.NTPTime, now)
	if in.section != nil {
		in.section.reported(r)
	} else if h := p.client.handler.AudioReport; h != nil {
		h(fromNTP(r.NTPTime), r.RTPTime)
	}
}

func (p *peer) layerOf(ssrc uint32) *outgoing {
	for _, o := range p.client.camera {
		if o.ssrc == ssrc {
			return o
		}
	}
	return nil
}

func (p *peer) keyFrameWanted(ssrc uint32) {
	for i, o := range p.client.camera {
		if o.ssrc == ssrc {
			p.client.keyFrameWanted(i)
		}
	}
}

// sendReports puts the streams sent on one clock and tells how those received
// arrive (RFC 3550 section 6.4).
func (p *peer) sendReports(now time.Time) {
	var compound []rtcp.Packet
	for _, o := range append([]*outgoing{p.client.audio}, p.client.camera[:]...) {
		if r := o.report(now); r != nil {
			compound = append(compound, r)
		}
	}
	var list []rtcp.ReceptionReport
	p.receiving.Lock()
	for _, in := range p.streams {
		if in.begun {
			list = append(list, in.reception(now))
		}
	}
	p.receiving.Unlock()
	for part := range slices.Chunk(list, maxReported) {
		compound = append(compound, &rtcp.ReceiverReport{SSRC: p.client.audio.ssrc, Reports: part})
	}
	if len(compound) == 0 {
		return
	}
	names := rtcp.NewCNAMESourceDescription(p.client.audio.ssrc, p.client.cfg.AttendeeID)
	p.write(append(compound, names)...)
}

// close ends all media; the videos have ended when it returns.
func (p *peer) close() {
	p.client.audio.detach()
	for _, o := range p.client.camera {
		o.detach()
	}
	if p.begun {
		p.stop()
		p.running.Wait()
	} else {
		p.link.Close()
	}
	p.mu.Lock()
	sections := p.sections
	p.mu.Unlock()
	for _, s := range sections {
		s.bind(Source{}, false)
	}
}

// midOf is the mid of the n-th section that receives.
func midOf(n int) string { return strconv.Itoa(n + 2) }

// requestKeyFrame asks for one, unless that was done just now.
func (p *peer) requestKeyFrame(source Source) {
	p.mu.Lock()
	sections := p.sections
	p.mu.Unlock()
	for _, s := range sections {
		if ssrc, ok := s.wantsKeyFrame(source, time.Now()); ok {
			p.write(&rtcp.PictureLossIndication{SenderSSRC: p.client.audio.ssrc, MediaSSRC: ssrc})
		}
	}
}
