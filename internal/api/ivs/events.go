package ivs

import (
	"context"

	"belfry.live/belfry/internal/channel"
	"belfry.live/belfry/internal/event"
)

const (
	eventSource = "aws.ivs"
	// Kinds of resources in the journal. What came to no stream has a kind of
	// its own: it says nothing of how far a channel's stream has come.
	channelKind = "channel"
	refusedKind = "channel-refused"
)

// eventDetail is the detail of an event, as AWS writes it.
type eventDetail struct {
	EventName   string `json:"event_name"`
	ChannelName string `json:"channel_name"`
	StreamID    string `json:"stream_id,omitempty"`
	Code        string `json:"code,omitempty"`
	Reason      string `json:"reason,omitempty"`
	LimitName   string `json:"limit_name,omitempty"`
	LimitValue  int64  `json:"limit_value,omitempty"`
	ExceededBy  int64  `json:"exceeded_by,omitempty"`
	LimitUnit   string `json:"limit_unit,omitempty"`
}

// envelope is the event as the journal has it.
func envelope(e channel.Event) (event.Event, error) {
	detail := eventDetail{
		EventName: e.Name, ChannelName: e.Title, StreamID: e.StreamID, Code: e.Code, Reason: e.Reason,
	}
	if b := e.Breach; b != nil {
		detail.LimitName, detail.LimitValue, detail.ExceededBy, detail.LimitUnit = e.Name, b.Limit, b.ExceededBy, b.Unit
	}
	out, err := event.New(e.Owner.Account, e.Owner.Region, eventSource, string(e.Kind), detail)
	if err != nil {
		return event.Event{}, err
	}
	out.Time = e.Time
	out.Resources = []string{arn(e.Owner, "channel", string(e.Channel))}
	out.Kind, out.Subject, out.Type = channelKind, string(e.Channel), e.Name
	if e.StreamID == "" {
		out.Kind = refusedKind
	}
	return out, nil
}

// Recorder records channels' events in the journal.
func Recorder(j *event.Journal) func(context.Context, channel.Event) error {
	return func(ctx context.Context, e channel.Event) error {
		out, err := envelope(e)
		if err != nil {
			return err
		}
		return j.Append(ctx, out)
	}
}

// Latest returns the name of every channel's newest event in the journal.
func Latest(j *event.Journal) func(context.Context) (map[channel.ID]string, error) {
	return func(ctx context.Context) (map[channel.ID]string, error) {
		names, err := j.Latest(ctx, eventSource, channelKind)
		found := make(map[channel.ID]string, len(names))
		for id, name := range names {
			found[channel.ID(id)] = name
		}
		return found, err
	}
}
