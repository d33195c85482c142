package sfu

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"
)

// Two encodings of one picture: the old one is shown until the new one's key
// frame, and time goes on as their sender reports have it.
func TestLayerSwitchIsInStep(t *testing.T) {
	picture := new(Source)
	low, high := newSource(100, 5000, 200), newSource(40000, 9_000_000, 7)
	for _, s := range []*source{low, high} {
		s.pub = NewPublisher(PublisherConfig{Source: picture, AskForKeyFrame: func() { s.asked++ }})
		s.pub.SenderReport(time.Unix(10, 0), s.ts) // taken at the same time
	}
	sub, r := newTestSubscriber(t)
	sub.SetTarget(Whole(low.pub))
	low.write(low.next(true))
	high.write(high.next(false))
	sub.SetTarget(Whole(high.pub))
	if got := sub.Current(); got != Whole(low.pub) && got.Publisher != low.pub {
		t.Errorf("before the key frame: got %v, want the low layer", got)
	}
	for range 3 {
		low.write(low.next(false))
		high.write(high.next(false))
	}
	if len(r.packets) != 4 {
		t.Fatalf("before the key frame: got %d packets, want 4 of the low layer", len(r.packets))
	}
	// The key frame is of the same moment as what was shown last: it comes a
	// moment later, and time is made up for.
	low.write(low.next(false))
	high.write(high.next(true))
	low.write(low.next(false))
	for range 10 {
		high.write(high.next(false))
	}
	if got := sub.Current(); got != Whole(high.pub) {
		t.Errorf("after the key frame: got %v, want the high layer", got)
	}
	seqs, ids := r.numbers()
	checkSteps(t, "sequence numbers", seqs, 0)
	checkSteps(t, "picture ids", ids, ids[0])
	if len(seqs) != 16 {
		t.Fatalf("got %d packets, want 5 low and 11 high", len(seqs))
	}
	begin := r.packets[0].Timestamp
	for i, p := range r.packets[1:] {
		if step := int32(p.Timestamp - r.packets[i].Timestamp); step <= 0 || step > 3000+1500 {
			t.Errorf("packet %d: got a step of %d ticks, want 1 to 4500", i+1, step)
		}
	}
	// The last one was taken 14 frames after the first.
	if got, want := r.packets[15].Timestamp-begin, uint32(14*3000); got != want {
		t.Errorf("in the end: got %d ticks since the start, want %d", got, want)
	}
}

// Requests for the layers of one picture are made together, or wait.
func TestKeyFrameRequestsOfLayers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := new(Source)
		var pubs []*Publisher
		asked := make([]int, 3)
		for i := range asked {
			pubs = append(pubs, NewPublisher(PublisherConfig{Source: source, AskForKeyFrame: func() { asked[i]++ }}))
		}
		pubs[0].RequestKeyFrame()
		pubs[1].RequestKeyFrame()
		time.Sleep(100 * time.Millisecond)
		pubs[2].RequestKeyFrame()
		if asked[0] != 1 || asked[1] != 1 || asked[2] != 0 {
			t.Fatalf("at once: got %v requests, want 1, 1, 0", asked)
		}
		for range 9 {
			time.Sleep(50 * time.Millisecond)
			for _, p := range pubs {
				p.Tick(time.Now())
			}
		}
		if asked[0] != 2 || asked[1] != 2 || asked[2] != 1 {
			t.Errorf("half a second later: got %v requests, want 2, 2, 1", asked)
		}
	})
}

// One who waits in vain asks again.
func TestPatience(t *testing.T) {
	s := newSource(1, 0, 0)
	sub, _ := newTestSubscriber(t)
	sub.SetTarget(Whole(s.pub))
	s.write(s.next(false))
	s.pub.wantKey = false // as if the key frame had been lost
	for range 29 {
		s.write(s.next(false))
	}
	if s.pub.wantKey {
		t.Error("asked again within a second")
	}
	for range 5 {
		s.write(s.next(false))
	}
	if !s.pub.wantKey {
		t.Error("not asked again after a second")
	}
}

