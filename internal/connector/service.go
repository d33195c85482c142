package connector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"belfry.live/belfry/internal/outbox"
	"belfry.live/belfry/internal/store"
	"belfry.live/belfry/internal/store/collection"
)

// Config says what the service may do and how it does it.
type Config struct {
	Account      string // of records that do not say whose they are
	MaxPipelines int    // of one account; 0: 100

	// Work runs one worker on a live connector, Capture and Concatenate on a
	// pipeline of their kind; nil: this server has none of that kind.
	Work, Capture, Concatenate Work

	// Record writes down what happened to one pipeline, in order, and returns
	// when it is on disk; nil: nobody wants to know.
	Record func(context.Context, []Event) error
	// Recorded returns the newest event of each pipeline that was written down
	// in the last RecordedFor; nil: what a crash left out is not made up for.
	Recorded    func(context.Context) (map[ID]EventType, error)
	RecordedFor time.Duration
}

// Work runs one worker on the pipeline until it is done or ctx ends; it
// reports how the pipeline is. A nil error means that it is done (see Ended)
// or that ctx ended; any other, that it should be run again.
type Work func(ctx context.Context, p Pipeline, as Invitation, report func(Report)) error

// Meetings invites pipelines to meetings.
type Meetings interface {
	// Find tells of a meeting of the account, or returns ErrMeetingNotFound.
	Find(ctx context.Context, account, meetingID string) (Meeting, error)
	// Invite makes (or finds) the attendee of that name in the account's
	// meeting, or returns ErrMeetingNotFound.
	Invite(ctx context.Context, account, meetingID, externalUserID string) (Invitation, error)
}

// An Invitation is what a pipeline needs to join a meeting.
type Invitation struct {
	SignalingURL   string
	AttendeeID     string
	ExternalUserID string
	JoinToken      string
}

// A Service keeps the pipelines' records and one worker running for each.
type Service struct {
	// Fixed by New.
	cfg       Config
	meetings  Meetings
	log       *slog.Logger
	pipelines *collection.Collection[Pipeline] // by id
	spent     store.Table                      // tokenKey of pipelines that are gone -> id
	captures  store.Table                      // id of a capture that is gone -> pastCapture
	events    *outbox.Box[Event]
	start     chan ID // to Run

	creating sync.Mutex // so that what Create finds still holds when it writes

	mu    sync.Mutex
	stops map[ID]context.CancelFunc // of those that run; guarded by mu
	told  map[ID]bool               // that they are gone, and are not yet; guarded by mu
}

// New reads the pipelines of before, and writes down what a crash kept from
// being written of them. Nothing runs before Run.
func New(ctx context.Context, cfg Config, tables store.Tables, meetings Meetings, log *slog.Logger) (*Service, error) {
	cfg.MaxPipelines = cmp.Or(cfg.MaxPipelines, 100)
	if cfg.Record == nil {
		cfg.Record = func(context.Context, []Event) error { return nil }
	}
	s := &Service{
		cfg: cfg, meetings: meetings, log: log,
		events: outbox.New(cfg.Record, 0, log),
		start:  make(chan ID), stops: map[ID]context.CancelFunc{}, told: map[ID]bool{},
	}
	var err error
	if s.spent, err = tables.Table(ctx, "pipeline-tokens", store.TableConfig{TTL: tokenLife}); err != nil {
		return nil, err
	}
	if s.captures, err = tables.Table(ctx, "captures", store.TableConfig{TTL: captureLife}); err != nil {
		return nil, err
	}
	records, err := tables.Table(ctx, "pipelines", store.TableConfig{})
	if err != nil {
		return nil, err
	}
	s.pipelines, err = collection.Open(ctx, records, collection.Config[Pipeline]{Copy: Pipeline.clone, Index: words, Log: log})
	if err != nil {
		return nil, fmt.Errorf("read the pipelines: %w", err)
	}
	if err := s.adopt(ctx); err != nil {
		return nil, err
	}
	if err := s.reconcile(ctx); err != nil {
		return nil, fmt.Errorf("write down what happened to pipelines: %w", err)
	}
	return s, nil
}

