package meeting_test

import (
	"context"
	"math"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/pion/ice/v4"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"google.golang.org/protobuf/proto"

	"belfry.live/belfry/internal/media/opus"
	"belfry.live/belfry/internal/meeting"
	"belfry.live/belfry/internal/meeting/rtc"
	"belfry.live/belfry/internal/store/natskv"
	"belfry.live/belfry/internal/wire/chime"
)

// patience is for what happens by itself on a busy machine.
const patience = 40 * time.Second

// A house is a service with its HTTP server and its media port.
type house struct {
	*meeting.Service
	t    *testing.T
	url  string
	stop func() // ends Run and waits
	http *httptest.Server
}

// open builds a house whose records are in dir; the test's end closes it.
func open(t *testing.T, dir string, cfg meeting.Config) *house {
	t.Helper()
	return openWith(t, openStore(t, dir), cfg)
}

func openWith(t *testing.T, tables *natskv.Store, cfg meeting.Config) *house {
	t.Helper()
	transport, err := rtc.NewTransport(rtc.Config{Addr: "127.0.0.1:0"}, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Transport = transport
	s, stop := start(t, tables, cfg)
	web := httptest.NewServer(s.Handler())
	h := &house{Service: s, t: t, url: web.URL, http: web}
	h.stop = sync.OnceFunc(func() {
		stop()
		web.Close()
		if err := transport.Close(); err != nil {
			t.Errorf("close transport: got %v, want no error", err)
		}
		tables.Close()
	})
	t.Cleanup(h.stop)
	return h
}

func (h *house) meeting() meeting.Meeting {
	h.t.Helper()
	return must[meeting.Meeting](h.t)(h.Create(h.t.Context(), meeting.Spec{}))
}

func (h *house) attendee(m meeting.Meeting, name string) meeting.Attendee {
	h.t.Helper()
	return must[meeting.Attendee](h.t)(h.AddAttendee(h.t.Context(), m.ID, name, meeting.Capabilities{}))
}

// noLeaks fails the test if goroutines are left when everything registered
// after it is cleaned up.
func noLeaks(t *testing.T) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		for end := time.Now().Add(patience); runtime.NumGoroutine() > before; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				b := make([]byte, 1<<20)
				t.Errorf("got %d goroutines, want %d as before:\n%s", runtime.NumGoroutine(), before, b[:runtime.Stack(b, true)])
				return
			}
		}
	})
}

// A guest is a client as the browser's is: it believes what frames say by the
// same rules.
type guest struct {
	t        *testing.T
	attendee meeting.Attendee
	conn     *websocket.Conn

	mu     sync.Mutex // guards what follows
	frames []*chime.Frame
	roster map[string]person // by attendee id
	left   []string          // attendee ids, in order
	index  *chime.IndexFrame
	end    error // of the socket

	media *media // nil before the first offer
}

type person struct {
	streamID uint32
	name     string
	muted    bool
}

// dial opens the socket of a guest. Its end is the test's to expect.
func (h *house) dial(id meeting.ID, token string) *guest {
	h.t.Helper()
	url := "ws" + strings.TrimPrefix(h.url, "http") + "/control/" + string(id) + "?X-Chime-Control-Protocol-Version=3"
	conn, _, err := websocket.Dial(h.t.Context(), url, &websocket.DialOptions{Subprotocols: []string{"_aws_wt_session", token}})
	if err != nil {
		h.t.Fatal(err)
	}
	conn.SetReadLimit(chime.MaxFrame)
	g := &guest{t: h.t, conn: conn, roster: map[string]person{}}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for {
			_, b, err := conn.Read(context.Background())
			if err != nil {
				g.locked(func() { g.end = err })
				return
			}
			f, err := chime.Parse(b)
			if err != nil {
				h.t.Error(err)
				continue
			}
			g.locked(func() { g.take(f) })
		}
	}()
	h.t.Cleanup(func() {
		conn.CloseNow()
		<-read
	})
	return g
}

// take believes a frame.
func (g *guest) take(f *chime.Frame) {
	g.frames = append(g.frames, f)
	if f.Index != nil {
		g.index = f.Index
	}
	for _, s := range f.GetAudioStreamIdInfo().GetStreams() {
		id := s.GetAudioStreamId()
		if id == 0 {
			g.t.Errorf("%s: got an audio stream id of 0 in %v", g.attendee.ExternalUserID, f)
		}
		switch known := g.byStream(id); {
		case s.AttendeeId != nil:
			if old := g.roster[s.GetAttendeeId()]; old.streamID > id {
				g.t.Errorf("%s: got audio stream id %d after %d of the same attendee", g.attendee.ExternalUserID, id, old.streamID)
			}
			g.roster[s.GetAttendeeId()] = person{id, s.GetExternalUserId(), s.GetMuted()}
		case s.Muted != nil:
			p := g.roster[known]
			p.muted = s.GetMuted()
			g.roster[known] = p
		case known != "": // a leave of an older stream is not one of the attendee
			delete(g.roster, known)
			g.left = append(g.left, known)
		}
	}
}

