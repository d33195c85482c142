package channel

import (
	"strings"
	"time"
)

// An EventKind says what an event is about, as AWS's detail-type does.
type EventKind string

// The kinds of events.
const (
	StateChange  EventKind = "IVS Stream State Change"
	HealthChange EventKind = "IVS Stream Health Change"
	LimitBreach  EventKind = "IVS Limit Breach"
)

// The names of events.
const (
	SessionCreated      = "Session Created" // a publisher is there; nothing can be played yet
	StreamStart         = "Stream Start"    // viewers may come
	SessionEnded        = "Session Ended"   // the publisher has gone
	StreamEnd           = "Stream End"      // there will be nothing more to play
	StreamFailure       = "Stream Failure"  // what the publisher sends cannot be packaged
	StreamTakeover      = "Stream Takeover" // a publisher of a higher priority goes on with the stream
	TakeoverFailure     = "Stream Takeover Failure"
	StarvationStart     = "Starvation Start"
	StarvationEnd       = "Starvation End"
	IngestBitrate       = "Ingest Bitrate"
	IngestResolution    = "Ingest Resolution"
	ConcurrentBroadcast = "Concurrent Broadcasts"
	ConcurrentViewers   = "Concurrent Viewers"
)

// Codes of a TakeoverFailure.
const (
	CodeMediaMismatch   = "StreamTakeoverMediaMismatch"
	CodeInvalidPriority = "StreamTakeoverInvalidPriority"
	CodeTakeoverLimit   = "StreamTakeoverLimitBreached"
)

// An Event is something that happened to a channel's stream.
type Event struct {
	Kind   EventKind
	Name   string
	Time   time.Time
	Code   string  `json:",omitempty"`
	Reason string  `json:",omitempty"` // for people
	Breach *Breach `json:",omitempty"` // of a LimitBreach

	Channel  ID
	Owner    Owner
	Title    string `json:",omitempty"` // the channel's name
	StreamID string `json:",omitempty"` // "": it came to no stream
}

// A Breach says how a limit was passed.
type Breach struct {
	Limit, ExceededBy int64
	Unit              string
}

// IsError says whether the event tells of something that went wrong.
func (e Event) IsError() bool {
	return e.Kind == LimitBreach || strings.HasSuffix(e.Name, "Failure")
}

// newEvent fills in whose event it is.
func newEvent(ch Channel, stream string, kind EventKind, name string, now time.Time) Event {
	return Event{
		Kind: kind, Name: name, Time: now.UTC().Truncate(time.Millisecond),
		Channel: ch.ID, Owner: Owner{ch.Account, ch.Region}, Title: ch.Name, StreamID: stream,
	}
}
