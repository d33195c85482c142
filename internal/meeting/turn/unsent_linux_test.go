package turn

import (
	"crypto/tls"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

func TestUnsentIsLimited(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, secured := range []bool{false, true} {
		plain, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer plain.Close()
		conn := plain
		if secured {
			conn = tls.Server(plain, &tls.Config{})
		}
		limitUnsent(conn)
		raw, err := plain.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var got int
		if err := raw.Control(func(fd uintptr) {
			got, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT)
		}); err != nil || got != maxUnsent {
			t.Errorf("TLS %v: got %d (%v), want %d", secured, got, err, maxUnsent)
		}
	}
}
