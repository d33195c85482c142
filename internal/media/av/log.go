package av

// #include "av.h"
// #include <libavutil/log.h>
import "C"

import (
	"log/slog"
	"strings"
	"sync"
	"time"
)

// linesPerSecond bounds what FFmpeg may log: strangers' bytes could make it
// complain about every frame.
const linesPerSecond = 5

// logging is the way out of FFmpeg, whose log is one for the whole process.
var logging struct {
	mu      sync.Mutex
	log     *slog.Logger
	since   time.Time // start of the current second
	lines   int       // in the current second
	dropped int       // since the last line
}

func init() { C.bf_log_install(C.AV_LOG_WARNING) }

// SetLogger hands FFmpeg's warnings and errors to log, as Debug, since a
// damaged frame is everyday life; nil, as at the start, discards them. FFmpeg
// has a single log, so the last call holds for the whole process.
func SetLogger(log *slog.Logger) {
	logging.mu.Lock()
	defer logging.mu.Unlock()
	logging.log, logging.lines, logging.dropped = log, 0, 0
}

//export belfryAVLog
func belfryAVLog(line *C.char, size C.int) {
	text := strings.TrimSpace(C.GoStringN(line, size))
	now := time.Now()

	logging.mu.Lock()
	if now.Sub(logging.since) >= time.Second {
		logging.since, logging.lines = now, 0
	}
	log, dropped := logging.log, logging.dropped
	if log == nil || logging.lines >= linesPerSecond {
		logging.dropped++
		logging.mu.Unlock()
		return
	}
	logging.lines++
	logging.dropped = 0
	logging.mu.Unlock()

	log.Debug("ffmpeg: "+text, "dropped", dropped)
}
