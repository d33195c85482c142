package tlsport_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"belfry.live/belfry/internal/server/tlsport"
)

// A running port, behind each listener a server that tells its name and what
// it has read of the first 16 bytes.
type running struct {
	*tlsport.Port
	t    *testing.T
	addr string
	stop func()
}

func start(t *testing.T, limits tlsport.Limits) *running {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := tlsport.New(l, &tls.Config{Certificates: []tls.Certificate{certificate(t)}}, limits, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	tasks.Go(func() {
		if err := p.Run(ctx); err != nil {
			t.Errorf("Run: got %v, want nil", err)
		}
	})
	tell := func(name string, l net.Listener) {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			tasks.Go(func() {
				defer c.Close()
				b := make([]byte, 16)
				if n, err := io.ReadFull(c, b); err == nil {
					_, _ = c.Write(append([]byte(name+" "), b[:n]...)) // the client may be gone
				}
			})
		}
	}
	tasks.Go(func() { tell("rtmps", p.RTMPS()) })
	tasks.Go(func() { tell("turn", p.TURN()) })
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto)
	})}
	tasks.Go(func() { _ = server.Serve(p.HTTP()) })
	stop := sync.OnceFunc(func() {
		cancel()
		server.Close()
		tasks.Wait()
	})
	t.Cleanup(stop)
	return &running{p, t, l.Addr().String(), stop}
}

func certificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (r *running) dial(protocols ...string) *tls.Conn {
	r.t.Helper()
	c, err := tls.Dial("tcp", r.addr, &tls.Config{InsecureSkipVerify: true, NextProtos: protocols})
	if err != nil {
		r.t.Fatalf("dial with %v: %v", protocols, err)
	}
	r.t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		r.t.Fatal(err)
	}
	return c
}

func TestFirstByteAndProtocolDecide(t *testing.T) {
	r := start(t, tlsport.Limits{})
	for name, c := range map[string]struct {
		protocols   []string
		first, want string
	}{
		"RTMP":                        {nil, "\x03" + strings.Repeat("r", 15), "rtmps \x03" + strings.Repeat("r", 15)},
		"RTMP with a foreign ALPN":    {[]string{"rtmp"}, "\x03" + strings.Repeat("r", 15), "rtmps \x03" + strings.Repeat("r", 15)},
		"TURN request":                {nil, "\x00\x03" + strings.Repeat("t", 14), "turn \x00\x03" + strings.Repeat("t", 14)},
		"TURN with its ALPN":          {[]string{"stun.turn"}, "\x00\x03" + strings.Repeat("t", 14), "turn \x00\x03" + strings.Repeat("t", 14)},
		"TURN indication":             {nil, "\x01" + strings.Repeat("t", 15), "turn \x01" + strings.Repeat("t", 15)},
		"HTTP without ALPN":           {nil, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "HTTP/1.1"},
		"HTTP with ALPN":              {[]string{"http/1.1"}, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "HTTP/1.1"},
		"TLS within TLS":              {nil, "\x16\x03\x01" + strings.Repeat("x", 15), ""},
		"channel data before TURN":    {nil, "\x40\x00" + strings.Repeat("x", 15), ""},
		"lower case":                  {nil, "get / HTTP/1.1\r\n\r\n", ""},
		"a response of STUN":          {nil, "\x02\x01" + strings.Repeat("x", 15), ""},
		"a byte of an SSH greeting's": {nil, "\xff" + strings.Repeat("x", 15), ""},
	} {
		t.Run(name, func(t *testing.T) {
			conn := r.dial(c.protocols...)
			if _, err := io.WriteString(conn, c.first); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(conn)
			if c.want != "HTTP/1.1" && c.want != "" {
				if err != nil || string(got) != c.want {
					t.Errorf("got %q (%v), want %q", got, err, c.want)
				}
				return
			}
			if c.want == "" {
				if len(got) != 0 {
					t.Errorf("got %q, want nothing", got)
				}
				return
			}
			response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(got)), nil)
			if err != nil {
				t.Fatalf("got %q: %v", got, err)
			}
			defer response.Body.Close()
			if body, _ := io.ReadAll(response.Body); string(body) != c.want {
				t.Errorf("got %q, want %q", body, c.want)
			}
		})
	}
	until(t, "five were unknown", func() bool { return r.Stats().Unknown == 5 })
}

func TestHTTP2(t *testing.T) {
	r := start(t, tlsport.Limits{})
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Get("https://" + r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, _ := io.ReadAll(response.Body); string(body) != "HTTP/2.0" {
		t.Errorf("got %q, want HTTP/2.0", body)
	}
}

func TestSlowHandshakesAreCut(t *testing.T) {
	r := start(t, tlsport.Limits{Deadline: 2 * time.Second, PendingPerAddress: 12})
	var slow []net.Conn
	for i := range 12 {
		c, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if i%2 == 0 { // half a ClientHello
			if _, err := c.Write([]byte{22, 3, 1, 2, 0, 1}); err != nil {
				t.Fatal(err)
			}
		}
		slow = append(slow, c)
	}
	until(t, "all of them are waited for", func() bool { return r.Stats().Pending == 12 })
	beyond, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer beyond.Close()
	slow = append(slow, beyond)
	for i, c := range slow {
		if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("connection %d: got %v, want it cut", i, err)
		}
	}
	until(t, "none are pending, 13 were silent or refused", func() bool {
		got := r.Stats()
		return got.Pending == 0 && got.Silent+got.Refused == 13
	})
	c := r.dial()
	if _, err := io.WriteString(c, "\x03"+strings.Repeat("r", 15)); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); len(got) == 0 {
		t.Errorf("after the slow ones: got nothing (%v), want an answer", err)
	}
}

// One that has shaken hands but says nothing is no better.
func TestSilentConnectionsAreCut(t *testing.T) {
	r := start(t, tlsport.Limits{Deadline: 2 * time.Second})
	c := r.dial()
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want the connection cut", err)
	}
	until(t, "one was silent", func() bool { return r.Stats().Silent == 1 })
}

// Those who do not accept hold nobody else up, and nothing waits for ever.
func TestNobodyAccepts(t *testing.T) {
	before := runtime.NumGoroutine()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := tlsport.New(l, &tls.Config{Certificates: []tls.Certificate{certificate(t)}}, tlsport.Limits{}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	r := &running{Port: p, t: t, addr: l.Addr().String()}
	for range 5 {
		c := r.dial()
		if _, err := c.Write([]byte{3}); err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	until(t, "all of them wait", func() bool { return p.Stats().Pending == 5 })
	cancel()
	if err := <-done; err != nil {
		t.Errorf("got %v, want nil", err)
	}
	if _, err := p.RTMPS().Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want %v", err, net.ErrClosed)
	}
	if got := p.Stats().Pending; got != 0 {
		t.Errorf("got %d pending, want none", got)
	}
	until(t, "all goroutines have ended", func() bool { return runtime.NumGoroutine() <= before })
}

func TestListenerThatBreaksEndsRun(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := tlsport.New(l, &tls.Config{}, tlsport.Limits{}, slog.New(slog.DiscardHandler))
	l.Close()
	if err := p.Run(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want %v", err, net.ErrClosed)
	}
}

// until waits for what another goroutine does.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}
