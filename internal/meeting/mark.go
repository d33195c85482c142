package meeting

import (
	"context"
	"encoding/json"
	"time"
)

// A mark is the roster as it was, kept in the store once a second while it
// changes. After a restart, clients come back one by one, and each takes the
// first roster it is told for the whole: without the mark the first would see
// all others leave, and join again.

const (
	// returnTime is how long after a restart somebody is taken to be present
	// who was before. Clients try again after 5 s at the most.
	returnTime = 15 * time.Second
	// markTimeout bounds one write of a mark.
	markTimeout = 5 * time.Second
)

// An awaited is shown in the roster without a connection.
type awaited struct {
	rosterEntry
	until time.Time // zero: as long as the attendee's newer connection is about to have media
}

// expect puts those into the roster who were present before.
func (r *room) expect(before []rosterEntry) {
	until := time.Now().Add(returnTime)
	for _, e := range before {
		r.awaited[e.AttendeeID] = &awaited{e, until}
		r.guests[e.AttendeeID] = guest{r.meeting, Attendee{
			ID: e.AttendeeID, MeetingID: r.meeting.ID, ExternalUserID: e.ExternalUserID,
		}}
		r.lastID = max(r.lastID, e.StreamID)
	}
}

// expireAwaited takes those out of the roster who did not come back.
func (r *room) expireAwaited(now time.Time) {
	for id, a := range r.awaited {
		if !a.until.IsZero() && now.After(a.until) {
			r.forgetAwaited(id)
			r.endShare(id, statusOver)
			r.countChanged()
		}
	}
}

// mark has the roster written soon; nil: that nobody is present.
func (r *room) mark(roster []rosterEntry) {
	r.changed = false
	var text []byte
	if len(roster) > 0 {
		var err error
		if text, err = json.Marshal(roster); err != nil {
			panic("meeting: " + err.Error())
		}
	}
	select {
	case <-r.marks: // overtaken
	default:
	}
	r.marks <- text
}

// writeMarks writes until the room ends. What cannot be written is missed by
// nobody unless the server restarts now.
func (r *room) writeMarks() {
	for text := range r.marks {
		ctx, cancel := context.WithTimeout(context.Background(), markTimeout)
		err := r.service.records.mark(ctx, r.meeting.ID, text)
		cancel()
		if err != nil {
			r.log.Warn("who is present cannot be stored", "err", err)
		}
	}
}
