// Package rtc is an attendee's peer connection: SDP offers and encrypted
// packets from the network come in, RTP packets and key frame requests go to
// packages sfu and mix and back. It always answers, never offers. Who is who,
// and who may see whom, is left to package meeting.
package rtc

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"belfry.live/belfry/internal/meeting/sfu"
	"github.com/pion/rtp"
)

var errNotYet = errors.New("rtc: not built yet")

// A Config says where media is received.
type Config struct {
	Addr            string       // UDP and TCP, "host:port"; port 0 picks one
	PublicAddresses []netip.Addr // told to clients before the local ones
}

// A Transport is the one media port of a node, shared by all its peers.
type Transport struct{}

// NewTransport listens.
func NewTransport(cfg Config, log *slog.Logger) (*Transport, error) { return nil, errNotYet }

// Addr returns the address listened on.
func (t *Transport) Addr() netip.AddrPort { return netip.AddrPort{} }

// Close ends all peers and frees the port.
func (t *Transport) Close() error { return nil }

// Events are called from the peer's goroutines and must return quickly. None
// is called after Close has returned, and no event may call Close.
type Events struct {
	Connected    func()                                              // ICE and DTLS are up for the first time
	Closed       func(error)                                         // the peer is over by itself; at most once
	Audio        func(p *rtp.Packet, level uint8, arrival time.Time) // p is valid until return; level in -dBov, 127 silence, 255 unknown
	AudioReport  func(ntp time.Time, rtp uint32)                     // sender report of the uplink audio
	VideoStarted func(*sfu.Publisher)                                // first RTP after the camera section was switched on
	VideoStopped func(*sfu.Publisher)
}

// A Peer is one attendee's peer connection.
type Peer struct{}

// NewPeer makes a peer that waits for its first offer.
func (t *Transport) NewPeer(ev Events, log *slog.Logger) (*Peer, error) { return nil, errNotYet }

// An Offer is what the client proposes.
type Offer struct {
	SDP     string
	Publish bool      // the camera may send (DUPLEX)
	Receive []Receive // one per m=video, in SDP order
}

// A Receive says what to send on a section.
type Receive struct {
	Source *sfu.Publisher // nil: nothing
}

// An Answer is what the server makes of it.
type Answer struct {
	SDP    string
	Tracks []Track // the receive sections that are active
}

// A Track is one active receive section.
type Track struct {
	MID     string
	SSRC    uint32
	Section int // index among m=video
}

// Negotiate answers an offer. Calls must not overlap.
func (p *Peer) Negotiate(ctx context.Context, o Offer) (Answer, error) { return Answer{}, errNotYet }

// An AudioFrame is one Opus packet of the mix.
type AudioFrame struct {
	Payload   []byte
	Timestamp uint32    // 48 kHz
	Time      time.Time // when the first sample is made, on the server's clock
	Marker    bool
}

// WriteAudio sends a frame of the mix. It never blocks and keeps nothing of f.
func (p *Peer) WriteAudio(f AudioFrame) error { return errNotYet }

// SetClockOffset tells what to add to the publisher's NTP time to get the
// server's.
func (p *Peer) SetClockOffset(o time.Duration) {}

// Close ends the peer and waits for its goroutines.
func (p *Peer) Close() error { return nil }
