package meeting

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A life is what is known of a meeting that has not ended.
type life struct {
	// Fixed.
	created time.Time
	primary ID // of a replica

	// Guarded by Service.mu.
	room       *room               // nil: nobody is in
	emptySince time.Time           // zero: somebody is in
	lastID     uint32              // of streams, see room.next
	before     []rosterEntry       // who was present before the server's restart
	relayed    map[AttendeeID]bool // whose media needs the relay
}

func (s *Service) beginLife(m Meeting) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.living) >= s.cfg.MaxMeetings {
		return fmt.Errorf("%w: %d", ErrTooMany, s.cfg.MaxMeetings)
	}
	if m.PrimaryID != "" {
		switch {
		case s.living[m.PrimaryID] == nil:
			return fmt.Errorf("%w: %s has ended", ErrPrimary, m.PrimaryID)
		case len(s.replicas(m.PrimaryID)) >= s.cfg.MaxReplicas:
			return fmt.Errorf("%w: %d", ErrTooManyReplicas, s.cfg.MaxReplicas)
		}
	}
	s.living[m.ID] = &life{created: m.Created, primary: m.PrimaryID, emptySince: time.Now()}
	return nil
}

// endLife forgets a meeting and returns its room, if somebody is in, and its
// replicas. The room of a replica is that of its primary.
func (s *Service) endLife(id ID) (r *room, replicas []ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.living[id]
	if l == nil {
		return nil, nil
	}
	delete(s.living, id)
	if p := s.living[l.primary]; p != nil {
		return p.room, nil
	}
	return l.room, s.replicas(id)
}

func (s *Service) life(id ID) *life {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.living[id]
}

// reap ends the meetings whose time has come.
func (s *Service) reap(ctx context.Context) {
	every := 5 * time.Second
	for _, limit := range []time.Duration{s.cfg.EmptyTimeout, s.cfg.MaxAge} {
		if limit > 0 {
			every = max(min(every, limit/20), 20*time.Millisecond)
		}
	}
	check := time.NewTicker(every)
	defer check.Stop()
	for {
		select {
		case now := <-check.C:
			for _, id := range s.expired(now) {
				if err := s.End(ctx, id); err != nil && !errors.Is(err, ErrNotFound) && ctx.Err() == nil {
					s.log.Error("a meeting whose time has come does not end", "meeting", id, "err", err)
				}
			}
		case <-ctx.Done():
			return
		}
	}
}

func (s *Service) expired(now time.Time) []ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []ID
	for id, l := range s.living {
		if l.primary != "" {
			if s.living[l.primary] == nil {
				ids = append(ids, id) // left over by an end that was cut short
			}
			continue
		}
		old := s.cfg.MaxAge > 0 && now.Sub(l.created) >= s.cfg.MaxAge
		empty := s.cfg.EmptyTimeout > 0 && !l.emptySince.IsZero() && now.Sub(l.emptySince) >= s.cfg.EmptyTimeout
		if old || empty {
			ids = append(ids, id)
		}
	}
	return ids
}

// occupied notes whether anybody who counts is in the meeting.
func (s *Service) occupied(id ID, somebody bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.living[id]
	switch {
	case l == nil:
	case somebody:
		l.emptySince = time.Time{}
	case l.emptySince.IsZero():
		l.emptySince = time.Now()
	}
}

// liveRoom returns the room where the meeting's attendees are, nil if nobody
// is in.
func (s *Service) liveRoom(id ID) *room {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.living[id]
	if l != nil && l.primary != "" {
		l = s.living[l.primary]
	}
	if l == nil {
		return nil
	}
	return l.room
}

// liveRooms returns all rooms.
func (s *Service) liveRooms() (rooms []*room, meetings int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.living {
		if l.room != nil {
			rooms = append(rooms, l.room)
		}
	}
	return rooms, len(s.living)
}

// enterRoom returns the meeting's room, a new one if nobody is in, or
// ErrNotFound. A room that nobody enters soon ends.
func (s *Service) enterRoom(ctx context.Context, m Meeting) (*room, error) {
	s.mu.Lock()
	l := s.living[m.ID]
	if l == nil {
		s.mu.Unlock()
		return nil, ErrNotFound
	}
	if l.room != nil {
		defer s.mu.Unlock()
		return l.room, nil
	}
	l.lastID = max(l.lastID, firstID(time.Since(l.created)))
	r := newRoom(s, m, l.lastID, l.before)
	l.room, l.before = r, nil
	s.mu.Unlock()
	select {
	case s.start <- r:
		return r, nil
	case <-s.stopped:
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l.room = nil
	close(r.done)
	return nil, errStopping
}

// errStopping says that no room is opened any more.
var errStopping = errors.New("meeting: the service is stopping")

// retire forgets an empty room.
func (s *Service) retire(r *room, lastID uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.living[r.meeting.ID]; l != nil && l.room == r {
		l.room, l.lastID = nil, lastID
	}
}

// firstID returns where the stream ids of a meeting of that age begin. They
// must grow also over a restart of the server, of which the clients keep what
// they knew: so many a second nobody can have used before.
func firstID(age time.Duration) uint32 {
	const perSecond = 32
	return uint32(max(age, 0).Seconds()*perSecond) + 1
}
