package bwe

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// A pause is a way in which a client that is short of processor time stops.
type pause struct {
	least, most time.Duration // of a stop
	part        float64       // of the time, on average
}

var (
	often  = pause{20 * time.Millisecond, 150 * time.Millisecond, 0.3}
	mostly = pause{20 * time.Millisecond, 150 * time.Millisecond, 0.6}
	rarely = pause{500 * time.Millisecond, 2500 * time.Millisecond, 0.08}
)

// stalls returns when, and for how long, a client stops that does so in all of
// these ways.
func stalls(seed uint64, pauses ...pause) func(at time.Duration) time.Duration {
	random := rand.New(rand.NewPCG(seed, 3))
	next := make([]time.Duration, len(pauses))
	running := func(p pause) time.Duration {
		mean := float64(p.least+p.most) / 2 * (1 - p.part) / p.part
		return time.Duration(random.ExpFloat64() * mean)
	}
	for i, p := range pauses {
		next[i] = running(p)
	}
	return func(at time.Duration) (longest time.Duration) {
		for i, p := range pauses {
			if at < next[i] {
				continue
			}
			d := p.least + time.Duration(random.Int64N(int64(p.most-p.least)))
			next[i] = at + d + running(p)
			longest = max(longest, d)
		}
		return longest
	}
}

// newStalledRun is a run on a link wider than anything that is sent, to a
// client that stops now and then. What arrives meanwhile it reads afterwards,
// one packet every 20 to 50 µs.
func newStalledRun(t testing.TB, rtt time.Duration, seed uint64, pauses ...pause) *run {
	r := newRun(t, &link{capacity: steady(100e6), rtt: rtt})
	r.stall = stalls(seed, pauses...)
	r.drain = time.Duration(20+seed*10%31) * time.Microsecond
	return r
}

func eachStall(t *testing.T, f func(t *testing.T, rtt time.Duration, seed uint64, pauses ...pause)) {
	for _, c := range []struct {
		name   string
		pauses []pause
	}{
		{"often", []pause{often}},
		{"mostly", []pause{mostly}},
		{"often and rarely", []pause{often, rarely}},
		{"mostly and rarely", []pause{mostly, rarely}},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachRTT(t, func(t *testing.T, rtt time.Duration) {
				for seed := range uint64(3) {
					f(t, rtt, seed, c.pauses...)
				}
			})
		})
	}
}

// A client that has too little processor time has everything all the same, if
// the way to it is wide.
func TestStalls(t *testing.T) {
	eachStall(t, func(t *testing.T, rtt time.Duration, seed uint64, pauses ...pause) {
		r := newStalledRun(t, rtt, seed, pauses...)
		r.to(5*time.Second, nil)
		if got := r.share(40*time.Second, 2); got < 0.95 {
			t.Errorf("best layer, seed %d: got %.3f of the time, want 0.95; at the end %.0f bit/s", seed, got, r.estimate())
		}
	})
}

// Nor does it matter if its clock runs fast or slow, or if the path loses a few
// packets too.
func TestStallsAndMore(t *testing.T) {
	for _, c := range []struct {
		name        string
		drift, loss float64
	}{
		{"fast clock", 200e-6, 0},
		{"slow clock", -200e-6, 0},
		{"little loss", 0, 0.002},
		{"loss", 0, 0.03},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachRTT(t, func(t *testing.T, rtt time.Duration) {
				for seed := range uint64(3) {
					r := newStalledRun(t, rtt, seed, mostly, rarely)
					r.drift, r.link.loss = c.drift, c.loss
					r.to(5*time.Second, nil)
					if got := r.share(40*time.Second, 2); got < 0.95 {
						t.Errorf("best layer, seed %d: got %.3f of the time, want 0.95; at the end %.0f bit/s", seed, got, r.estimate())
					}
				}
			})
		})
	}
}

