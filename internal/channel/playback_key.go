package channel

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"belfry.live/belfry/internal/channel/ticket"
	"belfry.live/belfry/internal/store"
)

// Errors of playback key pairs.
var (
	ErrKeyPairNotFound = errors.New("playback key pair not found")
	ErrKeyPairExists   = errors.New("this public key was imported before")
	ErrTooManyKeyPairs = errors.New("as many playback key pairs exist as an account may have in a region")
)

// A PlaybackKeyID names a playback key pair: 12 of [A-Za-z0-9].
type PlaybackKeyID string

// A PlaybackKeyPair is a key that its owner signs viewers' tokens with. Only
// its public half is known here.
type PlaybackKeyPair struct {
	ID PlaybackKeyID
	Owner
	Name    string
	Created time.Time
	Key     ticket.PublicKey
	Tags    map[string]string
}

// Fingerprint tells keys apart for people.
func (k PlaybackKeyPair) Fingerprint() string { return k.Key.Fingerprint() }

// A PlaybackKeySpec is what somebody asks for when importing a key pair.
type PlaybackKeySpec struct {
	Name     string
	Material string // PEM
	Tags     map[string]string
}

// ImportPlaybackKeyPair keeps the public half of a key pair. It returns an
// InvalidError, ErrKeyPairExists or ErrTooManyKeyPairs.
func (s *Service) ImportPlaybackKeyPair(ctx context.Context, owner Owner, spec PlaybackKeySpec) (PlaybackKeyPair, error) {
	key, err := ticket.ParsePublicKey(spec.Material)
	if err != nil {
		return PlaybackKeyPair{}, invalid("publicKeyMaterial", "%v", err)
	}
	pair := PlaybackKeyPair{
		ID: PlaybackKeyID(randomID(12)), Owner: owner, Name: spec.Name,
		Created: time.Now().UTC().Truncate(time.Millisecond), Key: key, Tags: maps.Clone(spec.Tags),
	}
	at := owner.key(string(pair.ID))
	if at == "" {
		return PlaybackKeyPair{}, invalid("region", "%q is none", owner.Region)
	}
	s.viewing.keysMu.Lock()
	defer s.viewing.keysMu.Unlock()
	there := s.PlaybackKeyPairs(owner)
	for _, k := range there {
		if k.Key.Equal(key) {
			return PlaybackKeyPair{}, fmt.Errorf("%w, as %s", ErrKeyPairExists, k.ID)
		}
	}
	if limit := s.cfg.MaxPlaybackKeys; len(there) >= limit {
		return PlaybackKeyPair{}, fmt.Errorf("%w: %d", ErrTooManyKeyPairs, limit)
	}
	if err := s.viewing.keys.Create(ctx, at, pair); err != nil {
		return PlaybackKeyPair{}, fmt.Errorf("record the playback key pair: %w", err)
	}
	return pair, nil
}

// PlaybackKeyPair returns the owner's key pair, or ErrKeyPairNotFound.
func (s *Service) PlaybackKeyPair(owner Owner, id PlaybackKeyID) (PlaybackKeyPair, error) {
	if id == "" {
		return PlaybackKeyPair{}, ErrKeyPairNotFound
	}
	pair, err := s.viewing.keys.Get(owner.key(string(id)))
	return pair, orNotFound(err, ErrKeyPairNotFound)
}

// PlaybackKeyPairs returns all of the owner's key pairs, by id.
func (s *Service) PlaybackKeyPairs(owner Owner) []PlaybackKeyPair {
	var found []PlaybackKeyPair
	if prefix := owner.key(""); prefix != "" {
		for _, pair := range s.viewing.keys.All(prefix) {
			found = append(found, pair)
		}
	}
	return found
}

// DeletePlaybackKeyPair forgets the key pair: tokens signed with it begin no
// sessions any more. It returns ErrKeyPairNotFound.
func (s *Service) DeletePlaybackKeyPair(ctx context.Context, owner Owner, id PlaybackKeyID) error {
	at := owner.key(string(id))
	if at == "" || id == "" {
		return ErrKeyPairNotFound
	}
	_, err := s.viewing.keys.Delete(ctx, at, nil)
	return orNotFound(err, ErrKeyPairNotFound)
}

// TagPlaybackKeyPair lets edit change the key pair's tags. It returns
// ErrKeyPairNotFound, or edit's error, and then nothing has changed.
func (s *Service) TagPlaybackKeyPair(ctx context.Context, owner Owner, id PlaybackKeyID, edit func(tags map[string]string) error) error {
	at := owner.key(string(id))
	if at == "" || id == "" {
		return ErrKeyPairNotFound
	}
	_, err := s.viewing.keys.Update(ctx, at, func(pair *PlaybackKeyPair) error { return editTags(&pair.Tags, edit) })
	return orNotFound(err, ErrKeyPairNotFound)
}

// PlaybackKeys returns the keys that the owner's tokens may be signed with.
func (s *Service) PlaybackKeys(owner Owner) []ticket.PublicKey {
	var keys []ticket.PublicKey
	for _, pair := range s.PlaybackKeyPairs(owner) {
		keys = append(keys, pair.Key)
	}
	return keys
}

// editTags lets edit change tags, of which there may be none.
func editTags(tags *map[string]string, edit func(map[string]string) error) error {
	if *tags == nil {
		*tags = map[string]string{}
	}
	return edit(*tags)
}

// orNotFound returns notFound for the store's error that says so.
func orNotFound(err, notFound error) error {
	if errors.Is(err, store.ErrNotFound) {
		return notFound
	}
	return err
}
