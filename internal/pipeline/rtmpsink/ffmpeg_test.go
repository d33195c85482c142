package rtmpsink

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"belfry.live/belfry/internal/wire/flv"
)

// TestPublishToFFmpeg has the ffmpeg program as the server, and reads the file
// that it makes.
func TestPublishToFFmpeg(t *testing.T) {
	program, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Skip("no ffmpeg program")
	}
	// It cannot choose a port and tell: one that was free a moment ago will do.
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := fmt.Sprintf("rtmp://%s/app/%s", ln.Addr(), testKey)
	ln.Close()

	file := filepath.Join(t.TempDir(), "out.flv")
	var said bytes.Buffer
	server := exec.CommandContext(t.Context(), program, "-hide_banner", "-loglevel", "error", "-nostdin",
		"-listen", "1", "-i", url, "-c", "copy", "-copyts", "-f", "flv", file)
	server.Stderr = &said
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- server.Wait() }()

	src := loadSource(t)
	s := startSink(t, url, src, func(c *Config) { c.MaxDelay = time.Hour }) // it tries until ffmpeg listens
	s.until(Publishing)
	const rounds = 5
	for i := range rounds {
		src.play(s, time.Duration(i)*src.length)
	}
	s.stop()
	if err := receive(t, "ffmpeg to end", exited); err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, said.String())
	}

	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got []sourceSample
	for b = b[13:]; len(b) > 0; {
		tag, rest, err := flv.ParseTag(b)
		if err != nil {
			t.Fatal(err)
		}
		b = rest
		at := time.Duration(tag.Time) * time.Millisecond
		if v, err := flv.ParseVideo(tag.Data); tag.Type == flv.TypeVideo && err == nil && v.Packet == flv.Frame {
			got = append(got, sourceSample{true, Sample{DTS: at, PTS: at + v.Composition, KeyFrame: v.KeyFrame, Data: v.Data}})
		}
		if a, err := flv.ParseAudio(tag.Data); tag.Type == flv.TypeAudio && err == nil && a.Packet == flv.Frame {
			got = append(got, sourceSample{false, Sample{DTS: at, PTS: at, Data: a.Data}})
		}
	}
	if want := rounds * len(src.samples); len(got) != want {
		t.Errorf("ffmpeg wrote %d samples, want %d; it said:\n%s", len(got), want, said.String())
	}
	for i, v := range got {
		if !src.has(v) {
			t.Fatalf("sample %d at %v is not the source's of that time", i, v.DTS)
		}
	}
}
