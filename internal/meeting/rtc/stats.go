package rtc

import "time"

// Stats are a peer's counters since its beginning.
type Stats struct {
	RTT            time.Duration // smoothed; a guess before the client's first report
	AudioReceived  int64         // packets
	AudioLost      int64
	AudioRecovered uint64 // lost frames that redundant packets brought
	AudioSent      uint32
	AudioDropped   uint64            // mix frames there was no room for
	WriteFailed    uint64            // packets the network did not take
	ReceiveDropped map[string]uint64 // packets from the client that were not used, by reason
	Sections       []Section         // active receive sections, in no order
}

// A Section counts the packets of one receive section.
type Section struct {
	SSRC         uint32
	Sent, Resent uint64
	Dropped      uint64 // no room in the queue
	Unsupported  uint64 // key frames in a codec the client has not agreed to
	Missed       uint64 // asked for again when they were gone
}

var dropNames = [dropReasons]string{
	dropUnknownType:  "unknown_type",
	dropBeforeKeys:   "before_keys",
	dropUnauthentic:  "unauthentic",
	dropTooManySSRCs: "too_many_ssrcs",
	dropCameraOff:    "camera_off",
	dropOtherSSRC:    "other_ssrc",
	dropUnknownRID:   "unknown_rid",
	dropBadRED:       "bad_red",
	dropTooMuch:      "too_much",
}

// Stats returns the counters.
func (p *Peer) Stats() Stats {
	s := Stats{
		AudioDropped:   p.out.audioDropped.Load(),
		WriteFailed:    p.out.writeFailed.Load() + p.flow.Refused(),
		ReceiveDropped: make(map[string]uint64, dropReasons),
	}
	for i, name := range dropNames {
		s.ReceiveDropped[name] = p.in.dropped[i].Load()
	}
	s.RTT = p.in.rtt()
	s.AudioRecovered = p.in.recovered.Load()
	s.AudioReceived, s.AudioLost = p.in.audio.counts()
	p.out.mix.Lock()
	s.AudioSent = p.out.mix.packets
	p.out.mix.Unlock()
	for ssrc, sub := range p.plan.Load().subscribers {
		c := sub.Stats()
		s.Sections = append(s.Sections, Section{
			SSRC:        ssrc,
			Sent:        uint64(c.Sent),
			Resent:      c.Resent,
			Dropped:     c.DroppedQueue,
			Unsupported: c.DroppedCodec,
			Missed:      c.MissedCache,
		})
	}
	return s
}
