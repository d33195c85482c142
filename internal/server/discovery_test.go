package server

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

// stunServer says that everybody's address is the one told, and leaves out the
// first requests.
func stunServer(t *testing.T, network, addr string, mapped netip.Addr, leaveOut int) (at string) {
	t.Helper()
	conn, err := net.ListenPacket(network, addr)
	if err != nil {
		t.Skipf("%s: %v", network, err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { conn.Close(); <-done })
	go func() {
		defer close(done)
		b := make([]byte, 1500)
		for i := 0; ; i++ {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			m := &stun.Message{Raw: b[:n:n]}
			if m.Decode() != nil || i < leaveOut {
				continue
			}
			other := stun.MustBuild(stun.TransactionID, stun.BindingSuccess, &stun.XORMappedAddress{IP: net.IPv4(6, 6, 6, 6), Port: 1})
			answer := stun.MustBuild(stun.NewTransactionIDSetter(m.TransactionID), stun.BindingSuccess,
				&stun.XORMappedAddress{IP: mapped.AsSlice(), Port: 1})
			for _, a := range [][]byte{{1, 2, 3}, other.Raw, answer.Raw} {
				_, _ = conn.WriteTo(a, from)
			}
		}
	}()
	return conn.LocalAddr().String()
}

func TestDiscovery(t *testing.T) {
	found, fixed := netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("192.0.2.1")
	var told [][]netip.Addr
	d := &discovery{
		server:     stunServer(t, "udp4", "127.0.0.1:0", found, 1),
		configured: []netip.Addr{fixed},
		set:        func(list []netip.Addr) { told = append(told, list) },
		log:        slog.New(slog.DiscardHandler),
	}
	d.once(t.Context())
	d.once(t.Context()) // nothing new
	if len(told) != 1 || !slices.Equal(told[0], []netip.Addr{fixed, found}) {
		t.Errorf("got %v, want %v once", told, []netip.Addr{fixed, found})
	}
	d.server = stunServer(t, "udp4", "127.0.0.1:0", netip.MustParseAddr("203.0.113.10"), 0)
	d.once(t.Context())
	if len(told) != 2 || told[1][1] != netip.MustParseAddr("203.0.113.10") {
		t.Errorf("got %v, want the new address", told)
	}
}

func TestDiscoveryBehindIPv6(t *testing.T) {
	found := netip.MustParseAddr("2001:db8::9")
	server := stunServer(t, "udp6", "[::1]:0", found, 0)
	got, err := mappedAddress(t.Context(), "udp6", server)
	if err != nil || got != found {
		t.Errorf("got %v (%v), want %v", got, err, found)
	}
}

func TestDiscoveryWithoutAnswer(t *testing.T) {
	silent, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	d := &discovery{
		server: silent.LocalAddr().String(),
		set:    func(list []netip.Addr) { t.Errorf("got %v, want nothing", list) },
		log:    slog.New(slog.DiscardHandler),
		found:  []netip.Addr{netip.MustParseAddr("203.0.113.9")},
	}
	d.once(ctx)
	if len(d.found) != 1 {
		t.Error("what was known is forgotten")
	}
}
