package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// bareCommand makes this program a bare handler: its arguments are the status
// and the file of the body that it answers.
const bareCommand = "bare-handler"

// serveBare reads every request and answers the same, which is the least that
// a server can do. It ends with its standard input.
func serveBare(args []string) error {
	status, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	body, err := os.ReadFile(args[1])
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("http://" + l.Addr().String())
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(status)
		_, _ = w.Write(body)
	})}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		srv.Close()
	}()
	_ = srv.Serve(l)
	return nil
}

// A bareServer is this program run as a bare handler, in a process of its own
// as the server is.
type bareServer struct {
	endpoint string
	cmd      *exec.Cmd
	in       io.Closer
}

func startBare(b *bench, status int, body []byte) (*bareServer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(b.dir, "answer.json")
	if err := os.WriteFile(file, body, 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(self, bareCommand, strconv.Itoa(status), file)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	s := &bareServer{endpoint: strings.TrimSpace(line), cmd: cmd, in: in}
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("the bare handler does not start: %w", err)
	}
	return s, nil
}

func (s *bareServer) stop() {
	s.in.Close()
	_ = s.cmd.Wait()
}
