package sfu

// Blank returns a packet of the retransmission stream without a payload, for
// its sender to fill with padding: it tests the bandwidth when there is no
// video that could be sent once more. Its packet is retained. It is false if
// RTX was not agreed on.
func (s *Subscriber) Blank() (Outgoing, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.types {
		if t.RTX == 0 {
			continue
		}
		o := Outgoing{Packet: NewPacket(nil), SSRC: s.rtxSSRC, Type: t.RTX, Seq: s.rtxSeq}
		s.rtxSeq++
		return o, true
	}
	return Outgoing{}, false
}
