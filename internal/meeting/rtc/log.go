package rtc

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// A pionLog passes what the libraries below have to say on to slog, as
// debugging help: what an operator should know, this package logs itself.
type pionLog struct {
	log   *slog.Logger
	scope string
}

func newPionLog(log *slog.Logger) pionLog { return pionLog{log: log} }

func (l pionLog) NewLogger(scope string) logging.LeveledLogger {
	return pionLog{log: l.log, scope: scope}
}

func (l pionLog) write(msg string) {
	l.log.Debug(l.scope + ": " + msg)
}

func (l pionLog) writef(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.write(fmt.Sprintf(format, args...))
	}
}

func (pionLog) Trace(string)                     {}
func (pionLog) Tracef(string, ...any)            {}
func (pionLog) Debug(string)                     {}
func (pionLog) Debugf(string, ...any)            {}
func (pionLog) Info(string)                      {}
func (pionLog) Infof(string, ...any)             {}
func (l pionLog) Warn(msg string)                { l.write(msg) }
func (l pionLog) Warnf(format string, a ...any)  { l.writef(format, a...) }
func (l pionLog) Error(msg string)               { l.write(msg) }
func (l pionLog) Errorf(format string, a ...any) { l.writef(format, a...) }
