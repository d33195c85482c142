// Package meeting holds meetings and their attendees: the records that survive
// a restart, and for every meeting somebody has joined one live room, a loop
// that owns the roster, the published videos and the active speakers.
//
// In come API calls (package api) and signaling connections (package signal);
// RTP flows through packages rtc, sfu and mix below this folder. AWS shapes
// and ARNs are left to package api.
package meeting

import (
	"errors"
	"time"
)

// Errors of the service. What is wrong with a request's fields is checked by
// the caller (package api).
var (
	ErrNotFound         = errors.New("meeting not found")
	ErrAttendeeNotFound = errors.New("attendee not found")
	ErrFull             = errors.New("the meeting has as many attendees as it may have")
	ErrTooMany          = errors.New("as many meetings are running as this server allows")
	ErrPrimary          = errors.New("not a meeting that can have replicas")
	ErrTooManyTags      = errors.New("more tags than a meeting may have")
	ErrTooManyReplicas  = errors.New("the meeting has as many replicas as it may have")
)

// An ID names a meeting (a lower-case UUID).
type ID string

// An AttendeeID names an attendee of one meeting (a lower-case UUID).
type AttendeeID string

// A Spec is what somebody asks for when making a meeting.
type Spec struct {
	RequestToken string // same token while the meeting lives: same meeting
	Account      string // 12 digits, whose meeting it is
	Region       string // control region, from the caller's signature
	MediaRegion  string
	ExternalID   string
	HostID       string
	PrimaryID    ID // of a replica: the meeting whose audience its attendees are
	TenantIDs    []string
	Tags         map[string]string
	NetworkType  string // Ipv4Only or DualStack, "" unsaid
	Features     Features
	Notify       Notify `json:",omitzero"`
}

// Notify are ARNs of where a meeting's owner wants to be told what happens in
// it; "": nowhere.
type Notify struct{ Lambda, SNS, SQS string }

// Features are what the meeting allows; empty strings and 0 mean the default.
type Features struct {
	EchoReduction      string // AVAILABLE, UNAVAILABLE
	VideoMaxResolution string // None, HD, FHD
	ContentResolution  string // None, FHD, UHD
	MaxAttendees       int    // 1 to 250
}

// A Meeting is the record of one meeting.
type Meeting struct {
	ID      ID
	Created time.Time
	Spec
}

// A Capability says which way one kind of media may flow.
type Capability string

// The capabilities, as AWS spells them.
const (
	SendReceive Capability = "SendReceive"
	Send        Capability = "Send"
	Receive     Capability = "Receive"
	None        Capability = "None"
)

// Capabilities are an attendee's, by kind of media.
type Capabilities struct {
	Audio, Video, Content Capability
}

// An Attendee is the record of somebody who may join one meeting.
type Attendee struct {
	ID             AttendeeID
	MeetingID      ID
	ExternalUserID string
	JoinToken      Secret
	Capabilities   Capabilities
	Created        time.Time
}

// A Secret does not print: only Reveal returns it. It marshals to JSON as
// what it is, for the store.
type Secret struct{ value string }

// NewSecret wraps the value.
func NewSecret(value string) Secret { return Secret{value} }

// Reveal returns the value.
func (s Secret) Reveal() string { return s.value }

// String keeps the value out of logs.
func (Secret) String() string { return "(secret)" }

// MarshalText returns the value, for the store.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.value), nil }

// UnmarshalText takes the value, from the store.
func (s *Secret) UnmarshalText(b []byte) error {
	s.value = string(b)
	return nil
}
