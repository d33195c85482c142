package port

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// readBatch is how many datagrams one system call reads.
	readBatch = 32

	// maxReadErrors is how many errors in a row are passed over before the
	// next datagram is waited for.
	maxReadErrors = 10

	// controlSize holds the control messages of a datagram: what address it
	// is to or from, and how it is to be split.
	controlSize = 80
)

// shareAddress lets several sockets have one address.
func shareAddress(_, _ string, c syscall.RawConn) error {
	var err error
	if e := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}); e != nil {
		return e
	}
	return err
}

// A kernelSocket is a UDP socket of Linux: recvmmsg, sendmmsg, and the kernel
// splits runs of equally long packets (UDP_SEGMENT).
type kernelSocket struct {
	// Fixed by newSocket.
	p    *Port
	conn *net.UDPConn
	raw  syscall.RawConn
	v6   bool // the socket's addresses are IPv6, those of IPv4 mapped
	any  bool // listens on all addresses: which one is told and chosen

	splits atomic.Bool // UDP_SEGMENT works
}

func (p *Port) newSocket(c *net.UDPConn) (socket, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &kernelSocket{p: p, conn: c, raw: raw, any: p.addr.Addr().IsUnspecified()}
	var opt error
	err = raw.Control(func(fd uintptr) {
		var at unix.Sockaddr
		if at, opt = unix.Getsockname(int(fd)); opt != nil {
			return
		}
		_, s.v6 = at.(*unix.SockaddrInet6)
		if s.any {
			if s.v6 {
				opt = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
			} else {
				opt = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
			}
		}
		_, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT)
		s.splits.Store(err == nil)
	})
	return s, errors.Join(err, opt)
}

func (s *kernelSocket) Close() error { return s.conn.Close() }

// A mmsghdr is what sendmmsg and recvmmsg take.
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
}

// mmsgs are the buffers for messages of one system call.
type mmsgs struct {
	hdrs    []mmsghdr
	iovecs  []unix.Iovec
	names   []unix.RawSockaddrInet6 // the longest of the two kinds
	control [][controlSize]byte
}

func newMmsgs(n int) mmsgs {
	m := mmsgs{
		hdrs:    make([]mmsghdr, n),
		iovecs:  make([]unix.Iovec, n),
		names:   make([]unix.RawSockaddrInet6, n),
		control: make([][controlSize]byte, n),
	}
	for i := range m.hdrs {
		h := &m.hdrs[i].hdr
		h.Name = (*byte)(unsafe.Pointer(&m.names[i]))
		h.Iov = &m.iovecs[i]
		h.SetIovlen(1)
	}
	return m
}

func (s *kernelSocket) read(got func([]byte, netip.AddrPort, netip.Addr, time.Time)) {
	m := newMmsgs(readBatch)
	buf := make([]byte, readBatch*MaxPacket)
	for i := range m.hdrs {
		m.iovecs[i].Base = &buf[i*MaxPacket]
		m.iovecs[i].SetLen(MaxPacket)
	}
	// All happens inside of one Read: it waits whenever the function returns
	// false, and what has come in between ends the wait at once.
	_ = s.raw.Read(func(fd uintptr) bool {
		for errors := 0; errors < maxReadErrors; {
			for i := range m.hdrs {
				h := &m.hdrs[i].hdr
				h.Namelen = unix.SizeofSockaddrInet6
				h.Control = &m.control[i][0]
				h.SetControllen(controlSize)
			}
			r, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&m.hdrs[0])), readBatch, unix.MSG_DONTWAIT, 0, 0)
			n := 0
			switch errno {
			case 0:
				n = int(r)
			case unix.EAGAIN:
				return false
			default:
				errors++ // what an earlier datagram of ours has met, or a signal
				continue
			}
			now := time.Now()
			for i := range n {
				s.take(&m, i, buf[i*MaxPacket:], now, got)
			}
			if n < readBatch {
				return false // all that was there
			}
		}
		return false
	})
}

// take hands over one datagram of a batch.
func (s *kernelSocket) take(m *mmsgs, i int, b []byte, now time.Time, got func([]byte, netip.AddrPort, netip.Addr, time.Time)) {
	h := &m.hdrs[i]
	if h.hdr.Flags&unix.MSG_TRUNC != 0 {
		s.p.counts[TooLong].Add(1)
		return
	}
	from, ok := fromSockaddr(&m.names[i])
	if !ok {
		return
	}
	var local netip.Addr
	if s.any {
		local = destination(m.control[i][:h.hdr.Controllen])
	}
	got(b[:h.n], from, local, now)
}

func fromSockaddr(sa *unix.RawSockaddrInet6) (netip.AddrPort, bool) {
	switch sa.Family {
	case unix.AF_INET:
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), networkOrder(&v4.Port)), true
	case unix.AF_INET6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), networkOrder(&sa.Port)), true
	}
	return netip.AddrPort{}, false
}

// networkOrder reads a port where the kernel has put it.
func networkOrder(port *uint16) uint16 {
	return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(port))[:])
}

// toSockaddr writes an address and returns its length.
func (s *kernelSocket) toSockaddr(sa *unix.RawSockaddrInet6, to netip.AddrPort) uint32 {
	port := &sa.Port
	length := uint32(unix.SizeofSockaddrInet6)
	if s.v6 {
		*sa = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: to.Addr().As16()}
	} else {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		*v4 = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: to.Addr().As4()}
		port, length = &v4.Port, unix.SizeofSockaddrInet4
	}
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(port))[:], to.Port())
	return length
}

