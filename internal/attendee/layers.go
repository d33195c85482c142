package attendee

import (
	"context"
	"math"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"belfry.live/belfry/internal/wire/chime"
)

// Prefer says what to receive of an attendee's video, now and when it comes.
// It takes effect without an offer.
func (c *Client) Prefer(attendeeID string, p Preference) {
	c.mu.Lock()
	c.prefer[attendeeID] = p
	c.mu.Unlock()
	c.change(func(*wanted) {})
}

func (c *Client) preference(attendeeID string) Preference {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.prefer[attendeeID]
}

// choose picks the videos to receive, of each attendee the newest, with its
// best layer.
func choose(announced []*chime.StreamDescriptor, cfg Config, limit int) []Source {
	best := make(map[string]*chime.StreamDescriptor) // by attendee
	for _, d := range announced {
		if !receivable(d) || d.GetAttendeeId() == cfg.AttendeeID {
			continue
		}
		b := best[d.GetAttendeeId()]
		if b == nil || d.GetGroupId() > b.GetGroupId() ||
			d.GetGroupId() == b.GetGroupId() && d.GetMaxBitrateKbps() > b.GetMaxBitrateKbps() {
			best[d.GetAttendeeId()] = d
		}
	}
	var list []Source
	for _, d := range best {
		source := Source{
			AttendeeID: d.GetAttendeeId(), ExternalUserID: d.GetExternalUserId(),
			StreamID: d.GetStreamId(), GroupID: d.GetGroupId(),
		}
		if cfg.WantVideo != nil && cfg.WantVideo(source) {
			list = append(list, source)
		}
	}
	slices.SortFunc(list, func(a, b Source) int { return int(int64(a.GroupID) - int64(b.GroupID)) })
	return list[:min(len(list), limit)]
}

func receivable(d *chime.StreamDescriptor) bool {
	return d.GetMediaType() == chime.StreamMediaType_VIDEO && d.GetStreamId() != 0
}

// layerFor is the stream of a group that a target is best met by: the most
// that is not above it, or else the least there is; 0 if there is none.
func layerFor(announced []*chime.StreamDescriptor, group uint32, targetKbps int) uint32 {
	if targetKbps == 0 {
		targetKbps = math.MaxInt
	}
	var best *chime.StreamDescriptor
	for _, d := range announced {
		if !receivable(d) || d.GetGroupId() != group {
			continue
		}
		rate := func(d *chime.StreamDescriptor) int { return int(d.GetMaxBitrateKbps()) }
		switch {
		case best == nil,
			rate(best) > targetKbps && rate(d) < rate(best),
			rate(d) <= targetKbps && rate(d) > rate(best):
			best = d
		}
	}
	return best.GetStreamId()
}

// settle puts in place of each source the one that is received already of the
// same group, so that another layer is no other source.
func (p *peer) settle(want []Source) {
	for i, w := range want {
		if s := p.showing(w.GroupID); s != nil {
			want[i], _ = s.bound()
		}
	}
}

// configurations say what is wanted on each section, for a server that chooses
// the layers.
func (s *session) configurations() []*chime.VideoSubscriptionConfiguration {
	var list []*chime.VideoSubscriptionConfiguration
	for _, section := range s.peer.sections {
		source, used := section.bound()
		if !used {
			continue
		}
		p := s.c.preference(source.AttendeeID)
		target := uint32(10000) // as browsers say for the most there is
		if p.TargetKbps > 0 {
			target = uint32(p.TargetKbps)
		}
		list = append(list, &chime.VideoSubscriptionConfiguration{
			Mid: proto.String(section.mid), AttendeeId: proto.String(source.AttendeeID), GroupId: proto.Uint32(source.GroupID),
			Priority: proto.Uint32(p.Priority), TargetBitrateKbps: &target,
			QualityAdaptationPreference: chime.VideoQualityAdaptationPreference_BALANCED.Enum(),
		})
	}
	return list
}

// followPreferences tells the server what has changed in what is wanted of the
// videos that are received.
func (s *session) followPreferences(ctx context.Context) error {
	if s.peer == nil || s.inFlight || !s.up {
		return nil // the next SUBSCRIBE is followed by this
	}
	var changed []*chime.VideoSubscriptionConfiguration
	if s.adapts {
		for _, c := range s.configurations() {
			if told, ok := s.told[c.GetMid()]; !ok || !proto.Equal(told, c) {
				s.told[c.GetMid()] = c
				changed = append(changed, c)
			}
		}
	} else {
		for _, section := range s.peer.sections {
			source, used := section.bound()
			if !used {
				continue
			}
			stream := layerFor(s.announced, source.GroupID, s.c.preference(source.AttendeeID).TargetKbps)
			if stream == 0 || !section.setStream(stream) {
				continue
			}
			changed = append(changed, &chime.VideoSubscriptionConfiguration{
				Mid: proto.String(section.mid), AttendeeId: proto.String(source.AttendeeID), StreamId: &stream,
				QualityAdaptationPreference: chime.VideoQualityAdaptationPreference_BALANCED.Enum(),
			})
		}
	}
	if len(changed) == 0 {
		return nil
	}
	f := chime.New(chime.Frame_REMOTE_VIDEO_UPDATE, time.Now())
	f.RemoteVideoUpdate = &chime.RemoteVideoUpdateFrame{AddedOrUpdatedVideoSubscriptions: changed}
	return s.send(ctx, f)
}
