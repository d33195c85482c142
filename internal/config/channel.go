package config

import "time"

// Channel limits channels.
type Channel struct {
	MaxChannels int `toml:"max_channels"`
	StreamKeys  int `toml:"stream_keys"` // of one channel
	// Of an account and region each.
	MaxPlaybackKeys        int      `toml:"max_playback_keys"`
	MaxRestrictionPolicies int      `toml:"max_restriction_policies"`
	MaxRevocations         int      `toml:"max_revocations"` // of viewers, remembered at once
	MaxStreams             int      `toml:"max_streams"`     // of an account and region, at once
	MaxViewers             int      `toml:"max_viewers"`     // of an account and region, before an event tells
	MaxStream              Duration `toml:"max_stream"`
	IngestLimits           bool     `toml:"ingest_limits"`
	KeepSessions           Duration `toml:"keep_sessions"`
}

var defaultChannel = Channel{
	MaxChannels: 5000, StreamKeys: 1, MaxPlaybackKeys: 3, MaxRestrictionPolicies: 3, MaxRevocations: 100_000,
	MaxStreams: 100, MaxViewers: 15_000, MaxStream: Duration{48 * time.Hour}, IngestLimits: true,
	KeepSessions: Duration{60 * 24 * time.Hour},
}

// maxStreamKeys is how many stream keys a channel may have: a channel's record
// holds them all.
const maxStreamKeys = 50

func (c Channel) check(say func(setting, format string, args ...any)) {
	for setting, n := range map[string]int{
		"channel.max_channels": c.MaxChannels, "channel.stream_keys": c.StreamKeys, "channel.max_playback_keys": c.MaxPlaybackKeys,
		"channel.max_restriction_policies": c.MaxRestrictionPolicies, "channel.max_revocations": c.MaxRevocations,
		"channel.max_streams": c.MaxStreams, "channel.max_viewers": c.MaxViewers,
	} {
		if n < 1 {
			say(setting, "%d is less than 1", n)
		}
	}
	if c.StreamKeys > maxStreamKeys {
		say("channel.stream_keys", "%d is more than %d", c.StreamKeys, maxStreamKeys)
	}
	for setting, d := range map[string]Duration{"channel.max_stream": c.MaxStream, "channel.keep_sessions": c.KeepSessions} {
		if d.Duration < time.Minute {
			say(setting, "%v is less than 1m", d)
		}
	}
}
