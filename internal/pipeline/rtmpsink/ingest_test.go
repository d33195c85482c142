package rtmpsink

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"belfry.live/belfry/internal/channel/ingest"
	"belfry.live/belfry/internal/channel/packager"
	"belfry.live/belfry/internal/wire/aac"
	"belfry.live/belfry/internal/wire/h264"
)

// A channelDesk is what our own ingest publishes to, here.
type channelDesk struct {
	began chan *channelRun
}

func (d *channelDesk) Publish(_ context.Context, key string, _ ingest.Publisher) (ingest.Publication, error) {
	if key != testKey {
		return nil, ingest.ErrUnknownKey
	}
	r := &channelRun{stop: make(chan struct{}), closed: make(chan bool, 1), first: make(chan struct{})}
	d.began <- r
	return r, nil
}

// A channelRun keeps what one publication was told.
type channelRun struct {
	stop   chan struct{}
	closed chan bool // orderly
	first  chan struct{}

	mu       sync.Mutex
	metadata ingest.Metadata
	videos   []h264.Config
	audios   []aac.Config
	samples  []sourceSample
}

func (r *channelRun) do(f func()) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	return nil
}

func (r *channelRun) Metadata(m ingest.Metadata) { r.do(func() { r.metadata = m }) }
func (r *channelRun) SetVideo(c h264.Config) error {
	return r.do(func() { r.videos = append(r.videos, c) })
}

func (r *channelRun) SetAudio(c aac.Config) error {
	return r.do(func() { r.audios = append(r.audios, c) })
}
func (r *channelRun) Stopped() <-chan struct{}           { return r.stop }
func (r *channelRun) Close(orderly bool)                 { r.closed <- orderly }
func (r *channelRun) WriteVideo(s packager.Sample) error { return r.write(true, s) }
func (r *channelRun) WriteAudio(s packager.Sample) error { return r.write(false, s) }

func (r *channelRun) write(video bool, s packager.Sample) error {
	return r.do(func() {
		if len(r.samples) == 0 {
			close(r.first)
		}
		r.samples = append(r.samples, sourceSample{video, Sample{DTS: s.DTS, PTS: s.PTS, KeyFrame: s.KeyFrame, Data: bytes.Clone(s.Data)}})
	})
}

func (r *channelRun) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.samples)
}

// An ingestServer is our own RTMP server.
type ingestServer struct {
	desk *channelDesk
	addr string
	pem  []byte // its certificate
	stop func()
}

func startIngest(t *testing.T, encrypted bool, addr string) *ingestServer {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &ingestServer{desk: &channelDesk{began: make(chan *channelRun, 100)}, addr: ln.Addr().String()}
	if encrypted {
		var certificate tls.Certificate
		certificate, s.pem = selfSigned(t)
		ln = tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{certificate}})
	}
	server := ingest.New(ingest.Config{}, s.desk, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(ctx, ln, encrypted); err != nil {
			t.Errorf("Serve: %v", err)
		}
	}()
	s.stop = sync.OnceFunc(func() { cancel(); <-done })
	return s
}

func (s *ingestServer) url() string { return "rtmp://" + s.addr + "/app/" + testKey }

func selfSigned(t *testing.T) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		DNSNames:     []string{"ingest.test"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// TestPublishToIngest carries the source over RTMP and RTMPS, byte for byte.
// With RTMPS the URL names a host that is not dialled: our own ingest is, at
// its address.
func TestPublishToIngest(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		t.Run(map[bool]string{false: "rtmp", true: "rtmps"}[encrypted], func(t *testing.T) {
			server := startIngest(t, encrypted, "127.0.0.1:0")
			defer server.stop()
			src := loadSource(t)
			url := server.url()
			var change func(*Config)
			if encrypted {
				url = "rtmps://ingest.test:443/app/" + testKey
				roots, err := ExtraRoots(server.pem)
				if err != nil {
					t.Fatal(err)
				}
				change = func(c *Config) { c.DialAddr, c.RootCAs = server.addr, roots }
			}
			s := startSink(t, url, src, change)
			s.until(Publishing)
			src.play(s, 0)
			run := receive(t, "a publication", server.desk.began)
			s.stop() // sends what is queued
			if err := <-s.result; err != nil {
				t.Errorf("Run: got %v, want nil", err)
			}
			if orderly := receive(t, "its end", run.closed); !orderly {
				t.Error("publication was lost, want an orderly end")
			}
			if n, want := len(run.samples), len(src.samples); n != want {
				t.Fatalf("got %d samples, want %d", n, want)
			}
			for i, got := range run.samples {
				want := src.samples[i]
				if got.video != want.video || got.DTS != want.DTS || got.PTS != want.PTS || got.KeyFrame != want.KeyFrame || !bytes.Equal(got.Data, want.Data) {
					t.Fatalf("sample %d: got %+v, want %+v", i, got, want)
				}
			}
			if len(run.videos) != 1 || !run.videos[0].Equal(src.video) || len(run.audios) != 1 || run.audios[0] != src.audio {
				t.Errorf("configs: got %+v and %+v, want the source's", run.videos, run.audios)
			}
			if m := run.metadata; m.Width != 160 || m.FrameRate != 25 || m.AudioSampleRate != 48000 || m.Encoder != "Belfry" {
				t.Errorf("metadata: got %+v", m)
			}
			if st := s.Stats(); st.VideoSent+st.AudioSent != int64(len(src.samples)) || st.Connections != 1 {
				t.Errorf("stats: got %+v, want %d samples over one connection", st, len(src.samples))
			}
			s.until(Ended)
		})
	}
}

