// Package ticket holds what a viewer shows to watch a private channel: the
// token that the channel's owner signed, and the session that a playlist's
// links carry once the token was accepted. Keys, tokens, sessions and the time
// come in as values; what they allow goes out. Which keys an account has, what
// was revoked and what was used before is left to package channel, HTTP to
// package playback.
package ticket

import (
	"crypto/sha256"
	"fmt"
	"time"
)

// TokenLead is how far ahead a token may expire that names a viewer or may be
// used only once: whoever keeps a list of these can forget them after that.
const TokenLead = 10 * time.Minute

// ClockSkew is how far the clock of whoever signs tokens may differ from ours.
const ClockSkew = 30 * time.Second

// SessionLife is how long a session lasts at most: as long as the longest
// stream of a channel.
const SessionLife = 48 * time.Hour

// A Resolution is the largest picture that a viewer may see; the zero value is
// no limit.
type Resolution uint8

// The resolutions, as tokens name them.
const (
	AnyResolution Resolution = iota
	SD
	HD
	FullHD
)

var resolutions = [...]struct {
	name  string
	lines int
}{AnyResolution: {"", 0}, SD: {"SD", 480}, HD: {"HD", 720}, FullHD: {"FULL_HD", 1080}}

// ParseResolution reads the name of a resolution: SD, HD or FULL_HD.
func ParseResolution(name string) (Resolution, error) {
	for r, known := range resolutions {
		if r != int(AnyResolution) && known.name == name {
			return Resolution(r), nil
		}
	}
	return 0, fmt.Errorf("%q is none of SD, HD, FULL_HD", name)
}

// Lines returns how many pixels the picture's shorter side may have; 0 is any
// number.
func (r Resolution) Lines() int { return resolutions[r].lines }

func (r Resolution) String() string { return resolutions[r].name }

// A Viewer stands for the viewer id of a token. It has a fixed size, so that
// sessions stay short, and does not show the id to who reads a link.
type Viewer [16]byte

// ViewerOf returns what stands for the viewer id.
func ViewerOf(id string) Viewer {
	sum := sha256.Sum256([]byte(id))
	return Viewer(sum[:len(Viewer{})])
}
