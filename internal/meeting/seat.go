package meeting

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"
	"golang.org/x/time/rate"
	"google.golang.org/protobuf/proto"

	"belfry.live/belfry/internal/meeting/mix"
	"belfry.live/belfry/internal/meeting/rtc"
	"belfry.live/belfry/internal/meeting/sfu"
	"belfry.live/belfry/internal/meeting/signal"
	"belfry.live/belfry/internal/wire/chime"
)

// A seat is one connection of an attendee: the signaling session, the peer
// connection, the place in the mix. It implements signal.Seat.
type seat struct {
	// Fixed by newSeat.
	room     *room
	home     Attendee // whose join token opened the connection
	from     Meeting  // home's: the room's, or a replica of it
	ours     bool     // one of our own: hidden, and not counted anywhere
	audience bool     // comes from a replica meeting: hidden until promoted
	share    bool     // shares content
	relay    signal.Relay
	session  *signal.Session
	log      *slog.Logger
	gone     chan struct{} // closed by the room with out
	stated   *rate.Limiter // data messages that are passed on
	flooded  *rate.Limiter // data messages at all

	// The peer is set once, by the session's goroutine, with the first offer;
	// the participant by the loop.
	peer        atomic.Pointer[rtc.Peer]
	participant atomic.Pointer[mix.Participant]
	silenced    atomic.Bool // what it says is not for the mix

	// Touched by the room's loop alone.
	attendee     Attendee  // as whom it takes part; the id of a share ends with the mark of content
	hidden       bool      // nobody sees or hears it
	asked        bool      // a JOIN came
	counted      bool      // by the gate
	out          bool      // of the meeting, for good
	closed       bool      // the socket is: nothing of the session runs
	left         bool      // the session is over
	lingersUntil time.Time // if left, not out
	offeredAt    time.Time // the first time; zero: never
	mediaOver    bool      // by itself
	mediaOverAt  time.Time
	audioSession uint64
	present      bool   // media is connected: knows the roster, and is in it unless hidden
	relayed      bool   // was sent to TURN
	streamID     uint32 // of the audio, once present
	muted        bool
	muteTold     bool // as the others know it
	muteToldAt   time.Time
	camera       *camera // nil: off
	filmed       bool    // it was told that there is video
	watching     watching
	told         []byte // the last INDEX, less what BITRATES tell
	strength     strength
	mail         mailSlot
}

// newSeat makes the seat of somebody whose token was of that attendee, which
// may be of a replica of the room's meeting.
func newSeat(r *room, m Meeting, a Attendee, c signal.Credentials, session *signal.Session) *seat {
	s := &seat{
		room: r, home: a, from: m, attendee: a, share: c.Share, relay: c.Relay, session: session,
		ours:     isHidden(a.ExternalUserID),
		audience: a.MeetingID != r.meeting.ID,
		gone:     make(chan struct{}),
		stated:   rate.NewLimiter(messageRate, messageBurst),
		flooded:  rate.NewLimiter(messageHardRate, messageHardBurst),
	}
	s.hidden = s.ours || s.audience
	if s.share {
		s.attendee.ID = contentOf(a.ID)
	}
	s.log = r.log.With("attendee", s.attendee.ID)
	return s
}

func (s *seat) send(f *chime.Frame) { s.session.Send(chime.Append(nil, f)) }

// post runs f on the room's loop, unless s is out before. It must not be
// called by the loop.
func (s *seat) post(f func()) (done bool) {
	select {
	case s.room.calls <- f:
		return true
	case <-s.gone:
		return false
	}
}

// Join enters the meeting.
func (s *seat) Join(ctx context.Context, f *chime.JoinFrame) {
	late := s.room.service.gate.pace(ctx)
	err := s.room.do(ctx, func() error { return s.room.join(s, f, late) })
	if err != nil {
		s.session.Close(signal.CloseRetry, "try again later")
	}
}

// Leave says that the socket is closed, or will soon be after a LEAVE.
func (s *seat) Leave(d signal.Departure) { s.room.tell(func() { s.room.left(s, d) }) }

// socketClosed comes after Leave, when the session has ended.
func (s *seat) socketClosed() { s.room.tell(func() { s.room.socketClosed(s) }) }

// SetMuted tells everybody that the microphone is off, or on.
func (s *seat) SetMuted(muted bool) { s.post(func() { s.room.setMuted(s, muted) }) }

// Answered begins what comes after the first answer.
func (s *seat) Answered() { s.post(func() { s.room.answered(s) }) }

// Metrics and Timing take what the client measured.
func (s *seat) Metrics(f *chime.ClientMetricFrame)        { s.room.service.tally.Metrics(f) }
func (s *seat) Timing(f *chime.MeetingSessionTimingFrame) { s.room.service.tally.Timing(f) }

// Pause stops, or resumes, what the client receives and does not look at.
func (s *seat) Pause(streamIDs []uint32, paused bool) {
	s.post(func() { s.room.pause(s, streamIDs, paused) })
}

// UpdateVideo changes what the client receives on sections it has.
func (s *seat) UpdateVideo(f *chime.RemoteVideoUpdateFrame) {
	s.post(func() { s.room.updateVideo(s, f) })
}

