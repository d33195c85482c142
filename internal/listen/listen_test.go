package listen

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// A scripted listener gives what its script says, then nothing until it is
// closed.
type scripted struct {
	script []error // nil: a connection
	closed chan struct{}
}

func (s *scripted) Accept() (net.Conn, error) {
	if len(s.script) == 0 {
		<-s.closed
		return nil, net.ErrClosed
	}
	err := s.script[0]
	s.script = s.script[1:]
	if err != nil {
		return nil, err
	}
	near, far := net.Pipe()
	far.Close()
	return near, nil
}

func (s *scripted) Close() error {
	select {
	case <-s.closed:
	default:
		close(s.closed)
	}
	return nil
}

func (s *scripted) Addr() net.Addr { return &net.TCPAddr{} }

func TestEachWaitsLongerAfterEveryError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("too many open files")
		l := &scripted{script: []error{nil, full, full, full, nil, full, nil}, closed: make(chan struct{})}
		ctx, stop := context.WithCancel(t.Context())
		began := time.Now()
		var taken []time.Duration
		done := make(chan error, 1)
		go func() {
			done <- Each(ctx, l, slog.New(slog.DiscardHandler), func(c net.Conn) {
				taken = append(taken, time.Since(began))
				c.Close()
			})
		}()
		time.Sleep(time.Minute)
		stop()
		if err := <-done; err != nil {
			t.Errorf("got %v, want no error when its time is over", err)
		}
		const ms = time.Millisecond
		want := []time.Duration{0, 35 * ms, 40 * ms} // 5+10+20, then 5 again
		if len(taken) != len(want) {
			t.Fatalf("got connections at %v, want %v", taken, want)
		}
		for i := range want {
			if taken[i] != want[i] {
				t.Errorf("got connection %d after %v, want %v", i, taken[i], want[i])
			}
		}
	})
}

func TestEachEnds(t *testing.T) {
	t.Run("while it waits", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			script := make([]error, 20)
			for i := range script {
				script[i] = errors.New("too many open files")
			}
			l := &scripted{script: script, closed: make(chan struct{})}
			ctx, stop := context.WithTimeout(t.Context(), 3500*time.Millisecond)
			defer stop()
			if err := Each(ctx, l, slog.New(slog.DiscardHandler), func(net.Conn) {}); err != nil {
				t.Errorf("got %v, want no error", err)
			}
			<-l.closed
		})
	})
	t.Run("closed by another", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		err = Each(t.Context(), l, slog.New(slog.DiscardHandler), func(net.Conn) {})
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v, want %v", err, net.ErrClosed)
		}
	})
}
