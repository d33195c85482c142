package worker

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
)

// A Kind does one kind of job until it is done or ctx ends. It may report any
// value that marshals to JSON; a report that cannot be delivered means that
// the parent is gone, and ctx ends soon after.
type Kind func(ctx context.Context, spec json.RawMessage, report func(any), log *slog.Logger) error

// Main is the child's side of Run: it takes the job, does it, and returns the
// exit code. The log goes to standard error as JSON lines.
func Main(name string, kinds map[string]Kind) int {
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	kind, ok := kinds[name]
	if !ok {
		log.Error("unknown kind of worker", "kind", name)
		return 2
	}
	if err := child(kind, log); err != nil {
		log.Error("worker ends", "err", err.Error())
		return 1
	}
	return 0
}

func child(kind Kind, log *slog.Logger) error {
	jobs, events := os.NewFile(3, "job"), os.NewFile(4, "events")
	if jobs == nil || events == nil {
		return errors.New("no job on file descriptor 3: workers are started by belfry serve")
	}
	in := bufio.NewReader(io.LimitReader(jobs, jobLimit+1))
	spec, err := in.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read the job (workers are started by belfry serve): %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	// The reader is not waited for: it ends with the process at the latest,
	// and reading a pipe cannot be interrupted.
	go func() {
		_, _ = io.Copy(io.Discard, jobs) // returns when the parent closes its end or is gone
		stop()
	}()
	report := func(event any) {
		line, err := json.Marshal(event)
		if err != nil {
			panic("worker: event does not marshal: " + err.Error())
		}
		if _, err := events.Write(append(line, '\n')); err != nil {
			stop()
		}
	}
	return kind(ctx, spec, report, log)
}
