package turn

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/stun/v4"

	"belfry.live/belfry/internal/listen"
)

const (
	// maxPending bounds what waits for a client that reads slowly, bytes. Old
	// media is worth nothing: at 1 Mbit/s this is a second of it.
	maxPending   = 128 << 10
	keepPending  = 32 << 10 // larger buffers are given back after a burst
	writeTimeout = 10 * time.Second
)

// accept serves the listener's connections until ctx ends, then cuts them and
// waits for them.
func (s *Server) accept(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var streams sync.WaitGroup
	defer streams.Wait()
	defer cancel()
	return listen.Each(ctx, l, s.log, func(conn net.Conn) {
		addr, ok := remoteAddr(conn)
		if !ok || s.await(addr.Addr()) != nil {
			s.counters.refusedConnections.Add(1)
			conn.Close()
			return
		}
		c := &streamClient{server: s, conn: conn, addr: addr, log: s.log.With("remote", addr), wake: make(chan struct{}, 1)}
		streams.Go(func() { c.run(ctx) })
	})
}

func remoteAddr(conn net.Conn) (netip.AddrPort, bool) {
	a, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}, false
	}
	addr := a.AddrPort()
	return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()), true
}

// A streamClient is a client on a TCP or TLS connection. Two goroutines run
// it: one reads, the other writes.
type streamClient struct {
	// Fixed by accept.
	server *Server
	conn   net.Conn
	addr   netip.AddrPort
	log    *slog.Logger
	wake   chan struct{} // the writer has something to do

	mu      sync.Mutex // guards pending
	pending []byte     // whole messages
}

func (c *streamClient) address() netip.AddrPort { return c.addr }
func (c *streamClient) stream() bool            { return true }
func (c *streamClient) expire()                 { c.conn.Close() }

func (c *streamClient) send(b []byte) {
	c.mu.Lock()
	full := len(c.pending)+len(b) > maxPending
	if !full {
		c.pending = append(c.pending, b...)
	}
	c.mu.Unlock()
	if full {
		c.server.counters.slowClient.Add(1)
		return
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run serves the connection until it breaks or ctx ends.
func (c *streamClient) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer context.AfterFunc(ctx, func() { c.conn.Close() })()
	limitUnsent(c.conn)
	var writer sync.WaitGroup
	writer.Go(func() { c.write(ctx) })
	err := c.read()
	cancel()
	writer.Wait()
	c.conn.Close()
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
		c.log.Debug("TURN connection ended", "err", err)
	}
}

// read takes the client's messages. Until it has an allocation it has little
// time, and counts among those waiting.
func (c *streamClient) read() error {
	s := c.server
	var a *allocation
	waiting := true
	defer func() {
		if waiting {
			s.arrived(c.addr.Addr())
		}
		if a != nil {
			s.remove(a)
		}
	}()
	_ = c.conn.SetReadDeadline(time.Now().Add(s.limits.FirstRequest)) // fails on a closed one, as Peek will
	r := bufio.NewReaderSize(c.conn, 2*maxMessage)
	var m stun.Message
	for {
		b, size, err := peekMessage(r)
		if err != nil {
			return err
		}
		now := time.Now()
		switch {
		case b[0]>>6 == 1 && a == nil:
			s.counters.noAllocation.Add(1)
		case b[0]>>6 == 1:
			s.relayChannel(a, b, now)
		case s.decode(&m, b):
			had := a
			a = s.handle(c, a, &m, now)
			switch {
			case a != nil && waiting:
				waiting = false
				s.arrived(c.addr.Addr())
				fallthrough
			case a != nil && had == nil:
				_ = c.conn.SetReadDeadline(time.Time{}) // from here on the allocation expires
			case a == nil && had != nil: // given back: the client is about to leave
				_ = c.conn.SetReadDeadline(now.Add(s.limits.FirstRequest))
			}
		default:
			return errFraming
		}
		if _, err := r.Discard(size); err != nil {
			return err
		}
	}
}

var errFraming = errors.New("no TURN message")

// peekMessage returns the next message in r's buffer, and how many bytes to
// discard when it has been dealt with.
func peekMessage(r *bufio.Reader) (b []byte, size int, err error) {
	head, err := r.Peek(channelHeader)
	if err != nil {
		return nil, 0, err
	}
	n := channelHeader + int(binary.BigEndian.Uint16(head[2:]))
	switch head[0] >> 6 {
	case 0:
		n += stunHeader - channelHeader
		if n%4 != 0 {
			return nil, 0, errFraming
		}
	case 1:
	default:
		return nil, 0, errFraming
	}
	size = (n + 3) &^ 3 // RFC 8656, section 12.5
	if size > maxMessage {
		return nil, 0, errFraming
	}
	b, err = r.Peek(size)
	if err != nil {
		return nil, 0, err
	}
	return b[:n:n], size, nil
}

// write writes what is pending until ctx ends, everything there is at once.
func (c *streamClient) write(ctx context.Context) {
	var spare []byte
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		}
		c.mu.Lock()
		b := c.pending
		c.pending = spare[:0]
		c.mu.Unlock()
		_ = c.conn.SetWriteDeadline(time.Now().Add(writeTimeout)) // fails on a closed one, as Write will
		if _, err := c.conn.Write(b); err != nil {
			c.conn.Close() // ends the reader
			return
		}
		if spare = b; cap(spare) > keepPending {
			spare = nil
		}
	}
}
