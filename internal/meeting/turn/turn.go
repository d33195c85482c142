// Package turn is a TURN server (RFC 8656) that reaches nothing but this
// server's own media. Clients' messages come in on the media port (UDP and
// TCP) and on the TLS port; what they send to one of our candidates goes into
// the media port as if it had come from the client's relayed address, and what
// the media port sends to that address goes back to the client.
//
// Relayed addresses are made up: no socket belongs to them, so no range of
// ports needs to be open, and every other peer is refused (403). Sockets, TLS
// and telling TURN from other traffic are left to the caller; when a client is
// offered TURN is up to package meeting.
package turn

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Media is what clients reach through the relay: the media port.
type Media interface {
	// Inject takes a datagram as if it had come from the address. It does not
	// keep b.
	Inject(from netip.AddrPort, b []byte)
	// Route says where datagrams for the address go until remove is called.
	// write does not block and does not keep b; it may be called from several
	// goroutines at once.
	Route(addr netip.AddrPort, write func(b []byte) error) (remove func())
}

// A Config is what a Server is made of.
type Config struct {
	Media Media
	// Peers are the addresses that clients may relay to, the media port's
	// candidates. It is called whenever a client asks for one, also from
	// several goroutines at once.
	Peers func() []netip.AddrPort
	// URIs says where clients reach this server (RFC 7065).
	URIs   func() []string
	Secret Secret
	Limits Limits
}

// Limits bound what clients may use. What is zero takes its default.
type Limits struct {
	Allocations            int // of all clients together; default 4096
	AllocationsPerAttendee int // default 64: some reconnections, each with every URI on every interface
	// Waiting bounds the TCP and TLS connections that have no allocation yet,
	// over all and for one address (an IPv6 /64 is one). Defaults 256 and 64.
	Waiting           int
	WaitingPerAddress int
	Uplink            int           // from one allocation, bit/s; default 20 Mbit/s
	Downlink          int           // to one allocation, bit/s; default 100 Mbit/s
	FirstRequest      time.Duration // until a connection has an allocation; default 15 s
}

func (l Limits) withDefaults() Limits {
	number := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	number(&l.Allocations, 4096)
	number(&l.AllocationsPerAttendee, 64)
	number(&l.Waiting, 256)
	number(&l.WaitingPerAddress, 64)
	number(&l.Uplink, 20e6)
	number(&l.Downlink, 100e6)
	if l.FirstRequest <= 0 {
		l.FirstRequest = 15 * time.Second
	}
	return l
}

// A Server relays between its clients and the media port.
type Server struct {
	// Fixed by New.
	cfg    Config
	limits Limits
	log    *slog.Logger
	nonces nonces
	asked  doorkeeper
	// buffers are for messages to clients: *[maxMessage]byte.
	buffers sync.Pool

	counters counters

	mu          sync.Mutex // guards what follows
	relayed     relayedAddresses
	allocations map[netip.AddrPort]*allocation // by relayed address
	datagrams   map[netip.AddrPort]*allocation // those of clients that speak UDP, by their address
	attendees   map[string]int                 // allocations of each
	waiting     map[netip.Addr]int             // connections without allocation
	waitingAll  int
}

// sweepEvery is how often expired allocations are looked for.
const sweepEvery = time.Second

// New returns a server that is idle until Run.
func New(cfg Config, log *slog.Logger) *Server {
	return &Server{
		cfg: cfg, limits: cfg.Limits.withDefaults(), log: log,
		nonces: newNonces(), asked: newDoorkeeper(),
		relayed:     newRelayedAddresses(),
		allocations: map[netip.AddrPort]*allocation{},
		datagrams:   map[netip.AddrPort]*allocation{},
		attendees:   map[string]int{},
		waiting:     map[netip.Addr]int{},
		buffers:     sync.Pool{New: func() any { return new([maxMessage]byte) }},
	}
}

// URIs are those of Config, for the clients' configuration.
func (s *Server) URIs() []string { return s.cfg.URIs() }

// Run serves clients on the packet connection (nil: none) and the listeners
// until ctx ends or one of them breaks. It closes them, and all clients'
// connections, and leaves no allocation. It runs once.
func (s *Server) Run(ctx context.Context, packets net.PacketConn, listeners ...net.Listener) error {
	g, ctx := errgroup.WithContext(ctx)
	if packets != nil {
		g.Go(func() error {
			<-ctx.Done()
			packets.Close()
			return nil
		})
		g.Go(func() error {
			if err := s.readDatagrams(packets); ctx.Err() == nil {
				return fmt.Errorf("read TURN datagrams: %w", err)
			}
			return nil
		})
	}
	for _, l := range listeners {
		g.Go(func() error { return s.accept(ctx, l) })
	}
	g.Go(func() error {
		s.sweepUntil(ctx)
		return nil
	})
	err := g.Wait()
	for _, a := range s.all() {
		s.remove(a)
	}
	return err
}

func (s *Server) sweepUntil(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			s.sweep(now)
		}
	}
}

// sweep removes what has expired.
func (s *Server) sweep(now time.Time) {
	for _, a := range s.all() {
		if a.expired(now) {
			s.counters.expired.Add(1)
			s.remove(a)
			a.client.expire()
		}
	}
}
