package meeting

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtp"
	"google.golang.org/protobuf/proto"

	"belfry.live/belfry/internal/meeting/mix"
	"belfry.live/belfry/internal/meeting/rtc"
	"belfry.live/belfry/internal/meeting/sfu"
	"belfry.live/belfry/internal/meeting/signal"
	"belfry.live/belfry/internal/wire/chime"
)

// withPeers gives the seats peer connections that nobody is connected to, and
// sessions that nobody reads.
func withPeers(t *testing.T, seats []*seat) {
	t.Helper()
	transport, err := rtc.NewTransport(rtc.Config{Addr: "127.0.0.1:0"}, seats[0].log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := transport.Close(); err != nil {
			t.Errorf("close transport: got %v, want no error", err)
		}
	})
	for _, s := range seats {
		peer, err := transport.NewPeer(rtc.Events{}, s.log)
		if err != nil {
			t.Fatal(err)
		}
		s.peer.Store(peer)
		s.session = new(signal.Session)
	}
}

var testLayers = []struct {
	rid           string
	kbps          uint32
	width, height int
}{{"low", 300, 320, 180}, {"mid", 600, 640, 360}, {"hi", 1200, 1280, 720}}

// simulcast has s publish in three layers, of which those named deliver
// packets.
func simulcast(t *testing.T, r *room, s *seat, rids ...string) map[string]*sfu.Publisher {
	t.Helper()
	f := duplex(len(testLayers))
	for i, l := range testLayers {
		f.SendStreams[i].MaxBitrateKbps = proto.Uint32(l.kbps)
	}
	if _, answer, _ := r.subscribe(s, f); answer.Status != 0 {
		t.Fatalf("got status %d, want 0", answer.Status)
	}
	r.encodings(s, []string{"low", "mid", "hi"})
	source := new(sfu.Source)
	publishers := map[string]*sfu.Publisher{}
	for _, l := range testLayers {
		if !slices.Contains(rids, l.rid) {
			continue
		}
		p := sfu.NewPublisher(sfu.PublisherConfig{RID: l.rid, Source: source})
		t.Cleanup(p.Close)
		film(p, int(l.kbps)*900, l.width, l.height)
		publishers[l.rid] = p
		r.videoStarted(s, p)
	}
	return publishers
}

// film gives p three seconds of VP8 up to now.
func film(p *sfu.Publisher, bps, width, height int) {
	const rate = 20
	at := time.Now().Add(-3 * time.Second)
	const packets = 10
	payload := make([]byte, bps/8/rate/packets)
	var seq uint16
	for n := range uint32(3*rate + 1) {
		copy(payload[1:], []byte{0x10, 0, 0, 0x9d, 0x01, 0x2a})
		binary.LittleEndian.PutUint16(payload[7:], uint16(width))
		binary.LittleEndian.PutUint16(payload[9:], uint16(height))
		for i := range packets {
			seq++
			payload[0] = 0
			if i == 0 {
				payload[0] = 0x10
			}
			h := &rtp.Header{Version: 2, SSRC: 1, SequenceNumber: seq, Timestamp: n * 90000 / rate, Marker: i == packets-1}
			p.Write(h, payload, sfu.Format{Codec: sfu.VP8}, at)
		}
		p.Tick(at)
		at = at.Add(time.Second / rate)
	}
	p.Tick(at)
}

// look has s ask for streams, one per section after the camera's, and takes it
// for agreed that their mids are the sections' numbers.
func look(r *room, s *seat, f *chime.SubscribeFrame) []*view {
	offer, _, views := r.subscribe(s, f)
	var answer rtc.Answer
	for i, x := range offer.Receive {
		if x.Target.Publisher != nil {
			answer.Tracks = append(answer.Tracks, rtc.Track{MID: mid(i), Section: i})
		}
	}
	r.agreed(s, views, answer)
	r.beginViews(time.Now().Add(beginAfter))
	return s.watching.views
}

func mid(section int) string { return string(rune('1' + section)) }

func receiveOnly(streams ...uint32) *chime.SubscribeFrame {
	return &chime.SubscribeFrame{ReceiveStreamIds: append([]uint32{0}, streams...)}
}

