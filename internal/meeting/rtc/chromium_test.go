package rtc

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"belfry.live/belfry/internal/meeting/sfu"
	"github.com/pion/rtp"
)

var keepOffers = flag.Bool("keep-offers", false, "write the browser's offers to testdata/offers")

// offerNames says which of the page's offers other tests use.
var offerNames = map[string]string{
	"TestChromium/alice1":          "chromium-join",
	"TestChromium/alice2":          "chromium-publish",
	"TestChromium/bob2":            "chromium-watch",
	"TestChromium/bob3":            "chromium-stopped",
	"TestChromium/bob4":            "chromium-recycled",
	"TestChromiumSimulcast/alice1": "chromium-simulcast-join",
	"TestChromiumSimulcast/alice2": "chromium-simulcast-publish",
	"TestChromiumCodecs/aliceVP91": "chromium-svc-join",
	"TestChromiumAudio/alice1":     "chromium-red-stereo",
}

// A browserVideo is what the page saw of a section.
type browserVideo struct {
	Codec, Mid, Stream  string
	Width, Frames       int
	SSRC                uint32
	Nacks, Lost, Resent int
}

func (v browserVideo) check(t *testing.T, what, codec string) {
	t.Helper()
	if v.Codec != "video/"+codec || v.Stream != "v_"+v.Mid || v.Width == 0 {
		t.Errorf("%s: got %+v, want codec %s in stream v_%s", what, v, codec, v.Mid)
	}
}

// A real browser joins, publishes, watches and changes its mind.
func TestChromium(t *testing.T) {
	var got struct {
		VP8, H264     browserVideo
		Sections      int
		SRTP          string
		RemoteInbound []string
	}
	browse(t, "sections", &got)
	got.VP8.check(t, "first", "VP8")
	got.H264.check(t, "second", "H264")
	if got.Sections != 3 {
		t.Errorf("sections after recycling: got %d, want 3", got.Sections)
	}
	if want := "SRTP_AEAD_AES_128_GCM"; got.SRTP != want {
		t.Errorf("SRTP cipher: got %s, want %s", got.SRTP, want)
	}
	if !slices.Contains(got.RemoteInbound, "audio") || !slices.Contains(got.RemoteInbound, "video") {
		t.Errorf("receiver reports: got %v, want audio and video", got.RemoteInbound)
	}
}

// Its simulcast layers arrive, each can be watched, and one that is paused is
// not over.
func TestChromiumSimulcast(t *testing.T) {
	type layers struct{ Low, Mid, Hi browserVideo }
	var got struct {
		layers
		Started, Paused int
		Again           layers
		Lossy           struct {
			layers
			End browserVideo
			Up  []struct {
				RID                 string
				Nacks, Resent, PLIs int
			}
		}
		Limited, Freed float64
	}
	s := browse(t, "simulcast", &got)
	for _, c := range []struct {
		what  string
		video browserVideo
		width int
	}{
		{"low", got.Low, 240},
		{"mid", got.Mid, 480},
		{"hi", got.Hi, 960},
		{"hi again", got.Again.Hi, 960},
		{"low again", got.Again.Low, 240},
		{"mid with loss", got.Lossy.Mid, 480},
		{"hi with loss", got.Lossy.Hi, 960},
	} {
		c.video.check(t, c.what, "VP8")
		if c.video.Width != c.width || c.video.SSRC != got.Low.SSRC {
			t.Errorf("%s: got %d wide, SSRC %d, want %d and SSRC %d throughout", c.what, c.video.Width, c.video.SSRC, c.width, got.Low.SSRC)
		}
	}
	if got.Started != 3 || got.Paused != 3 {
		t.Errorf("layers: got %d, then with one paused %d, want 3 both times", got.Started, got.Paused)
	}
	if got.Lossy.End.Nacks == 0 || got.Lossy.End.Resent == 0 {
		t.Errorf("down with loss: got %d asked for again and %d that came again, want both", got.Lossy.End.Nacks, got.Lossy.End.Resent)
	}
	asked := 0
	for _, l := range got.Lossy.Up {
		if l.Nacks > 0 && l.Resent > 0 {
			asked++
		}
	}
	if asked < 2 {
		t.Errorf("up with loss: got %+v, want packets of most layers sent again", got.Lossy.Up)
	}
	if s.relay.lost.Load() == 0 {
		t.Error("the network has lost nothing")
	}
	alice := s.peers["alice"]
	alice.mu.Lock()
	defer alice.mu.Unlock()
	slices.Sort(alice.started)
	if want := []string{"hi", "hi", "low", "low", "mid", "mid"}; !slices.Equal(alice.started, want) || len(alice.stopped) != 3 {
		t.Errorf("publishers: got %v started, %v stopped, want %v, and three", alice.started, alice.stopped, want)
	}
}

