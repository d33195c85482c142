package liveconnector

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pion/rtp/codecs"

	"belfry.live/belfry/internal/media/av"
	"belfry.live/belfry/internal/media/jitter"
	"belfry.live/belfry/internal/media/opus"
)

// BenchmarkEngine runs the engine for five seconds of real time with some
// cameras of 640x360 VP8 at 600 kbit/s and one mix, and reports the CPU it
// takes per second of output at 720p, tests' own share included (little: the
// packets are ready).
func BenchmarkEngine(b *testing.B) {
	ivf, err := exec.Command("ffmpeg", "-v", "error",
		"-f", "lavfi", "-i", "testsrc2=s=640x360:r=30,noise=alls=4:allf=t,format=yuv420p", "-frames:v", "150",
		"-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "600k", "-auto-alt-ref", "0",
		"-lag-in-frames", "0", "-g", "600", "-f", "ivf", "-").Output()
	if err != nil {
		b.Fatalf("ffmpeg: %v", err)
	}
	var video [][][]byte // payloads of each frame
	payloader := &codecs.VP8Payloader{EnablePictureID: true}
	for ivf = ivf[32:]; len(ivf) >= 12; {
		n := binary.LittleEndian.Uint32(ivf)
		video = append(video, payloader.Payload(1100, ivf[12:12+n]))
		ivf = ivf[12+n:]
	}
	enc, err := opus.NewEncoder(opus.EncoderConfig{Channels: 2})
	if err != nil {
		b.Fatal(err)
	}
	defer enc.Close()
	var mix [][]byte
	pcm := make([]float32, 2*960)
	for i := range 250 {
		for k := range 960 {
			x := float64(i*960+k) / 48000
			pcm[2*k] = float32(0.2*math.Sin(2*math.Pi*220*x) + 0.1*math.Sin(2*math.Pi*1234*x))
			pcm[2*k+1] = pcm[2*k]
		}
		packet := make([]byte, opus.MaxPacket)
		n, err := enc.Encode(pcm, packet)
		if err != nil {
			b.Fatal(err)
		}
		mix = append(mix, packet[:n])
	}
	for _, n := range []int{0, 2, 4, 9, 25} {
		b.Run(fmt.Sprintf("720p/cameras=%d", n), func(b *testing.B) {
			format := Format{
				Width: 1280, Height: 720, VideoBitrate: 2_500_000,
				SampleRate: 48000, Channels: 2, AudioBitrate: 128_000,
			}
			for b.Loop() {
				start := usage()
				frames := playPrepared(b, format, n, video, mix)
				b.ReportMetric(float64((usage()-start).Milliseconds())/(float64(frames)/frameRate), "cpu-ms/s")
				b.ReportMetric(float64(150-frames), "missing-frames")
			}
		})
	}
}

func playPrepared(b *testing.B, f Format, cameras int, video [][][]byte, mix [][]byte) int {
	rec := &recording{format: f}
	e, err := NewEngine(f, rec, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(b.Context(), 5*time.Second)
	defer cancel()
	var g sync.WaitGroup
	g.Go(func() {
		for i, payload := range mix {
			if !until(ctx, start.Add(time.Duration(i)*20*time.Millisecond)) {
				return
			}
			e.PushSound(jitter.Packet{Sequence: uint16(i), Timestamp: uint32(i) * 960, Payload: payload, Arrival: time.Now()})
			if i%50 == 0 {
				e.SoundReport(time.Now(), uint32(i)*960)
			}
		}
	})
	for range cameras {
		g.Go(func() {
			s := e.AddSource(SourceConfig{Codec: av.VP8, RequestKey: func() {}})
			defer s.Close()
			seq := uint16(0)
			for i, payloads := range video {
				if !until(ctx, start.Add(time.Duration(i)*time.Second/30)) {
					return
				}
				for k, payload := range payloads {
					s.Push(jitter.Packet{
						Sequence: seq, Timestamp: uint32(i) * 3000, Marker: k == len(payloads)-1,
						Payload: payload, Arrival: time.Now(),
					})
					seq++
				}
				if i%30 == 0 {
					s.SenderReport(time.Now(), uint32(i)*3000)
				}
			}
		})
	}
	if err := e.Run(ctx); err != nil {
		b.Error(err)
	}
	g.Wait()
	return len(rec.video)
}

// usage is the CPU time of this process.
func usage() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
