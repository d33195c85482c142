package link

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/turn/v5"
	"github.com/pion/webrtc/v4"
)

const patience = 20 * time.Second

// An other is the other side of a link: a general WebRTC library, which takes
// part in no code with this package's ICE.
type other struct {
	pc     *webrtc.PeerConnection
	track  *webrtc.TrackLocalStaticRTP
	heard  chan *rtp.Packet
	remote Description
}

type otherConfig struct {
	full bool // ICE; else lite
	tcp  bool // candidates for it, and none for UDP
}

// answer makes an other that answers an offer of the link's.
func answer(t *testing.T, l *Link, cfg otherConfig) *other {
	t.Helper()
	var s webrtc.SettingEngine
	s.SetLite(!cfg.full)
	s.SetIncludeLoopbackCandidate(true)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	if err := s.SetAnsweringDTLSRole(webrtc.DTLSRoleServer); err != nil {
		t.Fatal(err)
	}
	if cfg.tcp {
		listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		mux := webrtc.NewICETCPMux(nil, listener, 64)
		t.Cleanup(func() { mux.Close() })
		s.SetICETCPMux(mux)
		s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeTCP4})
	} else {
		s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	}
	media := new(webrtc.MediaEngine)
	if err := media.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(s), webrtc.WithMediaEngine(media)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pc.GracefulClose(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	o := &other{pc: pc, heard: make(chan *rtp.Packet, 100)}
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			p, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			select {
			case o.heard <- p:
			default:
			}
		}
	})
	if o.track, err = webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "a", "s"); err != nil {
		t.Fatal(err)
	}
	if _, err := pc.AddTrack(o.track); err != nil {
		t.Fatal(err)
	}
	local := l.Local()
	var offer strings.Builder
	for _, line := range []string{
		"v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE 0",
		"m=audio 9 UDP/TLS/RTP/SAVPF 111", "c=IN IP4 0.0.0.0", "a=rtpmap:111 opus/48000/2", "a=mid:0", "a=sendrecv",
		"a=rtcp-mux", "a=ice-ufrag:" + local.Ufrag, "a=ice-pwd:" + local.Pwd, "a=fingerprint:" + local.Fingerprint,
		"a=setup:actpass", "a=ssrc:77 cname:x",
	} {
		offer.WriteString(line + "\r\n")
	}
	for _, c := range local.Candidates {
		fmt.Fprintf(&offer, "a=candidate:%v\r\n", c)
	}
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer.String()}); err != nil {
		t.Fatal(err)
	}
	description, err := pc.CreateAnswer(nil)
	if err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(description); err != nil {
		t.Fatal(err)
	}
	<-gathered
	for line := range strings.SplitSeq(pc.LocalDescription().SDP, "\r\n") {
		name, value, _ := strings.Cut(strings.TrimPrefix(line, "a="), ":")
		switch name {
		case "ice-ufrag":
			o.remote.Ufrag = value
		case "ice-pwd":
			o.remote.Pwd = value
		case "fingerprint":
			o.remote.Fingerprint = value
		case "candidate":
			if c, ok := ParseCandidate(value); ok {
				o.remote.Candidates = append(o.remote.Candidates, c)
			}
		}
	}
	if len(o.remote.Candidates) == 0 {
		t.Fatalf("got no candidates in\n%s", pc.LocalDescription().SDP)
	}
	return o
}

// A running link and what it hears.
type running struct {
	*Link
	up    chan struct{}
	ended chan error
	stop  func()
	rtp   atomic.Int64
	rtcp  atomic.Int64
	wrong atomic.Int64
}

