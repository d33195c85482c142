package link

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// streamTimeout is how long a write to a TCP connection may take before the
// packet is given up, and with it the connection.
const streamTimeout = 5 * time.Second

// A socket is where datagrams come in and go out. Exactly one of its three
// kinds is set.
type socket struct {
	udp     *net.UDPConn   // of the machine
	packets net.PacketConn // of another network, or of a relay
	stream  net.Conn       // with length fields (RFC 4571), to one peer

	shut func() // more to close, nil: nothing

	once  sync.Once
	write sync.Mutex // of the stream
	frame []byte     // guarded by write

	control [controlSize]byte // touched by the reader alone
}

func (s *socket) close() {
	s.once.Do(func() {
		switch {
		case s.udp != nil:
			s.udp.Close()
		case s.packets != nil:
			s.packets.Close()
		case s.stream != nil:
			s.stream.Close()
		}
		if s.shut != nil {
			s.shut()
		}
	})
}

// local is the address, invalid for a stream.
func (s *socket) local() netip.AddrPort {
	switch {
	case s.udp != nil:
		return addrPort(s.udp.LocalAddr())
	case s.packets != nil:
		return addrPort(s.packets.LocalAddr())
	}
	return netip.AddrPort{}
}

func addrPort(a net.Addr) netip.AddrPort {
	if u, ok := a.(*net.UDPAddr); ok {
		ap := u.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}

// send sends one datagram; to and addr are the same.
func (s *socket) send(b []byte, to netip.AddrPort, addr net.Addr) error {
	var err error
	switch {
	case s.udp != nil:
		_, err = s.udp.WriteToUDPAddrPort(b, to)
	case s.packets != nil:
		_, err = s.packets.WriteTo(b, addr)
	default:
		s.write.Lock()
		defer s.write.Unlock()
		s.frame = binary.BigEndian.AppendUint16(s.frame[:0], uint16(len(b)))
		s.frame = append(s.frame, b...)
		_ = s.stream.SetWriteDeadline(time.Now().Add(streamTimeout))
		if _, err = s.stream.Write(s.frame); err != nil {
			s.stream.Close() // half a frame may have gone out
		}
	}
	return err
}

// receive gives the next datagram, and when it came. An error is final.
func (s *socket) receive(b []byte) (n int, from netip.AddrPort, at time.Time, err error) {
	if s.udp == nil {
		n, from, err = s.receiveSlowly(b)
		return n, from, time.Now(), err
	}
	for {
		var control int
		n, control, _, from, err = s.udp.ReadMsgUDPAddrPort(b, s.control[:])
		if err == nil {
			return n, from, arrivalOf(s.control[:control], time.Now()), nil
		}
		if errors.Is(err, net.ErrClosed) {
			return 0, from, at, err
		}
	}
}

func (s *socket) receiveSlowly(b []byte) (n int, from netip.AddrPort, err error) {
	switch {
	case s.packets != nil:
		for {
			var a net.Addr
			n, a, err = s.packets.ReadFrom(b)
			if err == nil {
				return n, addrPort(a), nil
			}
			if !errors.Is(err, io.ErrShortBuffer) && !errors.Is(err, os.ErrDeadlineExceeded) {
				return 0, from, err
			}
		}
	}
	var length [2]byte
	for {
		if _, err := io.ReadFull(s.stream, length[:]); err != nil {
			return 0, from, err
		}
		size := int(binary.BigEndian.Uint16(length[:]))
		if size <= len(b) {
			n, err = io.ReadFull(s.stream, b[:size])
			return n, from, err
		}
		if _, err := io.CopyN(io.Discard, s.stream, int64(size)); err != nil {
			return 0, from, err
		}
	}
}

// listen opens a UDP socket on any address.
func (l *Link) listen(network string) (*socket, error) {
	if l.cfg.Net == nil {
		c, err := net.ListenUDP(network, nil)
		if err != nil {
			return nil, err
		}
		stampArrivals(c)
		return &socket{udp: c}, nil
	}
	any4 := &net.UDPAddr{IP: net.IPv4zero}
	if network == "udp6" {
		any4 = &net.UDPAddr{IP: net.IPv6unspecified}
	}
	c, err := l.cfg.Net.ListenUDP(network, any4)
	if err != nil {
		return nil, err
	}
	return &socket{packets: c}, nil
}
