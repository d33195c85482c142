// Package clip plays recorded and made-up media to whoever sends it: IVF files
// of VP8, Annex B files of H.264 and Ogg files of Opus come in and frames go
// out, each at the time it is due, and so do the packets of a tone. Sending them
// is left to the caller. Tests and load generators have their cameras and
// microphones here.
package clip

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Limits of files.
const (
	maxFrame  = 4 << 20 // bytes
	maxFrames = 1 << 20
)

// ErrFormat says that a file is not what it should be.
var ErrFormat = errors.New("clip is malformed")

func formatError(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrFormat}, args...)...)
}

// A Frame is one picture as it is sent.
type Frame struct {
	Time     time.Duration // from the clip's start
	KeyFrame bool
	Data     []byte // a VP8 frame, an access unit in Annex B form, an Opus packet
}

// A Clip is a run of frames that may be played over and over.
type Clip struct {
	Frames []Frame       // by time, the first a key frame
	Length time.Duration // from the first frame to when it comes again
}

// Play sends the clip's frames over and over, the first one at start, until
// ctx ends (then it returns nil) or send fails. A signal on restart makes it go
// on with the first frame, which is a key frame.
func (c *Clip) Play(ctx context.Context, start time.Time, restart <-chan struct{}, send func(frame []byte, at time.Time) error) error {
	if len(c.Frames) == 0 || c.Length <= 0 {
		return formatError("no frames")
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	i := 0
	for {
		at := start.Add(c.Frames[i].Time)
		timer.Reset(time.Until(at))
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-restart:
			// From its beginning, at the time that is due now.
			start, i = at, 0
			continue
		}
		if err := send(c.Frames[i].Data, at); err != nil {
			return err
		}
		if i++; i == len(c.Frames) {
			start, i = start.Add(c.Length), 0
		}
	}
}
