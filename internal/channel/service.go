package channel

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"belfry.live/belfry/internal/channel/packager"
	"belfry.live/belfry/internal/store"
)

// Config says what the service may do.
type Config struct {
	Account     string // of records that do not say whose they are
	MaxChannels int    // 0: 5000
	// Retention is how long the playlists of a lost publisher wait for another
	// to go on with them (0: 60 s).
	Retention time.Duration
	Packager  packager.Config
}

// undoLimit bounds how long a failed Create may take to remove its traces.
const undoLimit = 5 * time.Second

// A Service keeps the channels' records and knows which of them are live.
type Service struct {
	cfg Config
	log *slog.Logger

	channels store.Table // by channel id: everything about a channel, its keys too
	keyIndex store.Table // by stream key id: the id of the channel that should have it

	mu    sync.Mutex   // guards what follows
	count int          // channels there are or are being made
	lives map[ID]*live // of channels with a publisher, or with one not long ago
}

// A record is what the store keeps of a channel. It alone says that the
// channel and its keys exist: a key that only the index knows is none. So the
// index is written before the record and removed after it, and a crash between
// the two leaves nothing that anybody can see; Run sweeps it up.
type record struct {
	Channel
	Keys []StreamKey
}

// New opens the service's tables. Nothing runs before Run.
func New(ctx context.Context, cfg Config, tables store.Tables, log *slog.Logger) (*Service, error) {
	cfg.MaxChannels = cmp.Or(cfg.MaxChannels, 5000)
	cfg.Retention = cmp.Or(cfg.Retention, time.Minute)
	s := &Service{cfg: cfg, log: log, lives: map[ID]*live{}}
	var err error
	if s.channels, err = tables.Table(ctx, "channels", store.TableConfig{}); err != nil {
		return nil, err
	}
	if s.keyIndex, err = tables.Table(ctx, "stream-keys", store.TableConfig{}); err != nil {
		return nil, err
	}
	known, err := s.channels.List(ctx, "")
	if err != nil {
		return nil, err
	}
	s.count = len(known)
	return s, nil
}

// Run sweeps up what crashes left behind and ends what is over, until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	var sweeping sync.WaitGroup
	defer sweeping.Wait()
	sweeping.Go(func() {
		if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("stream keys that belong to nothing stay in the index until the next start", "err", err)
		}
	})
	ticks := time.NewTicker(tickPeriod)
	defer ticks.Stop()
	for {
		select {
		case now := <-ticks.C:
			s.tick(now)
		case <-ctx.Done():
			return nil
		}
	}
}

// Create makes a channel and its one stream key.
func (s *Service) Create(ctx context.Context, spec Spec) (Channel, StreamKey, error) {
	if err := s.reserve(); err != nil {
		return Channel{}, StreamKey{}, err
	}
	ch := Channel{ID: ID(randomID(12)), Created: time.Now().UTC().Truncate(time.Millisecond), Spec: spec}
	key := newStreamKey(ch)
	value, err := json.Marshal(record{Channel: ch, Keys: []StreamKey{key}})
	if err == nil {
		err = s.write(ctx, ch, key, value)
	}
	if err != nil {
		s.release()
		return Channel{}, StreamKey{}, fmt.Errorf("record the channel: %w", err)
	}
	return ch, key, nil
}

// write makes the index entry, then the record.
func (s *Service) write(ctx context.Context, ch Channel, key StreamKey, value []byte) error {
	if _, err := s.keyIndex.Create(ctx, string(key.ID), []byte(ch.ID)); err != nil {
		return err
	}
	_, err := s.channels.Create(ctx, string(ch.ID), value)
	if err == nil {
		return nil
	}
	// The write may have gone through although its answer did not come back;
	// who is told that it failed must not find the channel later.
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoLimit)
	defer cancel()
	for _, e := range []error{
		s.channels.Delete(undo, string(ch.ID), 0),
		s.keyIndex.Delete(undo, string(key.ID), 0),
	} {
		if e != nil && !errors.Is(e, store.ErrNotFound) {
			err = errors.Join(err, fmt.Errorf("undo it: %w", e))
		}
	}
	return err
}

// Get returns the channel, or ErrNotFound.
func (s *Service) Get(ctx context.Context, id ID) (Channel, error) {
	r, _, err := s.read(ctx, id)
	return r.Channel, err
}

