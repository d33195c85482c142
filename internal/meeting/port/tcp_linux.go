package port

import (
	"net"

	"golang.org/x/sys/unix"
)

// setUnsent bounds what the kernel takes beyond what is on its way, so that
// what waits does so where the order can still be changed.
func setUnsent(c *net.TCPConn, n int) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, n)
	})
}
