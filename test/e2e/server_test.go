// Package e2e drives the whole binary as its users do, with attendees in Go
// instead of browsers, so that it runs in seconds: meetings, streams, and what
// happens when parts of it are killed.
package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"belfry.live/belfry/test/running"
)

// program is belfry, built from this tree by TestMain.
var program string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "belfry-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		if program, err = running.Build(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// A server is belfry serve, until the test ends.
type server struct {
	*running.Server
	t *testing.T
}

func start(t *testing.T, args ...string) server {
	t.Helper()
	s := server{running.New(program, filepath.Join(t.TempDir(), "data"), args...), t}
	s.run()
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			t.Logf("the server's log is %s", keep(t, s.Log.String()))
		}
	})
	return s
}

// keep writes a log where people look for what a run has left.
func keep(t *testing.T, log string) string {
	t.Helper()
	name, err := filepath.Abs(filepath.Join("..", "artifacts", "e2e", strings.ReplaceAll(t.Name(), "/", "-")+".log"))
	if err == nil {
		err = os.MkdirAll(filepath.Dir(name), 0o755)
	}
	if err == nil {
		err = os.WriteFile(name, []byte(log), 0o644)
	}
	if err != nil {
		t.Error(err)
	}
	return name
}

func (s server) run() {
	s.t.Helper()
	if err := s.Run(); err != nil {
		s.t.Fatal(err)
	}
}

func (s server) stop() time.Duration {
	s.t.Helper()
	took, err := s.Stop()
	if err != nil {
		s.t.Errorf("belfry serve ended with %v after SIGTERM", err)
	}
	return took
}

// post calls the site's application and decodes its answer.
func (s server) post(path string, body, answer any) (status int, text string) {
	s.t.Helper()
	status, text, err := s.Post(path, body, answer)
	if err != nil {
		s.t.Fatalf("%s: %v", path, err)
	}
	return status, text
}

// until waits for something that happens on its own, and says how long it
// took.
func until(t *testing.T, limit time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !ok() {
		if time.Since(began) > limit {
			t.Fatalf("not within %v: %s", limit, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(began)
}

func belfry(args ...string) (stdout, stderr string, err error) {
	var out, errs bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}
