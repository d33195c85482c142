// Package channel holds live channels: their records and stream keys, who may
// publish and who may watch, what is live, and the sessions and events of what
// was. A publisher's media comes in through package ingest, becomes parts and
// playlists in package packager and goes out to viewers through package
// playback.
package channel

import (
	"errors"
	"log/slog"
	"time"
)

// Errors of the service. What is wrong with a request's fields is checked by
// the caller (package api).
var (
	ErrNotFound        = errors.New("channel not found")
	ErrKeyNotFound     = errors.New("stream key not found")
	ErrNotBroadcasting = errors.New("the channel is not broadcasting")
	ErrLive            = errors.New("the channel is live")
	ErrTooMany         = errors.New("as many channels exist as this server allows")
	ErrTooManyKeys     = errors.New("as many stream keys exist as a channel may have")
	ErrSessionNotFound = errors.New("stream session not found")
)

// An Owner is whose a resource is. Nobody else finds it.
type Owner struct {
	Account string // 12 digits
	Region  string
}

// An ID names a channel: 12 of [A-Za-z0-9].
type ID string

// A KeyID names a stream key: 12 of [A-Za-z0-9].
type KeyID string

// A Spec is what somebody asks for when making a channel.
type Spec struct {
	Account         string // 12 digits, whose channel it is
	Region          string // control region, from the caller's signature
	Name            string
	LatencyMode     string // LOW, NORMAL
	Type            string // BASIC, STANDARD, ADVANCED_SD, ADVANCED_HD
	ContainerFormat string // TS, FRAGMENTED_MP4
	Preset          string
	InsecureIngest  bool     // plain RTMP may publish too
	Authorized      bool     // only who shows a token may watch
	Policy          PolicyID // from where it may be watched; "": from everywhere
	Recording       RecordingID
	Multitrack      Multitrack
	Tags            map[string]string
}

// Multitrack is what somebody wished for an input of several video tracks,
// which there is not.
type Multitrack struct {
	Policy            string // ALLOW, REQUIRE
	MaximumResolution string // SD, HD, FULL_HD
}

// Owner says whose the channel is.
func (s Spec) Owner() Owner { return Owner{s.Account, s.Region} }

// A Channel is the record of one channel.
type Channel struct {
	ID      ID
	Created time.Time
	Spec
}

// A StreamKey lets its holder publish on one channel.
type StreamKey struct {
	ID        KeyID
	ChannelID ID
	Account   string
	Region    string
	Value     Key
	Tags      map[string]string
}

// LogValue keeps the value out of logs.
func (k StreamKey) LogValue() slog.Value { return slog.StringValue(string(k.ID)) }

// A Key is a stream key's secret. It does not print: only Reveal returns it.
type Key struct{ value string }

// NewKey wraps the value.
func NewKey(value string) Key { return Key{value} }

// Reveal returns the value.
func (k Key) Reveal() string { return k.value }

// String keeps the value out of what is printed.
func (Key) String() string { return "(stream key)" }

// GoString keeps it out of %#v.
func (k Key) GoString() string { return k.String() }

// LogValue keeps it out of logs, which would otherwise print MarshalText.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText returns the value, for the store.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.value), nil }

// UnmarshalText takes the value, from the store.
func (k *Key) UnmarshalText(b []byte) error {
	k.value = string(b)
	return nil
}

// A Health tells whether a live stream gets its media in time.
type Health string

// The healths, as AWS spells them.
const (
	Healthy  Health = "HEALTHY"
	Starving Health = "STARVING"
	Unknown  Health = "UNKNOWN"
)

// A Stream is one live run of a channel.
type Stream struct {
	ID        string // st- and 23 of [A-Za-z0-9]
	ChannelID ID
	Started   time.Time
	Health    Health
	Viewers   int
}
