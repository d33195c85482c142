//go:build !linux

package turn

import "net"

func limitUnsent(net.Conn) {}
