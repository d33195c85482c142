// Command bench measures belfry's speed and memory next to references in the
// same run, and prints a table for docs/benchmarks.md.
//
//	go run ./bench                 everything
//	go run ./bench startup join    what is named
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"time"

	"belfry.live/belfry/test/running"
)

// A benchmark prints its figures as rows of a Markdown table.
type benchmark struct {
	name, about string
	run         func(ctx context.Context, b *bench) error
}

var benchmarks = []benchmark{
	{"startup", "belfry serve until GET /healthz answers", startup},
	{"join", "POST /api/join until the first audio packet, Go attendees", join},
	{"connector", "live connector next to one ffmpeg process that does the same", liveConnector},
	{"forward", "cost of a forwarded packet, next to LiveKit", forward},
	{"arrivals", "joins at 20 a second and memory per guest, next to LiveKit", arrivals},
	{"attendees", "250 attendees in one meeting, 3 speaking, audio only", attendees},
	{"joins", "joins at 20 a second, until the first audio and the first picture, and memory", joins},
	{"api", "calls of the APIs next to a bare handler, and a server with much in store", api},
	{"glass", "glass to glass: camera to watch page, Chromium", glass},
}

// A bench is what benchmarks share.
type bench struct {
	binary string
	dir    string // scratch
}

func main() {
	flag.Parse()
	if args := flag.Args(); len(args) == 3 && args[0] == bareCommand {
		if err := serveBare(args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, names []string) error {
	for _, n := range names {
		if !slices.ContainsFunc(benchmarks, func(b benchmark) bool { return b.name == n }) {
			return fmt.Errorf("there is no benchmark %q", n)
		}
	}
	dir, err := os.MkdirTemp("", "belfry-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{dir: dir}
	if b.binary, err = running.Build(dir); err != nil {
		return err
	}
	for _, m := range benchmarks {
		if len(names) > 0 && !slices.Contains(names, m.name) {
			continue
		}
		fmt.Printf("\n## %s: %s\n\n", m.name, m.about)
		began := time.Now()
		if err := m.run(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		fmt.Printf("\n(measured in %v)\n", time.Since(began).Round(time.Second))
	}
	return nil
}

// quantiles returns the smallest, middle, 99th percentile and greatest value.
func quantiles(d []time.Duration) (least, middle, p99, most time.Duration) {
	slices.Sort(d)
	n := len(d)
	return d[0], d[n/2], d[(n*99)/100], d[n-1]
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d)/float64(time.Millisecond)) }
