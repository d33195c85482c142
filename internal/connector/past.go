package connector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// captureLife is how long after its beginning a capture may be concatenated.
const captureLife = 30 * 24 * time.Hour

// A pastCapture is what is kept of a capture that is over.
type pastCapture struct {
	Account string
	Region  string
	Created time.Time
	SinkARN string
	Meeting Meeting
}

// remember keeps a capture for later concatenations.
func (s *Service) remember(ctx context.Context, p Pipeline) error {
	value, err := json.Marshal(pastCapture{p.Account, p.Region, p.Created, p.SinkARN, p.Meeting})
	if err != nil {
		return fmt.Errorf("keep capture %s: %w", p.ID, err)
	}
	_, err = s.captures.Put(ctx, string(p.ID), value)
	return err
}

// captured returns the capture that a concatenation is to join the pieces of,
// running or over, or ErrNoCapture.
func (s *Service) captured(ctx context.Context, spec Spec) (pastCapture, error) {
	none := fmt.Errorf("%w: %s", ErrNoCapture, spec.CaptureID)
	p, err := s.Get(ctx, spec.CaptureID)
	c := pastCapture{p.Account, p.Region, p.Created, p.SinkARN, p.Meeting}
	if errors.Is(err, ErrNotFound) {
		c, err = s.past(ctx, spec.CaptureID)
	} else if err == nil && p.Kind != Capture {
		return pastCapture{}, none
	}
	switch {
	case errors.Is(err, ErrNotFound):
		return pastCapture{}, none
	case err != nil:
		return pastCapture{}, err
	case c.Account != spec.Account || c.Region != spec.Region || time.Since(c.Created) > captureLife:
		return pastCapture{}, none
	}
	return c, nil
}

func (s *Service) past(ctx context.Context, id ID) (c pastCapture, err error) {
	if uuid.Validate(string(id)) != nil {
		return c, ErrNotFound
	}
	r, err := s.captures.Get(ctx, string(id))
	if err != nil {
		return c, notFound(err)
	}
	if err := json.Unmarshal(r.Value, &c); err != nil {
		return c, fmt.Errorf("read capture %s: %w", id, err)
	}
	return c, nil
}
