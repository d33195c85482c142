package turn

import (
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/pion/stun/v4"
)

// packetConn is what a net.UDPConn has beyond a net.PacketConn: addresses that
// cost no memory.
type packetConn interface {
	net.PacketConn
	ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error)
	WriteToUDPAddrPort(b []byte, addr netip.AddrPort) (int, error)
}

// readDatagrams serves clients that speak UDP until conn is closed.
func (s *Server) readDatagrams(conn net.PacketConn) error {
	packets, ok := conn.(packetConn)
	if !ok {
		packets = plainPacketConn{conn}
	}
	var m stun.Message
	b := make([]byte, maxMessage)
	for {
		n, addr, err := packets.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		if err != nil || n == 0 {
			continue // an ICMP error of somebody who is gone
		}
		addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
		s.takeDatagram(packets, addr, b[:n:n], &m, time.Now())
	}
}

func (s *Server) takeDatagram(conn packetConn, from netip.AddrPort, b []byte, m *stun.Message, now time.Time) {
	a := s.datagramAllocation(from)
	switch {
	case b[0]>>6 == 1 && len(b) >= channelHeader:
		if a == nil {
			s.counters.noAllocation.Add(1)
			return
		}
		s.relayChannel(a, b, now)
	case s.decode(m, b):
		c := client(&datagramClient{conn, from})
		if a != nil {
			c = a.client
		}
		s.handle(c, a, m, now)
	}
}

// decode parses a STUN message in place.
func (s *Server) decode(m *stun.Message, b []byte) bool {
	m.Raw = b
	if _, isSTUN := stunType(b); !isSTUN || m.Decode() != nil {
		s.counters.malformed.Add(1)
		return false
	}
	return true
}

// A datagramClient speaks UDP.
type datagramClient struct {
	conn packetConn
	addr netip.AddrPort
}

func (c *datagramClient) address() netip.AddrPort { return c.addr }
func (c *datagramClient) stream() bool            { return false }
func (c *datagramClient) expire()                 {}

// send does not look at the error: a lost datagram is the network's business.
func (c *datagramClient) send(b []byte) { _, _ = c.conn.WriteToUDPAddrPort(b, c.addr) }

// plainPacketConn gives any packet connection the methods of packetConn.
type plainPacketConn struct{ net.PacketConn }

func (c plainPacketConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	n, addr, err := c.ReadFrom(b)
	if u, ok := addr.(*net.UDPAddr); ok {
		return n, u.AddrPort(), err
	}
	return n, netip.AddrPort{}, err
}

func (c plainPacketConn) WriteToUDPAddrPort(b []byte, addr netip.AddrPort) (int, error) {
	return c.WriteTo(b, net.UDPAddrFromAddrPort(addr))
}
