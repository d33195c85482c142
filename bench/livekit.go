package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"belfry.live/belfry/bench/guest"
	"belfry.live/belfry/test/running"
)

// The reference of the meeting benchmarks. It is built once, outside of this
// module, into the user's cache.
const (
	liveKitModule  = "github.com/livekit/livekit-server/cmd/server"
	liveKitVersion = "v1.13.5"
)

// liveKitServer is a LiveKit server that runs.
type liveKitServer struct {
	cmd  *exec.Cmd
	port int
}

const (
	liveKitKey    = "bench"
	liveKitSecret = "a secret of this benchmark, for nobody else"
)

// buildLiveKit returns the name of the binary; the first time it takes some
// minutes to make.
func buildLiveKit(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "belfry-bench", "livekit-"+liveKitVersion)
	binary := filepath.Join(dir, "server")
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	fmt.Fprintf(os.Stderr, "building LiveKit %s (a few minutes, once)\n", liveKitVersion)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	build := exec.CommandContext(ctx, "go", "install", liveKitModule+"@"+liveKitVersion)
	build.Dir = dir // outside of our module
	build.Env = append(os.Environ(), "GOBIN="+dir)
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return "", fmt.Errorf("build LiveKit: %w", err)
	}
	return binary, nil
}

// freePort returns a port that was free a moment ago.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func startLiveKit(ctx context.Context, binary, dir string) (*liveKitServer, error) {
	s := &liveKitServer{}
	var ports [3]int
	for i := range ports {
		var err error
		if ports[i], err = freePort(); err != nil {
			return nil, err
		}
	}
	s.port = ports[0]
	config := fmt.Sprintf(`port: %d
bind_addresses: [127.0.0.1]
keys: {%s: %q}
logging: {level: error}
rtc:
  udp_port: %d
  tcp_port: %d
  use_external_ip: false
  node_ip: 127.0.0.1
  enable_loopback_candidate: true
`, ports[0], liveKitKey, liveKitSecret, ports[1], ports[2])
	file := filepath.Join(dir, "livekit.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	s.cmd = exec.Command(binary, "--config", file)
	log := &running.LogBuffer{}
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for limit := time.Now().Add(20 * time.Second); ; {
		resp, err := http.Get("http://127.0.0.1:" + strconv.Itoa(s.port))
		if err == nil {
			resp.Body.Close()
			return s, nil
		}
		if time.Now().After(limit) {
			return nil, errors.Join(fmt.Errorf("LiveKit does not answer: %w\n%s", err, log), s.stop())
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), s.stop())
		}
	}
}

func (s *liveKitServer) process() int { return s.cmd.Process.Pid }

func (s *liveKitServer) meeting() (guest.Meeting, error) {
	return guest.LiveKit{URL: "ws://127.0.0.1:" + strconv.Itoa(s.port), Key: liveKitKey, Secret: liveKitSecret, Room: "bench"}, nil
}

func (s *liveKitServer) stop() error {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	ended := make(chan struct{})
	go func() {
		_ = s.cmd.Wait() // it was asked to end
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		_ = s.cmd.Process.Kill()
		<-ended
	}
	return nil
}
