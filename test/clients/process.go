package clients

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// python is the one that Debian's packages go with.
const python = "/usr/bin/python3"

// maxLine is the longest answer of a driver, in bytes.
const maxLine = 16 << 20

// JavaScript starts the AWS SDK for JavaScript v3 in a Node.js process, which
// takes what a setup leaves out from the environment.
func JavaScript(t testing.TB, env ...string) Client {
	t.Helper()
	if _, err := os.Stat(filepath.Join(folder(), "node_modules")); err != nil {
		t.Fatal("the JavaScript clients are not installed: run npm ci in test/clients")
	}
	return start(t, "JavaScript", env, "node", "driver.mjs")
}

// Boto starts botocore as Debian's aws CLI carries it, in a Python process.
func Boto(t testing.TB) Client {
	t.Helper()
	return start(t, "boto", nil, python, "driver.py")
}

// folder is where the drivers lie.
func folder() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(file)
}

// A driver is a client in a process of its own: it reads calls and writes what
// came of them, one JSON object a line, in any order.
type driver struct {
	name string

	mu      sync.Mutex // guards what follows, and writing
	in      io.WriteCloser
	waiting map[int]chan<- result // by call; nil once the process has ended
	n       int
}

// A call and its result are what goes over the pipes.
type (
	call struct {
		Call int
		Setup
		Request
	}

	result struct {
		Call int
		Answer
		Unknown bool
		Trouble string // of the client itself
	}
)

func start(t testing.TB, name string, env []string, program string, args ...string) *driver {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Env, cmd.Stderr = folder(), append(environment(), env...), t.Output()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s: %v; tools/packages.sh test installs what is needed", name, err)
	}
	d := &driver{name: name, in: in, waiting: map[int]chan<- result{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.read(out)
	}()
	t.Cleanup(func() {
		_ = in.Close() // tells it to end
		<-done
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	})
	return d
}

// environment is ours without what would set up an AWS client.
func environment() []string {
	env := []string{"AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull, "AWS_EC2_METADATA_DISABLED=true"}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "AWS_") {
			env = append(env, v)
		}
	}
	return env
}

// read hands out results until the process ends.
func (d *driver) read(out io.Reader) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var r result
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			break
		}
		d.mu.Lock()
		answer := d.waiting[r.Call]
		delete(d.waiting, r.Call)
		d.mu.Unlock()
		if answer != nil {
			answer <- r
		}
	}
	_, _ = io.Copy(io.Discard, out) // so that it can end
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, answer := range d.waiting {
		close(answer)
	}
	d.waiting = nil
}

func (d *driver) Name() string { return d.name }

func (d *driver) Call(ctx context.Context, s Setup, r Request) (Answer, error) {
	answer := make(chan result, 1)
	if err := d.send(call{Setup: s, Request: r}, answer); err != nil {
		return Answer{}, err
	}
	select {
	case got, ok := <-answer:
		switch {
		case !ok:
			return Answer{}, fmt.Errorf("the %s client has ended", d.name)
		case got.Unknown:
			return Answer{}, ErrUnknown
		case got.Trouble != "":
			return Answer{}, errors.New(got.Trouble)
		}
		return got.Answer, nil
	case <-ctx.Done():
		return Answer{}, ctx.Err()
	}
}

func (d *driver) send(c call, answer chan<- result) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waiting == nil {
		return fmt.Errorf("the %s client has ended", d.name)
	}
	d.n++
	c.Call = d.n
	line, err := json.Marshal(c)
	if err != nil {
		return err
	}
	d.waiting[c.Call] = answer
	_, err = d.in.Write(append(line, '\n'))
	return err
}
