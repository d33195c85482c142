package connector

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"belfry.live/belfry/internal/store"
)

// tokenLife is how long the token of a pipeline that is gone is remembered.
const tokenLife = 24 * time.Hour

// Create makes a pipeline and starts it. The same token while the pipeline
// runs gives the same pipeline.
func (s *Service) Create(ctx context.Context, spec Spec) (Pipeline, error) {
	if spec.Kind == "" {
		spec.Kind = LiveConnector
	}
	if p, ok := s.withToken(spec); ok {
		return s.same(ctx, p, spec)
	}
	m, err := s.check(ctx, spec)
	if err != nil {
		return Pipeline{}, err
	}
	if s.workOf(spec.Kind) == nil {
		return Pipeline{}, fmt.Errorf("%s pipelines are %w", spec.Kind, ErrNotAvailable)
	}
	p, isNew, err := s.make(ctx, spec, m)
	if err != nil {
		return Pipeline{}, err
	}
	if !isNew {
		return s.same(ctx, p, spec)
	}
	if p.Status == NotStarted {
		s.startWaiting(ctx, spec.CaptureID) // which may have ended meanwhile
		return p, nil
	}
	s.begin(ctx, p.ID)
	return p, nil
}

// begin has Run run the pipeline. Its record stands: if the server ends first,
// the next one's Run resumes it.
func (s *Service) begin(ctx context.Context, id ID) {
	select {
	case s.start <- id:
	case <-ctx.Done():
	}
}

// same answers with the pipeline that the token was used for.
func (s *Service) same(ctx context.Context, p Pipeline, spec Spec) (Pipeline, error) {
	if p.Kind != spec.Kind {
		return Pipeline{}, fmt.Errorf("%w: %s", ErrTokenTaken, p.Kind)
	}
	return p, s.events.Settle(ctx, string(p.ID))
}

// check says whether there is what the pipeline is to work on.
func (s *Service) check(ctx context.Context, spec Spec) (Meeting, error) {
	if spec.Kind != Concatenation {
		return s.meetings.Find(ctx, spec.Account, spec.MeetingID)
	}
	source, err := s.captured(ctx, spec)
	return source.Meeting, err
}

// make writes a new pipeline's record, or returns the one that its token was
// used for meanwhile.
func (s *Service) make(ctx context.Context, spec Spec, m Meeting) (p Pipeline, isNew bool, err error) {
	s.creating.Lock()
	defer s.creating.Unlock()
	if p, ok := s.withToken(spec); ok {
		return p, false, nil
	}
	if err := s.mayCreate(ctx, spec); err != nil {
		return Pipeline{}, false, err
	}
	now := time.Now().UTC()
	p = Pipeline{ID: ID(uuid.NewString()), Created: now, Updated: now, Status: Initializing, Meeting: m, Spec: spec}
	switch spec.Kind {
	case Concatenation:
		if s.capturing(p) {
			p.Status = NotStarted
		}
	default:
		if _, err := s.meetings.Invite(ctx, spec.Account, spec.MeetingID, externalUserID(p.ID)); err != nil {
			return Pipeline{}, false, err
		}
	}
	return p, true, s.pipelines.Create(ctx, string(p.ID), p)
}

// mayCreate is called with creating held.
func (s *Service) mayCreate(ctx context.Context, spec Spec) error {
	n := 0
	for _, p := range s.pipelines.All("") {
		if p.Account == spec.Account && p.Status != Failed {
			n++
		}
	}
	if n >= s.cfg.MaxPipelines {
		return fmt.Errorf("%w: %d", ErrTooMany, s.cfg.MaxPipelines)
	}
	if spec.Kind != Concatenation {
		if _, other, err := s.pipelines.Find(meetingWord(spec)); err == nil {
			return fmt.Errorf("%w: %s %s", ErrMeetingTaken, spec.Kind, other.ID)
		}
	}
	if spec.RequestToken == "" {
		return nil
	}
	_, err := s.spent.Get(ctx, tokenKey(spec))
	switch {
	case err == nil:
		return ErrTokenSpent
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	return nil
}

// workOf returns what runs pipelines of the kind, nil if nothing does.
func (s *Service) workOf(k Kind) Work {
	switch k {
	case Capture:
		return s.cfg.Capture
	case Concatenation:
		return s.cfg.Concatenate
	default:
		return s.cfg.Work
	}
}

// words are those by which a pipeline is found that is not over: by its
// meeting, which may have one of each kind, and by its token. One that is being
// stopped is in nobody's way: its worker ends while another begins.
func words(p Pipeline) []string {
	if p.over() {
		return nil
	}
	var all []string
	if p.Kind != Concatenation {
		all = append(all, meetingWord(p.Spec))
	}
	if p.RequestToken != "" {
		all = append(all, "token "+tokenKey(p.Spec))
	}
	return all
}

func meetingWord(spec Spec) string { return string(spec.Kind) + " of " + spec.MeetingID }

func (s *Service) withToken(spec Spec) (Pipeline, bool) {
	if spec.RequestToken == "" {
		return Pipeline{}, false
	}
	_, p, err := s.pipelines.Find("token " + tokenKey(spec))
	return p, err == nil
}

// tokenKey hashes, because a token may hold characters a key may not.
func tokenKey(spec Spec) string {
	sum := sha256.Sum256([]byte(spec.Account + "\n" + spec.Region + "\n" + spec.RequestToken))
	return hex.EncodeToString(sum[:])
}

// externalUserID is the name by which clients know to hide the attendee.
func externalUserID(id ID) string { return "aws:MediaPipeline-" + string(id) }
