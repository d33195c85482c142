package bwe

import "time"

// historySize is how many packets are remembered until the client tells about
// them: more than a second of 15 Mbit/s. It is a power of two.
const historySize = 2048

// A sent is a packet that went out.
type sent struct {
	seq     int64 // extended
	at      int64 // ns
	size    uint16
	cluster uint8 // of the probe it was part of, 0: none
	state   uint8
}

const (
	unknown uint8 = iota // nothing was said yet
	missing              // was not received when the client last spoke
	received
)

// A packet is a sent packet as the rest of this package sees it.
type packet struct {
	seq     int64
	sent    time.Duration
	size    uint16
	cluster uint8
}

// A history knows what was sent lately, by transport-wide sequence number.
type history struct {
	ring    []sent // made with the first packet
	next    int64
	settled int64 // all before are known to be received or lost
	newest  int64 // the newest one told about at the last feedback
	arrival time.Duration
	started bool
}

func (h *history) add(at time.Duration, size int, cluster uint8) uint16 {
	if h.ring == nil {
		h.ring = make([]sent, historySize)
		h.next, h.settled = 1, 1
	}
	seq := h.next
	h.next++
	if h.settled < h.next-historySize {
		h.settled = h.next - historySize // never told about: says nothing
	}
	h.ring[seq&(historySize-1)] = sent{seq: seq, at: int64(at), size: uint16(min(size, 1<<16-1)), cluster: cluster}
	return uint16(seq)
}

func (h *history) at(seq int64) *sent {
	if h.ring == nil {
		return nil
	}
	if p := &h.ring[seq&(historySize-1)]; p.seq == seq && seq > 0 {
		return p
	}
	return nil
}

// report takes what the client says of a packet. It is false if that is
// nothing new, or about no packet of ours.
func (h *history) report(seq uint16, got bool) (packet, bool) {
	full := h.next - 1 + int64(int16(seq-uint16(h.next-1)))
	p := h.at(full)
	if p == nil || p.state == received {
		return packet{}, false
	}
	p.state = missing
	if got {
		p.state = received
	}
	return packet{seq: p.seq, sent: time.Duration(p.at), size: p.size, cluster: p.cluster}, true
}

// settle passes on, once, every packet whose fate is known: those before the
// newest of the feedback before this one, as late ones are told about with the
// next feedback.
func (h *history) settle(newest int64, yield func(p sent, got bool)) {
	for ; h.settled <= h.newest; h.settled++ {
		if p := h.at(h.settled); p != nil && p.state != unknown {
			yield(*p, p.state == received)
		}
	}
	h.newest = max(h.newest, newest)
}

// waitingSince returns the age of the oldest packet newer than all the client
// has told about.
func (h *history) waitingSince(at time.Duration) time.Duration {
	if p := h.at(max(h.newest+1, h.settled)); p != nil {
		return at - time.Duration(p.at)
	}
	return 0
}

// unwrap turns arrival times, which wrap, into ones that go on.
func (h *history) unwrap(arrival time.Duration) time.Duration {
	if !h.started {
		h.started = true
		h.arrival = arrival
		return arrival
	}
	d := (arrival - h.arrival) % arrivalWrap
	switch {
	case d > arrivalWrap/2:
		d -= arrivalWrap
	case d < -arrivalWrap/2:
		d += arrivalWrap
	}
	h.arrival += d
	return h.arrival
}