// A route that becomes longer is no queue, and one that becomes shorter neither.
// If the client is busy as well it takes some ten seconds to see that.
func TestDetour(t *testing.T) {
	eachRTT(t, func(t *testing.T, rtt time.Duration) {
		for _, stalled := range []bool{false, true} {
			r := newStalledRun(t, rtt, 3, often)
			if !stalled {
				r.stall = nil
			}
			r.link.detour = func(at time.Duration) time.Duration {
				if at > 20*time.Second && at < 40*time.Second {
					return 100 * time.Millisecond
				}
				return 0
			}
			r.to(20*time.Second, nil)
			if got := r.share(10*time.Second, 1); !stalled && got < 0.95 {
				t.Errorf("middle layer when the way became longer: got %.3f of the time, want 0.95", got)
			}
			r.to(35*time.Second, nil)
			if got := r.share(5*time.Second, 2); got < 0.95 {
				t.Errorf("best layer on the longer way, stalled %t: got %.3f of the time, want 0.95", stalled, got)
			}
			if got := r.share(20*time.Second, 2); got < 0.95 {
				t.Errorf("best layer on the shorter way, stalled %t: got %.3f of the time, want 0.95", stalled, got)
			}
		}
	})
}

// Who is sent little, because there is no more, does not lose it.
func TestStallsWithLittleToSend(t *testing.T) {
	for _, bps := range []float64{150_000, 500_000} {
		t.Run(fmt.Sprint(bps), func(t *testing.T) {
			eachStall(t, func(t *testing.T, rtt time.Duration, seed uint64, pauses ...pause) {
				r := newStalledRun(t, rtt, seed, pauses...)
				r.layers, r.wanted = []float64{bps}, bps*1.15
				r.to(5*time.Second, nil)
				if got := r.share(40*time.Second, 0); got < 0.95 {
					t.Errorf("only layer, seed %d: got %.3f of the time, want 0.95; at the end %.0f bit/s", seed, got, r.estimate())
				}
			})
		})
	}
}

// One long stop is soon forgotten.
func TestOneStall(t *testing.T) {
	for _, stop := range []time.Duration{500 * time.Millisecond, 1500 * time.Millisecond, 2500 * time.Millisecond} {
		t.Run(fmt.Sprint(stop), func(t *testing.T) {
			eachRTT(t, func(t *testing.T, rtt time.Duration) {
				r := newStalledRun(t, rtt, 1)
				r.stall = func(at time.Duration) time.Duration {
					if at == 10*time.Second {
						return stop
					}
					return 0
				}
				r.to(10*time.Second+stop, nil)
				r.within("best layer again", time.Second, func() bool { return r.layer == 2 })
				r.to(r.at+100*time.Millisecond, nil)
				if got := r.share(5*time.Second, 2); got < 0.99 {
					t.Errorf("best layer: got %.3f of the time, want 0.99", got)
				}
			})
		})
	}
}

// That the path was too narrow is forgotten when all that is wanted has fitted
// for a while, and not before.
func TestCongestedIsForgotten(t *testing.T) {
	eachRTT(t, func(t *testing.T, rtt time.Duration) {
		r := newRun(t, &link{rtt: rtt, capacity: func(at time.Duration) float64 {
			if at > 10*time.Second && at < 60*time.Second {
				return 4e5
			}
			return 4e6
		}})
		r.to(10*time.Second, nil)
		if r.c.Congested() {
			t.Error("congested on 4 Mbit/s: got true")
		}
		r.within("congestion", 2*time.Second, r.c.Congested)
		r.to(60*time.Second, func() {
			if !r.c.Congested() {
				t.Fatalf("congested on 400 kbit/s after %v: got false", r.at)
			}
		})
		r.within("best layer again", 8*time.Second, func() bool { return r.layer == 2 })
		r.within("end of congestion", 30*time.Second, func() bool { return !r.c.Congested() })
	})
}

// A link that is full is seen through the stalls.
func TestStallsOnSlowLink(t *testing.T) {
	for _, p := range []pause{often, mostly} {
		t.Run(fmt.Sprint(p.part), func(t *testing.T) {
			eachRTT(t, func(t *testing.T, rtt time.Duration) {
				for seed := range uint64(3) {
					r := newStalledRun(t, rtt, seed, p)
					r.link.capacity = func(at time.Duration) float64 {
						if at < 10*time.Second {
							return 100e6
						}
						return 8e5
					}
					r.to(10*time.Second, nil)
					r.within("fall", 2*time.Second, func() bool { return r.estimate() < 8e5 })
					r.to(15*time.Second, nil)
					r.link.deepest = 0
					r.to(40*time.Second, nil)
					if r.link.deepest > 500*time.Millisecond {
						t.Errorf("queue, seed %d: got %v, want at most 500ms", seed, r.link.deepest)
					}
				}
			})
		})
	}
}
