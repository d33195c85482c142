package channel

import (
	"context"
	"errors"
	"iter"
)

// Find returns the owner's channel, or ErrNotFound.
func (s *Service) Find(o Owner, id ID) (Channel, error) {
	r, err := s.read(id)
	if err != nil || r.Owner() != o {
		return Channel{}, ErrNotFound
	}
	return r.Channel, nil
}

// After yields the owner's channels behind the id ("": all), in the order of
// their ids.
func (s *Service) After(o Owner, id ID) iter.Seq2[ID, Channel] {
	return func(yield func(ID, Channel) bool) {
		for _, r := range s.channels.After("", string(id)) {
			if r.Owner() == o && !yield(r.ID, r.Channel) {
				return
			}
		}
	}
}

// Update lets change alter what the owner's channel was made with, but for
// whose it is and its tags; it may be called several times. While the channel
// is live Update returns ErrLive if that concerns how media comes in or is
// packaged. It returns ErrNotFound, ErrPolicyNotFound, ErrRecordingNotFound,
// ErrChanged, or change's error, and then nothing has changed.
func (s *Service) Update(ctx context.Context, o Owner, id ID, change func(*Spec) error) (Channel, error) {
	for range updateTries {
		ch, err := s.tryUpdate(ctx, o, id, change)
		if !errors.Is(err, ErrChanged) {
			return ch, err
		}
	}
	return Channel{}, ErrChanged
}

// updateTries is how often a channel may name something else than when its
// Update began.
const updateTries = 5

func (s *Service) tryUpdate(ctx context.Context, o Owner, id ID, change func(*Spec) error) (Channel, error) {
	ch, err := s.Find(o, id)
	if err != nil {
		return Channel{}, err
	}
	wish := ch.Spec
	if err := change(&wish); err != nil {
		return Channel{}, err
	}
	release, err := s.hold(o, wish)
	if err != nil {
		return Channel{}, err
	}
	defer release()
	r, err := s.channels.Update(ctx, string(id), func(r *record) error {
		before := r.Spec
		if err := change(&r.Spec); err != nil {
			return err
		}
		r.Account, r.Region, r.Tags = before.Account, before.Region, before.Tags
		if r.Policy != wish.Policy || r.Recording != wish.Recording {
			return ErrChanged // what it names now is not held
		}
		if r.media() == before.media() {
			return nil
		}
		return s.checkOff(id)
	})
	if err != nil {
		return Channel{}, orNotFound(err, ErrNotFound)
	}
	s.refresh(r.Channel)
	return r.Channel, nil
}

// ErrChanged says that the channel was changed by two at once.
var ErrChanged = errors.New("the channel was changed by somebody else at the same time")

// hold keeps what the spec names from being deleted until release is called.
func (s *Service) hold(o Owner, spec Spec) (release func(), err error) {
	policy, err := s.holdPolicy(o, spec.Policy)
	if err != nil {
		return nil, err
	}
	recording, err := s.holdRecording(o, spec.Recording)
	if err != nil {
		policy()
		return nil, err
	}
	return func() {
		recording()
		policy()
	}, nil
}

// A mediaSpec is what of a Spec cannot change under a publisher.
type mediaSpec struct {
	latencyMode, kind, container, preset string
	insecure                             bool
}

func (s Spec) media() mediaSpec {
	return mediaSpec{s.LatencyMode, s.Type, s.ContainerFormat, s.Preset, s.InsecureIngest}
}

// refresh tells a channel that is live what it is now.
func (s *Service) refresh(ch Channel) {
	if l := s.findLive(ch.ID); l != nil {
		l.channel = ch
		l.mu.Unlock()
	}
}

// TagChannel lets edit change the tags of the owner's channel. It returns
// ErrNotFound, or edit's error, and then nothing has changed.
func (s *Service) TagChannel(ctx context.Context, o Owner, id ID, edit func(tags map[string]string) error) error {
	if _, err := s.Find(o, id); err != nil {
		return err
	}
	r, err := s.channels.Update(ctx, string(id), func(r *record) error { return editTags(&r.Tags, edit) })
	if err == nil {
		s.refresh(r.Channel)
	}
	return orNotFound(err, ErrNotFound)
}
