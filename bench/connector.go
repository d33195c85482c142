package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"belfry.live/belfry/internal/attendee"
	"belfry.live/belfry/internal/attendee/clip"
	"belfry.live/belfry/internal/media/opus"
	"belfry.live/belfry/test/running"
)

const (
	clipLength = 10 * time.Second
	warmUp     = 5 * time.Second
	span       = 15 * time.Second // of output that is measured, each time
	rounds     = 3
)

// A cost is what a process used for a second of output.
type cost struct {
	cpu    float64 // CPU seconds per second
	memory int     // bytes resident
}

// liveConnector measures the worker of a live connector, 720p30, and in turns
// with it one ffmpeg process that decodes the same clips, composes the same
// grid and encodes with the same settings.
func liveConnector(ctx context.Context, b *bench) error {
	fmt.Println("| attendees with camera | Belfry's worker, CPU s/s | ffmpeg, CPU s/s | ratio | worker, RSS MB | ffmpeg, RSS MB |")
	fmt.Println("|---|---|---|---|---|---|")
	for _, n := range []int{2, 4} {
		clips, err := makeClips(b.dir, n)
		if err != nil {
			return err
		}
		var ours, theirs []cost
		for range rounds {
			w, err := workerCost(ctx, b, clips)
			if err != nil {
				return err
			}
			f, err := ffmpegCost(clips)
			if err != nil {
				return err
			}
			ours, theirs = append(ours, w), append(theirs, f)
		}
		w, f := middle(ours), middle(theirs)
		fmt.Printf("| %d | %.2f | %.2f | %.2f | %d | %d |\n", n, w.cpu, f.cpu, w.cpu/f.cpu, w.memory>>20, f.memory>>20)
	}
	return nil
}

// middle is the cost of median CPU time.
func middle(c []cost) cost {
	slices.SortFunc(c, func(a, b cost) int {
		if a.cpu < b.cpu {
			return -1
		}
		return 1
	})
	return c[len(c)/2]
}

// makeClips records what the attendees show: moving pictures with noise, VP8
// 640x360 at 30 frames/s and 600 kbit/s, each begun elsewhere.
func makeClips(dir string, n int) ([]string, error) {
	var files []string
	for i := range n {
		file := filepath.Join(dir, fmt.Sprintf("clip-%d.ivf", i))
		files = append(files, file)
		if _, err := os.Stat(file); err == nil {
			continue
		}
		source := fmt.Sprintf("mandelbrot=s=640x360:r=30:start_scale=%g:end_scale=0.3:end_pts=400,noise=alls=6:allf=t", 3/float64(i+1))
		if out, err := exec.Command("ffmpeg", "-hide_banner", "-loglevel", "error", "-y", "-f", "lavfi", "-i", source,
			"-t", fmt.Sprint(clipLength.Seconds()), "-threads", "1", "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8",
			"-g", "60", "-b:v", "600k", file).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("record a clip: %w\n%s", err, out)
		}
	}
	return files, nil
}

func workerCost(ctx context.Context, b *bench, clips []string) (cost, error) {
	data, err := os.MkdirTemp(b.dir, "connector-")
	if err != nil {
		return cost{}, err
	}
	if err := os.Setenv("BELFRY_SITE_SEATS", fmt.Sprint(len(clips))); err != nil {
		return cost{}, err
	}
	s := running.New(b.binary, data, "--log-level", "warn")
	if err := s.Run(); err != nil {
		return cost{}, err
	}
	defer s.Stop()
	ctx, stop := context.WithCancel(ctx)
	var guests sync.WaitGroup
	defer guests.Wait()
	defer stop()
	var meeting string
	for i, file := range clips {
		text, err := os.ReadFile(file)
		if err != nil {
			return cost{}, err
		}
		film, err := clip.ParseIVF(text)
		if err != nil {
			return cost{}, err
		}
		j, err := s.Join("")
		if err != nil {
			return cost{}, err
		}
		if meeting != "" && meeting != j.Meeting.MeetingID {
			return cost{}, errors.New("the attendees are in different meetings")
		}
		meeting = j.Meeting.MeetingID
		if err := enter(ctx, &guests, j, film, 300+200*float64(i)); err != nil {
			return cost{}, err
		}
	}
	if status, text, err := s.Post("/api/stream", map[string]string{"meetingId": meeting}, nil); err != nil || status != 200 {
		return cost{}, fmt.Errorf("/api/stream: %d %s %w", status, text, err)
	}
	workers := s.Workers()
	if len(workers) != 1 {
		return cost{}, fmt.Errorf("got workers %v, want one", workers)
	}
	time.Sleep(warmUp)
	before, err := cpuTime(workers[0])
	if err != nil {
		return cost{}, err
	}
	began := time.Now()
	time.Sleep(span)
	after, err := cpuTime(workers[0])
	if err != nil {
		return cost{}, err
	}
	memory, err := residentMemory(workers[0])
	return cost{(after - before).Seconds() / time.Since(began).Seconds(), memory}, err
}

