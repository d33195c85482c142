package meeting

import (
	"bytes"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"belfry.live/belfry/internal/meeting/sfu"
	"belfry.live/belfry/internal/wire/chime"
)

const (
	// clientBudget is the sum of the announced bitrates of all sources' best
	// layers, in kbit/s, beyond which clients leave sources out.
	clientBudget = 15000

	minKbps          = 100
	defaultFrameRate = 15
)

// indexChanged has new INDEX frames sent soon.
func (r *room) indexChanged() {
	if !r.indexDue {
		r.indexDue = true
		r.indexWait.Reset(indexDelay)
	}
}

func (r *room) sendIndexes() {
	r.indexDue = false
	r.codecs = r.intersection()
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
	// How many there are matters to clients only up to three.
	people := index.NumParticipants
	index.NumParticipants = proto.Uint32(min(*people, 3))
	told, err := proto.MarshalOptions{Deterministic: true}.Marshal(index)
	if err == nil && s.told != nil && bytes.Equal(told, s.told) {
		return
	}
	s.told = told
	index.NumParticipants = people
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
	now := time.Now()
	index := &chime.IndexFrame{
		AtCapacity:                        proto.Bool(!r.mayPublish(s)),
		NumParticipants:                   proto.Uint32(uint32(r.participants())),
		SupportedReceiveCodecIntersection: r.codecs,
	}
	var shown []*seat
	for _, other := range r.seats {
		if s.maySee(other) && other.camera != nil && len(other.camera.live(now)) > 0 {
			shown = append(shown, other)
		}
	}
	slices.SortFunc(shown, func(a, b *seat) int { return int(a.camera.group) - int(b.camera.group) })
	for _, other := range shown {
		described := other.describe(clientBudget/len(shown), now)
		index.Sources = append(index.Sources, described...)
		if other.camera.quiet(now) {
			index.PausedAtSourceIds = append(index.PausedAtSourceIds, described[len(described)-1].GetStreamId())
		}
	}
	return index
}

// describe announces the camera's layers that deliver packets. Clients take
// the one of the highest bitrate, which is never more than share, so that all
// sources fit into what a client is willing to receive.
func (s *seat) describe(share int, now time.Time) []*chime.StreamDescriptor {
	streams := s.camera.live(now)
	list := make([]*chime.StreamDescriptor, len(streams))
	most := max(share, minKbps)
	for i := len(streams) - 1; i >= 0; i-- {
		st := streams[i]
		kbps := max(min(st.said.kbps, most), 1)
		most = max(kbps-1, 1)
		rate := st.said.frameRate
		if rate == 0 {
			rate = defaultFrameRate
		}
		d := &chime.StreamDescriptor{
			StreamId:       proto.Uint32(st.id),
			GroupId:        proto.Uint32(s.camera.group),
			MediaType:      chime.StreamMediaType_VIDEO.Enum(),
			AttendeeId:     proto.String(string(s.attendee.ID)),
			ExternalUserId: proto.String(s.attendee.ExternalUserID),
			MaxBitrateKbps: proto.Uint32(uint32(kbps)),
			AvgBitrateBps:  proto.Uint32(uint32(st.rate)),
			Framerate:      proto.Uint32(uint32(rate)),
		}
		if st.said.width > 0 {
			d.Width, d.Height = proto.Uint32(uint32(st.said.width)), proto.Uint32(uint32(st.said.height))
		}
		list[i] = d
	}
	return list
}

// sendBitrates tells everybody what the layers really send, and what of that
// reaches them at most; and follows their sizes.
func (r *room) sendBitrates(now time.Time) {
	type rate struct {
		of  *seat
		bps *chime.Bitrate
	}
	var rates []rate
	for _, s := range r.seats {
		if s.camera == nil {
			continue
		}
		for _, st := range s.camera.live(now) {
			rates = append(rates, rate{s, &chime.Bitrate{SourceStreamId: proto.Uint32(st.id), AvgBitrateBps: proto.Uint32(uint32(st.rate))}})
		}
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
		f := chime.New(chime.Frame_BITRATES, now)
		f.Bitrates = &chime.BitrateFrame{Bitrates: told}
		if peer := s.peer.Load(); peer != nil && len(s.watching.views) > 0 {
			f.Bitrates.ServerAvailableOutgoingBitrate = proto.Uint32(uint32(peer.Bandwidth(now) / 1000))
		}
		s.send(f)
	}
	r.indexChanged() // sizes may be known now
}

// intersection returns what everybody can decode who may receive video, hidden
// attendees too; nil if nothing is known of anybody.
func (r *room) intersection() []chime.VideoCodecCapability {
	var common []chime.VideoCodecCapability
	known := false
	for _, s := range r.seats {
		peer := s.peer.Load()
		if peer == nil || s.share {
			continue
		}
		theirs := capabilities(peer.Decodes())
		switch {
		case len(theirs) == 0: // has not offered yet
		case !known:
			common, known = theirs, true
		default:
			common = slices.DeleteFunc(common, func(c chime.VideoCodecCapability) bool { return !slices.Contains(theirs, c) })
		}
	}
	return common
}

// h264Capabilities are the profiles that have a name in the protocol, by
// profile_idc and constraint flags.
var h264Capabilities = map[uint16]chime.VideoCodecCapability{
	0x4200: chime.VideoCodecCapability_H264_BASELINE_PROFILE,
	0x42e0: chime.VideoCodecCapability_H264_CONSTRAINED_BASELINE_PROFILE,
	0x4d00: chime.VideoCodecCapability_H264_MAIN_PROFILE,
	0x6400: chime.VideoCodecCapability_H264_HIGH_PROFILE,
	0x640c: chime.VideoCodecCapability_H264_CONSTRAINED_HIGH_PROFILE,
}

// capabilities returns the formats that have a name in the protocol, each
// once, in the order of their numbers.
func capabilities(formats []sfu.Format) []chime.VideoCodecCapability {
	var list []chime.VideoCodecCapability
	for _, f := range formats {
		var c chime.VideoCodecCapability
		switch {
		case f.Codec == sfu.VP8:
			c = chime.VideoCodecCapability_VP8
		case f.Codec == sfu.H264:
			c = h264Capabilities[f.Profile]
		case f.Codec == sfu.VP9 && f.Profile == 0:
			c = chime.VideoCodecCapability_VP9_PROFILE_0
		case f.Codec == sfu.AV1 && f.Profile == 0:
			c = chime.VideoCodecCapability_AV1_MAIN_PROFILE
		}
		if c != 0 && !slices.Contains(list, c) {
			list = append(list, c)
		}
	}
	slices.Sort(list)
	return list
}
