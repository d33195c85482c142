package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"belfry.live/belfry/internal/event"
	"belfry.live/belfry/internal/store"
)

// memory is a journal and a table in memory, for tests in a synctest bubble,
// where a real server's goroutines cannot live.
type memory struct {
	mu      sync.Mutex
	events  []event.Record
	of      map[string][]event.Record // by subject
	grown   chan struct{}
	dead    []event.DeadLetter
	rows    map[string][]byte
	writes  int
	refuses bool // the table takes nothing
}

func newMemory() *memory {
	return &memory{grown: make(chan struct{}), of: map[string][]event.Record{}, rows: map[string][]byte{}}
}

func (m *memory) append(meeting string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	seq := uint64(len(m.events) + 1)
	r := event.Record{
		Sequence: seq, ID: fmt.Sprint("id", seq), Appended: time.Now(), Type: "t",
		Subject: "events.111122223333.aws.chime.meeting." + meeting, Body: fmt.Appendf(nil, "%s %d", meeting, seq),
	}
	m.events, m.of[r.Subject] = append(m.events, r), append(m.of[r.Subject], r)
	close(m.grown)
	m.grown = make(chan struct{})
}

func (m *memory) Last(context.Context) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return uint64(len(m.events)), nil
}

func (m *memory) At(_ context.Context, subject string, from uint64) (event.Record, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := m.events
	if subject != "events.>" {
		list = m.of[subject]
	}
	i := sort.Search(len(list), func(i int) bool { return list[i].Sequence >= from })
	if i == len(list) {
		return event.Record{}, false, nil
	}
	return list[i], true, nil
}

func (m *memory) Next(ctx context.Context, subject string, from uint64) (event.Record, error) {
	for {
		m.mu.Lock()
		grown := m.grown
		m.mu.Unlock()
		if r, ok, _ := m.At(ctx, subject, from); ok {
			return r, nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return event.Record{}, ctx.Err()
		}
	}
}

func (m *memory) Bury(_ context.Context, r event.Record, letter event.DeadLetter) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	letter.Event = r.Body
	m.dead = append(m.dead, letter)
	return nil
}

// memoryTable is the table of a memory.
type memoryTable struct {
	store.Table // nil: other methods are not called
	*memory
}

func (t memoryTable) Get(_ context.Context, key string) (store.Record, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v, ok := t.rows[key]
	if !ok {
		return store.Record{}, store.ErrNotFound
	}
	return store.Record{Key: key, Value: v}, nil
}

func (t memoryTable) Put(_ context.Context, key string, value []byte) (uint64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.refuses {
		return 0, errors.New("the disk is full")
	}
	t.writes++
	t.rows[key] = value
	return 1, nil
}

func (t memoryTable) Delete(_ context.Context, key string, _ uint64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.refuses {
		return errors.New("the disk is full")
	}
	t.writes++
	delete(t.rows, key)
	return nil
}

func (t memoryTable) List(_ context.Context, prefix string) (list []store.Record, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(t.rows)) {
		if strings.HasPrefix(key, prefix) {
			list = append(list, store.Record{Key: key, Value: t.rows[key]})
		}
	}
	return list, nil
}

// A target answers posts without a network.
type target func(*http.Request, string) int

func (f target) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	status := f(r, string(body))
	if status == 0 {
		return nil, errors.New("the connection broke")
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(nil)), Request: r}, nil
}

// fewLanes is how many lanes the tests' webhooks may have.
const fewLanes = 500

// deliver runs one webhook that posts to the target.
func deliver(t *testing.T, m *memory, to http.RoundTripper) (d *Deliveries, stop func()) {
	t.Helper()
	d, err := New(Config{Webhooks: []Webhook{{Name: "w", URL: "http://w.example", Secret: "0123456789abcdef"}}},
		m, memoryTable{memory: m}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	d.list[0].client.Transport, d.list[0].most = to, fewLanes
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	synctest.Wait()
	return d, func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: got %v, want nil", err)
		}
	}
}