// enter brings an attendee with camera and tone into its meeting until ctx
// ends.
func enter(ctx context.Context, guests *sync.WaitGroup, j running.Joined, film *clip.Clip, hertz float64) error {
	up, restart := make(chan struct{}, 1), make(chan struct{}, 1)
	signal := func(c chan struct{}) {
		select {
		case c <- struct{}{}:
		default:
		}
	}
	client := attendee.New(j.Config(), attendee.Handler{
		Connected:      func(bool) { signal(up) },
		KeyFrameWanted: func(int) { signal(restart) },
	})
	guests.Go(func() { _ = client.Run(ctx) }) // a guest that is lost shows in the figures
	select {
	case <-up:
	case <-time.After(15 * time.Second):
		return errors.New("an attendee did not get in within 15 s")
	}
	if err := client.StartVideo(attendee.VP8); err != nil {
		return err
	}
	mouth, err := opus.NewEncoder(opus.EncoderConfig{Channels: 1, Bitrate: 32000})
	if err != nil {
		return err
	}
	started := time.Now()
	guests.Go(func() {
		defer mouth.Close()
		tone := clip.Tone{Hz: hertz, Amplitude: 0.2, Encode: mouth.Encode}
		_ = tone.Play(ctx, started, client.SendAudio)
	})
	guests.Go(func() { _ = film.Play(ctx, started, restart, client.SendVideo) })
	return nil
}

// ffmpegCost runs the reference as fast as it goes; its CPU time over the
// length of its output is comparable.
func ffmpegCost(clips []string) (cost, error) {
	args := []string{"-hide_banner", "-loglevel", "error", "-y", "-threads", "1"}
	for _, c := range clips {
		args = append(args, "-threads", "1", "-stream_loop", "-1", "-i", c)
	}
	for i := range clips {
		args = append(args, "-f", "lavfi", "-i", fmt.Sprintf("sine=f=%d:r=48000", 300+200*i))
	}
	graph, layout, mix := "", "", ""
	for i := range clips {
		// The grid of media/compose at 720p: two side by side or two by two.
		graph += fmt.Sprintf("[%d:v]scale=632:356:flags=bilinear[v%d];", i, i)
		mix += fmt.Sprintf("[%d:a]", len(clips)+i)
		if i > 0 {
			layout += "|"
		}
		layout += fmt.Sprintf("%d_%d", i%2*640, i/2*360)
	}
	for i := range clips {
		graph += fmt.Sprintf("[v%d]", i)
	}
	graph += fmt.Sprintf("xstack=inputs=%d:layout=%s[s];[s]pad=1280:720:(ow-iw)/2:(oh-ih)/2[v];", len(clips), layout)
	graph += fmt.Sprintf("%samix=inputs=%d,aformat=channel_layouts=stereo[a]", mix, len(clips))
	args = append(args, "-filter_complex_threads", "1", "-filter_complex", graph, "-map", "[v]", "-map", "[a]", "-t", fmt.Sprint(span.Seconds()),
		"-r", "30", "-c:v", "libx264", "-threads", "1", "-preset", "superfast", "-tune", "zerolatency", "-profile:v", "high",
		"-x264-params", "scenecut=0:sliced-threads=0:qpmin=18", "-b:v", "2500k", "-maxrate", "2500k",
		"-bufsize", "2500k", "-g", "60", "-c:a", "aac", "-aac_coder", "fast", "-b:a", "128k", "-f", "flv", "/dev/null")
	cmd := exec.Command("ffmpeg", args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return cost{}, fmt.Errorf("ffmpeg: %w\n%s", err, out)
	}
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return cost{cpu.Seconds() / span.Seconds(), int(usage.Maxrss) << 10}, nil
}
