package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"belfry.live/belfry/internal/wire/aac"
	"belfry.live/belfry/internal/wire/h264"
	"belfry.live/belfry/internal/wire/rtmp"
)

const (
	// waitingMessage bounds messages until the publisher showed a key.
	waitingMessage = 64 << 10
	// windowAck is how often either side acknowledges, in bytes.
	windowAck = 2_500_000
	// minWindow keeps a small window from making us answer every chunk.
	minWindow = 64 << 10
	// lingerTime and lingerBytes bound what is still read after a refusal, so
	// that the publisher gets to read its reason.
	lingerTime  = 3 * time.Second
	lingerBytes = 4 << 20
)

// A refusal ends a session: the publisher is told the status.
type refusal struct {
	status rtmp.Status
	err    error // for the log: no key in it
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// A session is one publisher's connection. Everything runs on run's
// goroutine; others only close the connection.
type session struct {
	// Fixed by newSession.
	server    *Server
	cfg       Config
	conn      net.Conn
	encrypted bool
	seat      *seat
	log       *slog.Logger
	r         *rtmp.Reader
	w         *rtmp.Writer

	connected bool
	app       string
	encoder   string

	window uint64 // the publisher wants to hear after so many bytes
	acked  uint64

	pub      Publication // nil unless publishing
	unwatch  func()      // ends the watch over pub
	began    time.Time
	heard    time.Time // when the silence deadline was last put off
	clock    rtmp.Clock
	video    h264.Config
	hasVideo bool
	audio    aac.Config
	hasAudio bool
	scratch  []byte // access units whose lengths had not 4 bytes
}

func newSession(s *Server, conn net.Conn, encrypted bool, e *seat) *session {
	c := &session{
		server:    s,
		cfg:       s.cfg,
		conn:      conn,
		encrypted: encrypted,
		seat:      e,
		log:       s.log.With("remote", conn.RemoteAddr().String()),
		window:    windowAck,
	}
	c.r = rtmp.NewReader(conn)
	c.r.SetLimit(waitingMessage)
	c.w = rtmp.NewWriter(deadlineWriter{conn, s.cfg.WriteTimeout})
	return c
}

// run serves the session until either side ends it, or ctx does.
func (s *session) run(ctx context.Context) {
	defer context.AfterFunc(ctx, func() { s.conn.Close() })()
	began := time.Now()
	err := s.serve(ctx)

	cut := s.stopped()
	if s.pub != nil {
		s.unpublish(false, err, cut || ctx.Err() != nil)
	}
	var r *refusal
	switch {
	case cut || ctx.Err() != nil || errors.Is(err, io.EOF):
	case errors.As(err, &r):
		s.log.Warn("publisher refused", "err", err)
		s.refuse(r.status)
	default:
		// Port scanners and health checks end here, too.
		s.log.Debug("session ended", "err", err, "after", time.Since(began).Round(time.Millisecond))
	}
}

func (s *session) serve(ctx context.Context) error {
	s.conn.SetReadDeadline(time.Now().Add(s.cfg.HandshakeTimeout))
	if err := rtmp.ServerHandshake(readWriter{s.conn, deadlineWriter{s.conn, s.cfg.WriteTimeout}}); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	s.conn.SetReadDeadline(time.Now().Add(s.cfg.PublishTimeout))
	for {
		m, err := s.r.ReadMessage()
		if err != nil {
			return s.explain(err)
		}
		if err := s.handle(ctx, m); err != nil {
			return err
		}
		if got := s.r.Received(); got-s.acked >= s.window {
			s.acked = got
			if err := s.w.WriteMessage(rtmp.Acknowledgement(uint32(got))); err != nil {
				return fmt.Errorf("write acknowledgement: %w", err)
			}
		}
	}
}

// explain says what a deadline meant.
func (s *session) explain(err error) error {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	if s.pub != nil {
		return fmt.Errorf("no media for %v", s.cfg.SilenceTimeout)
	}
	return fmt.Errorf("nothing published within %v", s.cfg.PublishTimeout)
}

func (s *session) handle(ctx context.Context, m rtmp.Message) error {
	switch m.Type {
	case rtmp.TypeVideo:
		return s.onVideo(m.Time, m.Payload)
	case rtmp.TypeAudio:
		return s.onAudio(m.Time, m.Payload)
	case rtmp.TypeAggregate:
		return s.onAggregate(m)
	case rtmp.TypeDataAMF0, rtmp.TypeDataAMF3:
		s.onData(m)
		return nil
	case rtmp.TypeCommandAMF0, rtmp.TypeCommandAMF3:
		c, err := rtmp.ParseCommand(m)
		if err != nil {
			return err
		}
		return s.onCommand(ctx, m.Stream, c)
	case rtmp.TypeWindowAckSize:
		n, err := rtmp.ParseUint32(m)
		if err != nil {
			return err
		}
		s.window = uint64(max(n, minWindow))
		return nil
	case rtmp.TypeUserControl:
		event, value, err := rtmp.ParseUserControl(m)
		if err != nil || event != rtmp.EventPingRequest {
			return err
		}
		return s.w.WriteMessage(rtmp.UserControl(rtmp.EventPingResponse, value))
	}
	return nil // acknowledgements, shared objects, and what we do not know
}

// publish makes pub the session's publication and watches that it may go on.
func (s *session) publish(pub Publication) {
	s.pub, s.began = pub, time.Now()
	s.clock, s.hasVideo, s.hasAudio = rtmp.Clock{}, false, false
	s.seat.publish()
	s.r.SetLimit(rtmp.MaxMessage)
	s.heard = time.Time{}
	s.alive(s.began)

	done, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-pub.Stopped():
			s.conn.Close()
		case <-over:
		}
	}()
	s.unwatch = func() { close(over); <-done }
	s.log.Info("publishing begins", "encoder", s.encoder, "encrypted", s.encrypted)
}

