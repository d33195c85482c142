package rtmpsink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"belfry.live/belfry/internal/wire/amf0"
	"belfry.live/belfry/internal/wire/rtmp"
)

// A scriptedServer takes one connection after the other and lets serve deal
// with each.
type scriptedServer struct {
	addr string
	stop func()
}

func startScripted(t *testing.T, serve func(c *peer) error) *scriptedServer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	all.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
			all.Go(func() {
				defer conn.Close()
				serve(&peer{Conn: conn, r: rtmp.NewReader(conn), w: rtmp.NewWriter(conn)})
			})
		}
	})
	return &scriptedServer{addr: ln.Addr().String(), stop: func() {
		ln.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		all.Wait()
	}}
}

func (s *scriptedServer) url() string { return "rtmp://" + s.addr + "/app/" + testKey }

// A peer is a scripted server's side of a connection.
type peer struct {
	net.Conn
	r *rtmp.Reader
	w *rtmp.Writer
}

// command reads up to a command of that name.
func (p *peer) command(name string) (rtmp.Command, error) {
	for {
		m, err := p.r.ReadMessage()
		if err != nil {
			return rtmp.Command{}, err
		}
		if m.Type != rtmp.TypeCommandAMF0 {
			continue
		}
		if c, err := rtmp.ParseCommand(m); err != nil || c.Name == name {
			return c, err
		}
	}
}

func (p *peer) answer(name string, transaction float64, args ...amf0.Value) error {
	return p.w.WriteMessage(rtmp.Command{Name: name, Transaction: transaction, Args: args}.Message(0))
}

// accept goes along up to the publish command and does not answer it.
func (p *peer) accept() error {
	if err := rtmp.ServerHandshake(p); err != nil {
		return err
	}
	c, err := p.command("connect")
	if err != nil {
		return err
	}
	ok := rtmp.Status{Level: rtmp.LevelStatus, Code: rtmp.CodeConnectSuccess}
	if err := p.answer("_result", c.Transaction, ok.Value()); err != nil {
		return err
	}
	if c, err = p.command("createStream"); err != nil {
		return err
	}
	if err := p.answer("_result", c.Transaction, 1.0); err != nil {
		return err
	}
	_, err = p.command("publish")
	return err
}

func (p *peer) status(s rtmp.Status) error { return p.w.WriteMessage(s.OnStatus().Message(1)) }

// publish goes along and says that media may flow.
func (p *peer) publish() error {
	if err := p.accept(); err != nil {
		return err
	}
	return p.status(rtmp.Status{Level: rtmp.LevelStatus, Code: rtmp.CodePublishStart, Description: "publishing " + testKey})
}

// TestServerSaysTheKey has servers that repeat the stream key in all they
// say; startSink looks for it in states, errors and the log.
func TestServerSaysTheKey(t *testing.T) {
	status := rtmp.Status{Level: rtmp.LevelError, Code: rtmp.CodePublishBadName, Description: "app/" + testKey + " is taken"}
	for _, c := range []struct {
		name  string
		serve func(p *peer) error
		want  string
	}{
		{"publish", func(p *peer) error {
			if err := p.accept(); err != nil {
				return err
			}
			return p.status(status)
		}, "publish: NetStream.Publish.BadName (app/(stream key) is taken)"},
		{"connect", func(p *peer) error {
			if err := rtmp.ServerHandshake(p); err != nil {
				return err
			}
			if _, err := p.command("connect"); err != nil {
				return err
			}
			return p.answer("_error", 1, rtmp.Status{Level: rtmp.LevelError, Code: rtmp.CodeConnectRejected, Description: testKey}.Value())
		}, "connect: NetConnection.Connect.Rejected ((stream key))"},
		{"while media flows", func(p *peer) error {
			if err := p.publish(); err != nil {
				return err
			}
			if err := p.status(status); err != nil {
				return err
			}
			_, err := p.command("never")
			return err
		}, "stream: NetStream.Publish.BadName (app/(stream key) is taken)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := startScripted(t, c.serve)
			defer server.stop()
			s := startSink(t, server.url(), nil, nil)
			defer s.stop()
			if st := s.until(Lost); st.Err.Error() != c.want || !st.Refused {
				t.Errorf("got %q, refused %v, want %q, a refusal", st.Err, st.Refused, c.want)
			}
			waitFor(t, "the log line", func() bool { return strings.Contains(s.log.String(), "RTMP sink lost") })
		})
	}
}

