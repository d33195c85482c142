package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"belfry.live/belfry/test/running"
)

// Margins of what may be left when everybody is gone.
const (
	moreGoroutines = 10
	moreFiles      = 5
	moreHeap       = 4 << 20  // bytes that were in use at the last garbage collection
	moreResident   = 24 << 20 // bytes; Go gives back late, and C's allocator not all
)

// A sample is how the server is at one time, as it says itself.
type sample struct {
	goroutines, files int
	resident, live    int           // bytes; live: of the heap, in use at the last garbage collection
	cpu               time.Duration // used so far
	attendees, rooms  int
	peers             int // media connections
	worker            int // resident bytes of the live connector's process
}

// take asks the server.
func take(s *running.Server) (p sample, err error) {
	resp, err := http.Get(s.Endpoint + "/metrics")
	if err != nil {
		return p, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return p, fmt.Errorf("GET /metrics: %s", resp.Status)
	}
	values, err := parse(resp.Body)
	if err != nil {
		return p, err
	}
	var missing []error
	value := func(name string) float64 {
		v, ok := values[name]
		if !ok {
			missing = append(missing, errors.New("/metrics has no "+name))
		}
		return v
	}
	p = sample{
		goroutines: int(value("go_goroutines")), files: int(value("process_open_fds")),
		resident: int(value("process_resident_memory_bytes")),
		// The next one begins when twice what this one left is in use.
		live:      int(value("go_memstats_next_gc_bytes")) / 2,
		cpu:       time.Duration(value("process_cpu_seconds_total") * float64(time.Second)),
		attendees: int(value(`belfry_attendees{kind="attendee"}`) + value(`belfry_attendees{kind="hidden"}`)),
		rooms:     int(value("belfry_rooms")),
		peers:     int(value("belfry_peer_connections")),
	}
	for _, pid := range s.Workers() {
		p.worker += resident(pid)
	}
	return p, errors.Join(missing...)
}

// parse reads Prometheus's text: values by name and labels.
func parse(r io.Reader) (map[string]float64, error) {
	values := make(map[string]float64)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		i := strings.LastIndexByte(lines.Text(), ' ')
		if i < 0 || strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		v, err := strconv.ParseFloat(lines.Text()[i+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("/metrics says %q", lines.Text())
		}
		values[lines.Text()[:i]] = v
	}
	return values, lines.Err()
}

// resident is the memory of a process that is in RAM, bytes; 0: it has ended.
func resident(pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b))
	if len(f) < 2 {
		return 0
	}
	pages, _ := strconv.Atoi(f[1]) // proc(5)
	return pages * os.Getpagesize()
}

// A table shows samples as they come.
type table struct {
	server *running.Server
	tally  *tally

	began  time.Time
	before sample // the last one
	at     time.Time
}

func (t *table) head() {
	t.began = time.Now()
	fmt.Println("   time  RSS MB  heap MB  goroutines  fds  CPU  worker MB  attendees  rooms  visits  gaps  failures")
}

// row takes a sample and shows it.
func (t *table) row() (sample, error) {
	p, err := take(t.server)
	if err != nil {
		return p, err
	}
	now := time.Now()
	cores := 0.0
	if !t.at.IsZero() {
		cores = (p.cpu - t.before.cpu).Seconds() / now.Sub(t.at).Seconds()
	}
	t.before, t.at = p, now
	visits, gaps, failures := t.tally.counts()
	fmt.Printf("%7s  %6.1f  %7.1f  %10d  %3d  %.2f  %9.1f  %9d  %5d  %6d  %4d  %8d\n",
		now.Sub(t.began).Round(time.Second), mega(p.resident), mega(p.live), p.goroutines, p.files, cores,
		mega(p.worker), p.attendees, p.rooms, visits, gaps, failures)
	return p, nil
}

func mega(bytes int) float64 { return float64(bytes) / (1 << 20) }

// run shows samples until ctx ends.
func (t *table) run(ctx context.Context) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if _, err := t.row(); err != nil && ctx.Err() == nil {
				t.tally.fail(fmt.Errorf("sample: %w", err))
			}
		}
	}
}

// settle waits until the server is no more than it was before, or, if that is
// not known, until it does not get less. Reading the metrics often makes the
// garbage that a collection takes to begin.
func (t *table) settle(ctx context.Context, before sample) (p sample, err error) {
	const (
		polls    = 50 * time.Millisecond
		openTime = 65 * time.Second // broadcasts stay open for a minute
		calmTime = 10 * time.Second
	)
	unknown := before == sample{}
	began := time.Now()
	least, since := sample{}, time.Now()
	shown := time.Now()
	for {
		if p, err = take(t.server); err != nil {
			return p, err
		}
		if unknown {
			if least.goroutines == 0 || p.goroutines < least.goroutines || p.files < least.files {
				least, since = p, time.Now()
			}
			if time.Since(since) > calmTime && time.Since(began) > openTime {
				break
			}
		} else if compare(io.Discard, before, p) == nil {
			break
		}
		if time.Since(began) > settleTime {
			break
		}
		if time.Since(shown) > sampleEvery {
			shown = time.Now()
			if _, err := t.row(); err != nil {
				return p, err
			}
		}
		select {
		case <-ctx.Done():
			return p, ctx.Err()
		case <-time.After(polls):
		}
	}
	return t.row()
}

// compare says what there is more of than before, beyond the margins.
func compare(w io.Writer, before, after sample) error {
	var errs []error
	check := func(name string, before, after, margin, unit int) {
		fmt.Fprintf(w, "%s: %d before, %d after, %d more at most\n", name, before/unit, after/unit, margin/unit)
		if after > before+margin {
			errs = append(errs, fmt.Errorf("got %s %d at the end, want %d as at the start, %d more at most", name, after/unit, before/unit, margin/unit))
		}
	}
	check("goroutines", before.goroutines, after.goroutines, moreGoroutines, 1)
	check("open files", before.files, after.files, moreFiles, 1)
	check("kB of heap in use", before.live, after.live, moreHeap, 1<<10)
	check("kB of resident memory", before.resident, after.resident, moreResident, 1<<10)
	if after.attendees+after.rooms+after.peers > 0 {
		errs = append(errs, fmt.Errorf("got %d attendees in %d rooms and %d media connections at the end, want none", after.attendees, after.rooms, after.peers))
	}
	return errors.Join(errs...)
}
