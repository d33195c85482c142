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
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/pion/rtp"
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
	}
	return fmt.Sprintf("Codec(%d)", int(c))
}

// A Source is somebody's camera, from its start to its end; the next time it
// is switched on it is another Source.
type Source struct {
	AttendeeID     string
	ExternalUserID string
	StreamID       uint32
	GroupID        uint32
}

// A Participant is somebody in the meeting.
type Participant struct {
	AttendeeID     string
	ExternalUserID string
	Present        bool // false: has left
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

	// Patience is how long Run goes on without a connection before it gives
	// up with the last error; 0: for ever.
	Patience time.Duration

	HTTPClient *http.Client // opens the WebSocket; nil: http.DefaultClient
	Log        *slog.Logger // nil: nothing is logged
}

// A Handler is told what happens. Members that are nil are not called. The
// calls come from the Client's goroutines, none after Run has returned, and
// must return soon; packets are valid until then. Within one kind of media (the
// audio, a Source) they come one after the other.
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

	KeyFrameWanted func() // the next frame of the Client's own video should be one
}
