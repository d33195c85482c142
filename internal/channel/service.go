package channel

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"belfry.live/belfry/internal/store"
	"belfry.live/belfry/internal/store/collection"
)

// undoLimit bounds how long a failed Create may take to remove its traces.
const undoLimit = 5 * time.Second

// A Service keeps the channels' records and knows which of them are live.
type Service struct {
	cfg Config
	log *slog.Logger

	channels *collection.Collection[record] // by channel id; stream key ids are its index

	viewing *viewing // who may watch

	mu    sync.Mutex   // guards what follows
	count int          // channels there are or are being made
	lives map[ID]*live // of channels with a publisher, or with one not long ago

	recorder   *recorder
	recordings *recordings
	seats      seats
	closed     atomic.Bool // nobody may publish any more
}

// A record is what the store keeps of a channel: one write makes the channel
// and its keys, and one removes them.
type record struct {
	Channel
	Keys []StreamKey
}

func (r record) copy() record {
	r.Tags = maps.Clone(r.Tags)
	r.Keys = slices.Clone(r.Keys)
	for i := range r.Keys {
		r.Keys[i].Tags = maps.Clone(r.Keys[i].Tags)
	}
	return r
}

func (r record) keyIDs() []string {
	ids := make([]string, len(r.Keys))
	for i, k := range r.Keys {
		ids[i] = string(k.ID)
	}
	return ids
}

// New opens the service's tables. Nothing runs before Run.
func New(ctx context.Context, cfg Config, tables store.Tables, log *slog.Logger) (*Service, error) {
	cfg = cfg.withDefaults()
	s := &Service{cfg: cfg, log: log, lives: map[ID]*live{}, seats: seats{max: cfg.MaxStreams}}
	var err error
	if s.recorder, err = newRecorder(ctx, cfg, tables, log); err != nil {
		return nil, err
	}
	if s.recordings, err = newRecordings(ctx, cfg, tables, log); err != nil {
		return nil, err
	}
	if s.viewing, err = newViewing(ctx, cfg, tables, log); err != nil {
		return nil, err
	}
	table, err := tables.Table(ctx, "channels", store.TableConfig{})
	if err != nil {
		return nil, err
	}
	s.channels, err = collection.Open(ctx, table, collection.Config[record]{
		Copy:    record.copy,
		Upgrade: func(r *record) { r.own(cfg.Account) },
		Index:   record.keyIDs,
		Log:     log,
	})
	if err != nil {
		return nil, fmt.Errorf("read the channels: %w", err)
	}
	s.count = s.channels.Len()
	return s, nil
}

// Run ends what is over and follows what other nodes change, until ctx ends;
// then it ends what is live.
func (s *Service) Run(ctx context.Context) error {
	var side sync.WaitGroup
	defer side.Wait()
	side.Go(func() { s.viewing.run(ctx) })
	side.Go(func() { s.recordings.run(ctx) })
	side.Go(func() { _ = s.channels.Run(ctx) }) // ends with ctx alone
	recording, stopRecording := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRecording()
	side.Go(func() { s.recorder.run(recording) })
	ticks, beats := time.NewTicker(tickPeriod), time.NewTicker(beatEvery)
	defer ticks.Stop()
	defer beats.Stop()
	for {
		select {
		case now := <-ticks.C:
			s.tick(now)
		case now := <-beats.C:
			s.recorder.beat(now)
			s.countViewers(now)
		case <-ctx.Done():
			s.closeAll(time.Now())
			return nil
		}
	}
}

// Create makes a channel and its one stream key.
func (s *Service) Create(ctx context.Context, spec Spec) (Channel, StreamKey, error) {
	release, err := s.hold(spec.Owner(), spec)
	if err != nil {
		return Channel{}, StreamKey{}, err
	}
	defer release()
	if err := s.reserve(); err != nil {
		return Channel{}, StreamKey{}, err
	}
	ch := Channel{ID: ID(randomID(12)), Created: time.Now().UTC().Truncate(time.Millisecond), Spec: spec}
	key := newStreamKey(ch)
	if err := s.write(ctx, record{Channel: ch, Keys: []StreamKey{key}}); err != nil {
		s.release()
		return Channel{}, StreamKey{}, fmt.Errorf("record the channel: %w", err)
	}
	return ch, key, nil
}

func (s *Service) write(ctx context.Context, r record) error {
	err := s.channels.Create(ctx, string(r.ID), r)
	if err == nil {
		return nil
	}
	// The write may have gone through although its answer did not come back;
	// who is told that it failed must not find the channel later.
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoLimit)
	defer cancel()
	if _, undone := s.channels.Delete(undo, string(r.ID), nil); undone != nil && !errors.Is(undone, store.ErrNotFound) {
		err = errors.Join(err, fmt.Errorf("undo it: %w", undone))
	}
	return err
}

