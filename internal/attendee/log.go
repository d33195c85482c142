package attendee

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// A peerLog hands what the WebRTC libraries complain of to slog, for
// debugging.
type peerLog struct {
	log   *slog.Logger
	about string
}

// NewLogger makes the logger of one part of the libraries.
func (l peerLog) NewLogger(about string) logging.LeveledLogger {
	return peerLog{log: l.log, about: about}
}

func (l peerLog) say(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug(l.about + ": " + fmt.Sprintf(format, args...))
	}
}

func (peerLog) Trace(string)                  {}
func (peerLog) Tracef(string, ...any)         {}
func (peerLog) Debug(string)                  {}
func (peerLog) Debugf(string, ...any)         {}
func (peerLog) Info(string)                   {}
func (peerLog) Infof(string, ...any)          {}
func (l peerLog) Warn(m string)               { l.say("%s", m) }
func (l peerLog) Warnf(f string, args ...any) { l.say(f, args...) }
func (l peerLog) Error(m string)              { l.say("%s", m) }
func (l peerLog) Errorf(f string, args ...any) {
	l.say(f, args...)
}
