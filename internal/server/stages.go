package server

import (
	"context"
	"errors"
	"sync"
)

// stages are groups of runs that stop in the reverse order of their start,
// each when the one after it is through.
type stages struct {
	list   []stage
	failed chan error // takes the first failure of any run
}

type stage struct {
	stop context.CancelFunc
	runs *sync.WaitGroup
}

var errEnded = errors.New("a part of the server ended although nobody asked it to")

// start runs the functions until the stage is stopped. They outlive ctx.
func (s *stages) start(ctx context.Context, runs ...func(context.Context) error) {
	if s.failed == nil {
		s.failed = make(chan error, 1)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	wg := &sync.WaitGroup{}
	for _, run := range runs {
		wg.Go(func() {
			err := run(ctx)
			if err == nil && ctx.Err() == nil {
				err = errEnded
			}
			if err != nil {
				select {
				case s.failed <- err:
				default: // the first failure is the cause of the others
				}
			}
		})
	}
	s.list = append(s.list, stage{cancel, wg})
}

// wait returns when ctx ends, or a run fails, and then its error.
func (s *stages) wait(ctx context.Context) error {
	select {
	case err := <-s.failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

// stop stops all stages and waits for them.
func (s *stages) stop() {
	for i := len(s.list) - 1; i >= 0; i-- {
		s.list[i].stop()
		s.list[i].runs.Wait()
	}
	s.list = nil
}