// TestConfigChanges sends a new configuration before the samples coded with
// it.
func TestConfigChanges(t *testing.T) {
	server := startIngest(t, false, "127.0.0.1:0")
	defer server.stop()
	src := loadSource(t)
	s := startSink(t, server.url(), src, nil)
	s.until(Publishing)
	src.play(s, 0)
	other := src.video
	other.Level++
	s.SetVideo(other)
	mono := src.audio
	mono.Channels = 1
	s.SetAudio(mono)
	src.play(s, src.length)
	run := receive(t, "a publication", server.desk.began)
	s.stop()
	receive(t, "its end", run.closed)
	if len(run.videos) != 2 || !run.videos[1].Equal(other) || len(run.audios) != 2 || run.audios[1] != mono {
		t.Errorf("got %d video and %d audio configs, want 2 of each", len(run.videos), len(run.audios))
	}
	if n := len(run.samples); n != 2*len(src.samples) {
		t.Errorf("got %d samples, want %d", n, 2*len(src.samples))
	}
}

// TestSinkReturns loses the sink twice, each time for a while, and looks at
// every publication's beginning.
func TestSinkReturns(t *testing.T) {
	server := startIngest(t, false, "127.0.0.1:0")
	src := loadSource(t)
	s := startSink(t, server.url(), src, nil)
	ctx, cancel := context.WithCancel(context.Background())
	var writer sync.WaitGroup
	defer writer.Wait()
	defer cancel()
	writer.Go(func() { src.paced(ctx, s) })

	var last time.Duration // of the publication before
	for round := range 3 {
		s.until(Publishing)
		receive(t, "the request for a key frame", s.keys)
		run := receive(t, "a publication", server.desk.began)
		waitFor(t, "samples", func() bool { return run.count() > 100 })
		switch round {
		case 0: // the server dies, and lives again
			addr := server.addr
			server.stop()
			server = startIngest(t, false, addr)
			defer server.stop()
		case 1: // this publisher is cut
			close(run.stop)
		case 2:
			s.stop()
			if orderly := receive(t, "the end", run.closed); !orderly {
				t.Error("last publication was lost, want an orderly end")
			}
		}
		if round < 2 {
			if st := s.until(Lost); st.Err == nil || st.Refused || st.Retry <= 0 {
				t.Errorf("lost: got %+v, want an error that is no refusal, and a time", st)
			}
		}
		run.mu.Lock()
		first := run.samples[0]
		if !first.video || !first.KeyFrame {
			t.Errorf("round %d begins with %+v, want a key frame", round, first)
		}
		if first.DTS < last || (round > 0 && first.DTS == last) {
			t.Errorf("round %d begins at %v, the one before ended at %v", round, first.DTS, last)
		}
		for i, v := range run.samples {
			// Each is the source's sample of its time: the clock went on.
			if !src.has(v) {
				t.Fatalf("round %d, sample %d at %v is not the source's of that time", round, i, v.DTS)
			}
		}
		last = run.samples[len(run.samples)-1].DTS
		run.mu.Unlock()
	}
	if st := s.Stats(); st.Connections != 3 || st.DroppedOffline == 0 {
		t.Errorf("stats: got %+v, want 3 connections, and samples dropped between them", st)
	}
}

// has tells whether the source, again and again, has that sample.
func (src *source) has(v sourceSample) bool {
	at := v.DTS % src.length
	for _, s := range src.samples {
		if s.video == v.video && s.DTS == at && bytes.Equal(s.Data, v.Data) {
			return true
		}
	}
	return false
}

func TestUnknownKeyIsRefusedForGood(t *testing.T) {
	server := startIngest(t, false, "127.0.0.1:0")
	defer server.stop()
	s := startSink(t, "rtmp://"+server.addr+"/app/sk_other_VERYSECRET", nil, func(c *Config) { c.RefusedFor = time.Second })
	st := s.until(Lost)
	if !st.Refused || !strings.Contains(st.Err.Error(), "NetStream.Publish.BadName") {
		t.Errorf("lost: got %+v, want a refusal with the server's code", st)
	}
	if err := receive(t, "the end of Run", s.result); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "unknown stream key") {
		t.Errorf("Run: got %v, want ErrRefused with the server's words", err)
	}
	if st := s.until(Ended); !st.Refused || st.Err == nil {
		t.Errorf("ended: got %+v, want a refusal", st)
	}
}

// TestCertificates refuses servers that do not prove who they are.
func TestCertificates(t *testing.T) {
	server := startIngest(t, true, "127.0.0.1:0")
	defer server.stop()
	roots, err := ExtraRoots(server.pem)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		host   string
		change func(*Config)
		want   string // in the error; "" for none
	}{
		{"unknown authority", "ingest.test", func(c *Config) {}, "unknown authority"},
		{"another name", "other.test", func(c *Config) { c.RootCAs = roots }, "not other.test"},
		{"name of the configuration", "other.test", func(c *Config) { c.RootCAs, c.ServerName = roots, "ingest.test" }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := startSink(t, "rtmps://"+c.host+"/app/"+testKey, nil, func(cfg *Config) {
				cfg.DialAddr = server.addr
				c.change(cfg)
			})
			if c.want == "" {
				s.until(Publishing)
				return
			}
			if st := s.until(Lost); !st.Refused || !strings.Contains(st.Err.Error(), c.want) {
				t.Errorf("lost: got %v, refused %v, want a refusal with %q", st.Err, st.Refused, c.want)
			}
		})
	}
	if _, err := ExtraRoots([]byte("no certificate")); err == nil {
		t.Error("ExtraRoots of something else: got no error")
	}
}
