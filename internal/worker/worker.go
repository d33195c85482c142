// Package worker runs one pipeline in one child process, which is this same
// binary started again: a codec that crashes takes nobody else with it.
//
// The parent calls Run, the child Main. They share three pipes:
//
//	fd 3  parent to child  the job, one JSON value, then nothing; its end
//	                       asks the child to finish
//	fd 4  child to parent  events, one JSON value a line
//	fd 2  child to parent  the child's log, one JSON object a line
//
// A child therefore ends by itself when its parent is gone. What the jobs and
// events mean is left to the pipelines.
package worker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// stopLimit is how long a worker that was asked to finish may take.
	stopLimit = 3 * time.Second
	// lineLimit is the longest event or log line taken from a worker, bytes.
	lineLimit = 64 << 10
	// jobLimit is the largest job, bytes.
	jobLimit = 1 << 20
)

// ErrCrashed is wrapped in the error of a worker that ended without having
// been asked to.
var ErrCrashed = errors.New("the worker crashed")

// A Job says what a worker is to do.
type Job struct {
	Kind string // names one of the child's kinds
	Spec any    // marshals to JSON; may hold secrets, is never logged
}

// Run starts a worker on the job and waits for its end. Each event goes to
// events, one after another. When ctx ends, the worker is asked to finish, and
// killed if it does not; Run then returns nil. The error of a job that failed
// carries the worker's last words.
func Run(ctx context.Context, job Job, events func(json.RawMessage), log *slog.Logger) error {
	spec, err := json.Marshal(job.Spec)
	if err != nil {
		return fmt.Errorf("marshal the job: %w", err)
	}
	if len(spec) > jobLimit {
		return fmt.Errorf("the job has %d bytes, the most is %d", len(spec), jobLimit)
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	jobRead, jobWrite, err := os.Pipe()
	if err != nil {
		return err
	}
	defer jobRead.Close()
	defer jobWrite.Close()
	eventRead, eventWrite, err := os.Pipe()
	if err != nil {
		return err
	}
	defer eventRead.Close()
	defer eventWrite.Close()

	cmd := exec.CommandContext(ctx, self, "worker", job.Kind)
	cmd.ExtraFiles = []*os.File{jobRead, eventWrite}
	cmd.Cancel = jobWrite.Close // the worker finishes; WaitDelay bounds how long it may take
	cmd.WaitDelay = stopLimit
	logRead, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the worker: %w", err)
	}
	jobRead.Close()
	eventWrite.Close()
	log = log.With("worker", cmd.Process.Pid)
	log.Debug("worker started", "kind", job.Kind)

	var g errgroup.Group
	g.Go(func() error {
		_, err := jobWrite.Write(append(spec, '\n'))
		return err
	})
	g.Go(func() error { return readEvents(eventRead, events) })
	var last lastWords
	g.Go(func() error { return passLog(logRead, log, &last) })
	pipes := g.Wait() // all ends of the pipes are closed once the worker is gone
	err = cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil && last.text != "":
		return fmt.Errorf("%w: %w: %s", ErrCrashed, err, last.text)
	case err != nil:
		return fmt.Errorf("%w: %w", ErrCrashed, err)
	case pipes != nil:
		return fmt.Errorf("talk to the worker: %w", pipes)
	}
	return nil
}

func readEvents(r io.Reader, events func(json.RawMessage)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, lineLimit)
	for lines.Scan() {
		if !json.Valid(lines.Bytes()) {
			return fmt.Errorf("event is not JSON: %q", lines.Bytes())
		}
		events(bytes.Clone(lines.Bytes()))
	}
	return lines.Err()
}
