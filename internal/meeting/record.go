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

	"github.com/google/uuid"

	"belfry.live/belfry/internal/store"
	"belfry.live/belfry/internal/store/collection"
)

// A record is all that is kept of a meeting. Its attendees are in it, so that
// limits hold and names stay unique whoever writes, and all ends in one write.
type record struct {
	Meeting   Meeting
	Attendees []Attendee // by creation
	// Ended is when the meeting did; zero: it lives. The record of one that
	// ended stays until that is told.
	Ended time.Time `json:",omitzero"`
}

// clone returns a copy that may be changed.
func (r record) clone() record {
	r.Meeting.Tags = maps.Clone(r.Meeting.Tags)
	r.Attendees = slices.Clone(r.Attendees)
	return r
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

// stillThere returns those of a roster who may still join.
func (r *record) stillThere(roster []rosterEntry) []rosterEntry {
	return slices.DeleteFunc(roster, func(e rosterEntry) bool {
		_, ok := r.attendee(baseOf(e.AttendeeID))
		return !ok
	})
}

// records are the meetings by id, and who is present in them.
type records struct {
	meetings *collection.Collection[record]
	marks    store.Table // meeting id -> who is present
}

func openRecords(ctx context.Context, account string, tables store.Tables, log *slog.Logger) (r records, err error) {
	meetings, err := tables.Table(ctx, "meetings", store.TableConfig{})
	if err != nil {
		return records{}, err
	}
	if r.marks, err = tables.Table(ctx, "meeting-marks", store.TableConfig{TTL: markLife}); err != nil {
		return records{}, err
	}
	r.meetings, err = collection.Open(ctx, meetings, collection.Config[record]{Copy: record.clone, Index: words, Log: log})
	if err != nil {
		return records{}, fmt.Errorf("read the meetings: %w", err)
	}
	for id, rec := range r.meetings.All("") { // of earlier versions
		if rec.Meeting.Account == "" && account != "" {
			_, err := r.meetings.Update(ctx, id, func(rec *record) error {
				rec.Meeting.Account = cmp.Or(rec.Meeting.Account, account)
				return nil
			})
			if err != nil {
				return records{}, fmt.Errorf("complete the record of meeting %s: %w", id, err)
			}
		}
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

// load returns the record of a meeting that lives, or ErrNotFound. Nothing in
// it may be changed.
func (r records) load(id ID) (record, error) {
	rec, err := r.meetings.Get(string(id))
	if err == nil && !rec.Ended.IsZero() {
		return record{}, ErrNotFound
	}
	return rec, notFound(err)
}

// notFound is err in the words of this package.
func notFound(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return ErrNotFound
	}
	return err
}

func (r records) create(ctx context.Context, rec record) error {
	return r.meetings.Create(ctx, string(rec.Meeting.ID), rec)
}

// update changes the record of a meeting that lives. If change returns an
// error, nothing is written.
func (r records) update(ctx context.Context, id ID, change func(*record) error) (record, error) {
	if uuid.Validate(string(id)) != nil {
		return record{}, ErrNotFound // no key of ours, maybe none at all
	}
	rec, err := r.meetings.Update(ctx, string(id), func(rec *record) error {
		if !rec.Ended.IsZero() {
			return ErrNotFound
		}
		return change(rec)
	})
	return rec, notFound(err)
}

// end notes that the meeting has ended.
func (r records) end(ctx context.Context, id ID) (record, error) {
	return r.update(ctx, id, func(rec *record) error {
		rec.Ended = time.Now().UTC()
		return nil
	})
}

// remove forgets a meeting that has ended.
func (r records) remove(ctx context.Context, id ID) error {
	_, err := r.meetings.Delete(ctx, string(id), nil)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// holder returns the living meeting that the token was used for.
func (r records) holder(spec Spec) (Meeting, bool) {
	if spec.RequestToken == "" {
		return Meeting{}, false
	}
	_, rec, err := r.meetings.Find(tokenWord(spec))
	return rec.Meeting, err == nil
}

// words are those by which a meeting is found while it lives.
func words(rec record) []string {
	if rec.Meeting.RequestToken == "" || !rec.Ended.IsZero() {
		return nil
	}
	return []string{tokenWord(rec.Meeting.Spec)}
}

// tokenWord is a hash, so that it is unambiguous whatever a token holds.
func tokenWord(s Spec) string {
	h := sha256.New()
	h.Write([]byte(s.Account))
	h.Write([]byte{0})
	h.Write([]byte(s.Region))
	h.Write([]byte{0})
	h.Write([]byte(s.RequestToken))
	return hex.EncodeToString(h.Sum(nil))
}
