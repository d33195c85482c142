package meeting

import (
	"context"
	"errors"
	"fmt"
	"time"

	"belfry.live/belfry/internal/wire/chime"
)

// A replica meeting is an audience: its attendees take seats in the room of
// the primary meeting, hidden, and so hear and see all that goes on there, but
// nothing of each other. Promoted, one of them takes part as an attendee of
// the primary, whose credentials it has been given.

// audienceOf returns how many are in from a replica.
func (r *room) audienceOf(id ID) int {
	n := 0
	for _, s := range r.seats {
		if s.audience && s.home.MeetingID == id && !s.share {
			n++
		}
	}
	return n
}

// Promote has one of the audience take part.
func (s *seat) Promote(ctx context.Context, c *chime.MeetingSessionCredentials) (status uint32) {
	_, a, err := s.room.service.authenticate(s.room.meeting.ID, c.GetJoinToken())
	if err != nil || string(a.ID) != c.GetAttendeeId() || !s.audience || s.share {
		s.session.Notify("not promoted: the credentials are of no attendee of the primary meeting")
		return statusForbidden
	}
	err = s.room.do(ctx, func() error {
		status = s.room.promote(s, a)
		return nil
	})
	if err != nil {
		return statusUnavailable
	}
	return status
}

// Demote puts it back into the audience.
func (s *seat) Demote() { s.post(func() { s.room.demote(s, false) }) }

func (r *room) promote(s *seat, as Attendee) (status uint32) {
	old := r.seats[as.ID]
	switch {
	case s.out:
		return statusOver
	case old == s:
		return 0
	case old == nil && r.awaited[as.ID] == nil && r.participants() >= r.cfg.MaxConnected:
		s.session.Notify("not promoted: the primary meeting is full")
		return statusFull
	}
	r.demote(s, false) // from another attendee
	delete(r.seats, s.attendee.ID)
	r.went(s.attendee.ID, false)
	s.attendee, s.hidden = as, false
	r.seats[as.ID], r.promoted[s.home.ID] = s, s
	if old != nil {
		r.replace(old, s)
	}
	r.service.counts.promotions.Add(1)
	s.log.Info("attendee promoted", "as", as.ID)
	r.takesPart(s)
	if s.present {
		r.came(s)
		r.appear(s, nil)
	}
	return 0
}

// demote puts one back into the audience. Unless it asked for that, it
// is told.
func (r *room) demote(s *seat, tell bool) {
	if s.out || r.promoted[s.home.ID] != s {
		return
	}
	id, streamID := s.attendee.ID, s.streamID
	r.endShare(id, statusOver)
	r.cameraOff(s)
	delete(r.promoted, s.home.ID)
	delete(r.seats, id)
	r.went(id, false)
	s.attendee, s.hidden = s.home, true
	r.seats[s.attendee.ID] = s
	if s.present {
		r.came(s)
		r.announceLeave(streamID, false)
	}
	r.forgetAwaited(id)
	s.log.Info("attendee demoted", "from", id)
	r.takesPart(s)
	if tell {
		f := chime.New(chime.Frame_PRIMARY_MEETING_LEAVE, time.Now())
		f.PrimaryMeetingLeave = &chime.PrimaryMeetingLeaveFrame{}
		s.send(f)
	}
}

// takesPart follows a change of who s takes part as: its place in the mix is
// that of another.
func (r *room) takesPart(s *seat) {
	if s.present {
		s.leaveMix()
		s.enterMix()
	}
	r.countChanged()
	r.sendIndex(s)
}

// checkPrimary says whether a meeting may have one more replica. Its life is
// counted with the meeting's mu held, by beginLife.
func (s *Service) checkPrimary(ctx context.Context, id ID) error {
	m, err := s.Lookup(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound):
		return fmt.Errorf("%w: %s is no meeting", ErrPrimary, id)
	case err != nil:
		return err
	case m.PrimaryID != "":
		return fmt.Errorf("%w: %s is a replica itself", ErrPrimary, id)
	}
	return nil
}

// replicas returns the living replicas of a meeting. It is called with mu
// held.
func (s *Service) replicas(id ID) []ID {
	var all []ID
	for other, l := range s.living {
		if l.primary == id {
			all = append(all, other)
		}
	}
	return all
}
