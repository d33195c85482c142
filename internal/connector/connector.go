// Package connector holds media pipelines: what was asked for, which worker
// runs it and how it is. A live connector brings one meeting's composited
// picture and mixed sound to one RTMP sink, a capture pipeline writes a meeting
// down, and a concatenation pipeline joins the pieces of a capture; the work
// itself is done in a worker process (package pipeline/liveconnector for the
// first; a server that has no worker for a kind refuses it).
//
// It knows a meeting as something one can be invited to, and a channel as
// nothing but an RTMP URL.
package connector

import (
	"errors"
	"maps"
	"net/url"
	"time"
)

// Errors of the service. What is wrong with a request's fields is checked by
// the caller (package api).
var (
	ErrNotFound        = errors.New("media pipeline not found")
	ErrMeetingNotFound = errors.New("the source meeting does not exist or has ended")
	ErrMeetingTaken    = errors.New("the meeting has a pipeline of this kind already")
	ErrTooMany         = errors.New("as many pipelines are running as this server allows")
	ErrTooManyTags     = errors.New("as many tags as a pipeline may have")
	ErrTokenSpent      = errors.New("the client request token is that of a pipeline that is gone")
	ErrTokenTaken      = errors.New("the client request token is that of a pipeline of another kind")
	ErrNoCapture       = errors.New("no capture pipeline of the last 30 days")
	ErrNotAvailable    = errors.New("not available on this server")
)

// An ID names a pipeline (a lower-case UUID).
type ID string

// A Kind says what a pipeline does.
type Kind string

// The kinds.
const (
	LiveConnector Kind = "live connector"
	Capture       Kind = "capture"
	Concatenation Kind = "concatenation"
)

// A Status is a pipeline's, as AWS spells it.
type Status string

// The statuses a pipeline passes through, in this order; Failed comes from any
// of them. NotStarted is a concatenation whose capture still runs.
const (
	NotStarted   Status = "NotStarted"
	Initializing Status = "Initializing"
	InProgress   Status = "InProgress"
	Stopping     Status = "Stopping"
	Stopped      Status = "Stopped"
	Failed       Status = "Failed"
)

// A Spec is what somebody asks for when making a pipeline.
type Spec struct {
	Kind         Kind
	RequestToken string
	Account      string // 12 digits, whose pipeline it is
	Region       string // control region, from the caller's signature
	Tags         map[string]string
	// Request keeps the members that describe source and sink as they came, to
	// be given back by the reading calls. It holds the sink URL: never log it.
	Request []byte

	// Of a live connector and a capture.
	MeetingID  string
	MeetingARN string // as the caller wrote it; given back unchanged
	Layout     Layout
	// Selected names the attendees whose video is drawn; both empty: all.
	SelectedAttendeeIDs     []string
	SelectedExternalUserIDs []string

	// Of a live connector.
	MuxType    string // AudioWithCompositedVideo, AudioWithActiveSpeakerVideo
	SinkURL    SinkURL
	SampleRate int // 44100 or 48000 Hz
	Channels   int // 1 or 2

	// Of a capture and a concatenation.
	SinkARN   string // arn:aws:s3:::bucket[/prefix]
	Artifacts Artifacts

	// Of a concatenation.
	CaptureID ID // whose pieces it joins
}

// A Layout says how the picture is composed. Only the grid exists so far.
type Layout struct {
	Resolution string // HD (1280x720) or FHD (1920x1080)
	Portrait   bool
}

// Artifacts are what a capture writes, or a concatenation joins. Sound is
// always among them.
type Artifacts struct {
	AudioMuxType string // of a capture: AudioOnly, AudioWithActiveSpeakerVideo, AudioWithCompositedVideo
	Video        bool   // of each attendee
	Content      bool
	Composited   bool // the picture of all

	// Of a concatenation.
	DataChannel, TranscriptionMessages, MeetingEvents bool
}

// A Pipeline is the record of one pipeline.
type Pipeline struct {
	ID      ID
	Created time.Time
	Updated time.Time
	Status  Status
	Lost    bool   // the sink does not take the stream; it is being tried again
	Cause   string // why it failed, for people; no secrets
	Meeting Meeting
	Spec
}

// A Meeting is what is kept of a pipeline's meeting, for its events.
type Meeting struct {
	ExternalID  string
	MediaRegion string
}

// over says that the pipeline will not run any more.
func (p Pipeline) over() bool {
	return p.Status == Stopping || p.Status == Stopped || p.Status == Failed
}

// clone returns a copy that may be changed; of what it refers to, only Tags
// ever is.
func (p Pipeline) clone() Pipeline {
	p.Tags = maps.Clone(p.Tags)
	return p
}

// A SinkURL is an RTMP(S) URL whose last path element is a stream key. It
// prints without it: only Reveal returns the whole.
type SinkURL struct{ value string }

// NewSinkURL wraps the URL.
func NewSinkURL(url string) SinkURL { return SinkURL{url} }

// Reveal returns the whole URL.
func (u SinkURL) Reveal() string { return u.value }

// MarshalText returns the whole URL, for the store and the worker's job.
func (u SinkURL) MarshalText() ([]byte, error) { return []byte(u.value), nil }

// UnmarshalText takes the whole URL.
func (u *SinkURL) UnmarshalText(b []byte) error {
	u.value = string(b)
	return nil
}

// String returns scheme and host alone.
func (u SinkURL) String() string {
	p, err := url.Parse(u.value)
	if err != nil || p.Host == "" {
		return "(sink URL)"
	}
	return p.Scheme + "://" + p.Host + "/(stream key)"
}
