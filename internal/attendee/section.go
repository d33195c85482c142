package attendee

import (
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// keyFrameEvery is how often a key frame of a video is asked for at most.
const keyFrameEvery = 100 * time.Millisecond

// A section is one m=video that receives.
type section struct {
	// Fixed by addSection.
	handler *Handler
	mid     string

	// order is held while the handler is told of the section's video, so that
	// nothing comes after its end. mu may be taken under it.
	order sync.Mutex
	// Guarded by order.
	codec  Codec              // of the source's packets so far, 0: there were none
	report *rtcp.SenderReport // the last one

	mu     sync.Mutex // guards what follows
	used   bool
	source Source
	stream uint32 // the layer asked for
	ssrc   uint32
	asked  time.Time // for a key frame
}

// bind gives the section to a source, or lets it rest.
func (s *section) bind(source Source, used bool) {
	s.order.Lock()
	defer s.order.Unlock()
	s.mu.Lock()
	before := s.source
	s.source, s.used, s.stream = source, used, source.StreamID
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

// wants gives the stream to be shown.
func (s *section) wants() (stream uint32, used bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stream, s.used
}

// setStream notes another layer, and says whether it is one.
func (s *section) setStream(stream uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := s.stream != stream
	s.stream = stream
	return changed
}

func (s *section) setSSRC(ssrc uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ssrc = ssrc
}

// wantsKeyFrame says which SSRC to ask for a key frame of the source.
func (s *section) wantsKeyFrame(source Source, now time.Time) (ssrc uint32, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.used || s.source != source || s.ssrc == 0 || now.Sub(s.asked) < keyFrameEvery {
		return 0, false
	}
	s.asked = now
	return s.ssrc, true
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

// assign brings the sections in line with the videos wanted.
func (p *peer) assign(want []Source) {
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
			resting = append(resting, p.addSection())
		}
		resting[0].bind(w, true)
		resting = resting[1:]
	}
}

func (p *peer) addSection() *section {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &section{handler: &p.client.handler, mid: midOf(len(p.sections))}
	p.sections = append(p.sections, s)
	return s
}

func (p *peer) sectionOf(mid string) *section {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.sections {
		if s.mid == mid {
			return s
		}
	}
	return nil
}

// showing is the section that has a source of the group.
func (p *peer) showing(group uint32) *section {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.sections {
		if source, used := s.bound(); used && source.GroupID == group {
			return s
		}
	}
	return nil
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
