package port

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

var allocate = stun.NewType(stun.MethodAllocate, stun.ClassRequest)

func TestTURNDatagrams(t *testing.T) {
	p := open(t, Config{Addr: ":0"})
	c := newClient(t, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), p.Addr().Port()))
	request := stun.MustBuild(stun.TransactionID, allocate).Raw
	c.send(request)
	wait(t, "count", func() bool { return p.dropped(NoTURN) == 1 })

	turn := p.TURN()
	b := make([]byte, 2000)
	read := func(want string) net.Addr {
		t.Helper()
		_ = turn.SetReadDeadline(time.Now().Add(patience))
		n, from, err := turn.ReadFrom(b)
		if err != nil || string(b[:n]) != want {
			t.Fatalf("got %q, %v, want %q", b[:n], err, want)
		}
		if got, _ := addrPort(from); got != c.addr() {
			t.Errorf("from: got %v, want %v", got, c.addr())
		}
		return from
	}
	data := "\x40\x00\x00\x04data"
	c.send([]byte(data))
	wait(t, "count", func() bool { return p.dropped(TURNStranger) == 1 })
	c.send(request)
	from := read(string(request))
	if _, err := turn.WriteTo([]byte("answer"), from); err != nil {
		t.Fatal(err)
	}
	if got := string(c.read(patience)); got != "answer" { // from the address spoken to
		t.Errorf("got %q, want %q", got, "answer")
	}
	c.send([]byte(data))
	read(data)
	// An answer of a STUN server to the port.
	response := stun.MustBuild(stun.TransactionID, stun.BindingSuccess).Raw
	c.send(response)
	read(string(response))

	_ = turn.SetReadDeadline(time.Now().Add(time.Millisecond))
	if _, _, err := turn.ReadFrom(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("nothing to read: got %v, want %v", err, os.ErrDeadlineExceeded)
	}
	for range turnQueue + 10 {
		p.turn.push([]byte("x"), c.addr())
	}
	if n := p.dropped(TURNFull); n != 10 {
		t.Errorf("full: got %d, want 10", n)
	}
	_ = turn.Close()
	if _, _, err := turn.ReadFrom(b); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: got %v, want %v", err, net.ErrClosed)
	}
}

func TestTURNPeersAreBounded(t *testing.T) {
	p := open(t, Config{})
	p.TURN()
	for i := range turnPeers + 100 {
		at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1000)
		p.turn.message([]byte("x"), arrival{link: p.sockets[0], from: at})
	}
	p.turn.mu.Lock()
	defer p.turn.mu.Unlock()
	if n := len(p.turn.peers); n != turnPeers {
		t.Errorf("got %d, want %d", n, turnPeers)
	}
}

func TestTURNConnections(t *testing.T) {
	p := open(t, Config{})
	request := stun.MustBuild(stun.TransactionID, allocate).Raw
	early := dial(t, p)
	early.write(request)
	early.wantEnd()
	if n := p.dropped(NoTURN); n != 1 {
		t.Errorf("without a server: got %d counted, want 1", n)
	}

	l := p.TURNListener()
	c := dial(t, p)
	c.write(request)
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	b := make([]byte, len(request))
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if n, err := conn.Read(b); err != nil || string(b[:n]) != string(request) {
		t.Errorf("got %x, %v, want %x", b[:n], err, request)
	}
	if n := p.Stats().TCP; n != 0 {
		t.Errorf("connections of the port: got %d, want 0", n)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: got %v, want %v", err, net.ErrClosed)
	}
}

// A client behind a relay in this process.
func TestRoute(t *testing.T) {
	p := open(t, Config{})
	r := newFlow(t, p, "ours", time.Minute)
	at := netip.MustParseAddrPort("198.18.0.1:1")
	p.Inject(at, newCheck(t, "ours").Raw)
	if n := p.dropped(NoRoute); n != 1 {
		t.Errorf("without a route: got %d counted, want 1", n)
	}
	var mu sync.Mutex
	var got []string
	remove := p.Route(at, func(b []byte) error {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, string(b))
		return nil
	})
	p.Inject(at, newCheck(t, "ours").Raw)
	if r.flow.Remote() != at {
		t.Fatalf("got %v, want %v", r.flow.Remote(), at)
	}
	p.Inject(at, []byte("\x80 media ok"))
	if !r.has("\x80 media ok") {
		t.Error("the packet has not arrived")
	}
	r.queue(numbered(100, 100, 50)...)
	wait(t, "packets", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(got) == 4 && len(got[1]) == 100 && len(got[3]) == 50
	})
	if m := new(stun.Message); stun.Decode([]byte(got[0]), m) != nil || m.Type != stun.BindingSuccess {
		t.Errorf("got %v, want success", m)
	}
	// TURN does not come out of a relay.
	p.TURN()
	p.Inject(at, stun.MustBuild(stun.TransactionID, allocate).Raw)
	if n := p.dropped(NoTURN); n != 1 {
		t.Errorf("TURN: got %d counted, want 1", n)
	}
	p.Inject(at, append([]byte{0x80}, make([]byte, MaxPacket)...))
	if n := p.dropped(TooLong); n != 1 {
		t.Errorf("too long: got %d counted, want 1", n)
	}
	remove()
	if err := r.flow.Write([]byte("late")); !errors.Is(err, ErrClosed) {
		t.Errorf("removed: got %v, want %v", err, ErrClosed)
	}
	// The same address, made anew.
	defer p.Route(at, func([]byte) error { return nil })()
	p.Inject(at, newCheck(t, "ours").Raw)
	if err := r.flow.Write([]byte("again")); err != nil {
		t.Errorf("made anew: got %v, want nil", err)
	}
}
