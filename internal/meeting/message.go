package meeting

import (
	"fmt"
	"slices"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/protobuf/proto"

	"belfry.live/belfry/internal/wire/chime"
)

// Limits of data messages, those of the AWS service.
const (
	messageRate      = 100 // of one attendee, a second; more come back to it as throttled
	messageBurst     = 200
	messageHardRate  = 200 // of one attendee, a second; more end its session
	messageHardBurst = 2000
	meetingRate      = 500 // of all attendees, a second; more come back to the sender
	meetingBurst     = 10000

	maxTopic     = 36   // characters
	maxMessage   = 2048 // bytes
	maxStored    = 1024 // messages of a meeting
	maxStoredFor = 5 * time.Minute
)

const (
	// deliverDelay is how long messages wait for others to share a frame with.
	deliverDelay = 10 * time.Millisecond
	// batch is how many messages share a frame at most.
	batch = 32
	// catchUpBytes is how much may wait in a session's queue for more stored
	// messages to be put there: a small part of what it takes.
	catchUpBytes = 256 << 10
	// clockLead is how far a burst of messages may be ahead of the clock, one
	// millisecond after the other.
	clockLead = time.Second
)

// A board is a meeting's data messages: those on their way, and those kept for
// who comes later. The room's loop owns it.
type board struct {
	limit   *rate.Limiter
	wait    *time.Timer // runs while messages wait
	waiting []posted
	stored  []posted // by number, and hence by time
	last    int64    // the time of the newest, ns since the epoch
	number  uint64   // of the newest
}

// A posted is a message on the board.
type posted struct {
	number  uint64
	from    AttendeeID
	session uint64    // the audio session of who sent it
	expires time.Time // zero: not stored
	payload *chime.DataMessagePayload
}

// A mailSlot is what a seat has got of the board.
type mailSlot struct {
	open   bool   // it gets messages
	behind bool   // it has not got all that is stored
	got    uint64 // the number of the newest stored message that it got, while behind
}

func (b *board) init() {
	b.limit = rate.NewLimiter(meetingRate, meetingBurst)
	b.wait = time.NewTimer(0)
	b.wait.Stop()
}

// Message takes a data message from the session. One that is no message is
// left out; beyond the hard limit the client is not worth a connection.
func (s *seat) Message(m *chime.DataMessagePayload) {
	now := time.Now()
	counts := &s.room.service.counts
	if !s.flooded.AllowN(now, 1) {
		counts.messagesFlooded.Add(1)
		s.log.Warn("signaling session cut: too many data messages")
		s.session.Cut()
		return
	}
	if why := refusedMessage(m); why != "" {
		counts.messagesRefused.Add(1)
		s.session.Notify("data message not sent: " + why)
		return
	}
	if !s.stated.AllowN(now, 1) {
		s.throttled(m)
		return
	}
	s.post(func() { s.room.publish(s, m, time.Now()) })
}

func refusedMessage(m *chime.DataMessagePayload) string {
	switch topic := m.GetTopic(); {
	case len(topic) == 0 || len(topic) > maxTopic || !isTopic(topic):
		return fmt.Sprintf("the topic must be 1 to %d letters, digits, - and _", maxTopic)
	case len(m.GetData()) > maxMessage:
		return fmt.Sprintf("it has %d bytes, more than %d", len(m.GetData()), maxMessage)
	}
	return ""
}

