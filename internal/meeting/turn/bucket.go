package turn

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// A bucket lets through a number of units a second, and burst seconds of them
// at once.
type bucket struct {
	rate, burst float64 // units/s, units
	full        float64 // units used, at most burst
	at          time.Time
}

func newBucket(rate, burst float64) bucket { return bucket{rate: rate, burst: burst} }

func (b *bucket) take(units float64, now time.Time) bool {
	if d := now.Sub(b.at); d > 0 {
		b.full = max(0, b.full-b.rate*d.Seconds())
		b.at = now
	}
	if b.full+units > b.burst {
		return false
	}
	b.full += units
	return true
}

// Answers to strangers that speak UDP, whose address may be forged.
const (
	strangerRate  = 50  // a second, to one address block
	strangerBurst = 500 // an office that joins at once
	strangerSlots = 1024
)

// A doorkeeper bounds how often strangers are answered, so that nobody is
// flooded with our answers to requests in their name. Address blocks that
// share a slot share its limit.
type doorkeeper struct {
	seed maphash.Seed
	mu   *sync.Mutex // guards slots
	slot []bucket
}

func newDoorkeeper() doorkeeper {
	d := doorkeeper{seed: maphash.MakeSeed(), mu: new(sync.Mutex), slot: make([]bucket, strangerSlots)}
	for i := range d.slot {
		d.slot[i] = newBucket(strangerRate, strangerBurst)
	}
	return d
}

func (d doorkeeper) admits(addr netip.Addr, now time.Time) bool {
	i := maphash.Comparable(d.seed, block(addr)) % strangerSlots
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.slot[i].take(1, now)
}

// block is what counts as one address: an IPv6 /64 is given out whole.
func block(addr netip.Addr) netip.Addr {
	addr = addr.Unmap()
	if addr.Is6() {
		p, err := addr.WithZone("").Prefix(64)
		if err != nil {
			panic("turn: " + err.Error()) // 64 bits fit an IPv6 address
		}
		return p.Addr()
	}
	return addr
}
