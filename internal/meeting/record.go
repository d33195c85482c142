package meeting

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"belfry.live/belfry/internal/store"
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
	account  string // of records that do not say whose they are
	meetings store.Table
	tokens   store.Table // tokenKey -> meeting id
	marks    store.Table // meeting id -> who is present
}

func openRecords(ctx context.Context, account string, tables store.Tables) (records, error) {
	r := records{account: account}
	var err error
	if r.meetings, err = tables.Table(ctx, "meetings", store.TableConfig{}); err != nil {
		return records{}, err
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

func (r records) load(ctx context.Context, id ID) (rec record, revision uint64, err error) {
	if uuid.Validate(string(id)) != nil {
		return record{}, 0, ErrNotFound // no key of ours, maybe none at all
	}
	got, err := r.meetings.Get(ctx, string(id))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return record{}, 0, ErrNotFound
	case err != nil:
		return record{}, 0, err
	}
	rec, err = r.parse(got)
	return rec, got.Revision, err
}

func (r records) parse(row store.Record) (rec record, err error) {
	if err := json.Unmarshal(row.Value, &rec); err != nil {
		return record{}, fmt.Errorf("read the record of meeting %s: %w", row.Key, err)
	}
	rec.Meeting.Account = cmp.Or(rec.Meeting.Account, r.account)
	return rec, nil
}

func (r records) create(ctx context.Context, rec record) error {
	value, err := json.Marshal(rec)
	if err != nil {
		return fmt.Errorf("write the record of meeting %s: %w", rec.Meeting.ID, err)
	}
	_, err = r.meetings.Create(ctx, string(rec.Meeting.ID), value)
	return err
}

// update changes a record, again and again until nobody else changed it
// meanwhile. If change returns an error, nothing is written.
func (r records) update(ctx context.Context, id ID, change func(*record) error) error {
	for {
		rec, revision, err := r.load(ctx, id)
		if err != nil {
			return err
		}
		if err := change(&rec); err != nil {
			return err
		}
		value, err := json.Marshal(rec)
		if err != nil {
			return fmt.Errorf("write the record of meeting %s: %w", id, err)
		}
		_, err = r.meetings.Update(ctx, string(id), value, revision)
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

// remove forgets the meeting and returns what was known of it, or ErrNotFound.
func (r records) remove(ctx context.Context, id ID) (record, error) {
	rec, _, err := r.load(ctx, id)
	if err != nil {
		return record{}, err
	}
	err = r.meetings.Delete(ctx, string(id), 0)
	if errors.Is(err, store.ErrNotFound) {
		return record{}, ErrNotFound
	}
	if err != nil {
		return record{}, err
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
	rec, _, err := r.load(ctx, ID(held.Value))
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
