package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"belfry.live/belfry/internal/listen"
)

// A Config holds the server's limits. What is zero takes its default.
type Config struct {
	// MaxSessions bounds all sessions; default 1024.
	MaxSessions int
	// MaxWaiting bounds the sessions that do not publish yet, over all and for
	// one address (an IPv6 /64 is one): a stranger without a key takes no
	// publisher's place. Defaults 256 and 16. Loopback addresses are bounded
	// by the first alone, for our own live connectors come from there.
	MaxWaiting           int
	MaxWaitingPerAddress int

	HandshakeTimeout time.Duration // for TLS and RTMP together; default 10 s
	PublishTimeout   time.Duration // from there until media may flow; default 10 s
	SilenceTimeout   time.Duration // without any media while publishing; default 30 s
	WriteTimeout     time.Duration // for the publisher to take an answer; default 10 s
}

func (c Config) withDefaults() Config {
	number := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	span := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	number(&c.MaxSessions, 1024)
	number(&c.MaxWaiting, 256)
	number(&c.MaxWaitingPerAddress, 16)
	span(&c.HandshakeTimeout, 10*time.Second)
	span(&c.PublishTimeout, 10*time.Second)
	span(&c.SilenceTimeout, 30*time.Second)
	span(&c.WriteTimeout, 10*time.Second)
	return c
}

// A Server takes publishers' connections.
type Server struct {
	// Fixed by New.
	cfg  Config
	desk Desk
	log  *slog.Logger

	mu          sync.Mutex // guards what follows
	sessions    int
	waiting     int
	waitingFrom map[netip.Addr]int

	refusedFull atomic.Int64
	refusedKey  atomic.Int64
	refusedElse atomic.Int64
	ignored     atomic.Int64
}

// Stats says what a Server does now and what it refused since New.
type Stats struct {
	Sessions   int // now, those that publish included
	Publishing int // now

	RefusedFull int64 // connections beyond a limit of Config
	RefusedKey  int64 // unknown and expired stream keys
	RefusedElse int64 // keys in use, too many streams, and plain RTMP where it is not wanted
	Ignored     int64 // media messages before their decoder configuration, or without media
}

// New returns a server that is idle until Serve.
func New(cfg Config, desk Desk, log *slog.Logger) *Server {
	return &Server{cfg: cfg.withDefaults(), desk: desk, log: log, waitingFrom: map[netip.Addr]int{}}
}

// Stats returns the counts of all listeners together.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{
		Sessions:    s.sessions,
		Publishing:  s.sessions - s.waiting,
		RefusedFull: s.refusedFull.Load(),
		RefusedKey:  s.refusedKey.Load(),
		RefusedElse: s.refusedElse.Load(),
		Ignored:     s.ignored.Load(),
	}
}

// Serve takes connections from ln until ctx ends or ln is closed, then cuts
// its sessions, waits for them and returns nil. encrypted says that ln's
// connections are TLS. It closes ln; it may run for several listeners at once.
func (s *Server) Serve(ctx context.Context, ln net.Listener, encrypted bool) error {
	ctx, cancel := context.WithCancel(ctx)
	var sessions sync.WaitGroup
	defer sessions.Wait()
	defer cancel()
	err := listen.Each(ctx, ln, s.log, func(conn net.Conn) {
		seat, err := s.enter(conn.RemoteAddr())
		if err != nil {
			s.refusedFull.Add(1)
			s.log.Debug("connection refused", "remote", conn.RemoteAddr(), "err", err)
			conn.Close()
			return
		}
		sessions.Go(func() {
			defer seat.leave()
			defer conn.Close()
			newSession(s, conn, encrypted, seat).run(ctx)
		})
	})
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// A seat is one session's share of the limits.
type seat struct {
	server  *Server
	addr    netip.Addr
	waiting bool // guarded by server.mu
}

// enter takes a seat among those who wait, or says which limit was met.
func (s *Server) enter(remote net.Addr) (*seat, error) {
	addr := network(remote)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.sessions >= s.cfg.MaxSessions:
		return nil, fmt.Errorf("%d sessions are open, limit %d", s.sessions, s.cfg.MaxSessions)
	case s.waiting >= s.cfg.MaxWaiting:
		return nil, fmt.Errorf("%d sessions do not publish yet, limit %d", s.waiting, s.cfg.MaxWaiting)
	case !addr.IsLoopback() && s.waitingFrom[addr] >= s.cfg.MaxWaitingPerAddress:
		return nil, fmt.Errorf("%d sessions of this address do not publish yet, limit %d", s.waitingFrom[addr], s.cfg.MaxWaitingPerAddress)
	}
	s.sessions++
	e := &seat{server: s, addr: addr}
	e.waitLocked()
	return e, nil
}

// wait says that the session does not publish any more.
func (e *seat) wait() {
	e.server.mu.Lock()
	defer e.server.mu.Unlock()
	e.waitLocked()
}

func (e *seat) waitLocked() {
	if !e.waiting {
		e.waiting = true
		e.server.waiting++
		e.server.waitingFrom[e.addr]++
	}
}

// publish says that the session publishes.
func (e *seat) publish() {
	e.server.mu.Lock()
	defer e.server.mu.Unlock()
	e.publishLocked()
}

func (e *seat) publishLocked() {
	if !e.waiting {
		return
	}
	e.waiting = false
	e.server.waiting--
	if e.server.waitingFrom[e.addr]--; e.server.waitingFrom[e.addr] == 0 {
		delete(e.server.waitingFrom, e.addr)
	}
}

// leave gives the seat back.
func (e *seat) leave() {
	e.server.mu.Lock()
	defer e.server.mu.Unlock()
	e.publishLocked()
	e.server.sessions--
}

// network returns the address that limits count for: of IPv6 the /64 that one
// household or machine has.
func network(a net.Addr) netip.Addr {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{} // a pipe in tests: all are one
	}
	addr := ap.Addr().Unmap().WithZone("")
	if addr.Is4() || addr.IsLoopback() {
		return addr
	}
	p, err := addr.Prefix(64)
	if err != nil {
		return addr
	}
	return p.Addr()
}
