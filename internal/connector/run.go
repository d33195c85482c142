package connector

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"belfry.live/belfry/internal/store"
)

// A Report is what a worker tells of its pipeline.
type Report int

// The reports, as they come in a run.
const (
	Live    Report = iota + 1 // the sink takes the stream, or the work goes on
	Lost                      // the sink does not; it is being tried again
	Ended                     // it is done: the meeting has ended, or the pipeline's attendee was removed
	Refused                   // the sink refuses for good
)

const (
	firstWait = 200 * time.Millisecond
	longWait  = 10 * time.Second
	calm      = 20 * time.Second // a run this long makes the next wait the first again
)

// run keeps a worker on the pipeline until the pipeline ends or ctx does. It
// returns at once if the pipeline has one, or waits for its capture to end.
func (s *Service) run(ctx context.Context, id ID) {
	for {
		s.runOnce(ctx, id)
		if p, err := s.Get(ctx, id); err != nil || p.Status != NotStarted || s.capturing(p) {
			return
		} // else its capture ended just now, and found this one running
	}
}

// capturing says whether the capture that a concatenation needs still runs.
func (s *Service) capturing(p Pipeline) bool {
	_, err := s.pipelines.Get(string(p.CaptureID))
	return err == nil
}

func (s *Service) runOnce(ctx context.Context, id ID) {
	log := s.log.With("connector", id)
	workerCtx, stop := context.WithCancel(ctx)
	defer stop()
	if !s.enter(id, stop) {
		return
	}
	defer s.leave(id)
	p, err := s.ready(ctx, id)
	for wait := firstWait; err == nil && (p.Status == Initializing || p.Status == InProgress); p, err = s.Get(ctx, id) {
		started := time.Now()
		if s.work(workerCtx, p, log) {
			break
		}
		if time.Since(started) > calm {
			wait = firstWait
		}
		select {
		case <-time.After(wait):
		case <-workerCtx.Done():
		}
		if ctx.Err() != nil {
			return // the server stops; the next one resumes
		}
		wait = min(2*wait, longWait)
	}
	if ctx.Err() != nil || errors.Is(err, ErrNotFound) {
		return
	}
	if err == nil {
		p, err = s.Get(ctx, id)
	}
	if err == nil && p.Status != Failed && p.Status != NotStarted {
		err = s.forget(ctx, p)
	}
	if err != nil && !errors.Is(err, ErrNotFound) && ctx.Err() == nil {
		log.Error("pipeline's record cannot be put in order", "err", err)
	}
}

// enter notes that the pipeline runs, unless it does so already.
func (s *Service) enter(id ID, stop context.CancelFunc) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stops[id] != nil {
		return false
	}
	s.stops[id] = stop
	return true
}

func (s *Service) leave(id ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.stops, id)
}

// ready returns the pipeline, and has one that waited for its capture begin if
// that is over.
func (s *Service) ready(ctx context.Context, id ID) (Pipeline, error) {
	p, err := s.Get(ctx, id)
	if err != nil || p.Status != NotStarted || s.capturing(p) {
		return p, err
	}
	return s.change(ctx, id, func(p *Pipeline) { p.Status = Initializing })
}

// startWaiting runs the concatenations of a capture that is over.
func (s *Service) startWaiting(ctx context.Context, capture ID) {
	for id, p := range s.pipelines.All("") {
		if p.Kind == Concatenation && p.CaptureID == capture && p.Status == NotStarted && !s.capturing(p) {
			s.begin(ctx, ID(id))
		}
	}
}

// work runs one worker. It tells whether the pipeline is over.
func (s *Service) work(ctx context.Context, p Pipeline, log *slog.Logger) (over bool) {
	run := s.workOf(p.Kind)
	if run == nil {
		s.tell(ctx, p.ID, log, func(p *Pipeline) {
			p.Status, p.Cause = Failed, string(p.Kind)+" pipelines are "+ErrNotAvailable.Error()
		})
		return true
	}
	var as Invitation
	var err error
	if p.Kind != Concatenation {
		as, err = s.meetings.Invite(ctx, p.Account, p.MeetingID, externalUserID(p.ID))
	}
	if errors.Is(err, ErrMeetingNotFound) {
		log.Info("pipeline ends: its meeting has ended")
		return true
	}
	if err == nil {
		err = run(ctx, p, as, func(r Report) {
			switch r {
			case Live:
				s.tell(ctx, p.ID, log, func(p *Pipeline) { p.Status, p.Lost = InProgress, false })
			case Lost:
				log.Warn("sink is lost, trying again", "remote", p.SinkURL.String())
				s.tell(ctx, p.ID, log, func(p *Pipeline) { p.Lost = true })
			case Ended:
				log.Info("pipeline ends: its work is done")
				over = true
			case Refused:
				s.tell(ctx, p.ID, log, func(p *Pipeline) { p.Status, p.Cause = Failed, "the sink refuses the stream" })
				over = true
			}
		})
	}
	switch {
	case ctx.Err() != nil || over:
	case err != nil:
		log.Error("pipeline's worker ended, starting it again", "err", err)
		s.tell(ctx, p.ID, log, func(p *Pipeline) { p.Lost = p.Lost || p.Status == InProgress })
	default:
		log.Warn("pipeline's worker ended without a reason, starting it again")
	}
	return over
}

