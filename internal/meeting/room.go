package meeting

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"belfry.live/belfry/internal/meeting/mix"
	"belfry.live/belfry/internal/meeting/rtc"
	"belfry.live/belfry/internal/meeting/signal"
	"belfry.live/belfry/internal/wire/chime"
)

// What clients are told by.
const (
	statusElsewhere = 301 // joined from another device
	statusFull      = 409
	statusOver      = 410
	statusRemoved   = 411
)

const (
	tickEvery      = 200 * time.Millisecond // volumes go out 5 times a second
	bitrateTicks   = 10                     // ticks between two BITRATES
	indexDelay     = 150 * time.Millisecond // changes of the INDEX wait for each other
	endedGrace     = 2 * time.Second        // between the ends of media and socket
	idleRoom       = 2 * time.Second        // an empty room stays so long
	maxConnections = 8                      // of one attendee, joined or not
)

// errRoomClosed says that the room ended when the last one left: a new one may
// be opened.
var errRoomClosed = errors.New("meeting: the room is closed")

// A room is the live side of a meeting. One loop owns it: all fields below
// the first group, and the seats' as their comments say, are touched by run
// alone, or by functions that run is handed through do and post.
type room struct {
	// Fixed by newRoom.
	service *Service
	meeting Meeting
	cfg     Config
	log     *slog.Logger
	mixer   *mix.Mixer
	calls   chan func()
	done    chan struct{}  // closed when the loop takes no more calls
	work    sync.WaitGroup // the mixer, and peers that are being closed

	lastID   uint32
	all      map[*seat]struct{}         // every connection, joined or not
	seats    map[AttendeeID]*seat       // who has joined, and is not replaced
	awaited  map[AttendeeID]rosterEntry // whom the roster shows with a connection that was replaced
	ending   bool                       // the meeting is over
	stopping bool                       // the server is
	emptyAt  time.Time                  // since when all is empty

	ticks     int
	levels    []mix.Level
	speaking  uint32      // audio stream id of somebody who spoke at the last tick; 0: nobody
	indexWait *time.Timer // runs while INDEX changes wait
	indexDue  bool
	codecs    []chime.VideoCodecCapability // that everybody can decode, in the INDEX
	speaker   AttendeeID                   // the active one, whose tiles matter more
	speakerAt time.Time                    // when it was last heard
}

func newRoom(s *Service, m Meeting, lastID uint32) *room {
	log := s.log.With("meeting", m.ID)
	r := &room{
		service: s, meeting: m, cfg: s.cfg, log: log,
		mixer:     mix.New(mix.Config{}, log),
		calls:     make(chan func()),
		done:      make(chan struct{}),
		lastID:    lastID,
		all:       map[*seat]struct{}{},
		seats:     map[AttendeeID]*seat{},
		awaited:   map[AttendeeID]rosterEntry{},
		emptyAt:   time.Now(),
		indexWait: time.NewTimer(0),
	}
	r.indexWait.Stop()
	return r
}

// run is the room's loop. It ends when the room has been empty for a while; or
// when ctx ends, as soon as all connections are closed.
func (r *room) run(ctx context.Context) {
	mixing, stopMixing := context.WithCancel(context.WithoutCancel(ctx))
	r.work.Go(func() {
		if err := r.mixer.Run(mixing); err != nil {
			r.log.Error("the audio mix ended", "err", err)
		}
	})
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	stop := ctx.Done()
	for !r.over(time.Now()) {
		select {
		case f := <-r.calls:
			f()
		case now := <-tick.C:
			r.tick(now)
		case <-r.indexWait.C:
			r.sendIndexes()
		case <-stop:
			stop = nil
			r.stop()
		}
	}
	r.service.retire(r, r.lastID)
	close(r.done)
	stopMixing()
	r.work.Wait()
}

func (r *room) over(now time.Time) bool {
	return len(r.all) == 0 && (r.ending || r.stopping || now.Sub(r.emptyAt) >= idleRoom)
}

