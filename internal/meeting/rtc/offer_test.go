package rtc

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"belfry.live/belfry/internal/meeting/port"
	"belfry.live/belfry/internal/meeting/sfu"
	"github.com/pion/sdp/v3"
)

var update = flag.Bool("update", false, "write the answers of this run to testdata/answers")

// newSDPPeer returns a peer that can decide and write, without a network. All
// that is random elsewhere is fixed.
func newSDPPeer() *Peer {
	p := &Peer{
		t: new(Transport),
		writer: answerWriter{
			session:     1,
			ufrag:       "serverfrag",
			pwd:         "serverpassword",
			fingerprint: "sha-256 01:02",
			cname:       "cname",
			candidates: []port.Candidate{
				{Addr: netip.MustParseAddrPort("198.51.100.7:3478"), Priority: 2130706175},
				{Addr: netip.MustParseAddrPort("198.51.100.7:3478"), TCP: true, Priority: 1526726399},
			},
		},
		receives: make(map[string]*receive),
	}
	p.out.init()
	p.in.init(p)
	p.video.peer = p
	p.plan.Store(new(plan))
	return p
}

// answerTo answers as Negotiate does, but for the network. Every section but
// the camera's watches source.
func (p *Peer) answerTo(text string, publish bool, source *sfu.Publisher) (Answer, *offer, error) {
	parsed, err := parseOffer(text)
	if err != nil {
		return Answer{}, nil, err
	}
	n := negotiation{peer: p, offer: parsed, plan: new(plan), receives: make(map[string]*receive)}
	o := Offer{Publish: publish}
	for range maxSections {
		o.Receive = append(o.Receive, Receive{Target: sfu.Whole(source)})
	}
	if err := n.decide(o); err != nil {
		return Answer{}, nil, err
	}
	n.apply()
	return Answer{SDP: p.writer.write(parsed, n.sections), Tracks: n.tracks}, parsed, nil
}

