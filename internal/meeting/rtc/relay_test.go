package rtc

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
)

// A relay stands between clients and a server on UDP and loses one packet of
// media in so many, each way, while it is lossy.
type relay struct {
	conn   *net.UDPConn
	target netip.AddrPort
	lossy  atomic.Bool
	every  int
	lost   atomic.Int64
	tasks  sync.WaitGroup

	mu     sync.Mutex // guards what follows
	random *rand.Rand
	ways   map[netip.AddrPort]*net.UDPConn // by client
}

func newRelay(t *testing.T, at net.IP, target netip.AddrPort, every int) *relay {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: at})
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{conn: conn, target: target, every: every, random: rand.New(rand.NewPCG(5, 6)), ways: make(map[netip.AddrPort]*net.UDPConn)}
	r.tasks.Go(r.up)
	t.Cleanup(func() {
		conn.Close()
		r.mu.Lock()
		for _, way := range r.ways {
			way.Close()
		}
		r.mu.Unlock()
		r.tasks.Wait()
	})
	return r
}

func (r *relay) addr() netip.AddrPort { return r.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// passes says whether a packet gets through. Connections are left alone.
func (r *relay) passes(b []byte) bool {
	if !r.lossy.Load() || len(b) == 0 || b[0] < 128 {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.random.IntN(r.every) != 0 {
		return true
	}
	r.lost.Add(1)
	return false
}

func (r *relay) up() {
	b := make([]byte, 2048)
	for {
		n, from, err := r.conn.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		if way := r.way(from); way != nil && r.passes(b[:n]) {
			_, _ = way.Write(b[:n]) // lost packets are the point
		}
	}
}

// way returns the socket that stands for a client at the server.
func (r *relay) way(client netip.AddrPort) *net.UDPConn {
	r.mu.Lock()
	defer r.mu.Unlock()
	if way := r.ways[client]; way != nil {
		return way
	}
	way, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(r.target))
	if err != nil {
		return nil
	}
	r.ways[client] = way
	r.tasks.Go(func() {
		b := make([]byte, 2048)
		for {
			n, err := way.Read(b)
			if err != nil {
				return
			}
			if r.passes(b[:n]) {
				_, _ = r.conn.WriteToUDPAddrPort(b[:n], client)
			}
		}
	})
	return way
}

// machineIP returns an IPv4 address of this machine that is not loopback, or
// skips the test.
func machineIP(t *testing.T) net.IP {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() && !n.IP.IsLinkLocalUnicast() {
			return n.IP
		}
	}
	t.Skip("this machine has no address but loopback")
	return nil
}
