package meeting

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/time/rate"

	"belfry.live/belfry/internal/meeting/rtc"
	"belfry.live/belfry/internal/meeting/signal"
	"belfry.live/belfry/internal/meeting/telemetry"
	"belfry.live/belfry/internal/outbox"
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
	Account   string         // of records that do not say whose they are

	EmptyTimeout time.Duration // a meeting ends when nobody was in for so long; 0: 5 min, negative: never
	MaxAge       time.Duration // a meeting ends after so long anyway; 0: 24 h, negative: never
	MaxMeetings  int           // of one account at once; 0: 250
	MaxAttendees int           // of one meeting that does not say so itself; 0: 250
	MaxConnected int           // attendees of one meeting at once; 0: 250
	MaxCameras   int           // cameras of one meeting that are on at once; 0: 25
	MaxShares    int           // attendees of one meeting that share content at once; 0: 2
	MaxReplicas  int           // of one meeting; 0: 4
	LostTimeout  time.Duration // how long a lost connection keeps its place; 0: 10 s
	Limits       Limits        // of all meetings together

	Relay       Relay        // for clients that the media port does not reach; nil: none
	RelayPolicy signal.Relay // who is sent there; RelayAuto: who could not connect otherwise

	// Record writes down what happened to meetings, in order, and returns when
	// it is on disk; nil: nobody wants to know.
	Record func(context.Context, []Event) error
	// Recorded returns the newest event of each meeting that was written down
	// in the last RecordedFor; nil: what a crash left out is not made up for.
	Recorded    func(context.Context) (map[ID]EventType, error)
	RecordedFor time.Duration
	// RecordedAdded returns the attendees of whom it was written down since then
	// that they were added; nil: they are not made up for either.
	RecordedAdded func(ctx context.Context, since time.Time) (map[AttendeeID]bool, error)

	PlainSDP bool // asks no client to compress its offers
	Signal   signal.Config
}

func (c Config) withDefaults() Config {
	c.EmptyTimeout = cmp.Or(c.EmptyTimeout, 5*time.Minute)
	c.MaxAge = cmp.Or(c.MaxAge, 24*time.Hour)
	c.MaxMeetings = cmp.Or(c.MaxMeetings, 250)
	c.MaxAttendees = cmp.Or(c.MaxAttendees, 250)
	c.MaxConnected = cmp.Or(c.MaxConnected, 250)
	c.MaxCameras = cmp.Or(c.MaxCameras, 25)
	c.MaxShares = cmp.Or(c.MaxShares, 2)
	c.MaxReplicas = cmp.Or(c.MaxReplicas, 4)
	c.LostTimeout = cmp.Or(c.LostTimeout, 10*time.Second)
	if c.Record == nil {
		c.Record = func(context.Context, []Event) error { return nil }
	}
	c.Signal.Counts = cmp.Or(c.Signal.Counts, new(signal.Counts))
	return c
}

// A Service keeps the meetings' records and a live room for every meeting that
// somebody is in.
type Service struct {
	// Fixed by New.
	cfg     Config
	log     *slog.Logger
	records records
	start   chan *room // to Run
	history *outbox.Box[Event]
	stopped chan struct{} // closed when Run begins to end
	gate    *gate

	counts     counts
	past       past
	tally      telemetry.Tally
	ended      endedMeetings
	eventLimit *rate.Limiter

	creating [256]sync.Mutex // each of some request tokens, so that each makes one meeting

	mu     sync.Mutex
	living map[ID]*life   // guarded by mu
	owned  map[string]int // how many of them are whose, by account; guarded by mu
	ending map[ID]bool    // ended, and that is not written down yet; guarded by mu
}

