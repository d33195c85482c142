package port

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/stun/v4"
)

func TestMediaBothWays(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(addr, func(t *testing.T) {
			p := open(t, Config{Addr: addr})
			r := newFlow(t, p, "ours", time.Minute)
			c := connect(t, r)
			c.send([]byte("\x80 media ok"))
			c.send([]byte("\x16 handshake"))
			wait(t, "packets", func() bool { return r.has("\x80 media ok") && r.has("\x16 handshake") })
			if err := r.flow.Write([]byte("at once")); err != nil {
				t.Fatal(err)
			}
			if got := string(c.read(patience)); got != "at once" {
				t.Errorf("got %q, want %q", got, "at once")
			}
			r.queue([]byte("queued"))
			if got := string(c.read(patience)); got != "queued" {
				t.Errorf("got %q, want %q", got, "queued")
			}
		})
	}
}

// A socket on all addresses answers from the one that was spoken to.
func TestAnswersComeFromTheAddressSpokenTo(t *testing.T) {
	for _, c := range []struct{ listen, speak string }{
		{":0", "127.0.0.1"},
		{":0", "127.0.0.2"},
		{":0", "::1"},
		{"0.0.0.0:0", "127.0.0.3"},
	} {
		t.Run(c.listen+" "+c.speak, func(t *testing.T) {
			p := open(t, Config{Addr: c.listen})
			r := newFlow(t, p, "ours", time.Minute)
			client := newClient(t, netip.AddrPortFrom(netip.MustParseAddr(c.speak), p.Addr().Port()))
			if m := client.check("ours"); m == nil || m.Type != stun.BindingSuccess {
				t.Fatalf("got %v, want success", m)
			}
			r.queue([]byte("queued"))
			for range 2 {
				if b := client.read(patience); b == nil {
					t.Fatal("got nothing, want a packet")
				}
				_ = r.flow.Write([]byte("at once"))
			}
		})
	}
}

func TestStrangersMedia(t *testing.T) {
	p := open(t, Config{})
	r := newFlow(t, p, "ours", time.Minute)
	connect(t, r)
	stranger := newClient(t, p.Addr())
	stranger.send([]byte("\x80 media ok"))
	wait(t, "count", func() bool { return p.dropped(UnknownAddress) == 1 })
	stranger.send([]byte("\x10 of no use"))
	stranger.send(nil)
	wait(t, "count", func() bool { return p.dropped(Malformed) == 2 })
	stranger.send(append([]byte{0x80}, make([]byte, MaxPacket)...))
	wait(t, "count", func() bool { return p.dropped(TooLong) == 1 })
	if r.has("\x80 media ok") {
		t.Error("a stranger's packet arrives")
	}
}

// A client that comes from elsewhere is followed.
func TestRoaming(t *testing.T) {
	p := open(t, Config{})
	r := newFlow(t, p, "ours", time.Minute)
	first := connect(t, r)
	second := newClient(t, p.Addr())
	second.check("ours", func(c *checkConfig) { c.nominate = false })
	if got := r.flow.Remote(); got != first.addr() {
		t.Errorf("checked only: got %v, want %v", got, first.addr())
	}
	second.check("ours")
	if got := r.flow.Remote(); got != second.addr() {
		t.Errorf("nominated: got %v, want %v", got, second.addr())
	}
	r.queue([]byte("here"))
	if got := string(second.read(patience)); got != "here" {
		t.Errorf("got %q, want %q", got, "here")
	}
	first.send([]byte("\x80 late ok"))
	wait(t, "packet from where the client was", func() bool { return r.has("\x80 late ok") })
	var connected int
	r.locked(func() { connected = r.connected })
	if connected != 1 {
		t.Errorf("Connected: got %d calls, want 1", connected)
	}
}

// Who nominates all pairs means the best of them; who insists means it.
func TestNominationOfLessPriority(t *testing.T) {
	p := open(t, Config{})
	r := newFlow(t, p, "ours", time.Minute)
	high := func(c *checkConfig) { c.priority = 2 << 24 }
	best, other := newClient(t, p.Addr()), newClient(t, p.Addr())
	want := func(what string, c *testClient) {
		t.Helper()
		if got := r.flow.Remote(); got != c.addr() {
			t.Errorf("%s: got %v, want %v", what, got, c.addr())
		}
	}
	other.check("ours")
	want("the first", other)
	best.check("ours", high)
	want("the best", best)
	other.check("ours")
	want("the other again", best)
	best.check("ours", high)
	other.check("ours")
	want("one after the other", best)
	other.check("ours")
	want("twice", other)
}

