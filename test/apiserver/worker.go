package apiserver

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"

	"belfry.live/belfry/internal/connector"
	"belfry.live/belfry/internal/pipeline/rtmpsink"
)

// worker returns what stands in for live connectors' workers: ffmpeg publishes
// a small picture and a tone to the sink until the pipeline ends. The server's
// own ingest listens at ingestAddr.
func worker(ingestAddr string) func(context.Context, connector.Pipeline, connector.Invitation, func(connector.Event)) error {
	return func(ctx context.Context, p connector.Pipeline, _ connector.Invitation, report func(connector.Event)) error {
		err := publish(ctx, p.SinkURL.Reveal(), ingestAddr, func() { report(connector.Live) })
		if ctx.Err() != nil {
			return nil
		}
		report(connector.Lost)
		return err
	}
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
