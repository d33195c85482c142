package meeting

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/time/rate"

	"belfry.live/belfry/internal/meeting/rtc"
	"belfry.live/belfry/internal/meeting/signal"
	"belfry.live/belfry/internal/meeting/telemetry"
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
	MaxMeetings  int           // at once; 0: 250
	MaxAttendees int           // of one meeting that does not say so itself; 0: 250
	MaxConnected int           // attendees of one meeting at once; 0: 250
	MaxCameras   int           // cameras of one meeting that are on at once; 0: 25
	MaxShares    int           // attendees of one meeting that share content at once; 0: 2
	MaxReplicas  int           // of one meeting; 0: 4
	LostTimeout  time.Duration // how long a lost connection keeps its place; 0: 10 s
	Limits       Limits        // of all meetings together

	Relay       Relay        // for clients that the media port does not reach; nil: none
	RelayPolicy signal.Relay // who is sent there; RelayAuto: who could not connect otherwise

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
	start   chan *room    // to Run
	stopped chan struct{} // closed when Run begins to end
	gate    *gate

	counts     counts
	past       past
	tally      telemetry.Tally
	ended      endedMeetings
	eventLimit *rate.Limiter

	mu     sync.Mutex
	living map[ID]*life // guarded by mu
}

// New opens the tables and finds the meetings of before: each has the full
// EmptyTimeout for its attendees to come back. Nothing runs before Run.
func New(ctx context.Context, cfg Config, tables store.Tables, log *slog.Logger) (*Service, error) {
	s := &Service{
		cfg: cfg.withDefaults(), log: log,
		start:   make(chan *room),
		stopped: make(chan struct{}),
		living:  map[ID]*life{},

		eventLimit: rate.NewLimiter(eventRate, eventBurst),
	}
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
		m := rec.Meeting
		s.living[m.ID] = &life{created: m.Created, primary: m.PrimaryID, emptySince: now, before: rec.stillThere(present[m.ID])}
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
	rooms.Go(func() { _ = s.records.meetings.Run(ctx) }) // ends with ctx alone
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
	if spec.RequestToken != "" {
		m, _, err := s.records.holder(ctx, spec)
		if !errors.Is(err, ErrNotFound) {
			return m, err
		}
	}
	if spec.PrimaryID != "" {
		if err := s.checkPrimary(ctx, spec.PrimaryID); err != nil {
			return Meeting{}, err
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

// Lookup returns a meeting that has not ended.
func (s *Service) Lookup(_ context.Context, id ID) (Meeting, error) {
	rec, err := s.records.load(id)
	return rec.Meeting, err
}

// End ends the meeting for everybody in it, and its replicas.
func (s *Service) End(ctx context.Context, id ID) error {
	rec, err := s.records.remove(ctx, id)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
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
		if err := s.End(ctx, replica); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	if err == nil {
		s.log.Info("meeting ended", "meeting", id)
	}
	return err
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

// change changes the meeting's record.
func (s *Service) change(ctx context.Context, id ID, f func(*record) error) error {
	if s.life(id) == nil {
		return ErrNotFound
	}
	err := s.records.update(ctx, id, f)
	if errors.Is(err, errNoChange) {
		return nil
	}
	return err
}

// Attendee returns one attendee, joined or not.
func (s *Service) Attendee(_ context.Context, id ID, attendee AttendeeID) (Attendee, error) {
	rec, err := s.records.load(id)
	if err != nil {
		return Attendee{}, err
	}
	a, ok := rec.attendee(attendee)
	if !ok {
		return Attendee{}, ErrAttendeeNotFound
	}
	return a, nil
}

// Attendees returns all attendees, joined or not, by creation. The list is
// shared: it may not be changed.
func (s *Service) Attendees(_ context.Context, id ID) ([]Attendee, error) {
	rec, err := s.records.load(id)
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

// UpdateCapabilities changes what an attendee may do, at once if it is in the
// meeting.
func (s *Service) UpdateCapabilities(ctx context.Context, id ID, attendee AttendeeID, c Capabilities) (Attendee, error) {
	var changed Attendee
	err := s.change(ctx, id, func(rec *record) error {
		for i := range rec.Attendees {
			if a := &rec.Attendees[i]; a.ID == attendee {
				a.Capabilities = c
				changed = *a
				return nil
			}
		}
		return ErrAttendeeNotFound
	})
	if err != nil {
		return Attendee{}, err
	}
	s.applyCapabilities(id, []AttendeeID{attendee}, c)
	return changed, nil
}

// UpdateCapabilitiesExcept changes what all attendees may do but those, and
// but hidden ones.
func (s *Service) UpdateCapabilitiesExcept(ctx context.Context, id ID, except []AttendeeID, c Capabilities) error {
	var changed []AttendeeID
	err := s.change(ctx, id, func(rec *record) error {
		changed = nil
		for i := range rec.Attendees {
			a := &rec.Attendees[i]
			if !slices.Contains(except, a.ID) && !isHidden(a.ExternalUserID) {
				a.Capabilities = c
				changed = append(changed, a.ID)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.applyCapabilities(id, changed, c)
	return nil
}

func (s *Service) applyCapabilities(id ID, attendees []AttendeeID, c Capabilities) {
	if r := s.liveRoom(id); r != nil {
		r.tell(func() { r.setCapabilities(attendees, c) })
	}
}