// tell changes what the record says of a pipeline at work.
func (s *Service) tell(ctx context.Context, id ID, log *slog.Logger, f func(*Pipeline)) {
	var before Pipeline
	after, err := s.change(ctx, id, func(p *Pipeline) {
		before = *p
		f(p)
	})
	switch {
	case errors.Is(err, ErrNotFound), ctx.Err() != nil: // deleted meanwhile, or about to end
	case err != nil:
		log.Error("pipeline's status cannot be written", "err", err)
	case after.Status == before.Status:
	case after.Status == Failed:
		log.Error("pipeline failed", "err", after.Cause)
	default:
		log.Info("pipeline is now " + string(after.Status))
	}
}

// change changes a pipeline and writes down what happened by that. One that is
// over stays as it is, but for being stopped after it failed.
func (s *Service) change(ctx context.Context, id ID, f func(*Pipeline)) (Pipeline, error) {
	var before, after Pipeline
	_, err := s.pipelines.Update(ctx, string(id), func(p *Pipeline) error {
		before = p.clone()
		f(p)
		after = *p
		stops := before.Status == Failed && after.Status == Stopping
		if before.over() && !stops {
			after = before
		}
		if after.Status == before.Status && after.Lost == before.Lost {
			return errNoChange
		}
		p.Updated = time.Now().UTC()
		after = *p
		return nil
	})
	if errors.Is(err, errNoChange) {
		return before, nil
	}
	if err != nil {
		return Pipeline{}, notFound(err)
	}
	return after, s.record(ctx, after, between(before, after))
}

// errNoChange ends a change that has nothing to write.
var errNoChange = errors.New("connector: nothing to change")

// forget removes a pipeline that is over: its token is remembered as spent, and
// what it captured, and last goes its record, so that a crash on the way
// leaves something to finish.
func (s *Service) forget(ctx context.Context, p Pipeline) error {
	if p.RequestToken != "" {
		if _, err := s.spent.Put(ctx, tokenKey(p.Spec), []byte(p.ID)); err != nil {
			return err
		}
	}
	if p.Kind == Capture {
		if err := s.remember(ctx, p); err != nil {
			return err
		}
	}
	if err := s.tellDeleted(ctx, p); err != nil {
		return err
	}
	if _, err := s.pipelines.Delete(ctx, string(p.ID), nil); err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	s.mu.Lock()
	delete(s.told, p.ID)
	s.mu.Unlock()
	if p.Kind == Capture {
		s.startWaiting(ctx, p.ID)
	}
	return nil
}

// tellDeleted tells once that the pipeline is gone, however often it is tried:
// what could not be written is in the box.
func (s *Service) tellDeleted(ctx context.Context, p Pipeline) error {
	s.mu.Lock()
	told := s.told[p.ID]
	s.told[p.ID] = true
	s.mu.Unlock()
	if told {
		return s.events.Settle(ctx, string(p.ID))
	}
	return s.record(ctx, p, Deleted)
}

// sweepEvery is how often pipelines are looked at that nobody runs.
const sweepEvery = 30 * time.Second

// sweep removes pipelines that failed, once their meeting has ended, and those
// whose end could not be written down.
func (s *Service) sweep(ctx context.Context) {
	for {
		for id, p := range s.pipelines.All("") {
			if !s.isOver(ctx, p) || !s.enter(ID(id), func() {}) {
				continue
			}
			if err := s.forget(ctx, p); err != nil && ctx.Err() == nil {
				s.log.Error("a pipeline that is over cannot be removed", "connector", p.ID, "err", err)
			}
			s.leave(ID(id))
		}
		select {
		case <-time.After(sweepEvery):
		case <-ctx.Done():
			return
		}
	}
}

// isOver says whether nobody needs the pipeline any more.
func (s *Service) isOver(ctx context.Context, p Pipeline) bool {
	if p.Status != Failed || p.Kind == Concatenation {
		return p.Status == Stopping
	}
	_, err := s.meetings.Find(ctx, p.Account, p.MeetingID)
	return errors.Is(err, ErrMeetingNotFound)
}
