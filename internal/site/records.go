package site

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"belfry.live/belfry/internal/store"
)

// The phases of a broadcast, as its record has them. Whether it really is on
// the air, only the services know.
const (
	phaseStarting = "starting"
	phaseStarted  = "started"
	phaseStopping = "stopping"
	phaseFailed   = "failed"
)

// A broadcast is one meeting's stream: the channel and the media pipeline that
// were made for it, or are being made.
type broadcast struct {
	MeetingID string    `json:"meetingId"`
	Attempt   string    `json:"attempt"` // a UUID; names the channel and is the pipeline's request token
	Phase     string    `json:"phase"`
	Asked     time.Time `json:"asked"`
	// Deadline is when whoever starts or stops it has finished or died; what
	// is left then may be cleared up by anybody.
	Deadline    time.Time `json:"deadline"`
	Channel     bool      `json:"channel"` // it has a channel of its own
	ChannelARN  string    `json:"channelArn,omitempty"`
	PlaybackURL string    `json:"playbackUrl,omitempty"`
	SinkHash    string    `json:"sinkHash,omitempty"` // of the URL streamed to, which holds a secret; "": not known yet
	PipelineID  string    `json:"pipelineId,omitempty"`
	Live        time.Time `json:"live,omitzero"`
	Cause       string    `json:"cause,omitempty"`  // of a failure
	Status      int       `json:"status,omitempty"` // and how it was answered
}

// sinkHash tells sinks apart without telling their keys.
func sinkHash(url string) string {
	hash := sha256.Sum256([]byte(url))
	return hex.EncodeToString(hash[:])
}

// channelName is what the broadcast's channel is called, so that it can be
// found even if the answer to its creation got lost.
func (b broadcast) channelName() string { return "meeting-" + b.MeetingID + "-" + b.Attempt }

// abandoned says whether nobody works on the broadcast any more although its
// phase says so.
func (b broadcast) abandoned() bool {
	return (b.Phase == phaseStarting || b.Phase == phaseStopping) && time.Now().After(b.Deadline)
}

// errTaken says that somebody else changed or removed the broadcast's record.
var errTaken = errors.New("the stream was stopped meanwhile")

// broadcasts keeps their records, by meeting id.
type broadcasts struct{ table store.Table }

// get returns the meeting's broadcast and its revision, which is 0 if there is
// none.
func (t broadcasts) get(ctx context.Context, meetingID string) (broadcast, uint64, error) {
	r, err := t.table.Get(ctx, meetingID)
	if errors.Is(err, store.ErrNotFound) {
		return broadcast{}, 0, nil
	}
	if err != nil {
		return broadcast{}, 0, fmt.Errorf("read the stream's record: %w", err)
	}
	b, err := parseBroadcast(r)
	return b, r.Revision, err
}

func parseBroadcast(r store.Record) (b broadcast, err error) {
	if err := json.Unmarshal(r.Value, &b); err != nil {
		return broadcast{}, fmt.Errorf("read the stream's record %s: %w", r.Key, err)
	}
	return b, nil
}

// put writes the broadcast over the given revision, 0 for none, and returns
// the new one. It returns errTaken if the record has another.
func (t broadcasts) put(ctx context.Context, b broadcast, revision uint64) (uint64, error) {
	value, err := json.Marshal(b)
	if err != nil {
		return 0, fmt.Errorf("write the stream's record: %w", err)
	}
	if revision == 0 {
		revision, err = t.table.Create(ctx, b.MeetingID, value)
	} else {
		revision, err = t.table.Update(ctx, b.MeetingID, value, revision)
	}
	switch {
	case errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrExists):
		return 0, errTaken
	case err != nil:
		return 0, fmt.Errorf("write the stream's record: %w", err)
	}
	return revision, nil
}

// remove deletes the record at the revision. One that has changed or gone
// since is left alone.
func (t broadcasts) remove(ctx context.Context, meetingID string, revision uint64) error {
	err := t.table.Delete(ctx, meetingID, revision)
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrConflict) {
		return nil
	}
	return err
}

// all returns the broadcasts and their revisions.
func (t broadcasts) all(ctx context.Context) (map[uint64]broadcast, error) {
	records, err := t.table.List(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("list the streams' records: %w", err)
	}
	found := map[uint64]broadcast{}
	for _, r := range records {
		b, err := parseBroadcast(r)
		if err != nil {
			return nil, err
		}
		found[r.Revision] = b
	}
	return found, nil
}
