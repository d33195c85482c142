package channel

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// ExpiryTag is the tag whose value ends a stream key: a time as in RFC 3339.
const ExpiryTag = "belfry:expires"

// checkKeyTags says what is wrong with a stream key's tags.
func checkKeyTags(tags map[string]string) error {
	text, ok := tags[ExpiryTag]
	if !ok {
		return nil
	}
	if _, err := time.Parse(time.RFC3339, text); err != nil {
		return invalid("tags."+ExpiryTag, "must be a time like 2006-01-02T15:04:05Z: %q", text)
	}
	return nil
}

// Expired says whether nobody can begin to publish with the key any more.
func (k StreamKey) Expired(now time.Time) bool {
	text, ok := k.Tags[ExpiryTag]
	if !ok {
		return false
	}
	end, err := time.Parse(time.RFC3339, text)
	return err != nil || !now.Before(end)
}

// FindKey returns the owner's stream key, or ErrKeyNotFound.
func (s *Service) FindKey(o Owner, id KeyID) (StreamKey, error) {
	ch, k, err := s.findKey(id)
	if err != nil || ch.Owner() != o {
		return StreamKey{}, ErrKeyNotFound
	}
	return k, nil
}

// CreateKey makes another stream key of the owner's channel. It returns
// ErrTooManyKeys if the channel has as many as it may, ErrNotFound, or an
// InvalidError.
func (s *Service) CreateKey(ctx context.Context, o Owner, id ID, tags map[string]string) (StreamKey, error) {
	ch, err := s.Find(o, id)
	if err != nil {
		return StreamKey{}, err
	}
	if err := checkKeyTags(tags); err != nil {
		return StreamKey{}, err
	}
	key := newStreamKey(ch)
	key.Tags = tags
	_, err = s.channels.Update(ctx, string(id), func(r *record) error {
		if len(r.Keys) >= s.cfg.StreamKeys {
			return fmt.Errorf("%w: %d", ErrTooManyKeys, s.cfg.StreamKeys)
		}
		r.Keys = append(r.Keys, key)
		return nil
	})
	return key, orNotFound(err, ErrNotFound)
}

// DeleteKey removes the owner's stream key, or returns ErrKeyNotFound. Who
// publishes with it goes on; nobody can begin to.
func (s *Service) DeleteKey(ctx context.Context, o Owner, id KeyID) error {
	return s.changeKeys(ctx, o, id, func(keys []StreamKey, i int) ([]StreamKey, error) {
		return slices.Delete(keys, i, i+1), nil
	})
}

// TagKey lets edit change the tags of the owner's stream key. It returns
// ErrKeyNotFound, an InvalidError or edit's error, and then nothing has changed.
func (s *Service) TagKey(ctx context.Context, o Owner, id KeyID, edit func(tags map[string]string) error) error {
	return s.changeKeys(ctx, o, id, func(keys []StreamKey, i int) ([]StreamKey, error) {
		if err := editTags(&keys[i].Tags, edit); err != nil {
			return nil, err
		}
		return keys, checkKeyTags(keys[i].Tags)
	})
}

// changeKeys changes the keys of the channel that has the owner's key, which is
// the i-th.
func (s *Service) changeKeys(ctx context.Context, o Owner, id KeyID, change func(keys []StreamKey, i int) ([]StreamKey, error)) error {
	k, err := s.FindKey(o, id)
	if err != nil {
		return err
	}
	_, err = s.channels.Update(ctx, string(k.ChannelID), func(r *record) error {
		i := slices.IndexFunc(r.Keys, func(k StreamKey) bool { return k.ID == id })
		if i < 0 {
			return ErrKeyNotFound
		}
		var err error
		r.Keys, err = change(r.Keys, i)
		return err
	})
	return orNotFound(err, ErrKeyNotFound)
}
