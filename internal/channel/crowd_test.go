package channel

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"belfry.live/belfry/internal/channel/ingest"
)

// TestCrowdOfPublishers lets publishers of all priorities fight for a channel,
// stall, get lost and come back, and holds what was told of it to the order in
// which a stream's life goes.
func TestCrowdOfPublishers(t *testing.T) {
	for range 5 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t, Spec{})
				var wg sync.WaitGroup
				for i := range 6 {
					wg.Go(func() { d.fight(rand.New(rand.NewPCG(seed, uint64(i)))) })
				}
				wg.Go(func() {
					r := rand.New(rand.NewPCG(seed, 99))
					for range 20 {
						time.Sleep(time.Duration(r.IntN(3000)) * time.Millisecond)
						if r.IntN(4) == 0 {
							d.StopStream(t.Context(), d.ch.ID)
						}
						d.Streams(d.ch.Owner())
						d.Stream(t.Context(), d.ch.ID)
					}
				})
				wg.Wait()
				time.Sleep(5 * time.Second)
				d.checkLives()
				if n := d.seats.taken[d.ch.Owner()]; n != 0 {
					t.Errorf("got %d seats taken at the end, want none", n)
				}
			})
		})
	}
}

// fight publishes again and again, in one of the ways in which encoders do.
func (d *desk) fight(r *rand.Rand) {
	for range 8 {
		time.Sleep(time.Duration(r.IntN(2000)) * time.Millisecond)
		query := url.Values{}
		if n := r.IntN(5); n > 0 {
			query.Set("priority", fmt.Sprint(n-1)) // 0 is no priority
		}
		p, err := d.Publish(d.t.Context(), d.key, ingest.Publisher{Encrypted: true, Query: query})
		if errors.Is(err, ingest.ErrBusy) {
			continue
		}
		if err != nil {
			d.t.Error(err)
			return
		}
		e := &encoder{t: d.t, Publication: p}
		if r.IntN(4) > 0 { // others never say what they send
			e.configure()
			for range 1 + r.IntN(3) {
				if e.try(time.Duration(r.IntN(2500))*time.Millisecond) != nil {
					break
				}
				pause := time.Duration(r.IntN(4000)) * time.Millisecond
				time.Sleep(pause)
				e.at = (e.at + pause).Round(2 * time.Second) // and goes on with a key frame
			}
		}
		p.Close(r.IntN(2) == 0)
	}
}

// checkLives holds the events to what can be: no stream begins twice or ends
// before it began, and two are never on the air.
func (d *desk) checkLives() {
	synctest.Wait()
	d.journal.mu.Lock()
	defer d.journal.mu.Unlock()
	seen := map[string]map[string]int{}
	onAir := ""
	for i, e := range d.journal.events {
		s := seen[e.StreamID]
		if s == nil {
			s = map[string]int{}
			seen[e.StreamID] = s
		}
		s[e.Name]++
		var ok bool
		switch e.Name {
		case SessionCreated:
			ok = len(s) == 1 && s[e.Name] == 1
		case StreamStart:
			ok = s[e.Name] == 1 && s[SessionCreated] == 1 && s[SessionEnded] == 0 && onAir == ""
			onAir = e.StreamID
		case SessionEnded:
			ok = s[e.Name] == 1 && s[SessionCreated] == 1
		case StreamEnd:
			ok = s[e.Name] == 1 && onAir == e.StreamID
			onAir = ""
		case StarvationStart:
			ok = onAir == e.StreamID && s[e.Name] == s[StarvationEnd]+1
		case StarvationEnd:
			ok = onAir == e.StreamID && s[e.Name] == s[StarvationStart]
		case StreamTakeover, TakeoverFailure:
			ok = s[SessionCreated] == 1 && s[SessionEnded] == 0
		case StreamFailure:
			ok = s[SessionCreated] == 1
		}
		if !ok {
			d.t.Errorf("event %d: %s of stream %s comes where it cannot, after %v with %q on the air", i, e.Name, e.StreamID, s, onAir)
		}
	}
	for stream, s := range seen {
		if s[SessionEnded] != 1 || s[StreamEnd] != s[StreamStart] {
			d.t.Errorf("stream %s: got %v, want it to end", stream, s)
		}
	}
	all, err := d.Sessions(d.t.Context(), d.ch.Owner(), d.ch.ID)
	if err != nil || len(all) != len(seen) {
		d.t.Errorf("got %d sessions, %v, want %d", len(all), err, len(seen))
	}
	for _, session := range all {
		total := 0
		for _, n := range seen[session.StreamID] {
			total += n
		}
		if session.Ended.IsZero() || len(session.Events) != total {
			d.t.Errorf("session %s: got end %v and %d events, want it ended with %d", session.StreamID, session.Ended, len(session.Events), total)
		}
	}
}

func FuzzPriority(f *testing.F) {
	for _, query := range []string{"", "priority=1", "priority=2147483647", "priority=2147483648", "priority=-1", "priority=1&priority=2", "priority=%zz", "priority=0x1", "a=b;priority=1"} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		values, _ := url.ParseQuery(query)
		n, err := parsePriority(values)
		switch {
		case err != nil && n != 0:
			t.Errorf("%q: got %d and %v, want none", query, n, err)
		case n < 0 || n > 1<<31-1:
			t.Errorf("%q: got %d, want 0 to 2147483647", query, n)
		case err == nil && n == 0 && values.Has("priority"):
			t.Errorf("%q: got no priority and no error", query)
		}
	})
}
