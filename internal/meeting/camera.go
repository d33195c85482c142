package meeting

import (
	"slices"
	"time"

	"belfry.live/belfry/internal/meeting/allot"
	"belfry.live/belfry/internal/meeting/sfu"
	"belfry.live/belfry/internal/wire/chime"
)

const (
	// defaultKbps is what a layer may use that says nothing about it.
	defaultKbps = 1500

	// maxStreams is how many layers of a camera are known.
	maxStreams = 4

	// quietFor is how long a layer must have said nothing to be taken out of
	// the INDEX while another one is heard. Shared content that does not move
	// may say nothing for a second or more.
	quietFor = 4 * time.Second

	// unmeasured is what a layer is taken to need before it is measured: the
	// rate at which browsers begin.
	unmeasured = 300_000 // bit/s

	// headers is by what part the packets of a layer are more than its
	// payload.
	headers = 0.03

	// rateSmooth is the weight of the newest measurement of a layer's rate.
	rateSmooth = 0.3

	// maxMeasured is how many layers of a stream are told apart.
	maxMeasured = 32
)

// A camera is one published source, a group in the signaling protocol: with
// one stream, or one per simulcast encoding.
type camera struct {
	group    uint32
	streams  []*stream        // in the client's order, from least to most
	rids     []string         // the encodings' ids in the same order; none: not simulcast
	source   *sfu.Source      // nil: no packet has come yet
	unplaced []*sfu.Publisher // came before it was known which stream they are
	limit    uplinkLimit
}

// A stream is one layer of a camera.
type stream struct {
	id        uint32
	maxKbps   uint32         // what the client says it will send at most, 0: not said
	publisher *sfu.Publisher // nil: no packet has come
	heardAt   time.Time      // when it was last active
	said      said
	rate      int // bit/s measured
	options   []allot.Option
	targets   []sfu.Target // one per option
}

// said is what the INDEX has told of a stream. It follows what is measured
// only when that has changed much: every change costs everybody a frame.
type said struct{ width, height, frameRate, kbps int }

// newCamera returns a camera of which no packet has come.
func (r *room) newCamera(streams int) *camera {
	c := &camera{group: r.next()}
	r.extend(c, streams)
	return c
}

// extend gives a camera streams up to a number. It takes none away: their ids
// stay for as long as the camera is on.
func (r *room) extend(c *camera, streams int) {
	for len(c.streams) < min(streams, maxStreams) {
		c.streams = append(c.streams, &stream{id: r.next()})
	}
}

// renew begins a new source in place of s's camera, with new ids: what was
// published under the old ones is over.
func (r *room) renew(s *seat) *camera {
	old := s.camera
	c := r.newCamera(len(old.streams))
	c.rids = old.rids
	for i, st := range c.streams {
		st.maxKbps = old.streams[i].maxKbps
	}
	s.camera = c
	return c
}

// switchOn follows what an offer says about the streams of s's camera.
func (r *room) switchOn(s *seat, streams []*chime.StreamDescriptor) {
	if s.camera == nil {
		s.camera = r.newCamera(len(streams))
	}
	r.extend(s.camera, len(streams))
	for i, st := range s.camera.streams {
		st.maxKbps = 0
		if i < len(streams) {
			st.maxKbps = streams[i].GetMaxBitrateKbps()
		}
	}
}

func (r *room) cameraOff(s *seat) {
	r.filmed(s, false)
	if s.camera != nil {
		s.camera = nil
		r.indexChanged()
	}
}

// encodings follows what was agreed on: the ids of the camera's encodings, in
// the order of the descriptors.
func (r *room) encodings(s *seat, rids []string) {
	c := s.camera
	if c == nil {
		return
	}
	r.extend(c, len(rids))
	c.rids = rids
	waiting := c.unplaced
	c.unplaced = nil
	for _, p := range waiting {
		r.place(c, p)
	}
}

// place makes p the publisher of its stream.
func (r *room) place(c *camera, p *sfu.Publisher) {
	i := slices.Index(c.rids, p.RID())
	if i < 0 && p.RID() == "" {
		i = 0
	}
	if i < 0 || i >= len(c.streams) {
		if len(c.unplaced) < maxStreams {
			c.unplaced = append(c.unplaced, p)
		}
		return
	}
	st := c.streams[i]
	st.publisher, st.heardAt = p, time.Now()
	st.measure(st.heardAt)
	r.indexChanged()
}

