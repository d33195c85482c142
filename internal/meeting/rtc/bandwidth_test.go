package rtc

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"belfry.live/belfry/internal/meeting/allot"
	"belfry.live/belfry/internal/meeting/bwe"
	"belfry.live/belfry/internal/meeting/sfu"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// A bottleneck is a host between a client and the server whose way to the
// client is narrow: it has a queue, loses and delays packets. What changes while
// it works is atomic.
type bottleneck struct {
	near, far    net.PacketConn // towards the client, towards the server
	server       net.Addr
	capacity     atomic.Int64 // bit/s
	loss         atomic.Int64 // per mille
	jitter       time.Duration
	delay, depth time.Duration
	dropped      atomic.Int64
	tasks        sync.WaitGroup
	client       atomic.Pointer[net.Addr]
}

const bottleneckIP = "10.0.2.1"

func newBottleneck(n *lossyNet, capacity int) *bottleneck {
	n.t.Helper()
	host := n.host(bottleneckIP)
	listen := func(port int) net.PacketConn {
		conn, err := host.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(bottleneckIP), Port: port})
		if err != nil {
			n.t.Fatal(err)
		}
		return conn
	}
	b := &bottleneck{
		near: listen(1000), far: listen(1001), server: net.UDPAddrFromAddrPort(n.server.Addr()),
		depth: 400 * time.Millisecond,
	}
	b.capacity.Store(int64(capacity))
	b.tasks.Go(b.up)
	b.tasks.Go(b.down)
	n.t.Cleanup(func() {
		b.near.Close()
		b.far.Close()
		b.tasks.Wait()
	})
	return b
}

func (b *bottleneck) addr() netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(bottleneckIP), 1000)
}

func (b *bottleneck) up() {
	buf := make([]byte, 2048)
	for {
		n, from, err := b.near.ReadFrom(buf)
		if err != nil {
			return
		}
		b.client.Store(&from)
		_, _ = b.far.WriteTo(buf[:n], b.server)
	}
}

func (b *bottleneck) down() {
	random := rand.New(rand.NewPCG(5, 6))
	free := time.Now() // when the queue is empty
	var late sync.WaitGroup
	defer late.Wait()
	for {
		buf := make([]byte, 2048)
		n, _, err := b.far.ReadFrom(buf)
		if err != nil {
			return
		}
		now := time.Now()
		if free.Before(now) {
			free = now
		}
		if free.Sub(now) > b.depth || random.Int64N(1000) < b.loss.Load() {
			b.dropped.Add(1)
			continue
		}
		free = free.Add(time.Duration(int64(n+28) * 8 * int64(time.Second) / b.capacity.Load()))
		wait := free.Sub(now) + b.delay
		if b.jitter > 0 {
			wait += time.Duration(random.Int64N(int64(b.jitter)))
		}
		to := *b.client.Load()
		late.Add(1)
		time.AfterFunc(wait, func() {
			defer late.Done()
			_, _ = b.near.WriteTo(buf[:n], to)
		})
	}
}

// A studio publishes one picture in three simulcast layers of 150, 500 and
// 1200 kbit/s, 25 pictures a second.
type studio struct {
	layers [3]*sfu.Publisher
	want   [3]atomic.Bool // a key frame
}

var studioRates = [3]int{150_000, 500_000, 1_200_000}

func newStudio(t *testing.T) *studio {
	s := new(studio)
	source := new(sfu.Source)
	for i := range s.layers {
		s.layers[i] = sfu.NewPublisher(sfu.PublisherConfig{
			RID: string(rune('a' + i)), Source: source, AskForKeyFrame: func() { s.want[i].Store(true) },
		})
		s.want[i].Store(true)
	}
	done := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() { s.film(done) })
	t.Cleanup(func() {
		close(done)
		work.Wait()
		for _, p := range s.layers {
			p.Close()
		}
	})
	return s
}

func (s *studio) film(done chan struct{}) {
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	var seq [3]uint16
	payload := make([]byte, 1100)
	for n := uint32(0); ; n++ {
		for i, p := range s.layers {
			key := s.want[i].Swap(false)
			left := studioRates[i] / 8 / 25
			if key {
				left *= 4
			}
			for first := true; left > 0; first = false {
				size := min(left, len(payload))
				left -= size
				b := payload[:max(size, 20)]
				b[0] = 0 // VP8 payload descriptor (RFC 7741, section 4.2)
				if first {
					b[0] = 0x10
					b[1] = 0x11
					if key {
						width := uint16(320 << i)
						copy(b[1:], []byte{0x10, 0, 0, 0x9d, 0x01, 0x2a})
						binary.LittleEndian.PutUint16(b[7:], width)
						binary.LittleEndian.PutUint16(b[9:], width*9/16)
					}
				}
				seq[i]++
				h := &rtp.Header{Version: 2, SSRC: uint32(i + 1), SequenceNumber: seq[i], Timestamp: n * 3600, Marker: left <= 0}
				p.Write(h, b, sfu.Format{Codec: sfu.VP8}, time.Now())
			}
		}
		for _, p := range s.layers {
			p.Tick(time.Now())
		}
		select {
		case <-done:
			return
		case <-tick.C:
		}
	}
}

