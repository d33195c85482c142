package meeting

import (
	"slices"
	"time"

	"belfry.live/belfry/internal/meeting/allot"
	"belfry.live/belfry/internal/meeting/rtc"
	"belfry.live/belfry/internal/meeting/sfu"
	"belfry.live/belfry/internal/wire/chime"
)

const (
	// maxVideos is how many remote videos one client may receive.
	maxVideos = 25

	// maxWishes is how many sections a client may have configured: all of an
	// offer, those that are over, and some to come.
	maxWishes = 128

	// beginAfter is when a view begins after its answer: a key frame that comes
	// before the client knows the section is lost, and the next one half a
	// second away.
	beginAfter = 60 * time.Millisecond
)

// A watching is what a client receives.
type watching struct {
	views  []*view
	wishes map[string]wish // by mid; also of sections yet to come
	serial uint32
	plan   allot.Plan

	budget  int       // bit/s at the last division
	dueAt   time.Time // of the next one at the latest
	raising bool      // more may be sent soon
}

// A view is one source being received on one section.
type view struct {
	serial  uint32 // for as long as it is the same source on the same section
	section int
	mid     string // "" before the first answer
	owner   *seat
	camera  *camera
	most    int // index of the best stream that the client asked for

	begins  time.Time // nothing is sent before
	stopped bool      // by the client
	target  sfu.Target
	starved time.Time // since when nothing of it fits; zero: it does
	told    bool      // the client was told that it is paused
}

// A wish is what a client has configured for a section.
type wish struct {
	stream     uint32 // the layer to send; 0: the server chooses
	priority   uint32
	limit      int // bit/s that are enough, 0: no limit
	preference allot.Preference
	nothing    bool // was taken back: nothing is sent until configured again
}

// adaptationFor returns what to say in JOIN_ACK about adaptation: that the
// server chooses layers, to a client that lets it; else nothing.
func adaptationFor(f *chime.JoinFrame) chime.ServerSideNetworkAdaption {
	const all = chime.ServerSideNetworkAdaption_BANDWIDTH_PROBING_AND_VIDEO_QUALITY_ADAPTION
	if slices.Contains(f.GetSupportedServerSideNetworkAdaptions(), all) {
		return all
	}
	return 0
}

// configure takes a wish for a section, known or not.
func (w *watching) configure(c *chime.VideoSubscriptionConfiguration) {
	x := wish{stream: c.GetStreamId(), priority: c.GetPriority()}
	if kbps := c.GetTargetBitrateKbps(); kbps < 1<<20 {
		x.limit = int(kbps) * 1000
	}
	switch c.GetQualityAdaptationPreference() {
	case chime.VideoQualityAdaptationPreference_MAINTAIN_FRAMERATE:
		x.preference = allot.FrameRate
	case chime.VideoQualityAdaptationPreference_MAINTAIN_RESOLUTION:
		x.preference = allot.Resolution
	}
	w.wish(c.GetMid(), x)
}

func (w *watching) wish(mid string, x wish) {
	if w.wishes == nil {
		w.wishes = make(map[string]wish)
	}
	if _, known := w.wishes[mid]; !known && len(w.wishes) >= maxWishes {
		for other := range w.wishes { // those that are over make room
			if w.view(other) == nil {
				delete(w.wishes, other)
			}
		}
		if len(w.wishes) >= maxWishes {
			return
		}
	}
	w.wishes[mid] = x
	w.dueAt = time.Time{}
}

func (w *watching) view(mid string) *view {
	for _, v := range w.views {
		if v.mid == mid && mid != "" {
			return v
		}
	}
	return nil
}

// updateVideo changes what s receives on sections it has or is about to have.
func (r *room) updateVideo(s *seat, f *chime.RemoteVideoUpdateFrame) {
	w := &s.watching
	for _, c := range f.GetAddedOrUpdatedVideoSubscriptions() {
		w.configure(c)
		if v := w.view(c.GetMid()); v != nil {
			v.follow(c.GetStreamId())
		}
	}
	for _, mid := range f.GetRemovedVideoSubscriptionMids() {
		w.wish(mid, wish{nothing: true})
	}
	r.divide(s, time.Now())
}