func runLink(t *testing.T, l *Link, remote Description) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Link: l, up: make(chan struct{}), ended: make(chan error, 1), stop: cancel}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.ended <- l.Run(ctx, remote, Handler{
			Up: func() { close(r.up) },
			RTP: func(p *rtp.Packet, _ time.Time) {
				if string(p.Payload) != "from there" || p.PayloadType != 111 {
					r.wrong.Add(1)
				}
				r.rtp.Add(1)
			},
			RTCP: func(compound []byte, _ time.Time) {
				if _, err := rtcp.Unmarshal(compound); err != nil {
					r.wrong.Add(1)
				}
				r.rtcp.Add(1)
			},
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	return r
}

// converse has media flow both ways.
func (r *running) converse(t *testing.T, o *other) {
	t.Helper()
	select {
	case <-r.up:
	case err := <-r.ended:
		t.Fatalf("got an end before it was up: %v", err)
	case <-time.After(patience):
		t.Fatalf("not up within %v", patience)
	}
	deadline := time.After(patience)
	there := false
	for n := uint16(0); !there || r.rtp.Load() == 0 || r.rtcp.Load() == 0; n++ {
		p := &rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 111, SequenceNumber: n, Timestamp: uint32(n), SSRC: 77}, Payload: []byte("from here")}
		b, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if err := r.WriteRTP(b); err != nil {
			t.Fatalf("write: %v", err)
		}
		// The other side may take a little longer to be up.
		_ = o.track.WriteRTP(&rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: n, Timestamp: uint32(n)}, Payload: []byte("from there")})
		_ = o.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: 77}})
		select {
		case p := <-o.heard:
			if string(p.Payload) != "from here" {
				t.Errorf("got %q there, want what was sent", p.Payload)
			}
			there = true
		case <-time.After(5 * time.Millisecond):
		case <-deadline:
			t.Fatalf("got %v there, %d and %d packets here within %v", there, r.rtp.Load(), r.rtcp.Load(), patience)
		}
	}
	if n := r.wrong.Load(); n > 0 {
		t.Errorf("got %d wrong packets", n)
	}
}

func open(t *testing.T, cfg Config) *Link {
	t.Helper()
	l, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestMediaFlows(t *testing.T) {
	for _, tc := range []struct {
		name  string
		cfg   Config
		other otherConfig
		way   string
	}{
		{"UDP", Config{}, otherConfig{}, "udp"},
		{"UDP, other side with full ICE", Config{}, otherConfig{full: true}, "udp"},
		{"TCP", Config{Protocols: TCP}, otherConfig{tcp: true}, "tcp"},
		{"TCP for want of UDP", Config{}, otherConfig{tcp: true}, "tcp"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := open(t, tc.cfg)
			o := answer(t, l, tc.other)
			r := runLink(t, l, o.remote)
			r.converse(t, o)
			if got := l.Way(); got != tc.way {
				t.Errorf("got way %q, want %q", got, tc.way)
			}
			r.stop()
			if err := <-r.ended; err != nil {
				t.Errorf("got %v, want nil when told to stop", err)
			}
			if err := l.WriteRTP(make([]byte, 20)); !errors.Is(err, ErrClosed) {
				t.Errorf("write after the end: got %v, want %v", err, ErrClosed)
			}
		})
	}
}

// relayServer is a TURN server on loopback, by UDP and TCP.
func relayServer(t *testing.T) (udp, tcp string) {
	t.Helper()
	packets, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	generator := &turn.RelayAddressGeneratorStatic{RelayAddress: net.IPv4(127, 0, 0, 1), Address: "127.0.0.1"}
	s, err := turn.NewServer(turn.ServerConfig{
		Realm: "test",
		AuthHandler: func(a *turn.RequestAttributes) (string, []byte, bool) {
			return "user", turn.GenerateAuthKey(a.Username, "test", "secret"), a.Username == "user"
		},
		PacketConnConfigs: []turn.PacketConnConfig{{PacketConn: packets, RelayAddressGenerator: generator}},
		ListenerConfigs:   []turn.ListenerConfig{{Listener: listener, RelayAddressGenerator: generator}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close relay: %v", err)
		}
	})
	return packets.LocalAddr().String(), listener.Addr().String()
}

