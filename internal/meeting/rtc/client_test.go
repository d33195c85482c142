package rtc

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"belfry.live/belfry/internal/meeting/sfu"
	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/transport/v4"
	"github.com/pion/webrtc/v4"
)

const patience = 20 * time.Second

// wait fails the test unless ok becomes true.
func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("got no %s within %v", what, patience)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func quietLog(t *testing.T) *slog.Logger {
	t.Helper()
	if testing.Verbose() {
		return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(slog.DiscardHandler)
}

// checkLeaks fails the test if goroutines are left when everything registered
// after it is cleaned up.
func checkLeaks(t *testing.T) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		deadline := time.Now().Add(patience)
		for runtime.NumGoroutine() > before {
			if time.Now().After(deadline) {
				b := make([]byte, 1<<20)
				t.Errorf("got %d goroutines, want %d as before:\n%s", runtime.NumGoroutine(), before, b[:runtime.Stack(b, true)])
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
}

func newTestTransport(t *testing.T, cfg Config) *Transport {
	t.Helper()
	checkLeaks(t)
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	tr, err := NewTransport(cfg, quietLog(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tr.Close(); err != nil {
			t.Errorf("close transport: got %v, want nil", err)
		}
	})
	return tr
}

// An attendee is a client and the server's peer for it.
type attendee struct {
	t    *testing.T
	pc   *webrtc.PeerConnection
	peer *Peer

	cameraTrack *webrtc.TrackLocalStaticRTP
	camera      *webrtc.RTPTransceiver
	cameraOn    bool
	receive     map[*webrtc.RTPTransceiver]*sfu.Publisher
	answer      Answer
	proxy       netip.AddrPort
	foreign     bool         // the offer has the fingerprint of another's certificate
	reel        *film        // used by the goroutine of film
	filmed      atomic.Int64 // frames of the camera
	spoken      atomic.Int64 // packets of the microphone

	mu        sync.Mutex // guards what follows
	connected bool
	closed    []error
	audio     []rtp.Packet
	levels    []uint8
	reports   []uint32
	started   []*sfu.Publisher
	stopped   []*sfu.Publisher
	tracks    map[string]*webrtc.TrackRemote // by stream id
	videos    map[string]*video              // by stream id
	pulses    map[string]*pulse              // by stream id
	srs       map[uint32]rtcp.SenderReport
	wantKey   bool
}

// attendeeConfig chooses what the client is like.
type attendeeConfig struct {
	codec webrtc.RTPCodecCapability // of the camera; zero: VP8
	tcp   bool                      // ICE-TCP only
	proxy netip.AddrPort            // what the client takes for the server, if valid
	net   transport.Net             // virtual network
}

var vp8 = webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000}

var h264 = webrtc.RTPCodecCapability{
	MimeType:    webrtc.MimeTypeH264,
	ClockRate:   90000,
	SDPFmtpLine: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
}

func newAttendee(t *testing.T, tr *Transport, cfg attendeeConfig) *attendee {
	t.Helper()
	if cfg.codec.MimeType == "" {
		cfg.codec = vp8
	}
	a := &attendee{
		t:       t,
		proxy:   cfg.proxy,
		receive: make(map[*webrtc.RTPTransceiver]*sfu.Publisher),
		tracks:  make(map[string]*webrtc.TrackRemote),
		videos:  make(map[string]*video),
		pulses:  make(map[string]*pulse),
		srs:     make(map[uint32]rtcp.SenderReport),
	}
	peer, err := tr.NewPeer(Events{
		Connected: func() { a.locked(func() { a.connected = true }) },
		Closed:    func(err error) { a.locked(func() { a.closed = append(a.closed, err) }) },
		Audio: func(p *rtp.Packet, level uint8, _ time.Time) {
			c := rtp.Packet{Header: p.Header.Clone(), Payload: slices.Clone(p.Payload)}
			a.locked(func() { a.audio, a.levels = append(a.audio, c), append(a.levels, level) })
		},
		AudioReport:  func(_ time.Time, ts uint32) { a.locked(func() { a.reports = append(a.reports, ts) }) },
		VideoStarted: func(p *sfu.Publisher) { a.locked(func() { a.started = append(a.started, p) }) },
		VideoStopped: func(p *sfu.Publisher) { a.locked(func() { a.stopped = append(a.stopped, p) }) },
	}, quietLog(t))
	if err != nil {
		t.Fatal(err)
	}
	a.peer = peer

	m := new(webrtc.MediaEngine)
	if err := m.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	for _, uri := range []string{uriMID, uriTWCC, uriAudioLevel} {
		if err := m.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: uri}, webrtc.RTPCodecTypeAudio); err != nil {
			t.Fatal(err)
		}
	}
	interceptors := new(interceptor.Registry)
	if err := webrtc.RegisterDefaultInterceptors(m, interceptors); err != nil {
		t.Fatal(err)
	}
	s := webrtc.SettingEngine{}
	s.SetIncludeLoopbackCandidate(cfg.net == nil)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	if cfg.tcp {
		s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeTCP4})
	}
	if cfg.net != nil {
		s.SetNet(cfg.net)
	}
	api := webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithInterceptorRegistry(interceptors), webrtc.WithSettingEngine(s))
	if a.pc, err = api.NewPeerConnection(webrtc.Configuration{}); err != nil {
		t.Fatal(err)
	}
	a.pc.OnTrack(a.onTrack)
	t.Cleanup(func() {
		if err := a.pc.GracefulClose(); err != nil {
			t.Errorf("close client: got %v, want nil", err)
		}
		if err := a.peer.Close(); err != nil {
			t.Errorf("close peer: got %v, want nil", err)
		}
	})

	mic, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}, "mic", "mic")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.pc.AddTransceiverFromTrack(mic); err != nil {
		t.Fatal(err)
	}
	if a.cameraTrack, err = webrtc.NewTrackLocalStaticRTP(cfg.codec, "camera", "camera"); err != nil {
		t.Fatal(err)
	}
	if a.camera, err = a.pc.AddTransceiverFromTrack(a.cameraTrack); err != nil {
		t.Fatal(err)
	}
	go a.readCameraRTCP()
	t.Cleanup(a.talk(mic))
	return a
}

