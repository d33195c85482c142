package connector

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"belfry.live/belfry/internal/store"
)

// Config says what the service may do and how it does it.
type Config struct {
	Account      string // of records that do not say whose they are
	MaxPipelines int    // 0: 100
	// Work runs one worker on the pipeline until it is done or ctx ends; it
	// reports how the pipeline is. A nil error means that it is done (see
	// Ended) or that ctx ended; any other, that it should be run again.
	Work func(ctx context.Context, p Pipeline, as Invitation, report func(Event)) error
}

// Meetings invites live connectors to meetings.
type Meetings interface {
	// Invite makes (or finds) the attendee of that name in the account's
	// meeting, or returns ErrMeetingNotFound.
	Invite(ctx context.Context, account, meetingID, externalUserID string) (Invitation, error)
}

// An Invitation is what a live connector needs to join a meeting.
type Invitation struct {
	SignalingURL   string
	AttendeeID     string
	ExternalUserID string
	JoinToken      string
}

// An Event is what a worker tells of its pipeline.
type Event int

// The events, as they come in a run.
const (
	Live    Event = iota + 1 // the sink takes the stream
	Lost                     // the sink does not; it is being tried again
	Ended                    // the meeting has ended, or the pipeline's attendee was removed
	Refused                  // the sink refuses for good
)

const (
	tokenLife = 24 * time.Hour // how long the token of a pipeline that is gone is remembered
	firstWait = 200 * time.Millisecond
	longWait  = 10 * time.Second
	calm      = 20 * time.Second // a run this long makes the next wait the first again
)

// A Service keeps the pipelines' records and one worker running for each.
type Service struct {
	cfg      Config
	meetings Meetings
	log      *slog.Logger

	pipelines store.Table // by pipeline id
	claims    store.Table // meeting id -> id of its one pipeline
	spent     store.Table // hash of region and token of pipelines that are gone

	start chan ID // to Run

	mu    sync.Mutex
	stops map[ID]context.CancelFunc // of those that run; guarded by mu
}