// destination finds in control messages which of our addresses a datagram was
// sent to.
func destination(control []byte) netip.Addr {
	for len(control) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
		size := int(h.Len)
		if size < unix.SizeofCmsghdr || size > len(control) {
			break
		}
		data := control[unix.CmsgLen(0):size]
		switch {
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			return netip.AddrFrom16([16]byte(data[:16])).Unmap()
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			return netip.AddrFrom4([4]byte(data[8:12]))
		}
		control = control[min(unix.CmsgSpace(len(data)), len(control)):]
	}
	return netip.Addr{}
}

// appendSource appends the control message that says which of our addresses a
// datagram comes from.
func (s *kernelSocket) appendSource(b []byte, local netip.Addr) []byte {
	switch {
	case !s.any || !local.IsValid() || local.IsMulticast():
	case s.v6:
		var info unix.Inet6Pktinfo
		info.Addr = local.As16()
		b = appendControl(b, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, unsafe.Slice((*byte)(unsafe.Pointer(&info)), unix.SizeofInet6Pktinfo))
	default:
		var info unix.Inet4Pktinfo
		info.Spec_dst = local.As4()
		b = appendControl(b, unix.IPPROTO_IP, unix.IP_PKTINFO, unsafe.Slice((*byte)(unsafe.Pointer(&info)), unix.SizeofInet4Pktinfo))
	}
	return b
}

// appendSplit appends the control message that says how long the packets of a
// run are.
func appendSplit(b []byte, size int) []byte {
	n := uint16(size)
	return appendControl(b, unix.IPPROTO_UDP, unix.UDP_SEGMENT, unsafe.Slice((*byte)(unsafe.Pointer(&n)), 2))
}

func appendControl(b []byte, level, typ int32, data []byte) []byte {
	at := len(b)
	b = b[:at+unix.CmsgSpace(len(data))]
	clear(b[at:])
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[at]))
	h.Level, h.Type = level, typ
	h.SetLen(unix.CmsgLen(len(data)))
	copy(b[at+unix.CmsgLen(0):], data)
	return b
}

// send sends one datagram.
func (s *kernelSocket) send(b []byte, to netip.AddrPort, local netip.Addr) error {
	if !s.v6 && !to.Addr().Is4() {
		return errors.ErrUnsupported
	}
	var control [controlSize]byte
	_, _, err := s.conn.WriteMsgUDPAddrPort(b, s.appendSource(control[:0], local), to)
	if err != nil {
		s.p.counts[SendFailed].Add(1)
	}
	return err
}

// A kernelWriter has one sender's buffers.
type kernelWriter struct {
	m     mmsgs
	from  int // messages of hdrs still to be sent
	to    int
	sent  int
	errno syscall.Errno
	try   func(fd uintptr)      // sends, without waiting
	wait  func(fd uintptr) bool // the same; false: wait for the kernel
}

func (w *kernelWriter) init() {
	w.m = newMmsgs(batchMessages)
	w.try = func(fd uintptr) {
		r, _, e := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&w.m.hdrs[w.from])), uintptr(w.to-w.from), unix.MSG_DONTWAIT, 0, 0)
		w.sent, w.errno = int(r), e
	}
	w.wait = func(fd uintptr) bool {
		w.try(fd)
		return w.errno != unix.EAGAIN
	}
}

// sendAll sends messages, all of them for this socket.
func (s *kernelSocket) sendAll(list []message, w *kernelWriter) {
	splits := s.splits.Load()
	for i := range list {
		m := &list[i]
		if !splits && m.count > 1 || !s.v6 && !m.path.remote.Addr().Is4() {
			// One by one, in their order among those to the same client.
			s.sendRange(list, i, w)
			s.p.sendEach(m)
			w.from = i + 1
			continue
		}
		h := &w.m.hdrs[i].hdr
		h.Namelen = s.toSockaddr(&w.m.names[i], m.path.remote)
		w.m.iovecs[i].Base = &m.data[0]
		w.m.iovecs[i].SetLen(len(m.data))
		control := s.appendSource(w.m.control[i][:0], m.path.localAddr())
		if m.count > 1 {
			control = appendSplit(control, m.size)
		}
		h.Control = nil
		if len(control) > 0 {
			h.Control = &w.m.control[i][0]
		}
		h.SetControllen(len(control))
	}
	s.sendRange(list, len(list), w)
	w.from = 0
	for i := range list {
		w.m.iovecs[i].Base = nil
	}
}

// sendRange sends what is prepared from w.from up to a message.
func (s *kernelSocket) sendRange(list []message, to int, w *kernelWriter) {
	for w.to = to; w.from < w.to; {
		// Control, unlike Write, lets several senders use the socket at once.
		if s.raw.Control(w.try) != nil {
			w.from = w.to
			return // closed
		}
		if w.errno == unix.EAGAIN && s.raw.Write(w.wait) != nil {
			w.from = w.to
			return
		}
		switch m := &list[w.from]; {
		case w.errno == 0:
			w.from += max(w.sent, 1)
		case w.errno == unix.EINTR:
		case m.count > 1:
			if w.errno == unix.EIO && s.splits.Swap(false) {
				// The network card leaves checksums to others.
				s.p.log.Info("media is sent without segmentation offload", "err", w.errno)
			}
			s.p.sendEach(m)
			w.from++
		default:
			s.p.counts[SendFailed].Add(1)
			m.path.flow.refused.Add(uint64(m.count))
			w.from++
		}
	}
}
