package channel

import (
	"cmp"
	"context"
	"time"

	"belfry.live/belfry/internal/channel/packager"
)

// Config says what the service may do.
type Config struct {
	Account     string // of records that do not say whose they are
	MaxChannels int    // 0: 5000
	// What an owner may have of these (0: 3).
	MaxPlaybackKeys, MaxRestrictionPolicies int
	MaxRevocations                          int // of viewers' sessions, remembered at once (0: 100000)
	StreamKeys                              int // of one channel (0: 1)
	// Retention is how long the playlists of a lost publisher wait for another
	// to go on with them (0: 60 s).
	Retention time.Duration
	Packager  packager.Config

	// Recording lets recording configurations be made. CheckBucket says what is
	// wrong with a bucket that is to take recordings.
	Recording     bool
	CheckBucket   func(ctx context.Context, bucket string) error
	MaxRecordings int // configurations, of one owner (0: 20)

	MaxStreams int           // of one owner at once (0: 100)
	MaxViewers int           // of one owner at once, beyond which an event tells of it (0: 15000)
	MaxStream  time.Duration // after which a publisher is cut off (0: 48 h)
	// NoIngestLimits lets publishers send more than the channel's type allows.
	NoIngestLimits bool

	KeepSessions time.Duration // how long a stream session can be asked for (0: 60 days)
	// Record writes down what happened, nil: nowhere. Events of one channel
	// come in order, one at a time, those of several channels at once. An
	// error makes the service try again later.
	Record func(context.Context, Event) error
	// Latest returns the name of every channel's newest event that Record has
	// written down; nil: what a crash left untold stays so.
	Latest func(context.Context) (map[ID]string, error)
}

func (c Config) withDefaults() Config {
	c.MaxChannels = cmp.Or(c.MaxChannels, 5000)
	c.MaxPlaybackKeys = cmp.Or(c.MaxPlaybackKeys, 3)
	c.MaxRestrictionPolicies = cmp.Or(c.MaxRestrictionPolicies, 3)
	c.MaxRevocations = cmp.Or(c.MaxRevocations, 100_000)
	c.MaxRecordings = cmp.Or(c.MaxRecordings, 20)
	c.StreamKeys = cmp.Or(c.StreamKeys, 1)
	c.Retention = cmp.Or(c.Retention, time.Minute)
	c.MaxStreams = cmp.Or(c.MaxStreams, 100)
	c.MaxViewers = cmp.Or(c.MaxViewers, 15_000)
	c.MaxStream = cmp.Or(c.MaxStream, 48*time.Hour)
	c.KeepSessions = cmp.Or(c.KeepSessions, 60*24*time.Hour)
	return c
}
