package channel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"belfry.live/belfry/internal/outbox"
	"belfry.live/belfry/internal/store"
)

const (
	// beatEvery is how often the time is written down at which sessions still
	// went on: what a crash leaves open ends then.
	beatEvery = time.Minute
	// maxSessions is how many sessions of one channel are kept, the newest: an
	// encoder that connects again and again must not fill the disk.
	maxSessions = 1000
)

// A recorder writes down the stream sessions and tells what happens in them.
// What comes from a publisher's loop is left in the outbox; changes of one
// channel are written in their order.
type recorder struct {
	// Fixed by newRecorder.
	sessions store.Table // by sessionKey
	running  store.Table // by stream id: a mark, of the sessions that have not ended
	tell     func(context.Context, Event) error
	latest   func(context.Context) (map[ID]string, error)
	log      *slog.Logger
	box      *outbox.Box[change]

	mu   sync.Mutex // guards open, but not what is in it
	open map[string]*openSession
}

// An openSession is touched by one writer at a time: the outbox has one for a
// channel.
type openSession struct {
	Session
	untold []Event
	dirty  bool // the record is older
}

// A mark says that a session goes on.
type mark struct {
	Key  string    // of the session's record
	Seen time.Time // it was still so
}

// A change is one step of a session, or an event that belongs to none.
type change struct {
	stream string
	begin  *Session
	ingest *Ingest
	event  *Event
	beat   time.Time
}

func newRecorder(ctx context.Context, cfg Config, tables store.Tables, log *slog.Logger) (*recorder, error) {
	r := &recorder{tell: cfg.Record, latest: cfg.Latest, log: log, open: map[string]*openSession{}}
	if r.tell == nil {
		r.tell = func(context.Context, Event) error { return nil }
	}
	var err error
	if r.sessions, err = tables.Table(ctx, "stream-sessions", store.TableConfig{TTL: cfg.KeepSessions}); err != nil {
		return nil, err
	}
	if r.running, err = tables.Table(ctx, "running-sessions", store.TableConfig{}); err != nil {
		return nil, err
	}
	r.box = outbox.New(r.write, 0, log)
	return r, nil
}

// begin opens a session.
func (r *recorder) begin(ch Channel, stream string, now time.Time, in Ingest) {
	session := Session{StreamID: stream, Channel: ch, Created: now.UTC().Truncate(time.Millisecond), Ingest: in}
	r.box.Push(string(ch.ID), change{stream: stream, begin: &session})
}

// learned says what the publisher sends.
func (r *recorder) learned(ch ID, stream string, in Ingest) {
	r.box.Push(string(ch), change{stream: stream, ingest: &in})
}

// happened tells an event, which belongs to its session if it has one.
func (r *recorder) happened(e Event) {
	r.box.Push(string(e.Channel), change{stream: e.StreamID, event: &e})
}

// run ends what a crash left open, and writes what comes until ctx ends.
func (r *recorder) run(ctx context.Context) error {
	if err := r.recover(ctx, time.Now()); err != nil && ctx.Err() == nil {
		r.log.Error("stream sessions of the last run stay open until the next start", "err", err)
	}
	return r.box.Run(ctx)
}

// beat writes down that the open sessions still go on.
func (r *recorder) beat(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for stream, s := range r.open {
		r.box.Push(string(s.Channel.ID), change{stream: stream, beat: now})
	}
}

// write makes changes of one channel: of each session first the record, then
// the events. What an open session could not be told or written stays with it
// for the next time, or the next beat; an error is about what is lost.
func (r *recorder) write(ctx context.Context, changes []change) error {
	var errs []error
	var changed *openSession // and not saved yet
	settle := func() {
		if changed == nil {
			return
		}
		if err := r.save(ctx, changed); err != nil {
			r.log.Error("a stream session will be written later", "channel", changed.Channel.ID, "stream", changed.StreamID, "err", err)
		}
		changed = nil
	}
	for _, c := range changes {
		if changed != nil && (c.begin != nil || changed.StreamID != c.stream) {
			settle() // what happened in one session is told before what happened then in another
		}
		if c.begin != nil {
			s := &openSession{Session: *c.begin, dirty: true}
			if err := r.enter(ctx, s); err != nil {
				errs = append(errs, err)
				continue
			}
			changed = s
			continue
		}
		s := r.find(c.stream)
		switch {
		case s == nil && c.event != nil:
			if err := r.tell(ctx, *c.event); err != nil {
				errs = append(errs, err)
			}
			continue
		case s == nil: // it ended, or its beginning was lost
			continue
		case c.ingest != nil:
			s.Ingest, s.dirty = *c.ingest, true
		case c.event != nil:
			s.note(*c.event)
			s.untold, s.dirty = append(s.untold, *c.event), true
		default:
			if err := r.mark(ctx, s, c.beat); err != nil {
				r.log.Warn("it is not written down that a stream session goes on", "stream", s.StreamID, "err", err)
			}
		}
		changed = s
	}
	settle()
	return errors.Join(errs...)
}