func (a *attendee) locked(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

// talk sends audio until the returned function is called.
func (a *attendee) talk(mic *webrtc.TrackLocalStaticRTP) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		var n uint16
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			n++
			p := &rtp.Packet{
				Header:  rtp.Header{Version: 2, SequenceNumber: n, Timestamp: uint32(n) * 960},
				Payload: []byte{0xf8, 0xff, 0xfe},
			}
			// The id is what the client offers first; the server goes by name.
			for _, e := range a.pc.GetTransceivers()[0].Sender().GetParameters().HeaderExtensions {
				if e.URI == uriAudioLevel {
					_ = p.SetExtension(uint8(e.ID), []byte{0x80 | 42})
				}
			}
			_ = mic.WriteRTP(p)
			a.spoken.Add(1)
		}
	}()
	return func() { close(done); <-ended }
}

func (a *attendee) readCameraRTCP() {
	for {
		list, _, err := a.camera.Sender().ReadRTCP()
		if err != nil {
			return
		}
		for _, p := range list {
			if _, ok := p.(*rtcp.PictureLossIndication); ok {
				a.locked(func() { a.wantKey = true })
			}
		}
	}
}

func (a *attendee) onTrack(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	v, beat := newVideo(), new(pulse)
	a.locked(func() {
		a.tracks[track.StreamID()] = track
		a.videos[track.StreamID()] = v
		a.pulses[track.StreamID()] = beat
	})
	go func() {
		for {
			list, _, err := receiver.ReadRTCP()
			if err != nil {
				return
			}
			for _, p := range list {
				if sr, ok := p.(*rtcp.SenderReport); ok {
					a.locked(func() { a.srs[sr.SSRC] = *sr })
				}
			}
		}
	}()
	go func() {
		for {
			p, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			a.locked(func() { beat.feel(p, time.Now()) })
			v.push(p, track.Codec().MimeType)
			if v.wantsKey() {
				_ = a.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(track.SSRC())}})
			}
		}
	}()
}

