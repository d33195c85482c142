package ingest

import (
	"os/exec"
	"testing"
	"time"

	"belfry.live/belfry/internal/wire/h264"
)

// publishFFmpeg runs the ffmpeg program as a publisher of two seconds, as fast
// as it can.
func publishFFmpeg(t *testing.T, url string, more ...string) *exec.Cmd {
	t.Helper()
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Skip("no ffmpeg program")
	}
	args := append([]string{
		"-hide_banner", "-loglevel", "error", "-nostdin",
		"-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25",
		"-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000",
		"-t", "2", "-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-bf", "2", "-pix_fmt", "yuv420p",
		"-c:a", "aac", "-ac", "2",
	}, more...)
	return exec.CommandContext(t.Context(), ffmpeg, append(args, "-f", "flv", url)...)
}

func TestFFmpegPublishes(t *testing.T) {
	for _, c := range []struct {
		name      string
		url       func(*testServer) string
		encrypted bool
	}{
		{"rtmp", func(ts *testServer) string { return "rtmp://" + ts.plain + "/app/" + testKey }, false},
		{"rtmps", func(ts *testServer) string { return "rtmps://" + ts.tls + "/app/" + testKey }, true},
		{"query", func(ts *testServer) string {
			return "rtmp://" + ts.plain + "/app/" + testKey + "?keyframeInterval=2&unknown=1"
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			ts := startServer(t, Config{})
			if out, err := publishFFmpeg(t, c.url(ts)).CombinedOutput(); err != nil {
				t.Fatalf("ffmpeg: %v\n%s\n%s", err, out, ts.log)
			}
			r := ts.publication(t)
			r.wait(t)
			checkFFmpeg(t, r)
			if p := ts.desk.got[0]; p.Encrypted != c.encrypted || p.App != "app" {
				t.Errorf("publisher: got %+v, want encrypted %v and app %q", p, c.encrypted, "app")
			}
			if got := ts.desk.got[0].Query.Get("keyframeInterval"); c.name == "query" && got != "2" {
				t.Errorf("keyframeInterval: got %q, want 2", got)
			}
		})
	}
}

func checkFFmpeg(t *testing.T, r *recording) {
	t.Helper()
	if !r.orderly {
		t.Error("publication was lost, want an orderly end")
	}
	if len(r.metadata) != 1 || r.metadata[0].Width != 320 || r.metadata[0].FrameRate != 25 {
		t.Errorf("metadata: got %+v, want 320 wide at 25 Hz", r.metadata)
	}
	if len(r.videos) != 1 || r.videos[0].Width != 320 || r.videos[0].Height != 180 || r.videos[0].FrameRate() != 25 {
		t.Fatalf("video config: got %+v, want one of 320x180 at 25 Hz", r.videos)
	}
	if len(r.audios) != 1 || r.audios[0].SampleRate != 48000 || r.audios[0].Channels != 2 {
		t.Fatalf("audio config: got %+v, want one of 48000 Hz stereo", r.audios)
	}
	if n := len(r.video); n != 50 {
		t.Errorf("video: got %d pictures, want 50", n)
	}
	if n := len(r.audio); n < 93 || n > 96 {
		t.Errorf("audio: got %d frames, want 93 to 96", n)
	}
	keys, reordered := 0, 0
	for i, s := range r.video {
		if s.KeyFrame {
			keys++
		}
		if s.KeyFrame != h264.IsKeyFrame(s.Data, 4) {
			t.Errorf("picture %d: key frame is %v, its NAL units say otherwise", i, s.KeyFrame)
		}
		if s.PTS != s.DTS {
			reordered++
		}
		if s.PTS < s.DTS {
			t.Errorf("picture %d: PTS %v is before DTS %v", i, s.PTS, s.DTS)
		}
		if i > 0 {
			if d := s.DTS - r.video[i-1].DTS; d != 40*time.Millisecond {
				t.Errorf("picture %d: DTS is %v after the last, want 40ms", i, d)
			}
		}
	}
	if keys != 2 || !r.video[0].KeyFrame {
		t.Errorf("video: got %d key frames, first is one %v, want 2 and true", keys, r.video[0].KeyFrame)
	}
	if reordered == 0 {
		t.Error("video has B-frames, but PTS is DTS everywhere")
	}
	for i := range r.audio[1:] {
		d := r.audio[i+1].DTS - r.audio[i].DTS
		if d < 21*time.Millisecond || d > 22*time.Millisecond {
			t.Errorf("audio frame %d: got %v after the last, want 21 or 22 ms", i+1, d)
		}
	}
}