// The other codecs, with scalability layers.
func TestChromiumCodecs(t *testing.T) {
	type codec struct {
		browserVideo
		Layers             []sfu.LayerStats
		Small, Thin, Lossy browserVideo
	}
	var got struct{ VP9, AV1, AV1described, H264 codec }
	s := browse(t, "codecs", &got)
	for _, c := range []struct {
		what, name string
		codec
		layers int
	}{
		{"VP9", "VP9", got.VP9, 9},
		{"AV1", "AV1", got.AV1, 3},
		{"AV1 with descriptors", "AV1", got.AV1described, 3},
		{"H.264", "H264", got.H264, 0},
	} {
		c.check(t, c.what, c.name)
		c.Lossy.check(t, c.what+" with loss", c.name)
		switch n := len(c.Layers); {
		case n != c.layers:
			t.Errorf("%s: got %d layers, want %d", c.what, n, c.layers)
		case n == 9:
			c.Small.check(t, c.what+", lowest layer", c.name)
		case n == 3:
			c.Thin.check(t, c.what+", lowest layer", c.name)
		}
	}
	if s.relay.lost.Load() == 0 {
		t.Error("the network has lost nothing")
	}
}

// Redundant audio fills gaps, and stereo is agreed on.
func TestChromiumAudio(t *testing.T) {
	var got struct {
		Params string
		Server Stats
		Out    struct {
			Channels, Sent, Lost int
		}
		In struct {
			Copies, Lost int
			Concealed    float64 // frames
		}
	}
	s := browse(t, "audio", &got)
	if want := "a=fmtp:111 minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1;maxaveragebitrate=128000"; got.Params != want {
		t.Errorf("parameters in the answer: got %q, want %q", got.Params, want)
	}
	if got.Out.Channels != 2 || got.Out.Lost == 0 {
		t.Errorf("sent: got %+v, want two channels, and to know of the loss", got.Out)
	}
	if got.In.Concealed > 0.6*float64(got.In.Lost) {
		t.Errorf("the mix: got %+v, want most lost frames played from their copies", got.In)
	}
	if n := got.Server.ReceiveDropped["bad_red"]; n != 0 {
		t.Errorf("redundant packets that could not be read: got %d, want 0", n)
	}
	b := s.peers["alice"]
	if !b.peer.Stereo() {
		t.Error("stereo: got false, want true")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.outOfOrder > 0 {
		t.Errorf("frames behind the one before: got %d, want recovered ones in their place", b.outOfOrder)
	}
}

// browse plays a scene in Chromium and returns what it saw.
func browse(t *testing.T, scene string, results any) *browserServer {
	t.Helper()
	return browseIn(t, "chromium", net.IPv4(127, 0, 0, 1), scene, results, func(profile, url string) []string {
		return []string{
			"--headless=new", "--no-sandbox", "--disable-gpu", "--mute-audio",
			"--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--autoplay-policy=no-user-gesture-required",
			"--user-data-dir=" + profile, url,
		}
	})
}

// browseIn plays a scene in a browser, of which args makes the command line. It
// finds the server at an address of this machine.
func browseIn(t *testing.T, browser string, at net.IP, scene string, results any, args func(profile, url string) []string) *browserServer {
	t.Helper()
	path, err := exec.LookPath(browser)
	if err != nil {
		t.Skip(browser + " is not installed")
	}
	if testing.Short() {
		t.Skip("takes a browser and some ten seconds")
	}
	s := &browserServer{t: t, transport: newTestTransport(t, Config{Addr: net.JoinHostPort(at.String(), "0")}), peers: make(map[string]*browserPeer)}
	s.relay = newRelay(t, at, s.transport.Addr(), 20)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "<!doctype html><meta charset=utf-8><title>%s</title><script type=module src=/browser/%s.js></script>", scene, scene)
	})
	mux.Handle("GET /browser/", http.FileServer(http.Dir("testdata")))
	mux.HandleFunc("POST /offer", s.offer)
	mux.HandleFunc("POST /published", s.published)
	mux.HandleFunc("POST /layers", s.layers)
	mux.HandleFunc("POST /target", s.target)
	mux.HandleFunc("POST /limit", s.limit)
	mux.HandleFunc("POST /stats", s.stats)
	mux.HandleFunc("POST /lossy", s.lossy)
	done := make(chan browserResults, 1)
	mux.HandleFunc("POST /done", func(w http.ResponseWriter, r *http.Request) {
		var res browserResults
		if err := json.NewDecoder(r.Body).Decode(&res); err != nil {
			res.Error = err.Error()
		}
		fmt.Fprintln(w, "{}")
		select {
		case done <- res:
		default:
		}
	})
	web := httptest.NewServer(mux)
	t.Cleanup(web.Close)
	t.Cleanup(s.close)

	profile, err := os.MkdirTemp("", "belfry-"+browser+"-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		wait(t, "end of the browser", func() bool { return os.RemoveAll(profile) == nil })
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 180*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args(profile, web.URL)...)
	// A browser is many processes.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	defer cancel()

	var res browserResults
	select {
	case res = <-done:
	case <-ctx.Done():
		t.Fatal("the page did not finish")
	}
	if res.Error != "" {
		t.Fatalf("page: %s\nresults so far: %s", res.Error, res.Results)
	}
	t.Logf("%s", res.Results)
	if err := json.Unmarshal(res.Results, results); err != nil {
		t.Fatal(err)
	}
	return s
}

