package port

import (
	"bufio"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/transport/v4/deadline"
)

const (
	// turnQueue is how many datagrams wait for the TURN server.
	turnQueue = 1024

	// turnPeers is how many addresses are remembered that have spoken TURN.
	turnPeers = 8192

	// turnBacklog is how many connections wait for the TURN server.
	turnBacklog = 64
)

// TURN returns the datagrams of the port that are TURN: STUN messages with a
// method other than Binding, responses to Binding requests (the port itself
// asks nobody), and channel data from addresses that have been written to.
// Closing it only stops them.
func (p *Port) TURN() net.PacketConn {
	p.turn.used.Store(true)
	return p.turn
}

// A turnConn is the port as the TURN server sees it.
type turnConn struct {
	p        *Port
	used     atomic.Bool
	queue    chan turnDatagram
	ended    chan struct{}
	deadline *deadline.Deadline
	once     sync.Once

	mu    sync.Mutex // guards what follows
	peers map[netip.AddrPort]turnPeer
}

type turnDatagram struct {
	buf  *[MaxPacket]byte
	n    int
	from netip.AddrPort
}

// A turnPeer is where TURN has come from.
type turnPeer struct {
	link   link
	local  netip.Addr
	spoken bool // it has been answered
}

var turnBuffers = sync.Pool{New: func() any { return new([MaxPacket]byte) }}

func newTURNConn(p *Port) *turnConn {
	return &turnConn{
		p:        p,
		queue:    make(chan turnDatagram, turnQueue),
		ended:    make(chan struct{}),
		deadline: deadline.New(),
		peers:    make(map[netip.AddrPort]turnPeer),
	}
}

// message takes a STUN message that is not for ICE.
func (t *turnConn) message(b []byte, a arrival) {
	if !t.takes(a) {
		return
	}
	t.mu.Lock()
	if old, ok := t.peers[a.from]; !ok || old.link != a.link || old.local != a.local {
		t.remember(a.from, turnPeer{link: a.link, local: a.local, spoken: old.spoken})
	}
	t.mu.Unlock()
	t.push(b, a.from)
}

// channelData takes what begins as channel data (RFC 8656, section 12.4).
func (t *turnConn) channelData(b []byte, a arrival) {
	if !t.takes(a) {
		return
	}
	t.mu.Lock()
	spoken := t.peers[a.from].spoken
	t.mu.Unlock()
	if !spoken {
		t.p.counts[TURNStranger].Add(1)
		return
	}
	t.push(b, a.from)
}

// takes leaves out what the server cannot answer: TURN inside of a frame, or
// relayed by itself.
func (t *turnConn) takes(a arrival) bool {
	_, onSocket := a.link.(socket)
	if !onSocket || !t.used.Load() {
		t.p.counts[NoTURN].Add(1)
		return false
	}
	return true
}

// remember makes room by forgetting anybody: who is alive is back with the
// next packet. The mutex is held.
func (t *turnConn) remember(at netip.AddrPort, peer turnPeer) {
	if _, ok := t.peers[at]; !ok && len(t.peers) >= turnPeers {
		for other := range t.peers {
			delete(t.peers, other)
			break
		}
	}
	t.peers[at] = peer
}

func (t *turnConn) push(b []byte, from netip.AddrPort) {
	d := turnDatagram{buf: turnBuffers.Get().(*[MaxPacket]byte), from: from}
	d.n = copy(d.buf[:], b)
	select {
	case t.queue <- d:
	default:
		turnBuffers.Put(d.buf)
		t.p.counts[TURNFull].Add(1)
	}
}

func (t *turnConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := t.ReadFromUDPAddrPort(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// ReadFromUDPAddrPort is ReadFrom without an allocation.
func (t *turnConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	select {
	case <-t.ended:
		return 0, netip.AddrPort{}, net.ErrClosed
	default:
	}
	select {
	case <-t.deadline.Done():
		return 0, netip.AddrPort{}, os.ErrDeadlineExceeded
	default:
	}
	select {
	case d := <-t.queue:
		n := copy(b, d.buf[:d.n])
		turnBuffers.Put(d.buf)
		return n, d.from, nil
	case <-t.deadline.Done():
		return 0, netip.AddrPort{}, os.ErrDeadlineExceeded
	case <-t.ended:
		return 0, netip.AddrPort{}, net.ErrClosed
	}
}

func (t *turnConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	at, ok := addrPort(addr)
	if !ok {
		return 0, net.InvalidAddrError("no UDP address")
	}
	return t.WriteToUDPAddrPort(b, at)
}

// WriteToUDPAddrPort answers on the socket and from the address that was
// spoken to.
func (t *turnConn) WriteToUDPAddrPort(b []byte, at netip.AddrPort) (int, error) {
	at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	t.mu.Lock()
	peer, ok := t.peers[at]
	if !ok {
		peer.link = t.p.sockets[0]
	}
	if !peer.spoken {
		peer.spoken = true
		t.remember(at, peer)
	}
	t.mu.Unlock()
	if err := peer.link.send(b, at, peer.local); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (t *turnConn) Close() error {
	t.once.Do(func() {
		t.used.Store(false)
		close(t.ended)
	})
	return nil
}

func (t *turnConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(t.p.addr) }

func (t *turnConn) SetDeadline(at time.Time) error     { return t.SetReadDeadline(at) }
func (t *turnConn) SetReadDeadline(at time.Time) error { t.deadline.Set(at); return nil }
func (t *turnConn) SetWriteDeadline(time.Time) error   { return nil }

// TURNListener returns the TCP connections of the port that begin with STUN
// outside of a frame. Until somebody has asked for it they are closed.
func (p *Port) TURNListener() net.Listener {
	p.turnTCP.used.Store(true)
	return p.turnTCP
}

// A turnListener hands over connections.
type turnListener struct {
	p     *Port
	used  atomic.Bool
	queue chan net.Conn
	ended chan struct{}
	once  sync.Once
}

func newTURNListener(p *Port) *turnListener {
	return &turnListener{p: p, queue: make(chan net.Conn, turnBacklog), ended: make(chan struct{})}
}

// deliver hands over a connection of which r has read something.
func (l *turnListener) deliver(c *net.TCPConn, r *bufio.Reader) {
	if !l.used.Load() {
		l.p.counts[NoTURN].Add(1)
		c.Close()
		return
	}
	select {
	case l.queue <- &peekedConn{TCPConn: c, r: r}:
	default:
		l.p.counts[TURNFull].Add(1)
		c.Close()
	}
}

func (l *turnListener) Accept() (net.Conn, error) {
	select {
	case <-l.ended:
		return nil, net.ErrClosed
	default:
	}
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.ended:
		return nil, net.ErrClosed
	}
}

func (l *turnListener) Close() error {
	l.once.Do(func() {
		l.used.Store(false)
		close(l.ended)
		for {
			select {
			case c := <-l.queue:
				c.Close()
			default:
				return
			}
		}
	})
	return nil
}

func (l *turnListener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.p.addr) }

// A peekedConn is a connection of which some bytes have been read.
type peekedConn struct {
	*net.TCPConn
	r *bufio.Reader
}

func (c *peekedConn) Read(b []byte) (int, error) { return c.r.Read(b) }
