package port

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// proveWithin is how long a connection may be open before a check has
	// come on it that proves whose it is.
	proveWithin = 10 * time.Second

	// maxConns is how many connections there may be at all, maxPending how
	// many of them that have proved nothing yet, maxPendingFrom how many of
	// these from one address (many clients may share one).
	maxConns       = 4096
	maxPending     = 512
	maxPendingFrom = 64

	// tcpQueue is how many bytes wait in front of a connection's writer. The
	// flow's own queue, where sound goes first, is behind it. tcpUnsent is how
	// many bytes more the kernel takes.
	tcpQueue  = 32 << 10
	tcpUnsent = 32 << 10

	// tcpStuck is how long the kernel may take nothing for a client, lastWords
	// the same at the end, for what is still queued.
	tcpStuck  = 20 * time.Second
	lastWords = 200 * time.Millisecond

	// peek is what tells a check in its frame from TURN without one.
	peek = 10

	frameHeader = 2 // RFC 4571, section 2: the length
)

// A tcpConn is a client's connection.
type tcpConn struct {
	// Fixed by accept.
	p      *Port
	conn   *net.TCPConn
	remote netip.AddrPort
	ended  chan struct{} // closed by shut
	wake   chan struct{} // one waits at most

	path atomic.Pointer[path] // nil until a check has proved whose it is
	once sync.Once

	mu     sync.Mutex // guards what follows
	queue  []byte     // frames for the writer
	thirst *Flow      // to be woken when there is room
}

// pending counts connections that have proved nothing yet.
type pending struct {
	mu    sync.Mutex // guards what follows
	count int
	from  map[netip.Addr]int
}

func (n *pending) add(a netip.Addr) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.count == maxPending || n.from[a] == maxPendingFrom {
		return false
	}
	if n.from == nil {
		n.from = make(map[netip.Addr]int)
	}
	n.count++
	n.from[a]++
	return true
}

func (n *pending) remove(a netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.count--
	if n.from[a]--; n.from[a] == 0 {
		delete(n.from, a)
	}
}

// accept takes connections until the port is closed.
func (p *Port) accept() {
	for {
		conn, err := p.listener.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// Out of files, most likely: it passes.
			select {
			case <-time.After(10 * time.Millisecond):
				continue
			case <-p.stop:
				return
			}
		}
		at := conn.RemoteAddr().(*net.TCPAddr).AddrPort()
		c := &tcpConn{
			p:      p,
			conn:   conn,
			remote: netip.AddrPortFrom(at.Addr().Unmap(), at.Port()),
			ended:  make(chan struct{}),
			wake:   make(chan struct{}, 1),
		}
		_ = conn.SetReadDeadline(time.Now().Add(p.proveWithin))
		if !p.admit(c) {
			p.counts[TCPRefused].Add(1)
			conn.Close()
			continue
		}
		p.tasks.Go(c.serve)
	}
}

// admit puts a new connection on the list, if there is room.
func (p *Port) admit(c *tcpConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.conns) >= maxConns || !p.pendingTCP.add(c.remote.Addr()) {
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

// serve reads what comes until the connection ends.
func (c *tcpConn) serve() {
	proved := false
	prove := func() {
		if !proved {
			proved = true
			c.p.pendingTCP.remove(c.remote.Addr())
		}
	}
	defer prove()
	defer c.p.forgetConn(c)
	r := bufio.NewReaderSize(c.conn, frameHeader+MaxPacket)
	head, err := r.Peek(peek)
	if err == nil && isTURN(head) {
		prove()
		c.p.forgetConn(c) // it is the server's now
		_ = c.conn.SetReadDeadline(time.Time{})
		c.p.turnTCP.deliver(c.conn, r)
		return
	}
	setUnsent(c.conn, tcpUnsent)
	var writing sync.WaitGroup
	writing.Go(c.write)
	defer writing.Wait()
	defer c.shut()
	if err != nil {
		c.p.counts[TCPSilent].Add(1)
		return
	}
	buf := make([]byte, MaxPacket)
	for {
		b, err := readFrame(r, buf)
		if err != nil {
			switch {
			case errors.Is(err, errFrame):
				c.p.counts[TooLong].Add(1)
			case !proved && !c.p.closing():
				c.p.counts[TCPSilent].Add(1)
			}
			return
		}
		c.p.dispatch(b, arrival{link: c, from: c.remote, at: time.Now()})
		if !proved && c.path.Load() != nil {
			prove()
			_ = c.conn.SetReadDeadline(time.Time{}) // from here on the flow watches
		}
	}
}

// isTURN says whether a connection begins with STUN without a frame around it.
func isTURN(head []byte) bool {
	return head[0]&0xc0 == 0 && binary.BigEndian.Uint32(head[4:]) == magicCookie
}

var errFrame = errors.New("frame is too long")

// readFrame reads one packet into buf (RFC 4571, section 2).
func readFrame(r io.Reader, buf []byte) ([]byte, error) {
	if _, err := io.ReadFull(r, buf[:frameHeader]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(buf))
	if n > len(buf) {
		return nil, errFrame
	}
	_, err := io.ReadFull(r, buf[:n])
	return buf[:n], err
}

// send queues one packet for the writer.
func (c *tcpConn) send(b []byte, _ netip.AddrPort, _ netip.Addr) error {
	select {
	case <-c.ended:
		return ErrClosed
	default:
	}
	c.mu.Lock()
	// Twice what takes waits for, so that answers to checks find room.
	if len(c.queue)+frameHeader+len(b) > 2*tcpQueue {
		c.mu.Unlock()
		c.p.counts[TCPFull].Add(1)
		return ErrFull
	}
	c.queue = binary.BigEndian.AppendUint16(c.queue, uint16(len(b)))
	c.queue = append(c.queue, b...)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return nil
}

// takes says whether there is room for more of a flow's packets. If not the
// flow is woken when there is.
func (c *tcpConn) takes(f *Flow) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) < tcpQueue/2 {
		return true
	}
	c.thirst = f
	return false
}

// write writes what is queued, and closes the connection in the end. A client
// that takes nothing stops only its own writer.
func (c *tcpConn) write() {
	defer c.conn.Close()
	var out []byte
	for ended := false; !ended; {
		select {
		case <-c.wake:
		case <-c.ended:
			ended = true
		}
		c.mu.Lock()
		out, c.queue = c.queue, out[:0]
		thirst := c.thirst
		c.thirst = nil
		c.mu.Unlock()
		c.allow(tcpStuck)
		if _, err := c.conn.Write(out); err != nil {
			c.shut()
			return
		}
		if thirst != nil {
			thirst.Wake()
		}
	}
}

// allow gives the next write its time, unless shut has given it less.
func (c *tcpConn) allow(d time.Duration) {
	_ = c.conn.SetWriteDeadline(time.Now().Add(d))
	select {
	case <-c.ended:
		_ = c.conn.SetWriteDeadline(time.Now().Add(lastWords))
	default:
	}
}

// shut ends the connection; it does not wait for that.
func (c *tcpConn) shut() {
	c.once.Do(func() {
		close(c.ended)
		_ = c.conn.SetReadDeadline(time.Now())
		_ = c.conn.SetWriteDeadline(time.Now().Add(lastWords))
	})
}

func (p *Port) forgetConn(c *tcpConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}
