package turn

import (
	"bytes"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

var (
	testClient = netip.MustParseAddrPort("203.0.113.5:40000")
	testPeer   = netip.MustParseAddrPort("192.0.2.1:3478")
)

// sink is media that takes everything, and a client that does.
type sink struct {
	onStream bool
	sent     [][]byte
	keep     bool
	ended    bool
	injected int
	routes   int
}

func (s *sink) Inject(netip.AddrPort, []byte) { s.injected++ }
func (s *sink) Route(netip.AddrPort, func([]byte) error) func() {
	s.routes++
	return func() { s.routes-- }
}
func (s *sink) address() netip.AddrPort { return testClient }
func (s *sink) stream() bool            { return s.onStream }
func (s *sink) expire()                 { s.ended = true }
func (s *sink) send(b []byte) {
	if s.keep {
		s.sent = append(s.sent, bytes.Clone(b))
	}
}

// allocated returns a server with one allocation whose channel 0x4000 is bound
// to testPeer.
func newAllocated(t testing.TB, k *sink, now time.Time) (*Server, *allocation) {
	t.Helper()
	s := New(Config{Media: k, Peers: func() []netip.AddrPort { return []netip.AddrPort{testPeer} }, Secret: NewSecret([]byte("x"))}, slog.New(slog.DiscardHandler))
	username, _, _ := s.Credentials("alice", now)
	transport := stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{overUDP, 0, 0, 0}}
	m := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest), transport)
	a, _, err := s.allocate(k, nil, identity{attendee: "alice", username: username, key: s.cfg.Secret.key(username)}, m, now)
	if err != nil {
		t.Fatal(err)
	}
	if !a.bind(testPeer, firstChannel, now) {
		t.Fatal("the channel cannot be bound")
	}
	return s, a
}

func TestRelayedPacketAllocatesNothing(t *testing.T) {
	for _, onStream := range []bool{false, true} {
		now := time.Now()
		k := &sink{onStream: onStream}
		s, a := newAllocated(t, k, now)
		data := append([]byte{0x40, 0, 0x04, 0x00, 0x80}, make([]byte, 1023)...)
		indication := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication),
			xorAddress{stun.AttrXORPeerAddress, testPeer}, stun.RawAttribute{Type: stun.AttrData, Value: data[4:]})
		var m stun.Message
		raw := bytes.Clone(indication.Raw)
		for _, c := range []struct {
			name  string
			relay func()
		}{
			{"channel data", func() { s.relayChannel(a, data, now) }},
			{"to the client", func() { s.toClient(a, data[4:], now) }},
			{"Send indication", func() { m.Raw = raw; _ = m.Decode(); s.handle(k, a, &m, now) }},
		} {
			c.relay() // warms the pools
			if n := testing.AllocsPerRun(1000, func() { now = now.Add(10 * time.Millisecond); c.relay() }); n != 0 {
				t.Errorf("%s, on a stream %v: got %v allocations for each packet, want 0", c.name, onStream, n)
			}
		}
		if k.injected != 2*1002 || s.Stats().DownPackets != 1002 {
			t.Errorf("got %d packets up, %d down, want 2004 and 1002", k.injected, s.Stats().DownPackets)
		}
	}
}

func TestAllocationsExpire(t *testing.T) {
	now := time.Now()
	k := &sink{onStream: true}
	s, a := newAllocated(t, k, now)
	s.sweep(now.Add(allocationLife - time.Second))
	a.refresh(allocationLife, now.Add(time.Minute))
	s.sweep(now.Add(allocationLife + time.Second))
	if k.ended || s.Stats().Allocations != 1 {
		t.Fatal("the allocation is gone although it was refreshed")
	}
	s.sweep(now.Add(allocationLife + time.Minute))
	if !k.ended || s.Stats().Allocations != 0 || k.routes != 0 {
		t.Errorf("got %+v, %d routes, client ended %v: want nothing left", s.Stats(), k.routes, k.ended)
	}
}