// What a publisher says of its layers.
func TestLayerStats(t *testing.T) {
	for _, c := range []struct {
		name   string
		format Format
		want   int
		width  int // of the smallest
	}{
		{"vp8-l1t3", Format{Codec: VP8}, 3, 960},
		{"vp9-l3t3", Format{Codec: VP9}, 9, 240},
		{"av1-l1t3", Format{Codec: AV1}, 3, 960},
		{"av1-l3t3", Format{Codec: AV1}, 9, 240},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlayer(newModel(t, c.name, c.format), nil, 0, 0)
			at := time.Unix(1000, 0)
			p.pub.Tick(at)
			for i := range p.model.packets {
				p.write(t, i, at)
			}
			p.pub.Tick(at.Add(time.Second - time.Millisecond))
			if !p.pub.Stats().Active {
				t.Error("within a second: not active")
			}
			p.pub.Tick(at.Add(time.Second))
			st := p.pub.Stats()
			if st.Active || len(st.Layers) != c.want || st.Width != 960 {
				t.Fatalf("got %+v, want %d layers, 960 wide, not active any more", st, c.want)
			}
			for i, l := range st.Layers {
				if i > 0 && l.Spatial == st.Layers[i-1].Spatial && (l.Bitrate <= st.Layers[i-1].Bitrate || l.FrameRate < st.Layers[i-1].FrameRate) {
					t.Errorf("layer %d: got %+v after %+v, want more of it", i, l, st.Layers[i-1])
				}
			}
			if last := st.Layers[len(st.Layers)-1]; st.Layers[0].Width != c.width || last.Width != 960 || last.Bitrate != st.Bitrate {
				t.Errorf("got %+v to %+v of %d bit/s, want %d to 960 wide, all of it", st.Layers[0], last, st.Bitrate, c.width)
			}
		})
	}
}

func TestPadding(t *testing.T) {
	s := newSource(1, 0, 0)
	sub, r := newTestSubscriber(t)
	if _, ok := sub.Padding(1500); ok {
		t.Error("got padding before the first packet")
	}
	sub.SetTarget(Whole(s.pub))
	s.write(s.next(true), s.next(false))
	o, ok := sub.Padding(1500)
	if !ok || !o.Again || o.SSRC != 12 || o.Type != 97 || o.OriginalSeq != r.packets[1].SequenceNumber {
		t.Fatalf("got %+v, %t, want the last packet again", o, ok)
	}
	o.Packet.Release()
	if _, ok := sub.Padding(10); ok {
		t.Error("got padding longer than its limit")
	}
}

// Cutting layers costs no allocation either.
func TestCutAllocatesNothing(t *testing.T) {
	for _, c := range models {
		m := newModel(t, c.name, c.format)
		p := newPlayer(m, nil, 0, 0)
		for i := range 10 {
			sub := NewSubscriber(SubscriberConfig{
				Sink: &discard{}, SSRC: 1, DependencyDescriptor: testDescriptor, PayloadTypes: []PayloadType{{m.format, 96, 97}},
			})
			sub.SetTarget(Target{p.pub, i % 3, i % 4})
		}
		headers := make([]rtp.Header, len(m.packets))
		for i, packet := range m.packets {
			headers[i] = describedHeader(t, packet.descriptor)
			headers[i].SequenceNumber, headers[i].Timestamp, headers[i].Marker = packet.header.SequenceNumber, packet.header.Timestamp, packet.header.Marker
		}
		n, round := 0, uint16(0)
		write := func() {
			h := headers[n]
			h.SequenceNumber += round * uint16(len(headers))
			h.Timestamp += uint32(round) << 20
			p.pub.Write(&h, m.packets[n].payload, m.format, time.Unix(1000, 0))
			if n++; n == len(headers) {
				n, round = 0, round+1
			}
		}
		for range 2 * cacheSize {
			write()
		}
		if n := testing.AllocsPerRun(1000, write); n != 0 {
			t.Errorf("%s: got %v allocations per packet, want 0", c.name, n)
		}
	}
}

// Whatever a stranger sends, it is forwarded or not, and nothing breaks.
func FuzzInspect(f *testing.F) {
	for _, c := range models {
		for _, p := range recorded(f, c.name)[20:70] {
			f.Add(uint8(c.format.Codec), p.payload, p.descriptor, uint8(1), uint8(1))
		}
	}
	f.Fuzz(func(t *testing.T, codec uint8, payload, descriptor []byte, spatial, temporal uint8) {
		format := Format{Codec: Codec(codec % 5)}
		pub := NewPublisher(PublisherConfig{DependencyDescriptor: testDescriptor})
		r := &receiver{t: t}
		sub := NewSubscriber(SubscriberConfig{
			Sink: r, SSRC: 1, DependencyDescriptor: testDescriptor,
			PayloadTypes: []PayloadType{{Format{Codec: VP8}, 96, 0}, {Format{Codec: VP9}, 97, 0}, {Format{Codec: H264}, 98, 0}, {Format{Codec: AV1}, 99, 0}},
		})
		sub.SetTarget(Target{pub, int(spatial % 8), int(temporal % 8)})
		h := describedHeader(t, descriptor[:min(len(descriptor), 255)])
		for i, seq := range []uint16{1, 2, 4, 3} {
			h.SequenceNumber, h.Timestamp = seq, uint32(seq)*3000
			pub.Write(&h, payload, format, time.Unix(1000, int64(i)))
		}
		pub.Tick(time.Unix(1000, 0))
		pub.Tick(time.Unix(1001, 0))
		for _, p := range r.packets {
			if len(p.Payload) != 0 && len(p.Payload) != len(payload) {
				t.Errorf("got a payload of %d bytes, want %d", len(p.Payload), len(payload))
			}
		}
	})
}
