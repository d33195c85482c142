//go:build !linux

package port

import "net"

func setUnsent(*net.TCPConn, int) {}