// What real offers are answered with.
func TestAnswers(t *testing.T) {
	files, err := filepath.Glob("testdata/offers/*.sdp")
	if err != nil || len(files) == 0 {
		t.Fatalf("offers: got %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".sdp"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			p := newSDPPeer()
			a, _, err := p.answerTo(string(text), true, sfu.NewPublisher(sfu.PublisherConfig{}))
			if err != nil {
				t.Fatal(err)
			}
			got := nameSSRCs(a.SDP)
			golden := filepath.Join("testdata", "answers", filepath.Base(file))
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// nameSSRCs replaces the random numbers by the order they appear in.
func nameSSRCs(text string) string {
	names := make(map[string]string)
	number := regexp.MustCompile(`\b\d+\b`)
	return regexp.MustCompile(`a=ssrc(:|-group).*`).ReplaceAllStringFunc(text, func(line string) string {
		attribute, rest, _ := strings.Cut(line, ":")
		return attribute + ":" + number.ReplaceAllStringFunc(rest, func(n string) string {
			if names[n] == "" {
				names[n] = fmt.Sprintf("SSRC%d", len(names)+1)
			}
			return names[n]
		})
	})
}

// shortOffer is the least that is answered.
const shortOffer = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1 2\r\n" +
	"a=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdef012345\r\na=fingerprint:SHA-256 AB:cd\r\na=setup:actpass\r\n" +
	"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=rtpmap:111 opus/48000/2\r\n" +
	"m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na=inactive\r\na=rtpmap:96 VP8/90000\r\n" +
	"m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:2\r\na=recvonly\r\na=rtpmap:96 VP8/90000\r\n"

func TestOffersThatAreRefused(t *testing.T) {
	replace := func(from, to string) string {
		if !strings.Contains(shortOffer, from) {
			t.Fatalf("%q is not in the offer", from)
		}
		return strings.Replace(shortOffer, from, to, 1)
	}
	for _, c := range []struct{ name, offer, want string }{
		{"empty", "", "no sections"},
		{"not SDP", "hello\r\n", "line 1"},
		{"no credentials", replace("a=ice-ufrag:abcd\r\n", ""), "no ICE credentials"},
		{"no password", replace("a=ice-pwd:0123456789abcdef012345\r\n", ""), "no ICE credentials"},
		{"no fingerprint", replace("a=fingerprint:SHA-256 AB:cd\r\n", ""), "no certificate fingerprint"},
		{"weak fingerprint only", replace("SHA-256", "md5"), "no certificate fingerprint"},
		{"passive client", replace("actpass", "passive"), "setup:passive"},
		{"lite client", replace("a=setup", "a=ice-lite\r\na=setup"), "ICE-lite"},
		{"not bundled", replace("BUNDLE 0 1 2", "BUNDLE 0 1"), `"2" is not bundled`},
		{"no mid", replace("a=mid:1\r\n", ""), "has no mid"},
		{"mid twice", replace("a=mid:1\r\n", "a=mid:0\r\n"), "two sections"},
		{"mid with spaces", replace("a=mid:1\r\n", "a=mid:1 sendrecv\r\n"), "mid"},
		{"no Opus", replace("opus", "PCMU"), "no Opus"},
		{"payload type 200", replace("SAVPF 111", "SAVPF 200"), "payload type"},
		{"payload type twice", replace("SAVPF 111", "SAVPF 111 111"), "twice"},
		{"port too high", replace("m=audio 9", "m=audio 99999"), "port"},
		{"too few fields", replace("m=audio 9 UDP/TLS/RTP/SAVPF 111", "m=audio 9"), "too few fields"},
		{"strange protocol", replace("UDP/TLS/RTP/SAVPF 111", "a\x00b 111"), "strange protocol"},
		{"strange kind", replace("m=audio 9", "m=smell 9"), "strange kind"},
		{"too many sections", shortOffer + strings.Repeat("m=video 9 UDP/TLS/RTP/SAVPF 96\r\n", maxSections), "more than 64 sections"},
		{"too long", shortOffer + strings.Repeat("a=x\r\n", maxOffer/5), "bytes long"},
		{"extension id 0", replace("a=mid:0", "a=extmap:0 uri\r\na=mid:0"), "extmap"},
		{"broken clock rate", replace("opus/48000", "opus/x"), "clock rate"},
		{"broken SSRC", replace("a=mid:0", "a=ssrc:x\r\na=mid:0"), "ssrc"},
		{"long password", replace("a=ice-pwd:", "a=ice-pwd:"+strings.Repeat("x", maxSecret)), "too long"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := newSDPPeer().answerTo(c.offer, true, nil)
			if !errors.Is(err, ErrOffer) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %v with %q", err, ErrOffer, c.want)
			}
		})
	}
}

// Directions, stopped and recycled sections, by what is answered to them.
func TestSections(t *testing.T) {
	source := sfu.NewPublisher(sfu.PublisherConfig{})
	const want = "sendonly"
	for _, c := range []struct {
		name      string
		from, to  string
		publish   bool
		source    *sfu.Publisher
		port, dir string // of the section that is looked at
		mid       string
	}{
		{"watching", "", "", false, source, "9", want, "2"},
		{"nobody to watch", "", "", false, nil, "9", "inactive", "2"},
		{"section not wanted", "a=recvonly", "a=inactive", false, source, "9", "inactive", "2"},
		{"camera off", "", "", false, source, "9", "inactive", "1"},
		{"camera on", "a=inactive", "a=sendrecv", true, source, "9", "sendrecv", "1"},
		{"camera only sends", "a=inactive", "a=sendonly", true, source, "9", "recvonly", "1"},
		{"camera on, but not allowed", "a=inactive", "a=sendrecv", false, source, "9", "inactive", "1"},
		{"camera section never receives", "a=inactive", "a=recvonly", true, source, "9", "inactive", "1"},
		{"bundle-only is no rejection", "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:2", "m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=bundle-only\r\na=mid:2", false, source, "9", want, "2"},
		{"stopped", "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:2", "m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=mid:2", false, source, "0", "inactive", "2"},
		{"no codec in common", "a=recvonly\r\na=rtpmap:96 VP8", "a=recvonly\r\na=rtpmap:96 H266", false, source, "0", "inactive", "2"},
		{"only a rare profile at the camera", "a=inactive\r\na=rtpmap:96 VP8", "a=sendrecv\r\na=fmtp:96 profile-id=2\r\na=rtpmap:96 VP9", true, source, "0", "inactive", "1"},
		{"a rare profile to watch", "a=recvonly\r\na=rtpmap:96 VP8", "a=recvonly\r\na=fmtp:96 profile-id=2\r\na=rtpmap:96 VP9", false, source, "9", want, "2"},
		{"audio only sends", "a=mid:0", "a=sendonly\r\na=mid:0", false, nil, "9", "recvonly", "0"},
		{"data channel", "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:2", "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2", false, nil, "0", "inactive", "2"},
		{"second audio", "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:2", "m=audio 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:2", false, nil, "0", "inactive", "2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(shortOffer, c.from) {
				t.Fatalf("%q is not in the offer", c.from)
			}
			a, _, err := newSDPPeer().answerTo(strings.Replace(shortOffer, c.from, c.to, 1), c.publish, c.source)
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := parseOffer(strings.NewReplacer("setup:passive", "setup:active", "a=ice-lite\r\n", "").Replace(a.SDP))
			if err != nil {
				t.Fatalf("answer: %v\n%s", err, a.SDP)
			}
			i := slices.IndexFunc(parsed.sections, func(s section) bool { return s.mid == c.mid })
			s := parsed.sections[i]
			if got := fmt.Sprint(s.port); got != c.port || string(s.direction) != c.dir {
				t.Errorf("section %s: got port %s, %s, want port %s, %s", c.mid, got, s.direction, c.port, c.dir)
			}
			bundled := slices.Contains(parsed.bundle, c.mid)
			if bundled != (c.port != "0") {
				t.Errorf("bundled: got %v, want %v", bundled, !bundled)
			}
			tracked := slices.ContainsFunc(a.Tracks, func(t Track) bool { return t.MID == c.mid })
			if tracked != (c.dir == want) {
				t.Errorf("track of section %s: got %v, want %v", c.mid, tracked, !tracked)
			}
		})
	}
}

