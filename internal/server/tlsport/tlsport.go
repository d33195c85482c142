// Package tlsport is the port for clients that get nothing but TLS through:
// HTTPS, RTMPS and TURN over TLS share it. Connections come in; what comes out
// are three listeners, each with the connections that speak its protocol. A
// client says which by ALPN or by its first byte. What is spoken then is left
// to those who accept.
package tlsport

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"belfry.live/belfry/internal/listen"
)

// Application protocols by which a client says what it speaks (RFC 7301).
const (
	protocolHTTP2 = "h2"
	protocolHTTP1 = "http/1.1"
	protocolTURN  = "stun.turn" // RFC 7443
)

// Limits bound the connections that have not said yet what they speak. What is
// zero takes its default.
type Limits struct {
	// Pending and PendingPerAddress bound them over all and for one address
	// (an IPv6 /64 is one). Defaults 512 and 64.
	Pending, PendingPerAddress int
	// Deadline is for handshake and first byte together; default 10 s.
	Deadline time.Duration
}

func (l Limits) withDefaults() Limits {
	if l.Pending <= 0 {
		l.Pending = 512
	}
	if l.PendingPerAddress <= 0 {
		l.PendingPerAddress = 64
	}
	if l.Deadline <= 0 {
		l.Deadline = 10 * time.Second
	}
	return l
}

// A Port sorts connections. Its three listeners live until they are closed or
// Run ends.
type Port struct {
	// Fixed by New.
	listener           net.Listener
	config             *tls.Config
	limits             Limits
	log                *slog.Logger
	http, rtmps, turns *listener

	refused, silent, unknown atomic.Int64

	mu      sync.Mutex // guards what follows
	pending int
	from    map[netip.Addr]int
}

// Stats counts the connections that none of the three listeners got, by
// reason.
type Stats struct {
	Pending int   // now
	Refused int64 // beyond the limits
	Silent  int64 // failed the handshake, or said nothing in time
	Unknown int64 // speak something else
}

// New returns a port on the listener that is idle until Run. The certificates
// are those of config, which is not changed.
func New(l net.Listener, config *tls.Config, limits Limits, log *slog.Logger) *Port {
	config = config.Clone()
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	config.NextProtos = append([]string{protocolHTTP2, protocolHTTP1, protocolTURN}, config.NextProtos...)
	plain := config.Clone()
	plain.NextProtos = nil
	ours := config.NextProtos
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		// crypto/tls refuses whoever names protocols of which it knows none;
		// the first byte may still be one that we know.
		if len(hello.SupportedProtos) > 0 && !overlap(hello.SupportedProtos, ours) {
			return plain, nil
		}
		return nil, nil
	}
	p := &Port{listener: l, config: config, limits: limits.withDefaults(), log: log, from: map[netip.Addr]int{}}
	p.http, p.rtmps, p.turns = newListener(l.Addr()), newListener(l.Addr()), newListener(l.Addr())
	return p
}

func overlap(a, b []string) bool {
	for _, x := range a {
		for _, y := range b {
			if x == y {
				return true
			}
		}
	}
	return false
}

// HTTP has the connections that speak HTTP/1.1 or HTTP/2. Those that said so
// by ALPN are *tls.Conn, as net/http needs them for HTTP/2.
func (p *Port) HTTP() net.Listener { return p.http }

// RTMPS has the connections that speak RTMP.
func (p *Port) RTMPS() net.Listener { return p.rtmps }

// TURN has the connections that speak TURN.
func (p *Port) TURN() net.Listener { return p.turns }

// Addr is the address listened on.
func (p *Port) Addr() net.Addr { return p.listener.Addr() }

// Stats returns the counts.
func (p *Port) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Stats{Pending: p.pending, Refused: p.refused.Load(), Silent: p.silent.Load(), Unknown: p.unknown.Load()}
}

// Run takes connections until ctx ends or the listener breaks. Then it closes
// the listener, the three and all connections that nobody has accepted.
func (p *Port) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var pending sync.WaitGroup
	defer func() {
		cancel()
		for _, l := range []*listener{p.http, p.rtmps, p.turns} {
			l.Close()
		}
		pending.Wait()
	}()
	return listen.Each(ctx, p.listener, p.log, func(conn net.Conn) {
		from := block(conn.RemoteAddr())
		if !p.enter(from) {
			p.refused.Add(1)
			conn.Close()
			return
		}
		pending.Go(func() {
			defer p.leave(from)
			p.sort(ctx, tls.Server(conn, p.config))
		})
	})
}

// sort hands the connection to whom it belongs, or closes it.
func (p *Port) sort(ctx context.Context, conn *tls.Conn) {
	ctx, cancel := context.WithTimeout(ctx, p.limits.Deadline)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { conn.NetConn().Close() })
	if err := conn.HandshakeContext(ctx); err != nil {
		p.silent.Add(1)
		p.log.Debug("TLS handshake failed", "remote", conn.RemoteAddr(), "err", err)
		conn.NetConn().Close()
		return
	}
	to, out := p.byProtocol(conn.ConnectionState().NegotiatedProtocol), net.Conn(conn)
	if to == nil {
		var first [1]byte
		if n, err := conn.Read(first[:]); n == 0 {
			p.silent.Add(1)
			p.log.Debug("TLS connection says nothing", "remote", conn.RemoteAddr(), "err", err)
			conn.NetConn().Close()
			return
		}
		to, out = p.byFirst(first[0]), &peekedConn{Conn: conn, first: first[:]}
	}
	switch {
	case to == nil:
		p.unknown.Add(1)
	case !stop(): // it was closed meanwhile
		p.silent.Add(1)
	case to.hand(ctx, out):
		return
	default:
		p.refused.Add(1)
	}
	conn.NetConn().Close()
}

func (p *Port) byProtocol(name string) *listener {
	switch name {
	case protocolHTTP2, protocolHTTP1:
		return p.http
	case protocolTURN:
		return p.turns
	}
	return nil
}

// byFirst knows a protocol by its first byte.
func (p *Port) byFirst(b byte) *listener {
	switch {
	case b >= 'A' && b <= 'Z': // a method, RFC 9110; HTTP/2 begins with "PRI"
		return p.http
	case b == 3: // the version of the RTMP handshake, and of RTMP alone
		return p.rtmps
	case b <= 1: // requests and indications of STUN, RFC 8489 section 5
		return p.turns
	}
	return nil
}

func (p *Port) enter(from netip.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pending >= p.limits.Pending || p.from[from] >= p.limits.PendingPerAddress {
		return false
	}
	p.pending++
	p.from[from]++
	return true
}

func (p *Port) leave(from netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending--
	if p.from[from]--; p.from[from] == 0 {
		delete(p.from, from)
	}
}

// block is what counts as one address: an IPv6 /64 is given out whole.
func block(a net.Addr) netip.Addr {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	addr := tcp.AddrPort().Addr().Unmap().WithZone("")
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return addr
}
