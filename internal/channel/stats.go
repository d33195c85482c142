package channel

import "time"

// Stats are what the channels have now.
type Stats struct {
	Live        int   // channels
	Broadcasts  int   // that viewers may load
	NoKeyFrame  int64 // pictures of these broadcasts before the first key frame
	OutOfTime   int64 // samples of these whose timestamps belong nowhere
	AudioTooOld int64 // sound of these that ran ahead of its timestamps

	EventsDropped uint64 // that were not written down
}

// Stats counts the channels that are live and adds up what their broadcasts
// could not use.
func (s *Service) Stats() Stats {
	now := time.Now()
	n := Stats{EventsDropped: s.recorder.box.Dropped()}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lives {
		l.mu.Lock()
		if l.on(now) {
			n.Live++
		}
		if b := l.broadcast; b != nil {
			n.Broadcasts++
			p := b.Packager.Stats()
			n.NoKeyFrame += p.NoKeyFrame.Load()
			n.OutOfTime += p.OutOfTime.Load()
			n.AudioTooOld += p.AudioTooOld.Load()
		}
		l.mu.Unlock()
	}
	return n
}
