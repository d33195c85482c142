package rtc

import (
	"context"
	"slices"

	"belfry.live/belfry/internal/meeting/sfu"
	"github.com/pion/interceptor/pkg/twcc"
)

// A payloadKind says what packets of a payload type are.
type payloadKind uint8

const (
	notAgreed payloadKind = iota
	audioRTP
	audioRED
	videoRTP
	videoRTX
)

type payloadType struct {
	kind   payloadKind
	format sfu.Format // of video, also of what RTX carries
}

// A plan is what the last offer and answer have agreed on. The packet path
// reads it without a lock, so it is never changed.
type plan struct {
	types [128]payloadType
	opus  uint8 // payload type

	// Ids of header extensions, 0: none.
	audioLevel       uint8
	twcc             uint8 // of what the client sends
	twccSend         uint8 // of what it receives
	mid              uint8 // of the camera's, as the next two
	rid, repairedRID uint8
	descriptor       uint8 // of the dependency descriptor

	camera      bool
	cameraMID   string
	layers      []string          // ids of the camera's encodings, nil: no simulcast
	audioSSRC   uint32            // as declared, 0: not
	cameraSSRC  uint32            // the same
	repairs     map[uint32]uint32 // RTX SSRC -> media SSRC, as declared
	subscribers map[uint32]*sfu.Subscriber
}

// A receive is a section that the client receives on, for as long as its mid
// lives.
type receive struct {
	ssrc, rtx  uint32
	types      []sfu.PayloadType
	descriptor uint8 // id of the dependency descriptor, 0: not agreed
	subscriber *sfu.Subscriber
	target     sfu.Target
}

// Negotiate answers an offer. If it fails nothing has changed, and the error
// is an ErrOffer if the client is to blame.
func (p *Peer) Negotiate(ctx context.Context, o Offer) (Answer, error) {
	p.negotiating.Lock()
	defer p.negotiating.Unlock()
	if p.over {
		return Answer{}, ErrClosed
	}
	parsed, err := parseOffer(o.SDP)
	if err != nil {
		return Answer{}, err
	}
	first := p.client.ufrag == ""
	switch c := parsed.credentials; {
	case first:
		if p.writer.candidates, err = p.t.port.Candidates(); err != nil {
			return Answer{}, err
		}
	case c.ufrag != p.client.ufrag || c.pwd != p.client.pwd:
		return Answer{}, offerError("ICE restart")
	case c.print != p.client.print:
		return Answer{}, offerError("another certificate")
	}

	n := negotiation{peer: p, offer: parsed, plan: new(plan), receives: make(map[string]*receive)}
	if err := n.decide(o); err != nil {
		return Answer{}, err
	}
	if first {
		if err := p.start(parsed.credentials); err != nil {
			return Answer{}, err
		}
		p.client = parsed.credentials
	}
	n.apply()
	return Answer{SDP: p.writer.write(parsed, n.sections), Tracks: n.tracks, Encodings: n.plan.layers}, nil
}

// A negotiation is one offer being answered.
type negotiation struct {
	peer  *Peer
	offer *offer

	// What is decided.
	sections  []answerSection
	tracks    []Track
	plan      *plan
	audioType uint32 // for the mix, or noType
	audioRED  uint32 // for the mix with redundancy, or noType
	stereo    bool   // the client wants the mix in stereo
	decodes   []sfu.Format
	receives  map[string]*receive
}

// decide goes through the sections; it changes nothing outside.
func (n *negotiation) decide(o Offer) error {
	n.audioType, n.audioRED = noType, noType
	n.plan.subscribers = make(map[uint32]*sfu.Subscriber)
	audio, videos := false, 0
	for i := range n.offer.sections {
		m := &n.offer.sections[i]
		s := answerSection{offered: m, rejected: true}
		switch {
		case m.kind == "audio" && !audio && !m.stopped(n.offer.bundle):
			audio = true
			v := chooseAudio(m)
			if s.formats = v.formats; len(s.formats) == 0 {
				return offerError("no Opus in section %q", m.mid)
			}
			n.decideAudio(&s, v)
		case m.kind == "video":
			index := videos
			videos++
			if m.stopped(n.offer.bundle) {
				break
			}
			kind := receiveSection
			if index == 0 {
				kind = cameraSection
			}
			if s.formats = chooseVideo(m, kind); len(s.formats) == 0 {
				break
			}
			if index == 0 {
				n.decideCamera(&s, o.Publish)
				break
			}
			var want Receive
			if index < len(o.Receive) {
				want = o.Receive[index]
			}
			n.decideReceive(&s, index, want)
		}
		n.sections = append(n.sections, s)
	}
	return nil
}