// enter makes the session one that goes on.
func (r *recorder) enter(ctx context.Context, s *openSession) error {
	if err := r.prune(ctx, s.Channel.ID); err != nil {
		return err
	}
	if err := r.mark(ctx, s, s.Created); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open[s.StreamID] = s
	return nil
}

func (r *recorder) mark(ctx context.Context, s *openSession, now time.Time) error {
	value, err := json.Marshal(mark{s.key(), now.UTC().Truncate(time.Millisecond)})
	if err != nil {
		return err
	}
	_, err = r.running.Put(ctx, s.StreamID, value)
	return err
}

func (r *recorder) find(stream string) *openSession {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.open[stream]
}

// save writes the session, tells what was not told yet, and forgets a session
// that is over.
func (r *recorder) save(ctx context.Context, s *openSession) error {
	over := s.over()
	if over && s.Ended.IsZero() {
		s.Ended, s.dirty = s.Events[len(s.Events)-1].Time, true
	}
	if s.dirty {
		value, err := json.Marshal(s.Session)
		if err != nil {
			return err
		}
		if _, err := r.sessions.Put(ctx, s.key(), value); err != nil {
			return fmt.Errorf("write the stream session: %w", err)
		}
		s.dirty = false
	}
	for len(s.untold) > 0 {
		if err := r.tell(ctx, s.untold[0]); err != nil {
			return fmt.Errorf("tell what happened in the stream session: %w", err)
		}
		s.untold = s.untold[1:]
	}
	if !over {
		return nil
	}
	if err := r.running.Delete(ctx, s.StreamID, 0); err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, s.StreamID)
	return nil
}

// prune makes room for another session of the channel.
func (r *recorder) prune(ctx context.Context, id ID) error {
	rows, err := r.sessions.List(ctx, string(id)+".")
	if err != nil {
		return err
	}
	for len(rows) >= maxSessions {
		oldest := rows[len(rows)-1]
		if err := r.sessions.Delete(ctx, oldest.Key, 0); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		rows = rows[:len(rows)-1]
	}
	return nil
}

// recover ends the sessions that went on when the server was killed, and tells
// what of them was not told.
func (r *recorder) recover(ctx context.Context, now time.Time) error {
	rows, err := r.running.List(ctx, "")
	if err != nil || len(rows) == 0 {
		return err
	}
	told := map[ID]string{}
	if r.latest != nil {
		if told, err = r.latest(ctx); err != nil {
			return err
		}
	}
	var errs []error
	for _, row := range rows {
		if r.find(row.Key) != nil {
			continue // a new one, of this run
		}
		errs = append(errs, r.finish(ctx, row, told, now))
	}
	return errors.Join(errs...)
}

func (r *recorder) finish(ctx context.Context, row store.Record, told map[ID]string, now time.Time) error {
	var m mark
	if err := json.Unmarshal(row.Value, &m); err != nil {
		return fmt.Errorf("read the mark of session %s: %w", row.Key, err)
	}
	record, err := r.sessions.Get(ctx, m.Key)
	if errors.Is(err, store.ErrNotFound) { // killed before its first write
		return r.running.Delete(ctx, row.Key, 0)
	}
	if err != nil {
		return err
	}
	session, err := parseSession(record)
	if err != nil {
		return err
	}
	s := &openSession{Session: session}
	last, known := told[s.Channel.ID]
	for i := len(s.Events) - 1; r.latest != nil && i >= 0 && (!known || s.Events[i].Name != last); i-- {
		s.untold = append(s.untold, s.Events[i])
	}
	slices.Reverse(s.untold)
	for _, name := range []string{SessionEnded, StreamEnd} {
		if s.over() || name == StreamEnd && s.Started.IsZero() || slices.ContainsFunc(s.Events, func(e Event) bool { return e.Name == name }) {
			continue
		}
		e := newEvent(s.Channel, s.StreamID, StateChange, name, now)
		e.Reason = "the server was restarted"
		s.note(e)
		s.untold, s.dirty = append(s.untold, e), true
	}
	if s.Ended.IsZero() {
		s.Ended, s.dirty = m.Seen, true
		if end := s.Started; end.After(s.Ended) {
			s.Ended = end
		}
	}
	r.log.Warn("a stream session that a crash left open is ended", "channel", s.Channel.ID, "stream", s.StreamID,
		"events", strings.Join(names(s.untold), ", "))
	return r.save(ctx, s)
}

func names(events []Event) []string {
	var list []string
	for _, e := range events {
		list = append(list, e.Name)
	}
	return list
}