// A pulse says how evenly a stream comes.
type pulse struct {
	last    time.Time
	highest uint16
	packets int
	missing int           // sequence numbers that were jumped over
	longest time.Duration // between two packets
}

func (b *pulse) feel(p *rtp.Packet, now time.Time) {
	if b.packets > 0 {
		b.longest = max(b.longest, now.Sub(b.last))
		if step := int(int16(p.SequenceNumber - b.highest)); step > 0 {
			b.missing += step - 1
		}
	}
	b.packets++
	b.last, b.highest = now, p.SequenceNumber
}

// watch adds a receive section for a publisher.
func (a *attendee) watch(p *sfu.Publisher) *webrtc.RTPTransceiver {
	a.t.Helper()
	tr, err := a.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
	if err != nil {
		a.t.Fatal(err)
	}
	a.receive[tr] = p
	return tr
}

// negotiate makes an offer in the shape of the browser client's and takes the
// answer.
func (a *attendee) negotiate() {
	a.t.Helper()
	offer, err := a.pc.CreateOffer(nil)
	if err != nil {
		a.t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(a.pc)
	if err := a.pc.SetLocalDescription(offer); err != nil {
		a.t.Fatal(err)
	}
	<-gathered
	sdp := a.pc.LocalDescription().SDP
	if !a.cameraOn {
		sdp = setDirection(a.t, sdp, a.camera.Mid(), "sendrecv", "inactive")
	}
	if a.foreign {
		i := strings.Index(sdp, "a=fingerprint:")
		own, _, _ := strings.Cut(sdp[i:], "\r\n")
		sdp = strings.ReplaceAll(sdp, own, "a=fingerprint:"+a.peer.t.fingerprint)
	}
	o := Offer{SDP: sdp, Publish: a.cameraOn}
	for _, tr := range a.pc.GetTransceivers() {
		if tr.Kind() == webrtc.RTPCodecTypeVideo {
			o.Receive = append(o.Receive, Receive{Target: sfu.Whole(a.receive[tr])})
		}
	}
	if a.answer, err = a.peer.Negotiate(a.t.Context(), o); err != nil {
		a.t.Fatal(err)
	}
	sdp = a.answer.SDP
	if a.proxy.IsValid() {
		at := a.peer.t.Addr()
		sdp = strings.ReplaceAll(sdp, fmt.Sprintf(" %s %d ", at.Addr(), at.Port()), fmt.Sprintf(" %s %d ", a.proxy.Addr(), a.proxy.Port()))
	}
	if !a.cameraOn {
		sdp = setDirection(a.t, sdp, a.camera.Mid(), "inactive", "recvonly")
	}
	if err := a.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: sdp}); err != nil {
		a.t.Fatalf("answer: %v\n%s", err, sdp)
	}
}

// setDirection changes the direction of one section.
func setDirection(t *testing.T, sdp, mid, from, to string) string {
	t.Helper()
	parts := strings.Split(sdp, "\r\nm=")
	for i, part := range parts {
		if strings.Contains(part+"\r\n", "\r\na=mid:"+mid+"\r\n") {
			if !strings.Contains(part, "a="+from) {
				t.Fatalf("section %s is not %s:\n%s", mid, from, part)
			}
			parts[i] = strings.Replace(part, "a="+from, "a="+to, 1)
		}
	}
	return strings.Join(parts, "\r\nm=")
}

func (a *attendee) join() {
	a.t.Helper()
	a.negotiate()
	wait(a.t, "connection", func() (ok bool) {
		a.locked(func() { ok = a.connected })
		return ok && a.pc.ConnectionState() == webrtc.PeerConnectionStateConnected
	})
}