// New opens the service's tables. Nothing runs before Run.
func New(ctx context.Context, cfg Config, tables store.Tables, meetings Meetings, log *slog.Logger) (*Service, error) {
	cfg.MaxPipelines = cmp.Or(cfg.MaxPipelines, 100)
	s := &Service{cfg: cfg, meetings: meetings, log: log, start: make(chan ID), stops: map[ID]context.CancelFunc{}}
	for _, t := range []struct {
		table *store.Table
		name  string
		ttl   time.Duration
	}{
		{&s.pipelines, "pipelines", 0},
		{&s.claims, "pipeline-claims", 0},
		{&s.spent, "pipeline-tokens", tokenLife},
	} {
		var err error
		if *t.table, err = tables.Table(ctx, t.name, store.TableConfig{TTL: t.ttl}); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Run resumes the pipelines of before and runs all that come, until ctx ends
// and their workers have finished.
func (s *Service) Run(ctx context.Context) error {
	var workers sync.WaitGroup
	defer workers.Wait()
	records, err := s.pipelines.List(ctx, "")
	if ctx.Err() != nil {
		return nil // stopped while it starts
	}
	if err != nil {
		return fmt.Errorf("list the pipelines to resume: %w", err)
	}
	for _, r := range records {
		workers.Go(func() { s.run(ctx, ID(r.Key)) })
	}
	for {
		select {
		case id := <-s.start:
			workers.Go(func() { s.run(ctx, id) })
		case <-ctx.Done():
			return nil
		}
	}
}

// Create makes a pipeline and starts it. The same token while the pipeline
// runs gives the same pipeline.
func (s *Service) Create(ctx context.Context, spec Spec) (Pipeline, error) {
	active, err := s.all(ctx)
	if err != nil {
		return Pipeline{}, err
	}
	if p, ok := withToken(active, spec); ok {
		return p, nil
	}
	if len(active) >= s.cfg.MaxPipelines {
		return Pipeline{}, fmt.Errorf("%w: %d", ErrTooMany, s.cfg.MaxPipelines)
	}
	if spec.RequestToken != "" {
		switch _, err := s.spent.Get(ctx, tokenKey(spec)); {
		case err == nil:
			return Pipeline{}, ErrTokenSpent
		case !errors.Is(err, store.ErrNotFound):
			return Pipeline{}, err
		}
	}
	now := time.Now().UTC()
	p := Pipeline{ID: ID(uuid.NewString()), Created: now, Updated: now, Status: Initializing, Spec: spec}
	if _, err := s.meetings.Invite(ctx, spec.Account, spec.MeetingID, externalUserID(p.ID)); err != nil {
		return Pipeline{}, err
	}
	if err := s.claim(ctx, spec.MeetingID, p.ID); err != nil {
		if !errors.Is(err, ErrMeetingTaken) || spec.RequestToken == "" {
			return Pipeline{}, err
		}
		// The same request, sent twice at once, finds its twin.
		if active, listErr := s.all(ctx); listErr == nil {
			if twin, ok := withToken(active, spec); ok {
				return twin, nil
			}
		}
		return Pipeline{}, err
	}
	value, err := json.Marshal(p)
	if err != nil {
		return Pipeline{}, fmt.Errorf("marshal the pipeline: %w", err)
	}
	if _, err := s.pipelines.Create(ctx, string(p.ID), value); err != nil {
		return Pipeline{}, err
	}
	select {
	case s.start <- p.ID:
	case <-ctx.Done(): // the record stands: the next Run resumes it
	}
	return p, nil
}

// claim takes the meeting for the pipeline. A claim whose pipeline is gone or
// failed (or was never written) is taken over.
func (s *Service) claim(ctx context.Context, meeting string, id ID) error {
	for {
		_, err := s.claims.Create(ctx, meeting, []byte(id))
		if !errors.Is(err, store.ErrExists) {
			return err
		}
		held, err := s.claims.Get(ctx, meeting)
		if errors.Is(err, store.ErrNotFound) {
			continue // let go in between
		}
		if err != nil {
			return err
		}
		switch holder, err := s.Get(ctx, ID(held.Value)); {
		case err == nil && holder.Status != Failed:
			return ErrMeetingTaken
		case err != nil && !errors.Is(err, ErrNotFound):
			return err
		}
		_, err = s.claims.Update(ctx, meeting, []byte(id), held.Revision)
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

// Get returns the pipeline.
func (s *Service) Get(ctx context.Context, id ID) (Pipeline, error) {
	p, _, err := s.read(ctx, id)
	return p, err
}

// List returns the account's pipelines in the region, oldest first.
func (s *Service) List(ctx context.Context, account, region string) ([]Pipeline, error) {
	pipelines, err := s.all(ctx)
	return slices.DeleteFunc(pipelines, func(p Pipeline) bool { return p.Account != account || p.Region != region }), err
}

// Count returns how many pipelines there are, by status.
func (s *Service) Count(ctx context.Context) (map[Status]int, error) {
	pipelines, err := s.all(ctx)
	n := map[Status]int{Initializing: 0, InProgress: 0, Stopping: 0, Stopped: 0, Failed: 0}
	for _, p := range pipelines {
		n[p.Status]++
	}
	return n, err
}

// Delete ends the pipeline. It returns when that is written down; the worker
// finishes behind it.
func (s *Service) Delete(ctx context.Context, id ID) error {
	p, err := s.setStatus(ctx, id, Stopping, "")
	if err != nil {
		return err
	}
	s.mu.Lock()
	stop := s.stops[id]
	s.mu.Unlock()
	if stop != nil {
		stop()
		return nil
	}
	return s.forget(ctx, p)
}

// run keeps a worker on the pipeline until the pipeline ends or ctx does.
func (s *Service) run(ctx context.Context, id ID) {
	log := s.log.With("connector", id)
	workerCtx, stop := context.WithCancel(ctx)
	defer stop()
	s.mu.Lock()
	s.stops[id] = stop
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.stops, id)
		s.mu.Unlock()
	}()
	p, err := s.Get(ctx, id)
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
	if err == nil && p.Status != Failed {
		err = s.forget(ctx, p)
	}
	if err != nil {
		log.Error("pipeline's record cannot be put in order", "err", err)
	}
}

// work runs one worker. It tells whether the pipeline is over.
func (s *Service) work(ctx context.Context, p Pipeline, log *slog.Logger) (over bool) {
	as, err := s.meetings.Invite(ctx, p.Account, p.MeetingID, externalUserID(p.ID))
	if errors.Is(err, ErrMeetingNotFound) {
		log.Info("pipeline ends: its meeting has ended")
		return true
	}
	if err == nil {
		err = s.cfg.Work(ctx, p, as, func(e Event) {
			switch e {
			case Live:
				s.tell(ctx, p.ID, InProgress, "", log)
			case Lost:
				log.Warn("sink is lost, trying again", "remote", p.SinkURL.String())
			case Ended:
				log.Info("pipeline ends: its meeting has ended")
				over = true
			case Refused:
				s.tell(ctx, p.ID, Failed, "the sink refuses the stream", log)
				over = true
			}
		})
	}
	switch {
	case ctx.Err() != nil || over:
	case err != nil:
		log.Error("pipeline's worker ended, starting it again", "err", err)
	default:
		log.Warn("pipeline's worker ended without a reason, starting it again")
	}
	return over
}

func (s *Service) tell(ctx context.Context, id ID, status Status, cause string, log *slog.Logger) {
	switch _, err := s.setStatus(ctx, id, status, cause); {
	case errors.Is(err, ErrNotFound), ctx.Err() != nil: // deleted meanwhile, or about to end
	case err != nil:
		log.Error("pipeline's status cannot be written", "err", err)
	case status == Failed:
		log.Error("pipeline failed", "err", cause)
	default:
		log.Info("pipeline is now " + string(status))
	}
}

// setStatus moves the pipeline on. A pipeline that is stopping stays so.
func (s *Service) setStatus(ctx context.Context, id ID, status Status, cause string) (Pipeline, error) {
	for {
		p, revision, err := s.read(ctx, id)
		if err != nil {
			return Pipeline{}, err
		}
		if p.Status == Stopping || p.Status == status {
			return p, nil
		}
		p.Status, p.Cause, p.Updated = status, cause, time.Now().UTC()
		value, err := json.Marshal(p)
		if err != nil {
			return Pipeline{}, fmt.Errorf("marshal the pipeline: %w", err)
		}
		_, err = s.pipelines.Update(ctx, string(id), value, revision)
		if !errors.Is(err, store.ErrConflict) {
			return p, err
		}
	}
}

// forget removes a pipeline that is over: its token is remembered as spent,
// its meeting let go, and last its record, so that a crash on the way leaves
// something to finish.
func (s *Service) forget(ctx context.Context, p Pipeline) error {
	if p.RequestToken != "" {
		if _, err := s.spent.Put(ctx, tokenKey(p.Spec), []byte(p.ID)); err != nil {
			return err
		}
	}
	held, err := s.claims.Get(ctx, p.MeetingID)
	if err == nil && ID(held.Value) == p.ID {
		err = s.claims.Delete(ctx, p.MeetingID, held.Revision)
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrConflict) {
		return err
	}
	if err := s.pipelines.Delete(ctx, string(p.ID), 0); err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return nil
}

func (s *Service) read(ctx context.Context, id ID) (Pipeline, uint64, error) {
	if _, err := uuid.Parse(string(id)); err != nil {
		return Pipeline{}, 0, ErrNotFound
	}
	r, err := s.pipelines.Get(ctx, string(id))
	if errors.Is(err, store.ErrNotFound) {
		return Pipeline{}, 0, ErrNotFound
	}
	if err != nil {
		return Pipeline{}, 0, err
	}
	p, err := s.parse(r)
	return p, r.Revision, err
}

func (s *Service) all(ctx context.Context) ([]Pipeline, error) {
	records, err := s.pipelines.List(ctx, "")
	if err != nil {
		return nil, err
	}
	pipelines := make([]Pipeline, 0, len(records))
	for _, r := range records {
		p, err := s.parse(r)
		if err != nil {
			return nil, err
		}
		pipelines = append(pipelines, p)
	}
	slices.SortStableFunc(pipelines, func(a, b Pipeline) int { return a.Created.Compare(b.Created) })
	return pipelines, nil
}

func (s *Service) parse(r store.Record) (p Pipeline, err error) {
	if err := json.Unmarshal(r.Value, &p); err != nil {
		return Pipeline{}, fmt.Errorf("read pipeline %s: %w", r.Key, err)
	}
	p.Account = cmp.Or(p.Account, s.cfg.Account)
	return p, nil
}

func withToken(pipelines []Pipeline, spec Spec) (Pipeline, bool) {
	i := slices.IndexFunc(pipelines, func(p Pipeline) bool {
		return spec.RequestToken != "" && p.RequestToken == spec.RequestToken && p.Account == spec.Account && p.Region == spec.Region &&
			p.Status != Stopping && p.Status != Failed
	})
	if i < 0 {
		return Pipeline{}, false
	}
	return pipelines[i], true
}

// tokenKey hashes, because a token may hold characters a key may not.
func tokenKey(spec Spec) string {
	sum := sha256.Sum256([]byte(spec.Account + "\n" + spec.Region + "\n" + spec.RequestToken))
	return hex.EncodeToString(sum[:])
}

// externalUserID is the name by which clients know to hide the attendee.
func externalUserID(id ID) string { return "aws:MediaPipeline-" + string(id) }
