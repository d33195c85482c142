package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/pion/stun/v4"
)

const (
	discoverEvery   = 5 * time.Minute
	discoverAgain   = 30 * time.Second // after nobody has answered
	discoverTimeout = 3 * time.Second
	stunResend      = 500 * time.Millisecond // RFC 8489, section 6.2.1
)

// discovery asks a STUN server elsewhere under which addresses the world sees
// this machine. Only addresses are taken: NAT in front of a server has to lead
// the media port through as it is.
type discovery struct {
	server     string       // host:port
	configured []netip.Addr // public addresses that stand anyway
	set        func([]netip.Addr)
	log        *slog.Logger
	found      []netip.Addr // touched by once alone
}

// run asks again and again until ctx ends.
func (d *discovery) run(ctx context.Context) error {
	for {
		wait := discoverEvery
		if len(d.found) == 0 {
			wait = discoverAgain
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
			d.once(ctx)
		}
	}
}

// once asks by IPv4 and by IPv6. What was found before stays as long as nobody
// answers.
func (d *discovery) once(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, discoverTimeout)
	defer cancel()
	type answer struct {
		addr netip.Addr
		err  error
	}
	networks := []string{"udp4", "udp6"}
	answers := make(chan answer, len(networks))
	for _, network := range networks {
		go func() {
			addr, err := mappedAddress(ctx, network, d.server)
			answers <- answer{addr, err}
		}()
	}
	var found []netip.Addr
	var errs []error
	for range networks {
		if a := <-answers; a.err == nil {
			found = append(found, a.addr)
		} else {
			errs = append(errs, a.err)
		}
	}
	slices.SortFunc(found, netip.Addr.Compare) // IPv4 first
	switch {
	case len(found) == 0:
		d.log.Warn("the STUN server does not answer", "remote", d.server, "err", errors.Join(errs...))
	case !slices.Equal(found, d.found):
		d.log.Info("public addresses found", "remote", d.server, "addresses", found)
		d.found = found
		all := slices.Clone(d.configured)
		for _, a := range found {
			if !slices.Contains(all, a) {
				all = append(all, a)
			}
		}
		d.set(all)
	}
}

// mappedAddress sends Binding requests until one is answered or ctx ends.
func mappedAddress(ctx context.Context, network, server string) (netip.Addr, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, server)
	if err != nil {
		return netip.Addr{}, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	request := stun.MustBuild(stun.TransactionID, stun.BindingRequest, stun.Fingerprint)
	b := make([]byte, 1500)
	for {
		if _, err := conn.Write(request.Raw); err != nil {
			return netip.Addr{}, fmt.Errorf("ask %s by %s: %w", server, network, cause(ctx, err))
		}
		if err := conn.SetReadDeadline(time.Now().Add(stunResend)); err != nil {
			return netip.Addr{}, cause(ctx, err)
		}
		for {
			n, err := conn.Read(b)
			if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
				break // ask again
			}
			if err != nil {
				return netip.Addr{}, fmt.Errorf("ask %s by %s: %w", server, network, cause(ctx, err))
			}
			if addr, ok := readMapped(b[:n:n], request.TransactionID); ok {
				return addr, nil
			}
		}
	}
}

// cause is why ctx ended if it did: then err is only that the socket is shut.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// readMapped returns the address in the answer to the transaction.
func readMapped(b []byte, transaction [stun.TransactionIDSize]byte) (netip.Addr, bool) {
	m := &stun.Message{Raw: b}
	var mapped stun.XORMappedAddress
	if m.Decode() != nil || m.TransactionID != transaction || m.Type != stun.BindingSuccess || mapped.GetFrom(m) != nil {
		return netip.Addr{}, false
	}
	addr, ok := netip.AddrFromSlice(mapped.IP)
	addr = addr.Unmap()
	return addr, ok && addr.IsGlobalUnicast()
}