// film sends frames of the camera until the returned function is called,
// which says how many there were. Frames are 33 ms apart.
func (a *attendee) film(codec webrtc.RTPCodecCapability) (stop func() int) {
	done, ended := make(chan struct{}), make(chan struct{})
	frames := 0
	if a.reel == nil {
		a.reel = newFilm(codec)
	}
	f := a.reel
	a.locked(func() { a.wantKey = true })
	go func() {
		defer close(ended)
		tick := time.NewTicker(33 * time.Millisecond)
		defer tick.Stop()
		for {
			var key bool
			a.locked(func() { key, a.wantKey = a.wantKey, false })
			for _, p := range f.frame(key) {
				_ = a.cameraTrack.WriteRTP(p)
			}
			frames++
			a.filmed.Add(1)
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	}()
	return func() int { close(done); <-ended; return frames }
}

// A film makes frames whose content can be checked: they carry their number
// and a checksum, and are not valid video beyond their first bytes.
type film struct {
	payloader rtp.Payloader
	h264      bool
	random    *rand.Rand
	number    uint32
	seq       uint16
	timestamp uint32
}

func newFilm(codec webrtc.RTPCodecCapability) *film {
	f := &film{random: rand.New(rand.NewPCG(1, 2)), seq: 65500, timestamp: 1 << 31}
	if f.h264 = codec.MimeType == webrtc.MimeTypeH264; f.h264 {
		f.payloader = new(codecs.H264Payloader)
	} else {
		f.payloader = &codecs.VP8Payloader{EnablePictureID: true}
	}
	return f
}

// testSPS is 640x360, constrained baseline.
var testSPS = []byte{0x67, 0x42, 0xe0, 0x1f, 0xda, 0x02, 0x80, 0xbf, 0xe5, 0xc0, 0x44, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xca, 0x80}

func (f *film) frame(key bool) []*rtp.Packet {
	f.number++
	f.timestamp += 3000
	body := make([]byte, 200+f.random.IntN(3000))
	if key {
		body = make([]byte, 12000)
	}
	for i := range body {
		body[i] = 1 + byte(f.random.IntN(255)) // no start codes
	}
	body = fmt.Appendf(body, "%08x", f.number)
	body = fmt.Appendf(body, "%08x", crc32.ChecksumIEEE(body))

	var data []byte
	switch {
	case f.h264 && key:
		data = slices.Concat([]byte{0, 0, 0, 1}, testSPS, []byte{0, 0, 0, 1, 0x68, 0xce, 0x38, 0x80, 0, 0, 0, 1, 0x65}, body)
	case f.h264:
		data = slices.Concat([]byte{0, 0, 0, 1, 0x41}, body)
	case key:
		data = slices.Concat([]byte{0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01}, body)
	default:
		data = slices.Concat([]byte{0x11, 0, 0}, body)
	}
	var list []*rtp.Packet
	for _, payload := range f.payloader.Payload(1100, data) {
		f.seq++
		list = append(list, &rtp.Packet{
			Header:  rtp.Header{Version: 2, SequenceNumber: f.seq, Timestamp: f.timestamp},
			Payload: payload,
		})
	}
	list[len(list)-1].Marker = true
	return list
}

// A video checks what a receiver gets.
type video struct {
	mu      sync.Mutex // guards what follows
	waiting map[int64]*rtp.Packet
	started bool
	highest int64
	next    int64
	frame   []byte
	ts      uint32
	asked   time.Time
	lost    bool // a frame was broken: what follows cannot be decoded

	whole, broken int
	keys          int
	numbers       []uint32
	pictureIDs    []uint16
	timestamps    []uint32
	bad           []string // what must never happen
}

func newVideo() *video { return &video{waiting: make(map[int64]*rtp.Packet)} }

// reorder is how many packets a receiver waits for one that is missing.
const reorder = 400

func (v *video) push(p *rtp.Packet, mime string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.started {
		v.started = true
		v.highest = int64(p.SequenceNumber)
		v.next = v.highest
	}
	seq := v.highest + int64(int16(p.SequenceNumber-uint16(v.highest)))
	if seq < v.next {
		return
	}
	v.highest = max(v.highest, seq)
	v.waiting[seq] = p
	for {
		p, ok := v.waiting[v.next]
		if ok {
			delete(v.waiting, v.next)
			v.next++
			v.take(p, mime)
			continue
		}
		if len(v.waiting) < reorder {
			return
		}
		v.next++ // it will not come any more
		v.frame, v.lost = nil, true
	}
}

// take gets the packets in order.
func (v *video) take(p *rtp.Packet, mime string) {
	if len(p.Payload) == 0 {
		return
	}
	if p.Timestamp != v.ts {
		v.frame, v.ts = nil, p.Timestamp
	}
	var part []byte
	var err error
	start := false
	if mime == webrtc.MimeTypeH264 {
		d := new(h264Depacketizer)
		part, start = d.nal(p.Payload)
	} else {
		var d codecs.VP8Packet
		part, err = d.Unmarshal(p.Payload)
		start = d.S == 1 && d.PID == 0
		if start {
			v.pictureIDs = append(v.pictureIDs, d.PictureID)
		}
	}
	if err != nil {
		v.bad = append(v.bad, err.Error())
	}
	if start {
		v.frame = append([]byte(nil), part...)
	} else if v.frame != nil {
		v.frame = append(v.frame, part...)
	}
	if !p.Marker {
		return
	}
	frame := v.frame
	v.frame = nil
	if len(frame) < 30 {
		v.broken++
		v.lost = true
		return
	}
	key := frame[0] == 0x10 || frame[0] == 0x65
	skip := 3
	switch {
	case mime == webrtc.MimeTypeH264:
		skip = 1
	case key:
		skip = 10
	}
	body := frame[skip:]
	var sum, number uint32
	fmt.Sscanf(string(body[len(body)-8:]), "%08x", &sum)
	fmt.Sscanf(string(body[len(body)-16:len(body)-8]), "%08x", &number)
	if crc32.ChecksumIEEE(body[:len(body)-8]) != sum {
		v.broken++
		v.lost = true
		return
	}
	if key {
		v.keys++
		v.lost = false
	} else if v.keys == 0 {
		v.bad = append(v.bad, "does not start with a key frame")
	}
	if v.lost {
		v.broken++
		return
	}
	if n := len(v.timestamps); n > 0 && int32(p.Timestamp-v.timestamps[n-1]) <= 0 {
		v.bad = append(v.bad, fmt.Sprintf("timestamp goes from %d to %d", v.timestamps[n-1], p.Timestamp))
	}
	v.whole++
	v.numbers = append(v.numbers, number)
	v.timestamps = append(v.timestamps, p.Timestamp)
}

// wantsKey reports, twice a second at most, that decoding has stopped.
func (v *video) wantsKey() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.lost || time.Since(v.asked) < 500*time.Millisecond {
		return false
	}
	v.asked = time.Now()
	return true
}

