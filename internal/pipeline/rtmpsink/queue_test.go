package rtmpsink

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"belfry.live/belfry/internal/wire/rtmp"
)

// script pushes samples: K is a key frame, v another picture, a a frame of
// sound; each is 100 ms after the one before, beginning at "at" in units of
// 100 ms.
func script(q *queue, at int, s string) {
	for i, c := range s {
		t := time.Duration(at+i) * 100 * time.Millisecond
		switch c {
		case 'K', 'v':
			q.pushVideo(Sample{DTS: t, PTS: t, KeyFrame: c == 'K', Data: []byte{0, 0, 0, 1, 0x65}})
		case 'a':
			q.pushAudio(Sample{DTS: t, PTS: t, Data: []byte{1}})
		}
	}
}

// popped is what the queue holds, like "K3 v4 a5".
func popped(q *queue) string {
	var all []string
	var it item
	for q.pop(&it) {
		kind := "a"
		if it.video {
			kind = "v"
		}
		if it.key {
			kind = "K"
		}
		all = append(all, fmt.Sprint(kind, int64(it.dts/(100*time.Millisecond))))
	}
	return strings.Join(all, " ")
}

func testQueue(maxDelay time.Duration, asked *int) *queue {
	q := newQueue(maxDelay, func() { *asked++ })
	q.setVideo(&config{})
	q.setAudio(&config{})
	return q
}

func TestQueue(t *testing.T) {
	for _, c := range []struct {
		name  string
		push  string
		want  string
		stats Stats
		asked int
	}{
		{"begins at a key frame", "avavKavav", "K4 a5 v6 a7 v8", Stats{Connections: 1, DroppedWaiting: 4}, 1},
		{"full: up to the next key frame", "KavavKavavav", "K5 a6 v7 a8 v9 a10 v11", Stats{Connections: 1, DroppedOverflow: 5}, 1},
		{"full twice", "KavavKavavKavavKavav", "K10 a11 v12 a13 v14 K15 a16 v17 a18 v19", Stats{Connections: 1, DroppedOverflow: 10}, 1},
		{"full of one group", "KavavavavavavavKa", "a13 K15 a16", Stats{Connections: 1, DroppedOverflow: 12, DroppedWaiting: 2}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked := 0
			q := testQueue(time.Second, &asked)
			q.start()
			script(q, 0, c.push)
			if d := q.snapshot().QueueDelay; d > time.Second {
				t.Errorf("delay: got %v, want 1s at most", d)
			}
			if got := popped(q); got != c.want {
				t.Errorf("popped: got %q, want %q", got, c.want)
			}
			if got := q.snapshot(); got != c.stats {
				t.Errorf("stats: got %+v, want %+v", got, c.stats)
			}
			if asked != c.asked {
				t.Errorf("asked for %d key frames, want %d", asked, c.asked)
			}
			if q.bytes != 0 || len(q.items) != 0 {
				t.Errorf("empty queue has %d bytes, %d items", q.bytes, len(q.items))
			}
		})
	}
}

func TestQueueOffline(t *testing.T) {
	asked := 0
	q := testQueue(time.Second, &asked)
	script(q, 0, "Kav")
	if got := popped(q); got != "" {
		t.Errorf("not started: got %q, want nothing", got)
	}
	q.start()
	script(q, 3, "Kav")
	q.stop()
	script(q, 6, "Kav")
	q.start() // what the last connection did not take is out of date
	script(q, 9, "vaKa")
	if got, want := popped(q), "K11 a12"; got != want {
		t.Errorf("started again: got %q, want %q", got, want)
	}
	want := Stats{Connections: 2, DroppedOffline: 6, DroppedWaiting: 2}
	if got := q.snapshot(); got != want || asked != 2 {
		t.Errorf("stats: got %+v and %d key frames asked for, want %+v and 2", got, asked, want)
	}
}

func TestQueueWithoutVideo(t *testing.T) {
	q := newQueue(time.Second, nil)
	q.setAudio(&config{})
	q.start()
	script(q, 0, "aaa")
	if got, want := popped(q), "a0 a1 a2"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	script(q, 0, strings.Repeat("a", 12))
	if got, want := popped(q), ""; got != want {
		t.Errorf("full: got %q, want %q", got, want)
	}
}

// TestVideoComesLater has sound only at first.
func TestVideoComesLater(t *testing.T) {
	asked := 0
	q := newQueue(time.Minute, func() { asked++ })
	q.setAudio(&config{})
	q.start()
	script(q, 0, "av")
	q.setVideo(&config{})
	script(q, 2, "avKv")
	if got, want := popped(q), "a0 a2 K4 v5"; got != want || asked != 1 {
		t.Errorf("got %q and %d key frames asked for, want %q and 1", got, asked, want)
	}
}

func TestQueueBytes(t *testing.T) {
	q := newQueue(time.Hour, nil)
	q.setVideo(&config{})
	q.start()
	big := make([]byte, maxBytes/4)
	for i := range 20 {
		q.pushVideo(Sample{DTS: time.Duration(i), KeyFrame: true, Data: big})
		if q.bytes > maxBytes {
			t.Fatalf("queue has %d bytes, limit %d", q.bytes, maxBytes)
		}
	}
	for i := range 2 * maxItems {
		q.pushVideo(Sample{DTS: time.Duration(i), KeyFrame: i%100 == 0})
		if n := len(q.items) - q.head; n > maxItems {
			t.Fatalf("queue has %d items, limit %d", n, maxItems)
		}
	}
}

// TestTimestamps has the wrap of 32 bits between two samples.
func TestTimestamps(t *testing.T) {
	q := newQueue(time.Hour, nil)
	q.setVideo(&config{})
	q.start()
	wrap := (1 << 32) * time.Millisecond
	var it item
	for _, c := range []struct {
		dts, pts time.Duration
		want     uint32
		comp     byte // last byte of the composition time
	}{
		{wrap - 20*time.Millisecond, wrap - 20*time.Millisecond, 1<<32 - 20, 0},
		{wrap + 13333*time.Microsecond, wrap + 13333*time.Microsecond, 13, 0},
		// 13.333 ms is sent as 13 and 46.666 as 46: 33 apart.
		{wrap + 13333*time.Microsecond, wrap + 46666*time.Microsecond, 13, 33},
		{-5 * time.Millisecond, 0, 0, 5},
	} {
		q.pushVideo(Sample{DTS: c.dts, PTS: c.pts, KeyFrame: true})
		if !q.pop(&it) {
			t.Fatal("nothing to pop")
		}
		m := it.message(1)
		if m.Time != c.want || m.Payload[4] != c.comp || m.Type != rtmp.TypeVideo {
			t.Errorf("DTS %v, PTS %v: got %d and %d, want %d and %d", c.dts, c.pts, m.Time, m.Payload[4], c.want, c.comp)
		}
	}
}

func TestQueueDoesNotAllocate(t *testing.T) {
	q := newQueue(time.Second, nil)
	q.setVideo(&config{})
	q.start()
	s := Sample{KeyFrame: true, Data: make([]byte, 10_000)}
	var it item
	if n := testing.AllocsPerRun(1000, func() {
		s.DTS += 33 * time.Millisecond
		q.pushVideo(s)
		if !q.pop(&it) {
			t.Fatal("nothing to pop")
		}
	}); n != 0 {
		t.Errorf("a sample costs %v allocations, want 0", n)
	}
}
