package av

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// moving encodes two seconds of FFmpeg's moving test picture with a little
// noise, like a camera's.
func moving(b *testing.B, c Codec, w, h int, bitrate string) [][]byte {
	b.Helper()
	args := []string{
		"-v", "error", "-f", "lavfi", "-i", fmt.Sprintf("testsrc2=s=%dx%d:r=30,noise=alls=4:allf=t,format=yuv420p", w, h),
		"-frames:v", "60", "-b:v", bitrate, "-g", "600",
	}
	if c == VP8 {
		args = append(args, "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-auto-alt-ref", "0", "-lag-in-frames", "0", "-f", "ivf", "-")
	} else {
		args = append(args, "-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-profile:v", "baseline",
			"-x264-params", "sliced-threads=0:scenecut=0", "-threads", "1", "-f", "h264", "-")
	}
	out, err := exec.Command("ffmpeg", args...).Output()
	if err != nil {
		b.Fatalf("ffmpeg: %v", err)
	}
	if c == VP8 {
		return ivfFrames(out)
	}
	return accessUnits(out)
}

// cpu is the time that the process has used so far.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// perSecond reports the CPU time spent since start per second of media.
func perSecond(b *testing.B, start time.Duration, frames int) {
	b.ReportMetric(float64((cpu()-start).Milliseconds())/(float64(frames)/30), "cpu-ms/s")
}

func BenchmarkDecode(b *testing.B) {
	for _, c := range []struct {
		codec   Codec
		w, h    int
		bitrate string
	}{
		{VP8, 320, 180, "150k"},
		{VP8, 640, 360, "600k"},
		{VP8, 1280, 720, "1500k"},
		{H264, 640, 360, "600k"},
		{H264, 1280, 720, "1500k"},
	} {
		b.Run(fmt.Sprintf("%v/%dx%d", c.codec, c.w, c.h), func(b *testing.B) {
			clip := moving(b, c.codec, c.w, c.h, c.bitrate)
			d, err := NewDecoder(c.codec)
			if err != nil {
				b.Fatal(err)
			}
			defer d.Close()
			start, frames := cpu(), 0
			for b.Loop() {
				for _, f := range clip {
					p, err := d.Decode(f, 0)
					if err != nil || p == nil {
						b.Fatalf("got %v, %v", p, err)
					}
					p.Release()
					frames++
				}
			}
			perSecond(b, start, frames)
		})
	}
}

func BenchmarkEncodeVideo(b *testing.B) {
	for _, c := range []struct{ w, h, bitrate int }{{1280, 720, 2_500_000}, {1920, 1080, 4_500_000}} {
		b.Run(fmt.Sprintf("%dx%d", c.w, c.h), func(b *testing.B) {
			clip := moving(b, H264, c.w, c.h, "20M")
			d, err := NewDecoder(H264)
			if err != nil {
				b.Fatal(err)
			}
			defer d.Close()
			pictures := make([]*Picture, 0, len(clip))
			for _, f := range clip {
				p, err := d.Decode(f, 0)
				if err != nil || p == nil {
					b.Fatalf("got %v, %v", p, err)
				}
				defer p.Release()
				pictures = append(pictures, p)
			}
			e, err := NewVideoEncoder(VideoConfig{Width: c.w, Height: c.h, FrameRate: 30, Bitrate: c.bitrate, KeyInterval: 2 * time.Second})
			if err != nil {
				b.Fatal(err)
			}
			defer e.Close()
			start, n := cpu(), 0
			for b.Loop() {
				for _, p := range pictures {
					if _, err := e.Encode(p, int64(n), false); err != nil {
						b.Fatal(err)
					}
					n++
				}
			}
			perSecond(b, start, n)
		})
	}
}

func BenchmarkEncodeAudio(b *testing.B) {
	cmd := exec.Command("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "anoisesrc=c=pink:a=0.2:d=1.1:r=48000", "-ac", "2", "-f", "f32le", "-")
	raw, err := cmd.Output()
	if err != nil {
		b.Fatalf("ffmpeg: %v", err)
	}
	pcm := make([]float32, len(raw)/4)
	if err := binary.Read(bytes.NewReader(raw), binary.LittleEndian, pcm); err != nil {
		b.Fatal(err)
	}
	e, err := NewAudioEncoder(AudioConfig{SampleRate: 48000, Channels: 2, Bitrate: 128_000})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	start, samples := cpu(), 0
	for b.Loop() {
		for at := 0; at+2048 <= len(pcm); at += 2048 {
			if _, _, err := e.Encode(pcm[at : at+2048]); err != nil {
				b.Fatal(err)
			}
			samples += 1024
		}
	}
	b.ReportMetric(float64((cpu()-start).Milliseconds())/(float64(samples)/48000), "cpu-ms/s")
}
