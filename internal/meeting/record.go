package meeting

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"belfry.live/belfry/internal/store"
	"belfry.live/belfry/internal/store/collection"
)

// A record is all that is kept of a meeting. Its attendees are in it, so that
// limits hold and names stay unique whoever writes, and all ends in one write.
type record struct {
	Meeting   Meeting
	Attendees []Attendee // by creation
}

func (r *record) attendee(id AttendeeID) (Attendee, bool) {
	i := slices.IndexFunc(r.Attendees, func(a Attendee) bool { return a.ID == id })
	if i < 0 {
		return Attendee{}, false
	}
	return r.Attendees[i], true
}

func (r *record) named(externalUserID string) (Attendee, bool) {
	i := slices.IndexFunc(r.Attendees, func(a Attendee) bool { return a.ExternalUserID == externalUserID })
	if i < 0 {
		return Attendee{}, false
	}
	return r.Attendees[i], true
}

// copy returns a record whose attendees and tags can be changed.
func (r record) copy() record {
	r.Attendees = slices.Clone(r.Attendees)
	r.Meeting.Tags = maps.Clone(r.Meeting.Tags)
	return r
}

// stillThere returns those of a roster who may still join.
func (r *record) stillThere(roster []rosterEntry) []rosterEntry {
	return slices.DeleteFunc(roster, func(e rosterEntry) bool {
		_, ok := r.attendee(baseOf(e.AttendeeID))
		return !ok
	})
}

// records is the table of meetings, by id, and that of the request tokens of
// those that live.
type records struct {
	meetings *collection.Collection[record]
	tokens   store.Table // tokenKey -> meeting id
	marks    store.Table // meeting id -> who is present
}

// openRecords reads the meetings. The account is that of records which do not
// say whose they are.
func openRecords(ctx context.Context, account string, tables store.Tables, log *slog.Logger) (records, error) {
	meetings, err := tables.Table(ctx, "meetings", store.TableConfig{})
	if err != nil {
		return records{}, err
	}
	var r records
	r.meetings, err = collection.Open(ctx, meetings, collection.Config[record]{
		Copy:    record.copy,
		Upgrade: func(r *record) { r.Meeting.Account = cmp.Or(r.Meeting.Account, account) },
		Log:     log,
	})
	if err != nil {
		return records{}, fmt.Errorf("read the meetings: %w", err)
	}
	if r.tokens, err = tables.Table(ctx, "meeting-tokens", store.TableConfig{}); err != nil {
		return records{}, err
	}
	if r.marks, err = tables.Table(ctx, "meeting-marks", store.TableConfig{TTL: markLife}); err != nil {
		return records{}, err
	}
	return r, nil
}

// markLife is how long a mark is good for: nobody comes back later.
const markLife = time.Hour

// mark stores who is present; nil takes back what may have been stored.
func (r records) mark(ctx context.Context, id ID, roster []byte) error {
	if roster != nil {
		_, err := r.marks.Put(ctx, string(id), roster)
		return err
	}
	err := r.marks.Delete(ctx, string(id), 0)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// present returns who was present before a restart, by meeting. A mark that
// cannot be read is none.
func (r records) present(ctx context.Context) (map[ID][]rosterEntry, error) {
	list, err := r.marks.List(ctx, "")
	if err != nil {
		return nil, err
	}
	all := make(map[ID][]rosterEntry, len(list))
	for _, m := range list {
		var roster []rosterEntry
		if json.Unmarshal(m.Value, &roster) == nil {
			all[ID(m.Key)] = roster
		}
	}
	return all, nil
}

// load returns a record, which is shared: nobody may change what it refers to.
func (r records) load(id ID) (record, error) {
	rec, err := r.meetings.Get(string(id))
	return rec, meetingError(err)
}

// meetingError makes of a missing record a missing meeting.
func meetingError(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return ErrNotFound
	}
	return err
}

func (r records) create(ctx context.Context, rec record) error {
	return r.meetings.Create(ctx, string(rec.Meeting.ID), rec)
}

// update changes a record, again and again until nobody else changed it
// meanwhile. If change returns an error, nothing is written.
func (r records) update(ctx context.Context, id ID, change func(*record) error) error {
	_, err := r.meetings.Update(ctx, string(id), change)
	return meetingError(err)
}

// remove forgets the meeting and returns what was known of it, or ErrNotFound.
func (r records) remove(ctx context.Context, id ID) (record, error) {
	rec, err := r.meetings.Delete(ctx, string(id), nil)
	if err != nil {
		return record{}, meetingError(err)
	}
	if rec.Meeting.RequestToken == "" {
		return rec, nil
	}
	// The meeting has ended, whatever becomes of its token: one that is left
	// over means nothing and is taken over by whoever uses it again.
	key := tokenKey(rec.Meeting.Spec)
	if held, err := r.tokens.Get(ctx, key); err == nil && string(held.Value) == string(id) {
		_ = r.tokens.Delete(ctx, key, held.Revision)
	}
	return rec, nil
}

// holder returns the living meeting that the token was used for.
func (r records) holder(ctx context.Context, spec Spec) (Meeting, uint64, error) {
	held, err := r.tokens.Get(ctx, tokenKey(spec))
	if errors.Is(err, store.ErrNotFound) {
		return Meeting{}, 0, ErrNotFound
	}
	if err != nil {
		return Meeting{}, 0, err
	}
	rec, err := r.load(ID(held.Value))
	return rec.Meeting, held.Revision, err
}

// claim gives the token to the new meeting m, whose record stands, unless
// another living meeting has it: that one is returned then.
func (r records) claim(ctx context.Context, m Meeting) (Meeting, error) {
	key := tokenKey(m.Spec)
	for {
		_, err := r.tokens.Create(ctx, key, []byte(m.ID))
		if !errors.Is(err, store.ErrExists) {
			return m, err
		}
		other, revision, err := r.holder(ctx, m.Spec)
		if err == nil {
			return other, nil
		}
		if !errors.Is(err, ErrNotFound) {
			return Meeting{}, err
		}
		if revision == 0 {
			continue // let go in between
		}
		_, err = r.tokens.Update(ctx, key, []byte(m.ID), revision)
		if !errors.Is(err, store.ErrConflict) {
			return m, err
		}
	}
}

// tokenKey is a hash because the table's keys take fewer characters than
// tokens do.
func tokenKey(s Spec) string {
	h := sha256.New()
	h.Write([]byte(s.Account))
	h.Write([]byte{0})
	h.Write([]byte(s.Region))
	h.Write([]byte{0})
	h.Write([]byte(s.RequestToken))
	return hex.EncodeToString(h.Sum(nil))
}