func TestMediaFlowsThroughARelay(t *testing.T) {
	udp, tcp := relayServer(t)
	byUDP := Relay{URL: "turn:" + udp + "?transport=udp", Username: "user", Password: "secret"}
	byTCP := Relay{URL: "turn:" + tcp + "?transport=tcp", Username: "user", Password: "secret"}
	dead := Relay{URL: "turn:127.0.0.1:9?transport=tcp", Username: "user", Password: "secret"}
	for _, tc := range []struct {
		name   string
		relays []Relay
		only   Protocol
	}{
		{"by UDP", []Relay{byUDP}, AnyProtocol},
		{"by TCP", []Relay{byTCP}, AnyProtocol},
		{"by TCP alone of two", []Relay{byUDP, byTCP}, TCP},
		{"one of them is dead", []Relay{dead, byUDP}, AnyProtocol},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := open(t, Config{Relays: tc.relays, Protocols: tc.only})
			if c := l.Local().Candidates; len(c) != 1 || c[0].Type != "relay" {
				t.Errorf("got candidates %v, want the relay's alone", c)
			}
			o := answer(t, l, otherConfig{})
			r := runLink(t, l, o.remote)
			r.converse(t, o)
			if got := l.Way(); got != "relay" {
				t.Errorf("got way %q, want relay", got)
			}
		})
	}
	wrong := byUDP
	wrong.Password = "guess"
	if _, err := New(t.Context(), Config{Relays: []Relay{wrong}}); err == nil {
		t.Error("got an allocation with a wrong password")
	} else if strings.Contains(err.Error(), "guess") {
		t.Errorf("got the password in %q", err)
	}
}

// The other side says goodbye, and the link knows.
func TestGoodbyeIsHeard(t *testing.T) {
	l := open(t, Config{})
	o := answer(t, l, otherConfig{})
	r := runLink(t, l, o.remote)
	r.converse(t, o)
	if err := o.pc.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-r.ended:
		if !errors.Is(err, ErrLost) {
			t.Errorf("got %v, want %v", err, ErrLost)
		}
	case <-time.After(patience):
		t.Errorf("got no end within %v", patience)
	}
}

// Who is not who the answer said gets no keys.
func TestAForeignCertificateIsRefused(t *testing.T) {
	l := open(t, Config{})
	o := answer(t, l, otherConfig{})
	o.remote.Fingerprint = "sha-256 " + colons(make([]byte, 32))
	r := runLink(t, l, o.remote)
	select {
	case err := <-r.ended:
		if err == nil || !strings.Contains(err.Error(), "fingerprint") {
			t.Errorf("got %v, want an error about the fingerprint", err)
		}
	case <-r.up:
		t.Error("got a connection")
	case <-time.After(patience):
		t.Errorf("got no end within %v", patience)
	}
}

func TestCloseWithoutRun(t *testing.T) {
	l := open(t, Config{})
	at := l.Local().Candidates[0].Addr.Port()
	l.Close()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{Port: int(at)})
	if err != nil {
		t.Errorf("got %v, want the port to be free", err)
	} else {
		c.Close()
	}
}

func TestCandidates(t *testing.T) {
	for text, want := range map[string]Candidate{
		"1 1 udp 2130706431 192.0.2.1 3478 typ host": {
			Addr: netip.MustParseAddrPort("192.0.2.1:3478"), Priority: 2130706431, Type: "host",
		},
		"a 1 UDP 1 ::ffff:192.0.2.1 1 typ relay raddr 0.0.0.0 rport 0": {
			Addr: netip.MustParseAddrPort("192.0.2.1:1"), Priority: 1, Type: "relay",
		},
		"2 1 tcp 5 2001:db8::1 65535 typ host generation 0 tcptype passive": {
			Addr: netip.MustParseAddrPort("[2001:db8::1]:65535"), Priority: 5, Type: "host", TCP: true,
		},
	} {
		if got, ok := ParseCandidate(text); !ok || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", text, got, ok, want)
		}
	}
	for _, text := range []string{
		"", "1 1 udp 1 192.0.2.1 3478 host", "1 2 udp 1 192.0.2.1 3478 typ host", "1 1 udp 1 name.local 3478 typ host",
		"1 1 udp 1 192.0.2.1 0 typ host", "1 1 udp 1 192.0.2.1 70000 typ host", "1 1 udp x 192.0.2.1 1 typ host",
		"1 1 tcp 1 192.0.2.1 9 typ host tcptype active", "1 1 sctp 1 192.0.2.1 9 typ host",
	} {
		if c, ok := ParseCandidate(text); ok {
			t.Errorf("%q: got %+v, want nothing", text, c)
		}
	}
}

