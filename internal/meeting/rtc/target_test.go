package rtc

import (
	"slices"
	"strings"
	"testing"

	"belfry.live/belfry/internal/meeting/sfu"
)

// What a section shows changes without an offer; only of a section that is
// agreed on.
func TestSetTarget(t *testing.T) {
	p := newSDPPeer()
	p.connected = true
	one, two := sfu.NewPublisher(sfu.PublisherConfig{}), sfu.NewPublisher(sfu.PublisherConfig{})
	if _, _, err := p.answerTo(shortOffer, false, one); err != nil {
		t.Fatal(err)
	}
	if p.SetTarget("7", sfu.Whole(two)) || p.SetTarget("1", sfu.Whole(two)) || p.SetTarget("0", sfu.Whole(two)) {
		t.Error("sections that are none, the camera's and the audio's: got true, want false")
	}
	if !p.SetTarget("2", sfu.Whole(two)) {
		t.Error("a section: got false, want true")
	}
	if got := p.receives["2"].target.Publisher; got != two {
		t.Errorf("target: got %p, want %p", got, two)
	}
	if !p.SetTarget("2", sfu.Target{}) {
		t.Error("nothing to show: got false, want true")
	}
	if _, _, err := p.answerTo(shortOffer, false, nil); err != nil {
		t.Fatal(err)
	}
	if p.SetTarget("2", sfu.Whole(one)) {
		t.Error("a section that is inactive now: got true, want false")
	}
}

// A section may be agreed on before anything is sent there.
func TestReceivePaused(t *testing.T) {
	p := newSDPPeer()
	p.connected = true
	source := sfu.NewPublisher(sfu.PublisherConfig{})
	parsed, err := parseOffer(shortOffer)
	if err != nil {
		t.Fatal(err)
	}
	n := negotiation{peer: p, offer: parsed, plan: new(plan), receives: make(map[string]*receive)}
	if err := n.decide(Offer{Receive: []Receive{{}, {Target: sfu.Whole(source), Paused: true}}}); err != nil {
		t.Fatal(err)
	}
	n.apply()
	if len(n.tracks) != 1 || n.sections[2].direction != sendOnly {
		t.Errorf("got %v, %s, want a track on an active section", n.tracks, n.sections[2].direction)
	}
	if got := p.receives["2"].target; got != (sfu.Target{}) {
		t.Errorf("target: got %v, want none yet", got)
	}
	if !p.SetTarget("2", sfu.Whole(source)) {
		t.Error("going on: got false, want true")
	}
}

func TestDecodes(t *testing.T) {
	p := newSDPPeer()
	if got := p.Decodes(); len(got) != 0 {
		t.Errorf("before an offer: got %v, want none", got)
	}
	const more = "a=recvonly\r\na=rtpmap:98 VP9/90000\r\na=fmtp:98 profile-id=2\r\na=rtpmap:99 H264/90000\r\n" +
		"a=fmtp:99 profile-level-id=42E01F;packetization-mode=1\r\na=rtpmap:100 H264/90000\r\na=fmtp:100 profile-level-id=42e01f\r\na=rtpmap:96 VP8"
	offer := strings.Replace(shortOffer, "a=recvonly\r\na=rtpmap:96 VP8", more, 1)
	offer = strings.Replace(offer, "SAVPF 96\r\na=mid:2", "SAVPF 98 99 100 96\r\na=mid:2", 1)
	offer = strings.Replace(offer, "SAVPF 96\r\na=mid:1", "SAVPF 96 45\r\na=rtpmap:45 AV1/90000\r\na=mid:1", 1)
	if _, _, err := p.answerTo(offer, false, nil); err != nil {
		t.Fatal(err)
	}
	want := []sfu.Format{{Codec: sfu.VP8}, {Codec: sfu.AV1}, {Codec: sfu.VP9, Profile: 2}, {Codec: sfu.H264, Profile: 0x42e0}}
	if got := p.Decodes(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// What the client compares as text.
func TestVideoAnswers(t *testing.T) {
	for _, c := range []struct {
		name, lines    string
		camera, watch  string // of the answer; "": not accepted
		cameraRejected bool
	}{
		{name: "VP8 of Firefox", lines: "VP8/90000\r\na=fmtp:96 max-fs=12288;max-fr=60"},
		{name: "VP9", lines: "VP9/90000\r\na=fmtp:96 profile-id=0", camera: "profile-id=0", watch: "profile-id=0"},
		{name: "VP9 of Firefox", lines: "VP9/90000\r\na=fmtp:96 max-fs=12288;max-fr=60", camera: "profile-id=0", watch: "profile-id=0"},
		{name: "VP9 with the client's addition", lines: "VP9/90000\r\na=fmtp:96 profile-id=0;x-google-start-bitrate=1000", camera: "profile-id=0", watch: "profile-id=0"},
		{name: "VP9 of 10 bits", lines: "VP9/90000\r\na=fmtp:96 profile-id=2", watch: "profile-id=2", cameraRejected: true},
		{name: "AV1", lines: "AV1/90000\r\na=fmtp:96 level-idx=5;profile=0;tier=0"},
		{name: "AV1 of Firefox", lines: "AV1/90000"},
		{name: "AV1 high", lines: "AV1/90000\r\na=fmtp:96 level-idx=5;profile=1;tier=0", watch: "level-idx=5;profile=1;tier=0", cameraRejected: true},
		{
			name: "H.264", lines: "H264/90000\r\na=fmtp:96 profile-level-id=42E01F;packetization-mode=1;level-asymmetry-allowed=1",
			camera: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f", watch: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			offer := strings.ReplaceAll(strings.Replace(shortOffer, "a=inactive", "a=sendrecv", 1), "VP8/90000", c.lines)
			a, _, err := newSDPPeer().answerTo(offer, true, sfu.NewPublisher(sfu.PublisherConfig{}))
			if err != nil {
				t.Fatal(err)
			}
			sections := strings.Split(a.SDP, "\r\nm=")
			for _, s := range []struct {
				what, text, want string
				rejected         bool
			}{{"camera", sections[2], c.camera, c.cameraRejected}, {"watched", sections[3], c.watch, false}} {
				if rejected := strings.HasPrefix(s.text, "video 0 "); rejected != s.rejected {
					t.Errorf("%s: rejected: got %v, want %v", s.what, rejected, s.rejected)
				}
				got := ""
				if _, after, ok := strings.Cut(s.text, "a=fmtp:96 "); ok {
					got, _, _ = strings.Cut(after, "\r\n")
				}
				if got != s.want {
					t.Errorf("%s: got %q, want %q", s.what, got, s.want)
				}
			}
		})
	}
}
