package meeting_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"
	"golang.org/x/sync/errgroup"

	"belfry.live/belfry/internal/attendee"
	"belfry.live/belfry/internal/attendee/clip"
	"belfry.live/belfry/internal/meeting"
)

const (
	guestsAtOnce     = 16
	guestsPerMeeting = 50

	// leftGoroutines may be there besides those at the start: timers and
	// connections of the HTTP server on their way out.
	leftGoroutines = 3
	// leftHeap may be in use besides what was at the start, in bytes. Ended
	// meetings are remembered for two minutes, 400 bytes for each guest; a
	// guest's connection would be 100 kB.
	leftHeap = 2 << 20

	// warmTime and coldTime are how long to wait at most until nothing is in
	// use but what has to be. The store frees what it wrote after 10 s.
	warmTime = 5 * time.Second
	coldTime = 30 * time.Second
)

// visits is how many joins and leaves there are.
func visits() int {
	if raced {
		return 300
	}
	return 1000
}

// A visitor comes into a meeting, sees and hears it, and goes.
type visitor struct {
	film   *clip.Clip
	camera bool
	vanish bool // goes without a word
}

// TestNothingIsLeftOfGuests has many guests come and go, some with a camera,
// some whose connection just ends, and wants goroutines and memory to be what
// they were.
func TestNothingIsLeftOfGuests(t *testing.T) {
	text, err := os.ReadFile("../attendee/clip/testdata/bars.ivf")
	if err != nil {
		t.Fatal(err)
	}
	film, err := clip.ParseIVF(text)
	if err != nil {
		t.Fatal(err)
	}
	h := open(t, t.TempDir(), meeting.Config{LostTimeout: time.Second})
	come := func(n int) {
		t.Helper()
		for first := 0; first < n; first += guestsPerMeeting {
			m := h.meeting()
			var g errgroup.Group
			g.SetLimit(guestsAtOnce)
			for i := first; i < min(first+guestsPerMeeting, n); i++ {
				g.Go(func() error {
					v := visitor{film: film, camera: i%5 == 0, vanish: i%4 == 1}
					if err := v.visit(h, m.ID, fmt.Sprint("guest ", i)); err != nil {
						return fmt.Errorf("guest %d: %w", i, err)
					}
					return nil
				})
			}
			if err := g.Wait(); err != nil {
				t.Fatal(err)
			}
			if err := h.End(t.Context(), m.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	// What is made once, and pools, are not leaks.
	come(2 * guestsPerMeeting)
	h.emptied(t)
	goroutines, heap := settled(warmTime, 0, 0)

	began := time.Now()
	come(visits())
	took := time.Since(began)
	h.emptied(t)
	nowGoroutines, nowHeap := settled(coldTime, goroutines+leftGoroutines, heap+leftHeap)
	t.Logf("%d guests in %v: %d goroutines and %d kB before, %d and %d kB after",
		visits(), took.Round(time.Millisecond), goroutines, heap>>10, nowGoroutines, nowHeap>>10)
	if nowGoroutines > goroutines+leftGoroutines {
		var b bytes.Buffer
		_ = pprof.Lookup("goroutine").WriteTo(&b, 1)
		t.Errorf("got %d goroutines after %d guests, want %d as before, %d more at most:\n%s",
			nowGoroutines, visits(), goroutines, leftGoroutines, &b)
	}
	if nowHeap > heap+leftHeap {
		t.Errorf("got %d kB in use after %d guests, want %d kB as before, %d kB more at most",
			nowHeap>>10, visits(), heap>>10, leftHeap>>10)
	}
}

// emptied waits until the service knows of nobody any more.
func (h *house) emptied(t *testing.T) {
	t.Helper()
	var m meeting.Metrics
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if m = h.Metrics(t.Context()); m.Rooms == 0 && m.Connections == 0 && m.Peers == 0 && m.Attendees == 0 && m.Meetings == 0 {
			return
		}
	}
	t.Fatalf("got %d meetings, %d rooms, %d sockets, %d peers and %d attendees %v after the end, want none",
		m.Meetings, m.Rooms, m.Connections, m.Peers, m.Attendees, patience)
}

// settled waits until there are so many goroutines and so much memory in use
// at most, or does not wait longer, and returns what there is.
func settled(limit time.Duration, wantGoroutines int, wantHeap uint64) (goroutines int, heap uint64) {
	for end := time.Now().Add(limit); ; time.Sleep(50 * time.Millisecond) {
		runtime.GC()
		runtime.GC() // the first leaves what is in pools
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		goroutines, heap = runtime.NumGoroutine(), m.HeapAlloc
		if goroutines <= wantGoroutines && heap <= wantHeap || time.Now().After(end) {
			return goroutines, heap
		}
	}
}

// visit is one guest's time in a meeting: until it hears the others and, with
// a camera, has shown something.
func (v visitor) visit(h *house, m meeting.ID, name string) error {
	ctx, leave := context.WithTimeout(context.Background(), patience)
	defer leave()
	a, err := h.AddAttendee(ctx, m, name, meeting.Capabilities{})
	if err != nil {
		return err
	}
	line := new(line)
	web := &http.Transport{DialContext: line.dial}
	defer web.CloseIdleConnections()
	heard, restart := make(chan struct{}, 1), make(chan struct{}, 1)
	signal := func(c chan struct{}) {
		select {
		case c <- struct{}{}:
		default:
		}
	}
	client := attendee.New(attendee.Config{
		SignalingURL: "ws" + strings.TrimPrefix(h.url, "http") + "/control/" + string(m),
		AttendeeID:   string(a.ID), ExternalUserID: name, JoinToken: a.JoinToken.Reveal(),
		WantVideo:  func(attendee.Source) bool { return true },
		HTTPClient: &http.Client{Transport: web},
	}, attendee.Handler{
		AudioRTP:       func(*rtp.Packet, time.Time) { signal(heard) },
		KeyFrameWanted: func(int) { signal(restart) },
	})
	var running sync.WaitGroup
	defer running.Wait()
	defer leave()
	ended := make(chan error, 1)
	running.Go(func() { ended <- client.Run(ctx) })
	shown := make(chan struct{}, 1)
	if v.camera {
		if err := client.StartVideo(attendee.VP8); err != nil {
			return err
		}
		running.Go(func() {
			_ = v.film.Play(ctx, time.Now(), restart, func(frame []byte, at time.Time) error {
				if client.SendVideo(frame, at) == nil {
					signal(shown)
				}
				return nil
			})
		})
	} else {
		shown <- struct{}{}
	}
	for _, c := range []chan struct{}{heard, shown} {
		select {
		case <-c:
		case err := <-ended:
			return fmt.Errorf("ended with %v, want it in the meeting", err)
		case <-ctx.Done():
			return errors.New("was not in the meeting in time")
		}
	}
	if v.vanish {
		line.cut()
	}
	leave()
	return <-ended
}

// A line is what a guest's signaling goes through.
type line struct {
	mu   sync.Mutex
	conn net.Conn
}

func (l *line) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn = conn
	return conn, err
}

// cut ends the connection without a word.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.conn.Close()
}
