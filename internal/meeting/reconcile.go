package meeting

import (
	"context"
	"time"
)

// lastMinute is how long before the last word of a server that was killed
// something may have been written and not told: calls take 30 s at most.
const lastMinute = time.Minute

// reconcileBatch is how many events, about, are written down at once.
const reconcileBatch = 256

// reconcile writes down what a crash kept from being written: a meeting's
// record is changed first, and then what happened is recorded.
func (s *Service) reconcile(ctx context.Context) error {
	r, err := s.readRecorded(ctx)
	if err != nil {
		return err
	}
	var events []Event
	var over []ID
	settle := func() error {
		if len(events) > 0 {
			if err := s.cfg.Record(ctx, events); err != nil {
				return err
			}
		}
		for _, id := range over {
			if err := s.records.remove(ctx, id); err != nil {
				return err
			}
		}
		events, over = nil, nil
		return nil
	}
	for id, rec := range s.records.meetings.All("") {
		events = append(events, r.missing(rec, s.cfg.RecordedFor)...)
		if !rec.Ended.IsZero() {
			over = append(over, ID(id))
		}
		if len(events) >= reconcileBatch {
			if err := settle(); err != nil {
				return err
			}
		}
	}
	return settle()
}

// A recorded is what was written down before this start.
type recorded struct {
	known  bool // what follows is
	newest map[ID]EventType
	// added has the attendees of whom it was written down that they were added,
	// of those made after since; nil: nobody knows.
	added map[AttendeeID]bool
	since time.Time
}

func (s *Service) readRecorded(ctx context.Context) (r recorded, err error) {
	if s.cfg.Recorded == nil {
		return r, nil
	}
	r.known = true
	if r.newest, err = s.cfg.Recorded(ctx); err != nil {
		return r, err
	}
	last := s.lastAdded()
	if s.cfg.RecordedAdded == nil || last.IsZero() {
		return r, nil
	}
	r.since = last.Add(-lastMinute)
	r.added, err = s.cfg.RecordedAdded(ctx, r.since)
	return r, err
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

// missing returns what was not told of a meeting. What is older than the time
// ago may have been told and forgotten.
func (r recorded) missing(rec record, ago time.Duration) (events []Event) {
	m := rec.Meeting
	switch {
	case !r.known:
		return nil
	case !rec.Ended.IsZero():
		if r.newest[m.ID] != Ended {
			events = append(events, happened(Ended, m, Attendee{}))
		}
		return events
	}
	if r.newest[m.ID] == "" && time.Since(m.Created) < ago {
		events = append(events, happened(Started, m, Attendee{}))
	}
	for _, a := range rec.Attendees {
		late := a.Created.After(r.since) && time.Since(a.Created) < ago
		if r.added != nil && late && !isHidden(a.ExternalUserID) && !r.added[a.ID] {
			events = append(events, happened(AttendeeAdded, m, a))
		}
	}
	return events
}
