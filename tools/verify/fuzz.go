package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// A fuzzTest is one fuzz test of a package.
type fuzzTest struct{ pkg, name string }

// fuzzFor runs every fuzz test of the project, one on each core.
func fuzzFor(d time.Duration) func(context.Context, *tally) error {
	return func(ctx context.Context, t *tally) error {
		tests, err := fuzzTests(ctx)
		if err != nil {
			return err
		}
		var g errgroup.Group
		g.SetLimit(runtime.NumCPU())
		var mu sync.Mutex // guards t
		for _, f := range tests {
			g.Go(func() error {
				out, err := output(ctx, "go", "test", "-run", "^$", "-fuzz", "^"+f.name+"$", "-parallel", "1",
					"-fuzztime", d.String(), "-fuzzminimizetime", "10x", f.pkg)
				mu.Lock()
				defer mu.Unlock()
				if err != nil && !ranOut(out) {
					t.failed++
					t.trouble = append(t.trouble, f.pkg+" "+f.name)
					fmt.Print(out)
					return nil
				}
				t.passed++
				fmt.Printf("   ok   %s %s\n", path.Base(f.pkg), f.name)
				return nil
			})
		}
		return g.Wait()
	}
}

var fuzzFunction = regexp.MustCompile(`(?m)^func (Fuzz\w*)\(\w+ \*testing\.F\)`)

// fuzzTests finds the fuzz tests. It reads their files: `go test -list` would
// first build the tests of every package.
func fuzzTests(ctx context.Context) ([]fuzzTest, error) {
	list, err := output(ctx, "go", "list", "-json=ImportPath,Dir,TestGoFiles,XTestGoFiles", "./...")
	if err != nil {
		return nil, err
	}
	var tests []fuzzTest
	for d := json.NewDecoder(strings.NewReader(list)); ; {
		var p struct {
			ImportPath, Dir           string
			TestGoFiles, XTestGoFiles []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return tests, nil
		} else if err != nil {
			return nil, err
		}
		for _, file := range append(p.TestGoFiles, p.XTestGoFiles...) {
			text, err := os.ReadFile(filepath.Join(p.Dir, file))
			if err != nil {
				return nil, err
			}
			for _, m := range fuzzFunction.FindAllSubmatch(text, -1) {
				tests = append(tests, fuzzTest{p.ImportPath, string(m[1])})
			}
		}
	}
}

// ranOut recognizes a run that found nothing, and failed only because its time
// was over while a worker was busy: go.dev/issue/75804, mended in Go 1.27. A
// finding has its input or its stack in the output.
func ranOut(out string) bool {
	_, why, failed := strings.Cut(out, "--- FAIL: ")
	_, why, _ = strings.Cut(why, "\n") // after the test's name and time
	return failed && strings.HasPrefix(why, "    context deadline exceeded\nFAIL\n") && !strings.Contains(out, "Failing input")
}
