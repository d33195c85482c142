package channel

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"belfry.live/belfry/internal/channel/ticket"
	"belfry.live/belfry/internal/store"
)

// ErrTooManyRevocations says that no more revocations can be remembered for
// now.
var ErrTooManyRevocations = errors.New("as many viewers are revoked as this server remembers")

// revocationLife is how long a revocation is remembered. By then every session
// that it ended is too old anyway, and so is every token that was signed before
// it: those that name a viewer live for minutes.
const revocationLife = ticket.SessionLife + ticket.TokenLead + 2*ticket.ClockSkew

// A revocation ends the sessions of one viewer of one channel. It does not
// say who that is.
type revocation struct {
	UpTo int64 // the highest version that it ends
	Made time.Time
}

func revocationKey(id ID, viewer ticket.Viewer) string {
	return string(id) + "/" + hex.EncodeToString(viewer[:])
}

// RevokeViewer ends the sessions of the viewer whose version is at most
// version, at their next request, and lets none begin. It returns ErrNotFound,
// an InvalidError or ErrTooManyRevocations.
func (s *Service) RevokeViewer(ctx context.Context, id ID, viewerID string, version int64) error {
	if n := utf8.RuneCountInString(viewerID); n < 1 || n > ticket.MaxViewerID {
		return invalid("viewerId", "has %d characters, want 1 to %d", n, ticket.MaxViewerID)
	}
	if version < 0 {
		return invalid("viewerSessionVersionsLessThanOrEqualTo", "is %d, want at least 0", version)
	}
	if _, err := s.Get(ctx, id); err != nil {
		return err
	}
	at := revocationKey(id, ticket.ViewerOf(viewerID))
	made := revocation{UpTo: version, Made: time.Now().UTC()}
	revoked := s.viewing.revocations
	for {
		_, err := revoked.Update(ctx, at, func(r *revocation) error {
			*r = revocation{max(r.UpTo, made.UpTo), made.Made}
			return nil
		})
		if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if limit := s.cfg.MaxRevocations; revoked.Len() >= limit {
			return fmt.Errorf("%w: %d", ErrTooManyRevocations, limit)
		}
		if err := revoked.Create(ctx, at, made); !errors.Is(err, store.ErrExists) {
			return err
		}
	}
}

// Revoked tells whether the viewer's sessions of that version are ended.
func (s *Service) Revoked(id ID, viewer ticket.Viewer, version int64) bool {
	if s.viewing.revocations.Len() == 0 {
		return false
	}
	r, err := s.viewing.revocations.Get(revocationKey(id, viewer))
	return err == nil && version <= r.UpTo && time.Since(r.Made) < revocationLife
}
