package meeting

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// A Newcomer is somebody to be added to a meeting.
type Newcomer struct {
	ExternalUserID string
	Capabilities   Capabilities
}

// An Admission is what became of a newcomer: an attendee, or ErrFull.
type Admission struct {
	Attendee Attendee
	Err      error
}

// AddAttendee lets somebody of that name join the meeting. The same name again
// gives the same attendee, whatever the capabilities.
func (s *Service) AddAttendee(ctx context.Context, id ID, externalUserID string, c Capabilities) (Attendee, error) {
	all, err := s.AddAttendees(ctx, id, []Newcomer{{externalUserID, c}})
	if err != nil {
		return Attendee{}, err
	}
	return all[0].Attendee, all[0].Err
}

// AddAttendees adds several at once. The answer is in the order of the
// newcomers.
func (s *Service) AddAttendees(ctx context.Context, id ID, all []Newcomer) ([]Admission, error) {
	var admitted []Admission
	var added []Attendee
	rec, err := s.change(ctx, id, func(rec *record) error {
		if admitted, added = s.admitAll(rec, all); len(added) == 0 {
			return errNoChange
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(added) < len(all) { // some were there: what is told of them is on its way
		if err := s.history.Settle(ctx, string(id)); err != nil {
			return nil, err
		}
	}
	return admitted, s.record(ctx, AttendeeAdded, rec.Meeting, added...)
}

// admitAll adds to a record whom it has room for, and returns those who were
// not there yet besides.
func (s *Service) admitAll(rec *record, all []Newcomer) (admitted []Admission, added []Attendee) {
	for _, n := range all {
		a, known := rec.named(n.ExternalUserID)
		if known {
			admitted = append(admitted, Admission{Attendee: a})
			continue
		}
		if err := s.vacancy(rec, isHidden(n.ExternalUserID)); err != nil {
			admitted = append(admitted, Admission{Err: err})
			continue
		}
		a = Attendee{
			ID:             AttendeeID(uuid.NewString()),
			MeetingID:      rec.Meeting.ID,
			ExternalUserID: n.ExternalUserID,
			Capabilities:   n.Capabilities,
			Created:        time.Now().UTC(),
		}
		a.JoinToken = newJoinToken(a.ID)
		rec.Attendees = append(rec.Attendees, a)
		admitted, added = append(admitted, Admission{Attendee: a}), append(added, a)
	}
	return admitted, added
}

func isHidden(externalUserID string) bool { return strings.HasPrefix(externalUserID, hiddenPrefix) }

// vacancy says whether one more attendee may be added.
func (s *Service) vacancy(rec *record, hidden bool) error {
	n, limit := 0, cmp.Or(rec.Meeting.Features.MaxAttendees, s.cfg.MaxAttendees)
	if hidden {
		limit = maxHidden
	}
	for _, a := range rec.Attendees {
		if isHidden(a.ExternalUserID) == hidden {
			n++
		}
	}
	if n >= limit {
		return fmt.Errorf("%w: %d", ErrFull, limit)
	}
	return nil
}

// errNoChange ends a change that has nothing to write.
var errNoChange = errors.New("meeting: nothing to change")

// change changes the meeting's record and returns it as it is then.
func (s *Service) change(ctx context.Context, id ID, f func(*record) error) (record, error) {
	rec, err := s.records.update(ctx, id, f)
	if errors.Is(err, errNoChange) {
		return s.records.load(id)
	}
	return rec, err
}

// Attendee returns one attendee, joined or not.
func (s *Service) Attendee(_ context.Context, id ID, attendee AttendeeID) (Attendee, error) {
	rec, err := s.records.load(id)
	if err != nil {
		return Attendee{}, err
	}
	a, ok := rec.attendee(attendee)
	if !ok {
		return Attendee{}, ErrAttendeeNotFound
	}
	return a, nil
}

// Attendees returns all attendees, joined or not, by creation. The slice is
// the caller's.
func (s *Service) Attendees(_ context.Context, id ID) ([]Attendee, error) {
	rec, err := s.records.load(id)
	return slices.Clone(rec.Attendees), err
}

// RemoveAttendee takes the attendee's right to join, and takes it out of the
// meeting if it is in.
func (s *Service) RemoveAttendee(ctx context.Context, id ID, attendee AttendeeID) error {
	var gone Attendee
	rec, err := s.change(ctx, id, func(rec *record) error {
		var ok bool
		if gone, ok = rec.attendee(attendee); !ok {
			return ErrAttendeeNotFound
		}
		rec.Attendees = slices.DeleteFunc(rec.Attendees, func(a Attendee) bool { return a.ID == attendee })
		return nil
	})
	if err != nil {
		return err
	}
	if r := s.liveRoom(id); r != nil {
		r.remove(attendee)
	}
	return s.record(ctx, AttendeeDeleted, rec.Meeting, gone)
}

// UpdateCapabilities changes what an attendee may do, at once if it is in the
// meeting.
func (s *Service) UpdateCapabilities(ctx context.Context, id ID, attendee AttendeeID, c Capabilities) (Attendee, error) {
	var changed Attendee
	rec, err := s.change(ctx, id, func(rec *record) error {
		for i := range rec.Attendees {
			if a := &rec.Attendees[i]; a.ID == attendee {
				a.Capabilities = c
				changed = *a
				return nil
			}
		}
		return ErrAttendeeNotFound
	})
	if err != nil {
		return Attendee{}, err
	}
	s.applyCapabilities(id, []AttendeeID{attendee}, c)
	return changed, s.record(ctx, CapabilitiesUpdated, rec.Meeting, changed)
}

// UpdateCapabilitiesExcept changes what all attendees may do but those, and
// but hidden ones.
func (s *Service) UpdateCapabilitiesExcept(ctx context.Context, id ID, except []AttendeeID, c Capabilities) error {
	var changed []Attendee
	rec, err := s.change(ctx, id, func(rec *record) error {
		changed = nil
		for i := range rec.Attendees {
			a := &rec.Attendees[i]
			if !slices.Contains(except, a.ID) && !isHidden(a.ExternalUserID) {
				a.Capabilities = c
				changed = append(changed, *a)
			}
		}
		if len(changed) == 0 {
			return errNoChange
		}
		return nil
	})
	if err != nil {
		return err
	}
	ids := make([]AttendeeID, len(changed))
	for i, a := range changed {
		ids[i] = a.ID
	}
	s.applyCapabilities(id, ids, c)
	return s.record(ctx, CapabilitiesUpdated, rec.Meeting, changed...)
}

func (s *Service) applyCapabilities(id ID, attendees []AttendeeID, c Capabilities) {
	if r := s.liveRoom(id); r != nil {
		r.tell(func() { r.setCapabilities(attendees, c) })
	}
}
