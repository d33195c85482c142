package rtc

import (
	"os"
	"testing"
	"time"

	"belfry.live/belfry/internal/meeting/sfu"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// newPublishingPeer returns a peer without a network whose client publishes
// and, in the offer that is named, watches itself.
func newPublishingPeer(t testing.TB) *Peer { return newPeerOf(t, "firefox-watch") }

func newPeerOf(t testing.TB, offer string) *Peer {
	t.Helper()
	text, err := os.ReadFile("testdata/offers/" + offer + ".sdp")
	if err != nil {
		t.Fatal(err)
	}
	p := newSDPPeer()
	p.connected = true
	p.notes = newNotifier()
	p.video.agree(true, nil, 0)
	source := p.video.publish(p.video.layers[0])
	if _, _, err := p.answerTo(string(text), true, source); err != nil {
		t.Fatal(err)
	}
	return p
}

// Clients are strangers even after the handshake: no packet of theirs does
// more than be counted.
func FuzzRTP(f *testing.F) {
	vp9Key := []byte{0x8f, 0x81, 0x00, 0x00, 0x18, 0x01, 0x40, 0x00, 0xb4, 0x00, 0x01, 0x82, 0x49, 0x83, 0x42}
	av1Key := []byte{0x18, 0x0a, 0x0b, 0x00, 0x00, 0x00, 0x24, 0xcf, 0x7f, 0x0d, 0xbf, 0xff, 0x30, 0x08}
	redundant := []byte{0x80 | 111, 960 >> 6, (960 & 0x3f) << 2, 3, 111, 1, 2, 3, 4, 5, 6}
	for _, h := range []rtp.Header{
		{PayloadType: 109, SSRC: 1},                                  // Firefox: audio
		{PayloadType: 120, SSRC: 2, SequenceNumber: 7, Marker: true}, // VP8
		{PayloadType: 124, SSRC: 3},                                  // RTX
		{PayloadType: 99, SSRC: 4},                                   // not agreed
		{PayloadType: 111, SSRC: 1},                                  // Chromium: audio
		{PayloadType: 63, SSRC: 1},                                   // redundant
		{PayloadType: 96, SSRC: 2, SequenceNumber: 7, Marker: true},  // VP8
		{PayloadType: 97, SSRC: 3},                                   // RTX
		{PayloadType: 98, SSRC: 2, Marker: true},                     // VP9
		{PayloadType: 45, SSRC: 2, Marker: true},                     // AV1
	} {
		for _, payload := range [][]byte{vp8Frame, {0, 9, 0x90}, {}, redundant, vp9Key, av1Key} {
			_ = h.SetExtension(1, []byte{0x85})
			_ = h.SetExtension(3, []byte{0, 1})
			_ = h.SetExtension(7, []byte{0, 1})
			_ = h.SetExtension(chromiumMID, []byte("1"))
			_ = h.SetExtension(chromiumRID, []byte("mid"))
			_ = h.SetExtension(chromiumRepairedRID, []byte("mid"))
			_ = h.SetExtension(12, []byte{0x80, 0, 1, 0x80, 0x40})
			b, err := (&rtp.Packet{Header: h, Payload: payload}).Marshal()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b, b, true)
			f.Add(b, b, false)
			b = append(b[:len(b):len(b)], 0, 0, 3)
			b[0] |= 0x20 // padding
			f.Add(b, b, true)
		}
	}
	f.Fuzz(func(t *testing.T, one, two []byte, simulcast bool) {
		p := newPublishingPeer(t)
		if simulcast {
			p = newPeerOf(t, "chromium-simulcast-publish")
		}
		p.ev.Audio = func(p *rtp.Packet, _ uint8, _ time.Time) {
			if len(p.Payload) == 0 {
				t.Error("an audio packet without a frame was passed on")
			}
		}
		now := time.Unix(1000, 0)
		for range 3 {
			for _, b := range [][]byte{one, two} {
				var h rtp.Header
				if n, err := h.Unmarshal(b); err == nil {
					p.takeRTP(&h, b[n:], now)
				}
				now = now.Add(time.Second)
			}
		}
		if n := len(p.video.layers); n > maxLayers {
			t.Errorf("layers: got %d, want at most %d", n, maxLayers)
		}
		f := newFeedback(p)
		f.tick(now)
	})
}

// The same for control packets.
func FuzzRTCP(f *testing.F) {
	for _, list := range [][]rtcp.Packet{
		{&rtcp.SenderReport{SSRC: 2, NTPTime: 1 << 63, RTPTime: 9, Reports: []rtcp.ReceptionReport{{SSRC: 5, LastSenderReport: 3, Delay: 1}}}},
		{&rtcp.ReceiverReport{SSRC: 2, Reports: []rtcp.ReceptionReport{{SSRC: 5, LastSenderReport: 0xffffffff, Delay: 0xffffffff}}}},
		{&rtcp.PictureLossIndication{MediaSSRC: 5}},
		{&rtcp.FullIntraRequest{MediaSSRC: 5, FIR: []rtcp.FIREntry{{SSRC: 5}}}},
		{&rtcp.TransportLayerNack{MediaSSRC: 5, Nacks: []rtcp.NackPair{{PacketID: 1, LostPackets: 0xffff}}}},
		{&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: 1e6, SSRCs: []uint32{5}}},
		{&rtcp.Goodbye{Sources: []uint32{2}}},
	} {
		b, err := rtcp.Marshal(list)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p := newPublishingPeer(t)
		now := time.Unix(1000, 0)
		p.takeRTP(&rtp.Header{PayloadType: 120, SSRC: 2}, []byte{0x10, 0x10}, now)
		// What is watched has the SSRC of the seeds.
		plan := *p.plan.Load()
		for _, s := range plan.subscribers {
			plan.subscribers = map[uint32]*sfu.Subscriber{5: s}
		}
		p.plan.Store(&plan)
		p.takeRTCP(b, now)
		p.takeRTCP(b, now.Add(time.Second))
		f := newFeedback(p)
		f.tick(now.Add(2 * time.Second))
	})
}
