package worker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"belfry.live/belfry/internal/worker"
)

// The test binary is its own worker, as the real one is.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "worker" {
		os.Exit(worker.Main(os.Args[2], kinds))
	}
	os.Exit(m.Run())
}

var kinds = map[string]worker.Kind{
	"count": func(_ context.Context, spec json.RawMessage, report func(any), log *slog.Logger) error {
		var n int
		if err := json.Unmarshal(spec, &n); err != nil {
			return err
		}
		for i := range n {
			report(i)
		}
		log.Warn("counted", "n", n)
		return nil
	},
	"fail":  func(context.Context, json.RawMessage, func(any), *slog.Logger) error { return errors.New("no bells") },
	"panic": func(context.Context, json.RawMessage, func(any), *slog.Logger) error { panic("out of rope") },
	"wait": func(ctx context.Context, _ json.RawMessage, report func(any), _ *slog.Logger) error {
		report(os.Getpid())
		<-ctx.Done()
		return nil
	},
	"ignore": func(_ context.Context, _ json.RawMessage, report func(any), _ *slog.Logger) error {
		report(os.Getpid())
		select {}
	},
}

func run(ctx context.Context, job worker.Job, events func(json.RawMessage)) (logged string, err error) {
	var out bytes.Buffer
	err = worker.Run(ctx, job, events, slog.New(slog.NewTextHandler(&out, nil)))
	return out.String(), err
}

func TestEventsAndLogComeThrough(t *testing.T) {
	var got []string
	logged, err := run(t.Context(), worker.Job{Kind: "count", Spec: 3}, func(e json.RawMessage) { got = append(got, string(e)) })
	if err != nil {
		t.Fatal(err)
	}
	if s := strings.Join(got, " "); s != "0 1 2" {
		t.Errorf("got events %q, want 0 1 2", s)
	}
	if !strings.Contains(logged, "msg=counted") || !strings.Contains(logged, "n=3") || !strings.Contains(logged, "level=WARN") {
		t.Errorf("got log %q, want the worker's line in it", logged)
	}
}

func TestAFailedWorkerSaysWhy(t *testing.T) {
	for kind, want := range map[string]string{"fail": "no bells", "panic": "out of rope", "nothing like it": "unknown kind"} {
		_, err := run(t.Context(), worker.Job{Kind: kind}, nil)
		if !errors.Is(err, worker.ErrCrashed) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v, want ErrCrashed with %q", kind, err, want)
		}
	}
}

func TestAWorkerIsAskedToFinish(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	start := time.Now()
	_, err := run(ctx, worker.Job{Kind: "wait"}, func(json.RawMessage) { stop() })
	if err != nil {
		t.Errorf("got error %v, want none", err)
	}
	if took := time.Since(start); took > 2500*time.Millisecond {
		t.Errorf("took %v: the worker was killed, not asked", took)
	}
}

func TestAWorkerThatDoesNotFinishIsKilled(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var pid int
	_, err := run(ctx, worker.Job{Kind: "ignore"}, func(e json.RawMessage) {
		_ = json.Unmarshal(e, &pid)
		stop()
	})
	if err != nil {
		t.Errorf("got error %v, want none", err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("worker %d: got %v, want it gone", pid, err)
	}
}

func TestAKilledWorkerIsACrash(t *testing.T) {
	_, err := run(t.Context(), worker.Job{Kind: "wait"}, func(e json.RawMessage) {
		var pid int
		_ = json.Unmarshal(e, &pid)
		_ = syscall.Kill(pid, syscall.SIGKILL)
	})
	if !errors.Is(err, worker.ErrCrashed) || !strings.Contains(err.Error(), "killed") {
		t.Errorf("got error %v, want ErrCrashed by a signal", err)
	}
}
