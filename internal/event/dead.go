package event

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	deadName = "DEAD_EVENTS"
	deadRoot = "dead"
)

// A DeadLetter is an event that a webhook did not take in time.
type DeadLetter struct {
	Sequence uint64          `json:"sequence"` // among the dead letters, from 1
	Webhook  string          `json:"webhook"`  // its name or number
	Reason   string          `json:"reason"`   // of the last try
	Attempts int             `json:"attempts"`
	Died     time.Time       `json:"died"`
	Event    json.RawMessage `json:"event"` // the envelope
}

// Bury keeps the event of the record as a dead letter and returns when it is on
// disk. The letter's Sequence and Event are filled in. Burying one event of one
// webhook again within two minutes does nothing.
func (j *Journal) Bury(ctx context.Context, r Record, letter DeadLetter) error {
	letter.Sequence, letter.Event = 0, r.Body
	body, err := json.Marshal(letter)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	msg := &nats.Msg{Subject: deadRoot + r.Subject[len(subjectRoot):], Data: body}
	_, err = j.js.PublishMsg(ctx, msg, jetstream.WithMsgID(fmt.Sprintf("%s/%d", letter.Webhook, r.Sequence)))
	if err != nil {
		return fmt.Errorf("keep event %d as a dead letter: %w", r.Sequence, err)
	}
	return nil
}

// Dead returns the account's dead letters from the sequence on, at most n.
func (j *Journal) Dead(ctx context.Context, account string, from uint64, n int) ([]DeadLetter, error) {
	var list []DeadLetter
	for len(list) < n {
		m, err := j.dead.GetMsg(ctx, max(from, 1), jetstream.WithGetMsgSubject(deadRoot+"."+account+".>"))
		if isNotFound(err) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read the dead letters: %w", err)
		}
		var letter DeadLetter
		if err := json.Unmarshal(m.Data, &letter); err != nil {
			return nil, fmt.Errorf("read dead letter %d: %w", m.Sequence, err)
		}
		letter.Sequence = m.Sequence
		list, from = append(list, letter), m.Sequence+1
	}
	return list, nil
}
