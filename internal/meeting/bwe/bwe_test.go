package bwe

import (
	"fmt"
	"testing"
	"time"
)

// between fails the test unless the estimate is within bounds, bit/s.
func (r *run) between(low, high float64) {
	r.t.Helper()
	if got := r.estimate(); got < low || got > high {
		r.t.Errorf("estimate after %v: got %.0f bit/s, want %.0f to %.0f", r.at, got, low, high)
	}
}

// within runs until ok, and fails the test if that takes longer than limit.
func (r *run) within(what string, limit time.Duration, ok func() bool) {
	r.t.Helper()
	for end := r.at + limit; !ok(); r.at += time.Millisecond {
		if r.at >= end {
			r.t.Errorf("got no %s within %v; estimate %.0f, layer %d", what, limit, r.estimate(), r.layer)
			return
		}
		r.step()
	}
}

// share runs for a while and returns how often the layer was at least that.
func (r *run) share(d time.Duration, layer int) float64 {
	n, all := 0, 0
	r.to(r.at+d, func() {
		all++
		if r.layer >= layer {
			n++
		}
	})
	return float64(n) / float64(all)
}

var rtts = []time.Duration{20 * time.Millisecond, 80 * time.Millisecond, 200 * time.Millisecond}

func eachRTT(t *testing.T, f func(t *testing.T, rtt time.Duration)) {
	for _, rtt := range rtts {
		t.Run(fmt.Sprint(rtt), func(t *testing.T) { f(t, rtt) })
	}
}

// Who joins on a good link has the best layer within two seconds.
func TestQuickStart(t *testing.T) {
	eachRTT(t, func(t *testing.T, rtt time.Duration) {
		r := newRun(t, &link{capacity: steady(3e6), rtt: rtt})
		r.within("best layer", 2*time.Second, func() bool { return r.layer == 2 })
		r.to(4*time.Second, nil)
		r.between(1.6e6, 3e6)
		if r.link.deepest > 100*time.Millisecond {
			t.Errorf("queue: got %v, want at most 100ms", r.link.deepest)
		}
	})
}

// Who joins on a bad link has an estimate that fits within two seconds, and a
// queue that is empty soon after.
func TestQuickStartOnSlowLink(t *testing.T) {
	eachRTT(t, func(t *testing.T, rtt time.Duration) {
		r := newRun(t, &link{capacity: steady(3e5), rtt: rtt})
		r.within("low estimate", 2*time.Second, func() bool { return r.estimate() < 3e5 })
		r.to(12*time.Second, nil)
		r.link.deepest = 0
		r.to(40*time.Second, nil)
		if r.link.deepest > 350*time.Millisecond {
			t.Errorf("queue later on: got %v, want at most 350ms", r.link.deepest)
		}
		if got := r.share(20*time.Second, 0); got < 0.99 {
			t.Errorf("lowest layer shown: got %.3f of the time, want 0.99", got)
		}
	})
}

// The capacity falls to a tenth and comes back.
func TestCapacitySteps(t *testing.T) {
	eachRTT(t, func(t *testing.T, rtt time.Duration) {
		r := newRun(t, &link{rtt: rtt, capacity: func(at time.Duration) float64 {
			switch {
			case at < 15*time.Second:
				return 3e6
			case at < 35*time.Second:
				return 3e5
			}
			return 2e6
		}})
		r.to(5*time.Second, nil)
		if got := r.share(10*time.Second, 2); got < 0.99 {
			t.Errorf("best layer on 3 Mbit/s: got %.3f of the time, want 0.99", got)
		}
		r.within("fall", 3*time.Second, func() bool { return r.estimate() < 3e5 })
		r.to(22*time.Second, nil)
		r.link.deepest = 0
		if got := r.share(13*time.Second, 0); got < 0.99 {
			t.Errorf("lowest layer on 300 kbit/s: got %.3f of the time, want 0.99", got)
		}
		if r.link.deepest > 350*time.Millisecond {
			t.Errorf("queue on 300 kbit/s: got %v, want at most 350ms", r.link.deepest)
		}
		r.within("best layer again", 8*time.Second, func() bool { return r.layer == 2 })
		r.to(r.at+3*time.Second, nil)
		if got := r.share(20*time.Second, 2); got < 0.65 {
			t.Errorf("best layer on 2 Mbit/s: got %.3f of the time, want 0.65", got)
		}
		if r.waited > 800*time.Millisecond {
			t.Errorf("wait in the sender's queue: got %v, want at most 800ms", r.waited)
		}
	})
}

