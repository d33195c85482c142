package liveconnector

import (
	"log/slog"
	"sync/atomic"
)

// counts are what went wrong, by kind, since the start.
type counts struct {
	framesSkipped  atomic.Uint64 // of the output, for lack of time
	videoLost      atomic.Uint64 // RTP packets
	videoDropped   atomic.Uint64 // frames
	decodeErrors   atomic.Uint64 // frames
	soundConcealed atomic.Uint64 // samples
	soundLate      atomic.Uint64 // samples that came after they were made up for
	soundErrors    atomic.Uint64 // packets
	soundMoved     atomic.Uint64 // times the sound got another place
}

// A reading is the counts at one moment.
type reading [8]uint64

var countNames = [len(reading{})]string{
	"frames_skipped", "video_packets_lost", "video_frames_dropped", "video_decode_errors",
	"sound_samples_concealed", "sound_samples_late", "sound_decode_errors", "sound_moved",
}

func (c *counts) read() reading {
	return reading{
		c.framesSkipped.Load(), c.videoLost.Load(), c.videoDropped.Load(), c.decodeErrors.Load(),
		c.soundConcealed.Load(), c.soundLate.Load(), c.soundErrors.Load(), c.soundMoved.Load(),
	}
}

// logSince logs what has moved since the reading before, if anything, and
// returns the new one.
func (c *counts) logSince(before reading, log *slog.Logger) reading {
	now := c.read()
	if now == before {
		return now
	}
	var moved []any
	for i, n := range now {
		if n != before[i] {
			moved = append(moved, slog.Uint64(countNames[i], n-before[i]))
		}
	}
	log.Warn("media was lost or late in the last second", moved...)
	return now
}