func TestSimulcastIsOneGroup(t *testing.T) {
	r, seats := newTestRoom(t, Config{}, "ann", "ben", "cho")
	ann, ben := seats[0], seats[1]
	simulcast(t, r, ann, "low", "hi")
	_, answer, _ := r.subscribe(ann, duplex(3))
	list := answer.Ack.GetAllocations()
	if len(list) != 3 {
		t.Fatalf("got %d allocations, want 3", len(list))
	}
	ids := map[uint32]bool{}
	for _, a := range list {
		ids[a.GetStreamId()] = true
		if a.GetGroupId() != list[0].GetGroupId() || a.GetGroupId() == 0 || a.GetStreamId() == 0 {
			t.Errorf("got allocations %v, want one group", list)
		}
	}
	if len(ids) != 3 {
		t.Errorf("got %d stream ids, want 3", len(ids))
	}

	index := r.index(ben)
	if len(index.Sources) != 2 {
		t.Fatalf("got %d layers in the index, want the 2 that deliver packets", len(index.Sources))
	}
	for i, want := range []struct {
		stream, kbps, width, height uint32
	}{{list[0].GetStreamId(), 300, 320, 180}, {list[2].GetStreamId(), 1200, 1280, 720}} {
		d := index.Sources[i]
		if d.GetStreamId() != want.stream || d.GetMaxBitrateKbps() != want.kbps || d.GetWidth() != want.width || d.GetHeight() != want.height {
			t.Errorf("layer %d: got %v, want %+v", i, d, want)
		}
		if fps := d.GetFramerate(); fps < 18 || fps > 22 {
			t.Errorf("layer %d: got %d frames/s, want 20", i, fps)
		}
		if bps, most := d.GetAvgBitrateBps(), want.kbps*1000; bps < most/2 || bps > most {
			t.Errorf("layer %d: got %d bit/s, want 90 %% of %d", i, bps, most)
		}
	}

	// The same camera keeps its ids; another time on does not.
	_, again, _ := r.subscribe(ann, duplex(3))
	for i, a := range again.Ack.GetAllocations() {
		if a.GetStreamId() != list[i].GetStreamId() || a.GetGroupId() != list[i].GetGroupId() {
			t.Errorf("after another offer: got %v, want %v", a, list[i])
		}
	}
	r.subscribe(ann, receiveOnly())
	_, later, _ := r.subscribe(ann, duplex(3))
	if got := later.Ack.GetAllocations()[0]; got.GetGroupId() <= list[0].GetGroupId() {
		t.Errorf("switched on again: got group %d, want one above %d", got.GetGroupId(), list[0].GetGroupId())
	}
}

// A layer whose packet comes before the answer that names it finds its place.
func TestLayerBeforeItsName(t *testing.T) {
	r, seats := newTestRoom(t, Config{}, "ann", "ben")
	r.subscribe(seats[0], duplex(3))
	p := sfu.NewPublisher(sfu.PublisherConfig{RID: "mid"})
	t.Cleanup(p.Close)
	r.videoStarted(seats[0], p)
	if got := len(r.index(seats[1]).Sources); got != 0 {
		t.Errorf("before the answer: got %d layers, want 0", got)
	}
	r.encodings(seats[0], []string{"low", "mid", "hi"})
	index := r.index(seats[1])
	if len(index.Sources) != 1 || index.Sources[0].GetStreamId() != seats[0].camera.streams[1].id {
		t.Errorf("after it: got %v, want the middle one", index.Sources)
	}
	r.videoStopped(seats[0], p)
	if got := len(r.index(seats[1]).Sources); got != 0 {
		t.Errorf("stopped: got %d layers, want 0", got)
	}
}

