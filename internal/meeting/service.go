package meeting

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"belfry.live/belfry/internal/meeting/rtc"
	"belfry.live/belfry/internal/meeting/signal"
	"belfry.live/belfry/internal/store"
)

// hiddenPrefix begins the external user ids of our own attendees, such as live
// connectors: nobody sees or hears them, and no meeting lives on for them.
const hiddenPrefix = "aws:"

// maxHidden is how many hidden attendees a meeting may have, beyond its limit.
const maxHidden = 20

// A Config says what meetings may take. Its zero value means the defaults,
// but Transport must be given for anybody to join with media.
type Config struct {
	Transport *rtc.Transport // carries the media; closed by its owner, after Run

	EmptyTimeout time.Duration // a meeting ends when nobody was in for so long; 0: 5 min, negative: never
	MaxAge       time.Duration // a meeting ends after so long anyway; 0: 24 h, negative: never
	MaxMeetings  int           // at once; 0: 250
	MaxAttendees int           // of one meeting that does not say so itself; 0: 250
	MaxConnected int           // attendees of one meeting at once; 0: 250
	MaxCameras   int           // published videos of one meeting; 0: 25
	LostTimeout  time.Duration // how long a lost connection keeps its place; 0: 10 s

	Signal signal.Config
}

func (c Config) withDefaults() Config {
	c.EmptyTimeout = cmp.Or(c.EmptyTimeout, 5*time.Minute)
	c.MaxAge = cmp.Or(c.MaxAge, 24*time.Hour)
	c.MaxMeetings = cmp.Or(c.MaxMeetings, 250)
	c.MaxAttendees = cmp.Or(c.MaxAttendees, 250)
	c.MaxConnected = cmp.Or(c.MaxConnected, 250)
	c.MaxCameras = cmp.Or(c.MaxCameras, 25)
	c.LostTimeout = cmp.Or(c.LostTimeout, 10*time.Second)
	return c
}

// A Service keeps the meetings' records and a live room for every meeting that
// somebody is in.
type Service struct {
	// Fixed by New.
	cfg     Config
	log     *slog.Logger
	records records
	start   chan *room    // to Run
	stopped chan struct{} // closed when Run begins to end

	mu     sync.Mutex
	living map[ID]*life // guarded by mu
}

// A life is what is known of a meeting that has not ended.
type life struct {
	// Fixed.
	created time.Time

	write sync.Mutex // serializes changes of the record; Service.mu is never held with it

	// Guarded by Service.mu.
	room       *room     // nil: nobody is in
	emptySince time.Time // zero: somebody is in
	lastID     uint32    // of streams, see room.next
}

// New opens the tables and finds the meetings of before: each has the full
// EmptyTimeout for its attendees to come back. Nothing runs before Run.
func New(ctx context.Context, cfg Config, tables store.Tables, log *slog.Logger) (*Service, error) {
	s := &Service{
		cfg: cfg.withDefaults(), log: log,
		start:   make(chan *room),
		stopped: make(chan struct{}),
		living:  map[ID]*life{},
	}
	var err error
	if s.records, err = openRecords(ctx, tables); err != nil {
		return nil, err
	}
	found, err := s.records.meetings.List(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("list the meetings: %w", err)
	}
	now := time.Now()
	for _, r := range found {
		rec, err := parseRecord(r)
		if err != nil {
			return nil, err
		}
		s.living[rec.Meeting.ID] = &life{created: rec.Meeting.Created, emptySince: now}
	}
	return s, nil
}

// Run serves rooms and ends meetings whose time has come, until ctx ends.
// Then every signaling socket is closed for its client to come back, which
// takes less than a second, and Run returns when the last one is.
func (s *Service) Run(ctx context.Context) error {
	var rooms sync.WaitGroup
	defer rooms.Wait()
	defer close(s.stopped)
	rooms.Go(func() { s.reap(ctx) })
	for {
		select {
		case r := <-s.start:
			rooms.Go(func() { r.run(ctx) })
		case <-ctx.Done():
			return nil
		}
	}
}