type browserResults struct {
	Error   string
	Results json.RawMessage
}

type browserPeer struct {
	peer   *Peer
	offers int

	mu               sync.Mutex // guards what follows
	layers           []*sfu.Publisher
	started, stopped []string // layers
	heard            bool
	last             uint16
	outOfOrder       int
	mixing           sync.Once
	stop             chan struct{}
	mixed            sync.WaitGroup
}

// A browserServer is the little of a meeting that the pages need.
type browserServer struct {
	t         *testing.T
	transport *Transport
	relay     *relay

	mu    sync.Mutex // guards peers; requests come one after the other
	peers map[string]*browserPeer
}

func (s *browserServer) get(name string) (*browserPeer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.peers[name]; b != nil {
		return b, nil
	}
	b := &browserPeer{stop: make(chan struct{})}
	peer, err := s.transport.NewPeer(Events{
		Connected: func() { b.mixing.Do(func() { b.mixed.Go(b.mix) }) },
		Audio:     func(p *rtp.Packet, _ uint8, _ time.Time) { b.hear(p) },
		VideoStarted: func(p *sfu.Publisher) {
			b.locked(func() { b.layers, b.started = append(b.layers, p), append(b.started, p.RID()) })
		},
		VideoStopped: func(p *sfu.Publisher) {
			b.locked(func() {
				b.layers = slices.DeleteFunc(b.layers, func(o *sfu.Publisher) bool { return o == p })
				b.stopped = append(b.stopped, p.RID())
			})
		},
	}, quietLog(s.t))
	if err != nil {
		return nil, err
	}
	b.peer = peer
	s.peers[name] = b
	return b, nil
}

func (b *browserPeer) locked(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

// hear checks the order of the audio frames: no page makes the network change
// it.
func (b *browserPeer) hear(p *rtp.Packet) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.heard && int16(p.SequenceNumber-b.last) <= 0 {
		b.outOfOrder++
	}
	b.heard, b.last = true, p.SequenceNumber
}

// publisher returns the layer with an id, any one for "", or nil.
func (b *browserPeer) publisher(rid string) *sfu.Publisher {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.layers {
		if rid == "" || p.RID() == rid {
			return p
		}
	}
	return nil
}

// mix sends silence, 50 frames a second also when the machine is busy: what a
// ticker leaves out would be a gap.
func (b *browserPeer) mix() {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	at, n := time.Now(), uint32(0)
	for {
		select {
		case <-b.stop:
			return
		case now := <-tick.C:
			for ; !at.After(now); at = at.Add(20 * time.Millisecond) {
				_ = b.peer.WriteAudio(AudioFrame{Payload: []byte{0xf8, 0xff, 0xfe}, Timestamp: n * 960, Time: at})
				n++
			}
		}
	}
}