// A screen is a client behind a bottleneck that watches a studio and hears a
// mix.
type screen struct {
	*attendee
	mid string

	layer atomic.Int64 // chosen, allot.Paused: none
	video atomic.Int64 // packets received
	now   struct {
		sync.Mutex
		heard   time.Time // the last audio packet
		gap     time.Duration
		packets int
	}
}

func newScreen(t *testing.T, n *lossyNet, b *bottleneck, s *studio, layers ...int) *screen {
	v := &screen{attendee: newAttendee(t, n.server, attendeeConfig{proxy: b.addr(), net: n.host("10.0.3.1")})}
	v.pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			_, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			if track.Kind() == webrtc.RTPCodecTypeVideo {
				v.video.Add(1)
				continue
			}
			v.now.Lock()
			now := time.Now()
			if !v.now.heard.IsZero() {
				v.now.gap = max(v.now.gap, now.Sub(v.now.heard))
			}
			v.now.heard = now
			v.now.packets++
			v.now.Unlock()
		}
	})
	v.layer.Store(allot.Paused)
	section := v.watch(s.layers[2])
	v.join()
	v.mid = section.Mid()
	done := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() { v.adapt(s, layers, done) })
	work.Go(func() { v.speak(done) })
	t.Cleanup(func() {
		close(done)
		work.Wait()
	})
	return v
}

// adapt does what package meeting does for a client.
func (v *screen) adapt(s *studio, layers []int, done chan struct{}) {
	if len(layers) == 0 {
		layers = []int{0, 1, 2}
	}
	var plan allot.Plan
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case now := <-tick.C:
			tile := allot.Tile{ID: 1}
			for _, i := range layers {
				tile.Options = append(tile.Options, allot.Option{Bitrate: studioRates[i] * 105 / 100, Width: 320 << i, Height: 180 << i, FrameRate: 25})
			}
			plan.Trusting = !v.peer.Congested()
			choices, wanted := plan.Divide(v.peer.Bandwidth(now), []allot.Tile{tile}, now)
			v.peer.SetWanted(wanted)
			target := sfu.Target{}
			layer := allot.Paused
			if choices[0] != allot.Paused {
				layer = layers[choices[0]]
				target = sfu.Whole(s.layers[layer])
			}
			v.peer.SetTarget(v.mid, target)
			v.layer.Store(int64(layer))
		}
	}
}

// speak is the mix: a frame of some 40 kbit/s every 20 ms.
func (v *screen) speak(done chan struct{}) {
	begin, payload := time.Now(), make([]byte, 100)
	payload[0] = 0xf8
	for n := uint32(0); ; n++ {
		at := begin.Add(time.Duration(n) * 20 * time.Millisecond)
		select {
		case <-done:
			return
		case <-time.After(time.Until(at)):
		}
		_ = v.peer.WriteAudio(AudioFrame{Payload: payload, Timestamp: n * 960, Time: at})
	}
}

// silence returns the longest time without sound since the last call.
func (v *screen) silence() time.Duration {
	v.now.Lock()
	defer v.now.Unlock()
	gap := v.now.gap
	v.now.gap = 0
	return gap
}

// holds runs for a while and fails the test if the layer is not at least that
// for most of the time, or video stops.
func (v *screen) holds(t *testing.T, d time.Duration, least int64) {
	t.Helper()
	good, all, before := 0, 0, v.video.Load()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		all++
		if v.layer.Load() >= least {
			good++
		}
	}
	if good < all*7/10 {
		t.Errorf("layer %d or better: got %d of %d looks, want 70 %%", least, good, all)
	}
	if got := v.video.Load() - before; got < int64(d/(40*time.Millisecond)/2) {
		t.Errorf("video: got %d packets in %v", got, d)
	}
}

