package port

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

const patience = 10 * time.Second

// wait fails the test unless ok becomes true.
func wait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("got no %s within %v", what, patience)
		}
		time.Sleep(time.Millisecond)
	}
}

func quiet(t testing.TB) *slog.Logger {
	if testing.Verbose() {
		return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(slog.DiscardHandler)
}

// checkLeaks fails the test if goroutines are left when everything registered
// after it is cleaned up.
func checkLeaks(t testing.TB) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		deadline := time.Now().Add(patience)
		for runtime.NumGoroutine() > before {
			if time.Now().After(deadline) {
				b := make([]byte, 1<<20)
				t.Errorf("got %d goroutines, want %d as before:\n%s", runtime.NumGoroutine(), before, b[:runtime.Stack(b, true)])
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
}

func open(t testing.TB, cfg Config) *Port {
	t.Helper()
	checkLeaks(t)
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	p, err := Open(cfg, quiet(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("close: got %v, want nil", err)
		}
	})
	return p
}

func (p *Port) dropped(r Reason) uint64 { return p.counts[r].Load() }

// A recorder is a handler that keeps what it gets and sends what it is given.
type recorder struct {
	flow *Flow

	mu        sync.Mutex // guards what follows
	connected int
	lost      int
	ticks     int
	got       []string
	send      [][]byte
	next      time.Time
	fills     int
}

func (r *recorder) Connected() { r.locked(func() { r.connected++ }) }
func (r *recorder) Lost()      { r.locked(func() { r.lost++ }) }

func (r *recorder) Tick(time.Time) { r.locked(func() { r.ticks++ }) }

// Receive takes what ends in "ok" for the client's own.
func (r *recorder) Receive(b []byte, _ time.Time) bool {
	r.locked(func() { r.got = append(r.got, string(b)) })
	return bytes.HasSuffix(b, []byte("ok"))
}

func (r *recorder) Fill(b *Burst, _ time.Time) (next time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fills++
	for len(r.send) > 0 {
		buf := b.Next()
		if buf == nil {
			return time.Time{}
		}
		b.Add(len(append(buf, r.send[0]...)))
		r.send = r.send[1:]
	}
	return r.next
}

func (r *recorder) locked(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

func (r *recorder) queue(packets ...[]byte) {
	r.locked(func() { r.send = append(r.send, packets...) })
	r.flow.Wake()
}

func (r *recorder) has(s string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, got := range r.got {
		if got == s {
			return true
		}
	}
	return false
}

func (r *recorder) isConnected() (ok bool) {
	r.locked(func() { ok = r.connected > 0 })
	return ok
}

const testPwd = "the server's password"

// newFlow makes a flow for the client "theirs".
func newFlow(t testing.TB, p *Port, ours string, timeout time.Duration) *recorder {
	t.Helper()
	r := new(recorder)
	f, err := p.NewFlow(FlowConfig{Ufrag: ours, Pwd: testPwd, Timeout: timeout, Handler: r})
	if err != nil {
		t.Fatal(err)
	}
	r.flow = f
	f.SetRemote("theirs")
	t.Cleanup(f.Close)
	return r
}

// A checkOption changes a check.
type checkOption func(*checkConfig)

type checkConfig struct {
	username    string
	pwd         string
	priority    uint32
	nominate    bool
	late        bool // nominate behind the integrity
	controlled  bool
	unknown     bool
	noIntegrity bool
	noPrint     bool
	brokenPrint bool
}

// newCheck builds a connectivity check (RFC 8445, section 7.2).
func newCheck(t testing.TB, ours string, options ...checkOption) *stun.Message {
	t.Helper()
	c := checkConfig{username: ours + ":theirs", pwd: testPwd, priority: 1 << 24, nominate: true}
	for _, o := range options {
		o(&c)
	}
	setters := []stun.Setter{stun.TransactionID, stun.BindingRequest}
	add := func(typ stun.AttrType, v []byte) {
		setters = append(setters, stun.RawAttribute{Type: typ, Value: v})
	}
	if c.username != "" {
		setters = append(setters, stun.NewUsername(c.username))
	}
	add(stun.AttrPriority, binary.BigEndian.AppendUint32(nil, c.priority))
	if c.controlled {
		add(stun.AttrICEControlled, make([]byte, 8))
	} else {
		add(stun.AttrICEControlling, make([]byte, 8))
	}
	if c.nominate {
		add(stun.AttrUseCandidate, nil)
	}
	if c.unknown {
		add(0x7abc, []byte{1})
	}
	add(0xc057, []byte{0, 1, 0, 0}) // a browser's own, which may be ignored
	if !c.noIntegrity {
		setters = append(setters, stun.NewShortTermIntegrity(c.pwd))
	}
	if c.late {
		add(stun.AttrUseCandidate, nil)
	}
	if !c.noPrint {
		setters = append(setters, stun.Fingerprint)
	}
	m, err := stun.Build(setters...)
	if err != nil {
		t.Fatal(err)
	}
	if c.brokenPrint {
		m.Raw[len(m.Raw)-1] ^= 1
	}
	return m
}

// A testClient is a UDP socket of a client.
type testClient struct {
	t    testing.TB
	conn *net.UDPConn
	to   netip.AddrPort
}

func newClient(t testing.TB, to netip.AddrPort) *testClient {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: to.Addr().AsSlice()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &testClient{t: t, conn: conn, to: to}
}

func (c *testClient) addr() netip.AddrPort {
	at := c.conn.LocalAddr().(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}

func (c *testClient) send(b []byte) {
	c.t.Helper()
	if _, err := c.conn.WriteToUDPAddrPort(b, c.to); err != nil {
		c.t.Fatal(err)
	}
}

// read returns the next datagram, or nil after a while.
func (c *testClient) read(patience time.Duration) []byte {
	c.t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, 65536)
	n, from, err := c.conn.ReadFromUDPAddrPort(b)
	if err != nil {
		return nil
	}
	if got := netip.AddrPortFrom(from.Addr().Unmap(), from.Port()); got != c.to {
		c.t.Errorf("datagram from %v, want from %v", got, c.to)
	}
	return b[:n]
}

// check sends a check and returns the answer, nil if there is none.
func (c *testClient) check(ours string, options ...checkOption) *stun.Message {
	c.t.Helper()
	m := newCheck(c.t, ours, options...)
	c.send(m.Raw)
	return c.answer(m, patience)
}

func (c *testClient) answer(m *stun.Message, patience time.Duration) *stun.Message {
	c.t.Helper()
	for {
		b := c.read(patience)
		if b == nil {
			return nil
		}
		r := new(stun.Message)
		if stun.Decode(b, r) == nil && r.TransactionID == m.TransactionID {
			return r
		}
	}
}

// connect has a client heard by its flow.
func connect(t testing.TB, r *recorder) *testClient {
	t.Helper()
	c := newClient(t, r.flow.p.Addr())
	if m := c.check(r.flow.ufrag); m == nil || m.Type != stun.BindingSuccess {
		t.Fatalf("answer to a check: got %v, want success", m)
	}
	return c
}