// videoStarted announces a layer of s's camera: its first packet has come.
func (r *room) videoStarted(s *seat, p *sfu.Publisher) {
	if s.out || s.camera == nil {
		return // switched off since
	}
	c := s.camera
	if c.source != nil && c.source != p.Source() {
		c = r.renew(s)
	}
	c.source = p.Source()
	r.place(c, p)
	r.filmed(s, true)
}

// videoStopped takes back a layer. When all are gone, whatever comes next is
// another source.
func (r *room) videoStopped(s *seat, p *sfu.Publisher) {
	if s.camera == nil {
		return
	}
	c, mine, left := s.camera, false, false
	for _, st := range c.streams {
		if st.publisher == p {
			mine = true
			st.publisher, st.options, st.targets = nil, nil, nil
		}
		left = left || st.publisher != nil
	}
	c.unplaced = slices.DeleteFunc(c.unplaced, func(o *sfu.Publisher) bool { return o == p })
	if !mine {
		return
	}
	if !left {
		r.renew(s)
		r.filmed(s, false)
	}
	r.indexChanged()
}

// index returns the place of a stream, -1 if it is not the camera's.
func (c *camera) index(id uint32) int {
	return slices.IndexFunc(c.streams, func(st *stream) bool { return st.id == id })
}

// live returns the streams that can be watched: those heard lately, or, when
// there is none, the one heard last.
func (c *camera) live(now time.Time) []*stream {
	var list []*stream
	var last *stream
	for _, st := range c.streams {
		if st.publisher == nil {
			continue
		}
		if last == nil || st.heardAt.After(last.heardAt) {
			last = st
		}
		if now.Sub(st.heardAt) < quietFor {
			list = append(list, st)
		}
	}
	if len(list) == 0 && last != nil {
		list = append(list, last)
	}
	return list
}

// quiet says whether nothing is heard of the camera, though it is on.
func (c *camera) quiet(now time.Time) bool {
	for _, st := range c.streams {
		if st.publisher != nil && now.Sub(st.heardAt) < quietFor {
			return false
		}
	}
	return true
}

// measure follows what the stream's publisher sends.
func (st *stream) measure(now time.Time) {
	if st.publisher == nil {
		return
	}
	stats := st.publisher.Stats()
	if stats.Active {
		st.heardAt = now
	}
	st.rate = stats.Bitrate
	layers := stats.Layers
	if len(layers) > maxMeasured {
		layers = layers[len(layers)-maxMeasured:]
	}
	if len(layers) == 0 {
		layers = []sfu.LayerStats{{
			Spatial: sfu.AllLayers, Temporal: sfu.AllLayers,
			Bitrate: stats.Bitrate, Width: stats.Width, Height: stats.Height, FrameRate: stats.FrameRate,
		}}
	}
	same := len(layers) == len(st.options)
	options, targets := st.options[:0], st.targets[:0]
	for i, l := range layers {
		target := sfu.Target{Publisher: st.publisher, Spatial: l.Spatial, Temporal: l.Temporal}
		if i == len(layers)-1 {
			target = sfu.Whole(st.publisher)
		}
		rate := float64(l.Bitrate) * (1 + headers)
		if rate == 0 && len(layers) == 1 {
			rate = unmeasured
			if st.maxKbps > 0 {
				rate = min(rate, float64(st.maxKbps)*1000)
			}
		}
		if same && st.targets[i] == target && st.options[i].Bitrate > 0 && st.rate > 0 {
			rate = (1-rateSmooth)*float64(st.options[i].Bitrate) + rateSmooth*rate
		}
		options = append(options, allot.Option{Bitrate: int(rate), Width: l.Width, Height: l.Height, FrameRate: l.FrameRate})
		targets = append(targets, target)
	}
	st.options, st.targets = options, targets
	st.describe(stats)
}

// describe follows in what the INDEX says of the stream.
func (st *stream) describe(stats sfu.Stats) {
	if stats.Width > 0 && stats.Height > 0 {
		st.said.width, st.said.height = stats.Width, stats.Height
	}
	rate := int(stats.FrameRate + 0.5)
	if d := rate - st.said.frameRate; rate > 0 && (st.said.frameRate == 0 || max(d, -d) > max(st.said.frameRate/4, 2)) {
		st.said.frameRate = rate
	}
	kbps := int(st.maxKbps)
	if kbps == 0 {
		kbps = defaultKbps
	}
	st.said.kbps = kbps
}
