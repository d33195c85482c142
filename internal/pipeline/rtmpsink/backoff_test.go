package rtmpsink

import (
	"testing"
	"time"
)

func TestBackoffSteps(t *testing.T) {
	var b backoff
	now := time.Now()
	for i, c := range []struct {
		lasted     time.Duration
		refused    bool
		after      time.Duration // since the step before
		retry      time.Duration
		refusedFor time.Duration
	}{
		{0, false, 0, 500 * time.Millisecond, 0},
		{0, false, time.Second, time.Second, 0},
		{9 * time.Second, false, 9 * time.Second, 2 * time.Second, 0}, // too short to settle
		{0, false, time.Second, 4 * time.Second, 0},
		{0, false, time.Second, 8 * time.Second, 0},
		{0, false, time.Second, 10 * time.Second, 0},
		{0, false, time.Second, 10 * time.Second, 0},
		{10 * time.Second, false, 10 * time.Second, 500 * time.Millisecond, 0},
		{0, true, time.Second, time.Second, 0},
		{0, true, time.Minute, 2 * time.Second, time.Minute},
		{0, true, time.Minute, 4 * time.Second, 2 * time.Minute},
		{0, false, time.Minute, 8 * time.Second, 0}, // something else in between
		{0, true, time.Minute, 10 * time.Second, 0},
		{0, true, time.Minute, 10 * time.Second, time.Minute},
		{time.Second, true, time.Minute, 10 * time.Second, 0}, // media flowed in between
		{0, true, time.Minute, 10 * time.Second, time.Minute},
	} {
		now = now.Add(c.after)
		if retry, refusedFor := b.lost(c.lasted, c.refused, now); retry != c.retry || refusedFor != c.refusedFor {
			t.Errorf("step %d: got retry %v, refused for %v, want %v, %v", i, retry, refusedFor, c.retry, c.refusedFor)
		}
	}
}
