package channel

import (
	"errors"
	"time"

	"golang.org/x/time/rate"
)

// Errors of timed metadata.
var (
	ErrMetadataTooFast     = errors.New("timed metadata comes faster than 5 a second, the limit of a channel")
	ErrMetadataUnavailable = errors.New("timed metadata is not available on this server")
)

const (
	// MaxMetadata is how long a text of timed metadata may be, in bytes.
	MaxMetadata  = 1 << 10
	metadataRate = 5 // a second, of one channel
)

// PutMetadata is to give the viewers of the owner's channel a text along with
// the media that comes in now. It returns ErrNotFound, an InvalidError,
// ErrNotBroadcasting, ErrMetadataTooFast, and where all is well
// ErrMetadataUnavailable: nothing carries the text to the viewers yet.
func (s *Service) PutMetadata(o Owner, id ID, text string) error {
	if _, err := s.Find(o, id); err != nil {
		return err
	}
	if n := len(text); n > MaxMetadata {
		return invalid("metadata", "must have 1 to %d bytes in UTF-8, got %d", MaxMetadata, n)
	}
	l := s.findLive(id)
	if l == nil {
		return ErrNotBroadcasting
	}
	defer l.mu.Unlock()
	now := time.Now()
	if !l.on(now) {
		return ErrNotBroadcasting
	}
	if l.metadata == nil {
		l.metadata = rate.NewLimiter(metadataRate, metadataRate)
	}
	if !l.metadata.AllowN(now, 1) {
		return ErrMetadataTooFast
	}
	return ErrMetadataUnavailable
}
