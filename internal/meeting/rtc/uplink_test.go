package rtc

import (
	"testing"
	"time"
)

// A limit is said at once, then every second; that it is gone, three times.
func TestUplinkLimit(t *testing.T) {
	now := time.Unix(1000, 0)
	var u uplinkLimit
	said := func(d time.Duration) (list []int64) {
		for end := now.Add(d); now.Before(end); now = now.Add(50 * time.Millisecond) {
			if bps := u.due(now); bps != 0 {
				list = append(list, bps)
			}
		}
		return list
	}
	want := func(what string, got []int64, first int64, n int) {
		t.Helper()
		if len(got) != n || n > 0 && (got[0] != first || got[n-1] != first) {
			t.Errorf("%s: got %v, want %d times %d", what, got, n, first)
		}
	}
	want("no limit", said(5*time.Second), 0, 0)
	u.limit.Store(500_000)
	want("a limit", said(3*time.Second), 500_000, 3)
	u.limit.Store(300_000)
	want("another, at once", said(100*time.Millisecond), 300_000, 1)
	u.limit.Store(0)
	want("none again", said(10*time.Second), uplinkUnlimited, uplinkFreed)
}
