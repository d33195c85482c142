package port

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// A pipeNet is a socket without a network, for bubbles of synctest.
type pipeNet struct {
	in    chan pipeDatagram
	ended chan struct{}
	once  sync.Once

	mu  sync.Mutex // guards out
	out []pipeDatagram
}

type pipeDatagram struct {
	b    []byte
	addr netip.AddrPort
	at   time.Time
}

func newPipeNet() *pipeNet {
	return &pipeNet{in: make(chan pipeDatagram), ended: make(chan struct{})}
}

func (n *pipeNet) deliver(b []byte, from netip.AddrPort) {
	n.in <- pipeDatagram{b: b, addr: from}
}

func (n *pipeNet) sent() []pipeDatagram {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]pipeDatagram(nil), n.out...)
}

func (n *pipeNet) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case d := <-n.in:
		return copy(b, d.b), net.UDPAddrFromAddrPort(d.addr), nil
	case <-n.ended:
		return 0, nil, net.ErrClosed
	}
}

func (n *pipeNet) WriteTo(b []byte, addr net.Addr) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.out = append(n.out, pipeDatagram{append([]byte(nil), b...), addr.(*net.UDPAddr).AddrPort(), time.Now()})
	return len(b), nil
}

func (n *pipeNet) Close() error {
	n.once.Do(func() { close(n.ended) })
	return nil
}

func (n *pipeNet) LocalAddr() net.Addr {
	return &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 3478}
}
func (n *pipeNet) SetDeadline(time.Time) error      { return nil }
func (n *pipeNet) SetReadDeadline(time.Time) error  { return nil }
func (n *pipeNet) SetWriteDeadline(time.Time) error { return nil }
