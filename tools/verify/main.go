// Command verify runs the project's checks, the quick ones first, and ends
// with how many tests passed. A suite that ran no test has failed.
//
//	go run ./tools/verify                   all of them
//	go run ./tools/verify lint unit         the ones named
//	go run ./tools/verify -fuzztime 1m fuzz each fuzz test for a minute
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"
)

// A suite is one group of checks. Its run adds what it counted to the tally.
type suite struct {
	name  string
	about string
	tests bool // counts tests; counting none is a failure
	run   func(ctx context.Context, t *tally) error
}

// A tally counts tests.
type tally struct {
	passed, failed, skipped int
	trouble                 []string // what failed, by name
}

func main() {
	fuzztime := flag.Duration("fuzztime", time.Second, "how long each fuzz test runs")
	flag.Parse()
	suites := []suite{
		{"lint", "gofumpt, go vet, staticcheck, tsc", false, lint},
		{"unit", "go test -race of every package", true, unit},
		{"clients", "the AWS clients of three languages", true, awsClients},
		{"web", "the site's unit tests", true, web},
		{"e2e", "the whole binary, Go attendees", true, endToEnd},
		{"browser", "the whole binary, Chromium", true, browser},
		{"fuzz", fmt.Sprintf("every fuzz test for %v", *fuzztime), true, fuzzFor(*fuzztime)},
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if !run(ctx, suites, flag.Args()) {
		os.Exit(1)
	}
}

func run(ctx context.Context, suites []suite, names []string) (ok bool) {
	for _, n := range names {
		if !slices.ContainsFunc(suites, func(s suite) bool { return s.name == n }) {
			fmt.Fprintf(os.Stderr, "verify: no suite is called %q\n", n)
			return false
		}
	}
	var total tally
	var lines []string
	ok = true
	for _, s := range suites {
		if len(names) > 0 && !slices.Contains(names, s.name) {
			continue
		}
		fmt.Printf("== %s: %s\n", s.name, s.about)
		var t tally
		start := time.Now()
		err := s.run(ctx, &t)
		switch {
		case err == nil && t.failed > 0:
			err = fmt.Errorf("%d failed", t.failed)
		case err == nil && s.tests && t.passed == 0:
			err = fmt.Errorf("ran no test")
		}
		took := time.Since(start).Round(100 * time.Millisecond)
		if err != nil {
			ok = false
			t.failed = max(t.failed, 1)
			lines = append(lines, fmt.Sprintf("   %-8s FAILED after %v: %v", s.name, took, err))
			for _, name := range t.trouble {
				lines = append(lines, "            "+name)
			}
		} else {
			lines = append(lines, fmt.Sprintf("   %-8s ok, %d tests in %v", s.name, t.passed, took))
		}
		total.passed += t.passed
		total.failed += t.failed
		total.skipped += t.skipped
		if ctx.Err() != nil {
			break
		}
	}
	fmt.Printf("== summary\n%s\n%d passed, %d failed, %d skipped\n", strings.Join(lines, "\n"), total.passed, total.failed, total.skipped)
	return ok
}