// TestWedgedServer has a server that says yes and reads no more: the sink must
// find out, though the kernel takes some megabytes for it.
func TestWedgedServer(t *testing.T) {
	release := make(chan struct{})
	server := startScripted(t, func(p *peer) error {
		if err := p.publish(); err != nil {
			return err
		}
		<-release
		return nil
	})
	defer server.stop()
	defer close(release)
	s := startSink(t, server.url(), loadSource(t), func(c *Config) {
		c.StallTimeout, c.MaxDelay = 500*time.Millisecond, 200*time.Millisecond
	})
	defer s.stop()
	s.until(Publishing)
	began := time.Now()
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		big := make([]byte, 100_000)
		copy(big, []byte{0, 1, 0x86, 0x9c, 0x65})
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
			s.WriteVideo(Sample{DTS: time.Duration(i) * 40 * time.Millisecond, KeyFrame: i%25 == 0, Data: big})
		}
	})
	st := s.until(Lost)
	if st.Err == nil || !strings.Contains(st.Err.Error(), "takes no more media for 500ms") || st.Refused {
		t.Errorf("lost: got %v, refused %v, want the stall named", st.Err, st.Refused)
	}
	close(stop)
	writer.Wait()
	t.Logf("found after %v", time.Since(began))
	if stats := s.Stats(); stats.DroppedOverflow == 0 {
		t.Errorf("stats: got %+v, want samples dropped because the queue was full", stats)
	}
	s.until(Connecting) // it tries again
}

// TestWedgedServerAtTheEnd asks a sink to end whose server reads no more.
func TestWedgedServerAtTheEnd(t *testing.T) {
	release := make(chan struct{})
	server := startScripted(t, func(p *peer) error {
		if err := p.publish(); err != nil {
			return err
		}
		<-release
		return nil
	})
	defer server.stop()
	defer close(release)
	s := startSink(t, server.url(), loadSource(t), func(c *Config) { c.EndTimeout = 300 * time.Millisecond; c.MaxDelay = time.Hour })
	s.until(Publishing)
	for i := range 20 {
		s.WriteVideo(Sample{DTS: time.Duration(i), KeyFrame: true, Data: make([]byte, 1<<20)})
	}
	began := time.Now()
	s.stop()
	if d := time.Since(began); d > 3*time.Second {
		t.Errorf("Run took %v to end, want about 300ms", d)
	}
	if err := <-s.result; err != nil {
		t.Errorf("Run: got %v, want nil", err)
	}
}

// TestGoodbyeArrives has a server that reads late and goes on talking: a
// connection closed too early would be reset, and what it had not read lost.
func TestGoodbyeArrives(t *testing.T) {
	ending := make(chan struct{})
	got := make(chan error, 1)
	server := startScripted(t, func(p *peer) error {
		if err := p.publish(); err != nil {
			return err
		}
		<-ending
		for range 30 {
			time.Sleep(5 * time.Millisecond)
			p.w.WriteMessage(rtmp.UserControl(rtmp.EventPingRequest, 1))
		}
		_, err := p.command("deleteStream")
		got <- err
		return err
	})
	defer server.stop()
	s := startSink(t, server.url(), loadSource(t), func(c *Config) { c.EndTimeout = 20 * time.Second })
	s.until(Publishing)
	close(ending)
	s.stop()
	if err := receive(t, "the goodbye", got); err != nil {
		t.Errorf("deleteStream: got %v, want the command", err)
	}
}

// TestSilentServers never get to the point.
func TestSilentServers(t *testing.T) {
	const late = "no answer for 300ms"
	wait := func(p *peer) error { _, err := io.Copy(io.Discard, p); return err }
	for _, c := range []struct {
		name  string
		serve func(p *peer) error
		want  string
	}{
		{"no handshake", wait, late},
		{"no answer to connect", func(p *peer) error {
			if err := rtmp.ServerHandshake(p); err != nil {
				return err
			}
			return wait(p)
		}, late},
		{"no answer to publish", func(p *peer) error {
			if err := p.accept(); err != nil {
				return err
			}
			return wait(p)
		}, late},
		{"hangs up", func(p *peer) error { return nil }, "handshake"},
		{"hangs up after publish", func(p *peer) error { return p.accept() }, "the server closed the connection"},
		{"talks something else", func(p *peer) error {
			_, err := p.Write([]byte(strings.Repeat("HTTP/1.1 400 Bad Request\r\n", 100)))
			return errors.Join(err, wait(p))
		}, "RTMP version is 72"},
		{"answers without a stream", func(p *peer) error {
			if err := rtmp.ServerHandshake(p); err != nil {
				return err
			}
			if _, err := p.command("connect"); err != nil {
				return err
			}
			if err := p.answer("_result", 1); err != nil {
				return err
			}
			if _, err := p.command("createStream"); err != nil {
				return err
			}
			return errors.Join(p.answer("_result", 4), wait(p))
		}, "answer without a stream"},
		{"talks without end", func(p *peer) error {
			if err := rtmp.ServerHandshake(p); err != nil {
				return err
			}
			for {
				if err := p.answer("onBWDone", 0); err != nil {
					return err
				}
			}
		}, late},
		{"message too long", func(p *peer) error {
			if err := rtmp.ServerHandshake(p); err != nil {
				return err
			}
			return errors.Join(p.w.WriteMessage(rtmp.Message{Type: rtmp.TypeVideo, Chunk: 6, Payload: make([]byte, maxAnswer+1)}), wait(p))
		}, "limit 65536"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := startScripted(t, c.serve)
			defer server.stop()
			u, err := ParseURL(server.url())
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			cfg := Config{URL: u}.withDefaults()
			if c.want == late {
				cfg.ConnectTimeout = 300 * time.Millisecond
			}
			_, err = dial(t.Context(), cfg)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
			if d := time.Since(began); d > 5*time.Second {
				t.Errorf("took %v, want about the limit of 300ms", d)
			}
		})
	}
}