// FuzzParseCandidate: what is read is written as it would be read again.
func FuzzParseCandidate(f *testing.F) {
	f.Add("1 1 udp 2130706431 192.0.2.1 3478 typ host")
	f.Add("2 1 tcp 5 2001:db8::1%eth0 65535 typ host tcptype passive")
	f.Fuzz(func(t *testing.T, text string) {
		c, ok := ParseCandidate(text)
		if !ok {
			return
		}
		if again, ok := ParseCandidate(c.String()); !ok || again != c {
			t.Errorf("%q: got %+v, %v after %+v", text, again, ok, c)
		}
	})
}

// FuzzDatagrams: whatever comes from the network is taken or dropped.
func FuzzDatagrams(f *testing.F) {
	f.Add([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
	f.Add([]byte{1, 1, 0, 4, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 6, 0, 0})
	f.Add(append([]byte{0x90, 111, 0, 1}, bytes.Repeat([]byte{7}, 40)...))
	f.Add(append([]byte{0x80, 200, 0, 6}, bytes.Repeat([]byte{7}, 40)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := New(t.Context(), Config{Protocols: TCP}) // no socket
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		l.handler = Handler{RTP: func(*rtp.Packet, time.Time) { t.Error("got a packet that nobody sent") }}
		keys := make([]byte, 16)
		if l.in.ciphers, err = ciphers(keys, keys[:12], 7); err != nil {
			t.Fatal(err)
		}
		l.in.open = true
		l.took(&socket{packets: noPackets{}}, netip.MustParseAddrPort("192.0.2.1:9"), b, time.Now())
	})
}

// noPackets takes and gives nothing.
type noPackets struct{ net.PacketConn }

func (noPackets) WriteTo(b []byte, _ net.Addr) (int, error) { return len(b), nil }

// A packet that comes in is handled without memory of its own.
func TestReceivingTakesNoMemory(t *testing.T) {
	keys := make([]byte, 16)
	out, err := ciphers(keys, keys[:12], 7)
	if err != nil {
		t.Fatal(err)
	}
	l := open(t, Config{Protocols: TCP})
	defer l.Close()
	n := 0
	l.handler = Handler{RTP: func(*rtp.Packet, time.Time) { n++ }}
	if l.in.ciphers, err = ciphers(keys, keys[:12], 7); err != nil {
		t.Fatal(err)
	}
	l.in.open = true
	const runs = 500
	var packets [][]byte
	for i := range runs + 1 {
		p := rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(i), SSRC: 5}, Payload: make([]byte, 1000)}
		if err := p.SetExtension(3, []byte{1, 2}); err != nil {
			t.Fatal(err)
		}
		b, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		secret, err := out.rtp.EncryptRTP(nil, b, nil)
		if err != nil {
			t.Fatal(err)
		}
		packets = append(packets, secret)
	}
	i := 0
	now := time.Now()
	if a := testing.AllocsPerRun(runs, func() { l.tookMedia(packets[i], now); i++ }); a != 0 {
		t.Errorf("got %v allocations per packet, want none", a)
	}
	if n != runs+1 {
		t.Errorf("got %d packets, want %d", n, runs+1)
	}
}
