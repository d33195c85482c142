package load

import (
	"math/bits"
	"time"
)

const (
	// gapTime without a packet is a gap that is heard: more than a jitter
	// buffer of the usual size has.
	gapTime = 100 * time.Millisecond

	// endTime without a packet, at the end, is one too; less may be on its
	// way through this program.
	endTime = 500 * time.Millisecond

	// reorderWindow is how many packets later one may still come.
	reorderWindow = 16

	audioRate    = 48000
	delayBuckets = 512 // of a millisecond; the last one is for all above
)

// audioCounts are of one attendee, or of all.
type audioCounts struct {
	Packets, Bytes int
	Gaps           int           // pauses longer than gapTime, and runs of lost packets
	Lost           int           // packets that never came
	Longest        time.Duration // between two packets
	// Delays counts packets by how much later they came than the fastest, in
	// milliseconds.
	Delays [delayBuckets]uint32
}

func (c *audioCounts) add(o *audioCounts) {
	c.Packets += o.Packets
	c.Bytes += o.Bytes
	c.Gaps += o.Gaps
	c.Lost += o.Lost
	c.Longest = max(c.Longest, o.Longest)
	for i, n := range o.Delays {
		c.Delays[i] += n
	}
}

// An ear counts what comes of the audio.
type ear struct {
	audioCounts

	begun   bool
	highest uint16
	came    uint64 // bit n: the packet n before the highest is here
	run     bool   // the last packet that left the window was lost
	last    time.Time
	fastest float64 // least of arrival minus timestamp, in seconds
	origin  time.Time
	first   uint32
}

// restart is called when the stream begins anew.
func (e *ear) restart() { e.begun = false }

// measure begins to count.
func (e *ear) measure() { e.audioCounts = audioCounts{} }

func (e *ear) hear(sequence uint16, timestamp uint32, size int, now time.Time) {
	e.Packets++
	e.Bytes += size
	if !e.begun {
		e.begun = true
		e.highest, e.came, e.run = sequence, ^uint64(0), false
		e.last, e.origin, e.first, e.fastest = now, now, timestamp, 0
		return
	}
	if d := int16(sequence - e.highest); d > 0 {
		e.advance(int(d), now)
		e.highest = sequence
		e.came |= 1
		e.last = now
	} else if d > -64 {
		e.came |= 1 << -d
	}
	late := now.Sub(e.origin).Seconds() - float64(int32(timestamp-e.first))/audioRate
	e.fastest = min(e.fastest, late)
	e.Delays[min(max(int((late-e.fastest)*1000), 0), delayBuckets-1)]++
}

// advance moves the window, and counts what leaves it without having come.
func (e *ear) advance(d int, now time.Time) {
	pause := now.Sub(e.last)
	e.Longest = max(e.Longest, pause)
	if pause > gapTime && d == 1 {
		e.Gaps++ // more than late packets: those lost count below
	}
	if d >= 64-reorderWindow { // a stream that jumps
		e.Lost += d - 1
		e.Gaps++
		e.came = ^uint64(0)
		return
	}
	for range d {
		e.came <<= 1
		gone := e.came&(1<<reorderWindow) == 0
		if gone {
			e.Lost++
			if !e.run {
				e.Gaps++
			}
		}
		e.run = gone
	}
}

// finish counts what is still missing when the measuring ends at that time.
func (e *ear) finish(now time.Time) audioCounts {
	c := e.audioCounts
	if e.begun && now.Sub(e.last) > endTime {
		c.Gaps++
		c.Longest = max(c.Longest, now.Sub(e.last))
	}
	if missing := reorderWindow - bits.OnesCount64(e.came&(1<<reorderWindow-1)); e.begun && missing > 0 {
		c.Lost += missing
		c.Gaps++
	}
	return c
}
