package bwe

import "time"

const (
	meterSlot  = 25 * time.Millisecond
	meterSlots = 20 // half a second
	// meterLeast is the shortest span a rate is told of.
	meterLeast = 150 * time.Millisecond
	meterShort = 8 // slots: what the rate of the moment is taken from
)

// A meter measures a rate over the last half second.
type meter struct {
	bytes [meterSlots]int
	total int
	slot  int64         // the newest
	first time.Duration // the beginning of what is measured
	last  time.Duration
	begun bool
}

func (m *meter) add(at time.Duration, size int) {
	slot := int64(at / meterSlot)
	if !m.begun || slot-m.slot >= 2*meterSlots || m.slot-slot >= 2*meterSlots {
		*m = meter{slot: slot, first: at, last: at, begun: true}
	}
	for m.slot < slot {
		m.slot++
		b := m.at(m.slot)
		m.total -= *b
		*b = 0
	}
	if slot <= m.slot-meterSlots {
		return
	}
	*m.at(slot) += size
	m.total += size
	m.last = max(m.last, at)
}

// at returns the bytes of a slot, which may be negative: the client's clock
// begins anywhere.
func (m *meter) at(slot int64) *int { return &m.bytes[(slot%meterSlots+meterSlots)%meterSlots] }

// rate returns bit/s up to the newest packet.
func (m *meter) rate() (float64, bool) { return m.over(meterSlots, m.total) }

// peak returns the higher of rate and the rate of the moment: what a path can
// carry that is full at the moment.
func (m *meter) peak() (float64, bool) {
	total := 0
	for i := range int64(meterShort) {
		total += *m.at(m.slot - i)
	}
	short, ok := m.over(meterShort, total)
	long, _ := m.rate()
	return max(short, long), ok
}

func (m *meter) over(slots int64, total int) (float64, bool) {
	if !m.begun {
		return 0, false
	}
	span := m.last - max(m.first, time.Duration(m.slot-slots+1)*meterSlot)
	if span < meterLeast {
		return 0, false
	}
	return float64(total) * 8 / span.Seconds(), true
}
