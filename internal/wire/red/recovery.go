package red

// remembered is how many packets a Recovery looks back: more than a second of
// sound, and more than any offset reaches.
const remembered = 64

// A Recovery finds the frames of one stream that were lost and came again in
// later packets. A redundant block has a timestamp but no sequence number; it
// is found from those of the packets around it. A Recovery is for one
// goroutine; its zero is ready.
type Recovery struct {
	slots [remembered]struct {
		used      bool
		seq       uint16
		timestamp uint32
	}
}

// Packet takes in that the packet came, whose blocks are those of Parse, and
// calls lost for each frame that did not come before, the oldest first. A frame
// found so counts as come.
func (r *Recovery) Packet(seq uint16, timestamp uint32, blocks []Block, lost func(seq uint16, timestamp uint32, payload []byte)) {
	r.came(seq, timestamp)
	if len(blocks) == 0 {
		return
	}
	for _, b := range blocks[:len(blocks)-1] {
		if b.Offset == 0 || len(b.Payload) == 0 {
			continue
		}
		at := timestamp - uint32(b.Offset)
		if missing, ok := r.missing(seq, timestamp, at); ok {
			r.came(missing, at)
			lost(missing, at, b.Payload)
		}
	}
}

// Reset forgets everything; another stream begins.
func (r *Recovery) Reset() { *r = Recovery{} }

func (r *Recovery) came(seq uint16, timestamp uint32) {
	s := &r.slots[seq%remembered]
	s.used, s.seq, s.timestamp = true, seq, timestamp
}

// missing says which packet before (seq, timestamp) had that timestamp. False:
// none that is missing.
func (r *Recovery) missing(seq uint16, timestamp, at uint32) (uint16, bool) {
	next, nextAt := seq, timestamp
	for d := uint16(1); d < remembered; d++ {
		s := &r.slots[(seq-d)%remembered]
		if !s.used || s.seq != seq-d {
			continue
		}
		switch off := int32(s.timestamp - at); {
		case off == 0:
			return 0, false
		case off > 0:
			next, nextAt = s.seq, s.timestamp
			continue
		}
		// Between two that came the frames are taken to be equally long.
		hole := uint64(next - s.seq)
		if hole < 2 {
			return 0, false // no packet is missing there
		}
		length := uint64(nextAt - s.timestamp)
		back := (uint64(nextAt-at)*hole + length/2) / length
		return next - uint16(min(max(back, 1), hole-1)), true
	}
	return 0, false // before all that came: nobody waits for it
}
