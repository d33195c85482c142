package link

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// A libraryLog hands what the WebRTC libraries complain of to slog, for
// debugging.
type libraryLog struct {
	log   *slog.Logger
	about string
}

// NewLogger makes the logger of one part of the libraries.
func (l libraryLog) NewLogger(about string) logging.LeveledLogger {
	return libraryLog{log: l.log, about: about}
}

func (l libraryLog) say(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug(l.about + ": " + fmt.Sprintf(format, args...))
	}
}

func (libraryLog) Trace(string)                  {}
func (libraryLog) Tracef(string, ...any)         {}
func (libraryLog) Debug(string)                  {}
func (libraryLog) Debugf(string, ...any)         {}
func (libraryLog) Info(string)                   {}
func (libraryLog) Infof(string, ...any)          {}
func (l libraryLog) Warn(m string)               { l.say("%s", m) }
func (l libraryLog) Warnf(f string, args ...any) { l.say(f, args...) }
func (l libraryLog) Error(m string)              { l.say("%s", m) }
func (l libraryLog) Errorf(f string, args ...any) {
	l.say(f, args...)
}