// Get returns the channel, or ErrNotFound.
func (s *Service) Get(_ context.Context, id ID) (Channel, error) {
	r, err := s.read(id)
	return r.Channel, err
}

// List returns the account's channels in the region, oldest first.
func (s *Service) List(_ context.Context, account, region string) ([]Channel, error) {
	var found []Channel
	for _, r := range s.channels.All("") {
		if r.Account == account && r.Region == region {
			found = append(found, r.Channel)
		}
	}
	slices.SortFunc(found, func(a, b Channel) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	return found, nil
}

// Delete removes the channel and its stream keys. It returns ErrLive while the
// channel is live, and ErrNotFound.
func (s *Service) Delete(ctx context.Context, id ID) error {
	if _, err := s.read(id); err != nil {
		return err
	}
	_, err := s.channels.Delete(ctx, string(id), func(record) error { return s.checkOff(id) })
	switch {
	case errors.Is(err, store.ErrNotFound):
		return ErrNotFound // another Delete was faster
	case errors.Is(err, ErrLive):
		return err
	case err != nil:
		return fmt.Errorf("delete the channel: %w", err)
	}
	s.release()
	s.shut(id)
	return nil
}

// StreamKeys returns the channel's stream keys, or ErrNotFound.
func (s *Service) StreamKeys(_ context.Context, id ID) ([]StreamKey, error) {
	r, err := s.read(id)
	return r.Keys, err
}

// findKey returns the stream key and its channel, or ErrKeyNotFound.
func (s *Service) findKey(id KeyID) (Channel, StreamKey, error) {
	_, r, err := s.channels.Find(string(id))
	if err != nil {
		return Channel{}, StreamKey{}, ErrKeyNotFound
	}
	i := slices.IndexFunc(r.Keys, func(k StreamKey) bool { return k.ID == id })
	return r.Channel, r.Keys[i], nil
}

// findKeyValue returns the stream key with that value and its channel, or
// ErrKeyNotFound. The value names the key by its id, which is no secret; the
// rest of it is compared in constant time.
func (s *Service) findKeyValue(value string) (Channel, StreamKey, error) {
	parts := strings.Split(value, "_")
	if len(value) > maxKeyValue || len(parts) != 4 {
		return Channel{}, StreamKey{}, ErrKeyNotFound
	}
	ch, key, err := s.findKey(KeyID(parts[2]))
	if err != nil {
		return Channel{}, StreamKey{}, err
	}
	if subtle.ConstantTimeCompare([]byte(value), []byte(key.Value.Reveal())) != 1 {
		return Channel{}, StreamKey{}, ErrKeyNotFound
	}
	return ch, key, nil
}

func (s *Service) read(id ID) (record, error) {
	r, err := s.channels.Get(string(id))
	if err != nil {
		return record{}, ErrNotFound
	}
	return r, nil
}

// own says whose a record is that does not know: it is from before there were
// accounts.
func (r *record) own(account string) {
	if r.Account != "" {
		return
	}
	r.Account = account
	for i := range r.Keys {
		r.Keys[i].Account = account
	}
}

func (s *Service) reserve() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count >= s.cfg.MaxChannels {
		return fmt.Errorf("%w: %d", ErrTooMany, s.cfg.MaxChannels)
	}
	s.count++
	return nil
}

func (s *Service) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count--
}

const (
	secretLength = 40  // of 62 characters: 238 bits
	maxKeyValue  = 256 // characters
)

// newStreamKey makes a key whose value is, as AWS writes it,
// sk_<region>_<12 alphanumeric>_<secret>.
func newStreamKey(ch Channel) StreamKey {
	id := randomID(12)
	value := "sk_" + ch.Region + "_" + id + "_" + randomID(secretLength)
	return StreamKey{ID: KeyID(id), ChannelID: ch.ID, Account: ch.Account, Region: ch.Region, Value: NewKey(value)}
}

const alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// randomID returns n random characters of [A-Za-z0-9].
func randomID(n int) string {
	id := make([]byte, 0, n)
	var random [32]byte
	for {
		rand.Read(random[:]) // never fails
		for _, r := range random {
			if int(r) >= 4*len(alphanumeric) {
				continue // keeps every character equally likely
			}
			id = append(id, alphanumeric[int(r)%len(alphanumeric)])
			if len(id) == n {
				return string(id)
			}
		}
	}
}

// isID tells whether s may be the id of a channel or a stream key; anything
// else never reaches the store.
func isID(s string) bool {
	return len(s) == 12 && strings.Trim(s, alphanumeric) == ""
}
