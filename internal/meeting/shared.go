package meeting

import (
	"belfry.live/belfry/internal/meeting/mix"
	"belfry.live/belfry/internal/meeting/sfu"
)

// A sharedFrame makes one packet of each frame of the mix, however many hear
// it. The mixer's goroutine alone touches it.
type sharedFrame struct {
	packet *sfu.Packet // of the last frame
}

// of returns the frame's packet, which is good until the next call. Nil: the
// frame is too long.
func (s *sharedFrame) of(f mix.Frame) *sfu.Packet {
	if f.Repeat {
		return s.packet
	}
	if s.packet != nil {
		s.packet.Release()
	}
	s.packet = sfu.NewPacket(f.Payload)
	return s.packet
}
