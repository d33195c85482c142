// Package ingest is the RTMP and RTMPS server for publishers. Connections come
// in from listeners that the caller made (a TLS listener makes it RTMPS); a
// publisher's media goes out, as samples of one rendition, to the Publication
// that the Desk gave for its stream key. Who may publish and what becomes of
// the media is left to the Desk (package channel).
package ingest

import (
	"context"
	"errors"
	"net/url"

	"belfry.live/belfry/internal/channel/packager"
	"belfry.live/belfry/internal/wire/aac"
	"belfry.live/belfry/internal/wire/flv"
	"belfry.live/belfry/internal/wire/h264"
)

// Errors of a Desk: the publisher is told which one it was.
var (
	ErrUnknownKey = errors.New("unknown stream key")
	ErrBusy       = errors.New("somebody publishes with this stream key already")
	ErrExpired    = errors.New("the stream key has expired")
	ErrTooMany    = errors.New("as many streams are live as this account may have")
	ErrInsecure   = errors.New("this channel takes encrypted connections (RTMPS) only")
)

// Metadata is what a publisher says of its stream.
type Metadata = flv.Metadata

// A Publisher is who wants to publish.
type Publisher struct {
	Remote    string     // IP address and port
	Encrypted bool       // RTMPS
	App       string     // first path element of the URL, such as "app"
	Encoder   string     // flashVer of the connect command; may be empty
	Query     url.Values // what followed the key after '?'
}

// A Desk decides who may publish. It is called from many goroutines.
type Desk interface {
	// Publish begins a publication, or returns an error that wraps one of the
	// package's when the publisher is refused. ctx ends after a few seconds;
	// it is not the publication's.
	Publish(ctx context.Context, key string, p Publisher) (Publication, error)
}

// A Publication takes one publisher's media. One goroutine calls it, but for
// Stopped. After an error of any method the session ends, and the publisher is
// told the error's text.
//
// SetVideo comes before the first WriteVideo and SetAudio before the first
// WriteAudio; either comes again, between samples, when the configuration
// changes and only then. Samples of both kinds come in the order the publisher
// sent them. The lengths within a video sample always have 4 bytes, as the
// Config says. A sample's Data is overwritten once the call returns.
//
// DTS and PTS are on one clock for both kinds, the publisher's in whole
// milliseconds, unwrapped: it may begin anywhere at or above zero, and it may
// jump both ways when the publisher's does.
type Publication interface {
	Metadata(Metadata)
	SetVideo(h264.Config) error
	SetAudio(aac.Config) error
	WriteVideo(packager.Sample) error
	WriteAudio(packager.Sample) error
	// Stopped is closed when the publisher is to be cut off.
	Stopped() <-chan struct{}
	// Close is the last call. orderly means that the publisher ended the
	// stream itself; else its connection was lost or cut.
	Close(orderly bool)
}
