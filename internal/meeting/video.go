package meeting

import (
	"time"

	"google.golang.org/protobuf/proto"

	"belfry.live/belfry/internal/meeting/rtc"
	"belfry.live/belfry/internal/meeting/signal"
	"belfry.live/belfry/internal/wire/chime"
)

// statusViewOnly takes the client's own camera away and changes nothing else.
const statusViewOnly = 206

// subscribe follows what an offer says of s itself, and finds what it asks
// for: one view for every active section. The SDP answer is still missing in
// the result.
func (r *room) subscribe(s *seat, f *chime.SubscribeFrame) (rtc.Offer, signal.Answer, []*view) {
	answer := signal.Answer{Ack: &chime.SubscribeAckFrame{Duplex: f.GetDuplex().Enum()}}
	offer := rtc.Offer{SDP: f.GetSdpOffer()}
	r.setMuted(s, f.GetAudioMuted())

	var videos []*chime.StreamDescriptor
	for _, d := range f.GetSendStreams() {
		if d.GetMediaType() == chime.StreamMediaType_VIDEO {
			videos = append(videos, d)
		}
	}
	wants := f.GetDuplex() != chime.StreamServiceType_RX && len(videos) > 0
	switch {
	case !wants:
		r.cameraOff(s)
	case !r.mayPublish(s):
		answer.Status = s.noVideo()
	default:
		offer.Publish = true
		r.switchOn(s, videos)
	}
	answer.Ack.Allocations = s.allocations(videos)

	for _, c := range f.GetVideoSubscriptionConfiguration() {
		s.watching.configure(c)
	}
	views := r.viewsOf(s, f.GetReceiveStreamIds(), time.Now())
	for _, v := range views {
		offer.Receive = append(offer.Receive, v.receive())
	}
	return offer, answer, views
}

// allocations names the streams that a client sends, in its order.
func (s *seat) allocations(videos []*chime.StreamDescriptor) []*chime.StreamAllocation {
	var list []*chime.StreamAllocation
	for i, d := range videos {
		a := &chime.StreamAllocation{TrackLabel: proto.String(d.GetTrackLabel()), StreamId: proto.Uint32(1), GroupId: proto.Uint32(1)}
		if s.camera != nil {
			st := s.camera.streams[min(i, len(s.camera.streams)-1)]
			a.StreamId, a.GroupId = proto.Uint32(st.id), proto.Uint32(s.camera.group)
		}
		list = append(list, a)
	}
	return list
}
