// Package rtc is an attendee's peer connection: SDP offers and encrypted
// packets from the network come in, RTP packets and key frame requests go to
// packages sfu and mix and back. It always answers, never offers. Who is who,
// and who may see whom, is left to package meeting.
package rtc

import (
	"errors"
	"net/netip"
	"time"

	"belfry.live/belfry/internal/meeting/sfu"
	"github.com/pion/rtp"
)

// Errors of a peer. One that offers nonsense gets an ErrOffer.
var (
	ErrClosed      = errors.New("peer is closed")
	ErrUnreachable = errors.New("no connection was made")
	ErrLost        = errors.New("connection lost")
	ErrEnded       = errors.New("ended by the client")
)

// LevelUnknown is the audio level of a packet that does not say it.
const LevelUnknown = 255

// Events are called from the peer's goroutines and must return quickly; nil
// ones are not called. None is called after Close has returned, and none may
// call Close. Connected, VideoStarted, VideoStopped and Closed come one after
// the other, in the order things happened.
type Events struct {
	Connected    func()                                              // ICE and DTLS are up for the first time
	Closed       func(error)                                         // the peer is over, not by Close; at most once
	Audio        func(p *rtp.Packet, level uint8, arrival time.Time) // p is valid until return; level in -dBov, 127 is silence
	AudioReport  func(ntp time.Time, rtp uint32)                     // sender report of the uplink audio
	VideoStarted func(*sfu.Publisher)                                // a layer's first RTP after the camera was switched on
	VideoStopped func(*sfu.Publisher)                                // the layer's camera was switched off, or the peer is over
}

// An Offer is what the client proposes.
type Offer struct {
	SDP     string
	Publish bool      // the camera may send (DUPLEX)
	Receive []Receive // one per m=video, in SDP order; that of the camera is not looked at
}

// A Receive says what to send on a section.
type Receive struct {
	Target sfu.Target // zero: the section is not active
	Paused bool       // active, but nothing is sent until SetTarget
}

// An Answer is what the server makes of an offer.
type Answer struct {
	SDP    string
	Tracks []Track // the receive sections that are active

	// Encodings are the ids of the camera's simulcast encodings in the order
	// of the offer, as in Publisher.RID; none without simulcast.
	Encodings []string
}

// A Track is one active receive section.
type Track struct {
	MID     string
	SSRC    uint32
	Section int // index among m=video
}

// An AudioFrame is one Opus packet of the mix.
type AudioFrame struct {
	Payload   []byte
	Packet    *sfu.Packet // the payload as a packet that many share; nil: it is copied
	Timestamp uint32      // 48 kHz
	Time      time.Time   // when its first sample is made, on the server's clock
	Marker    bool
}

// A Config says where media is received.
type Config struct {
	Addr            string       // UDP and TCP, "host:port"; port 0 picks one, no host means all addresses
	PublicAddresses []netip.Addr // told to clients in front of the local ones
}
