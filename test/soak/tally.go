package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"belfry.live/belfry/internal/load"
)

// shownErrors is how many failures are told in full.
const shownErrors = 10

// A tally counts what happened to all who came.
type tally struct {
	mu       sync.Mutex // guards what follows
	did      map[string]int
	gaps     int
	own      int // gaps while this program was late itself
	longest  time.Duration
	segments int
	failures int
	first    []error

	late time.Time // when this program was last late
}

func (t *tally) locked(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f()
}

// count notes that something was done.
func (t *tally) count(what string) {
	t.locked(func() {
		if t.did == nil {
			t.did = make(map[string]int)
		}
		t.did[what]++
	})
}

func (t *tally) fail(err error) {
	t.locked(func() {
		t.failures++
		if len(t.first) < shownErrors {
			t.first = append(t.first, err)
			fmt.Println("failure:", err)
		}
	})
}

// gap notes that somebody did not hear for so long.
func (t *tally) gap(who string, pause time.Duration, lost int) {
	t.locked(func() {
		t.longest = max(t.longest, pause)
		if lost == 0 && time.Since(t.late) < pause+lateFor {
			t.own++
			return
		}
		t.gaps++
		fmt.Printf("gap: %s heard nothing for %v, %d packets lost\n", who, pause.Round(time.Millisecond), lost)
	})
}

// crowdGaps notes what the load tool saw, which says itself how late it was.
func (t *tally) crowdGaps(r *load.Result) {
	t.locked(func() {
		if r.AudioLost == 0 && r.LagMs.Max > float64(crowdLate/time.Millisecond) {
			t.own += r.AudioGaps
			return
		}
		t.gaps += r.AudioGaps
		fmt.Printf("gap: a crowd of %d had %d, %d packets lost; own lag %.0f ms at most\n", r.Attendees, r.AudioGaps, r.AudioLost, r.LagMs.Max)
	})
}

func (t *tally) counts() (visits, gaps, failures int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.did["visit"], t.gaps, t.failures
}

const (
	// lateTime is how late this program's timers are when the machine has no
	// time for it, so that it had none for the server either.
	lateTime = 80 * time.Millisecond
	// crowdLate is the same for the load tool, whose gaps are shorter.
	crowdLate = 50 * time.Millisecond
	// lateFor is for how long afterwards a gap is laid to that.
	lateFor = time.Second
)

// watchClock notes when this program is late, until ctx ends.
func (t *tally) watchClock(ctx context.Context) {
	const every = 10 * time.Millisecond
	for ctx.Err() == nil {
		due := time.Now().Add(every)
		time.Sleep(every)
		if time.Since(due) > lateTime {
			t.locked(func() { t.late = time.Now() })
		}
	}
}

// verdict tells what happened, and what was wrong with it.
func (t *tally) verdict(w io.Writer) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(w, "done: %v; %d segments of the stream watched\n", t.did, t.segments)
	fmt.Fprintf(w, "audio: %d gaps, and %d while this program was late itself; the longest in the hall and at parties %v\n", t.gaps, t.own, t.longest.Round(time.Millisecond))
	var errs []error
	if t.gaps > 0 {
		errs = append(errs, fmt.Errorf("got %d audio gaps, want none", t.gaps))
	}
	if t.failures > 0 {
		errs = append(errs, fmt.Errorf("got %d failures, want none", t.failures))
	}
	if t.segments == 0 {
		errs = append(errs, errors.New("got no segment of the stream"))
	}
	return errors.Join(errs...)
}
