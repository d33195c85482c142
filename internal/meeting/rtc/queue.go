package rtc

import "belfry.live/belfry/internal/meeting/sfu"

const (
	queueBegin = 16 // packets there is room for at first

	// queueKeep is the size from which an empty queue gives its memory back.
	queueKeep = 256

	// evenWithin is how many packets are looked at to make them equally long,
	// maxEvenPadding by how many bytes one may grow.
	evenWithin     = 16
	maxEvenPadding = 16
)

// A queue is a ring of packets that grows up to its limit: who is sent little
// needs little.
type queue struct {
	limit int
	items []sfu.Outgoing // a power of two
	first int
	count int
}

// push reports whether there was room.
func (q *queue) push(x sfu.Outgoing) bool {
	if q.count >= q.limit {
		return false
	}
	if q.count == len(q.items) {
		q.grow()
	}
	q.items[(q.first+q.count)&(len(q.items)-1)] = x
	q.count++
	return true
}

func (q *queue) grow() {
	items := make([]sfu.Outgoing, max(2*len(q.items), queueBegin))
	n := copy(items, q.items[q.first:])
	copy(items[n:], q.items[:q.first])
	q.items, q.first = items, 0
}

func (q *queue) pop() (x sfu.Outgoing, ok bool) {
	if q.count == 0 {
		return x, false
	}
	x, q.items[q.first] = q.items[q.first], sfu.Outgoing{}
	q.first = (q.first + 1) & (len(q.items) - 1)
	if q.count--; q.count == 0 && len(q.items) > queueKeep {
		q.items, q.first = nil, 0
	}
	return x, true
}

// evenSize returns to how many bytes the first packet is to be padded so that
// it is as long as those of the same picture behind it: the kernel takes
// packets of one length as one. Clients cut pictures into parts that differ by
// a byte or little more.
func (q *queue) evenSize() int {
	x := &q.items[q.first]
	size := x.Size()
	longest := size
	for i := 1; i < min(q.count, evenWithin); i++ {
		y := &q.items[(q.first+i)&(len(q.items)-1)]
		if y.SSRC != x.SSRC || y.Timestamp != x.Timestamp {
			break
		}
		if n := y.Size(); n > longest && n <= size+maxEvenPadding {
			longest = n
		}
	}
	return longest
}

// empty drops what waits.
func (q *queue) empty() {
	for x, ok := q.pop(); ok; x, ok = q.pop() {
		x.Packet.Release()
	}
}
