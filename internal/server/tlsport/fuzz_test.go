package tlsport_test

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"testing"

	"belfry.live/belfry/internal/server/tlsport"
)

// pipes is a listener without a network.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error {
	select {
	case <-p.closed:
	default:
		close(p.closed)
	}
	return nil
}

func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// FuzzPort sends anything, with and without a handshake in front. What comes
// out of one of the listeners is what was sent, and it belongs there.
func FuzzPort(f *testing.F) {
	for _, seed := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x03" + string(make([]byte, 1536)),
		"\x00\x03\x00\x08\x21\x12\xa4\x42", "\x01\x16\x00\x00", "\x40\x00\x00\x04data", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "", "\x80",
	} {
		f.Add([]byte(seed), uint8(0), false)
		f.Add([]byte(seed), uint8(1), false)
		f.Add([]byte(seed), uint8(0), true)
	}
	server := &tls.Config{Certificates: []tls.Certificate{certificate(f)}}
	protocols := [][]string{nil, {"h2"}, {"http/1.1"}, {"stun.turn"}, {"rtmp"}, {"rtmp", "h2"}}
	f.Fuzz(func(t *testing.T, b []byte, protocol uint8, raw bool) {
		l := pipes{make(chan net.Conn), make(chan struct{})}
		p := tlsport.New(l, server, tlsport.Limits{}, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()

		got := make(chan string, 3)
		for name, out := range map[string]net.Listener{"http": p.HTTP(), "rtmps": p.RTMPS(), "turn": p.TURN()} {
			go func() {
				c, err := out.Accept()
				if err != nil {
					got <- ""
					return
				}
				read, _ := io.ReadAll(c)
				c.Close()
				got <- name + string(read)
			}()
		}
		ours, theirs := net.Pipe()
		l.conns <- theirs
		offered := protocols[int(protocol)%len(protocols)]
		if raw {
			go func() { _, _ = io.Copy(io.Discard, ours) }()
			_, _ = ours.Write(b)
			ours.Close()
		} else {
			c := tls.Client(ours, &tls.Config{InsecureSkipVerify: true, NextProtos: offered})
			if err := c.Handshake(); err != nil {
				t.Fatalf("handshake with %v: %v", offered, err)
			}
			go func() { _, _ = io.Copy(io.Discard, ours) }() // alerts
			_, _ = c.Write(b)
			c.Close()
		}
		// Whoever gets the connection reads to its end; then, or when nobody
		// gets it, the port is told to stop.
		want := ""
		if !raw {
			want = belongs(offered, b)
		}
		var answers []string
		if want != "" {
			answers = append(answers, <-got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		for len(answers) < 3 {
			answers = append(answers, <-got)
		}
		for i, a := range answers {
			if i > 0 && a != "" || i == 0 && want != "" && a != want+string(b) || i == 0 && want == "" && a != "" {
				t.Errorf("listener %d got %q, want %q with all %d bytes once", i, a, want, len(b))
			}
		}
	})
}

func belongs(offered []string, b []byte) string {
	for _, o := range offered {
		switch o {
		case "h2", "http/1.1":
			return "http"
		case "stun.turn":
			return "turn"
		}
	}
	switch {
	case len(b) == 0:
		return ""
	case b[0] == 0, b[0] == 1:
		return "turn"
	case b[0] == 3:
		return "rtmps"
	case b[0] >= 'A' && b[0] <= 'Z':
		return "http"
	}
	return ""
}
