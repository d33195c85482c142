package liveconnector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"belfry.live/belfry/internal/attendee"
	"belfry.live/belfry/internal/media/av"
	"belfry.live/belfry/internal/pipeline/rtmpsink"
)

// goodbye is how long the sink may take to send what is left and end the
// stream.
const goodbye = 1500 * time.Millisecond

// Run does the job until the meeting is over (nil), it is no use to go on, or
// ctx ends (nil): then it ends the stream in good order and leaves the
// meeting, within two seconds. Report hears of every state, one at a time.
func Run(ctx context.Context, job Job, report func(Event), log *slog.Logger) error {
	log = log.With("meeting", job.Meeting)
	states := &reporter{report: report}
	err := run(ctx, job, states, log)
	switch {
	case ctx.Err() != nil:
		return nil
	case errors.Is(err, attendee.ErrEnded) || errors.Is(err, attendee.ErrRemoved):
		states.tell(Event{State: Ended, Cause: err.Error()})
		return nil
	}
	var bad badJob
	permanent := errors.As(err, &bad) || errors.Is(err, rtmpsink.ErrRefused)
	states.tell(Event{State: Failed, Cause: err.Error(), Permanent: permanent})
	return err
}

// A badJob is a mistake in the job itself.
type badJob struct{ error }

func (b badJob) Unwrap() error { return b.error }

// run always returns an error unless ctx has ended.
func run(ctx context.Context, job Job, states *reporter, log *slog.Logger) error {
	format, err := job.format()
	if err != nil {
		return badJob{err}
	}
	cfg, err := job.sink(format)
	if err != nil {
		return badJob{err}
	}
	av.SetLogger(log)
	var engine *Engine // there before the sink runs and asks it
	cfg.RequestKeyFrame = func() { engine.RequestKeyFrame() }
	cfg.OnState = states.sink
	cfg.EndTimeout = goodbye
	sink, err := rtmpsink.New(cfg, log)
	if err != nil {
		return badJob{err}
	}
	if engine, err = NewEngine(format, sink, log); err != nil {
		return err
	}
	meeting := newSession(job, engine, log)
	states.tell(Event{State: Joining})
	log.Info("live connector starts", "sink", cfg.URL, "width", format.Width, "height", format.Height)

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return ended("the meeting", meeting.client.Run(ctx)) })
	g.Go(func() error { return ended("the engine", engine.Run(ctx)) })
	g.Go(func() error { return ended("the sink", sink.Run(ctx)) })
	return g.Wait()
}

// ended makes sure that the end of one part ends the others: parts return nil
// when ctx ends, and it does no harm then.
func ended(part string, err error) error {
	if err == nil {
		return fmt.Errorf("%s has ended", part)
	}
	return fmt.Errorf("%s: %w", part, err)
}

// A reporter passes states on, one at a time and each change once.
type reporter struct {
	mu     sync.Mutex // held while report runs
	report func(Event)
	last   State
}

func (r *reporter) tell(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.State == r.last {
		return
	}
	r.last = e.State
	r.report(e)
}

// sink hears of the sink's states.
func (r *reporter) sink(s rtmpsink.State) {
	switch s.Phase {
	case rtmpsink.Publishing:
		r.tell(Event{State: Live})
	case rtmpsink.Lost:
		cause := "the connection to the RTMP server is lost"
		if s.Err != nil {
			cause = s.Err.Error()
		}
		r.tell(Event{State: Lost, Cause: cause})
	}
}
