package event

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Names in NATS.
const (
	streamName  = "EVENTS"
	subjectRoot = "events"

	typeHeader   = "Belfry-Type"
	notifyHeader = "Belfry-Notify"
)

const (
	// diskLimit is how long one request to the stream may take: a write waits
	// for the disk, which may be slow for a while.
	diskLimit = 30 * time.Second
	// twiceWithin is how long a second Append with the same ID is known as one.
	twiceWithin = 2 * time.Minute
)

// Config says how much the journal keeps; whatever is beyond one of the limits
// is forgotten, the oldest first. Zero fields are the defaults.
type Config struct {
	MaxAge       time.Duration // of events; 0: 7 days
	MaxBytes     int64         // of events; 0: 1 GiB
	DeadMaxAge   time.Duration // of dead letters; 0: 30 days
	DeadMaxBytes int64         // of dead letters; 0: 256 MiB
}

func (c Config) withDefaults() Config {
	const day = 24 * time.Hour
	if c.MaxAge == 0 {
		c.MaxAge = 7 * day
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 1 << 30
	}
	if c.DeadMaxAge == 0 {
		c.DeadMaxAge = 30 * day
	}
	if c.DeadMaxBytes == 0 {
		c.DeadMaxBytes = 256 << 20
	}
	return c
}

// A Journal holds the events. Its methods may be called from several
// goroutines.
type Journal struct {
	// Fixed by Open.
	cfg          Config
	js           jetstream.JetStream
	events, dead jetstream.Stream
	recent       *recent
	log          *slog.Logger

	batch sync.Mutex // held while a batch is being written

	mu       sync.Mutex        // guards what follows
	grown    chan struct{}     // closed at the next Append
	appended map[string]uint64 // by source
	failed   uint64
}

// Open opens the journal on a connection to a server that writes every message
// to disk before it is acknowledged. The connection stays the caller's, who
// closes it after the last use of the journal.
func Open(ctx context.Context, conn *nats.Conn, cfg Config, log *slog.Logger) (*Journal, error) {
	cfg = cfg.withDefaults()
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(diskLimit))
	if err != nil {
		return nil, fmt.Errorf("open JetStream: %w", err)
	}
	j := &Journal{cfg: cfg, js: js, log: log, grown: make(chan struct{}), appended: map[string]uint64{}}
	j.events, err = js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: streamName, Subjects: []string{subjectRoot + ".>"},
		MaxAge: cfg.MaxAge, MaxBytes: cfg.MaxBytes, Discard: jetstream.DiscardOld,
		Storage: jetstream.FileStorage, AllowDirect: true, AllowAtomicPublish: true,
		Duplicates: min(twiceWithin, cfg.MaxAge),
	})
	if err != nil {
		return nil, fmt.Errorf("open the journal of events: %w", err)
	}
	last, err := j.Last(ctx)
	if err != nil {
		return nil, err
	}
	j.recent = newRecent(last + 1)
	j.dead, err = js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: deadName, Subjects: []string{deadRoot + ".>"},
		MaxAge: cfg.DeadMaxAge, MaxBytes: cfg.DeadMaxBytes, Discard: jetstream.DiscardOld,
		Storage: jetstream.FileStorage, AllowDirect: true, Duplicates: min(twiceWithin, cfg.DeadMaxAge),
	})
	if err != nil {
		return nil, fmt.Errorf("open the dead letters: %w", err)
	}
	return j, nil
}

// MaxAge is how long events are kept.
func (j *Journal) MaxAge() time.Duration { return j.cfg.MaxAge }

// Append records the events in their order and returns when they are on disk.
// If it fails, none or only the first ones may have been recorded. Once begun
// it does not stop when ctx ends: what happened has happened. An event whose
// Append failed may be appended again with the same ID within two minutes; it
// is recorded once.
func (j *Journal) Append(ctx context.Context, events ...Event) error {
	messages := make([]*nats.Msg, len(events))
	for i, e := range events {
		m, err := e.message()
		if err != nil {
			return err
		}
		messages[i] = m
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), diskLimit)
	defer cancel()
	written, err := j.write(ctx, messages)
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range events[:written] {
		j.appended[e.Source]++
	}
	close(j.grown)
	j.grown = make(chan struct{})
	if err != nil {
		j.failed += uint64(len(events) - written)
		e := events[written]
		return fmt.Errorf("record the event %s of %s %s: %w", e.Type, e.Kind, e.Subject, err)
	}
	return nil
}

// growth returns a channel that is closed at the next Append.
func (j *Journal) growth() <-chan struct{} {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.grown
}

// Latest returns the Type of the newest event of each resource of the kind, by
// Subject, over all accounts. Resources whose newest event was forgotten, such
// as those older than MaxAge, are absent.
func (j *Journal) Latest(ctx context.Context, source, kind string) (map[string]string, error) {
	if !isSource(source) || !isToken(kind) {
		return nil, fmt.Errorf("%w: Source %.200q, Kind %.200q", ErrInvalid, source, kind)
	}
	found, err := j.latest(ctx, subjectRoot+".*."+source+"."+kind+".*")
	if err != nil {
		return nil, fmt.Errorf("read the newest events of %s %s: %w", source, kind, err)
	}
	return found, nil
}

func (j *Journal) latest(ctx context.Context, filter string) (map[string]string, error) {
	found := map[string]string{}
	err := j.read(ctx, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{filter}, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy, HeadersOnly: true,
	}, func(m jetstream.Msg, _ *jetstream.MsgMetadata) error {
		found[lastToken(m.Subject())] = m.Headers().Get(typeHeader)
		return nil
	})
	return found, err
}

// Stats are counts since the start.
type Stats struct {
	Appended map[string]uint64 // by source
	Failed   uint64
}

// Stats returns what was counted so far.
func (j *Journal) Stats() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	return Stats{Appended: maps.Clone(j.appended), Failed: j.failed}
}

func isNotFound(err error) bool { return errors.Is(err, jetstream.ErrMsgNotFound) }