// New reads the meetings of before, and writes down what a crash kept from
// being written of them. Each has the full EmptyTimeout for its attendees to
// come back. Nothing runs before Run.
func New(ctx context.Context, cfg Config, tables store.Tables, log *slog.Logger) (*Service, error) {
	s := &Service{
		cfg: cfg.withDefaults(), log: log,
		start:   make(chan *room),
		stopped: make(chan struct{}),
		living:  map[ID]*life{}, owned: map[string]int{}, ending: map[ID]bool{},

		eventLimit: rate.NewLimiter(eventRate, eventBurst),
	}
	s.history = outbox.New(s.cfg.Record, 0, log)
	s.gate = newGate(s.cfg.Limits, s.sentBytes, log)
	var err error
	if s.records, err = openRecords(ctx, cfg.Account, tables, log); err != nil {
		return nil, err
	}
	present, err := s.records.present(ctx)
	if err != nil {
		return nil, fmt.Errorf("list who was present: %w", err)
	}
	now := time.Now()
	for _, rec := range s.records.meetings.All("") {
		if rec.Ended.IsZero() {
			s.addLife(rec.Meeting, now, rec.stillThere(present[rec.Meeting.ID]))
		}
	}
	if err := s.reconcile(ctx); err != nil {
		return nil, fmt.Errorf("write down what happened to meetings: %w", err)
	}
	return s, nil
}

// Run serves rooms and ends meetings whose time has come, until ctx ends.
// Then every signaling socket is closed for its client to come back, which
// takes less than a second, and Run returns when the last one is, and when all
// that happened is written down.
func (s *Service) Run(ctx context.Context) error {
	var records, rooms sync.WaitGroup
	keep, stopKeeping := context.WithCancel(context.WithoutCancel(ctx))
	defer records.Wait()
	defer stopKeeping()
	records.Go(func() { _ = s.history.Run(keep) })          // it never fails
	records.Go(func() { _ = s.records.meetings.Run(keep) }) // nor does this
	defer rooms.Wait()
	defer close(s.stopped)
	rooms.Go(func() { s.reap(ctx) })
	rooms.Go(func() { s.gate.watch(ctx) })
	for {
		select {
		case r := <-s.start:
			rooms.Go(func() { r.run(ctx) })
		case <-ctx.Done():
			return nil
		}
	}
}

// Create makes a meeting. The same account, region and token while the meeting lives
// give the same meeting, whatever else the spec says.
func (s *Service) Create(ctx context.Context, spec Spec) (Meeting, error) {
	m, _, _, err := s.CreateWith(ctx, spec, nil)
	return m, err
}

// CreateWith makes a meeting with its first attendees. If the token gives a
// meeting that was there before, isNew is false and nobody is added.
func (s *Service) CreateWith(ctx context.Context, spec Spec, first []Newcomer) (m Meeting, admitted []Admission, isNew bool, err error) {
	if _, err := timesOf(spec.Tags); err != nil {
		return Meeting{}, nil, false, err
	}
	rec, admitted, isNew, err := s.make(ctx, spec, first)
	if err != nil {
		return Meeting{}, nil, false, err
	}
	m = rec.Meeting
	if !isNew {
		return m, nil, false, s.history.Settle(ctx, string(m.ID))
	}
	events := []Event{happened(Started, m, Attendee{})}
	for _, a := range rec.Attendees {
		events = append(events, happened(AttendeeAdded, m, a))
	}
	if err := s.history.Put(ctx, string(m.ID), events...); err != nil {
		// Nobody will ever know of m.
		if undo := s.End(context.WithoutCancel(ctx), m.ID); undo != nil {
			s.log.Warn("an unwanted meeting stays until it times out", "meeting", m.ID, "err", undo)
		}
		return Meeting{}, nil, false, err
	}
	return m, admitted, true, nil
}

