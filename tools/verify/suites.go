package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// endToEndFolders have tests of the whole binary, which take the machine for
// themselves.
var endToEndFolders = []string{"test/e2e", "test/network", "test/durability"}

// clientTests wait for other processes more than they work.
const clientTests = "test/clients"

const browserTests = "test/browser/*.test.mjs"

// formatted is where our Go code lies; node_modules hold other people's.
var formatted = []string{"bench", "cmd", "internal", "test", "tools", "web/embed.go", "web/embed_test.go"}

func lint(ctx context.Context, _ *tally) error {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", append([]string{"tool", "gofumpt", "-l"}, formatted...)...)
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	err := cmd.Run()
	if out.Len() > 0 {
		err = errors.Join(err, errors.New("not formatted by gofumpt: "+strings.Join(strings.Fields(out.String()), " ")))
	}
	return errors.Join(err,
		command(ctx, "", "go", "vet", "./..."),
		command(ctx, "", "go", "tool", "staticcheck", "./..."),
		command(ctx, "web", "npx", "--no-install", "tsc", "--noEmit"),
	)
}

func unit(ctx context.Context, t *tally) error {
	packages, err := output(ctx, "go", "list", "./...")
	if err != nil {
		return err
	}
	var here []string
	for _, p := range strings.Fields(packages) {
		if !slices.ContainsFunc(append(endToEndFolders, clientTests), func(f string) bool { return strings.Contains(p, "/"+f) }) {
			here = append(here, p)
		}
	}
	return goTest(ctx, t, append([]string{"-race"}, here...)...)
}

func awsClients(ctx context.Context, t *tally) error {
	return goTest(ctx, t, "-race", "-count=1", "-parallel=12", "./"+clientTests)
}

func endToEnd(ctx context.Context, t *tally) error {
	args := []string{"-count=1", "-p=1", "-parallel=4"}
	for _, f := range endToEndFolders {
		args = append(args, "./"+f+"/...")
	}
	return goTest(ctx, t, args...)
}

// goTest runs go test, prints what failed and one line a package, and counts.
func goTest(ctx context.Context, t *tally, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	said := map[string]*bytes.Buffer{} // by package and test
	lines := bufio.NewScanner(pipe)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e struct {
			Action, Package, ImportPath, Test, Output string
			Elapsed                                   float64
		}
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Println(lines.Text())
			continue
		}
		key := e.Package + " " + e.Test
		switch e.Action {
		case "build-output":
			fmt.Print(e.Output)
		case "output":
			if said[key] == nil {
				said[key] = &bytes.Buffer{}
			}
			said[key].WriteString(e.Output)
			if strings.Contains(e.Output, "measured: ") { // figures that a test prints for people
				fmt.Print(e.Output)
			}
		case "pass", "fail", "skip":
			if e.Test == "" {
				if e.Action == "fail" && said[key] != nil {
					os.Stdout.Write(said[key].Bytes())
					t.trouble = append(t.trouble, e.Package)
				} else if e.Action == "pass" {
					fmt.Printf("   ok   %-60s %6.1f s\n", e.Package, e.Elapsed)
				}
				continue
			}
			switch e.Action {
			case "pass":
				t.passed++
			case "skip":
				t.skipped++
				fmt.Printf("   skip %s\n", key)
			case "fail":
				t.failed++
				t.trouble = append(t.trouble, key)
				if said[key] != nil {
					os.Stdout.Write(said[key].Bytes())
				}
			}
			delete(said, key)
		}
	}
	return errors.Join(lines.Err(), cmd.Wait())
}

func web(ctx context.Context, t *tally) error {
	cmd := exec.CommandContext(ctx, "npx", "--no-install", "vitest", "run", "--reporter=json", "--reporter=default")
	cmd.Dir, cmd.Stderr = "web", os.Stderr
	out, err := cmd.Output()
	for line := range strings.Lines(string(out)) {
		var report struct {
			NumPassedTests, NumFailedTests, NumPendingTests int
		}
		if json.Unmarshal([]byte(line), &report) == nil && strings.HasPrefix(line, "{") {
			t.passed, t.failed, t.skipped = report.NumPassedTests, report.NumFailedTests, report.NumPendingTests
			continue
		}
		fmt.Print(line)
	}
	return err
}

var tapCount = regexp.MustCompile(`^# (pass|fail|skipped) (\d+)$`)

func browser(ctx context.Context, t *tally) error {
	files, err := filepath.Glob(browserTests)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "node", append([]string{"--test", "--test-concurrency=1", "--test-reporter=tap"}, files...)...)
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(pipe)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		fmt.Println(lines.Text())
		if m := tapCount.FindStringSubmatch(lines.Text()); m != nil {
			n, _ := strconv.Atoi(m[2])
			switch m[1] {
			case "pass":
				t.passed = n
			case "fail":
				t.failed = n
			case "skipped":
				t.skipped = n
			}
		}
	}
	return errors.Join(lines.Err(), cmd.Wait())
}

func command(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return nil
}

func output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return string(out), err
}