// Who asks for the best gets the best; and then what the updates say.
func TestClientChoosesLayers(t *testing.T) {
	r, seats := newTestRoom(t, Config{}, "ann", "ben", "cho")
	withPeers(t, seats)
	ann, ben := seats[0], seats[1]
	layers := simulcast(t, r, ann, "low", "mid", "hi")
	group, ids := ann.camera.group, ann.camera.streams
	views := look(r, ben, receiveOnly(ids[2].id))
	if len(views) != 1 {
		t.Fatalf("got %d views, want 1", len(views))
	}
	v := views[0]
	config := func(fill func(*chime.VideoSubscriptionConfiguration)) *chime.RemoteVideoUpdateFrame {
		c := &chime.VideoSubscriptionConfiguration{Mid: proto.String(v.mid)}
		fill(c)
		return &chime.RemoteVideoUpdateFrame{AddedOrUpdatedVideoSubscriptions: []*chime.VideoSubscriptionConfiguration{c}}
	}
	target := func(kbps uint32) *chime.RemoteVideoUpdateFrame {
		return config(func(c *chime.VideoSubscriptionConfiguration) {
			c.GroupId, c.Priority, c.TargetBitrateKbps = &group, proto.Uint32(1<<32-2), &kbps
		})
	}
	stream := func(id uint32) *chime.RemoteVideoUpdateFrame {
		return config(func(c *chime.VideoSubscriptionConfiguration) { c.StreamId = &id })
	}
	for _, c := range []struct {
		name string
		do   func()
		want *sfu.Publisher
	}{
		{"the best", func() {}, layers["hi"]},
		{"a lower stream", func() { r.updateVideo(ben, stream(ids[0].id)) }, layers["low"]},
		{"a stream of nobody", func() { r.updateVideo(ben, stream(9999)) }, layers["low"]},
		{"a higher stream", func() { r.updateVideo(ben, stream(ids[1].id)) }, layers["mid"]},
		{"a low target", func() { r.updateVideo(ben, target(300)) }, layers["low"]},
		{"a medium target", func() { r.updateVideo(ben, target(600)) }, layers["mid"]},
		{"a high target", func() { r.updateVideo(ben, target(1500)) }, layers["hi"]},
		{"the highest target", func() { r.updateVideo(ben, target(10000)) }, layers["hi"]},
		{"paused", func() { r.pause(ben, []uint32{ids[1].id}, true) }, nil},
		{"resumed", func() { r.pause(ben, []uint32{ids[1].id}, false) }, layers["hi"]},
		{"taken back", func() {
			r.updateVideo(ben, &chime.RemoteVideoUpdateFrame{RemovedVideoSubscriptionMids: []string{v.mid, "unknown"}})
		}, nil},
		{"configured again", func() { r.updateVideo(ben, target(600)) }, layers["mid"]},
		{"forbidden", func() {
			ben.attendee.Capabilities.Video = Send
			r.adapt(time.Now().Add(time.Minute))
		}, nil},
	} {
		c.do()
		// Raises take a moment, falls do not.
		for now := time.Now(); now.Before(time.Now().Add(5 * time.Second)); now = now.Add(200 * time.Millisecond) {
			for _, st := range ids {
				st.heardAt = now
			}
			r.divide(ben, now)
		}
		if v.target.Publisher != c.want {
			t.Errorf("%s: got %s, want %s", c.name, ridOf(v.target.Publisher), ridOf(c.want))
		}
	}
}

func ridOf(p *sfu.Publisher) string {
	if p == nil {
		return "nothing"
	}
	return p.RID()
}

// What is configured before the offer that adds the section counts from its
// answer on.
func TestWishesForSectionsToCome(t *testing.T) {
	r, seats := newTestRoom(t, Config{}, "ann", "ben", "cho")
	withPeers(t, seats)
	ann, ben := seats[0], seats[1]
	layers := simulcast(t, r, ann, "low", "mid", "hi")
	r.updateVideo(ben, &chime.RemoteVideoUpdateFrame{AddedOrUpdatedVideoSubscriptions: []*chime.VideoSubscriptionConfiguration{
		{Mid: proto.String(mid(1)), GroupId: &ann.camera.group, TargetBitrateKbps: proto.Uint32(300)},
	}})
	views := look(r, ben, receiveOnly(ann.camera.streams[2].id))
	if got := views[0].target.Publisher; got != layers["low"] {
		t.Errorf("got %s, want low", ridOf(got))
	}
	// The same section goes on over another offer.
	before := views[0]
	views = look(r, ben, receiveOnly(ann.camera.streams[2].id))
	if views[0] != before || views[0].target.Publisher != layers["low"] {
		t.Errorf("after another offer: got %s, want the same view", ridOf(views[0].target.Publisher))
	}
	for i := range 3 * maxWishes { // however many mids a client names
		r.updateVideo(ben, &chime.RemoteVideoUpdateFrame{RemovedVideoSubscriptionMids: []string{string(rune(1000 + i))}})
	}
	if got := len(ben.watching.wishes); got > maxWishes {
		t.Errorf("got %d wishes kept, want at most %d", got, maxWishes)
	}
	if _, kept := ben.watching.wishes[mid(1)]; !kept {
		t.Error("the wish for the section in use was forgotten")
	}
}

