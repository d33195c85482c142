package signal

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"belfry.live/belfry/internal/wire/chime"
)

func packed(b []byte) *chime.Frame {
	return frame(chime.Frame_SUBSCRIBE, func(f *chime.Frame) {
		f.Sub = &chime.SubscribeFrame{SdpOffer: proto.String(""), CompressedSdpOffer: b}
	})
}

// A client that can sends its offers compressed and gets such answers, each
// with the last one as its dictionary, whichever form that had.
func TestCompressedOffers(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.send(frame(chime.Frame_JOIN, func(f *chime.Frame) { f.Join = &chime.JoinFrame{WantsCompressedSdp: proto.Bool(true)} }))
		if ack := w.receive(chime.Frame_JOIN_ACK).GetJoinack(); !ack.GetWantsCompressedSdp() {
			t.Errorf("got %v, want compression", ack)
		}
		w.receive(chime.Frame_INDEX)
		previous := ""
		for i, sdp := range []string{"first offer", "second offer", "plain", strings.Repeat("long", 100_000)} {
			want := "answer to " + sdp
			if sdp == "plain" {
				w.send(subscribe(sdp))
			} else {
				w.send(packed(chime.CompressSDP(sdp, "")))
			}
			ack := w.receive(chime.Frame_SUBSCRIBE_ACK).GetSuback()
			got := ack.GetSdpAnswer()
			if sdp != "plain" {
				if got != "" {
					t.Errorf("offer %d: got a plain answer, too", i)
				}
				var err error
				if got, err = chime.InflateSDP(ack.GetCompressedSdpAnswer(), previous, len(want)); err != nil {
					t.Fatalf("offer %d: %v", i, err)
				}
			}
			if got != want {
				t.Errorf("offer %d: got %.60q, want %.60q", i, got, want)
			}
			previous = want
		}
	})
}

// What is no compressed offer, or a bomb, is answered with an error; the next
// offer is answered as if nothing had been.
func TestCompressedRubbish(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.join()
		bomb := chime.CompressSDP(strings.Repeat("0", 40<<20), "")
		for _, b := range [][]byte{bomb, {0xff}, chime.CompressSDP("", ""), chime.CompressSDP("with a dictionary", "with a dictionary")} {
			w.send(packed(b))
			if got := w.receive(chime.Frame_SUBSCRIBE_ACK); got.GetError().GetStatus() != 400 || got.Suback == nil {
				t.Errorf("got %v, want an empty answer with error 400", got)
			}
		}
		w.send(packed(chime.CompressSDP("offer", "")))
		got, err := chime.InflateSDP(w.receive(chime.Frame_SUBSCRIBE_ACK).GetSuback().GetCompressedSdpAnswer(), "", 100)
		if err != nil || got != "answer to offer" {
			t.Errorf("got %q, %v, want the answer", got, err)
		}
		w.wantNotes("join 7", "subscribe offer")
	})
}