// reap ends the meetings whose time has come.
func (s *Service) reap(ctx context.Context) {
	every := 5 * time.Second
	for _, limit := range []time.Duration{s.cfg.EmptyTimeout, s.cfg.MaxAge} {
		if limit > 0 {
			every = max(min(every, limit/20), 20*time.Millisecond)
		}
	}
	check := time.NewTicker(every)
	defer check.Stop()
	for {
		select {
		case now := <-check.C:
			for _, id := range s.expired(now) {
				if err := s.End(ctx, id); err != nil && !errors.Is(err, ErrNotFound) && ctx.Err() == nil {
					s.log.Error("a meeting whose time has come does not end", "meeting", id, "err", err)
				}
			}
		case <-ctx.Done():
			return
		}
	}
}

func (s *Service) expired(now time.Time) []ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []ID
	for id, l := range s.living {
		old := s.cfg.MaxAge > 0 && now.Sub(l.created) >= s.cfg.MaxAge
		empty := s.cfg.EmptyTimeout > 0 && !l.emptySince.IsZero() && now.Sub(l.emptySince) >= s.cfg.EmptyTimeout
		if old || empty {
			ids = append(ids, id)
		}
	}
	return ids
}

// Create makes a meeting. The same region and token while the meeting lives
// give the same meeting, whatever else the spec says.
func (s *Service) Create(ctx context.Context, spec Spec) (Meeting, error) {
	if spec.RequestToken != "" {
		m, _, err := s.records.holder(ctx, spec)
		if !errors.Is(err, ErrNotFound) {
			return m, err
		}
	}
	now := time.Now().UTC()
	m := Meeting{ID: ID(uuid.NewString()), Created: now, Spec: spec}
	if err := s.beginLife(m); err != nil {
		return Meeting{}, err
	}
	if err := s.records.create(ctx, record{Meeting: m}); err != nil {
		s.endLife(m.ID)
		return Meeting{}, err
	}
	if spec.RequestToken == "" {
		return m, nil
	}
	first, err := s.records.claim(ctx, m)
	if err == nil && first.ID == m.ID {
		return m, nil
	}
	// Somebody was faster with this token; or nobody will ever know of m.
	if undo := s.End(ctx, m.ID); undo != nil {
		s.log.Warn("an unwanted meeting stays until it times out", "meeting", m.ID, "err", undo)
	}
	return first, err
}

func (s *Service) beginLife(m Meeting) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.living) >= s.cfg.MaxMeetings {
		return fmt.Errorf("%w: %d", ErrTooMany, s.cfg.MaxMeetings)
	}
	s.living[m.ID] = &life{created: m.Created, emptySince: time.Now()}
	return nil
}

func (s *Service) endLife(id ID) *room {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.living[id]
	if l == nil {
		return nil
	}
	delete(s.living, id)
	return l.room
}

func (s *Service) life(id ID) *life {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.living[id]
}

// Lookup returns a meeting that has not ended.
func (s *Service) Lookup(ctx context.Context, id ID) (Meeting, error) {
	rec, _, err := s.records.load(ctx, id)
	return rec.Meeting, err
}

// End ends the meeting for everybody in it.
func (s *Service) End(ctx context.Context, id ID) error {
	if err := s.records.remove(ctx, id); err != nil {
		if errors.Is(err, ErrNotFound) {
			s.endLife(id)
		}
		return err
	}
	if r := s.endLife(id); r != nil {
		r.end()
	}
	s.log.Info("meeting ended", "meeting", id)
	return nil
}

// AddAttendee lets somebody of that name join the meeting. The same name again
// gives the same attendee, whatever the capabilities.
func (s *Service) AddAttendee(ctx context.Context, id ID, externalUserID string, c Capabilities) (Attendee, error) {
	var a Attendee
	err := s.change(ctx, id, func(rec *record) error {
		var ok bool
		if a, ok = rec.named(externalUserID); ok {
			return errNoChange
		}
		if err := s.vacancy(rec, isHidden(externalUserID)); err != nil {
			return err
		}
		a = Attendee{
			ID:             AttendeeID(uuid.NewString()),
			MeetingID:      id,
			ExternalUserID: externalUserID,
			Capabilities:   c,
			Created:        time.Now().UTC(),
		}
		a.JoinToken = newJoinToken(a.ID)
		rec.Attendees = append(rec.Attendees, a)
		return nil
	})
	if err != nil {
		return Attendee{}, err
	}
	return a, nil
}

func isHidden(externalUserID string) bool { return strings.HasPrefix(externalUserID, hiddenPrefix) }