// An event is tried for 24 hours, soon and often at first and at least every 15
// minutes later, and is a dead letter then; the next event of the resource goes
// out at once.
func TestADayOfRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		var tries []time.Duration
		begin := time.Now()
		second := time.Duration(0)
		d, stop := deliver(t, m, target(func(_ *http.Request, body string) int {
			if strings.HasSuffix(body, " 1") {
				tries = append(tries, time.Since(begin))
				return http.StatusBadGateway
			}
			second = time.Since(begin)
			return http.StatusOK
		}))
		m.append("m")
		time.Sleep(time.Hour)
		m.append("m")
		time.Sleep(24 * time.Hour)
		stop()
		const day = 24 * time.Hour
		if len(tries) < 96 || len(tries) > 220 {
			t.Errorf("got %d tries, want 96 to 220", len(tries))
		}
		for i, at := range tries[1:] {
			wait := at - tries[i]
			if low, high := min(time.Second<<min(i, 10), maxWait)/2, min(time.Second<<min(i, 10), maxWait); wait > high || wait < low && at != day {
				t.Errorf("got %v before try %d, want %v to %v", wait, i+2, low, high)
			}
		}
		if last := tries[len(tries)-1]; last != day {
			t.Errorf("got the last try after %v, want 24h", last)
		}
		if second != day {
			t.Errorf("got the next event after %v, want 24h", second)
		}
		if len(m.dead) != 1 || m.dead[0].Attempts != len(tries) || m.dead[0].Reason != "it answered with status 502" || m.dead[0].Webhook != "w" {
			t.Errorf("got the dead letters %+v, want one with %d attempts", m.dead, len(tries))
		}
		if s := d.Stats()[0]; s.Dead != 1 || s.Delivered != 1 || s.Waiting != 0 || s.Retries != uint64(len(tries)-1) {
			t.Errorf("got %+v", s)
		}
	})
}