func TestPathsAreBounded(t *testing.T) {
	p := open(t, Config{})
	r := newFlow(t, p, "ours", time.Minute)
	first := connect(t, r)
	for range maxPaths + 5 {
		c := newClient(t, p.Addr())
		if m := c.check("ours", func(c *checkConfig) { c.nominate = false }); m == nil || m.Type != stun.BindingSuccess {
			t.Fatalf("got %v, want success", m)
		}
	}
	p.mu.RLock()
	n := len(p.paths)
	p.mu.RUnlock()
	if n != maxPaths {
		t.Errorf("paths: got %d, want %d", n, maxPaths)
	}
	first.send([]byte("\x80 still ok"))
	wait(t, "packet of the selected path", func() bool { return r.has("\x80 still ok") })
}

// An attendee that sends from another's address does not become the other.
func TestAddressInUse(t *testing.T) {
	p := open(t, Config{})
	r := newFlow(t, p, "ours", time.Minute)
	c := connect(t, r)
	thief := newFlow(t, p, "thief", time.Minute)
	m := newCheck(t, "thief")
	c.send(m.Raw)
	wait(t, "count", func() bool { return p.dropped(AddressTaken) == 1 })
	c.send([]byte("\x80 mine ok"))
	wait(t, "packet", func() bool { return r.has("\x80 mine ok") })
	// When the other has gone, its address is free.
	r.flow.Close()
	if m := c.check("thief"); m == nil || m.Type != stun.BindingSuccess {
		t.Errorf("free address: got %v, want success", m)
	}
	if got := thief.flow.Remote(); got != c.addr() {
		t.Errorf("got %v, want %v", got, c.addr())
	}
}

func TestFlowErrors(t *testing.T) {
	p := open(t, Config{})
	r := newFlow(t, p, "ours", time.Minute)
	if err := r.flow.Write([]byte("early")); !errors.Is(err, ErrUnconnected) {
		t.Errorf("before the first check: got %v, want %v", err, ErrUnconnected)
	}
	if _, err := p.NewFlow(FlowConfig{Ufrag: "ours", Handler: r}); !errors.Is(err, ErrTaken) {
		t.Errorf("the same ufrag: got %v, want %v", err, ErrTaken)
	}
	r.flow.Close()
	r.flow.Close()
	if _, err := p.NewFlow(FlowConfig{Ufrag: "ours", Handler: r}); err != nil {
		t.Errorf("the same ufrag later: got %v, want nil", err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.NewFlow(FlowConfig{Ufrag: "late", Handler: r}); !errors.Is(err, ErrClosed) {
		t.Errorf("closed port: got %v, want %v", err, ErrClosed)
	}
}

// A client of which nothing comes is given up; media or checks keep it.
func TestLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newPipeNet()
		p := New(Config{}, net, quiet(t))
		defer p.Close()
		r := newFlow(t, p, "ours", 20*time.Second)
		defer r.flow.Close()
		from := netip.MustParseAddrPort("192.0.2.7:4000")
		lost := func() (n int) {
			synctest.Wait()
			r.locked(func() { n = r.lost })
			return n
		}
		net.deliver(newCheck(t, "ours").Raw, from)
		time.Sleep(19 * time.Second)
		if n := lost(); n != 0 {
			t.Fatalf("after 19 s: got %d, want 0", n)
		}
		net.deliver([]byte("\x80 media ok"), from)
		time.Sleep(19 * time.Second)
		if n := lost(); n != 0 {
			t.Fatalf("19 s after media: got %d, want 0", n)
		}
		net.deliver([]byte("\x80 anybody's"), from)
		time.Sleep(2 * time.Second)
		if n := lost(); n != 1 {
			t.Fatalf("21 s after media: got %d, want 1", n)
		}
		time.Sleep(time.Minute)
		if n := lost(); n != 1 {
			t.Errorf("later: got %d, want 1", n)
		}
	})
}

func TestTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newPipeNet()
		p := New(Config{}, net, quiet(t))
		defer p.Close()
		flows := make([]*recorder, 20)
		for i := range flows {
			flows[i] = newFlow(t, p, fmt.Sprint(i), time.Minute)
			defer flows[i].flow.Close()
			net.deliver(newCheck(t, fmt.Sprint(i)).Raw, netip.AddrPortFrom(netip.MustParseAddr("192.0.2.7"), uint16(4000+i)))
		}
		synctest.Wait()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for i, r := range flows {
			var ticks int
			r.locked(func() { ticks = r.ticks })
			if ticks < 195 || ticks > 205 {
				t.Errorf("flow %d: got %d ticks in 10 s, want about 200", i, ticks)
			}
		}
	})
}
