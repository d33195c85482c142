// Command soak has people come to a real server and go for a long time, and
// wants it to be in the end what it was in the beginning: its memory, its
// goroutines and its open files. Nobody's sound may have had a gap meanwhile,
// a live stream has to go on all the time, and the log must have no error.
//
//	go run ./test/soak -for 30m
//
// It is run from the root of the repository. The table it prints shows a line
// every few seconds; the exit code is 0 only if all was as it should.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"belfry.live/belfry/test/running"
)

const (
	// warmUp is a churn before the real one: what is made once, and pools,
	// are not leaks.
	warmUp = 20 * time.Second

	sampleEvery = 5 * time.Second

	// settleTime is how long the server may take after the last one has left:
	// lost connections keep their place, broadcasts stay open for a minute,
	// ended meetings are remembered for two.
	settleTime = 4 * time.Minute
)

func main() {
	length := flag.Duration("for", 30*time.Minute, "how long people come and go")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *length); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, length time.Duration) (err error) {
	dir, err := os.MkdirTemp("", "belfry-soak-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary, err := running.Build(dir)
	if err != nil {
		return err
	}
	s := running.New(binary, filepath.Join(dir, "data"), "--log-level", "info")
	if err := s.Run(); err != nil {
		return err
	}
	defer func() {
		_, stopErr := s.Stop()
		err = errors.Join(err, stopErr, noErrors(s.Log.String()))
	}()
	t := &table{server: s, tally: new(tally)}
	t.head()
	if err := churnFor(ctx, t, binary, warmUp); err != nil {
		return fmt.Errorf("warm-up: %w", err)
	}
	before, err := t.settle(ctx, sample{})
	if err != nil {
		return err
	}
	t.tally = new(tally)
	if err := churnFor(ctx, t, binary, length); err != nil {
		return err
	}
	after, err := t.settle(ctx, before)
	if err != nil {
		return err
	}
	fmt.Println()
	return errors.Join(t.tally.verdict(os.Stdout), compare(os.Stdout, before, after))
}

// churnFor has people come and go for so long, and then everybody leave.
func churnFor(ctx context.Context, t *table, binary string, length time.Duration) error {
	c, err := newChurn(t.server, t.tally, binary)
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, length)
	defer stop()
	var sampling sync.WaitGroup
	defer sampling.Wait()
	sampling.Go(func() { t.run(ctx) })
	err = c.run(ctx)
	stop()
	return err
}

// noErrors is an error if the log has a line of that level.
func noErrors(log string) error {
	var errs []error
	for line := range strings.Lines(log) {
		if strings.Contains(line, "level=ERROR") || strings.HasPrefix(line, "panic:") {
			errs = append(errs, errors.New("the log says: "+strings.TrimSpace(line)))
		}
	}
	return errors.Join(errs...)
}
