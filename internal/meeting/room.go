package meeting

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"belfry.live/belfry/internal/meeting/mix"
	"belfry.live/belfry/internal/meeting/rtc"
	"belfry.live/belfry/internal/meeting/signal"
	"belfry.live/belfry/internal/wire/chime"
)

// What clients are told by. All but the last end the session for good.
const (
	statusElsewhere   = 301 // joined from another device
	statusForbidden   = 403
	statusFull        = 409
	statusOver        = 410
	statusRemoved     = 411
	statusNoSource    = 509
	statusUnavailable = 503 // try again
)

const (
	tickEvery      = 200 * time.Millisecond // volumes go out 5 times a second
	bitrateTicks   = 10                     // ticks between two BITRATES
	markTicks      = 5                      // ticks between two marks of who is present
	renewTicks     = 3000                   // ticks after which a mark is written though nothing changed
	strengthTicks  = 10                     // ticks that signal strength is measured over
	indexDelay     = 150 * time.Millisecond // changes of the INDEX wait for each other
	endedGrace     = 2 * time.Second        // between the ends of media and socket
	idleRoom       = 2 * time.Second        // an empty room stays so long
	maxConnections = 8                      // of one attendee, joined or not
	entryRate      = 1                      // connections of one attendee a second
	entryBurst     = 16
	maxClientName  = 100 // of a client's name that is logged, in bytes
	videoLimit     = 25  // videos that a client may receive at once
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
	heard   sharedFrame // touched by the mixer's goroutine alone
	calls   chan func()
	done    chan struct{}  // closed when the loop takes no more calls
	work    sync.WaitGroup // the mixer, and peers that are being closed

	lastID   uint32
	entries  map[AttendeeID]*rate.Limiter
	all      map[*seat]struct{}      // every connection, joined or not
	seats    map[AttendeeID]*seat    // who has joined, and is not replaced, by whom it takes part as
	promoted map[AttendeeID]*seat    // who came from a replica, by whom it came as
	awaited  map[AttendeeID]*awaited // whom the roster shows with a connection that is no more
	guests   map[AttendeeID]guest    // of whom it was told that they came, by whom they take part as
	ending   bool                    // the meeting is over
	stopping bool                    // the server is
	emptyAt  time.Time               // since when all is empty
	changed  bool                    // who is present, since the last mark
	marks    chan []byte             // holds the newest mark, to the one who writes it
	videos   int                     // of them the gate knows

	ticks     int
	levels    []mix.Level
	speaking  uint32      // audio stream id of somebody who spoke at the last tick; 0: nobody
	indexWait *time.Timer // runs while INDEX changes wait
	indexDue  bool
	viewsWait *time.Timer                  // runs while views wait to begin
	codecs    []chime.VideoCodecCapability // that everybody can decode, in the INDEX
	speaker   AttendeeID                   // the active one, whose tiles matter more
	speakerAt time.Time                    // when it was last heard
	board     board
}

// newRoom makes a room. Those who were present before the server's restart are
// in the roster until it is clear that they do not come back.
func newRoom(s *Service, m Meeting, lastID uint32, before []rosterEntry) *room {
	log := s.log.With("meeting", m.ID)
	r := &room{
		service: s, meeting: m, cfg: s.cfg, log: log,
		mixer:     mix.New(mix.Config{}, log),
		calls:     make(chan func()),
		done:      make(chan struct{}),
		lastID:    lastID,
		entries:   map[AttendeeID]*rate.Limiter{},
		all:       map[*seat]struct{}{},
		seats:     map[AttendeeID]*seat{},
		promoted:  map[AttendeeID]*seat{},
		awaited:   map[AttendeeID]*awaited{},
		guests:    map[AttendeeID]guest{},
		marks:     make(chan []byte, 1),
		emptyAt:   time.Now(),
		indexWait: time.NewTimer(0),
		viewsWait: time.NewTimer(0),
	}
	r.indexWait.Stop()
	r.viewsWait.Stop()
	r.board.init()
	r.expect(before)
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
	r.work.Go(r.writeMarks)
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
		case now := <-r.viewsWait.C:
			r.beginViews(now)
		case <-r.board.wait.C:
			r.deliver()
		case <-stop:
			stop = nil
			r.stop()
		}
	}
	if !r.stopping {
		r.mark(nil) // nobody is to be expected
	}
	close(r.marks)
	r.countVideos(0)
	r.service.past.add(func(_ *Media, l *mix.Load) { addLoad(l, r.mixer.Load()) })
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

// wait is tell for who needs to know that f has run.
func (r *room) wait(f func()) {
	done := make(chan struct{})
	select {
	case r.calls <- func() { defer close(done); f() }:
		<-done
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
		if !r.entry(s.attendee.ID).Allow() {
			return errors.New("connections of one attendee in too quick succession")
		}
		r.all[s] = struct{}{}
		return nil
	})
}

