package rtc

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"belfry.live/belfry/internal/meeting/sfu"
)

var keepOffers = flag.Bool("keep-offers", false, "write the browser's offers to testdata/offers")

// offerNames says which of the page's offers other tests use.
var offerNames = map[string]string{
	"alice1": "chromium-join",
	"alice2": "chromium-publish",
	"bob2":   "chromium-watch",
	"bob3":   "chromium-stopped",
	"bob4":   "chromium-recycled",
}

// A real browser joins, publishes, watches and changes its mind.
func TestChromium(t *testing.T) {
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed")
	}
	if testing.Short() {
		t.Skip("takes a browser and some ten seconds")
	}
	s := &browserServer{t: t, transport: newTestTransport(t, Config{}), peers: make(map[string]*browserPeer)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, "testdata/page.html") })
	mux.HandleFunc("POST /offer", s.offer)
	mux.HandleFunc("POST /published", s.published)
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
	defer web.Close()
	defer s.close()

	profile, err := os.MkdirTemp("", "belfry-chromium-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		wait(t, "end of the browser", func() bool { return os.RemoveAll(profile) == nil })
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--headless=new", "--no-sandbox", "--disable-gpu", "--mute-audio",
		"--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--autoplay-policy=no-user-gesture-required",
		"--user-data-dir="+profile, web.URL)
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
	type video struct {
		Codec, Mid, Stream string
		Width, Frames      int
	}
	var got struct {
		VP8, H264     video
		Sections      int
		SRTP          string
		RemoteInbound []string
	}
	if err := json.Unmarshal(res.Results, &got); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		got   video
		codec string
	}{{got.VP8, "video/VP8"}, {got.H264, "video/H264"}} {
		if c.got.Codec != c.codec || c.got.Stream != "v_"+c.got.Mid || c.got.Width == 0 {
			t.Errorf("video: got %+v, want codec %s in stream v_%s", c.got, c.codec, c.got.Mid)
		}
	}
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

type browserResults struct {
	Error   string
	Results json.RawMessage
}

type browserPeer struct {
	peer   *Peer
	offers int

	mu      sync.Mutex // guards what follows
	current *sfu.Publisher
	mixing  sync.Once
	stop    chan struct{}
	stopped sync.WaitGroup
}

// A browserServer is the little of a meeting that the page needs.
type browserServer struct {
	t         *testing.T
	transport *Transport

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
		Connected:    func() { b.mixing.Do(func() { b.stopped.Go(b.mix) }) },
		VideoStarted: func(p *sfu.Publisher) { b.set(p) },
		VideoStopped: func(*sfu.Publisher) { b.set(nil) },
	}, quietLog(s.t))
	if err != nil {
		return nil, err
	}
	b.peer = peer
	s.peers[name] = b
	return b, nil
}

func (b *browserPeer) set(p *sfu.Publisher) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.current = p
}

func (b *browserPeer) publisher() *sfu.Publisher {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.current
}

// mix sends silence.
func (b *browserPeer) mix() {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for n := uint32(0); ; n++ {
		select {
		case <-b.stop:
			return
		case at := <-tick.C:
			_ = b.peer.WriteAudio(AudioFrame{Payload: []byte{0xf8, 0xff, 0xfe}, Timestamp: n * 960, Time: at})
		}
	}
}

func (s *browserServer) offer(w http.ResponseWriter, r *http.Request) {
	var req struct {
		Name, SDP string
		Publish   bool
		Receive   []string
	}
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	b, err := s.get(req.Name)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	b.offers++
	if name := offerNames[fmt.Sprint(req.Name, b.offers)]; name != "" && *keepOffers {
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
			rec.Target = sfu.Whole(other.publisher())
		}
		o.Receive = append(o.Receive, rec)
	}
	answer, err := b.peer.Negotiate(r.Context(), o)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"sdp": answer.SDP, "tracks": answer.Tracks})
}

// published answers when video of an attendee has begun to arrive.
func (s *browserServer) published(w http.ResponseWriter, r *http.Request) {
	var req struct{ Name string }
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	b, err := s.get(req.Name)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	for b.publisher() == nil {
		select {
		case <-r.Context().Done():
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
	fmt.Fprintln(w, "{}")
}

func (s *browserServer) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.peers {
		close(b.stop)
		b.stopped.Wait()
		b.peer.Close()
	}
}