func isTopic(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

// throttled gives a message back to its sender: that is what a time of 0 says.
func (s *seat) throttled(m *chime.DataMessagePayload) {
	s.room.service.counts.messagesThrottled.Add(1)
	s.send(messageFrame(s.sign(m, 0)))
}

// sign returns the message as others get it.
func (s *seat) sign(m *chime.DataMessagePayload, at int64) *chime.DataMessagePayload {
	return &chime.DataMessagePayload{
		Topic:                m.Topic,
		Data:                 m.Data,
		LifetimeMs:           m.LifetimeMs,
		SenderAttendeeId:     proto.String(string(s.home.ID)),
		SenderExternalUserId: proto.String(s.home.ExternalUserID),
		IngestTimeNs:         proto.Int64(at),
	}
}

func messageFrame(m ...*chime.DataMessagePayload) *chime.Frame {
	f := chime.New(chime.Frame_DATA_MESSAGE, time.Now())
	f.DataMessage = &chime.DataMessageFrame{Messages: m}
	return f
}

// publish puts a message on the board.
func (r *room) publish(s *seat, m *chime.DataMessagePayload, now time.Time) {
	b := &r.board
	switch {
	case s.out:
		return
	case s.hidden:
		s.session.Notify("data message not sent: those who watch a replica meeting cannot send any")
		return
	case !b.limit.AllowN(now, 1):
		s.throttled(m)
		return
	}
	r.service.counts.messages.Add(1)
	b.last = nextTime(b.last, now)
	b.number++
	signed := s.sign(m, b.last)
	signed.SenderAttendeeId = proto.String(string(s.attendee.ID))
	signed.SenderExternalUserId = proto.String(s.attendee.ExternalUserID)
	p := posted{number: b.number, from: s.attendee.ID, session: s.audioSession, payload: signed}
	if life := time.Duration(m.GetLifetimeMs()) * time.Millisecond; life > 0 {
		p.expires = now.Add(min(life, maxStoredFor))
		b.forget(now)
		if len(b.stored) == maxStored {
			b.stored = slices.Delete(b.stored, 0, 1)
		}
		b.stored = append(b.stored, p)
	}
	if len(b.waiting) == 0 {
		b.wait.Reset(deliverDelay)
	}
	b.waiting = append(b.waiting, p)
	if len(b.waiting) == batch {
		r.deliver()
	}
}

// nextTime returns the time of a message that comes now, after one of that
// time. Clients count in milliseconds, and some show no message that is not
// newer than the last: so each gets one of its own, if the clock allows.
func nextTime(last int64, now time.Time) int64 {
	at, next := now.UnixNano(), last+int64(time.Millisecond)
	switch {
	case at >= next:
		return at
	case next-at < int64(clockLead):
		return next
	}
	return last + 1
}

// deliver sends the waiting messages to all but their senders.
func (r *room) deliver() {
	b := &r.board
	b.wait.Stop()
	waiting := b.waiting
	b.waiting = nil
	if len(waiting) == 0 || r.ending || r.stopping {
		return
	}
	var whole []byte
	for _, s := range r.seats {
		if !s.mail.open {
			continue
		}
		var some []*chime.DataMessagePayload
		for _, p := range waiting {
			if p.from != s.attendee.ID && !(s.mail.behind && !p.expires.IsZero()) {
				some = append(some, p.payload)
			}
		}
		switch {
		case len(some) == 0:
		case len(some) == len(waiting):
			if whole == nil {
				whole = chime.Append(nil, messageFrame(some...))
			}
			s.session.Send(whole)
		default:
			s.send(messageFrame(some...))
		}
		r.service.counts.messagesDelivered.Add(int64(len(some)))
	}
}

// answered opens s's mail when its first offer is answered: before, its
// application is not listening. It begins with what is stored.
func (r *room) answered(s *seat) {
	if s.out || s.ours || s.share || s.mail.open {
		return
	}
	s.mail = mailSlot{open: true, behind: true}
	r.board.forget(time.Now())
	r.deliver() // what waits is stored, or older than s
	r.sendStored(s)
}

// catchUp goes on with what did not fit before, and forgets what is too old.
func (r *room) catchUp(now time.Time) {
	r.board.forget(now)
	for _, s := range r.seats {
		if s.mail.behind {
			r.sendStored(s)
		}
	}
}

// sendStored sends of the stored messages what fits.
func (r *room) sendStored(s *seat) {
	for s.session.Queued() < catchUpBytes {
		var some []*chime.DataMessagePayload
		for _, p := range r.board.after(s.mail.got) {
			s.mail.got = p.number
			// What a client sent it knows, unless it was reloaded since.
			if p.from != s.attendee.ID || p.session != s.audioSession {
				some = append(some, p.payload)
			}
			if len(some) == batch {
				break
			}
		}
		if len(some) == 0 {
			s.mail.behind = false
			return
		}
		r.service.counts.messagesReplayed.Add(int64(len(some)))
		s.send(messageFrame(some...))
	}
}

// after returns the stored messages beyond that number.
func (b *board) after(number uint64) []posted {
	i, _ := slices.BinarySearchFunc(b.stored, number+1, func(p posted, n uint64) int {
		switch {
		case p.number < n:
			return -1
		case p.number > n:
			return 1
		}
		return 0
	})
	return b.stored[i:]
}

// forget drops stored messages whose time is over.
func (b *board) forget(now time.Time) {
	b.stored = slices.DeleteFunc(b.stored, func(p posted) bool { return !now.Before(p.expires) })
}