// Loss that is no matter of rate does not bring the rate down.
func TestRandomLoss(t *testing.T) {
	for _, loss := range []float64{0.02, 0.1, 0.2} {
		t.Run(fmt.Sprint(loss), func(t *testing.T) {
			eachRTT(t, func(t *testing.T, rtt time.Duration) {
				r := newRun(t, &link{capacity: steady(4e6), loss: loss, rtt: rtt})
				r.to(5*time.Second, nil)
				if got := r.share(25*time.Second, 2); got < 0.9 {
					t.Errorf("best layer: got %.3f of the time, want 0.9", got)
				}
				if got := r.c.Loss(); loss > 0.05 && (got < loss/2 || got > loss*1.5) {
					t.Errorf("inherent loss: got %.3f, want about %.2f", got, loss)
				}
			})
		})
	}
}

// Loss that comes of sending too much does: a policer has no queue to show.
func TestPolicer(t *testing.T) {
	eachRTT(t, func(t *testing.T, rtt time.Duration) {
		r := newRun(t, &link{capacity: steady(8e5), depth: 40 * time.Millisecond, rtt: rtt})
		r.to(5*time.Second, nil)
		r.link.overflow = 0
		sent := r.media + r.padding
		if got := r.share(30*time.Second, 0); got < 0.99 {
			t.Errorf("lowest layer: got %.3f of the time, want 0.99", got)
		}
		all := (r.media + r.padding - sent) / 1200
		if got := float64(r.link.overflow) / float64(all); got > 0.08 {
			t.Errorf("dropped: got %.3f of all packets, want at most 0.08", got)
		}
		r.between(1e5, 1e6)
	})
}

func TestJitter(t *testing.T) {
	for _, ordered := range []bool{false, true} {
		t.Run(fmt.Sprintf("ordered %t", ordered), func(t *testing.T) {
			eachRTT(t, func(t *testing.T, rtt time.Duration) {
				r := newRun(t, &link{capacity: steady(4e6), jitter: 30 * time.Millisecond, ordered: ordered, rtt: rtt})
				r.to(3*time.Second, nil)
				if got := r.share(30*time.Second, 2); got < 0.85 {
					t.Errorf("best layer: got %.3f of the time, want 0.85", got)
				}
			})
		})
	}
}

// Everything at once.
func TestBadNetwork(t *testing.T) {
	eachRTT(t, func(t *testing.T, rtt time.Duration) {
		r := newRun(t, &link{capacity: steady(1e6), loss: 0.1, jitter: 30 * time.Millisecond, rtt: rtt})
		r.to(5*time.Second, nil)
		if got := r.share(30*time.Second, 1); got < 0.7 {
			t.Errorf("middle layer on 1 Mbit/s: got %.3f of the time, want 0.7", got)
		}
	})
}

// Others come and go on the same link: what they leave is used.
func TestCompetingTraffic(t *testing.T) {
	eachRTT(t, func(t *testing.T, rtt time.Duration) {
		r := newRun(t, &link{capacity: steady(2.5e6), rtt: rtt, others: func(at time.Duration) float64 {
			if at >= 10*time.Second && at < 25*time.Second {
				return 1.8e6
			}
			return 0
		}})
		r.to(10*time.Second, nil)
		if r.layer != 2 {
			t.Errorf("layer alone: got %d, want 2", r.layer)
		}
		r.within("fall", 4*time.Second, func() bool { return r.layer < 2 })
		r.to(17*time.Second, nil)
		r.link.deepest = 0
		r.to(25*time.Second, nil)
		if r.link.deepest > 500*time.Millisecond {
			t.Errorf("queue beside others: got %v, want at most 500ms", r.link.deepest)
		}
		r.within("best layer again", 8*time.Second, func() bool { return r.layer == 2 })
	})
}

// A client that nothing is heard of any more is not sent much, and has all
// again soon after it is back.
func TestSilence(t *testing.T) {
	r := newRun(t, &link{capacity: steady(4e6), rtt: 50 * time.Millisecond})
	r.to(5*time.Second, nil)
	r.deaf = true
	r.to(10*time.Second, nil)
	r.between(DefaultMin, 4e5)
	r.deaf = false
	r.within("best layer again", 8*time.Second, func() bool { return r.layer == 2 })
}

