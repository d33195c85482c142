package port

import (
	"errors"
	"net"
	"net/netip"
	"time"
)

// maxReaders is how many sockets share the port at most.
const maxReaders = 4

// A plainSocket sends and receives one datagram at a time: on a virtual
// network, and where the kernel knows no better.
type plainSocket struct {
	conn net.PacketConn
	p    *Port
}

func (s *plainSocket) read(got func([]byte, netip.AddrPort, netip.Addr, time.Time)) {
	b := make([]byte, MaxPacket+1)
	for {
		n, addr, err := s.conn.ReadFrom(b)
		switch {
		case errors.Is(err, net.ErrClosed), err != nil && s.p.closing():
			return
		case err != nil:
			time.Sleep(time.Millisecond) // for a datagram of ours that found nobody, as some systems tell
		case n > MaxPacket:
			s.p.counts[TooLong].Add(1)
		default:
			if from, ok := addrPort(addr); ok {
				got(b[:n], from, netip.Addr{}, time.Now())
			}
		}
	}
}

func (s *plainSocket) send(b []byte, to netip.AddrPort, _ netip.Addr) error {
	_, err := s.conn.WriteTo(b, net.UDPAddrFromAddrPort(to))
	if err != nil {
		s.p.counts[SendFailed].Add(1)
	}
	return err
}

func (s *plainSocket) Close() error { return s.conn.Close() }

func addrPort(a net.Addr) (netip.AddrPort, bool) {
	u, ok := a.(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}, false
	}
	at := u.AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), at.IsValid()
}

// closing says whether Close has begun.
func (p *Port) closing() bool {
	select {
	case <-p.stop:
		return true
	default:
		return false
	}
}