// No client receives more than 25 videos, in whatever order it asks.
func TestMostVideos(t *testing.T) {
	names := []string{"viewer"}
	for i := range 30 {
		names = append(names, string(rune('A'+i)))
	}
	r, seats := newTestRoom(t, Config{MaxCameras: 30}, names...)
	var ids []uint32
	for _, s := range seats[1:] {
		r.subscribe(s, duplex(1))
		r.videoStarted(s, newTestPublisher(t))
		ids = append(ids, s.camera.streams[0].id)
	}
	offer, _, _ := r.subscribe(seats[0], receiveOnly(ids...))
	active := 0
	for _, x := range offer.Receive {
		if x.Target.Publisher != nil {
			active++
		}
	}
	if active != maxVideos {
		t.Errorf("got %d sections, want %d", active, maxVideos)
	}
}

// A camera that nothing is heard of any more is told to be paused, a silent
// layer beside others is not told of at all.
func TestSilentLayers(t *testing.T) {
	r, seats := newTestRoom(t, Config{}, "ann", "ben", "cho")
	ann := seats[0]
	simulcast(t, r, ann, "low", "hi")
	later := time.Now().Add(10 * time.Second)
	low, hi := ann.camera.streams[0], ann.camera.streams[2]
	low.heardAt, hi.heardAt = later, later.Add(-8*time.Second)
	if got := ann.camera.live(later); len(got) != 1 || got[0] != low {
		t.Errorf("one silent: got %d layers, want the low one", len(got))
	}
	if ann.camera.quiet(later) {
		t.Error("one silent: got a quiet camera")
	}
	later = later.Add(10 * time.Second)
	if got := ann.camera.live(later); len(got) != 1 || got[0] != low || !ann.camera.quiet(later) {
		t.Errorf("all silent: got %d layers, quiet %t, want the last heard and quiet", len(got), ann.camera.quiet(later))
	}
}

func TestCapabilitiesOfFormats(t *testing.T) {
	got := capabilities([]sfu.Format{
		{Codec: sfu.AV1},
		{Codec: sfu.VP9, Profile: 2},
		{Codec: sfu.H264, Profile: 0x6400},
		{Codec: sfu.H264, Profile: 0x42e0},
		{Codec: sfu.VP8},
		{Codec: sfu.VP9},
		{Codec: sfu.H264, Profile: 0x42e0},
		{Codec: sfu.H264, Profile: 0x1234},
	})
	want := []chime.VideoCodecCapability{
		chime.VideoCodecCapability_VP8, chime.VideoCodecCapability_H264_CONSTRAINED_BASELINE_PROFILE,
		chime.VideoCodecCapability_H264_HIGH_PROFILE, chime.VideoCodecCapability_VP9_PROFILE_0, chime.VideoCodecCapability_AV1_MAIN_PROFILE,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAdaptationFor(t *testing.T) {
	const all = chime.ServerSideNetworkAdaption_BANDWIDTH_PROBING_AND_VIDEO_QUALITY_ADAPTION
	if got := adaptationFor(&chime.JoinFrame{}); got != 0 {
		t.Errorf("a client that cannot: got %v, want none", got)
	}
	f := &chime.JoinFrame{SupportedServerSideNetworkAdaptions: []chime.ServerSideNetworkAdaption{2, 3, all}}
	if got := adaptationFor(f); got != all {
		t.Errorf("one that can: got %v, want %v", got, all)
	}
}

// The loudest becomes the active speaker, but nobody is replaced at once.
func TestActiveSpeakerForTiles(t *testing.T) {
	r, _ := newTestRoom(t, Config{}, "ann", "ben")
	now := time.Now()
	say := func(levels ...int) {
		r.levels = r.levels[:0]
		for i, l := range levels {
			if l < silence {
				r.levels = append(r.levels, mix.Level{ID: []string{"id of ann", "id of ben"}[i], DBFS: l})
			}
		}
		now = now.Add(tickEvery)
		r.followSpeaker(now)
	}
	say(20, silence)
	for range 5 {
		say(20, 10)
		if r.speaker != "id of ann" {
			t.Fatalf("while both speak: got %q, want ann still", r.speaker)
		}
	}
	for range 10 {
		say(silence, 10)
	}
	if r.speaker != "id of ben" {
		t.Errorf("ben alone: got %q, want ben", r.speaker)
	}
	for range 20 {
		say(silence, silence)
	}
	if r.speaker != "id of ben" {
		t.Errorf("nobody: got %q, want ben still", r.speaker)
	}
}