// Whoever is overloaded is left alone for as long as they say, within an hour.
func TestRetryAfter(t *testing.T) {
	for _, c := range []struct {
		status    int
		said      string
		low, high time.Duration
	}{
		{http.StatusServiceUnavailable, "600", 10 * time.Minute, 10 * time.Minute},
		{http.StatusTooManyRequests, "soon", 0, time.Second},
		{http.StatusTooManyRequests, "999999", time.Hour, time.Hour},
		{http.StatusServiceUnavailable, "-5", 0, time.Second},
		{http.StatusServiceUnavailable, time.Date(2000, 1, 1, 0, 5, 0, 0, time.UTC).Format(http.TimeFormat), 5 * time.Minute, 5 * time.Minute},
		{http.StatusInternalServerError, "600", 0, time.Second},
	} {
		synctest.Test(t, func(t *testing.T) { // begins at midnight, 1 January 2000
			m := newMemory()
			var tries []time.Time
			_, stop := deliver(t, m, roundTripper(func(r *http.Request) (*http.Response, error) {
				tries = append(tries, time.Now())
				h := http.Header{"Retry-After": {c.said}}
				return &http.Response{StatusCode: c.status, Header: h, Body: http.NoBody, Request: r}, nil
			}))
			m.append("m")
			time.Sleep(2 * time.Hour)
			stop()
			if len(tries) < 2 {
				t.Fatalf("got %d tries in two hours", len(tries))
			}
			if wait := tries[1].Sub(tries[0]); wait < c.low || wait > c.high {
				t.Errorf("%d with Retry-After %q: got %v, want %v to %v", c.status, c.said, wait, c.low, c.high)
			}
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// While a webhook takes nothing at all, what is held in memory is bounded, and
// so are the posts at once; when it takes events again they come in order and
// none is missing.
func TestManyResourcesAndNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		var mu sync.Mutex
		down, now, most := true, 0, 0
		next := map[string]int{}
		d, stop := deliver(t, m, target(func(_ *http.Request, body string) int {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			time.Sleep(10 * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			now--
			if down {
				return 0
			}
			var meeting string
			var seq int
			fmt.Sscan(body, &meeting, &seq)
			if seq <= next[meeting] {
				t.Errorf("%s: got event %d after %d", meeting, seq, next[meeting])
			}
			next[meeting] = seq
			return http.StatusOK
		}))
		const meetings = fewLanes + 100
		for range 2 {
			for i := range meetings {
				m.append(fmt.Sprint("m", i))
			}
		}
		time.Sleep(time.Hour)
		if s := d.Stats()[0]; s.Waiting != fewLanes || s.Read >= 2*meetings {
			t.Errorf("got %d resources waiting after reading %d events, want %d", s.Waiting, s.Read, fewLanes)
		}
		mu.Lock()
		down = false
		mu.Unlock()
		time.Sleep(2 * time.Hour)
		stop()
		if s := d.Stats()[0]; s.Delivered != 2*meetings || s.Waiting != 0 || s.Lost != 0 {
			t.Errorf("got %+v, want %d delivered", s, 2*meetings)
		}
		for i := range meetings {
			if got, want := next[fmt.Sprint("m", i)], meetings+i+1; got != want {
				t.Errorf("m%d: got event %d last, want %d", i, got, want)
			}
		}
		if most != concurrency {
			t.Errorf("got %d posts at once, want %d", most, concurrency)
		}
		if len(m.rows) != 1 {
			t.Errorf("got %d rows of state, want the cursor alone", len(m.rows))
		}
	})
}

// The server may be killed after any write of the state: what was not delivered
// by then is delivered after the next start, in order.
func TestKilledAfterAnyWrite(t *testing.T) {
	for cut := range 40 {
		synctest.Test(t, func(t *testing.T) {
			m := newMemory()
			delivered := map[string][]string{}
			var mu sync.Mutex
			refused, killed := 0, false
			to := target(func(_ *http.Request, body string) int {
				time.Sleep(time.Duration(len(body)*17%13) * 100 * time.Millisecond) // some are under way at any time
				mu.Lock()
				defer mu.Unlock()
				meeting, _, _ := strings.Cut(body, " ")
				if meeting == "m0" && refused < 8 || meeting == "m1" && refused < 3 {
					refused++
					return http.StatusInternalServerError
				}
				if killed {
					return 0
				}
				delivered[meeting] = append(delivered[meeting], body)
				return http.StatusOK
			})
			_, stop := deliver(t, m, to)
			for n := range 60 {
				m.append(fmt.Sprint("m", n%5))
				time.Sleep(time.Duration(n*n%7) * 100 * time.Millisecond)
				m.mu.Lock()
				m.refuses = m.refuses || m.writes > cut
				mu.Lock()
				killed = m.refuses
				mu.Unlock()
				m.mu.Unlock()
			}
			stop() // nothing got out of it after the cut
			m.refuses, killed = false, false
			_, stop = deliver(t, m, to)
			time.Sleep(10 * time.Minute)
			stop()
			for i := range 5 {
				meeting := fmt.Sprint("m", i)
				var want []string
				for n := i; n < 60; n += 5 {
					want = append(want, fmt.Sprintf("%s %d", meeting, n+1))
				}
				var got []string // the first time of each
				for _, d := range delivered[meeting] {
					if !slices.Contains(got, d) {
						got = append(got, d)
					}
				}
				if !slices.Equal(got, want) {
					t.Errorf("after write %d, %s: got %v, want %v", cut, meeting, got, want)
				}
			}
		})
	}
}

// A journal that was begun anew does not stop a webhook.
func TestAnotherJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		var got []string
		to := target(func(_ *http.Request, body string) int {
			got = append(got, body)
			return http.StatusOK
		})
		_, stop := deliver(t, m, to)
		for range 5 {
			m.append("m")
		}
		time.Sleep(time.Minute)
		stop()
		m.rows["w.lane.events.111122223333.aws.chime.meeting.x"] = []byte(`{"sequence":4}`)
		m.events, m.of, got = m.events[:2], map[string][]event.Record{}, nil
		_, stop = deliver(t, m, to)
		m.append("n")
		time.Sleep(time.Minute)
		stop()
		if want := []string{"n 3"}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if len(m.rows) != 1 {
			t.Errorf("got %d rows of state, want the cursor alone", len(m.rows))
		}
	})
}
