// Package signal is the signaling session of one attendee connection: binary
// WebSocket messages come in and go out, the attendee's place in the meeting
// (a Seat) is told what the client asks. The session keeps the connection
// honest by itself: pings, deadlines, limits, the end in good order. Who may
// come in, what a frame changes in the meeting and all media are left to
// package meeting.
package signal

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/protobuf/proto"

	"belfry.live/belfry/internal/wire/chime"
)

// A Seat is an attendee connection's place in a meeting, as its session sees
// it. The methods are called by one goroutine, one after the other: Join once
// and first (never, if the client does not ask), Leave once and last. What a
// frame holds is within this package's limits; it is the seat's to keep.
type Seat interface {
	// Join enters the meeting. The seat has Welcome called and then sends the
	// INDEX that the client waits for.
	Join(ctx context.Context, f *chime.JoinFrame)
	// Subscribe answers an offer, which is in f.SdpOffer. The client sends the
	// next one only after this answer.
	Subscribe(ctx context.Context, f *chime.SubscribeFrame) Answer
	// Answered says that the answer is on its way.
	Answered()
	// SetMuted says whether the microphone is off.
	SetMuted(muted bool)
	// Pause stops (or resumes) streams that the client receives.
	Pause(streamIDs []uint32, paused bool)
	// UpdateVideo changes what the client receives on sections it has.
	UpdateVideo(f *chime.RemoteVideoUpdateFrame)
	// Message takes a data message for the others, as it came.
	Message(m *chime.DataMessagePayload)
	// Promote has somebody who watches a replica meeting take part in its
	// primary, as the attendee of the credentials. 0: done.
	Promote(ctx context.Context, c *chime.MeetingSessionCredentials) (status uint32)
	// Demote undoes Promote.
	Demote()
	// Metrics and Timing take what the client measured.
	Metrics(f *chime.ClientMetricFrame)
	Timing(f *chime.MeetingSessionTimingFrame)
	// Leave says that the connection is over, joined or not.
	Leave(d Departure)
}

// An Answer to an offer.
type Answer struct {
	Ack    *chime.SubscribeAckFrame
	Status uint32 // of the envelope's error; 0: none
	Notice string // tells the client's developer why
}

// A Welcome is what JOIN_ACK tells.
type Welcome struct {
	Username, Password string                          // for TURN
	TTL                time.Duration                   // of these
	URIs               []string                        // TURN servers; any makes the client use nothing else
	Compress           bool                            // offers may come compressed, if the client can
	Adaptation         chime.ServerSideNetworkAdaption // 0: unsaid, which means the client's own
	VideoLimit         uint32                          // remote videos to receive at once
}

// A Departure says how a connection ended.
type Departure int

// The departures.
const (
	Left   Departure = iota + 1 // the client said so or closed the socket in good order
	Lost                        // the connection broke; the same client may come back
	Silent                      // nothing was heard from the client for too long
	Ended                       // we ended it
)

// Close codes, beyond those of RFC 6455. The client retries after 4500 to 4599
// and, once it has its first INDEX, takes hardly any other for an end; before
// that, any other is final.
const (
	CloseNormal    = 1000
	CloseForbidden = 4403
	CloseGone      = 4410 // the meeting has ended
	CloseRetry     = 4500
)

// A Config is what a session may take and how long it waits. The zero value
// means the defaults.
type Config struct {
	JoinTimeout    time.Duration // an open socket without JOIN; 0: 90 s
	SilenceTimeout time.Duration // no frame at all; 0: 30 s (clients ping every 10 s)
	LeaveTimeout   time.Duration // for the LEAVE after a final status; 0: 5 s
	Counts         *Counts       // what all sessions count together; nil: of nobody's interest
}

func (c Config) withDefaults() Config {
	c.JoinTimeout = cmp.Or(c.JoinTimeout, 90*time.Second)
	c.SilenceTimeout = cmp.Or(c.SilenceTimeout, 30*time.Second)
	c.LeaveTimeout = cmp.Or(c.LeaveTimeout, 5*time.Second)
	c.Counts = cmp.Or(c.Counts, new(Counts))
	return c
}

const (
	closeTimeout = 800 * time.Millisecond // for the client's side of a close
	ackTimeout   = 2 * time.Second        // for the client's close after LEAVE_ACK
	writeTimeout = 10 * time.Second

	// What may wait for a client to take it. A burst of data messages that all
	// come back as throttled has some thousand frames.
	queueFrames = 4096
	queueBytes  = 1 << 20
)

// A Session is one open socket. Send, End and Close may be called by anybody
// at any time, also before Run; they never wait.
type Session struct {
	// Fixed by Accept.
	conn *websocket.Conn
	raw  net.Conn
	cfg  Config
	log  *slog.Logger

	wake chan struct{} // holds one: something waits

	mu     sync.Mutex // guards what follows
	queue  [][]byte
	queued int // bytes of the queue, and of what the writer took from it

	once   sync.Once
	over   chan struct{} // closed by stop
	code   websocket.StatusCode
	reason string
	why    Departure // code, reason and why are fixed when over closes

	ended atomic.Bool // a final status was sent: only LEAVE counts

	wantsCompression bool // set by the reader before Join
}

func newSession(conn *websocket.Conn, raw net.Conn, cfg Config, log *slog.Logger) *Session {
	return &Session{
		conn: conn, raw: raw, cfg: cfg, log: log,
		wake: make(chan struct{}, 1),
		over: make(chan struct{}),
	}
}

