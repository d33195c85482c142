package attendee

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"belfry.live/belfry/internal/attendee/link"
)

const answerText = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1 2\r\na=ice-lite\r\n" +
	"m=audio 9 UDP/TLS/RTP/SAVPF 63 111\r\na=candidate:1 1 udp 2130706431 192.0.2.1 3478 typ host\r\n" +
	"a=candidate:2 1 tcp 1671430143 192.0.2.1 3478 typ host tcptype passive\r\n" +
	"a=ice-ufrag:u\r\na=ice-pwd:p\r\na=fingerprint:sha-256 AA:BB\r\na=setup:passive\r\na=mid:0\r\n" +
	"a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\na=extmap:4/recvonly urn:ietf:params:rtp-hdrext:sdes:mid\r\n" +
	"a=sendrecv\r\na=ssrc:7 cname:x\r\n" +
	"m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=mid:1\r\na=recvonly\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n" +
	"a=rid:low recv\r\na=rid:hi recv\r\na=simulcast:recv low;~hi\r\n" +
	"m=video 9 UDP/TLS/RTP/SAVPF 102 103\r\na=mid:2\r\na=sendonly\r\na=fmtp:103 apt=102\r\n" +
	"a=ssrc-group:FID 4294967295 9\r\na=ssrc:4294967295 cname:x\r\na=ssrc:9 cname:x\r\n" +
	"m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=mid:3\r\n"

func TestAnswerIsRead(t *testing.T) {
	a, err := parseAnswer(answerText)
	if err != nil {
		t.Fatal(err)
	}
	if r := a.remote; r.Ufrag != "u" || r.Pwd != "p" || r.Fingerprint != "sha-256 AA:BB" || len(r.Candidates) != 2 ||
		!r.Candidates[1].TCP || r.Candidates[0].Addr.String() != "192.0.2.1:3478" {
		t.Errorf("got remote %+v", r)
	}
	want := []answeredSection{
		{
			kind: "audio", mid: "0", direction: "sendrecv", types: []byte{63, 111}, rtx: map[byte]byte{},
			exts: map[string]byte{uriLevel: 1, uriMID: 4}, ssrc: 7,
		},
		{
			kind: "video", mid: "1", direction: "recvonly", types: []byte{96, 97}, rtx: map[byte]byte{96: 97},
			exts: map[string]byte{}, rids: []string{"low", "hi"},
		},
		{
			kind: "video", mid: "2", direction: "sendonly", types: []byte{102, 103}, rtx: map[byte]byte{102: 103},
			exts: map[string]byte{}, ssrc: 4294967295, repair: 9,
		},
		{kind: "video", mid: "3", direction: "inactive", types: []byte{96}, rtx: map[byte]byte{}, exts: map[string]byte{}},
	}
	for i, s := range a.sections {
		if !reflect.DeepEqual(s, want[i]) {
			t.Errorf("section %d: got %+v, want %+v", i, s, want[i])
		}
	}
	if got := a.sections[1].numberOf(VP8); got != 96 {
		t.Errorf("got VP8 as %d, want 96", got)
	}
	if got := a.sections[1].numberOf(H264); got != 0 {
		t.Errorf("got H.264 as %d, want none", got)
	}
}

func TestAnswersThatConnectNothing(t *testing.T) {
	for name, sdp := range map[string]string{
		"empty":       "",
		"no password": strings.Replace(answerText, "a=ice-pwd:p\r\n", "", 1),
		"other setup": strings.Replace(answerText, "passive\r\na=mid", "active\r\na=mid", 1),
		"short m=":    "a=ice-ufrag:u\r\na=ice-pwd:p\r\na=fingerprint:f\r\nm=audio 9\r\n",
		"endless":     answerText + strings.Repeat("m=video 9 X 96\r\n", maxSections),
	} {
		if _, err := parseAnswer(sdp); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

// What is offered reads back as it was meant.
func TestOfferSaysWhatIsSentAndReceived(t *testing.T) {
	c := New(Config{Codecs: []Codec{VP8, H264, VP9, AV1}, RED: true, Stereo: true}, Handler{})
	o := &offer{
		local:  link.Description{Ufrag: "u", Pwd: "p", Fingerprint: "sha-256 AA"},
		codecs: c.cfg.Codecs, stereo: true, red: true, audio: c.audio, layers: c.camera[:],
		camera: &filming{codec: H264, layers: []Layer{{"low", 300}, {"mid", 0}, {"hi", 1200}}},
		videos: []offeredVideo{{mid: "2", active: true}, {mid: "3"}},
	}
	sdp := o.write()
	for _, line := range []string{
		"a=simulcast:send low;~mid;hi", "a=rid:mid send", "a=rtpmap:63 red/48000/2",
		"a=fmtp:111 minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1", "a=group:BUNDLE 0 1 2 3", "a=rtpmap:45 AV1/90000",
	} {
		if !strings.Contains(sdp, line+"\r\n") {
			t.Errorf("got no line %q in\n%s", line, sdp)
		}
	}
	a, err := parseAnswer(sdp)
	if err != nil {
		t.Fatal(err)
	}
	var directions []string
	for _, s := range a.sections {
		directions = append(directions, s.direction)
	}
	if want := []string{"sendrecv", "sendrecv", "recvonly", "inactive"}; !slices.Equal(directions, want) {
		t.Errorf("got directions %q, want %q", directions, want)
	}
	if got := a.sections[1].types[0]; got != 102 {
		t.Errorf("got %d as the camera's first format, want 102: what is sent", got)
	}
	if got := a.sections[2].types[0]; got != 96 {
		t.Errorf("got %d as the first format received, want 96", got)
	}

	o.camera = &filming{codec: VP8, layers: []Layer{{MaxKbps: 1500}}}
	if sdp = o.write(); !strings.Contains(sdp, "a=ssrc-group:FID ") || strings.Contains(sdp, "simulcast") {
		t.Errorf("got an offer of one layer without its streams, or as simulcast:\n%s", sdp)
	}
}

// FuzzAnswer: whatever a server answers is read or refused.
func FuzzAnswer(f *testing.F) {
	f.Add(answerText)
	f.Add("a=ice-ufrag:u\r\na=ice-pwd:p\r\na=fingerprint:f\r\nm=video 0 X 96 x 999\r\na=extmap:x\r\na=fmtp:a apt=b\r\na=ssrc-group:FID 1\r\n")
	f.Add("m=\r\n")
	f.Fuzz(func(t *testing.T, sdp string) {
		a, err := parseAnswer(sdp)
		if err != nil {
			return
		}
		if len(a.sections) > maxSections || a.remote.Ufrag == "" {
			t.Errorf("got %d sections, ufrag %q", len(a.sections), a.remote.Ufrag)
		}
		for _, s := range a.sections {
			s.numberOf(VP8)
			for uri, id := range s.exts {
				if id == 0 || id > 14 {
					t.Errorf("got extension %q as %d", uri, id)
				}
			}
		}
	})
}