// entry returns what limits an attendee's connections.
func (r *room) entry(id AttendeeID) *rate.Limiter {
	l := r.entries[id]
	if l == nil {
		l = rate.NewLimiter(entryRate, entryBurst)
		r.entries[id] = l
	}
	return l
}

// end tells everybody that the meeting is over, and returns when nothing more
// will be told of it. The room ends when they left.
func (r *room) end() {
	r.wait(func() {
		r.ending = true
		r.dismissAll(func(*seat) bool { return true }, statusOver, signal.CloseGone, "the meeting has ended")
		for id := range r.awaited {
			r.forgetAwaited(id)
		}
	})
}

// endReplica does the same for those who watch from a replica.
func (r *room) endReplica(id ID) {
	r.wait(func() {
		from := func(s *seat) bool { return s.home.MeetingID == id }
		r.dismissAll(from, statusOver, signal.CloseGone, "the meeting has ended")
	})
}

// remove takes an attendee out who may not be here any more. One that was
// promoted to it only loses that.
func (r *room) remove(id AttendeeID) {
	r.wait(func() {
		if s := r.seats[id]; s != nil && s.audience && s.home.ID != id {
			r.demote(s, true)
		}
		is := func(s *seat) bool { return s.home.ID == id }
		r.dismissAll(is, statusRemoved, signal.CloseForbidden, "the attendee was removed")
	})
}

// dismissAll dismisses those that which says, shares before their sharers.
func (r *room) dismissAll(which func(*seat) bool, status uint32, code int, reason string) {
	for _, shares := range []bool{true, false} {
		for s := range r.all {
			if s.share == shares && which(s) {
				r.dismiss(s, status, code, reason)
			}
		}
	}
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
	r.mark(r.roster())
	r.stopping = true
	for s := range r.all {
		s.session.Close(signal.CloseRetry, "the server is shutting down")
		r.takeOut(s, false)
	}
}

// join gives s the attendee's place, which an older connection may have. The
// gate may find that it comes late: too many others are joining.
func (r *room) join(s *seat, f *chime.JoinFrame, late bool) error {
	s.asked = true
	if s.out { // ended since
		return nil
	}
	old := r.connectionBefore(s)
	if status, why := r.refused(s, old, late); status != 0 {
		r.refuse(s, status, why)
		return nil
	}
	s.audioSession = f.GetAudioSessionId()
	id := s.attendee.ID
	r.seats[id] = s
	if a := r.awaited[id]; a != nil {
		a.until = time.Time{} // as long as this connection lives
	}
	s.counted = true
	if old != nil {
		old.counted = false
		if !s.share {
			r.raise(AttendeeAuthorized, s.asWhom())
		}
		r.replace(old, s)
	} else {
		r.service.gate.joined(s, 1)
		r.service.counts.joins.Add(1)
	}
	s.log.Info("attendee joins", "client", clientOf(f))
	s.session.Welcome(r.welcome(s, f))
	r.countChanged()
	r.sendIndex(s)
	return nil
}

// connectionBefore returns the connection that s takes the place of, nil if
// there is none.
func (r *room) connectionBefore(s *seat) *seat {
	if old := r.promoted[s.attendee.ID]; old != nil {
		return old
	}
	return r.seats[s.attendee.ID]
}

// refused says whether s may not join, and why. One that takes an older
// connection's place, or is expected, always fits.
func (r *room) refused(s, old *seat, late bool) (status uint32, why string) {
	if s.share {
		if status, why := r.refusedShare(s); status != 0 {
			return status, why
		}
	}
	if old != nil || r.awaited[s.attendee.ID] != nil || s.ours {
		return 0, ""
	}
	if why := r.service.gate.closed(s); why != "" {
		return statusUnavailable, why
	}
	switch {
	case late:
		return statusUnavailable, "too many attendees are joining at once"
	case s.share:
		if r.shares() >= r.cfg.MaxShares {
			return statusFull, fmt.Sprintf("%d attendees share content already", r.cfg.MaxShares)
		}
	case s.audience:
		if r.audienceOf(s.home.MeetingID) >= r.cfg.MaxConnected {
			return statusFull, fmt.Sprintf("%d attendees are in the replica meeting already", r.cfg.MaxConnected)
		}
	case r.participants() >= r.cfg.MaxConnected:
		return statusFull, fmt.Sprintf("%d attendees are in the meeting already", r.cfg.MaxConnected)
	}
	return 0, ""
}

// refuse tells a newcomer that it cannot join. It waits for all that comes
// with a joining before it looks at the status.
func (r *room) refuse(s *seat, status uint32, why string) {
	s.log.Warn("attendee cannot join", "status", status, "reason", why)
	r.service.counts.refuse(status)
	s.session.Welcome(signal.Welcome{VideoLimit: videoLimit})
	s.session.Notify(why)
	s.send(indexFrame(&chime.IndexFrame{}))
	s.session.End(status)
	r.takeOut(s, false)
}

