package port

const (
	// burstPackets is how much one client gets before it is the next one's
	// turn: a frame of ordinary size.
	burstPackets = 32

	// runPackets and runBytes are how much the kernel splits for us.
	runPackets, runBytes = 64, 60000

	// A batch is what is collected before it is sent.
	batchMessages = 64
	batchBytes    = 256 << 10
)

// A Burst takes the packets one flow has to send now.
type Burst struct {
	free  []byte // what is left of the batch
	used  int
	sizes [burstPackets]uint16
	count int
}

// Next returns an empty slice with room for a packet of MaxPacket bytes, or
// nil if the burst is full.
func (b *Burst) Next() []byte {
	if b.count == len(b.sizes) || len(b.free)-b.used < MaxPacket {
		return nil
	}
	return b.free[b.used : b.used : b.used+MaxPacket]
}

// Add makes the first n bytes behind what Next has returned a packet.
func (b *Burst) Add(n int) {
	if n <= 0 || n > MaxPacket {
		panic("port: packet of impossible size")
	}
	b.sizes[b.count] = uint16(n)
	b.count++
	b.used += n
}

// A message is one or more packets for one path: all have the same size, only
// the last may be shorter.
type message struct {
	path  *path
	data  []byte
	size  int
	count int
}

// A batch collects the packets of many flows.
type batch struct {
	data     []byte
	used     int
	messages []message
	packets  int // in messages
	burst    Burst
}

func (b *batch) init() {
	b.data = make([]byte, batchBytes)
	b.messages = make([]message, 0, batchMessages)
}

// hasRoom says whether another burst would fit, whatever it is made of.
func (b *batch) hasRoom() bool {
	return len(b.data)-b.used >= burstPackets*MaxPacket && cap(b.messages)-len(b.messages) >= burstPackets
}

// begin returns the burst to be filled next.
func (b *batch) begin() *Burst {
	b.burst.free, b.burst.used, b.burst.count = b.data[b.used:], 0, 0
	return &b.burst
}

// commit makes messages of what has been filled in for a path. It reports
// whether the burst was full.
func (b *batch) commit(pt *path) (full bool) {
	at := b.used
	for i := 0; i < b.burst.count; {
		m := message{path: pt, size: int(b.burst.sizes[i])}
		bytes := 0
		for i < b.burst.count && m.count < runPackets {
			n := int(b.burst.sizes[i])
			if n > m.size || bytes+n > runBytes {
				break
			}
			bytes += n
			m.count++
			i++
			if n < m.size {
				break // a shorter one ends the run
			}
		}
		m.data = b.data[at : at+bytes]
		at += bytes
		b.messages = append(b.messages, m)
	}
	b.used = at
	b.packets += b.burst.count
	return b.burst.count == burstPackets
}

func (b *batch) reset() {
	clear(b.messages)
	b.messages = b.messages[:0]
	b.used, b.packets = 0, 0
}
