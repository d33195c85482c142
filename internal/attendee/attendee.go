// Package attendee is the client side of a meeting, in Go: it joins as a
// browser does, by the Chime signaling protocol and WebRTC, and joins again
// when the connection is lost. What it receives comes out as RTP packets with
// the sender reports that put them on one clock; what it sends goes in as
// encoded frames with the time they were captured. Decoding, encoding and the
// order of video packets are left to the caller.
//
// The live connector, load generators and tests attend meetings by it.
package attendee

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/transport/v4"

	"belfry.live/belfry/internal/attendee/link"
)

// Errors that Run ends with: trying again would not help.
var (
	ErrEnded           = errors.New("the meeting has ended")
	ErrRemoved         = errors.New("the attendee was removed from the meeting")
	ErrJoinedElsewhere = errors.New("the attendee joined from another place")
	ErrRefused         = errors.New("the meeting refused the attendee")
	ErrFull            = errors.New("the meeting is full")
)

// ErrNotConnected is what sending gives while there is nobody to send to.
var ErrNotConnected = errors.New("not connected to the meeting")

// A Codec is how media is encoded.
type Codec int

// The codecs a Client sends and receives.
const (
	Opus Codec = iota + 1
	VP8
	H264
	VP9
	AV1
)

// String gives the codec's name as it is spelled in RTP.
func (c Codec) String() string {
	switch c {
	case Opus:
		return "opus"
	case VP8:
		return "VP8"
	case H264:
		return "H264"
	case VP9:
		return "VP9"
	case AV1:
		return "AV1"
	}
	return fmt.Sprintf("Codec(%d)", int(c))
}

// A Source is somebody's camera, from its start to its end; the next time it
// is switched on it is another Source. StreamID is the layer of it that was
// received first: that others follow does not make it another Source.
type Source struct {
	AttendeeID     string
	ExternalUserID string
	StreamID       uint32
	GroupID        uint32
}

// Content says whether the source is a content share.
func (s Source) Content() bool { return strings.HasSuffix(s.AttendeeID, contentSuffix) }

// Owner returns the attendee whose camera it is, or who shares.
func (s Source) Owner() string { return strings.TrimSuffix(s.AttendeeID, contentSuffix) }

// A Layer is one encoding of the own camera.
type Layer struct {
	RID     string // names it, up to 16 letters and digits; "": the only one
	MaxKbps int    // 0: it is off
}

// A Preference says what to receive of somebody's video.
type Preference struct {
	// TargetKbps is what the picture is worth, in kbit/s; 0: the most there
	// is.
	TargetKbps int
	// Priority orders the videos where not all can be received in full, the
	// greater the more important.
	Priority uint32
}

// A Message is a data message of an application's.
type Message struct {
	Topic    string
	Data     []byte
	Lifetime time.Duration // for how long it is kept for those who come later

	// Of those received.
	SenderAttendeeID, SenderExternalUserID string
	Sent                                   time.Time // by the server's clock; zero: throttled, not passed on
}

// Credentials let an attendee of a replica meeting into the primary one.
type Credentials struct {
	AttendeeID, ExternalUserID string
	JoinToken                  string // never logged
}

// A Participant is somebody in the meeting.
type Participant struct {
	AttendeeID     string
	ExternalUserID string
	Present        bool // false: has left
	Dropped        bool // was lost rather than left
	Muted          bool
}

// A Volume is how loud somebody is.
type Volume struct {
	AttendeeID string
	DBFS       int // decibels below full scale, 0 loud to 127 silent
}

// A Config says where to join, and as whom.
type Config struct {
	SignalingURL   string // of the meeting's MediaPlacement
	AttendeeID     string
	ExternalUserID string
	JoinToken      string // never logged

	// WantVideo chooses which videos to receive, when they are announced;
	// nil: none.
	WantVideo func(Source) bool

	// Codecs of video are offered, to be received; nil: VP8 and H.264.
	Codecs []Codec

	Stereo   bool // offer stereo sound
	RED      bool // offer redundant audio (RFC 2198), and send it if that is taken
	PlainSDP bool // do not ask for compressed SDP, as browsers do

	// Adaptation asks the server to choose layers by Client.Prefer and the
	// network; otherwise the best layers within the preferences are received.
	Adaptation bool

	// Protocols to reach the media port by, or the relays that the meeting
	// names; link.AnyProtocol: all there are.
	Protocols link.Protocol
	Net       transport.Net // for media; nil: that of the machine
	TLS       *tls.Config   // for relays spoken to by TLS; nil: the machine's authorities

	// Patience is how long Run goes on without a connection before it gives
	// up with the last error; 0: for ever.
	Patience time.Duration

	HTTPClient *http.Client // opens the WebSocket; nil: http.DefaultClient
	Log        *slog.Logger // nil: nothing is logged
}

// A Handler is told what happens. Members that are nil are not called. The
// calls come from the Client's goroutines, none after Run has returned, and
// must return soon; packets are valid until then. Those of all media come one
// after the other.
type Handler struct {
	Connected    func(again bool) // media flows; again: it did before
	Disconnected func(err error)  // the connection is lost and is being made anew; all videos have ended

	Roster  func(Participant) // came, left, muted, unmuted; the Client itself included
	Volumes func([]Volume)    // of those who speak; valid until return

	AudioRTP    func(p *rtp.Packet, arrival time.Time) // the meeting's mix, Opus
	AudioReport func(ntp time.Time, rtp uint32)        // its sender reports: the server's time at that timestamp

	VideoStarted func(s Source, c Codec)                          // its first packet comes next; again if the codec changes
	VideoRTP     func(s Source, p *rtp.Packet, arrival time.Time) // as they come; what was lost is asked for, and comes late
	VideoReport  func(s Source, ntp time.Time, rtp uint32)        // on the clock of AudioReport
	VideoEnded   func(s Source)                                   // no packet comes any more

	// VideoPaused tells that the server sends a video no more for want of
	// bandwidth, or again.
	VideoPaused func(s Source, paused bool)

	KeyFrameWanted func(layer int) // the next frame of this layer of the own video should be one
	UplinkLimit    func(bps int)   // what the own video may take, by the server's estimate

	Data func(Message) // valid until return
}

// Content is how a content share joins beside its sharer: it sends, and is not
// counted.
func (cfg Config) Content() Config {
	cfg.AttendeeID += contentSuffix
	cfg.JoinToken += contentSuffix
	cfg.WantVideo = nil
	return cfg
}

const contentSuffix = "#content"
