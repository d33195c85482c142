package channel

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"belfry.live/belfry/internal/channel/ticket"
)

// Errors of playback restriction policies.
var (
	ErrPolicyNotFound  = errors.New("playback restriction policy not found")
	ErrPolicyInUse     = errors.New("a channel names the playback restriction policy")
	ErrTooManyPolicies = errors.New("as many playback restriction policies exist as an account may have in a region")
)

// A PolicyID names a playback restriction policy: 12 of [A-Za-z0-9].
type PolicyID string

// A RestrictionPolicySpec is what somebody asks for when making a policy.
type RestrictionPolicySpec struct {
	Name string
	// AllowedCountries must be empty: nothing here tells where an address is.
	AllowedCountries []string
	AllowedOrigins   []string // empty: every origin
	StrictOrigin     bool     // enforced on every request, not on the first alone
	Tags             map[string]string
}

// A RestrictionPolicy says from where the channels that name it may be watched.
type RestrictionPolicy struct {
	ID PolicyID
	Owner
	Created time.Time
	RestrictionPolicySpec
	Allowed ticket.Origins // AllowedOrigins as they are compared
}

// A RestrictionPolicyChange has what is to change; nil stays as it is.
type RestrictionPolicyChange struct {
	Name             *string
	AllowedCountries *[]string
	AllowedOrigins   *[]string
	StrictOrigin     *bool
}

// check says what is wrong with the spec, and returns its origins as they are
// compared.
func (p RestrictionPolicySpec) check() (ticket.Origins, error) {
	if n := len(p.AllowedCountries); n > 0 {
		return "", invalid("allowedCountries", "must be empty, it has %d: this server cannot tell in which country a viewer is", n)
	}
	if n := len(p.AllowedOrigins); n > ticket.MaxOrigins {
		return "", invalid("allowedOrigins", "has %d elements, limit %d", n, ticket.MaxOrigins)
	}
	origins, err := ticket.NewOrigins(p.AllowedOrigins)
	if err != nil {
		return "", invalid("allowedOrigins", "%v", err)
	}
	return origins, nil
}

// CreateRestrictionPolicy makes a policy. It returns an InvalidError or
// ErrTooManyPolicies.
func (s *Service) CreateRestrictionPolicy(ctx context.Context, owner Owner, spec RestrictionPolicySpec) (RestrictionPolicy, error) {
	allowed, err := spec.check()
	if err != nil {
		return RestrictionPolicy{}, err
	}
	spec.AllowedOrigins, spec.Tags = slices.Clone(spec.AllowedOrigins), maps.Clone(spec.Tags)
	policy := RestrictionPolicy{
		ID: PolicyID(randomID(12)), Owner: owner, Created: time.Now().UTC().Truncate(time.Millisecond),
		RestrictionPolicySpec: spec, Allowed: allowed,
	}
	at := owner.key(string(policy.ID))
	if at == "" {
		return RestrictionPolicy{}, invalid("region", "%q is none", owner.Region)
	}
	s.viewing.policiesMu.Lock()
	defer s.viewing.policiesMu.Unlock()
	if limit := s.cfg.MaxRestrictionPolicies; len(s.RestrictionPolicies(owner)) >= limit {
		return RestrictionPolicy{}, fmt.Errorf("%w: %d", ErrTooManyPolicies, limit)
	}
	if err := s.viewing.policies.Create(ctx, at, policy); err != nil {
		return RestrictionPolicy{}, fmt.Errorf("record the playback restriction policy: %w", err)
	}
	return policy, nil
}

// RestrictionPolicy returns the owner's policy, or ErrPolicyNotFound.
func (s *Service) RestrictionPolicy(owner Owner, id PolicyID) (RestrictionPolicy, error) {
	if id == "" {
		return RestrictionPolicy{}, ErrPolicyNotFound
	}
	policy, err := s.viewing.policies.Get(owner.key(string(id)))
	return policy, orNotFound(err, ErrPolicyNotFound)
}

// RestrictionPolicies returns all of the owner's policies, by id.
func (s *Service) RestrictionPolicies(owner Owner) []RestrictionPolicy {
	var found []RestrictionPolicy
	if prefix := owner.key(""); prefix != "" {
		for _, policy := range s.viewing.policies.All(prefix) {
			found = append(found, policy)
		}
	}
	return found
}

// UpdateRestrictionPolicy changes the policy; the next request of every viewer
// is held against what it says then. It returns an InvalidError or
// ErrPolicyNotFound.
func (s *Service) UpdateRestrictionPolicy(ctx context.Context, owner Owner, id PolicyID, change RestrictionPolicyChange) (RestrictionPolicy, error) {
	at := owner.key(string(id))
	if at == "" || id == "" {
		return RestrictionPolicy{}, ErrPolicyNotFound
	}
	policy, err := s.viewing.policies.Update(ctx, at, func(p *RestrictionPolicy) error {
		if change.Name != nil {
			p.Name = *change.Name
		}
		if change.AllowedCountries != nil {
			p.AllowedCountries = slices.Clone(*change.AllowedCountries)
		}
		if change.AllowedOrigins != nil {
			p.AllowedOrigins = slices.Clone(*change.AllowedOrigins)
		}
		if change.StrictOrigin != nil {
			p.StrictOrigin = *change.StrictOrigin
		}
		var err error
		p.Allowed, err = p.check()
		return err
	})
	return policy, orNotFound(err, ErrPolicyNotFound)
}

// DeleteRestrictionPolicy removes the policy. It returns ErrPolicyNotFound, or
// ErrPolicyInUse while a channel names it.
func (s *Service) DeleteRestrictionPolicy(ctx context.Context, owner Owner, id PolicyID) error {
	at := owner.key(string(id))
	if at == "" || id == "" {
		return ErrPolicyNotFound
	}
	s.viewing.policiesMu.Lock()
	defer s.viewing.policiesMu.Unlock()
	if _, err := s.RestrictionPolicy(owner, id); err != nil {
		return err
	}
	channels, err := s.List(ctx, owner.Account, owner.Region)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(channels, func(ch Channel) bool { return ch.Policy == id }); i >= 0 {
		return fmt.Errorf("%w: %s", ErrPolicyInUse, channels[i].ID)
	}
	_, err = s.viewing.policies.Delete(ctx, at, nil)
	return orNotFound(err, ErrPolicyNotFound)
}

// TagRestrictionPolicy lets edit change the policy's tags. It returns
// ErrPolicyNotFound, or edit's error, and then nothing has changed.
func (s *Service) TagRestrictionPolicy(ctx context.Context, owner Owner, id PolicyID, edit func(tags map[string]string) error) error {
	at := owner.key(string(id))
	if at == "" || id == "" {
		return ErrPolicyNotFound
	}
	_, err := s.viewing.policies.Update(ctx, at, func(p *RestrictionPolicy) error { return editTags(&p.Tags, edit) })
	return orNotFound(err, ErrPolicyNotFound)
}

// holdPolicy keeps the policy from being deleted until release is called; so
// does who writes a channel that names it. It returns ErrPolicyNotFound. No
// policy is held without ado.
func (s *Service) holdPolicy(owner Owner, id PolicyID) (release func(), err error) {
	if id == "" {
		return func() {}, nil
	}
	s.viewing.policiesMu.RLock()
	if _, err := s.RestrictionPolicy(owner, id); err != nil {
		s.viewing.policiesMu.RUnlock()
		return nil, fmt.Errorf("%w: %s", err, id)
	}
	return s.viewing.policiesMu.RUnlock, nil
}
