package site

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"

	"belfry.live/belfry/internal/store"
)

// lobbyKey is the key of the one record that holds the openings. That it is
// one is what makes joins that come at once share meetings: whoever loses the
// race to change it finds the winner's opening.
const lobbyKey = "openings"

// An opening is a meeting with free seats. It may not exist yet: whoever takes
// a seat makes or finds it with the token.
type opening struct {
	Token      string    `json:"token"` // ClientRequestToken of its making
	ExternalID string    `json:"externalId"`
	MeetingID  string    `json:"meetingId,omitempty"` // "" until somebody has made it
	Taken      int       `json:"taken"`
	Changed    time.Time `json:"changed"`
}

// A lobby hands out seats.
type lobby struct {
	table    store.Table
	seats    int
	lifetime time.Duration
	turn     chan struct{} // held while changing the record: spares our own joins the conflicts
}

func newLobby(table store.Table, seats int, lifetime time.Duration) *lobby {
	return &lobby{table, seats, lifetime, make(chan struct{}, 1)}
}

// take takes a seat in the opening that has one, else in a new one.
func (l *lobby) take(ctx context.Context) (taken opening, err error) {
	err = l.change(ctx, func(open []opening) []opening {
		if open = l.withRoom(open); len(open) == 0 {
			open = []opening{{Token: uuid.NewString(), ExternalID: uuid.NewString()}}
		}
		open[0].Taken++
		open[0].Changed = time.Now()
		taken = open[0]
		return l.withRoom(open)
	})
	return taken, err
}

// settle writes down which meeting the opening has become.
func (l *lobby) settle(ctx context.Context, token, meetingID string) error {
	return l.change(ctx, func(open []opening) []opening {
		for i := range open {
			if open[i].Token == token {
				open[i].MeetingID = meetingID
			}
		}
		return open
	})
}

// giveBack returns a seat that was taken in vain. It says whether nobody is
// left in the meeting.
func (l *lobby) giveBack(ctx context.Context, seat opening) (empty bool, err error) {
	err = l.change(ctx, func(open []opening) []opening {
		i := slices.IndexFunc(open, func(o opening) bool { return o.Token == seat.Token })
		if i < 0 { // it was full
			seat.Taken = l.seats
			open = append(open, seat)
			i = len(open) - 1
		}
		open[i].Taken--
		open[i].Changed = time.Now()
		if empty = open[i].Taken == 0; empty {
			return slices.Delete(open, i, i+1)
		}
		return open
	})
	return empty, err
}

// discard takes the meeting out of the lobby.
func (l *lobby) discard(ctx context.Context, meetingID string) error {
	return l.change(ctx, func(open []opening) []opening {
		return slices.DeleteFunc(open, func(o opening) bool { return o.MeetingID == meetingID })
	})
}

func (l *lobby) withRoom(open []opening) []opening {
	return slices.DeleteFunc(open, func(o opening) bool { return o.Taken >= l.seats })
}

// change replaces the openings by what f makes of them, which is called again
// if somebody else was faster.
func (l *lobby) change(ctx context.Context, f func([]opening) []opening) error {
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-l.turn }()
	for {
		err := l.tryChange(ctx, f)
		if !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrExists) {
			return err
		}
		select {
		case <-time.After(rand.N(20 * time.Millisecond)):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (l *lobby) tryChange(ctx context.Context, f func([]opening) []opening) error {
	record, err := l.table.Get(ctx, lobbyKey)
	if errors.Is(err, store.ErrNotFound) {
		record = store.Record{Value: []byte("[]")}
	} else if err != nil {
		return fmt.Errorf("read the lobby: %w", err)
	}
	var before []opening
	if err := json.Unmarshal(record.Value, &before); err != nil {
		return fmt.Errorf("read the lobby: %w", err)
	}
	before = slices.DeleteFunc(before, func(o opening) bool { return time.Since(o.Changed) > l.lifetime })
	after, err := json.Marshal(f(before))
	switch {
	case err != nil:
		return fmt.Errorf("write the lobby: %w", err)
	case string(after) == string(record.Value): // nothing to remember
	case record.Revision == 0:
		_, err = l.table.Create(ctx, lobbyKey, after)
	default:
		_, err = l.table.Update(ctx, lobbyKey, after, record.Revision)
	}
	if err != nil {
		return fmt.Errorf("write the lobby: %w", err)
	}
	return nil
}
