package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/pion/stun/v4"
	"github.com/pion/turn/v5"
)

const (
	// relayHeadStart is what relays by UDP have before those by TCP are
	// tried, and those before the ones by TLS.
	relayHeadStart = 400 * time.Millisecond

	// allocateTimeout is for one relay.
	allocateTimeout = 8 * time.Second
)

// allocate asks all relays for an address and takes the first that is given.
func (l *Link) allocate(ctx context.Context) (*socket, error) {
	ctx, cancel := context.WithTimeout(ctx, allocateTimeout)
	defer cancel()
	type result struct {
		socket *socket
		err    error
	}
	results := make(chan result)
	tried := 0
	var errs []error
	for _, r := range l.cfg.Relays {
		uri, err := stun.ParseURI(r.URL)
		if err != nil {
			errs = append(errs, fmt.Errorf("relay %s: %w", r.URL, err))
			continue
		}
		protocol, wait := UDP, time.Duration(0)
		switch {
		case uri.Scheme != stun.SchemeTypeTURN && uri.Scheme != stun.SchemeTypeTURNS:
			continue
		case uri.IsSecure():
			protocol, wait = TLS, 2*relayHeadStart
		case uri.Proto == stun.ProtoTypeTCP:
			protocol, wait = TCP, relayHeadStart
		}
		if !l.uses(protocol) {
			continue
		}
		if l.cfg.Protocols != AnyProtocol { // nothing better to wait for
			wait = 0
		}
		tried++
		go func() {
			s, err := l.allocateAt(ctx, uri, r, protocol, wait)
			results <- result{s, err}
		}()
	}
	var won *socket
	for range tried { // wait for all, so that none outlives this
		r := <-results
		switch {
		case r.err != nil:
			errs = append(errs, r.err)
		case won == nil:
			won = r.socket
			cancel()
		default:
			r.socket.close()
		}
	}
	if won == nil {
		return nil, fmt.Errorf("no relay: %w", errors.Join(errs...))
	}
	return won, nil
}

func (l *Link) allocateAt(ctx context.Context, uri *stun.URI, r Relay, p Protocol, wait time.Duration) (*socket, error) {
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-time.After(wait):
	}
	addr := net.JoinHostPort(uri.Host, strconv.Itoa(uri.Port))
	network, family, err := l.familyOf(addr)
	if err != nil {
		return nil, fmt.Errorf("relay %s: %w", r.URL, err)
	}
	conn, err := l.relayConn(ctx, uri.Host, addr, p, network)
	if err != nil {
		return nil, fmt.Errorf("relay %s: %w", r.URL, err)
	}
	client, err := turn.NewClient(&turn.ClientConfig{
		TURNServerAddr: addr, Username: r.Username, Password: r.Password,
		Conn: conn, Net: l.cfg.Net, RequestedAddressFamily: family, LoggerFactory: libraryLog{log: l.log},
	})
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("relay %s: %w", r.URL, err)
	}
	// What ends the wait for the relay's answer is the end of its socket.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	if err = client.Listen(); err == nil {
		var relayed net.PacketConn
		if relayed, err = client.Allocate(); err == nil {
			if !stop() {
				err = context.Cause(ctx)
			} else {
				return &socket{packets: relayed, shut: func() { client.Close(); conn.Close() }}, nil
			}
		}
	}
	stop()
	client.Close()
	conn.Close()
	return nil, fmt.Errorf("relay %s: %w", r.URL, err)
}

// familyOf is that of a relay's address. What it relays is of the same.
func (l *Link) familyOf(addr string) (network string, family turn.RequestedAddressFamily, err error) {
	resolve := net.ResolveUDPAddr
	if l.cfg.Net != nil {
		resolve = l.cfg.Net.ResolveUDPAddr
	}
	a, err := resolve("udp", addr)
	if err != nil {
		return "", 0, err
	}
	if a.IP.To4() == nil {
		return "udp6", turn.RequestedAddressFamilyIPv6, nil
	}
	return "udp4", turn.RequestedAddressFamilyIPv4, nil
}

// relayConn opens what leads to a relay.
func (l *Link) relayConn(ctx context.Context, host, addr string, p Protocol, network string) (net.PacketConn, error) {
	if p == UDP {
		s, err := l.listen(network)
		switch {
		case err != nil:
			return nil, err
		case s.udp != nil:
			return s.udp, nil
		}
		return s.packets, nil
	}
	conn, err := l.dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	if p == TLS {
		cfg := &tls.Config{}
		if l.cfg.TLS != nil {
			cfg = l.cfg.TLS.Clone()
		}
		if cfg.ServerName == "" {
			cfg.ServerName = host
		}
		secured := tls.Client(conn, cfg)
		if err := secured.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, err
		}
		conn = secured
	}
	return turn.NewSTUNConn(conn), nil
}
