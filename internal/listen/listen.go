// Package listen takes connections off a listener for as long as its owner
// wants, and rides out what passes. What a connection is for is its taker's
// business.
package listen

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"
)

// After an error that may pass, such as having no file descriptor left, the
// next attempt waits, longer every time.
const (
	firstPause = 5 * time.Millisecond
	longPause  = time.Second
)

// Each hands the listener's connections to take, which must not block, until
// ctx ends, and closes the listener. It returns nil then, or net.ErrClosed if
// somebody else closes the listener.
func Each(ctx context.Context, l net.Listener, log *slog.Logger, take func(net.Conn)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	for pause := time.Duration(0); ; {
		conn, err := l.Accept()
		switch {
		case err == nil:
			pause = 0
			take(conn)
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		default:
			pause = min(max(2*pause, firstPause), longPause)
			log.Warn("cannot take a connection", "addr", l.Addr(), "err", err)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				l.Close()
				return nil
			}
		}
	}
}
