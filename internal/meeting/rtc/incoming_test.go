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
// and watches itself.
func newPublishingPeer(t testing.TB) *Peer {
	t.Helper()
	text, err := os.ReadFile("testdata/offers/firefox-watch.sdp")
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
	vp8Key := []byte{0x90, 0x80, 0x80, 0x01, 0x10, 0, 0, 0x9d, 1, 0x2a, 0x80, 2, 0x68, 1}
	for _, h := range []rtp.Header{
		{PayloadType: 109, SSRC: 1},                                  // audio
		{PayloadType: 120, SSRC: 2, SequenceNumber: 7, Marker: true}, // VP8
		{PayloadType: 124, SSRC: 3},                                  // RTX
		{PayloadType: 99, SSRC: 4},                                   // not agreed
	} {
		for _, payload := range [][]byte{vp8Key, {0, 9, 0x90}, {}} {
			_ = h.SetExtension(1, []byte{0x85})
			_ = h.SetExtension(7, []byte{0, 1})
			b, err := (&rtp.Packet{Header: h, Payload: payload}).Marshal()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b, b)
			b = append(b[:len(b):len(b)], 0, 0, 3)
			b[0] |= 0x20 // padding
			f.Add(b, b)
		}
	}
	f.Fuzz(func(t *testing.T, one, two []byte) {
		p := newPublishingPeer(t)
		var audio int
		p.ev.Audio = func(*rtp.Packet, uint8, time.Time) { audio++ }
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
