package event

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// batchFrom is from how many messages on a batch is faster: it is flushed
	// to disk once, but has to be staged before.
	batchFrom = 16
	batchMax  = 500 // the server takes 1,000
)

// The headers of an atomic batch and the server's error for one that holds an
// ID it knows (NATS ADR-50).
const (
	batchID         = "Nats-Batch-Id"
	batchSequence   = "Nats-Batch-Sequence"
	batchCommit     = "Nats-Batch-Commit"
	codeBatchRepeat = 10201
)

// write writes the messages in order and returns how many are on disk.
func (j *Journal) write(ctx context.Context, messages []*nats.Msg) (written int, err error) {
	if len(messages) < batchFrom {
		return j.writeSingly(ctx, messages)
	}
	for some := range slices.Chunk(messages, batchMax) {
		err := j.writeBatch(ctx, some)
		n := len(some)
		if api := (*jetstream.APIError)(nil); errors.As(err, &api) && api.ErrorCode == codeBatchRepeat {
			n, err = j.writeSingly(ctx, some) // drops those that are there already
		}
		if err != nil {
			return written, err
		}
		written += n
	}
	return written, nil
}

func (j *Journal) writeSingly(ctx context.Context, messages []*nats.Msg) (written int, err error) {
	for i, m := range messages {
		if _, err := j.js.PublishMsg(ctx, m); err != nil {
			return i, err
		}
	}
	return len(messages), nil
}

// writeBatch writes all of the messages or none, and flushes them to disk
// once.
func (j *Journal) writeBatch(ctx context.Context, messages []*nats.Msg) error {
	j.batch.Lock() // the server bounds how many are under way
	defer j.batch.Unlock()
	id := uuid.NewString()
	for i, m := range messages {
		part := nats.NewMsg(m.Subject)
		part.Data = m.Data
		for name, values := range m.Header {
			part.Header[name] = values
		}
		part.Header.Set(batchID, id)
		part.Header.Set(batchSequence, strconv.Itoa(i+1))
		if i < len(messages)-1 {
			if err := j.js.Conn().PublishMsg(part); err != nil {
				return err
			}
			continue
		}
		part.Header.Set(batchCommit, "1")
		reply, err := j.js.Conn().RequestMsgWithContext(ctx, part)
		if err != nil {
			return err
		}
		var answer struct {
			Error *jetstream.APIError `json:"error"`
			Count int                 `json:"count"`
		}
		if err := json.Unmarshal(reply.Data, &answer); err != nil {
			return fmt.Errorf("read the answer to a batch: %w", err)
		}
		if answer.Error != nil {
			return answer.Error
		}
		if answer.Count != len(messages) {
			return fmt.Errorf("%d of %d messages of a batch were taken", answer.Count, len(messages))
		}
	}
	return nil
}