// follow takes which layer of its source the client wants, 0: any.
func (v *view) follow(stream uint32) {
	if i := v.camera.index(stream); i >= 0 {
		v.most = i
	}
}

// pause stops, or resumes, what the client does not look at.
func (r *room) pause(s *seat, streams []uint32, paused bool) {
	for _, v := range s.watching.views {
		if slices.ContainsFunc(streams, func(id uint32) bool { return v.camera.index(id) >= 0 }) {
			v.stopped = paused
		}
	}
	r.divide(s, time.Now())
}

// viewsOf returns the views for the stream ids of an offer, one for every
// section, nil where there is nothing to see. What was on a section before and
// still is goes on.
func (r *room) viewsOf(s *seat, streams []uint32, now time.Time) []*view {
	views := make([]*view, len(streams))
	n := 0
	for i, id := range streams {
		owner, most := r.source(s, id)
		if owner == nil || n == maxVideos || len(owner.camera.live(now)) == 0 {
			continue
		}
		n++
		v := &view{section: i, owner: owner, camera: owner.camera}
		for _, old := range s.watching.views {
			if old.section == i && old.camera == owner.camera {
				v = old
			}
		}
		v.most = most
		views[i] = v
	}
	return views
}

// source returns whose stream s asks for, and which one it is of the camera's.
func (r *room) source(s *seat, stream uint32) (owner *seat, index int) {
	if stream == 0 {
		return nil, 0
	}
	for _, other := range r.seats {
		if other.camera == nil || !s.maySee(other) {
			continue
		}
		if i := other.camera.index(stream); i >= 0 {
			return other, i
		}
	}
	return nil, 0
}

// receive is what the offer asks for on the view's section. What is sent is
// decided once the section is agreed on.
func (v *view) receive() rtc.Receive {
	if v == nil {
		return rtc.Receive{}
	}
	if v.target.Publisher != nil {
		return rtc.Receive{Target: v.target}
	}
	for _, st := range v.camera.streams {
		if st.publisher != nil {
			return rtc.Receive{Target: sfu.Whole(st.publisher), Paused: true}
		}
	}
	return rtc.Receive{}
}

// agreed makes the views those of s: an offer that asked for them was answered.
func (r *room) agreed(s *seat, views []*view, answer rtc.Answer) {
	if s.out {
		return
	}
	r.encodings(s, answer.Encodings)
	r.indexChanged() // what it can decode may have changed
	w, now := &s.watching, time.Now()
	w.views = w.views[:0:0]
	for _, t := range answer.Tracks {
		if t.Section >= len(views) || views[t.Section] == nil {
			continue
		}
		v := views[t.Section]
		if v.mid != t.MID { // also when another mid has taken the section
			w.serial++
			v.mid, v.serial = t.MID, w.serial
			v.target, v.stopped, v.starved, v.told = sfu.Target{}, false, time.Time{}, false
			v.begins = now.Add(beginAfter)
		}
		if x, ok := w.wishes[t.MID]; ok {
			v.follow(x.stream)
		}
		w.views = append(w.views, v)
	}
	for _, v := range w.views {
		s.peer.Load().SetTarget(v.mid, v.target)
	}
	r.divide(s, now)
	r.beginViews(now)
}

// beginViews begins the views whose time has come.
func (r *room) beginViews(now time.Time) {
	next := time.Time{}
	for _, s := range r.seats {
		begun := false
		for _, v := range s.watching.views {
			switch {
			case v.begins.IsZero():
			case !now.Before(v.begins):
				v.begins, begun = time.Time{}, true
			case next.IsZero() || v.begins.Before(next):
				next = v.begins
			}
		}
		if begun {
			r.divide(s, now)
		}
	}
	if !next.IsZero() {
		r.viewsWait.Reset(next.Sub(now))
	}
}