// make writes a new meeting's record, or finds the one of the token.
func (s *Service) make(ctx context.Context, spec Spec, first []Newcomer) (rec record, admitted []Admission, isNew bool, err error) {
	if spec.RequestToken != "" {
		// Whoever comes later with the same token finds what is made here.
		turn := &s.creating[maphash.String(tokenSeed, tokenWord(spec))%uint64(len(s.creating))]
		turn.Lock()
		defer turn.Unlock()
	}
	if m, ok := s.records.holder(spec); ok {
		return record{Meeting: m}, nil, false, nil
	}
	if spec.PrimaryID != "" {
		if err := s.checkPrimary(ctx, spec.PrimaryID); err != nil {
			return record{}, nil, false, err
		}
	}
	rec = record{Meeting: Meeting{ID: ID(uuid.NewString()), Created: time.Now().UTC(), Spec: spec}}
	admitted, _ = s.admitAll(&rec, first)
	if err := s.beginLife(rec.Meeting); err != nil {
		return record{}, nil, false, err
	}
	if err := s.records.create(ctx, rec); err != nil {
		s.endLife(rec.Meeting.ID)
		return record{}, nil, false, err
	}
	return rec, admitted, true, nil
}

// tokenSeed spreads tokens over the locks.
var tokenSeed = maphash.MakeSeed()

// Lookup returns a meeting that has not ended.
func (s *Service) Lookup(_ context.Context, id ID) (Meeting, error) {
	rec, err := s.records.load(id)
	return rec.Meeting, err
}

// End ends the meeting for everybody in it, and its replicas.
func (s *Service) End(ctx context.Context, id ID) error {
	rec, err := s.records.end(ctx, id)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	gone := err != nil
	s.ended.add(rec, time.Now())
	r, replicas := s.endLife(id)
	switch {
	case r == nil:
	case r.meeting.ID == id:
		r.end()
	default:
		r.endReplica(id)
	}
	for _, replica := range replicas {
		if e := s.End(ctx, replica); e != nil && !errors.Is(e, ErrNotFound) {
			err = errors.Join(err, e)
		}
	}
	if gone {
		return err
	}
	s.log.Info("meeting ended", "meeting", id)
	if e := s.history.Put(ctx, string(id), happened(Ended, rec.Meeting, Attendee{})); e != nil {
		s.setEnding(id, true) // the box writes it when it can
		return errors.Join(err, e)
	}
	return errors.Join(err, s.bury(ctx, id))
}

// bury forgets a meeting whose end is written down.
func (s *Service) bury(ctx context.Context, id ID) error {
	err := s.history.Settle(ctx, string(id))
	if err == nil {
		err = s.records.remove(ctx, id)
	}
	s.setEnding(id, err != nil)
	return err
}

// MaxTags is how many tags a meeting may have.
const MaxTags = 50

// Tag adds tags to the meeting, in place of those with the same keys. Those
// that mean something here work at once.
func (s *Service) Tag(ctx context.Context, id ID, tags map[string]string) error {
	return s.setTags(ctx, id, func(all map[string]string) { maps.Copy(all, tags) })
}

// Untag takes tags from the meeting, those that it has.
func (s *Service) Untag(ctx context.Context, id ID, keys []string) error {
	return s.setTags(ctx, id, func(all map[string]string) {
		for _, k := range keys {
			delete(all, k)
		}
	})
}

func (s *Service) setTags(ctx context.Context, id ID, f func(map[string]string)) error {
	var t times
	_, err := s.change(ctx, id, func(rec *record) (err error) {
		if rec.Meeting.Tags == nil {
			rec.Meeting.Tags = map[string]string{}
		}
		f(rec.Meeting.Tags)
		if n := len(rec.Meeting.Tags); n > MaxTags {
			return fmt.Errorf("%w: at most %d, it would have %d", ErrTooManyTags, MaxTags, n)
		}
		t, err = timesOf(rec.Meeting.Tags)
		return err
	})
	if err == nil {
		s.setTimes(id, t)
	}
	return err
}

// record writes down what happened to attendees, and returns when that is on
// disk.
func (s *Service) record(ctx context.Context, what EventType, m Meeting, attendees ...Attendee) error {
	var events []Event
	for _, a := range attendees {
		if !isHidden(a.ExternalUserID) {
			events = append(events, happened(what, m, a))
		}
	}
	return s.history.Put(ctx, string(m.ID), events...)
}
