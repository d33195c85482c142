package load

import "time"

const (
	// gapTime without a packet is a gap that is heard: more than a jitter
	// buffer of the usual size has.
	gapTime = 100 * time.Millisecond

	// endTime without a packet, at the end, is one too; less may be on its
	// way through this program.
	endTime = 500 * time.Millisecond

	// reorderWindow is how many packets later one may still come: more than
	// a second.
	reorderWindow = 64

	// maxJump is by how much the numbers may go on at once before it is taken
	// for a stream that begins anew.
	maxJump = 128

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
	came    [1 << 8]bool // by sequence number: room for the window and a jump
	run     bool         // the last packet that left the window was lost
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
		e.highest, e.run = sequence, false
		e.forget()
		e.last, e.origin, e.first, e.fastest = now, now, timestamp, 0
		return
	}
	if d := int16(sequence - e.highest); d > 0 {
		e.advance(int(d), now)
		e.last = now
	} else if d > -reorderWindow {
		*e.packet(sequence) = true
	}
	late := now.Sub(e.origin).Seconds() - float64(int32(timestamp-e.first))/audioRate
	e.fastest = min(e.fastest, late)
	e.Delays[min(max(int((late-e.fastest)*1000), 0), delayBuckets-1)]++
}

// packet says whether one of the window came.
func (e *ear) packet(sequence uint16) *bool { return &e.came[int(sequence)%len(e.came)] }

// forget takes all before the highest for here.
func (e *ear) forget() {
	for i := range e.came {
		e.came[i] = true
	}
}

// advance moves the window, and counts what leaves it without having come.
func (e *ear) advance(d int, now time.Time) {
	pause := now.Sub(e.last)
	e.Longest = max(e.Longest, pause)
	if pause > gapTime && d == 1 {
		e.Gaps++ // more than late packets: those lost count below
	}
	if d > maxJump {
		e.Lost += d - 1
		e.Gaps++
		e.highest += uint16(d)
		e.forget()
		return
	}
	for range d {
		e.highest++
		e.leaves(e.highest - reorderWindow)
		*e.packet(e.highest) = false
	}
	*e.packet(e.highest) = true
}

// leaves counts a packet that leaves the window.
func (e *ear) leaves(sequence uint16) {
	lost := !*e.packet(sequence)
	if lost {
		e.Lost++
		if !e.run {
			e.Gaps++
		}
	}
	e.run = lost
}

// finish counts what is still missing when the measuring ends at that time.
func (e *ear) finish(now time.Time) audioCounts {
	if !e.begun {
		return e.audioCounts
	}
	for n := uint16(reorderWindow - 1); n > 0; n-- {
		e.leaves(e.highest - n)
	}
	e.forget()
	c := e.audioCounts
	if now.Sub(e.last) > endTime {
		c.Gaps++
		c.Longest = max(c.Longest, now.Sub(e.last))
	}
	return c
}