// A client watches 25 others; some sections were stopped and some began anew.
func TestManySections(t *testing.T) {
	p := newSDPPeer()
	source := sfu.NewPublisher(sfu.PublisherConfig{})
	offer := func(mids ...string) string {
		text := strings.Replace(shortOffer, "BUNDLE 0 1 2", "BUNDLE 0 1 2 "+strings.Join(mids, " "), 1)
		for _, mid := range mids {
			text += "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=mid:" + mid + "\r\na=recvonly\r\na=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n"
		}
		return text
	}
	var mids []string
	for i := 3; i < 27; i++ {
		mids = append(mids, fmt.Sprint(i))
	}
	a, _, err := p.answerTo(offer(mids...), false, source)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(a.Tracks); got != 25 {
		t.Fatalf("tracks: got %d, want 25", got)
	}
	ssrcs := make(map[string]uint32)
	for i, track := range a.Tracks {
		if want := fmt.Sprint(i + 2); track.MID != want || track.Section != i+1 || !strings.Contains(a.SDP, fmt.Sprintf("a=msid:v_%s t_%s\r\n", want, want)) {
			t.Errorf("track %d: got mid %s, section %d, want %s, %d, and its stream", i, track.MID, track.Section, want, i+1)
		}
		ssrcs[track.MID] = track.SSRC
	}
	mids[0], mids[20] = "27", "28"
	if a, _, err = p.answerTo(offer(mids...), false, source); err != nil {
		t.Fatal(err)
	}
	for _, track := range a.Tracks {
		before, known := ssrcs[track.MID]
		if known && before != track.SSRC {
			t.Errorf("SSRC of %s: got %d, want %d as before", track.MID, track.SSRC, before)
		}
		if known == (track.MID == "27" || track.MID == "28") {
			t.Errorf("mid %s: known %v", track.MID, known)
		}
	}
	if got := len(p.plan.Load().subscribers); got != 25 {
		t.Errorf("subscribers: got %d, want 25", got)
	}
}

// Offers come from strangers: whatever they say, the answer is an error or
// has the same sections with the same mids, and other software reads it.
func FuzzOffer(f *testing.F) {
	files, err := filepath.Glob("testdata/offers/*.sdp")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b), true)
	}
	f.Add(shortOffer, false)
	f.Add(strings.ReplaceAll(shortOffer, "\r\n", "\n"), true)
	source := sfu.NewPublisher(sfu.PublisherConfig{})
	f.Fuzz(func(t *testing.T, text string, publish bool) {
		p := newSDPPeer()
		a, o, err := p.answerTo(text, publish, source)
		if err != nil {
			if !errors.Is(err, ErrOffer) {
				t.Fatalf("got %v, want %v", err, ErrOffer)
			}
			return
		}
		var answer sdp.SessionDescription
		if err := answer.UnmarshalString(a.SDP); err != nil {
			t.Fatalf("answer: %v\n%s", err, a.SDP)
		}
		if got, want := len(answer.MediaDescriptions), len(o.sections); got != want {
			t.Fatalf("sections: got %d, want %d", got, want)
		}
		for i, m := range answer.MediaDescriptions {
			if got, _ := m.Attribute("mid"); got != o.sections[i].mid {
				t.Errorf("mid of section %d: got %q, want %q", i, got, o.sections[i].mid)
			}
		}
		// A second offer of the same kind must be answered too.
		if _, _, err := p.answerTo(text, publish, nil); err != nil {
			t.Errorf("once more: %v", err)
		}
	})
}