// Run serves the session until the socket is closed, and closes it when ctx
// ends, for the client to come back elsewhere. Nothing of the session runs any
// more when it returns.
func (s *Session) Run(ctx context.Context, seat Seat) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var workers sync.WaitGroup
	workers.Go(s.write)
	workers.Go(func() {
		select {
		case <-ctx.Done():
			s.Close(CloseRetry, "the server is shutting down")
		case <-s.over:
		}
		cancel() // frees an answer under way
		s.hangUp()
	})
	r := newReader(s, seat)
	if d := r.run(ctx); !r.left {
		seat.Leave(d)
	}
	workers.Wait()
}

// Send queues one message (of chime.Append), which must not change any more. A
// client that does not keep up is cut.
func (s *Session) Send(message []byte) {
	if s.push(message) {
		select {
		case s.wake <- struct{}{}:
		default:
		}
		return
	}
	if s.stop(0, "", Lost) {
		s.cfg.Counts.slow.Add(1)
		s.log.Warn("signaling session cut: the client does not keep up")
	}
}

func (s *Session) push(message []byte) (fits bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) >= queueFrames || s.queued+len(message) > queueBytes {
		return false
	}
	s.queue = append(s.queue, message)
	s.queued += len(message)
	return true
}

// pull takes all that waits.
func (s *Session) pull() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.queue
	s.queue = nil
	return all
}

// Queued returns how many bytes wait to be sent. Beyond a limit the session is
// cut: who has much to send looks first.
func (s *Session) Queued() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queued
}

// Welcome sends JOIN_ACK. The client takes what comes before it for nothing,
// so it is for the seat to call, in Join.
func (s *Session) Welcome(w Welcome) {
	f := chime.New(chime.Frame_JOIN_ACK, time.Now())
	f.Joinack = &chime.JoinAckFrame{
		// Without URIs the client offers as soon as it has one candidate; without
		// credentials it would gather all of them first.
		TurnCredentials: &chime.TurnCredentials{
			Username: proto.String(cmp.Or(w.Username, "none")),
			Password: proto.String(cmp.Or(w.Password, "none")),
			Ttl:      proto.Uint32(uint32(cmp.Or(w.TTL, 5*time.Minute).Seconds())),
			Uris:     w.URIs,
		},
		VideoSubscriptionLimit: proto.Uint32(w.VideoLimit),
		WantsCompressedSdp:     proto.Bool(w.Compress && s.wantsCompression),
	}
	if w.Adaptation != 0 {
		f.Joinack.DefaultServerSideNetworkAdaption = w.Adaptation.Enum()
	}
	s.Send(chime.Append(nil, f))
}

// Notify writes a line into the client's log.
func (s *Session) Notify(text string) {
	f := chime.New(chime.Frame_NOTIFICATION, time.Now())
	f.Notification = &chime.NotificationFrame{Level: chime.NotificationFrame_WARNING.Enum(), Message: &text}
	s.Send(chime.Append(nil, f))
}

// End tells the client a final status, gives it time to leave, and closes.
func (s *Session) End(status uint32) {
	if s.ended.Swap(true) {
		return
	}
	f := chime.New(chime.Frame_AUDIO_STATUS, time.Now())
	f.AudioStatus = &chime.AudioStatusFrame{AudioStatus: &status}
	s.Send(chime.Append(nil, f))
	time.AfterFunc(s.cfg.LeaveTimeout, func() { s.Close(CloseNormal, "") })
}

// Close closes the socket with the code, soon.
func (s *Session) Close(code int, reason string) {
	s.stop(websocket.StatusCode(code), reason, Ended)
}

// Cut drops the connection without a word.
func (s *Session) Cut() { s.stop(0, "", Ended) }

// stop ends the session once; code 0 means without a word.
func (s *Session) stop(code websocket.StatusCode, reason string, why Departure) (first bool) {
	s.once.Do(func() {
		s.code, s.reason, s.why = code, reason, why
		close(s.over)
		first = true
	})
	return first
}

// hangUp frees the reader and the writer, whatever they wait for.
func (s *Session) hangUp() {
	if s.code != 0 {
		impatient := time.AfterFunc(closeTimeout, func() { cut(s.raw) })
		s.conn.Close(s.code, s.reason) // an error changes nothing: it is over
		impatient.Stop()
	}
	cut(s.raw)
	s.conn.CloseNow()
}

// cut closes the connection below TLS, whose own Close may wait for a peer
// that does not read.
func cut(c net.Conn) {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = t.NetConn()
	}
	c.Close()
}

func (s *Session) write() {
	for {
		select {
		case <-s.wake:
		case <-s.over:
			return
		}
		for _, message := range s.pull() {
			if !s.writeOne(message) {
				return
			}
		}
	}
}

func (s *Session) writeOne(message []byte) (ok bool) {
	select {
	case <-s.over:
		return false
	default:
	}
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	if s.conn.Write(ctx, websocket.MessageBinary, message) != nil {
		s.stop(0, "", Lost)
		return false
	}
	s.cfg.Counts.framesOut.Add(1)
	s.cfg.Counts.bytesOut.Add(int64(len(message)))
	s.mu.Lock()
	s.queued -= len(message)
	s.mu.Unlock()
	return true
}

// departure turns the error of a read into what it means, if nobody stopped
// the session before.
func departure(err error) Departure {
	var closed websocket.CloseError
	if errors.As(err, &closed) {
		return Left
	}
	return Lost
}
