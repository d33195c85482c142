package connector

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// An Event is something that happened to a pipeline.
type Event struct {
	ID       string // a UUID
	Type     EventType
	Time     time.Time
	Pipeline Pipeline // as it is by then
}

// An EventType says what happened, as AWS spells it.
type EventType string

// The events. A pipeline begins without one.
const (
	Began            EventType = "chime:MediaPipelineInProgress"
	TemporaryFailure EventType = "chime:MediaPipelineTemporaryFailure"
	Resumed          EventType = "chime:MediaPipelineResumed"
	PermanentFailure EventType = "chime:MediaPipelinePermanentFailure"
	Deleted          EventType = "chime:MediaPipelineDeleted"
)

// between returns what happened to a pipeline that was before and is after;
// "": nothing to tell.
func between(before, after Pipeline) EventType {
	switch {
	case after.Status == Failed && before.Status != Failed:
		return PermanentFailure
	case after.over():
		return ""
	case after.Status == InProgress && before.Status != InProgress:
		return Began
	case after.Lost && !before.Lost:
		return TemporaryFailure
	case before.Lost && !after.Lost:
		return Resumed
	}
	return ""
}

// record writes down what happened, after all that happened to the pipeline
// before.
func (s *Service) record(ctx context.Context, p Pipeline, what EventType) error {
	if what == "" {
		return nil
	}
	return s.events.Put(ctx, string(p.ID), event(p, what))
}

func event(p Pipeline, what EventType) Event {
	return Event{ID: uuid.NewString(), Type: what, Time: time.Now().UTC(), Pipeline: p}
}

// reconcile writes down what a crash kept from being written: a pipeline's
// record is changed first, and then what happened is recorded.
func (s *Service) reconcile(ctx context.Context) error {
	if s.cfg.Recorded == nil {
		return nil
	}
	newest, err := s.cfg.Recorded(ctx)
	if err != nil {
		return err
	}
	for id, p := range s.pipelines.All("") {
		what := missing(p, newest[ID(id)])
		if what == "" || time.Since(p.Updated) > s.cfg.RecordedFor {
			continue // nothing; or so long ago that it was forgotten
		}
		if err := s.cfg.Record(ctx, []Event{event(p, what)}); err != nil {
			return err
		}
	}
	return nil
}

// missing returns what happened to the pipeline since the last event of it
// that is known. What stops is told of when it has.
func missing(p Pipeline, last EventType) EventType {
	switch {
	case p.Status == Failed:
		return unless(PermanentFailure, last)
	case p.Status == Stopping || p.Status == Stopped:
		return ""
	case p.Lost:
		return unless(TemporaryFailure, last)
	case p.Status == InProgress && last == TemporaryFailure:
		return Resumed
	case p.Status == InProgress && last == "":
		return Began
	}
	return ""
}

func unless(what, last EventType) EventType {
	if what == last {
		return ""
	}
	return what
}
