package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"belfry.live/belfry/internal/store"
)

// Of each webhook the table holds a cursor, and an entry for each lane that
// lags:
//
//	<id>.cursor          every event up to here was delivered, is a dead letter, or is in a lane that has an entry
//	<id>.lane.<subject>  where the lane begins
//
// Both may be behind what was done, never ahead. They are written once a
// second, entries before the cursor.
const (
	cursorKey = ".cursor"
	laneKey   = ".lane."
	// lag is how far behind the reading a lane may be without an entry: it
	// holds back the cursor.
	lag = 1000
)

// A place is a record of the table: a sequence in the journal.
type place struct {
	Sequence uint64 `json:"sequence"`
}

func (d *delivery) owns(key string) bool {
	return key == d.id+cursorKey || strings.HasPrefix(key, d.id+laneKey)
}

// load reads the state; false says that it is to be tried again. A new webhook
// begins at the end of the journal.
func (d *delivery) load(ctx context.Context) bool {
	err := d.loadState(ctx)
	if err != nil && ctx.Err() == nil {
		d.log.Error("the state of the webhook cannot be read", "err", err)
	}
	return err == nil
}

func (d *delivery) loadState(ctx context.Context) error {
	last, err := d.journal.Last(ctx)
	if err != nil {
		return err
	}
	r, err := d.table.Get(ctx, d.id+cursorKey)
	if errors.Is(err, store.ErrNotFound) {
		d.read = last
		return d.put(ctx, cursorKey, &d.cursor, last)
	}
	if err != nil {
		return err
	}
	if d.cursor, err = readPlace(r); err != nil {
		return err
	}
	d.read = min(d.cursor, last)
	records, err := d.table.List(ctx, d.id+laneKey)
	if err != nil {
		return err
	}
	clear(d.lanes)
	d.ready = nil
	for _, r := range records {
		next, err := readPlace(r)
		if err != nil {
			return err
		}
		subject := r.Key[len(d.id+laneKey):]
		d.entries[subject] = next
		if next > last {
			continue // the journal was begun anew
		}
		l := &lane{subject: subject, next: next, last: max(d.read, next)}
		d.lanes[subject] = l
		d.ready = append(d.ready, l)
	}
	return nil
}

func readPlace(r store.Record) (uint64, error) {
	var p place
	if err := json.Unmarshal(r.Value, &p); err != nil {
		return 0, fmt.Errorf("read %s: %w", r.Key, err)
	}
	return p.Sequence, nil
}

// put writes a place and remembers that it is written.
func (d *delivery) put(ctx context.Context, key string, written *uint64, seq uint64) error {
	value, err := json.Marshal(place{seq})
	if err != nil {
		return err
	}
	if _, err := d.table.Put(ctx, d.id+key, value); err != nil {
		return err
	}
	*written = seq
	return nil
}

// save writes what has changed.
func (d *delivery) save(ctx context.Context) {
	if !d.progress {
		return
	}
	err := d.saveState(ctx)
	d.progress = err != nil
	if failed := err != nil; failed != d.unsaved {
		if d.unsaved = failed; failed {
			d.log.Error("the state of the webhook cannot be written", "err", err)
		} else {
			d.log.Info("the state of the webhook is written again")
		}
	}
}

func (d *delivery) saveState(ctx context.Context) error {
	for subject := range d.entries {
		if d.lanes[subject] != nil {
			continue
		}
		if err := d.table.Delete(ctx, d.id+laneKey+subject, 0); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		delete(d.entries, subject)
	}
	cursor := d.read
	for subject, l := range d.lanes {
		written := d.entries[subject]
		if l.tries == 0 && written == 0 && l.next+lag > d.read {
			cursor = min(cursor, l.next-1)
			continue
		}
		if written == l.next {
			continue
		}
		if err := d.put(ctx, laneKey+subject, &written, l.next); err != nil {
			return err
		}
		d.entries[subject] = written
	}
	if cursor == d.cursor {
		return nil
	}
	return d.put(ctx, cursorKey, &d.cursor, cursor)
}
