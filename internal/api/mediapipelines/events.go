package mediapipelines

import (
	"context"

	"belfry.live/belfry/internal/connector"
	"belfry.live/belfry/internal/event"
)

// How pipelines' events are filed in the journal.
const (
	eventSource     = "aws.chime"
	eventDetailType = "Chime Media Pipeline State Change"
	eventKind       = "media-pipeline"
)

// eventDetail is the detail of an event, as AWS writes it.
type eventDetail struct {
	Version           string              `json:"version"`
	EventType         connector.EventType `json:"eventType"`
	Timestamp         int64               `json:"timestamp"`           // ms since 1970
	MeetingID         string              `json:"meetingId,omitempty"` // a concatenation has none
	ExternalMeetingID string              `json:"externalMeetingId,omitempty"`
	MediaPipelineID   connector.ID        `json:"mediaPipelineId"`
	MediaRegion       string              `json:"mediaRegion,omitempty"`
}

// envelope is the event as the journal has it.
func envelope(e connector.Event) (event.Event, error) {
	p := e.Pipeline
	out, err := event.New(p.Account, p.Region, eventSource, eventDetailType, eventDetail{
		Version: "0", EventType: e.Type, Timestamp: e.Time.UnixMilli(),
		MeetingID: p.MeetingID, ExternalMeetingID: p.Meeting.ExternalID, MediaPipelineID: p.ID, MediaRegion: p.Meeting.MediaRegion,
	})
	if err != nil {
		return event.Event{}, err
	}
	out.ID, out.Time = e.ID, e.Time
	out.Kind, out.Subject, out.Type = eventKind, string(p.ID), string(e.Type)
	return out, nil
}

// Recorder records pipelines' events in the journal.
func Recorder(j *event.Journal) func(context.Context, []connector.Event) error {
	return func(ctx context.Context, events []connector.Event) error {
		all := make([]event.Event, len(events))
		for i, e := range events {
			var err error
			if all[i], err = envelope(e); err != nil {
				return err
			}
		}
		return j.Append(ctx, all...)
	}
}

// Recorded returns the newest event of every pipeline in the journal.
func Recorded(j *event.Journal) func(context.Context) (map[connector.ID]connector.EventType, error) {
	return func(ctx context.Context) (map[connector.ID]connector.EventType, error) {
		types, err := j.Latest(ctx, eventSource, eventKind)
		found := make(map[connector.ID]connector.EventType, len(types))
		for id, t := range types {
			found[connector.ID(id)] = connector.EventType(t)
		}
		return found, err
	}
}
