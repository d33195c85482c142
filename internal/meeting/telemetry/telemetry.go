// Package telemetry adds up what clients say of themselves: the metrics and
// start-up timings of their signaling frames and the events they post. Out go
// counts and histograms over all clients together. No name that a client chose
// and nothing of a single attendee is kept, so what there is stays small and
// is nobody's business but the operator's. Limits of frames and bodies, and
// who may send any, are left to the callers.
package telemetry

import (
	"math"
	"slices"
	"sync"
)

// A Tally adds up. Its zero value is empty and ready.
type Tally struct {
	mu         sync.Mutex // guards what follows
	histograms map[string]*Histogram
	counts     map[Count]uint64
}

// A Histogram counts values by the first of its bounds that they do not
// exceed.
type Histogram struct {
	Name   string
	Help   string
	Bounds []float64 // ascending
	Counts []uint64  // one for each bound, and one for what exceeds all
	Sum    float64
}

// A Count is the name of something counted, with one label at most.
type Count struct{ Name, Label, Value string }

// A Snapshot is what has been added up so far, each in the order of names.
type Snapshot struct {
	Histograms []Histogram
	Counts     map[Count]uint64
}

// Snapshot returns a copy.
func (t *Tally) Snapshot() Snapshot {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := Snapshot{Counts: make(map[Count]uint64, len(t.counts))}
	for _, h := range t.histograms {
		c := *h
		c.Counts = slices.Clone(h.Counts)
		s.Histograms = append(s.Histograms, c)
	}
	slices.SortFunc(s.Histograms, func(a, b Histogram) int { return compare(a.Name, b.Name) })
	for c, n := range t.counts {
		s.Counts[c] = n
	}
	return s
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// A scale is what a histogram measures, and in which steps.
type scale struct {
	name, help string
	bounds     []float64
	factor     float64 // from what clients say to what we say
}

// observe adds a value. What no client can have measured is left out: one
// absurd value would spoil the sum for ever. It is called with mu held.
func (t *Tally) observe(s *scale, value float64) {
	value *= s.factor
	most := 1000 * s.bounds[len(s.bounds)-1]
	if math.IsNaN(value) || value < 0 || value > most {
		t.count(Count{Name: "implausible"}, 1)
		return
	}
	h := t.histograms[s.name]
	if h == nil {
		if t.histograms == nil {
			t.histograms = map[string]*Histogram{}
		}
		h = &Histogram{Name: s.name, Help: s.help, Bounds: s.bounds, Counts: make([]uint64, len(s.bounds)+1)}
		t.histograms[s.name] = h
	}
	i, _ := slices.BinarySearch(s.bounds, value)
	h.Counts[i]++
	h.Sum += value
}

// count adds to a count. It is called with mu held.
func (t *Tally) count(c Count, n uint64) {
	if t.counts == nil {
		t.counts = map[Count]uint64{}
	}
	t.counts[c] += n
}
