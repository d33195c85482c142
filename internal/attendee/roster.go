package attendee

import "belfry.live/belfry/internal/wire/chime"

// rosterChanged takes who came, left, muted and unmuted. The first frame of a
// session is the whole roster: who is not in it has left while there was no
// connection. Which fields an entry has says what it means.
func (s *session) rosterChanged(entries []*chime.AudioStreamIdInfo) {
	first := !s.roster
	s.roster = true
	for _, e := range entries {
		id := e.GetAudioStreamId()
		switch {
		case id == 0:
		case e.AttendeeId != nil:
			s.people[id] = e.GetAttendeeId()
			p := Participant{
				AttendeeID: e.GetAttendeeId(), ExternalUserID: e.GetExternalUserId(),
				Present: true, Muted: s.c.people[e.GetAttendeeId()].Muted,
			}
			if e.Muted != nil {
				p.Muted = e.GetMuted()
			}
			s.tell(p)
		case e.Muted != nil:
			if p, ok := s.c.people[s.people[id]]; ok {
				p.Muted = e.GetMuted()
				s.tell(p)
			}
		default:
			s.left(id, e.GetDropped())
		}
	}
	if !first {
		return
	}
	here := make(map[string]bool, len(s.people))
	for _, attendee := range s.people {
		here[attendee] = true
	}
	for attendee, p := range s.c.people {
		if !here[attendee] {
			p.Present = false
			s.tell(p)
		}
	}
}

// left takes an audio stream id out. Somebody who joined again has a higher
// one, and is still there.
func (s *session) left(id uint32, dropped bool) {
	attendee, ok := s.people[id]
	delete(s.people, id)
	if !ok {
		return
	}
	for other, a := range s.people {
		if a == attendee && other > id {
			return
		}
	}
	if p, ok := s.c.people[attendee]; ok {
		p.Present, p.Dropped = false, dropped
		s.tell(p)
	}
}

// tell passes a change on.
func (s *session) tell(p Participant) {
	before, known := s.c.people[p.AttendeeID]
	if known && before == p {
		return
	}
	if p.Present {
		s.c.people[p.AttendeeID] = p
	} else {
		delete(s.c.people, p.AttendeeID)
	}
	if s.c.handler.Roster != nil {
		s.c.handler.Roster(p)
	}
}

func (s *session) volumesChanged(states []*chime.AudioAttendeeState) {
	if s.c.handler.Volumes == nil {
		return
	}
	s.volumes = s.volumes[:0]
	for _, state := range states {
		attendee, ok := s.people[state.GetAudioStreamId()]
		if ok && state.Volume != nil {
			s.volumes = append(s.volumes, Volume{AttendeeID: attendee, DBFS: int(min(state.GetVolume(), 127))})
		}
	}
	s.c.handler.Volumes(s.volumes)
}
