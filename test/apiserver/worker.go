package apiserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"

	"belfry.live/belfry/internal/connector"
	"belfry.live/belfry/internal/meeting"
	"belfry.live/belfry/internal/pipeline/rtmpsink"
)

// worker stands in for live connectors' workers: ffmpeg publishes a small
// picture and a tone to the sink until the pipeline or the meeting ends.
func (s *Server) worker(ctx context.Context, p connector.Pipeline, _ connector.Invitation, report func(connector.Report)) error {
	publishing, stop := context.WithCancel(ctx)
	defer stop()
	result := make(chan error, 1)
	go func() {
		result <- publish(publishing, p.SinkURL.Reveal(), s.IngestAddr, func() { report(connector.Live) })
	}()
	watch := time.NewTicker(100 * time.Millisecond)
	defer watch.Stop()
	for {
		select {
		case err := <-result:
			if ctx.Err() != nil {
				return nil
			}
			report(connector.Lost)
			return err
		case <-watch.C:
			if _, err := s.Meetings.Lookup(ctx, meeting.ID(p.MeetingID)); errors.Is(err, meeting.ErrNotFound) {
				stop()
				<-result
				report(connector.Ended)
				return nil
			}
		}
	}
}

// idle stands in for workers of kinds that there are none of yet.
func idle(ctx context.Context, _ connector.Pipeline, _ connector.Invitation, report func(connector.Report)) error {
	report(connector.Live)
	<-ctx.Done()
	return nil
}

func publish(ctx context.Context, sink, ingestAddr string, live func()) error {
	u, err := rtmpsink.ParseURL(sink)
	if err != nil {
		return err
	}
	addr := u.Address()
	if u.Host == IngestEndpoint {
		addr = ingestAddr
	}
	// Most tests' sinks do not exist; this finds out without a process.
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	conn.Close()

	cmd := exec.CommandContext(ctx, "ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error",
		"-re", "-f", "lavfi", "-i", "testsrc=size=160x90:rate=10", "-f", "lavfi", "-i", "sine=sample_rate=48000",
		"-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "10", "-c:a", "aac",
		"-progress", "pipe:1", "-f", "flv", strings.Replace(sink, "//"+hostPort(sink), "//"+addr, 1))
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // ffmpeg ends the stream in order
	cmd.WaitDelay = 2 * time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start ffmpeg: %w", err)
	}
	told := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if !told && strings.HasPrefix(lines.Text(), "total_size=") && lines.Text() > "total_size=1" {
			live()
			told = true
		}
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("ffmpeg: %w", err)
	}
	return nil
}

// hostPort returns what stands between the scheme and the path of a URL.
func hostPort(u string) string {
	_, rest, _ := strings.Cut(u, "//")
	host, _, _ := strings.Cut(rest, "/")
	return host
}
