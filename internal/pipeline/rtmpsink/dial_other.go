//go:build !linux

package rtmpsink

import (
	"syscall"
	"time"
)

func dialControl(time.Duration) func(network, address string, c syscall.RawConn) error { return nil }
