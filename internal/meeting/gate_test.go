package meeting

import (
	"context"
	"log/slog"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

func TestGateFollowsTheLoad(t *testing.T) {
	g := newGate(Limits{CPU: 0.8, Bitrate: 1_000_000}, func() uint64 { return 0 }, slog.New(slog.DiscardHandler))
	at, used, sent := time.Unix(1000, 0), time.Duration(0), uint64(0)
	for i, c := range []struct {
		cpu     float64 // share of all cores
		bitrate float64
		closed  bool
	}{
		{0.79, 0, false},
		{0.81, 0, true},
		{0.75, 0, true}, // not calm yet
		{0.71, 0, false},
		{0.1, 1.1e6, true},
		{0.1, 0.95e6, true},
		{0.1, 0.85e6, false},
	} {
		from := sample{at, used, sent}
		at = at.Add(loadWindow * loadStep)
		used += time.Duration(c.cpu * float64(loadWindow*loadStep) * float64(runtime.GOMAXPROCS(0)))
		sent += uint64(c.bitrate / 8 * (loadWindow * loadStep).Seconds())
		g.judge(from, sample{at, used, sent})
		if got := g.closed(&seat{}) != ""; got != c.closed {
			t.Errorf("step %d: got closed %t, want %t", i, got, c.closed)
		}
	}
	g.judge(sample{at: at}, sample{at: at, cpu: time.Hour}) // no time has passed: nothing is known
	if g.closed(&seat{}) != "" {
		t.Errorf("got closed: %s, want open", g.closed(&seat{}))
	}
}

// The sampler sees a process that works.
func TestGateMeasuresThisProcess(t *testing.T) {
	g := newGate(Limits{CPU: 1e-9}, func() uint64 { return 0 }, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	watched := make(chan struct{})
	go func() { defer close(watched); g.watch(ctx) }()
	for end := time.Now().Add(10 * time.Second); g.closed(&seat{}) == "" && time.Now().Before(end); {
		for range 1_000_000 { // works
		}
	}
	cancel()
	<-watched
	if g.closed(&seat{}) == "" || g.usedCPU() <= 0 {
		t.Errorf("got a load of %v and open, want more and closed", g.usedCPU())
	}
}

func TestGatePacesJoins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(Limits{JoinsPerSecond: 10}, nil, slog.New(slog.DiscardHandler))
		begin, late := time.Now(), 0
		results := make(chan bool)
		const n = 100
		for range n {
			go func() { results <- g.pace(t.Context()) }()
		}
		for range n {
			if <-results {
				late++
			}
		}
		// 20 at once, 10 a second for 5 seconds; the others are told at once.
		if want := n - 20 - 50; late < want-1 || late > want+1 {
			t.Errorf("got %d late, want %d", late, want)
		}
		if took := time.Since(begin); took > joinWait {
			t.Errorf("took %v, want %v at most", took, joinWait)
		}
	})
}

func TestGateCountsSockets(t *testing.T) {
	g := newGate(Limits{Connections: 2}, nil, slog.New(slog.DiscardHandler))
	for i, want := range []bool{true, true, false} {
		if got := g.connect(); got != want {
			t.Errorf("socket %d: got taken %t, want %t", i, got, want)
		}
	}
	g.disconnect()
	if !g.connect() {
		t.Error("got refused with room, want in")
	}
}
