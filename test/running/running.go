// Package running builds and runs the belfry binary for tests and benchmarks:
// on free ports and a data folder of the caller's, as a user would run it.
package running

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	readyLimit = 20 * time.Second
	stopLimit  = 20 * time.Second
)

// Build builds the binary of this tree into the folder and returns its name.
func Build(dir string) (binary string, err error) {
	binary = filepath.Join(dir, "belfry")
	build := exec.Command("go", "build", "-o", binary, "belfry.live/belfry/cmd/belfry")
	build.Stderr = os.Stderr
	return binary, build.Run()
}

// A Server is belfry serve, as often as it is run.
type Server struct {
	Data     string
	Endpoint string // http://host:port, once run
	Log      *LogBuffer

	binary string
	args   []string
	cmd    *exec.Cmd
	exited chan error
}

// New prepares a server on free loopback ports. Nothing runs yet.
func New(binary, data string, args ...string) *Server {
	return &Server{
		Data: data, Log: &LogBuffer{}, binary: binary,
		args: append([]string{
			"serve", "--data", data, "--log-level", "debug",
			"--http", "127.0.0.1:0", "--rtmp", "127.0.0.1:0", "--rtmps", "127.0.0.1:0", "--media", "127.0.0.1:0",
		}, args...),
	}
}

// Run starts the process and waits until it is ready.
func (s *Server) Run() error {
	s.cmd = exec.Command(s.binary, s.args...)
	s.cmd.Stderr = s.Log
	s.exited = make(chan error, 1)
	if err := s.cmd.Start(); err != nil {
		return err
	}
	exited := s.exited
	go func() { exited <- s.cmd.Wait() }()
	limit := time.After(readyLimit)
	for {
		select {
		case err := <-s.exited:
			s.cmd = nil
			return fmt.Errorf("belfry serve ended: %w\n%s", err, s.Log)
		case <-limit:
			return fmt.Errorf("belfry serve was not ready within %v\n%s", readyLimit, s.Log)
		case <-time.After(5 * time.Millisecond):
		}
		var running struct {
			Process  int
			Endpoint string
		}
		b, err := os.ReadFile(filepath.Join(s.Data, "running.json"))
		if err == nil && json.Unmarshal(b, &running) == nil && running.Process == s.cmd.Process.Pid {
			s.Endpoint = running.Endpoint
			return nil
		}
	}
}

// Process returns the process id, 0 if it does not run.
func (s *Server) Process() int {
	if s.cmd == nil {
		return 0
	}
	return s.cmd.Process.Pid
}

// PinPorts makes the next Run listen where this one does, so that clients find
// the server again.
func (s *Server) PinPorts() error {
	for i, a := range s.args {
		if a != "127.0.0.1:0" {
			continue
		}
		_, after, ok := strings.Cut(s.Log.String(), " "+strings.TrimPrefix(s.args[i-1], "--")+"=127.0.0.1:")
		if !ok {
			return fmt.Errorf("the log does not say where %s listens", s.args[i-1])
		}
		port := after[:strings.IndexFunc(after, func(r rune) bool { return r < '0' || r > '9' })]
		s.args[i] = "127.0.0.1:" + port
	}
	return nil
}

// Stop asks the server to end and says how long it took.
func (s *Server) Stop() (time.Duration, error) {
	if s.cmd == nil {
		return 0, nil
	}
	asked := time.Now()
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	var err error
	select {
	case err = <-s.exited:
	case <-time.After(stopLimit):
		_ = s.cmd.Process.Kill()
		err = errors.Join(fmt.Errorf("belfry serve did not end within %v of SIGTERM", stopLimit), <-s.exited)
	}
	s.cmd = nil
	return time.Since(asked), err
}

// Kill ends the server as a power loss does.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill()
	<-s.exited
	s.cmd = nil
}

// Workers returns the process ids of the server's workers.
func (s *Server) Workers() []int {
	var found []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // ended meanwhile
		}
		// pid (comm) state ppid …, proc(5)
		_, after, _ := strings.Cut(string(b), ") ")
		f := strings.Fields(after)
		if len(f) > 2 && f[0] != "Z" && f[1] == strconv.Itoa(s.Process()) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			found = append(found, pid)
		}
	}
	return found
}

// Post calls the site's application. A 200 is decoded into answer unless that
// is nil; text is what came in any case.
func (s *Server) Post(path string, body, answer any) (status int, text string, err error) {
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return 0, "", err
		}
		in = bytes.NewReader(b)
	}
	resp, err := http.Post(s.Endpoint+path, "application/json", in)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && answer != nil && resp.StatusCode == http.StatusOK {
		err = json.Unmarshal(b, answer)
	}
	return resp.StatusCode, string(b), err
}

// A LogBuffer keeps what the server logs; it is written and read at once.
type LogBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write takes log lines.
func (l *LogBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

// String returns all of the log.
func (l *LogBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