// TestPingsAreAnswered has a server that pings before and while media flows,
// and wants acknowledgements.
func TestPingsAreAnswered(t *testing.T) {
	pongs := make(chan uint32, 10)
	server := startScripted(t, func(p *peer) error {
		if err := rtmp.ServerHandshake(p); err != nil {
			return err
		}
		if err := p.w.WriteMessage(rtmp.UserControl(rtmp.EventPingRequest, 1)); err != nil {
			return err
		}
		c, err := p.command("connect")
		if err != nil {
			return err
		}
		if err := p.answer("_result", c.Transaction, rtmp.Status{Code: rtmp.CodeConnectSuccess}.Value()); err != nil {
			return err
		}
		for {
			m, err := p.r.ReadMessage()
			if err != nil {
				return err
			}
			switch m.Type {
			case rtmp.TypeUserControl:
				if event, value, err := rtmp.ParseUserControl(m); err == nil && event == rtmp.EventPingResponse {
					pongs <- value
				}
			case rtmp.TypeAcknowledgement:
				pongs <- 3
			case rtmp.TypeCommandAMF0:
				c, err := rtmp.ParseCommand(m)
				if err != nil {
					return err
				}
				switch c.Name {
				case "createStream":
					err = p.answer("_result", c.Transaction, 1.0)
				case "publish":
					err = errors.Join(
						p.status(rtmp.Status{Level: rtmp.LevelStatus, Code: rtmp.CodePublishStart}),
						p.w.WriteMessage(rtmp.UserControl(rtmp.EventPingRequest, 2)),
						p.w.WriteMessage(rtmp.WindowAckSize(1)),
						p.w.WriteMessage(rtmp.Message{Type: rtmp.TypeDataAMF0, Chunk: 5, Payload: make([]byte, 60_000)}),
						p.w.WriteMessage(rtmp.Message{Type: rtmp.TypeDataAMF0, Chunk: 5, Payload: make([]byte, 60_000)}),
					)
				}
				if err != nil {
					return err
				}
			}
		}
	})
	defer server.stop()
	s := startSink(t, server.url(), nil, nil)
	defer s.stop()
	for want := uint32(1); want <= 3; want++ {
		if got := receive(t, fmt.Sprintf("answer %d", want), pongs); got != want {
			t.Errorf("got answer %d, want %d", got, want)
		}
	}
}

// TestBackoff counts the attempts of a simulated minute against a port where
// nobody listens.
func TestBackoff(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u, err := ParseURL("rtmp://" + ln.Addr().String() + "/app/" + testKey)
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	synctest.Test(t, func(t *testing.T) {
		var retries []time.Duration
		s, err := New(Config{URL: u, OnState: func(st State) {
			if st.Phase == Lost {
				retries = append(retries, st.Retry)
			}
		}}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		began := time.Now()
		if err := s.Run(ctx); err != nil {
			t.Errorf("Run: got %v, want nil", err)
		}
		if d := time.Since(began); d != time.Minute {
			t.Errorf("Run ended after %v, want 1m", d)
		}
		want := 500 * time.Millisecond
		for i, d := range retries {
			if d < want*4/5 || d > want*6/5 {
				t.Errorf("retry %d: got %v, want %v and a fifth either way", i, d, want)
			}
			want = min(2*want, 10*time.Second)
		}
		if n := len(retries); n < 8 || n > 12 {
			t.Errorf("got %d retries in a minute, want 8 to 12: %v", n, retries)
		}
	})
}
