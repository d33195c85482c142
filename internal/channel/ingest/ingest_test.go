package ingest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"math/big"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"belfry.live/belfry/internal/channel/packager"
	"belfry.live/belfry/internal/wire/aac"
	"belfry.live/belfry/internal/wire/h264"
)

const testKey = "sk_test_VERYSECRET0123"

// A testDesk knows one key and records what is published with it.
type testDesk struct {
	insecure bool // takes plain RTMP
	fail     func(packager.Sample) error

	mu    sync.Mutex
	busy  bool
	got   []Publisher
	began chan *recording
}

func newTestDesk() *testDesk { return &testDesk{insecure: true, began: make(chan *recording, 16)} }

func (d *testDesk) Publish(_ context.Context, key string, p Publisher) (Publication, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case key != testKey:
		return nil, ErrUnknownKey
	case !p.Encrypted && !d.insecure:
		return nil, ErrInsecure
	case d.busy:
		return nil, ErrBusy
	}
	d.busy = true
	d.got = append(d.got, p)
	r := &recording{desk: d, stop: make(chan struct{}), closed: make(chan struct{})}
	d.began <- r
	return r, nil
}

// A recording keeps everything a publication is told.
type recording struct {
	desk   *testDesk
	stop   chan struct{}
	closed chan struct{}

	mu       sync.Mutex
	metadata []Metadata
	videos   []h264.Config
	audios   []aac.Config
	video    []packager.Sample
	audio    []packager.Sample
	orderly  bool
}

func (r *recording) Metadata(m Metadata) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.metadata = append(r.metadata, m)
}

func (r *recording) SetVideo(c h264.Config) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.videos = append(r.videos, c)
	return nil
}

func (r *recording) SetAudio(c aac.Config) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.audios = append(r.audios, c)
	return nil
}

func (r *recording) WriteVideo(s packager.Sample) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.desk.fail != nil {
		return r.desk.fail(s)
	}
	s.Data = bytes.Clone(s.Data)
	r.video = append(r.video, s)
	return nil
}

func (r *recording) WriteAudio(s packager.Sample) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.Data = bytes.Clone(s.Data)
	r.audio = append(r.audio, s)
	return nil
}

func (r *recording) Stopped() <-chan struct{} { return r.stop }

func (r *recording) Close(orderly bool) {
	r.mu.Lock()
	r.orderly = orderly
	r.mu.Unlock()
	r.desk.mu.Lock()
	r.desk.busy = false
	r.desk.mu.Unlock()
	close(r.closed)
}

// A testServer is a server with a plain and a TLS listener.
type testServer struct {
	*Server
	desk  *testDesk
	plain string // address
	tls   string
	roots *x509.CertPool
	log   *logBuffer
}

func startServer(t *testing.T, cfg Config) *testServer {
	t.Helper()
	before := runtime.NumGoroutine()
	ts := &testServer{desk: newTestDesk(), log: &logBuffer{}}
	ts.Server = New(cfg, ts.desk, slog.New(slog.NewTextHandler(ts.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	ctx, cancel := context.WithCancel(context.Background())
	var served sync.WaitGroup

	plain := listenOn(t)
	ts.plain = plain.Addr().String()
	certificate, roots := selfSigned(t)
	ts.roots = roots
	raw := listenOn(t)
	ts.tls = raw.Addr().String()
	for _, l := range []struct {
		net.Listener
		encrypted bool
	}{{plain, false}, {tls.NewListener(raw, &tls.Config{Certificates: []tls.Certificate{certificate}}), true}} {
		served.Go(func() {
			if err := ts.Serve(ctx, l, l.encrypted); err != nil {
				t.Errorf("Serve: got %v, want nil", err)
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		served.Wait()
		waitFor(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= before })
		if s := ts.Stats(); s.Sessions != 0 || s.Publishing != 0 || ts.waiting != 0 || len(ts.waitingFrom) != 0 {
			t.Errorf("after Serve: got %+v, %d waiting from %v, want none", s, ts.waiting, ts.waitingFrom)
		}
		if log := ts.log.String(); strings.Contains(log, "VERYSECRET") {
			t.Errorf("log holds a stream key:\n%s", log)
		}
	})
	return ts
}

// publication returns the next publication that begins.
func (ts *testServer) publication(t *testing.T) *recording {
	t.Helper()
	select {
	case r := <-ts.desk.began:
		return r
	case <-time.After(20 * time.Second):
		t.Fatalf("nobody publishes; log:\n%s", ts.log)
		return nil
	}
}

func (r *recording) wait(t *testing.T) {
	t.Helper()
	select {
	case <-r.closed:
	case <-time.After(20 * time.Second):
		t.Fatal("publication does not end")
	}
}

func listenOn(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// selfSigned makes a certificate for localhost.
func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<16)
			t.Fatalf("waited too long for %s\n%s", what, stacks[:runtime.Stack(stacks, true)])
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// A logBuffer collects a log.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
