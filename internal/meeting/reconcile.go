package meeting

import (
	"context"
	"time"
)

// lastMinute is how long before the last word of a server that was killed
// something may have been written and not told: calls take 30 s at most.
const lastMinute = time.Minute

// reconcile writes down what a crash kept from being written: a meeting's
// record is changed first, and then what happened is recorded.
func (s *Service) reconcile(ctx context.Context) error {
	newest := map[ID]EventType{}
	if s.cfg.Recorded != nil {
		var err error
		if newest, err = s.cfg.Recorded(ctx); err != nil {
			return err
		}
	}
	last := s.lastAdded()
	for id, rec := range s.records.meetings.All("") {
		if s.cfg.Recorded != nil {
			missing, err := s.missing(ctx, rec, newest[ID(id)], last)
			if err == nil && len(missing) > 0 {
				err = s.cfg.Record(ctx, missing)
			}
			if err != nil {
				return err
			}
		}
		if !rec.Ended.IsZero() {
			if err := s.records.remove(ctx, ID(id)); err != nil {
				return err
			}
		}
	}
	return nil
}

// lastAdded is when the last attendee was added anywhere.
func (s *Service) lastAdded() (last time.Time) {
	for _, rec := range s.records.meetings.All("") {
		if n := len(rec.Attendees); n > 0 && rec.Attendees[n-1].Created.After(last) {
			last = rec.Attendees[n-1].Created
		}
	}
	return last
}

// missing returns what was not told of a meeting, whose newest event is known.
func (s *Service) missing(ctx context.Context, rec record, newest EventType, lastAdded time.Time) (events []Event, err error) {
	m := rec.Meeting
	if !rec.Ended.IsZero() {
		if newest != Ended {
			events = append(events, happened(Ended, m, Attendee{}))
		}
		return events, nil
	}
	if newest == "" && time.Since(m.Created) < s.cfg.RecordedFor {
		events = append(events, happened(Started, m, Attendee{}))
	}
	var late []Attendee
	for _, a := range rec.Attendees {
		if !isHidden(a.ExternalUserID) && lastAdded.Sub(a.Created) < lastMinute && time.Since(a.Created) < s.cfg.RecordedFor {
			late = append(late, a)
		}
	}
	if len(late) == 0 || s.cfg.RecordedAdded == nil {
		return events, nil
	}
	told, err := s.cfg.RecordedAdded(ctx, m)
	for _, a := range late {
		if !told[a.ID] {
			events = append(events, happened(AttendeeAdded, m, a))
		}
	}
	return events, err
}
