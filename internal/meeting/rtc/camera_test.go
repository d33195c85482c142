package rtc

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"belfry.live/belfry/internal/meeting/sfu"
	"github.com/pion/dtls/v3"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
)

// A wiretap keeps the control packets that are sent to a client.
type wiretap struct {
	t      *testing.T
	cipher cipherPair
	list   []rtcp.Packet
}

// tap lets a peer without a network send to a wiretap.
func tap(t *testing.T, p *Peer) *wiretap {
	t.Helper()
	keys := func() cipherPair {
		c, err := newCiphers(make([]byte, 16), make([]byte, 12), srtp.ProtectionProfile(dtls.SRTP_AEAD_AES_128_GCM))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	w := &wiretap{t: t, cipher: keys()}
	p.out.open(w, keys())
	return w
}

func (w *wiretap) Wake() {}

func (w *wiretap) Write(b []byte) error {
	plain, err := w.cipher.rtcp.DecryptRTCP(nil, b, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	list, err := rtcp.Unmarshal(plain)
	if err != nil {
		w.t.Fatal(err)
	}
	w.list = append(w.list, list...)
	return nil
}

// take returns what was sent since it was last called.
func (w *wiretap) take() []rtcp.Packet {
	list := w.list
	w.list = nil
	return list
}

// Header extensions of the offers in testdata.
const (
	chromiumMID         = 4
	chromiumRID         = 10
	chromiumRepairedRID = 11
)

// A simulcaster is a peer without a network whose client sends three layers.
type simulcaster struct {
	*Peer
	t                *testing.T
	now              time.Time
	started, stopped []*sfu.Publisher
}

func newSimulcaster(t *testing.T) *simulcaster {
	t.Helper()
	s := &simulcaster{Peer: newSDPPeer(), t: t, now: time.Now()}
	s.notes = newNotifier()
	s.ev.VideoStarted = func(p *sfu.Publisher) { s.started = append(s.started, p) }
	s.ev.VideoStopped = func(p *sfu.Publisher) { s.stopped = append(s.stopped, p) }
	s.publish(true)
	return s
}

func (s *simulcaster) publish(on bool) {
	s.t.Helper()
	text, err := os.ReadFile("testdata/offers/chromium-simulcast-publish.sdp")
	if err != nil {
		s.t.Fatal(err)
	}
	if _, _, err := s.answerTo(string(text), on, nil); err != nil {
		s.t.Fatal(err)
	}
	s.settle()
}

// settle calls what is posted, as the notifier's goroutine would.
func (s *simulcaster) settle() {
	for _, f := range s.notes.queue {
		f()
	}
	s.notes.queue = nil
}

// vp8Frame is a key frame of 640x360 in one packet.
var vp8Frame = []byte{0x90, 0x80, 0x80, 0x01, 0x10, 0, 0, 0x9d, 1, 0x2a, 0x80, 2, 0x68, 1}

// send lets a packet come in. The rid may be "".
func (s *simulcaster) send(ssrc uint32, seq uint16, rid string) {
	h := rtp.Header{Version: 2, PayloadType: 96, SSRC: ssrc, SequenceNumber: seq, Timestamp: uint32(seq) * 6000, Marker: true}
	if rid != "" {
		_ = h.SetExtension(chromiumMID, []byte("1"))
		_ = h.SetExtension(chromiumRID, []byte(rid))
	}
	s.takeRTP(&h, vp8Frame, s.now)
	s.settle()
}

// sendAgain lets a retransmission come in.
func (s *simulcaster) sendAgain(ssrc uint32, seq uint16, rid string) {
	h := rtp.Header{Version: 2, PayloadType: 97, SSRC: ssrc, SequenceNumber: 1000 + seq, Timestamp: uint32(seq) * 6000, Marker: true}
	if rid != "" {
		_ = h.SetExtension(chromiumRepairedRID, []byte(rid))
	}
	s.takeRTP(&h, append([]byte{byte(seq >> 8), byte(seq)}, vp8Frame...), s.now)
}

func (s *simulcaster) checkDropped(reason int, want uint64) {
	s.t.Helper()
	if got := s.in.dropped[reason].Load(); got != want {
		s.t.Errorf("dropped as %s: got %d, want %d", dropNames[reason], got, want)
	}
}

func rids(list []*sfu.Publisher) (names []string) {
	for _, p := range list {
		names = append(names, p.RID())
	}
	return names
}

// Streams are told by the id of their encoding, at first. Each is a publisher
// of its own, all of one source, for as long as the camera is on.
func TestLayersAreToldByTheirID(t *testing.T) {
	s := newSimulcaster(t)
	s.send(101, 1, "") // may be anything
	s.checkDropped(dropUnknownRID, 1)
	for i, rid := range []string{"hi", "low", "mid"} {
		ssrc := uint32(101 + i)
		s.send(ssrc, 1, rid)
		s.send(ssrc, 2, rid)
		s.send(ssrc, 3, "") // the browser knows that we know
	}
	if got, want := rids(s.started), []string{"hi", "low", "mid"}; !slices.Equal(got, want) {
		t.Fatalf("started: got %v, want %v", got, want)
	}
	for _, p := range s.started {
		if got := p.Stats().Packets; got != 3 {
			t.Errorf("packets of %s: got %d, want 3", p.RID(), got)
		}
		if p.Source() != s.started[0].Source() {
			t.Errorf("source of %s: got another than that of %s", p.RID(), s.started[0].RID())
		}
	}

	first := s.started
	s.publish(false)
	if len(s.stopped) != 3 {
		t.Errorf("camera off: got %v stopped, want three", rids(s.stopped))
	}
	s.send(102, 4, "")
	s.checkDropped(dropUnknownType, 1) // nothing is agreed on
	s.publish(true)
	s.send(102, 5, "")
	if len(s.started) != 4 || s.started[3].RID() != "low" || s.started[3].Source() == first[0].Source() {
		t.Errorf("camera on again: got %v started, want low once more, of another source", rids(s.started[3:]))
	}
	s.publish(true) // an offer in between changes nothing
	s.send(102, 6, "")
	if got := s.started[3].Stats().Packets; got != 2 || len(s.started) != 4 {
		t.Errorf("after another offer: got %d packets, %d starts, want 2, 4", got, len(s.started))
	}
}

// A client that says nonsense about its streams harms nobody, itself at most,
// and nothing grows.
func TestForgedLayers(t *testing.T) {
	s := newSimulcaster(t)
	s.send(101, 1, "low")
	for _, rid := range []string{"LOW", "x", "low;mid", strings.Repeat("a", 16)} {
		s.send(900, 1, rid)
	}
	s.checkDropped(dropUnknownRID, 4)

	h := rtp.Header{Version: 2, PayloadType: 96, SSRC: 901}
	_ = h.SetExtension(chromiumMID, []byte("7"))
	_ = h.SetExtension(chromiumRID, []byte("mid"))
	s.takeRTP(&h, vp8Frame, s.now)
	s.checkDropped(dropOtherSSRC, 1) // another section

	// As long as low is heard, nobody takes its place.
	for i := range uint32(1000) {
		s.send(2000+i, 1, "low")
		if i%100 == 0 {
			s.now = s.now.Add(ssrcSilence / 2)
			s.send(101, uint16(2+i/100), "")
		}
	}
	s.checkDropped(dropOtherSSRC, 1001)
	if len(s.started) != 1 || len(s.video.layers) != 3 {
		t.Errorf("got %d publishers, %d layers, want 1, 3", len(s.started), len(s.video.layers))
	}
	// Then the first who comes does: a browser that has started again.
	s.now = s.now.Add(ssrcSilence)
	s.send(5000, 1, "low")
	s.send(101, 99, "")
	s.send(101, 99, "low")
	if got, want := s.started[0].Stats().Packets, uint64(12); got != want {
		t.Errorf("packets: got %d, want %d", got, want)
	}
	s.checkDropped(dropOtherSSRC, 1002)
	s.checkDropped(dropUnknownRID, 5)
	// One stream cannot be two layers.
	s.send(5000, 2, "mid")
	if len(s.started) != 1 {
		t.Errorf("got %v started, want low alone", rids(s.started))
	}
	// What only fills the line starts nothing.
	h = rtp.Header{Version: 2, PayloadType: 96, SSRC: 6000}
	_ = h.SetExtension(chromiumRID, []byte("hi"))
	s.takeRTP(&h, nil, s.now)
	s.settle()
	if len(s.started) != 1 {
		t.Errorf("padding has started %v", rids(s.started))
	}
}

// What is lost of each layer is asked for with its SSRC, and comes again on a
// stream that names the layer.
func TestLayersAreRepaired(t *testing.T) {
	s := newSimulcaster(t)
	w := tap(t, s.Peer)
	s.send(101, 1, "low")
	s.send(102, 1, "mid")
	w.take() // requests for key frames
	s.send(101, 2, "")
	s.send(102, 4, "")
	var asked []string
	for _, pkt := range w.take() {
		if n, ok := pkt.(*rtcp.TransportLayerNack); ok {
			asked = append(asked, fmt.Sprint(n.MediaSSRC, n.Nacks[0].PacketList()))
		}
	}
	if want := []string{"102 [2 3]"}; !slices.Equal(asked, want) {
		t.Errorf("asked for: got %v, want %v", asked, want)
	}
	s.sendAgain(202, 2, "")
	s.checkDropped(dropOtherSSRC, 1) // whose is it?
	s.sendAgain(202, 2, "mid")
	s.sendAgain(202, 3, "") // known by now
	if got := s.started[1].Stats().Packets; got != 4 {
		t.Errorf("packets of mid: got %d, want 4", got)
	}
	s.now = s.now.Add(time.Second)
	f := newFeedback(s.Peer)
	f.tick(s.now)
	blocks := make(map[uint32]rtcp.ReceptionReport)
	for _, pkt := range w.take() {
		switch r := pkt.(type) {
		case *rtcp.TransportLayerNack:
			t.Errorf("asked again for what was repaired: %v", r)
		case *rtcp.ReceiverReport:
			for _, b := range r.Reports {
				blocks[b.SSRC] = b
			}
		}
	}
	if len(blocks) != 2 || blocks[102].TotalLost != 2 || blocks[101].TotalLost != 0 {
		t.Errorf("reports: got %v, want 101 with none lost and 102 with two", blocks)
	}

	s.started[1].RequestKeyFrame()
	for _, pkt := range w.take() {
		if r, ok := pkt.(*rtcp.PictureLossIndication); ok && r.MediaSSRC != 102 {
			t.Errorf("key frame asked of %d, want 102", r.MediaSSRC)
		}
	}
}

// A layer that is silent is not asked for key frames.
func TestPausedLayerIsNotAsked(t *testing.T) {
	s := newSimulcaster(t)
	w := tap(t, s.Peer)
	asks := func(d time.Duration) (n int) {
		w.take()
		s.now = s.now.Add(-d)
		s.send(101, uint16(s.in.dropped[dropUnknownType].Load()+1), "low")
		s.video.askForKeyFrame(s.video.layers[0])
		for _, pkt := range w.take() {
			if _, ok := pkt.(*rtcp.PictureLossIndication); ok {
				n++
			}
		}
		return n
	}
	if got := asks(0); got == 0 {
		t.Error("a layer that is heard: got no request")
	}
	s = newSimulcaster(t)
	w = tap(t, s.Peer)
	if got := asks(2 * layerSilence); got != 0 {
		t.Errorf("a silent layer: got %d requests, want 0", got)
	}
}

// What a simulcast offer is answered with.
func TestSimulcastAnswers(t *testing.T) {
	const extensions = "a=extmap:4 " + uriMID + "\r\na=extmap:10 " + uriRID + "\r\n"
	for _, c := range []struct {
		name, lines string
		want        []string
	}{
		{"three", extensions + "a=rid:low send\r\na=rid:mid send\r\na=rid:hi send\r\na=simulcast:send low;mid;hi\r\n", []string{"low", "mid", "hi"}},
		{"some paused", extensions + "a=rid:low send\r\na=rid:mid send\r\na=rid:hi send\r\na=simulcast:send low;~mid;hi\r\n", []string{"low", "mid", "hi"}},
		{"content share", extensions + "a=rid:low send\r\na=rid:hi send\r\na=simulcast:send ~low;hi\r\n", []string{"low", "hi"}},
		{"order of the list", extensions + "a=rid:0 send\r\na=rid:1 send pt=96;max-width=640\r\na=simulcast:send 1;0\r\n", []string{"1", "0"}},
		{"alternatives", extensions + "a=rid:0 send\r\na=rid:1 send\r\na=rid:2 send\r\na=simulcast:send 1,~2;0\r\n", []string{"1", "0"}},
		{"both ways", extensions + "a=rid:0 send\r\na=rid:9 recv\r\na=simulcast:recv 9 send 0\r\n", []string{"0"}},
		{"without a rid line", extensions + "a=rid:0 send\r\na=simulcast:send 0;1\r\n", []string{"0"}},
		{"one twice", extensions + "a=rid:0 send\r\na=simulcast:send 0;0\r\n", []string{"0"}},
		{"five", extensions + "a=rid:0 send\r\na=rid:1 send\r\na=rid:2 send\r\na=rid:3 send\r\na=rid:4 send\r\na=simulcast:send 0;1;2;3;4\r\n", []string{"0", "1", "2", "3"}},
		{"no header extension", "a=rid:0 send\r\na=simulcast:send 0\r\n", nil},
		{"no list", extensions + "a=rid:0 send\r\n", nil},
		{"strange ids", extensions + "a=rid:a/b send\r\na=rid: send\r\na=simulcast:send a/b;\r\n", nil},
		{"id that fits no header", extensions + "a=rid:" + strings.Repeat("x", 17) + " send\r\na=simulcast:send " + strings.Repeat("x", 17) + "\r\n", nil},
	} {
		for _, dir := range []string{"sendrecv", "inactive"} {
			t.Run(c.name+", "+dir, func(t *testing.T) {
				offer := strings.Replace(shortOffer, "a=inactive\r\n", "a="+dir+"\r\n"+c.lines, 1)
				p := newSDPPeer()
				a, _, err := p.answerTo(offer, true, nil)
				if err != nil {
					t.Fatal(err)
				}
				want := ""
				for _, rid := range c.want {
					want += "a=rid:" + rid + " recv\r\n"
				}
				if want != "" {
					want += "a=simulcast:recv " + strings.Join(c.want, ";") + "\r\n"
				}
				if !strings.Contains(a.SDP, want) || strings.Count(a.SDP, "a=rid") != len(c.want) || strings.Contains(a.SDP, "a=simulcast") != (want != "") {
					t.Errorf("got:\n%s\nwant the lines\n%s", a.SDP, want)
				}
			})
		}
	}
}

// The packet path allocates nothing, whichever layer a packet is of.
func TestTakingPacketsAllocatesNothing(t *testing.T) {
	s := newSimulcaster(t)
	s.ev.Audio = func(*rtp.Packet, uint8, time.Time) {}
	s.send(101, 1, "low")
	s.send(102, 1, "mid")
	video := rtp.Header{Version: 2, PayloadType: 96, SSRC: 102, SequenceNumber: 1, Marker: true}
	_ = video.SetExtension(3, []byte{0, 0})
	again := rtp.Header{Version: 2, PayloadType: 97, SSRC: 202}
	_ = again.SetExtension(chromiumRepairedRID, []byte("mid"))
	audio := rtp.Header{Version: 2, PayloadType: 63, SSRC: 1}
	_ = audio.SetExtension(1, []byte{30})
	redundant := []byte{0x80 | 111, 960 >> 6, (960 & 0x3f) << 2, 3, 111, 1, 2, 3, 4, 5, 6}
	body := append([]byte{0, 0}, vp8Frame...)
	var seq uint16
	take := func() {
		seq += 2 // every other is lost
		video.SequenceNumber, video.Timestamp = seq, uint32(seq)*3000
		s.takeRTP(&video, vp8Frame, s.now)
		h := again
		body[0], body[1] = byte((seq-1)>>8), byte(seq-1)
		h.SequenceNumber, h.Timestamp = seq, uint32(seq-1)*3000
		s.takeRTP(&h, body, s.now)
		audio.SequenceNumber, audio.Timestamp = seq, uint32(seq)*960
		s.takeRTP(&audio, redundant, s.now)
		s.now = s.now.Add(20 * time.Millisecond)
	}
	for range 3000 { // the cache fills
		take()
	}
	// What is sent back in turn, NACKs, does allocate; this peer has no network.
	nacks := testing.AllocsPerRun(1000, func() { s.sendNACK(102, []uint16{1}) })
	if n := testing.AllocsPerRun(1000, take) - nacks; n > 0 {
		t.Errorf("taking a packet of each kind allocates %v times, want 0", n)
	}
	if s.in.recovered.Load() == 0 || s.video.layers[1].in.received == 0 {
		t.Error("nothing was taken")
	}
}
