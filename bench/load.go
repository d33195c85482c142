package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"belfry.live/belfry/internal/load"
	"belfry.live/belfry/test/running"
)

// A loadCost is what attendees went through, and what they cost the server.
type loadCost struct {
	*load.Result
	cores  float64 // CPU time of the server per second
	own    float64 // that of this program, which holds the attendees
	memory int     // of the server, bytes more than before anybody came
}

// underLoad runs attendees against a server and measures it while they are
// all in.
func underLoad(ctx context.Context, s *running.Server, cfg load.Config) (c loadCost, err error) {
	if cfg.AWS, err = s.AWS(); err != nil {
		return c, err
	}
	before, err := residentMemory(s.Process())
	if err != nil {
		return c, err
	}
	var at time.Time
	var server, own time.Duration
	var errs []error
	read := func(pid int) time.Duration {
		d, err := cpuTime(pid)
		errs = append(errs, err)
		return d
	}
	begin := cfg.Measuring
	cfg.Measuring = func() {
		if begin != nil {
			begin()
		}
		server, own, at = read(s.Process()), read(os.Getpid()), time.Now()
	}
	cfg.Measured = func() {
		seconds := time.Since(at).Seconds()
		c.cores = (read(s.Process()) - server).Seconds() / seconds
		c.own = (read(os.Getpid()) - own).Seconds() / seconds
		after, err := residentMemory(s.Process())
		errs = append(errs, err)
		c.memory = after - before
	}
	c.Result, err = load.Run(ctx, cfg)
	errs = append(errs, err)
	if c.Result != nil && c.Failed > 0 {
		errs = append(errs, fmt.Errorf("%d of %d attendees failed: %v", c.Failed, c.Attendees, c.Errors))
	}
	return c, errors.Join(errs...)
}

// startUnderLoad starts a server of its own for one measurement, so that none
// sees the memory that another has left.
func (b *bench) startUnderLoad(args ...string) (*running.Server, error) {
	data, err := os.MkdirTemp(b.dir, "load-")
	if err != nil {
		return nil, err
	}
	s := running.New(b.binary, data, append([]string{"--log-level", "warn"}, args...)...)
	return s, s.Run()
}