// Subscribe answers an offer.
func (s *seat) Subscribe(ctx context.Context, f *chime.SubscribeFrame) signal.Answer {
	var offer rtc.Offer
	var answer signal.Answer
	var views []*view
	err := s.room.do(ctx, func() error {
		if s.out {
			return errOut
		}
		if s.offeredAt.IsZero() {
			s.offeredAt = time.Now()
		}
		offer, answer, views = s.room.subscribe(s, f)
		return nil
	})
	if err != nil {
		return failed(500)
	}
	if s.peer.Load() == nil {
		if err := s.connect(); err != nil {
			s.log.Error("no peer connection", "err", err)
			return failed(503)
		}
	}
	got, err := s.peer.Load().Negotiate(ctx, offer)
	if err != nil {
		s.log.Warn("offer not answered", "err", err)
		return failed(negotiationStatus(err))
	}
	s.post(func() { s.room.agreed(s, views, got) })
	if p := s.participant.Load(); p != nil {
		p.SetStereo(s.peer.Load().Stereo())
	}
	answer.Ack.SdpAnswer = proto.String(got.SDP)
	wanted := f.GetReceiveStreamIds()
	for _, t := range got.Tracks {
		if t.Section >= len(wanted) || wanted[t.Section] == 0 {
			continue
		}
		answer.Ack.Tracks = append(answer.Ack.Tracks, &chime.TrackMapping{
			StreamId:   proto.Uint32(wanted[t.Section]),
			Ssrc:       proto.Uint32(t.SSRC),
			TrackLabel: proto.String("v_" + t.MID),
		})
	}
	return answer
}

var errOut = errors.New("meeting: the connection is not in the meeting any more")

func failed(status uint32) signal.Answer {
	return signal.Answer{Ack: &chime.SubscribeAckFrame{}, Status: status}
}

// negotiationStatus tells the client whether to try again (5xx) or not.
func negotiationStatus(err error) uint32 {
	if errors.Is(err, rtc.ErrOffer) {
		return 400
	}
	return 500
}

// connect makes the peer connection, which waits for its first offer.
func (s *seat) connect() error {
	peer, err := s.room.cfg.Transport.NewPeer(rtc.Events{
		Connected:    s.connected,
		Closed:       func(err error) { s.post(func() { s.room.mediaOver(s, err) }) },
		Audio:        s.audio,
		AudioReport:  s.audioReport,
		VideoStarted: func(p *sfu.Publisher) { s.post(func() { s.room.videoStarted(s, p) }) },
		VideoStopped: func(p *sfu.Publisher) { s.post(func() { s.room.videoStopped(s, p) }) },
	}, s.log)
	if err != nil {
		return err
	}
	s.peer.Store(peer)
	return nil
}

// connected says that media flows.
func (s *seat) connected() { s.post(func() { s.room.arrived(s) }) }

// enterMix gives the attendee its place in the mix, as it is now.
func (s *seat) enterMix() {
	s.participant.Store(s.room.mixer.Add(mix.ParticipantConfig{
		ID:     string(s.attendee.ID),
		Owner:  string(baseOf(s.attendee.ID)),
		Hidden: s.hidden,
		Stereo: s.peer.Load().Stereo(),
		Deaf:   s.deaf(),
		Sink:   s.hear,
	}))
	s.applySound()
}

// leaveMix takes the attendee out of the mix.
func (s *seat) leaveMix() {
	if p := s.participant.Swap(nil); p != nil {
		s.room.service.past.add(func(m *Media, _ *mix.Load) { m.addVoice(p.Stats()) })
		p.Close()
	}
}

// applySound has the mix follow the microphone and the capabilities.
func (s *seat) applySound() {
	silenced := s.hidden || !s.maySpeak()
	s.silenced.Store(silenced)
	if p := s.participant.Load(); p != nil {
		p.SetMuted(s.muted || silenced)
		p.SetDeaf(s.deaf())
	}
}

// hear gets silence, too: a client without any packets believes its
// connection to be bad.
func (s *seat) hear(f mix.Frame) {
	// What does not go out is lost: the next frame comes in 20 ms.
	_ = s.peer.Load().WriteAudio(rtc.AudioFrame{
		Payload: f.Payload, Packet: s.room.heard.of(f), Timestamp: f.Timestamp, Time: f.Time,
	})
}

func (s *seat) audio(p *rtp.Packet, level uint8, arrival time.Time) {
	if to := s.participant.Load(); to != nil && !s.silenced.Load() {
		to.Push(p, level, arrival)
	}
}

func (s *seat) audioReport(ntp time.Time, timestamp uint32) {
	if to := s.participant.Load(); to != nil {
		to.SenderReport(ntp, timestamp)
	}
}

// alignClocks tells the peer how late the mix has this attendee's sound, for
// its video to be as late.
func (s *seat) alignClocks() {
	p, peer := s.participant.Load(), s.peer.Load()
	if p == nil || peer == nil {
		return
	}
	if o, ok := p.Offset(); ok {
		peer.SetClockOffset(o)
	}
}
