package attendee

import (
	"errors"
	"fmt"

	"belfry.live/belfry/internal/wire/chime"
)

// errServer is a fault of the server's that a new attempt may get past.
var errServer = errors.New("the meeting reports a fault")

// envelopeError is what the error of a frame means.
func envelopeError(f *chime.ErrorFrame) error {
	status := f.GetStatus()
	var kind error
	switch {
	case status == 0, status >= 200 && status < 300:
		return nil // 206 too: too many cameras are on, the rest goes on
	case status == 409, status == 509:
		kind = ErrFull
	case status >= 500 && status < 600:
		kind = errServer
	default:
		kind = ErrRefused
	}
	return fmt.Errorf("%w: status %d %q", kind, status, f.GetDescription())
}

// audioStatus is what an AUDIO_STATUS frame means.
func audioStatus(f *chime.AudioStatusFrame) error {
	status := f.GetAudioStatus()
	var kind error
	switch {
	case status >= 200 && status < 300, status == 302:
		return nil
	case status == 301:
		kind = ErrJoinedElsewhere
	case status == 409:
		kind = ErrFull
	case status == 410:
		kind = ErrEnded
	case status == 411:
		kind = ErrRemoved
	case status == 500, status == 503:
		kind = errServer
	default:
		kind = ErrRefused
	}
	return fmt.Errorf("%w: audio status %d", kind, status)
}