func (g *guest) byStream(id uint32) string {
	for attendee, p := range g.roster {
		if p.streamID == id {
			return attendee
		}
	}
	return ""
}

func (g *guest) locked(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f()
}

// wait waits until ok, which is called with the guest locked.
func (g *guest) wait(what string, ok func() bool) {
	g.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(3 * time.Millisecond) {
		var good bool
		g.locked(func() { good = ok() })
		if good {
			return
		}
		if time.Now().After(end) {
			g.locked(func() {
				g.t.Fatalf("%s: got no %s; socket %v, index %v, roster %v, left %v", g.attendee.ExternalUserID, what, g.end, g.index, g.roster, g.left)
			})
		}
	}
}

// next waits for a frame of the type that came after the mark.
func (g *guest) next(mark int, kind chime.Frame_Type) *chime.Frame {
	g.t.Helper()
	var found *chime.Frame
	g.wait(kind.String(), func() bool {
		for _, f := range g.frames[mark:] {
			if f.GetType() == kind {
				found = f
				return true
			}
		}
		return false
	})
	return found
}

func (g *guest) mark() (n int) {
	g.locked(func() { n = len(g.frames) })
	return n
}

func (g *guest) send(kind chime.Frame_Type, fill func(*chime.Frame)) {
	g.t.Helper()
	if err := g.write(kind, fill); err != nil {
		g.t.Fatal(err)
	}
}

// write is send for a socket that may be gone.
func (g *guest) write(kind chime.Frame_Type, fill func(*chime.Frame)) error {
	f := chime.New(kind, time.Now())
	if fill != nil {
		fill(f)
	}
	return g.conn.Write(g.t.Context(), websocket.MessageBinary, chime.Append(nil, f))
}

func (g *guest) closeCode() (code websocket.StatusCode) {
	g.t.Helper()
	g.wait("end of the socket", func() bool { return g.end != nil })
	g.locked(func() { code = websocket.CloseStatus(g.end) })
	return code
}

// join sends JOIN and waits for its answers.
func (g *guest) join(session uint64) {
	g.t.Helper()
	mark := g.mark()
	g.send(chime.Frame_JOIN, func(f *chime.Frame) { f.Join = &chime.JoinFrame{AudioSessionId: &session} })
	g.next(mark, chime.Frame_JOIN_ACK)
	g.next(mark, chime.Frame_INDEX)
}

// leave leaves in good order.
func (g *guest) leave() {
	g.t.Helper()
	mark := g.mark()
	g.send(chime.Frame_LEAVE, func(f *chime.Frame) { f.Leave = &chime.LeaveFrame{} })
	g.next(mark, chime.Frame_LEAVE_ACK)
	g.conn.Close(websocket.StatusNormalClosure, "")
}

// enter lets an attendee in whose media is connected, and waits until it sees
// itself in the roster.
func (h *house) enter(m meeting.Meeting, name string) *guest {
	h.t.Helper()
	return h.reenter(h.attendee(m, name), 1)
}

// reenter is enter for an attendee that was there before.
func (h *house) reenter(a meeting.Attendee, session uint64) *guest {
	h.t.Helper()
	g := h.dial(a.MeetingID, a.JoinToken.Reveal())
	g.attendee = a
	g.join(session)
	g.connect()
	g.wait("itself in the roster", func() bool { return g.roster[string(a.ID)].streamID != 0 })
	return g
}

// sees waits until the roster holds exactly the guests.
func (g *guest) sees(guests ...*guest) {
	g.t.Helper()
	g.wait("full roster", func() bool {
		for _, o := range guests {
			if p := g.roster[string(o.attendee.ID)]; p.name != o.attendee.ExternalUserID {
				return false
			}
		}
		return len(g.roster) == len(guests)
	})
}

// A media is a guest's peer connection.
type media struct {
	pc       *webrtc.PeerConnection
	mic      *webrtc.TrackLocalStaticRTP
	camera   *webrtc.TrackLocalStaticRTP
	cameraOn bool
	cameraAt *webrtc.RTPTransceiver
	watched  map[*webrtc.RTPTransceiver]uint32 // stream ids

	mu    sync.Mutex // guards what follows
	heard []float32  // the last second of the downlink
	got   quality
	video map[string]int
	tone  float64 // Hz; 0: silence
	cut   bool    // nothing of the microphone gets through
}