// List returns the account's channels in the region, oldest first.
func (s *Service) List(ctx context.Context, account, region string) ([]Channel, error) {
	rows, err := s.channels.List(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("list channels: %w", err)
	}
	var found []Channel
	for _, row := range rows {
		r, err := s.parseRecord(row)
		if err != nil {
			return nil, err
		}
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
	r, rev, err := s.read(ctx, id)
	if err != nil {
		return err
	}
	if err := s.checkOff(id); err != nil {
		return err
	}
	switch err := s.channels.Delete(ctx, string(id), rev); {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrConflict):
		return ErrNotFound // another Delete was faster
	case err != nil:
		return fmt.Errorf("delete the channel: %w", err)
	}
	s.release()
	s.shut(id)
	for _, k := range r.Keys {
		if err := s.keyIndex.Delete(ctx, string(k.ID), 0); err != nil && !errors.Is(err, store.ErrNotFound) {
			s.log.Warn("a deleted channel's stream key stays in the index until the next start", "channel", id, "err", err)
		}
	}
	return nil
}

// StreamKey returns the stream key, or ErrKeyNotFound.
func (s *Service) StreamKey(ctx context.Context, id KeyID) (StreamKey, error) {
	_, k, err := s.findKey(ctx, id)
	return k, err
}

// StreamKeys returns the channel's stream keys, or ErrNotFound.
func (s *Service) StreamKeys(ctx context.Context, id ID) ([]StreamKey, error) {
	r, _, err := s.read(ctx, id)
	return r.Keys, err
}

// findKey returns the stream key and its channel, or ErrKeyNotFound.
func (s *Service) findKey(ctx context.Context, id KeyID) (Channel, StreamKey, error) {
	if !isID(string(id)) {
		return Channel{}, StreamKey{}, ErrKeyNotFound
	}
	entry, err := s.keyIndex.Get(ctx, string(id))
	if errors.Is(err, store.ErrNotFound) {
		return Channel{}, StreamKey{}, ErrKeyNotFound
	}
	if err != nil {
		return Channel{}, StreamKey{}, fmt.Errorf("look up the stream key: %w", err)
	}
	r, _, err := s.read(ctx, ID(entry.Value))
	if errors.Is(err, ErrNotFound) {
		return Channel{}, StreamKey{}, ErrKeyNotFound
	}
	if err != nil {
		return Channel{}, StreamKey{}, err
	}
	i := slices.IndexFunc(r.Keys, func(k StreamKey) bool { return k.ID == id })
	if i < 0 {
		return Channel{}, StreamKey{}, ErrKeyNotFound
	}
	return r.Channel, r.Keys[i], nil
}

// findKeyValue returns the stream key with that value and its channel, or
// ErrKeyNotFound. The value names the key by its id, which is no secret; the
// rest of it is compared in constant time.
func (s *Service) findKeyValue(ctx context.Context, value string) (Channel, StreamKey, error) {
	parts := strings.Split(value, "_")
	if len(value) > maxKeyValue || len(parts) != 4 {
		return Channel{}, StreamKey{}, ErrKeyNotFound
	}
	ch, key, err := s.findKey(ctx, KeyID(parts[2]))
	if err != nil {
		return Channel{}, StreamKey{}, err
	}
	if subtle.ConstantTimeCompare([]byte(value), []byte(key.Value.Reveal())) != 1 {
		return Channel{}, StreamKey{}, ErrKeyNotFound
	}
	return ch, key, nil
}

func (s *Service) read(ctx context.Context, id ID) (record, uint64, error) {
	if !isID(string(id)) {
		return record{}, 0, ErrNotFound
	}
	row, err := s.channels.Get(ctx, string(id))
	if errors.Is(err, store.ErrNotFound) {
		return record{}, 0, ErrNotFound
	}
	if err != nil {
		return record{}, 0, fmt.Errorf("look up the channel: %w", err)
	}
	r, err := s.parseRecord(row)
	return r, row.Revision, err
}

func (s *Service) parseRecord(row store.Record) (record, error) {
	var r record
	if err := json.Unmarshal(row.Value, &r); err != nil {
		return record{}, fmt.Errorf("read the record of channel %s: %w", row.Key, err)
	}
	r.own(s.cfg.Account)
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

// sweep removes index entries whose channel does not have the key: a crash
// came between the two writes of a Create or of a Delete. Run calls it at the
// start of the node; an entry counts as left behind only if it is still there
// after the longest time a Create can take.
func (s *Service) sweep(ctx context.Context) error {
	entries, err := s.keyIndex.List(ctx, "")
	if err != nil {
		return err
	}
	var left []store.Record
	for _, e := range entries {
		_, _, err := s.findKey(ctx, KeyID(e.Key))
		if errors.Is(err, ErrKeyNotFound) {
			left = append(left, e)
		} else if err != nil {
			return err
		}
	}
	if len(left) == 0 {
		return nil
	}
	select {
	case <-time.After(sweepDelay):
	case <-ctx.Done():
		return nil
	}
	for _, e := range left {
		_, _, err := s.findKey(ctx, KeyID(e.Key))
		if !errors.Is(err, ErrKeyNotFound) {
			continue
		}
		if err := s.keyIndex.Delete(ctx, e.Key, e.Revision); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return nil
}

// sweepDelay is longer than any Create takes between its two writes.
const sweepDelay = time.Minute

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
