package port

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

// A tcpClient is a client's connection.
type tcpClient struct {
	t    *testing.T
	conn *net.TCPConn
	r    *bufio.Reader
}

func dial(t *testing.T, p *Port) *tcpClient {
	t.Helper()
	conn, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(p.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &tcpClient{t: t, conn: conn, r: bufio.NewReader(conn)}
}

func frame(b []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
}

func (c *tcpClient) write(b []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// read returns the next packet, or the error.
func (c *tcpClient) read() ([]byte, error) {
	_ = c.conn.SetReadDeadline(time.Now().Add(patience))
	return readFrame(c.r, make([]byte, 65536))
}

// check has the client heard by its flow.
func (c *tcpClient) check(ours string, options ...checkOption) *stun.Message {
	c.t.Helper()
	c.write(frame(newCheck(c.t, ours, options...).Raw))
	b, err := c.read()
	if err != nil {
		c.t.Fatal(err)
	}
	m := new(stun.Message)
	if err := stun.Decode(b, m); err != nil {
		c.t.Fatal(err)
	}
	return m
}

func (c *tcpClient) wantEnd() {
	c.t.Helper()
	if b, err := c.read(); err == nil {
		c.t.Errorf("got a packet of %d bytes, want the end", len(b))
	}
}

func TestTCP(t *testing.T) {
	p := open(t, Config{})
	r := newFlow(t, p, "ours", time.Minute)
	c := dial(t, p)
	if m := c.check("ours"); m.Type != stun.BindingSuccess {
		t.Fatalf("got %v, want success", m)
	}
	// Frames may come in pieces, and several at once.
	both := append(frame([]byte("\x80 one ok")), frame([]byte("\x80 two ok"))...)
	c.write(both[:5])
	time.Sleep(5 * time.Millisecond)
	c.write(both[5:])
	wait(t, "packets", func() bool { return r.has("\x80 one ok") && r.has("\x80 two ok") })
	packets := numbered(100, 1200, 1200, 10)
	r.queue(packets...)
	for i, want := range packets {
		if got, err := c.read(); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("packet %d: got %d bytes, %v, want %d", i, len(got), err, len(want))
		}
	}
	if err := r.flow.Write([]byte("last words")); err != nil {
		t.Fatal(err)
	}
	r.flow.Close()
	if got, err := c.read(); string(got) != "last words" {
		t.Errorf("got %q, %v, want %q", got, err, "last words")
	}
	c.wantEnd()
}

// From UDP to TCP and back.
func TestChangeOfTransport(t *testing.T) {
	p := open(t, Config{})
	r := newFlow(t, p, "ours", time.Minute)
	udp := connect(t, r)
	tcp := dial(t, p)
	tcp.check("ours")
	r.queue([]byte("by TCP"))
	if got, err := tcp.read(); string(got) != "by TCP" {
		t.Errorf("got %q, %v, want %q", got, err, "by TCP")
	}
	udp.check("ours")
	r.queue([]byte("by UDP"))
	if got := string(udp.read(patience)); got != "by UDP" {
		t.Errorf("got %q, want %q", got, "by UDP")
	}
}

func TestBadConnections(t *testing.T) {
	p := open(t, Config{proveWithin: 100 * time.Millisecond})
	r := newFlow(t, p, "ours", time.Minute)
	for _, c := range []struct {
		name   string
		write  []byte
		reason Reason
	}{
		{"silent", nil, TCPSilent},
		{"begins and stops", []byte{0, 20, 0}, TCPSilent},
		{"never proves anything", frame(append([]byte{0x80}, make([]byte, 30)...)), TCPSilent},
		{"empty frames", make([]byte, 100), TCPSilent},
		{"checks for nobody", frame(newCheck(t, "nobody").Raw), TCPSilent},
		{"wrong password", frame(newCheck(t, "ours", func(c *checkConfig) { c.pwd = "guessed" }).Raw), TCPSilent},
		{"frame that is too long", []byte("\xff\xff and so on and on"), TooLong},
		{"TURN inside of a frame", frame(stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest)).Raw), TCPSilent},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := p.dropped(c.reason)
			conn := dial(t, p)
			conn.write(c.write)
			_ = conn.conn.SetReadDeadline(time.Now().Add(patience))
			if _, err := io.Copy(io.Discard, conn.conn); err != nil && !isReset(err) {
				t.Errorf("got %v, want the end", err)
			}
			wait(t, "count", func() bool { return p.dropped(c.reason) == before+1 })
		})
	}
	wait(t, "end of all connections", func() bool { return p.Stats().TCP == 0 })
	if r.isConnected() {
		t.Error("somebody was taken for the client")
	}
}

func isReset(err error) bool {
	var timeout net.Error
	return !errors.As(err, &timeout) || !timeout.Timeout()
}

func TestConnectionsAreBounded(t *testing.T) {
	p := open(t, Config{})
	for range maxPendingFrom {
		dial(t, p)
	}
	wait(t, "connections", func() bool { return p.Stats().TCP == maxPendingFrom })
	dial(t, p).wantEnd()
	if n := p.dropped(TCPRefused); n != 1 {
		t.Errorf("refused: got %d, want 1", n)
	}
}

// A client that does not read holds up neither the sender nor others, and
// what waits for it stays in its own queue.
func TestSlowClient(t *testing.T) {
	p := open(t, Config{})
	r := newFlow(t, p, "slow", time.Minute)
	slow := dial(t, p)
	slow.check("slow")
	other := newFlow(t, p, "other", time.Minute)
	for i := 0; other.flow.sender != r.flow.sender; i++ {
		other = newFlow(t, p, fmt.Sprintf("other %d", i), time.Minute)
	}
	c := connect(t, other)
	packet := make([]byte, 1200)
	sent := 0
	wait(t, "a full connection", func() bool {
		full := false
		r.locked(func() { full = len(r.send) > 100 })
		if !full {
			for range 20 {
				r.queue(packet)
			}
			sent += 20
		}
		return full
	})
	began := time.Now()
	other.queue([]byte("past it"))
	if got := string(c.read(patience)); got != "past it" {
		t.Errorf("got %q, want %q", got, "past it")
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("the other's packet took %v", took)
	}
	// When the client reads again, it gets all.
	for i := range sent {
		if b, err := slow.read(); err != nil || len(b) != len(packet) {
			t.Fatalf("packet %d of %d: got %d bytes, %v", i, sent, len(b), err)
		}
	}
}

// What is written past the queue, to a client that does not read, is dropped.
func TestFullConnection(t *testing.T) {
	p := open(t, Config{})
	r := newFlow(t, p, "slow", time.Minute)
	dial(t, p).check("slow")
	packet := make([]byte, 1200)
	wait(t, "a full connection", func() bool {
		for range 100 {
			if err := r.flow.Write(packet); errors.Is(err, ErrFull) {
				return true
			}
		}
		return false
	})
	if p.dropped(TCPFull) == 0 {
		t.Error("full: got 0 counted")
	}
}
