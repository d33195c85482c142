package link

import (
	"encoding/binary"
	"net"
	"syscall"
	"time"
	"unsafe"
)

const (
	// maxWaited bounds how long ago the kernel may say that a datagram came;
	// more is a clock that was set.
	maxWaited = 2 * time.Second

	// receiveBuffer is what the kernel is asked to hold while this process is
	// kept from running.
	receiveBuffer = 1 << 20

	// controlSize has room for a control message with a timestamp.
	controlSize = 64
)

// stampArrivals has the kernel say when datagrams came, so that one which
// waited for this process to run is not taken for late.
func stampArrivals(c *net.UDPConn) {
	_ = c.SetReadBuffer(receiveBuffer) // as much as it grants
	raw, err := c.SyscallConn()
	if err != nil {
		return // then arrivals are when they are read
	}
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_TIMESTAMPNS, 1)
	})
}

// arrivalOf reads the kernel's time in a control message (socket(7)).
func arrivalOf(control []byte, now time.Time) time.Time {
	const header = int(unsafe.Sizeof(syscall.Cmsghdr{}))
	if len(control) < header+16 {
		return now
	}
	h := (*syscall.Cmsghdr)(unsafe.Pointer(&control[0]))
	if h.Level != syscall.SOL_SOCKET || h.Type != syscall.SCM_TIMESTAMPNS {
		return now
	}
	seconds := binary.NativeEndian.Uint64(control[header:])
	nanos := binary.NativeEndian.Uint64(control[header+8:])
	waited := time.Duration(now.UnixNano() - int64(seconds*1e9+nanos))
	if waited < 0 || waited > maxWaited {
		return now
	}
	return now.Add(-waited)
}