// A browserRequest is what a page asks for.
type browserRequest struct {
	Name string

	SDP     string // of an offer
	Publish bool
	Receive []string

	Mid, Of, RID      string // of a target
	Spatial, Temporal *int

	BPS int  // of a limit
	On  bool // of loss
}

// read decodes a request and finds whose it is.
func (s *browserServer) read(w http.ResponseWriter, r *http.Request) (req browserRequest, b *browserPeer) {
	err := json.NewDecoder(r.Body).Decode(&req)
	if err == nil && req.Name != "" {
		b, err = s.get(req.Name)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return req, nil
	}
	return req, b
}

func (s *browserServer) offer(w http.ResponseWriter, r *http.Request) {
	req, b := s.read(w, r)
	if b == nil {
		return
	}
	b.offers++
	if name := offerNames[s.t.Name()+"/"+fmt.Sprint(req.Name, b.offers)]; name != "" && *keepOffers {
		if err := os.WriteFile(filepath.Join("testdata", "offers", name+".sdp"), []byte(req.SDP), 0o644); err != nil {
			s.t.Error(err)
		}
	}
	o := Offer{SDP: req.SDP, Publish: req.Publish}
	for _, name := range req.Receive {
		var rec Receive
		if name != "" {
			other, err := s.get(name)
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			rec.Target = sfu.Whole(other.publisher(""))
		}
		o.Receive = append(o.Receive, rec)
	}
	answer, err := b.peer.Negotiate(r.Context(), o)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	at, through := s.transport.Addr(), s.relay.addr()
	sdp := strings.ReplaceAll(answer.SDP, fmt.Sprintf(" %s %d ", at.Addr(), at.Port()), fmt.Sprintf(" %s %d ", through.Addr(), through.Port()))
	_ = json.NewEncoder(w).Encode(map[string]any{"sdp": sdp, "tracks": answer.Tracks})
}

// published answers when video of an attendee has begun to arrive.
func (s *browserServer) published(w http.ResponseWriter, r *http.Request) {
	_, b := s.read(w, r)
	if b == nil {
		return
	}
	for b.publisher("") == nil {
		select {
		case <-r.Context().Done():
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
	fmt.Fprintln(w, "{}")
}

// layers answers with what arrives of an attendee's camera.
func (s *browserServer) layers(w http.ResponseWriter, r *http.Request) {
	_, b := s.read(w, r)
	if b == nil {
		return
	}
	b.mu.Lock()
	list := slices.Clone(b.layers)
	b.mu.Unlock()
	type layer struct {
		RID    string           `json:"rid"`
		Active bool             `json:"active"`
		Width  int              `json:"width"`
		Layers []sfu.LayerStats `json:"layers"`
	}
	answer := []layer{}
	for _, p := range list {
		st := p.Stats()
		answer = append(answer, layer{p.RID(), st.Active, st.Width, st.Layers})
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// target changes what a section shows.
func (s *browserServer) target(w http.ResponseWriter, r *http.Request) {
	req, b := s.read(w, r)
	if b == nil {
		return
	}
	other, err := s.get(req.Of)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	t := sfu.Whole(other.publisher(req.RID))
	if req.Spatial != nil && req.Temporal != nil {
		t.Spatial, t.Temporal = *req.Spatial, *req.Temporal
	}
	if t.Publisher == nil || !b.peer.SetTarget(req.Mid, t) {
		http.Error(w, "no such layer or section", http.StatusBadRequest)
		return
	}
	fmt.Fprintln(w, "{}")
}

func (s *browserServer) limit(w http.ResponseWriter, r *http.Request) {
	if req, b := s.read(w, r); b != nil {
		b.peer.LimitUplink(req.BPS)
		fmt.Fprintln(w, "{}")
	}
}

func (s *browserServer) stats(w http.ResponseWriter, r *http.Request) {
	if _, b := s.read(w, r); b != nil {
		_ = json.NewEncoder(w).Encode(b.peer.Stats())
	}
}

func (s *browserServer) lossy(w http.ResponseWriter, r *http.Request) {
	req, _ := s.read(w, r)
	s.relay.lossy.Store(req.On)
	fmt.Fprintln(w, "{}")
}

func (s *browserServer) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.peers {
		close(b.stop)
		b.mixed.Wait()
		b.peer.Close()
	}
}