// unpublish ends the publication.
func (s *session) unpublish(orderly bool, cause error, cut bool) {
	pub := s.pub
	s.pub = nil
	s.unwatch()
	pub.Close(orderly)
	s.seat.wait()
	s.r.SetLimit(waitingMessage)
	s.conn.SetReadDeadline(time.Now().Add(s.cfg.PublishTimeout))

	log := s.log.With("after", time.Since(s.began).Round(time.Millisecond))
	switch {
	case orderly:
		log.Info("publishing ended")
	case cut:
		log.Info("publishing cut")
	default:
		log.Warn("publisher lost", "err", cause)
	}
}

// stopped tells whether the desk wants the publisher cut off.
func (s *session) stopped() bool {
	if s.pub == nil {
		return false
	}
	select {
	case <-s.pub.Stopped():
		return true
	default:
		return false
	}
}

// alive puts off the silence deadline, once a second at most.
func (s *session) alive(now time.Time) {
	if now.Sub(s.heard) >= min(time.Second, s.cfg.SilenceTimeout/8) {
		s.heard = now
		s.conn.SetReadDeadline(now.Add(s.cfg.SilenceTimeout))
	}
}

// refuse tells the publisher why, as far as it listens.
func (s *session) refuse(status rtmp.Status) {
	if err := s.w.WriteMessage(status.OnStatus().Message(messageStream)); err != nil {
		return
	}
	if c, ok := s.conn.(interface{ CloseWrite() error }); ok && c.CloseWrite() == nil {
		// Closing with bytes unread would reset the connection, and the peer
		// might never see what was written.
		s.conn.SetReadDeadline(time.Now().Add(lingerTime))
		io.CopyN(io.Discard, s.conn, lingerBytes)
	}
}

// A deadlineWriter gives every Write its time.
type deadlineWriter struct {
	conn net.Conn
	time time.Duration
}

func (w deadlineWriter) Write(b []byte) (int, error) {
	w.conn.SetWriteDeadline(time.Now().Add(w.time))
	return w.conn.Write(b)
}

type readWriter struct {
	io.Reader
	io.Writer
}