// connect makes the peer connection and the first offer.
func (g *guest) connect() {
	t := g.t
	t.Helper()
	m := new(webrtc.MediaEngine)
	if err := m.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	s := webrtc.SettingEngine{}
	s.SetIncludeLoopbackCandidate(true)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithSettingEngine(s)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	md := &media{pc: pc, watched: map[*webrtc.RTPTransceiver]uint32{}, video: map[string]int{}}
	g.media = md
	if md.mic, err = webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}, "mic", "mic"); err != nil {
		t.Fatal(err)
	}
	if md.camera, err = webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000}, "camera", "camera"); err != nil {
		t.Fatal(err)
	}
	if _, err := pc.AddTransceiverFromTrack(md.mic); err != nil {
		t.Fatal(err)
	}
	if md.cameraAt, err = pc.AddTransceiverFromTrack(md.camera); err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	done := make(chan struct{})
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		if track.Kind() == webrtc.RTPCodecTypeAudio {
			work.Go(func() { md.listen(t, track) })
			return
		}
		work.Go(func() { md.look(track) })
	})
	work.Go(func() { md.talk(t, done) })
	t.Cleanup(func() {
		close(done)
		if err := pc.GracefulClose(); err != nil {
			t.Errorf("close client: got %v, want no error", err)
		}
		work.Wait()
	})
	g.offer()
}

// talk sends the tone, or silence, and VP8 key frames that hold nothing.
func (m *media) talk(t *testing.T, done chan struct{}) {
	enc, err := opus.NewEncoder(opus.EncoderConfig{Channels: 1})
	if err != nil {
		t.Error(err)
		return
	}
	defer enc.Close()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	pcm, packet := make([]float32, 960), make([]byte, 1500)
	begin, n := time.Now(), uint16(0)
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		m.mu.Lock()
		hz, cut := m.tone, m.cut
		m.mu.Unlock()
		for ; time.Duration(n)*20*time.Millisecond < time.Since(begin); n++ { // however late the ticks are
			for i := range pcm {
				pcm[i] = 0
				if hz > 0 {
					pcm[i] = float32(0.3 * math.Sin(2*math.Pi*hz*float64(int(n)*960+i)/48000))
				}
			}
			size, err := enc.Encode(pcm, packet)
			if err != nil {
				t.Error(err)
				return
			}
			if !cut {
				_ = m.mic.WriteRTP(&rtp.Packet{
					Header:  rtp.Header{Version: 2, SequenceNumber: n, Timestamp: uint32(n) * 960},
					Payload: packet[:size],
				})
			}
			_ = m.camera.WriteRTP(&rtp.Packet{
				Header:  rtp.Header{Version: 2, Marker: true, SequenceNumber: n, Timestamp: uint32(n) * 1800},
				Payload: []byte{0x10, 0x10, 0, 0, 0x9d, 0x01, 0x2a, 64, 1, 240, 0, 7, 7}, // 320x240
			})
		}
	}
}

func (m *media) say(hz float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tone = hz
}

func (m *media) listen(t *testing.T, track *webrtc.TrackRemote) {
	dec, err := opus.NewDecoder(1)
	if err != nil {
		t.Error(err)
		return
	}
	defer dec.Close()
	pcm := make([]float32, 5760)
	for {
		p, _, err := track.ReadRTP()
		if err != nil {
			return
		}
		n, err := dec.Decode(p.Payload, pcm)
		if err != nil {
			t.Errorf("downlink: %v", err)
			return
		}
		m.mu.Lock()
		m.got.take(p.SequenceNumber, pcm[:n])
		m.heard = append(m.heard, pcm[:n]...)
		m.heard = m.heard[max(0, len(m.heard)-48000):]
		m.mu.Unlock()
	}
}

// A quality is how well the downlink comes.
type quality struct {
	next    uint16 // sequence number
	packets int
	lost    int
	quiet   int // packets in which hardly anything is heard
}

func (q *quality) take(number uint16, pcm []float32) {
	if q.packets > 0 && number != q.next {
		q.lost += int(number - q.next)
	}
	q.next = number + 1
	q.packets++
	var power float64
	for _, x := range pcm {
		power += float64(x) * float64(x)
	}
	if power/float64(len(pcm)) < 1e-4 {
		q.quiet++
	}
}

