package attendee

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// keyFrameEvery is how often a key frame of a video is asked for at most.
const keyFrameEvery = 100 * time.Millisecond

// A section is one m=video that receives.
type section struct {
	// Fixed by newSection.
	handler     *Handler
	transceiver *webrtc.RTPTransceiver

	// Touched by the session's loop alone.
	active string // the part of the last answer in which it was active

	// order is held while the handler is told of the section's video, so that
	// nothing comes after its end. mu may be taken under it.
	order sync.Mutex
	// Guarded by order.
	codec  Codec              // of the source's packets so far, 0: there were none
	report *rtcp.SenderReport // the last one

	mu     sync.Mutex // guards what follows
	used   bool
	source Source
	ssrc   webrtc.SSRC
	asked  time.Time // for a key frame
}

// bind gives the section to a source, or lets it rest.
func (s *section) bind(source Source, used bool) {
	s.order.Lock()
	defer s.order.Unlock()
	s.mu.Lock()
	before := s.source
	s.source, s.used = source, used
	s.asked = time.Time{}
	s.mu.Unlock()
	if s.codec != 0 && s.handler.VideoEnded != nil {
		s.handler.VideoEnded(before)
	}
	s.codec, s.report = 0, nil
}

func (s *section) bound() (Source, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.source, s.used
}

// wantsKeyFrame says which SSRC to ask for a key frame of the source.
func (s *section) wantsKeyFrame(source Source, now time.Time) (webrtc.SSRC, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.used || s.source != source || s.ssrc == 0 || now.Sub(s.asked) < keyFrameEvery {
		return 0, false
	}
	s.asked = now
	return s.ssrc, true
}

// answered is the section's part of an answer as the library gets it.
func (s *section) answered(part string) string {
	if direction(part) != "inactive" {
		s.active = part
		return part
	}
	if s.active != "" {
		return s.active
	}
	return part
}

// read takes the section's packets for as long as the connection lasts.
func (s *section) read(track *webrtc.TrackRemote) {
	s.mu.Lock()
	s.ssrc = track.SSRC()
	s.mu.Unlock()
	for {
		packet, _, err := track.ReadRTP()
		if err != nil {
			return
		}
		arrival := time.Now()
		codec := codecOf(packet.PayloadType)
		if len(packet.Payload) == 0 || codec == 0 {
			continue // padding
		}
		s.deliver(packet, codec, arrival)
	}
}

func (s *section) deliver(packet *rtp.Packet, codec Codec, arrival time.Time) {
	s.order.Lock()
	defer s.order.Unlock()
	source, used := s.bound()
	if !used {
		return
	}
	if codec != s.codec {
		s.codec = codec
		if s.handler.VideoStarted != nil {
			s.handler.VideoStarted(source, codec)
		}
		if s.report != nil { // it has overtaken the first packet
			s.tell(source)
		}
	}
	if s.handler.VideoRTP != nil {
		s.handler.VideoRTP(source, packet, arrival)
	}
}

// readReports takes the sender reports of the section.
func (s *section) readReports(receiver *webrtc.RTPReceiver) { eachReport(receiver, s.reported) }

func (s *section) reported(r *rtcp.SenderReport) {
	s.order.Lock()
	defer s.order.Unlock()
	source, used := s.bound()
	if !used {
		return
	}
	s.report = r
	if s.codec != 0 {
		s.tell(source)
	}
}

// tell passes the last report on.
func (s *section) tell(source Source) {
	if s.handler.VideoReport != nil {
		s.handler.VideoReport(source, fromNTP(s.report.NTPTime), s.report.RTPTime)
	}
}

// eachReport calls f for every sender report until the receiver ends.
func eachReport(receiver *webrtc.RTPReceiver, f func(*rtcp.SenderReport)) {
	for {
		packets, _, err := receiver.ReadRTCP()
		if err != nil {
			return
		}
		for _, p := range packets {
			if r, ok := p.(*rtcp.SenderReport); ok {
				f(r)
			}
		}
	}
}

// assign brings the sections in line with the videos wanted.
func (p *peer) assign(want []Source) error {
	missing := make(map[Source]bool, len(want))
	for _, w := range want {
		missing[w] = true
	}
	var resting []*section
	for _, s := range p.sections {
		source, used := s.bound()
		switch {
		case used && missing[source]:
			delete(missing, source)
		case used: // it rests for one offer, so that its last packets are nobody else's
			s.bind(Source{}, false)
		default:
			resting = append(resting, s)
		}
	}
	for _, w := range want { // in their order
		if !missing[w] {
			continue
		}
		if len(resting) == 0 {
			s, err := p.addSection()
			if err != nil {
				return err
			}
			resting = append(resting, s)
		}
		resting[0].bind(w, true)
		resting = resting[1:]
	}
	return nil
}

func (p *peer) addSection() (*section, error) {
	t, err := p.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{
		Direction: webrtc.RTPTransceiverDirectionRecvonly,
	})
	if err != nil {
		return nil, fmt.Errorf("add video section: %w", err)
	}
	s := &section{handler: &p.client.handler, transceiver: t}
	p.mu.Lock()
	p.sections = append(p.sections, s)
	p.mu.Unlock()
	return s, nil
}

func (p *peer) sectionOf(mid string) *section {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.sections {
		if s.transceiver.Mid() == mid {
			return s
		}
	}
	return nil
}

// streamOn is the stream wanted on a section.
func (p *peer) streamOn(mid string) (stream uint32, active bool) {
	s := p.sectionOf(mid)
	if s == nil {
		return 0, false
	}
	source, used := s.bound()
	return source.StreamID, used
}

// has says whether the sections are in line with the videos wanted already.
func (p *peer) has(want []Source) bool {
	n := 0
	for _, s := range p.sections {
		source, used := s.bound()
		if !used {
			continue
		}
		n++
		found := false
		for _, w := range want {
			found = found || w == source
		}
		if !found {
			return false
		}
	}
	return n == len(want)
}

// onTrack begins to read what a section receives, called by the library.
func (p *peer) onTrack(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	if track.Kind() == webrtc.RTPCodecTypeAudio {
		p.start(func() { p.readAudio(track) })
		p.start(func() { p.readAudioReports(receiver) })
		return
	}
	mid, ok := strings.CutPrefix(track.StreamID(), "v_")
	s := p.sectionOf(mid)
	if !ok || s == nil {
		p.client.log.Debug("video on no known section", "stream id", track.StreamID())
		return
	}
	p.start(func() { s.read(track) })
	p.start(func() { s.readReports(receiver) })
}

func (p *peer) readAudio(track *webrtc.TrackRemote) {
	for {
		packet, _, err := track.ReadRTP()
		if err != nil {
			return
		}
		if h := p.client.handler.AudioRTP; h != nil && len(packet.Payload) > 0 {
			h(packet, time.Now())
		}
	}
}

func (p *peer) readAudioReports(receiver *webrtc.RTPReceiver) {
	eachReport(receiver, func(r *rtcp.SenderReport) {
		if h := p.client.handler.AudioReport; h != nil {
			h(fromNTP(r.NTPTime), r.RTPTime)
		}
	})
}

// requestKeyFrame asks for one, unless that was done just now.
func (p *peer) requestKeyFrame(source Source) {
	p.mu.Lock()
	sections := p.sections
	p.mu.Unlock()
	for _, s := range sections {
		if ssrc, ok := s.wantsKeyFrame(source, time.Now()); ok {
			// A failed write means a connection that is lost, which shows.
			_ = p.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(ssrc)}})
		}
	}
}
