package attendee_test

import (
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/transport/v4"
	"github.com/pion/transport/v4/stdnet"

	"belfry.live/belfry/internal/attendee"
	"belfry.live/belfry/internal/media/jitter"
)

// A lossyNet is the real network, but for datagrams that get lost both ways
// once it has been told to.
type lossyNet struct {
	transport.Net

	mu    sync.Mutex // guards what follows
	rng   *rand.Rand
	share float64
	lost  int
}

func newLossyNet(t *testing.T) *lossyNet {
	t.Helper()
	n, err := stdnet.NewNet()
	if err != nil {
		t.Fatal(err)
	}
	return &lossyNet{Net: n, rng: rand.New(rand.NewPCG(1, 2))}
}

func (n *lossyNet) lose(share float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.share = share
}

func (n *lossyNet) loses() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.rng.Float64() >= n.share {
		return false
	}
	n.lost++
	return true
}

func (n *lossyNet) ListenUDP(network string, addr *net.UDPAddr) (transport.UDPConn, error) {
	c, err := n.Net.ListenUDP(network, addr)
	if err != nil {
		return nil, err
	}
	return &lossyConn{UDPConn: c, net: n}, nil
}

type lossyConn struct {
	transport.UDPConn
	net *lossyNet
}

func (c *lossyConn) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := c.UDPConn.ReadFrom(b)
		if err != nil || !c.net.loses() {
			return n, from, err
		}
	}
}

func (c *lossyConn) WriteTo(b []byte, to net.Addr) (int, error) {
	if c.net.loses() {
		return len(b), nil
	}
	return c.UDPConn.WriteTo(b, to)
}

// What is lost on the way in is asked for again, and what is lost on the way
// out is sent again: with a tenth of all packets lost on both sides, the video
// comes whole.
func TestLostVideoIsSentAgain(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), "", "127.0.0.1:0")
	m := h.meeting()
	netA, netB := newLossyNet(t), newLossyNet(t)
	a, b := h.joinBy(m, "alice", netA), h.joinBy(m, "bob", netB)
	for _, g := range []*guest{a, b} {
		g.wait("connection", func() bool { return len(g.connects) == 1 })
	}
	buffer := jitter.New(jitter.Config{ClockRate: 90000, Prompt: true, MaxDelay: time.Second})
	packets, lost := 0, 0
	b.setVideo(func(_ *video, p *rtp.Packet) {
		now := time.Now()
		buffer.Push(jitter.Packet{Sequence: p.SequenceNumber, Timestamp: p.Timestamp, Arrival: now, Payload: p.Payload})
		for {
			p, ok := buffer.Pop(now)
			if !ok {
				break
			}
			packets++
			lost += p.Lost
		}
	})
	a.film(attendee.VP8)
	b.wait("video", func() bool { return packets > 10 })
	netA.lose(0.1)
	netB.lose(0.1)
	b.wait("200 packets", func() bool { return packets > 200 })
	netA.lose(0)
	netB.lose(0)
	b.check(func() bool {
		if lost > 0 {
			t.Errorf("got %d packets lost of %d, want none", lost, packets)
		}
		if netA.lost < 20 || netB.lost < 20 {
			t.Errorf("got %d and %d datagrams lost on the way, want more to prove anything", netA.lost, netB.lost)
		}
		return true
	})
	for _, g := range []*guest{a, b} {
		g.leave()
		g.clean()
	}
}