func (m *media) quality() quality {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.got
}

// last returns the last half second heard.
func (m *media) last() []float32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.heard[max(0, len(m.heard)-24000):])
}

// loudness returns the amplitude of one tone in the last half second heard.
func (m *media) loudness(hz float64) float64 {
	x := m.last()
	if len(x) < 24000 {
		return 0
	}
	var re, im float64
	for i, v := range x {
		a := 2 * math.Pi * hz * float64(i) / 48000
		re, im = re+float64(v)*math.Cos(a), im+float64(v)*math.Sin(a)
	}
	return 2 * math.Hypot(re, im) / float64(len(x))
}

func (m *media) look(track *webrtc.TrackRemote) {
	for {
		if _, _, err := track.ReadRTP(); err != nil {
			return
		}
		m.mu.Lock()
		m.video[track.StreamID()]++
		m.mu.Unlock()
	}
}

func (m *media) packets(stream string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.video[stream]
}

// stops says whether a count has not changed for half a second.
func stops(count func() int) func() bool {
	last, since := -1, time.Now()
	return func() bool {
		if n := count(); n != last {
			last, since = n, time.Now()
		}
		return time.Since(since) > 500*time.Millisecond
	}
}

// watch has the next offer ask for a stream.
func (g *guest) watch(stream uint32) *webrtc.RTPTransceiver {
	g.t.Helper()
	tr, err := g.media.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
	if err != nil {
		g.t.Fatal(err)
	}
	g.media.watched[tr] = stream
	return tr
}

// offer sends a SUBSCRIBE of what is wanted now and takes the answer.
func (g *guest) offer() *chime.Frame {
	t, m := g.t, g.media
	t.Helper()
	offer, err := m.pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(m.pc)
	if err := m.pc.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	<-gathered
	sub := &chime.SubscribeFrame{
		Duplex:      chime.StreamServiceType_RX.Enum(),
		SendStreams: []*chime.StreamDescriptor{{MediaType: chime.StreamMediaType_AUDIO.Enum(), StreamId: proto.Uint32(1), GroupId: proto.Uint32(1)}},
		SdpOffer:    proto.String(m.pc.LocalDescription().SDP),
		AudioHost:   proto.String("x"),
		AudioMuted:  proto.Bool(false),
	}
	if m.cameraOn {
		sub.Duplex = chime.StreamServiceType_DUPLEX.Enum()
		sub.SendStreams = append(sub.SendStreams, &chime.StreamDescriptor{
			MediaType: chime.StreamMediaType_VIDEO.Enum(), StreamId: proto.Uint32(2), GroupId: proto.Uint32(2),
			MaxBitrateKbps: proto.Uint32(1200), TrackLabel: proto.String("AmazonChimeExpressVideo"),
		})
	} else {
		sub.SdpOffer = proto.String(setDirection(t, sub.GetSdpOffer(), m.cameraAt.Mid(), "sendrecv", "inactive"))
	}
	for _, tr := range m.pc.GetTransceivers() {
		if tr.Kind() == webrtc.RTPCodecTypeVideo {
			sub.ReceiveStreamIds = append(sub.ReceiveStreamIds, m.watched[tr])
		}
	}
	mark := g.mark()
	g.send(chime.Frame_SUBSCRIBE, func(f *chime.Frame) { f.Sub = sub })
	ack := g.next(mark, chime.Frame_SUBSCRIBE_ACK)
	if s := ack.GetError().GetStatus(); s != 0 && s != 206 && s != 509 {
		t.Fatalf("%s: offer answered with error %d", g.attendee.ExternalUserID, s)
	}
	sdp := ack.GetSuback().GetSdpAnswer()
	if !m.cameraOn {
		// This client cannot have a section inactive that it offered otherwise.
		sdp = setDirection(t, sdp, m.cameraAt.Mid(), "inactive", "recvonly")
	}
	if err := m.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: sdp}); err != nil {
		t.Fatalf("answer: %v\n%s", err, sdp)
	}
	return ack
}

// setDirection changes the direction of one section.
func setDirection(t *testing.T, sdp, mid, from, to string) string {
	t.Helper()
	sections := strings.Split(sdp, "\r\nm=")
	for i, s := range sections {
		if strings.Contains(s+"\r\n", "\r\na=mid:"+mid+"\r\n") {
			sections[i] = strings.Replace(s, "\r\na="+from, "\r\na="+to, 1)
			return strings.Join(sections, "\r\nm=")
		}
	}
	t.Fatalf("no section %q in\n%s", mid, sdp)
	return ""
}
