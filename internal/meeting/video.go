package meeting

import (
	"bytes"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"belfry.live/belfry/internal/meeting/rtc"
	"belfry.live/belfry/internal/meeting/sfu"
	"belfry.live/belfry/internal/meeting/signal"
	"belfry.live/belfry/internal/wire/chime"
)

const (
	// clientBudget is the sum of announced bitrates, in kbit/s, beyond which
	// clients leave sources out.
	clientBudget = 15000
	defaultKbps  = 1500
	minKbps      = 100

	// statusViewOnly takes the client's own camera away and changes nothing
	// else.
	statusViewOnly = 206
)

// subscribe follows what an offer says of s itself, and finds what it asks
// for. The SDP answer is still missing in the result.
func (r *room) subscribe(s *seat, f *chime.SubscribeFrame) (rtc.Offer, signal.Answer) {
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
		answer.Status = statusViewOnly
	default:
		offer.Publish = true
		if s.camera == nil {
			s.camera = &camera{group: r.next(), stream: r.next()}
		}
		s.camera.maxKbps = 0
		for _, d := range videos {
			s.camera.maxKbps = max(s.camera.maxKbps, d.GetMaxBitrateKbps())
		}
	}
	for _, d := range videos {
		a := &chime.StreamAllocation{TrackLabel: proto.String(d.GetTrackLabel()), StreamId: proto.Uint32(1), GroupId: proto.Uint32(1)}
		if s.camera != nil {
			a.StreamId, a.GroupId = &s.camera.stream, &s.camera.group
		}
		answer.Ack.Allocations = append(answer.Ack.Allocations, a)
	}

	for _, id := range f.GetReceiveStreamIds() {
		offer.Receive = append(offer.Receive, rtc.Receive{Target: sfu.Whole(r.source(s, id))})
	}
	return offer, answer
}

// source returns what s may receive under that stream id, nil if there is
// nothing.
func (r *room) source(s *seat, stream uint32) *sfu.Publisher {
	if stream == 0 {
		return nil
	}
	for _, other := range r.seats {
		if s.maySee(other) && other.camera != nil && other.camera.stream == stream {
			return other.camera.source
		}
	}
	return nil
}

func (r *room) cameraOff(s *seat) {
	if s.camera != nil {
		s.camera = nil
		r.indexChanged()
	}
}

// videoStarted announces s's camera: its first packet has come.
func (r *room) videoStarted(s *seat, p *sfu.Publisher) {
	if s.out || s.camera == nil {
		return // switched off since
	}
	if s.camera.source != nil { // a new source is a new group
		s.camera = &camera{group: r.next(), stream: r.next(), maxKbps: s.camera.maxKbps}
	}
	s.camera.source = p
	r.indexChanged()
}

func (r *room) videoStopped(s *seat, p *sfu.Publisher) {
	if s.camera == nil || s.camera.source != p {
		return
	}
	// Whatever comes next is another source.
	s.camera = &camera{group: r.next(), stream: r.next(), maxKbps: s.camera.maxKbps}
	r.indexChanged()
}

// indexChanged has new INDEX frames sent soon.
func (r *room) indexChanged() {
	if !r.indexDue {
		r.indexDue = true
		r.indexWait.Reset(indexDelay)
	}
}

func (r *room) sendIndexes() {
	r.indexDue = false
	for _, s := range r.seats {
		r.sendIndex(s)
	}
}

// sendIndex tells s what it may receive, if that changed. The measured
// bitrates alone are no change: BITRATES tell them.
func (r *room) sendIndex(s *seat) {
	if s.out {
		return
	}
	index := r.index(s)
	measured := make([]*uint32, len(index.Sources))
	for i, d := range index.Sources {
		measured[i], d.AvgBitrateBps = d.AvgBitrateBps, nil
	}
	told, err := proto.MarshalOptions{Deterministic: true}.Marshal(index)
	if err == nil && s.told != nil && bytes.Equal(told, s.told) {
		return
	}
	s.told = told
	for i, d := range index.Sources {
		d.AvgBitrateBps = measured[i]
	}
	s.send(indexFrame(index))
}

func indexFrame(index *chime.IndexFrame) *chime.Frame {
	f := chime.New(chime.Frame_INDEX, time.Now())
	f.Index = index
	return f
}

// index lists all that s may see.
func (r *room) index(s *seat) *chime.IndexFrame {
	index := &chime.IndexFrame{
		AtCapacity:      proto.Bool(!r.mayPublish(s)),
		NumParticipants: proto.Uint32(uint32(r.connected())),
	}
	var shown []*seat
	for _, other := range r.seats {
		if s.maySee(other) && other.camera != nil && other.camera.source != nil {
			shown = append(shown, other)
		}
	}
	slices.SortFunc(shown, func(a, b *seat) int { return int(a.camera.group) - int(b.camera.group) })
	for _, other := range shown {
		index.Sources = append(index.Sources, other.describe(clientBudget/len(shown)))
	}
	return index
}

// describe announces the camera. The bitrate is never more than share, so
// that all sources fit into what a client is willing to receive.
func (s *seat) describe(share int) *chime.StreamDescriptor {
	c, stats := s.camera, s.camera.source.Stats()
	most := int(c.maxKbps)
	if most == 0 {
		most = defaultKbps
	}
	d := &chime.StreamDescriptor{
		StreamId:       &c.stream,
		GroupId:        &c.group,
		MediaType:      chime.StreamMediaType_VIDEO.Enum(),
		AttendeeId:     proto.String(string(s.attendee.ID)),
		ExternalUserId: proto.String(s.attendee.ExternalUserID),
		MaxBitrateKbps: proto.Uint32(uint32(max(min(most, share), minKbps))),
		AvgBitrateBps:  proto.Uint32(uint32(stats.Bitrate)),
		Framerate:      proto.Uint32(15),
	}
	if stats.Width > 0 && stats.Height > 0 {
		d.Width, d.Height = proto.Uint32(uint32(stats.Width)), proto.Uint32(uint32(stats.Height))
	}
	return d
}

// sendBitrates tells everybody what the cameras really send, and follows
// their sizes.
func (r *room) sendBitrates() {
	type rate struct {
		of  *seat
		bps *chime.Bitrate
	}
	var rates []rate
	for _, s := range r.seats {
		if s.camera == nil || s.camera.source == nil {
			continue
		}
		bps := uint32(s.camera.source.Stats().Bitrate)
		rates = append(rates, rate{s, &chime.Bitrate{SourceStreamId: proto.Uint32(s.camera.stream), AvgBitrateBps: &bps}})
	}
	if len(rates) == 0 {
		return
	}
	for _, s := range r.seats {
		var told []*chime.Bitrate
		for _, x := range rates {
			if s.maySee(x.of) {
				told = append(told, x.bps)
			}
		}
		if len(told) == 0 {
			continue
		}
		f := chime.New(chime.Frame_BITRATES, time.Now())
		f.Bitrates = &chime.BitrateFrame{Bitrates: told}
		s.send(f)
	}
	r.indexChanged() // sizes may be known now
}
