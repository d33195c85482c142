package chimemeetings

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"belfry.live/belfry/internal/event"
	"belfry.live/belfry/internal/meeting"
)

// How meetings' events are filed in the journal.
const (
	eventSource     = "aws.chime"
	eventDetailType = "Chime Meeting State Change"
	eventKind       = "meeting"
)

// eventDetail is the detail of an event, as AWS writes it.
type eventDetail struct {
	Version           string             `json:"version"`
	EventType         meeting.EventType  `json:"eventType"`
	Timestamp         int64              `json:"timestamp"` // ms since 1970
	MeetingID         meeting.ID         `json:"meetingId"`
	ExternalMeetingID string             `json:"externalMeetingId"`
	MediaRegion       string             `json:"mediaRegion"`
	AttendeeID        meeting.AttendeeID `json:"attendeeId,omitempty"`
	ExternalUserID    string             `json:"externalUserId,omitempty"`
	NetworkType       string             `json:"networkType,omitempty"`
	Success           int                `json:"success,omitempty"`
	Capabilities      *eventCapabilities `json:"attendeeCapabilities,omitempty"`
}

type eventCapabilities struct {
	Audio   meeting.Capability `json:"audio"`
	Video   meeting.Capability `json:"video"`
	Content meeting.Capability `json:"content"`
}

// envelope is the event as the journal has it.
func envelope(e meeting.Event) (event.Event, error) {
	m, a := e.Meeting, e.Attendee
	detail := eventDetail{
		Version: "0", EventType: e.Type, Timestamp: e.Time.UnixMilli(),
		MeetingID: m.ID, ExternalMeetingID: m.ExternalID, MediaRegion: m.MediaRegion,
		AttendeeID: a.ID, ExternalUserID: a.ExternalUserID,
	}
	switch e.Type {
	case meeting.Started, meeting.Ended, meeting.AttendeeAdded, meeting.AttendeeDeleted:
	case meeting.CapabilitiesUpdated:
		detail.Success = 1
		detail.Capabilities = &eventCapabilities{a.Capabilities.Audio, a.Capabilities.Video, a.Capabilities.Content}
	default:
		detail.NetworkType = "Voip"
	}
	out, err := event.New(m.Account, m.Region, eventSource, eventDetailType, detail)
	if err != nil {
		return event.Event{}, err
	}
	out.ID, out.Time = e.ID, e.Time
	out.Kind, out.Subject, out.Type = eventKind, string(m.ID), string(e.Type)
	out.Notify = slices.DeleteFunc([]string{m.Notify.Lambda, m.Notify.SNS, m.Notify.SQS}, func(arn string) bool { return arn == "" })
	return out, nil
}

// Recorder records meetings' events in the journal.
func Recorder(j *event.Journal) func(context.Context, []meeting.Event) error {
	return func(ctx context.Context, events []meeting.Event) error {
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

// RecordedAdded returns the attendees who were added since then, by the
// journal.
func RecordedAdded(j *event.Journal) func(context.Context, time.Time) (map[meeting.AttendeeID]bool, error) {
	return func(ctx context.Context, since time.Time) (map[meeting.AttendeeID]bool, error) {
		from, err := j.Since(ctx, since)
		if err != nil {
			return nil, err
		}
		added := map[meeting.AttendeeID]bool{}
		err = j.Each(ctx, event.Subjects("", eventSource), from, func(r event.Record) error {
			if r.Type != string(meeting.AttendeeAdded) {
				return nil
			}
			e, err := r.Envelope()
			if err != nil {
				return err
			}
			var detail eventDetail
			if err := json.Unmarshal(e.Detail, &detail); err != nil {
				return fmt.Errorf("read event %d: %w", r.Sequence, err)
			}
			added[detail.AttendeeID] = true
			return nil
		})
		return added, err
	}
}

// Recorded returns the newest event of every meeting in the journal.
func Recorded(j *event.Journal) func(context.Context) (map[meeting.ID]meeting.EventType, error) {
	return func(ctx context.Context) (map[meeting.ID]meeting.EventType, error) {
		types, err := j.Latest(ctx, eventSource, eventKind)
		found := make(map[meeting.ID]meeting.EventType, len(types))
		for id, t := range types {
			found[meeting.ID(id)] = meeting.EventType(t)
		}
		return found, err
	}
}