// adopt fills in what records of earlier versions do not say.
func (s *Service) adopt(ctx context.Context) error {
	for id, p := range s.pipelines.All("") {
		if p.Kind != "" && (p.Account != "" || s.cfg.Account == "") {
			continue
		}
		_, err := s.pipelines.Update(ctx, id, func(p *Pipeline) error {
			p.Kind, p.Account = cmp.Or(p.Kind, LiveConnector), cmp.Or(p.Account, s.cfg.Account)
			return nil
		})
		if err != nil {
			return fmt.Errorf("complete the record of pipeline %s: %w", id, err)
		}
	}
	return nil
}

// Run resumes the pipelines of before and runs all that come, until ctx ends
// and their workers have finished.
func (s *Service) Run(ctx context.Context) error {
	var records, workers sync.WaitGroup
	keep, stopKeeping := context.WithCancel(context.WithoutCancel(ctx))
	defer records.Wait()
	defer stopKeeping()
	records.Go(func() { _ = s.events.Run(keep) })    // it never fails
	records.Go(func() { _ = s.pipelines.Run(keep) }) // nor does this
	defer workers.Wait()
	for id := range s.pipelines.All("") {
		workers.Go(func() { s.run(ctx, ID(id)) })
	}
	workers.Go(func() { s.sweep(ctx) })
	for {
		select {
		case id := <-s.start:
			workers.Go(func() { s.run(ctx, id) })
		case <-ctx.Done():
			return nil
		}
	}
}

// Get returns the pipeline.
func (s *Service) Get(_ context.Context, id ID) (Pipeline, error) {
	if uuid.Validate(string(id)) != nil {
		return Pipeline{}, ErrNotFound
	}
	p, err := s.pipelines.Get(string(id))
	return p, notFound(err)
}

// notFound is err in the words of this package.
func notFound(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return ErrNotFound
	}
	return err
}

// List returns the account's pipelines in the region, oldest first.
func (s *Service) List(_ context.Context, account, region string) ([]Pipeline, error) {
	var list []Pipeline
	for _, p := range s.pipelines.All("") {
		if p.Account == account && p.Region == region {
			list = append(list, p)
		}
	}
	slices.SortStableFunc(list, func(a, b Pipeline) int { return a.Created.Compare(b.Created) })
	return list, nil
}

// Count returns how many pipelines there are, by status.
func (s *Service) Count() map[Status]int {
	n := map[Status]int{NotStarted: 0, Initializing: 0, InProgress: 0, Stopping: 0, Stopped: 0, Failed: 0}
	for _, p := range s.pipelines.All("") {
		n[p.Status]++
	}
	return n
}

// EventsDropped returns how many events were not written down.
func (s *Service) EventsDropped() uint64 { return s.events.Dropped() }

// MaxTags is how many tags a pipeline may have.
const MaxTags = 200

// Tag adds tags to the pipeline, in place of those with the same keys.
func (s *Service) Tag(ctx context.Context, id ID, tags map[string]string) error {
	_, err := s.pipelines.Update(ctx, string(id), func(p *Pipeline) error {
		if p.Tags == nil {
			p.Tags = map[string]string{}
		}
		maps.Copy(p.Tags, tags)
		if len(p.Tags) > MaxTags {
			return fmt.Errorf("%w: %d", ErrTooManyTags, MaxTags)
		}
		return nil
	})
	return notFound(err)
}

// Untag takes tags from the pipeline, those that it has.
func (s *Service) Untag(ctx context.Context, id ID, keys []string) error {
	_, err := s.pipelines.Update(ctx, string(id), func(p *Pipeline) error {
		for _, k := range keys {
			delete(p.Tags, k)
		}
		return nil
	})
	return notFound(err)
}

// Delete ends the pipeline. It returns when that is written down; the worker
// finishes behind it.
func (s *Service) Delete(ctx context.Context, id ID) error {
	p, err := s.change(ctx, id, func(p *Pipeline) { p.Status = Stopping })
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
