package meeting

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// A life is what is known of a meeting that has not ended.
type life struct {
	// Fixed.
	account string
	created time.Time
	primary ID // of a replica

	// Guarded by Service.mu.
	times      times
	room       *room               // nil: nobody is in
	emptySince time.Time           // zero: somebody is in
	lastID     uint32              // of streams, see room.next
	before     []rosterEntry       // who was present before the server's restart
	relayed    map[AttendeeID]bool // whose media needs the relay
}

func (s *Service) beginLife(m Meeting) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owned[m.Account] >= s.cfg.MaxMeetings {
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
	s.addLife(m, time.Now(), nil)
	return nil
}

// addLife is called with mu held, or by New.
func (s *Service) addLife(m Meeting, now time.Time, before []rosterEntry) {
	t, err := timesOf(m.Tags)
	if err != nil { // of a version that understood more
		s.log.Warn("a meeting ends as if it had no tags", "meeting", m.ID, "err", err)
	}
	s.living[m.ID] = &life{account: m.Account, created: m.Created, primary: m.PrimaryID, times: t, emptySince: now, before: before}
	s.owned[m.Account]++
}

// setTimes changes when a meeting ends.
func (s *Service) setTimes(id ID, t times) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.living[id]; l != nil {
		l.times = t
	}
}

// setEnding notes that a meeting has ended and is not forgotten yet.
func (s *Service) setEnding(id ID, is bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if is {
		s.ending[id] = true
	} else {
		delete(s.ending, id)
	}
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
	if s.owned[l.account]--; s.owned[l.account] == 0 {
		delete(s.owned, l.account)
	}
	if p := s.living[l.primary]; p != nil {
		return p.room, nil
	}
	return l.room, s.replicas(id)
}

// reap ends the meetings whose time has come.
func (s *Service) reap(ctx context.Context) {
	every := time.Second
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
			for _, id := range s.unburied() {
				_ = s.bury(ctx, id) // the next round tries again; the box says why it does not write
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
		t := times{cmp.Or(l.times.empty, s.cfg.EmptyTimeout), cmp.Or(l.times.age, s.cfg.MaxAge)}
		if t.over(now, l.created, l.emptySince) {
			ids = append(ids, id)
		}
	}
	return ids
}

// unburied returns the meetings that ended and are not forgotten yet.
func (s *Service) unburied() []ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.ending))
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
