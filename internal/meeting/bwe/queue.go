package bwe

import (
	"math"
	"slices"
	"time"
)

const (
	// baseSlot times baseSlots is how long the shortest way is remembered: two
	// clocks drift by little in that time, and a route that became longer is
	// the usual one after it.
	baseSlot  = time.Second
	baseSlots = 10

	// lateBy is how much longer than the shortest a way must be to be late.
	// A stream is about as long silent between two pictures, or two packets of
	// sound, so that the last packet that came while the client was busy is in
	// time.
	lateBy = 20 * time.Millisecond

	// lateFor is for how long everything must arrive late for a queue to stand.
	lateFor = 150 * time.Millisecond
)

// A queue tells a queue on the path from a client that stops now and then, as
// one does that has too little processor time. A queue makes all packets late.
// A client that goes on reads what came in meanwhile all at once: the first of
// that is late by the whole stop, which looks as if a queue had been filling,
// but the last is in time.
type queue struct {
	ways  [baseSlots]time.Duration // the shortest in each slot; none: no packet
	slot  int64                    // the newest
	begun bool

	late   bool          // so was the newest packet,
	since  time.Duration // and all that arrived from then
	newest time.Duration // to then
}

const none = time.Duration(math.MaxInt64)

// add takes a packet that arrived and returns how much longer its way was than
// the shortest of late. What the two clocks differ by does not matter.
func (q *queue) add(sentAt, arrived time.Duration) time.Duration {
	way := arrived - sentAt
	slot := int64(arrived / baseSlot)
	if !q.begun || slot-q.slot >= baseSlots || q.slot-slot >= baseSlots {
		*q = queue{slot: slot, begun: true} // or the client's clock was set
		for i := range q.ways {
			q.ways[i] = none
		}
	}
	for q.slot < slot {
		q.slot++
		*q.at(q.slot) = none
	}
	least := q.at(max(slot, q.slot))
	*least = min(*least, way)
	q.newest = max(q.newest, arrived)
	late := way - slices.Min(q.ways[:])
	switch {
	case late < lateBy:
		q.late = false
	case !q.late:
		q.late, q.since = true, arrived
	}
	return late
}

// at returns what is kept of a slot, which may be negative: the client's clock
// begins anywhere.
func (q *queue) at(slot int64) *time.Duration {
	return &q.ways[(slot%baseSlots+baseSlots)%baseSlots]
}

// stands says whether there is a queue: everything has arrived late for longer
// than a client takes to read what came while it was busy.
func (q *queue) stands() bool { return q.late && q.newest-q.since >= lateFor }