func (n *negotiation) decideAudio(s *answerSection, v voice) {
	m := s.offered
	s.rejected = false
	s.extensions = chooseExtensions(m, audioSection)
	s.direction = reverse(m.direction)
	if m.direction.receives() {
		s.msid, s.ssrc = "audio audio", n.peer.out.audioSSRC
		n.audioType = uint32(v.opus)
		if v.red != 0 {
			n.audioRED = uint32(v.red)
		}
		n.stereo = v.stereo
		n.plan.twccSend = extensionID(s.extensions, uriTWCC)
	}
	if m.direction.sends() {
		n.plan.types[v.opus] = payloadType{kind: audioRTP}
		if v.red != 0 {
			n.plan.types[v.red] = payloadType{kind: audioRED}
		}
		n.plan.opus = v.opus
		n.plan.audioLevel = extensionID(s.extensions, uriAudioLevel)
		n.plan.twcc = extensionID(s.extensions, uriTWCC)
		if len(m.ssrcs) > 0 {
			n.plan.audioSSRC = m.ssrcs[0]
		}
	}
}

// decideCamera answers the first video section. An answer of sendrecv, though
// nothing is sent, lets the client's choice of codec count. Simulcast is taken
// even while the camera is off: browsers take an answer without it for good.
func (n *negotiation) decideCamera(s *answerSection, publish bool) {
	m := s.offered
	s.rejected = false
	for _, f := range chooseVideo(m, receiveSection) {
		n.decode(f.video)
	}
	s.extensions = chooseExtensions(m, cameraSection)
	n.plan.cameraMID = m.mid
	n.plan.mid = extensionID(s.extensions, uriMID)
	n.plan.rid = extensionID(s.extensions, uriRID)
	n.plan.repairedRID = extensionID(s.extensions, uriRepairedRID)
	if n.plan.rid != 0 {
		s.layers = m.simulcast.layers()
		n.plan.layers = s.layers
	}
	s.direction = inactive
	if !publish || !m.direction.sends() {
		return
	}
	s.direction = reverse(m.direction)
	n.plan.camera = true
	if id := extensionID(s.extensions, uriTWCC); id != 0 {
		n.plan.twcc = id
	}
	n.plan.descriptor = extensionID(s.extensions, uriDescriptor)
	for _, f := range s.formats {
		n.plan.types[f.typ] = payloadType{kind: videoRTP, format: f.video}
		if f.rtx != 0 {
			n.plan.types[f.rtx] = payloadType{kind: videoRTX, format: f.video}
		}
	}
	n.plan.repairs = m.repairs
	if len(m.ssrcs) > 0 {
		n.plan.cameraSSRC = m.ssrcs[0]
	}
}