// Nothing is sent to learn what nobody needs.
func TestNoProbeWithoutNeed(t *testing.T) {
	r := newRun(t, &link{capacity: steady(4e6), rtt: 50 * time.Millisecond})
	r.layers, r.wanted = []float64{150_000}, 200_000
	r.to(20*time.Second, nil)
	if r.padding != 0 {
		t.Errorf("padding: got %d bytes, want none", r.padding)
	}
}

// What probes cost on a link that is full all the time.
func TestPaddingIsLittle(t *testing.T) {
	r := newRun(t, &link{capacity: steady(4e5), rtt: 50 * time.Millisecond})
	r.to(60*time.Second, nil)
	if limit := r.media / 10; r.padding > limit {
		t.Errorf("padding: got %d bytes, want at most a tenth of %d", r.padding, r.media)
	}
}

// A client without transport-wide feedback is sent what its REMB says, or what
// gets through by its receiver reports.
func TestWithoutTransportFeedback(t *testing.T) {
	now := epoch
	run := func(c *Controller, lost float64, seconds int, numbered bool) {
		for range seconds {
			for range 100 {
				now = now.Add(10 * time.Millisecond)
				if numbered {
					c.Sent(Video, 750, now)
				} else {
					c.Unnumbered(Video, 750, now) // 600 kbit/s
				}
			}
			c.Report(lost, 100, now)
		}
	}
	for _, numbered := range []bool{false, true} {
		c := New(Config{}, now)
		run(c, 0, 5, numbered)
		if got := c.Estimate(now); got < 5_000_000 {
			t.Errorf("without loss: got %d bit/s, want much", got)
		}
		run(c, 0.4, 4, numbered)
		if got := c.Estimate(now); got > 400_000 {
			t.Errorf("with four of ten lost: got %d bit/s, want what gets through", got)
		}
		c.REMB(200_000, now)
		if got := c.Estimate(now); got != 200_000 {
			t.Errorf("with REMB: got %d bit/s, want 200000", got)
		}
	}
	c := New(Config{}, epoch)
	c.REMB(2_000_000, epoch)
	if got := c.Estimate(epoch); got != 2_000_000 {
		t.Errorf("with REMB: got %d bit/s, want 2000000", got)
	}
}

// A key frame goes out over time; audio never waits, and what is sent again
// gets its share only.
func TestPacing(t *testing.T) {
	c := New(Config{Start: 400_000}, epoch)
	left, now, first := 30_000, epoch, 0
	for left > 0 {
		for left > 0 && c.Allowed(Video, now) {
			c.Sent(Video, 1200, now)
			left -= 1200
			if now.Equal(epoch) {
				first += 1200
			}
		}
		if !c.Allowed(Audio, now) {
			t.Fatalf("after %v: got audio held back", now.Sub(epoch))
		}
		now = c.Next(now)
	}
	if first > 3600 {
		t.Errorf("at once: got %d bytes, want at most 3600", first)
	}
	// At 1.5 times 400 kbit/s it takes 400 ms, less the burst.
	if took := now.Sub(epoch); took < 300*time.Millisecond || took > 450*time.Millisecond {
		t.Errorf("key frame of 30 kB: got %v, want 300ms to 450ms", took)
	}
	if got, _ := c.Room(); got < 30_000 || got > 60_000 {
		t.Errorf("room: got %d bytes, want about 600ms", got)
	}
	again := 0
	for end := now.Add(10 * time.Second); now.Before(end); now = now.Add(time.Millisecond) {
		if c.Allowed(Resend, now) {
			c.Sent(Resend, 1000, now)
			again += 1000
		}
	}
	if bps := again * 8 / 10; bps < 100_000 || bps > 140_000 {
		t.Errorf("sent again: got %d bit/s, want 120000", bps)
	}
}

func TestControllerAllocatesNothing(t *testing.T) {
	c := New(Config{}, epoch)
	now := epoch
	c.Sent(Video, 1200, now)
	n := testing.AllocsPerRun(1000, func() {
		now = now.Add(time.Millisecond)
		c.Allowed(Video, now)
		c.Sent(Video, 1200, now)
		c.Padding(now)
		c.Next(now)
	})
	if n != 0 {
		t.Errorf("sending: got %v allocations per packet, want 0", n)
	}
}
