// Package connector holds media pipelines: what was asked for, which worker
// runs it and how it is. A live connector brings one meeting's composited
// picture and mixed sound to one RTMP sink; the work itself is done in a
// worker process (package pipeline/liveconnector).
//
// It knows a meeting as something one can be invited to, and a channel as
// nothing but an RTMP URL.
package connector

import (
	"errors"
	"net/url"
	"time"
)

// Errors of the service. What is wrong with a request's fields is checked by
// the caller (package api).
var (
	ErrNotFound        = errors.New("media pipeline not found")
	ErrMeetingNotFound = errors.New("the source meeting does not exist or has ended")
	ErrMeetingTaken    = errors.New("the meeting has a live connector already")
	ErrTooMany         = errors.New("as many pipelines are running as this server allows")
	ErrTokenSpent      = errors.New("client request token exists without active resources, please re-generate client request token")
)

// An ID names a pipeline (a lower-case UUID).
type ID string

// A Status is a pipeline's, as AWS spells it.
type Status string

// The statuses a live connector passes through, in this order; Failed comes
// from any of them.
const (
	Initializing Status = "Initializing"
	InProgress   Status = "InProgress"
	Stopping     Status = "Stopping"
	Stopped      Status = "Stopped"
	Failed       Status = "Failed"
)

// A Spec is what somebody asks for when making a live connector.
type Spec struct {
	RequestToken string
	Account      string // 12 digits, whose pipeline it is
	Region       string // control region, from the caller's signature
	MeetingID    string
	MeetingARN   string // as the caller wrote it; given back unchanged
	MuxType      string // AudioWithCompositedVideo, AudioWithActiveSpeakerVideo
	Layout       Layout
	SinkURL      SinkURL
	SampleRate   int // 44100 or 48000 Hz
	Channels     int // 1 or 2
	Tags         map[string]string
	// Selected names the attendees whose video is drawn; both empty: all.
	SelectedAttendeeIDs     []string
	SelectedExternalUserIDs []string
	// Request keeps the Sources and Sinks members as they came, to be given
	// back by the reading calls. It holds the sink URL: never log it.
	Request []byte
}

// A Layout says how the picture is composed. Only the grid exists so far.
type Layout struct {
	Resolution string // HD (1280x720) or FHD (1920x1080)
	Portrait   bool
}

// A Pipeline is the record of one live connector.
type Pipeline struct {
	ID      ID
	Created time.Time
	Updated time.Time
	Status  Status
	Cause   string // why it failed, for people; no secrets
	Spec
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