// The connection becomes too narrow for all but the lowest layer, and wide
// again: sound goes on without a gap, and so does the picture.
func TestNarrowConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newLossyNet(t, 20)
		s := newStudio(t)
		b := newBottleneck(n, 4_000_000)
		v := newScreen(t, n, b, s)
		wait(t, "the best layer", func() bool { return v.layer.Load() == 2 })
		v.holds(t, 5*time.Second, 2)

		b.capacity.Store(300_000)
		wait(t, "the lowest layer", func() bool { return v.layer.Load() <= 0 })
		v.silence()
		time.Sleep(3 * time.Second) // until the queue in front of the bottleneck is gone
		if gap := v.silence(); gap > 500*time.Millisecond {
			t.Errorf("sound when the connection gets narrow: got a gap of %v, want at most 500ms", gap)
		}
		dropped := b.dropped.Load()
		v.holds(t, 20*time.Second, 0)
		if gap := v.silence(); gap > 300*time.Millisecond {
			t.Errorf("sound on the narrow connection: got a gap of %v, want at most 300ms", gap)
		}
		if got := b.dropped.Load() - dropped; got > 40 { // of some 2000
			t.Errorf("bottleneck: got %d packets dropped, want at most 40", got)
		}

		b.capacity.Store(4_000_000)
		begun := time.Now()
		wait(t, "the best layer again", func() bool { return v.layer.Load() == 2 })
		t.Logf("best layer again after %v", time.Since(begun))
	})
}

// The only layer needs more than what a client is first taken to receive: it is
// tried. Where it does not fit it is paused then, and comes back when it does.
func TestOnlyLayer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newLossyNet(t, 20)
		s := newStudio(t)
		b := newBottleneck(n, 4_000_000)
		v := newScreen(t, n, b, s, 2)
		time.Sleep(2 * time.Second)
		v.holds(t, 3*time.Second, 2)

		b.capacity.Store(300_000)
		wait(t, "pause", func() bool { return v.layer.Load() == allot.Paused })
		time.Sleep(5 * time.Second)
		v.silence()
		time.Sleep(10 * time.Second)
		if gap := v.silence(); gap > 300*time.Millisecond {
			t.Errorf("sound on the narrow connection: got a gap of %v, want at most 300ms", gap)
		}
		b.capacity.Store(4_000_000)
		begun := time.Now()
		wait(t, "the layer again", func() bool { return v.layer.Load() == 2 })
		t.Logf("again after %v", time.Since(begun))
	})
}

// One packet in five gets lost, the others come late and out of order: that is
// no reason for less.
func TestLossyConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newLossyNet(t, 20)
		s := newStudio(t)
		b := newBottleneck(n, 6_000_000)
		b.jitter = 30 * time.Millisecond
		b.loss.Store(200)
		v := newScreen(t, n, b, s)
		wait(t, "the best layer", func() bool { return v.layer.Load() == 2 })
		time.Sleep(4 * time.Second) // a test of the loss, maybe
		v.silence()
		v.holds(t, 20*time.Second, 1)
		if gap := v.silence(); gap > 250*time.Millisecond {
			t.Errorf("sound: got a gap of %v, want at most 250ms", gap)
		}
	})
}

func TestTakeFeedback(t *testing.T) {
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	const (
		report = "80c9 0001 00000001"
		twcc   = "8fcd 0005 00000001 00000002 00010003 000000 00 a800 04 04"
		remb   = "8fce 0005 00000001 00000000 52454d42 01 0bd090 00000002"
		pli    = "81ce 0002 00000001 00000002"
	)
	p := &Peer{}
	p.plan.Store(new(plan))
	for _, c := range []struct{ name, in, want string }{
		{"nothing for it", report + pli, report + pli},
		{"all", twcc + remb, ""},
		{"in between", report + twcc + pli + remb, report + pli},
		{"cut off", report + "8fcd 0005 0000", report + "8fcd 0005 0000"},
		{"short", "80", "80"},
	} {
		want := hex.EncodeToString(unhex(c.want))
		if got := hex.EncodeToString(p.takeFeedback(unhex(c.in), time.Now())); got != want {
			t.Errorf("%s: got %s, want %s", c.name, got, want)
		}
	}
}

// A few bytes of feedback that claim to be about very many packets are not
// worth more than a look.
func TestFeedbackAllocatesNothing(t *testing.T) {
	p := &Peer{}
	p.plan.Store(new(plan))
	p.band.agree(3)
	now := time.Now()
	p.band.sent(bwe.Video, 1200, now)
	huge := []byte{
		0x8f, 205, 0, 9, 0, 0, 0, 1, 0, 0, 0, 2, 0, 1, 0xff, 0xff, 0, 0, 0, 0,
		0x3f, 0xff, 0x3f, 0xff, 0x3f, 0xff, 0x3f, 0xff, 0x3f, 0xff, 0x3f, 0xff, 0x3f, 0xff, 0x3f, 0xff, 0x3f, 0xff, 0, 0,
	}
	buf := make([]byte, len(huge))
	if n := testing.AllocsPerRun(100, func() {
		now = now.Add(time.Millisecond)
		p.takeFeedback(append(buf[:0], huge...), now)
		p.band.sent(bwe.Video, 1200, now)
		p.band.allowed(bwe.Video, now)
		p.band.tick(50*time.Millisecond, now)
	}); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}
