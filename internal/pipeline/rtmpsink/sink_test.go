package rtmpsink

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"belfry.live/belfry/internal/wire/aac"
	"belfry.live/belfry/internal/wire/flv"
	"belfry.live/belfry/internal/wire/h264"
)

const testKey = "sk_test_VERYSECRET0123"

// A testSink runs a sink and hears of its states.
type testSink struct {
	*Sink
	t      *testing.T
	log    *logBuffer
	states chan State
	keys   chan struct{} // key frames asked for
	stop   func()        // ends Run and waits for it
	result chan error
}

// startSink runs a sink for the source, which may be nil.
func startSink(t *testing.T, url string, src *source, change func(*Config)) *testSink {
	t.Helper()
	before := runtime.NumGoroutine()
	u, err := ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	s := &testSink{t: t, log: &logBuffer{}, states: make(chan State, 1000), keys: make(chan struct{}, 1000), result: make(chan error, 1)}
	cfg := Config{
		URL:             u,
		OnState:         func(st State) { s.states <- st },
		RequestKeyFrame: func() { s.keys <- struct{}{} },
	}
	if change != nil {
		change(&cfg)
	}
	s.Sink, err = New(cfg, slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	if src != nil {
		s.SetVideo(src.video)
		s.SetAudio(src.audio)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.result <- s.Run(ctx)
	}()
	s.stop = func() { cancel(); <-done }
	t.Cleanup(func() {
		s.stop()
		said := s.log.String()
		close(s.states)
		for st := range s.states {
			said += fmt.Sprintf("%+v\n", st)
		}
		if strings.Contains(said, "VERYSECRET") {
			t.Errorf("the stream key was said:\n%s", said)
		}
		waitFor(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= before })
	})
	return s
}

// until waits for a state of that phase and returns it.
func (s *testSink) until(p Phase) State {
	s.t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		select {
		case st := <-s.states:
			if text := fmt.Sprintf("%v %+v", st.Err, st); strings.Contains(text, "VERYSECRET") {
				s.t.Errorf("state holds the stream key: %s", text)
			}
			if st.Phase == p {
				return st
			}
		case <-timeout:
			s.t.Fatalf("sink does not get to phase %d; log:\n%s", p, s.log)
		}
	}
}

// A source is the media of a file that ffmpeg made.
type source struct {
	video   h264.Config
	audio   aac.Config
	samples []sourceSample
	length  time.Duration // until it may begin again
}

type sourceSample struct {
	video bool
	Sample
}

func loadSource(t *testing.T) *source {
	t.Helper()
	b, err := os.ReadFile("../../wire/flv/testdata/source.flv")
	if err != nil {
		t.Fatal(err)
	}
	s := &source{length: 2 * time.Second}
	for b = b[13:]; len(b) > 0; {
		tag, rest, err := flv.ParseTag(b)
		if err != nil {
			t.Fatal(err)
		}
		b = rest
		at := time.Duration(tag.Time) * time.Millisecond
		switch tag.Type {
		case flv.TypeVideo:
			v, err := flv.ParseVideo(tag.Data)
			switch {
			case err != nil:
				t.Fatal(err)
			case v.Packet == flv.SequenceHeader:
				if s.video, err = h264.ParseConfig(v.Data); err != nil {
					t.Fatal(err)
				}
			case v.Packet == flv.Frame:
				s.samples = append(s.samples, sourceSample{true, Sample{DTS: at, PTS: at + v.Composition, KeyFrame: v.KeyFrame, Data: v.Data}})
			}
		case flv.TypeAudio:
			a, err := flv.ParseAudio(tag.Data)
			switch {
			case err != nil:
				t.Fatal(err)
			case a.Packet == flv.SequenceHeader:
				if s.audio, err = aac.ParseConfig(a.Data); err != nil {
					t.Fatal(err)
				}
			case at < s.length && len(s.samples) > 0: // begins at the key frame
				s.samples = append(s.samples, sourceSample{false, Sample{DTS: at, PTS: at, Data: a.Data}})
			}
		}
	}
	return s
}

// play writes the source once, beginning at a time, as fast as the sink's
// queue takes it without loss.
func (src *source) play(s *testSink, from time.Duration) {
	for _, v := range src.samples {
		v.DTS += from
		v.PTS += from
		if v.video {
			s.WriteVideo(v.Sample)
		} else {
			s.WriteAudio(v.Sample)
		}
	}
}

// paced writes the source again and again, ten times as fast as it is, until
// the context ends. It returns when it has.
func (src *source) paced(ctx context.Context, s *testSink) {
	begin := time.Now()
	for round := 0; ; round++ {
		for _, v := range src.samples {
			v.DTS += time.Duration(round) * src.length
			v.PTS += time.Duration(round) * src.length
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Until(begin.Add(v.DTS / 10))):
			}
			if v.video {
				s.WriteVideo(v.Sample)
			} else {
				s.WriteAudio(v.Sample)
			}
		}
	}
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<16)
			t.Fatalf("waited too long for %s\n%s", what, stacks[:runtime.Stack(stacks, true)])
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// receive takes one value, or fails the test.
func receive[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(20 * time.Second):
		t.Fatalf("waited too long for %s", what)
		panic("not reached")
	}
}

// A logBuffer collects a log.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