func (n *negotiation) decideReceive(s *answerSection, index int, want Receive) {
	m := s.offered
	s.rejected = false
	s.extensions = chooseExtensions(m, receiveSection)
	s.direction = inactive
	types := make([]sfu.PayloadType, len(s.formats))
	for i, f := range s.formats {
		types[i] = sfu.PayloadType{Format: f.video, Type: f.typ, RTX: f.rtx}
		n.decode(f.video)
	}
	active := want.Target.Publisher != nil && m.direction.receives()
	before := n.peer.receives[m.mid]
	if before == nil && !active {
		return
	}
	r := &receive{types: types, descriptor: extensionID(s.extensions, uriDescriptor)}
	if active && !want.Paused {
		r.target = want.Target
	}
	if before != nil && before.descriptor == r.descriptor && sameTypes(before.types, types) {
		r.ssrc, r.rtx, r.subscriber = before.ssrc, before.rtx, before.subscriber
	} else {
		r.ssrc, r.rtx = randomUint32(), randomUint32()
		r.subscriber = sfu.NewSubscriber(sfu.SubscriberConfig{
			Sink:         &n.peer.out,
			SSRC:         r.ssrc,
			RTXSSRC:      r.rtx,
			PayloadTypes: types,

			DependencyDescriptor: r.descriptor,
		})
	}
	n.receives[m.mid] = r
	if !active {
		return
	}
	s.direction = sendOnly
	s.msid = "v_" + m.mid + " t_" + m.mid
	s.ssrc = r.ssrc
	if slices.ContainsFunc(types, func(t sfu.PayloadType) bool { return t.RTX != 0 }) {
		s.rtx = r.rtx
	}
	if id := extensionID(s.extensions, uriTWCC); id != 0 {
		n.plan.twccSend = id
	}
	n.plan.subscribers[r.ssrc] = r.subscriber
	n.tracks = append(n.tracks, Track{MID: m.mid, SSRC: r.ssrc, Section: index})
}

// sameTypes reports whether two offers name the same formats, in any order:
// the client's preference says nothing about what arrives.
func sameTypes(a, b []sfu.PayloadType) bool {
	if len(a) != len(b) {
		return false
	}
	for _, t := range a {
		if !slices.Contains(b, t) {
			return false
		}
	}
	return true
}

// decode keeps that the client offers to receive a format.
func (n *negotiation) decode(f sfu.Format) {
	if !slices.Contains(n.decodes, f) {
		n.decodes = append(n.decodes, f)
	}
}

// apply makes the plan the peer's.
func (n *negotiation) apply() {
	p := n.peer
	if n.plan.twcc != 0 {
		p.in.mu.Lock()
		if p.in.twcc == nil {
			p.in.twcc = twcc.NewRecorder(p.out.audioSSRC)
		}
		p.in.mu.Unlock()
	}
	p.plan.Store(n.plan)
	p.out.audioType.Store(n.audioType)
	p.out.redundancy.payloadType.Store(n.audioRED)
	p.stereo.Store(n.stereo)
	p.decodes.Store(&n.decodes)
	p.band.agree(n.plan.twccSend)
	p.video.agree(n.plan.camera, n.plan.layers, n.plan.descriptor)
	for mid, old := range p.receives {
		if r := n.receives[mid]; r == nil || r.subscriber != old.subscriber {
			old.subscriber.Close()
		}
	}
	p.receives = n.receives
	if !p.connected {
		return // attach will
	}
	for _, r := range p.receives {
		r.subscriber.SetTarget(r.target)
	}
}

// SetTarget changes what is sent on the section with a mid, without an offer.
// It is false if there is no such section, or it is not active.
func (p *Peer) SetTarget(mid string, t sfu.Target) bool {
	p.negotiating.Lock()
	defer p.negotiating.Unlock()
	r := p.receives[mid]
	if r == nil || p.over || p.plan.Load().subscribers[r.ssrc] == nil {
		return false
	}
	r.target = t
	if p.connected {
		r.subscriber.SetTarget(t)
	}
	return true
}

// Decodes returns the video formats of the client's last offer. Those of its
// camera's section are among them: one that receives nothing yet has no other.
// The slice must not be changed.
func (p *Peer) Decodes() []sfu.Format {
	if list := p.decodes.Load(); list != nil {
		return *list
	}
	return nil
}

// Stereo reports whether the client wants the mix in stereo.
func (p *Peer) Stereo() bool { return p.stereo.Load() }

func extensionID(list []extension, uri string) uint8 {
	for _, e := range list {
		if e.uri == uri {
			return uint8(e.id)
		}
	}
	return 0
}

// reverse returns what the answerer does when the offerer does d.
func reverse(d direction) direction {
	switch d {
	case sendOnly:
		return recvOnly
	case recvOnly:
		return sendOnly
	}
	return d
}