// vacancy says whether one more attendee may be added.
func (s *Service) vacancy(rec *record, hidden bool) error {
	n, limit := 0, cmp.Or(rec.Meeting.Features.MaxAttendees, s.cfg.MaxAttendees)
	if hidden {
		limit = maxHidden
	}
	for _, a := range rec.Attendees {
		if isHidden(a.ExternalUserID) == hidden {
			n++
		}
	}
	if n >= limit {
		return fmt.Errorf("%w: %d", ErrFull, limit)
	}
	return nil
}

// errNoChange ends a change that has nothing to write.
var errNoChange = errors.New("meeting: nothing to change")

// change changes the meeting's record. Changes of one meeting take turns, so
// that they do not spoil each other's revision.
func (s *Service) change(ctx context.Context, id ID, f func(*record) error) error {
	l := s.life(id)
	if l == nil {
		return ErrNotFound
	}
	l.write.Lock()
	defer l.write.Unlock()
	err := s.records.update(ctx, id, f)
	if errors.Is(err, errNoChange) {
		return nil
	}
	return err
}

// Attendee returns one attendee, joined or not.
func (s *Service) Attendee(ctx context.Context, id ID, attendee AttendeeID) (Attendee, error) {
	rec, _, err := s.records.load(ctx, id)
	if err != nil {
		return Attendee{}, err
	}
	a, ok := rec.attendee(attendee)
	if !ok {
		return Attendee{}, ErrAttendeeNotFound
	}
	return a, nil
}

// Attendees returns all attendees, joined or not, by creation.
func (s *Service) Attendees(ctx context.Context, id ID) ([]Attendee, error) {
	rec, _, err := s.records.load(ctx, id)
	return rec.Attendees, err
}

// RemoveAttendee takes the attendee's right to join, and takes it out of the
// meeting if it is in.
func (s *Service) RemoveAttendee(ctx context.Context, id ID, attendee AttendeeID) error {
	err := s.change(ctx, id, func(rec *record) error {
		for i, a := range rec.Attendees {
			if a.ID == attendee {
				rec.Attendees = append(rec.Attendees[:i], rec.Attendees[i+1:]...)
				return nil
			}
		}
		return ErrAttendeeNotFound
	})
	if err != nil {
		return err
	}
	if r := s.liveRoom(id); r != nil {
		r.remove(attendee)
	}
	return nil
}

// liveRoom returns the meeting's room, nil if nobody is in.
func (s *Service) liveRoom(id ID) *room {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.living[id]; l != nil {
		return l.room
	}
	return nil
}

// enterRoom returns the meeting's room, a new one if nobody is in, or
// ErrNotFound. A room that nobody enters soon ends.
func (s *Service) enterRoom(ctx context.Context, m Meeting) (*room, error) {
	s.mu.Lock()
	l := s.living[m.ID]
	if l == nil {
		s.mu.Unlock()
		return nil, ErrNotFound
	}
	if l.room != nil {
		defer s.mu.Unlock()
		return l.room, nil
	}
	l.lastID = max(l.lastID, firstID(time.Since(l.created)))
	r := newRoom(s, m, l.lastID)
	l.room = r
	s.mu.Unlock()
	select {
	case s.start <- r:
		return r, nil
	case <-s.stopped:
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l.room = nil
	close(r.done)
	return nil, errStopping
}

// errStopping says that no room is opened any more.
var errStopping = errors.New("meeting: the service is stopping")

// firstID returns where the stream ids of a meeting of that age begin. They
// must grow also over a restart of the server, of which the clients keep what
// they knew: so many a second nobody can have used before.
func firstID(age time.Duration) uint32 {
	const perSecond = 32
	return uint32(max(age, 0).Seconds()*perSecond) + 1
}

// occupied notes whether anybody who counts is in the meeting.
func (s *Service) occupied(id ID, somebody bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.living[id]
	switch {
	case l == nil:
	case somebody:
		l.emptySince = time.Time{}
	case l.emptySince.IsZero():
		l.emptySince = time.Now()
	}
}

// retire forgets an empty room.
func (s *Service) retire(r *room, lastID uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.living[r.meeting.ID]; l != nil && l.room == r {
		l.room, l.lastID = nil, lastID
	}
}