// clientOf names the client in logs.
func clientOf(f *chime.JoinFrame) string {
	d := f.GetClientDetails()
	name := d.GetPlatformName() + " " + d.GetPlatformVersion() + ", " + d.GetClientSource() + " " + d.GetChimeSdkVersion()
	return name[:min(len(name), maxClientName)]
}

// replace takes the older connection of the same attendee out. The roster
// keeps its entry until the new connection is there, unless it was that of
// somebody promoted, who comes back to the audience.
func (r *room) replace(old, with *seat) {
	if old.present && !old.hidden && old.attendee.ID == with.attendee.ID {
		r.awaited[old.attendee.ID] = &awaited{rosterEntry: old.entry()}
	}
	if old.audioSession == with.audioSession {
		r.service.counts.rejoins.Add(1)
		old.session.Cut() // the same client, which has given it up
	} else {
		r.service.counts.replaced.Add(1)
		old.session.End(statusElsewhere)
		r.endShare(old.attendee.ID, statusElsewhere)
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
	if s.out { // before, for this last word
		r.closePeer(s)
		return
	}
	r.takeOut(s, d != signal.Left)
}

// socketClosed says that nothing of s's session runs any more.
func (r *room) socketClosed(s *seat) {
	s.closed = true
	r.forget(s)
}

// takeOut ends s's part in the meeting: it is not seen, not heard, not in the
// roster any more. It may stay connected for a last word, unless it has left.
func (r *room) takeOut(s *seat, dropped bool) {
	if s.out {
		return
	}
	s.out = true
	close(s.gone)
	s.leaveMix()
	r.cameraOff(s)
	r.learnWay(s)
	if s.counted {
		r.service.gate.joined(s, -1)
	}
	id := s.attendee.ID
	if s.audience && r.promoted[s.home.ID] == s {
		delete(r.promoted, s.home.ID)
	}
	if r.seats[id] == s {
		delete(r.seats, id)
		if s.present && !s.hidden {
			r.announceLeave(s.streamID, dropped)
		}
		r.endShare(id, statusOver)
		r.went(id, dropped)
		r.forgetAwaited(id)
		r.countChanged()
		if dropped {
			r.service.counts.drops.Add(1)
		}
		s.log.Info("attendee leaves", "dropped", dropped)
	}
	if s.left {
		r.closePeer(s)
	}
	r.forget(s)
}

// forget lets go of s once it is out and its socket closed.
func (r *room) forget(s *seat) {
	if !s.out || !s.closed {
		return
	}
	if _, here := r.all[s]; here {
		r.service.past.add(func(m *Media, _ *mix.Load) { m.count(s) })
		delete(r.all, s)
	}
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

// connected returns how many attendees are in, not counting hidden ones and
// content.
func (r *room) connected() int {
	n := 0
	for _, s := range r.seats {
		if !s.hidden && !s.share {
			n++
		}
	}
	return n
}

// participants returns how many attendees there are for the others: those who
// are in and those who are expected back.
func (r *room) participants() int {
	n := r.connected()
	for id := range r.awaited {
		if r.seats[id] == nil && baseOf(id) == id {
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
		if s.muteTold != s.muted {
			r.tellMuted(s, now)
		}
	}
	if r.ticks%bitrateTicks == 0 {
		r.sendBitrates(now)
	}
	if r.ticks%strengthTicks == 0 {
		r.measureStrength()
	}
	r.changed = r.changed || r.ticks%renewTicks == 0
	if r.ticks%markTicks == 0 && r.changed && !r.stopping {
		r.mark(r.roster())
	}
	r.expireAwaited(now)
	r.catchUp(now)
	r.countVideos(r.published())
	for s := range r.all {
		switch {
		case s.out:
		case s.left && now.After(s.lingersUntil): // lost, and not back
			r.takeOut(s, true)
		case s.mediaOver && now.After(s.mediaOverAt.Add(endedGrace)):
			s.session.Close(signal.CloseRetry, "the media connection is over")
		}
	}
}

// mediaOver says that s's peer connection is over by itself. Closing the
// socket brings the client back at once, which else would find out late. One
// that ended the connection itself is about to close the socket, too.
func (r *room) mediaOver(s *seat, err error) {
	s.mediaOver, s.mediaOverAt = true, time.Now()
	switch {
	case s.out:
	case s.left:
		r.takeOut(s, true)
	case !errors.Is(err, rtc.ErrEnded):
		s.log.Info("media connection lost", "err", err)
		s.session.Close(signal.CloseRetry, "the media connection is lost")
	}
}
