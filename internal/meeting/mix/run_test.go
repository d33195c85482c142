package mix

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// running starts a mixer's Run, which the test's end waits for.
func running(t *testing.T) *Mixer {
	m := New(Config{}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: got %v, want nil", err)
		}
	})
	return m
}

func TestFiftyPacketsASecondForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := running(t)
		var frames []Frame
		begun := time.Now()
		p := m.Add(ParticipantConfig{ID: "a", Sink: func(f Frame) { frames = append(frames, f) }})
		time.Sleep(10*time.Minute + time.Millisecond)
		synctest.Wait()
		p.Close()
		if got, want := len(frames), 600*50+1; got != want {
			t.Fatalf("got %d packets in ten minutes, want %d", got, want)
		}
		first, last := frames[0], frames[len(frames)-1]
		if got, want := last.Timestamp-first.Timestamp, uint32(600*sampleRate); got != want {
			t.Errorf("got %d samples in ten minutes, want %d", got, want)
		}
		if got := last.Time.Sub(begun); got != 10*time.Minute {
			t.Errorf("got the last packet %v after the start, want 10m", got)
		}
	})
}

func TestRestsWhenNobodyIsIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := running(t)
		var frames []Frame
		sink := func(f Frame) { frames = append(frames, f) }
		p := m.Add(ParticipantConfig{ID: "a", Sink: sink})
		time.Sleep(time.Second)
		synctest.Wait()
		p.Close()
		p.Close() // does nothing
		time.Sleep(time.Second)
		synctest.Wait()
		n := len(frames)
		time.Sleep(time.Hour + 7*time.Millisecond)
		synctest.Wait()
		if len(frames) != n {
			t.Errorf("got %d packets after everybody left, want none", len(frames)-n)
		}
		// Media time has gone on meanwhile.
		begun := time.Now()
		p = m.Add(ParticipantConfig{ID: "b", Sink: sink})
		defer p.Close()
		time.Sleep(Tick)
		synctest.Wait()
		last := frames[len(frames)-1]
		if got := last.Time.Sub(begun).Abs(); len(frames) == n || got > Tick {
			t.Errorf("got the first packet of the next one %v off its time, want within a tick", got)
		}
		elapsed := last.Time.Sub(frames[0].Time)
		if got, want := last.Timestamp-frames[0].Timestamp, uint32(elapsed/Tick*frame); got != want {
			t.Errorf("got %d samples in %v, want %d", got, elapsed, want)
		}
	})
}

func TestStalledProcessCatchesUpALittle(t *testing.T) {
	for _, tc := range []struct {
		stall time.Duration
		want  int // packets at once after it
	}{
		{90 * time.Millisecond, 4},
		{3 * time.Second, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := running(t)
			var times []time.Time // by the wall clock
			var frames []Frame
			p := m.Add(ParticipantConfig{ID: "a", Sink: func(f Frame) {
				times = append(times, time.Now())
				frames = append(frames, f)
				if len(frames) == 10 {
					time.Sleep(tc.stall)
				}
			}})
			defer p.Close()
			time.Sleep(5 * time.Second)
			synctest.Wait()
			atOnce := 0
			for _, at := range times[10:] {
				if at.Equal(times[9].Add(tc.stall)) {
					atOnce++
				}
			}
			if atOnce != tc.want {
				t.Errorf("got %d packets right after a stall of %v, want %d", atOnce, tc.stall, tc.want)
			}
			for i, f := range frames {
				if got, want := f.Timestamp-frames[0].Timestamp, uint32(f.Time.Sub(frames[0].Time)/Tick*frame); got != want {
					t.Fatalf("packet %d: got %d samples after the first, want %d", i, got, want)
				}
			}
		})
	}
}
