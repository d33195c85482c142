//go:build !linux

package port

import (
	"errors"
	"net"
	"syscall"
)

// A kernelWriter is not needed without batches.
type kernelWriter struct{}

func (*kernelWriter) init() {}

func (p *Port) newSocket(c *net.UDPConn) (socket, error) {
	return &plainSocket{conn: c, p: p}, nil
}

func shareAddress(string, string, syscall.RawConn) error {
	return errors.New("several readers are not supported on this system")
}