// do runs f on the room's loop and returns its error, or errRoomClosed. The
// loop itself must not call it.
func (r *room) do(ctx context.Context, f func() error) error {
	done := make(chan error, 1)
	select {
	case r.calls <- func() { done <- f() }: // unbuffered: taken means it will run
		return <-done
	case <-r.done:
		return errRoomClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// tell is do for what cannot fail and must not get lost while the room lives.
func (r *room) tell(f func()) {
	select {
	case r.calls <- f:
	case <-r.done:
	}
}

// next returns a new id. Audio streams, sources and layers share the numbers;
// they only grow.
func (r *room) next() uint32 {
	r.lastID++
	return r.lastID
}

// enter takes a connection in, not joined yet.
func (r *room) enter(ctx context.Context, s *seat) error {
	return r.do(ctx, func() error {
		switch {
		case r.ending:
			return ErrNotFound
		case r.stopping:
			return errStopping
		}
		n := 0
		for other := range r.all {
			if other.attendee.ID == s.attendee.ID {
				n++
			}
		}
		if n >= maxConnections {
			return errors.New("too many connections of one attendee")
		}
		r.all[s] = struct{}{}
		return nil
	})
}

// end tells everybody that the meeting is over. The room ends when they left.
func (r *room) end() {
	r.tell(func() {
		r.ending = true
		for s := range r.all {
			r.dismiss(s, statusOver, signal.CloseGone, "the meeting has ended")
		}
	})
}

// remove takes an attendee out who may not be here any more.
func (r *room) remove(id AttendeeID) {
	r.tell(func() {
		for s := range r.all {
			if s.attendee.ID == id {
				r.dismiss(s, statusRemoved, signal.CloseForbidden, "the attendee was removed")
			}
		}
	})
}

// dismiss ends a connection for good: with the status if it has joined, else
// with the close code.
func (r *room) dismiss(s *seat, status uint32, code int, reason string) {
	if s.asked {
		s.session.End(status)
	} else {
		s.session.Close(code, reason)
	}
	r.takeOut(s, false)
}

// stop closes all sockets for their clients to come back.
func (r *room) stop() {
	r.stopping = true
	for s := range r.all {
		s.session.Close(signal.CloseRetry, "the server is shutting down")
		r.takeOut(s, false)
	}
}

// join gives s the attendee's place, which an older connection may have.
func (r *room) join(s *seat, audioSession uint64) error {
	s.asked = true
	old := r.seats[s.attendee.ID]
	switch {
	case s.out: // ended since
		return nil
	case s.share, !s.hidden && old == nil && r.connected() >= r.cfg.MaxConnected:
		s.send(indexFrame(&chime.IndexFrame{}))
		s.session.End(statusFull)
		r.takeOut(s, false)
		return nil
	}
	s.audioSession = audioSession
	r.seats[s.attendee.ID] = s
	if old != nil {
		r.replace(old, s)
	}
	s.log.Info("attendee joins")
	r.countChanged()
	r.sendIndex(s)
	return nil
}

// replace takes the older connection of the same attendee out. The roster
// keeps its entry until the new connection is there.
func (r *room) replace(old, with *seat) {
	if old.present && !old.hidden {
		r.awaited[old.attendee.ID] = old.entry()
	}
	if old.audioSession == with.audioSession {
		old.session.Cut() // the same client, which has given it up
	} else {
		old.session.End(statusElsewhere)
	}
	old.log.Info("connection replaced by a newer one")
	r.takeOut(old, false)
}

// left says that s's session is over; its socket may be open for a moment
// still. If it was lost, the same client may come back before anybody is told.
func (r *room) left(s *seat, d signal.Departure) {
	s.left = true
	if d == signal.Lost && !s.out && !s.mediaOver && r.seats[s.attendee.ID] == s {
		s.lingersUntil = time.Now().Add(r.cfg.LostTimeout)
		return
	}
	r.takeOut(s, d != signal.Left)
	r.closePeer(s)
}

// socketClosed says that nothing of s's session runs any more.
func (r *room) socketClosed(s *seat) {
	s.closed = true
	r.forget(s)
}

// takeOut ends s's part in the meeting: it is not seen, not heard, not in the
// roster any more. It may stay connected for a last word.
func (r *room) takeOut(s *seat, dropped bool) {
	if s.out {
		return
	}
	s.out = true
	close(s.gone)
	s.leaveMix()
	r.cameraOff(s)
	id := s.attendee.ID
	if r.seats[id] == s {
		delete(r.seats, id)
		if s.present && !s.hidden {
			r.announceLeave(s.streamID, dropped)
		}
		r.forgetAwaited(id)
		r.countChanged()
		s.log.Info("attendee leaves", "dropped", dropped)
	}
	r.forget(s)
}

// forget lets go of s once it is out and its socket closed.
func (r *room) forget(s *seat) {
	if !s.out || !s.closed {
		return
	}
	delete(r.all, s)
	if len(r.all) == 0 {
		r.emptyAt = time.Now()
	}
}

// closePeer closes the peer connection of one that has left and is out.
func (r *room) closePeer(s *seat) {
	peer := s.peer.Load()
	if peer == nil {
		return
	}
	r.work.Go(func() {
		if err := peer.Close(); err != nil {
			s.log.Warn("peer does not close", "err", err)
		}
	})
}

// connected returns how many attendees are in, hidden ones not counted.
func (r *room) connected() int {
	n := 0
	for _, s := range r.seats {
		if !s.hidden {
			n++
		}
	}
	return n
}

// countChanged follows who has joined.
func (r *room) countChanged() {
	r.service.occupied(r.meeting.ID, r.connected() > 0)
	r.indexChanged() // it tells the number
}

// tick does what is done from time to time.
func (r *room) tick(now time.Time) {
	r.ticks++
	r.sendVolumes()
	r.adapt(now)
	for _, s := range r.seats {
		s.alignClocks()
	}
	if r.ticks%bitrateTicks == 0 {
		r.sendBitrates(now)
	}
	for s := range r.all {
		switch {
		case s.out:
		case s.left && now.After(s.lingersUntil):
			r.drop(s)
		case s.mediaOver && now.After(s.mediaOverAt.Add(endedGrace)):
			s.session.Close(signal.CloseRetry, "the media connection is over")
		}
	}
}

// drop takes out one that was lost and did not come back.
func (r *room) drop(s *seat) {
	r.takeOut(s, true)
	r.closePeer(s)
}

// mediaOver says that s's peer connection is over by itself. Closing the
// socket brings the client back at once, which else would find out late. One
// that ended the connection itself is about to close the socket, too.
func (r *room) mediaOver(s *seat, err error) {
	s.mediaOver, s.mediaOverAt = true, time.Now()
	switch {
	case s.out:
	case s.left:
		r.drop(s)
	case !errors.Is(err, rtc.ErrEnded):
		s.log.Info("media connection lost", "err", err)
		s.session.Close(signal.CloseRetry, "the media connection is lost")
	}
}