func (v *video) count() (whole, broken, keys int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.whole, v.broken, v.keys
}

func (v *video) check(t *testing.T) {
	t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, b := range v.bad {
		t.Error(b)
	}
}

// An h264Depacketizer returns the slice data of a packet: parameter sets are
// left out.
type h264Depacketizer struct{}

func (h264Depacketizer) nal(b []byte) (part []byte, start bool) {
	switch b[0] & 0x1f {
	case 1, 5:
		return b, true
	case 24:
		for b = b[1:]; len(b) > 2; {
			n := int(binary.BigEndian.Uint16(b))
			if typ := b[2] & 0x1f; typ == 1 || typ == 5 {
				return b[2 : 2+n], true
			}
			b = b[2+n:]
		}
	case 28:
		if b[1]&0x80 != 0 {
			return append([]byte{b[0]&0xe0 | b[1]&0x1f}, b[2:]...), true
		}
		return b[2:], false
	}
	return nil, false
}

func (a *attendee) video(stream string) *video {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.videos[stream]
}

// publisher waits for the nth start of the camera.
func (a *attendee) publisher(n int) *sfu.Publisher {
	a.t.Helper()
	var p *sfu.Publisher
	wait(a.t, "published video", func() bool {
		a.locked(func() {
			if len(a.started) >= n {
				p = a.started[n-1]
			}
		})
		return p != nil
	})
	return p
}