func TestPermissionsAndChannelsExpire(t *testing.T) {
	now := time.Now()
	s, a := newAllocated(t, &sink{}, now)
	other := netip.AddrPortFrom(testPeer.Addr(), 1)
	a.permit([]netip.AddrPort{other}, now)
	for after, want := range map[time.Duration][2]bool{
		permissionLife - 1: {true, true},
		permissionLife:     {true, false},
		channelLife - 1:    {true, false},
		channelLife:        {false, false},
	} {
		_, channel := a.byChannel(firstChannel, now.Add(after))
		if permission := a.permitted(other, now.Add(after)); channel != want[0] || permission != want[1] {
			t.Errorf("after %v: got channel %v, permission %v, want %v", after, channel, permission, want)
		}
	}
	s.toClient(a, []byte{0x80}, now) // nobody was spoken to
	if got := s.Stats(); got.DownPackets != 0 || got.Dropped["downlink"] != 1 {
		t.Errorf("got %+v, want the packet dropped", got)
	}
	// An expired channel may go to another peer.
	if !a.bind(other, firstChannel, now.Add(channelLife)) {
		t.Error("the channel's number cannot be used again")
	}
}

func TestPeersOfAnAllocationAreBounded(t *testing.T) {
	now := time.Now()
	_, a := newAllocated(t, &sink{}, now)
	for i := range 1000 {
		a.permit([]netip.AddrPort{netip.AddrPortFrom(testPeer.Addr(), uint16(i))}, now)
	}
	if got := len(a.peers); got != maxPeers {
		t.Errorf("got %d peers, want %d", got, maxPeers)
	}
	later := now.Add(permissionLife)
	a.permit([]netip.AddrPort{netip.AddrPortFrom(testPeer.Addr(), 5000)}, later)
	if !a.permitted(netip.AddrPortFrom(testPeer.Addr(), 5000), later) {
		t.Error("no room although all permissions have expired")
	}
}

func TestNonces(t *testing.T) {
	n, now := newNonces(), time.Now()
	nonce := n.make(testClient.Addr(), now)
	for name, good := range map[string]bool{
		"fresh":           n.good(nonce, testClient.Addr(), now.Add(nonceLife-2*time.Second)),
		"stale":           !n.good(nonce, testClient.Addr(), now.Add(nonceLife)),
		"another address": !n.good(nonce, testPeer.Addr(), now),
		"another server":  !newNonces().good(nonce, testClient.Addr(), now),
		"changed":         !n.good("A"+nonce[1:]+"", testClient.Addr(), now) || nonce[0] == 'A',
		"short":           !n.good(nonce[1:], testClient.Addr(), now),
		"empty":           !n.good("", testClient.Addr(), now),
	} {
		if !good {
			t.Errorf("%s: wrong", name)
		}
	}
}

func TestRelayedAddressesComeRoundLate(t *testing.T) {
	r := newRelayedAddresses()
	seen := map[netip.AddrPort]bool{}
	for i := range 300_000 {
		a := r.take(i%2 == 0)
		if seen[a] {
			t.Fatalf("address %d, %v, was given out before", i, a)
		}
		seen[a] = true
	}
	r.next = 1<<32 - 1
	r.take(false)
	if got := r.take(false); got != netip.MustParseAddrPort("198.18.0.1:49152") {
		t.Errorf("got %v after all others, want the first", got)
	}
}

func TestDoorkeeper(t *testing.T) {
	d, now := newDoorkeeper(), time.Now()
	ask := func(addr string, n int) (admitted int) {
		for range n {
			if d.admits(netip.MustParseAddr(addr), now) {
				admitted++
			}
		}
		return admitted
	}
	if got := ask("2001:db8::1", 1000) + ask("2001:db8::2", 1000); got != strangerBurst {
		t.Errorf("one network: got %d answers, want %d", got, strangerBurst)
	}
	if got := ask("2001:db8:1::1", 10); got != 10 {
		t.Errorf("another network: got %d answers, want 10", got)
	}
	now = now.Add(time.Second)
	if got := ask("2001:db8::3", 1000); got != strangerRate {
		t.Errorf("a second later: got %d answers, want %d", got, strangerRate)
	}
}
