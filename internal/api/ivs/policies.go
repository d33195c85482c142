package ivs

import (
	"context"

	"belfry.live/belfry/internal/api/restjson"
	"belfry.live/belfry/internal/channel"
)

func (s *service) policyOperations() []restjson.Operation {
	arn := one("arn", "playback-restriction-policy")
	members := []restjson.Member{
		restjson.Optional("allowedCountries", restjson.List(restjson.String(2, 2), 0, maxCountries)),
		restjson.Optional("allowedOrigins", restjson.List(restjson.String(0, maxOrigin), 0, maxOrigins)),
		restjson.Optional("enableStrictOriginEnforcement", restjson.Boolean()),
		restjson.Optional("name", name),
	}
	noCountries := func(op restjson.Operation) restjson.Operation {
		return gap("allowedCountries must be empty: nothing here tells in which country a viewer is", op)
	}
	return []restjson.Operation{
		noCountries(post(restjson.B, "CreatePlaybackRestrictionPolicy", append(members[:len(members):len(members)], restjson.Optional("tags", tags)),
			restjson.Do(s.createPolicy), pending, throttling, quotaExceeded)),
		post(restjson.B, "GetPlaybackRestrictionPolicy", arn, restjson.Do(s.getPolicy), notFound, pending),
		noCountries(post(restjson.B, "UpdatePlaybackRestrictionPolicy", append(arn[:1:1], members...),
			restjson.Do(s.updatePolicy), notFound, pending, conflict)),
		post(restjson.B, "ListPlaybackRestrictionPolicies", paged(100), restjson.Do(s.listPolicies), pending, conflict),
		without(post(restjson.B, "DeletePlaybackRestrictionPolicy", arn, restjson.Act(s.deletePolicy), notFound, pending, conflict)),
	}
}

// Limits of a policy. AWS's model and its page of quotas differ on an origin's
// length; this is the longer of the two, in characters.
const (
	maxCountries = 200
	maxOrigins   = 5
	maxOrigin    = 256
)

type (
	createPolicyInput struct {
		AllowedCountries              []string
		AllowedOrigins                []string
		EnableStrictOriginEnforcement bool
		Name                          string
		Tags                          map[string]string
	}

	updatePolicyInput struct {
		arnInput
		AllowedCountries              *[]string
		AllowedOrigins                *[]string
		EnableStrictOriginEnforcement *bool
		Name                          *string
	}

	policyShape struct {
		ARN                           string            `json:"arn"`
		AllowedCountries              []string          `json:"allowedCountries"`
		AllowedOrigins                []string          `json:"allowedOrigins"`
		EnableStrictOriginEnforcement bool              `json:"enableStrictOriginEnforcement"`
		Name                          string            `json:"name"`
		Tags                          map[string]string `json:"tags"`
	}

	policyOutput struct {
		PlaybackRestrictionPolicy policyShape `json:"playbackRestrictionPolicy"`
	}

	listPoliciesOutput struct {
		PlaybackRestrictionPolicies []policyShape `json:"playbackRestrictionPolicies"`
		NextToken                   string        `json:"nextToken,omitempty"`
	}
)

func (s *service) createPolicy(ctx context.Context, c restjson.Caller, in createPolicyInput) (policyOutput, error) {
	policy, err := s.channels.CreateRestrictionPolicy(ctx, owner(c), channel.RestrictionPolicySpec{
		Name: in.Name, AllowedCountries: in.AllowedCountries, AllowedOrigins: in.AllowedOrigins,
		StrictOrigin: in.EnableStrictOriginEnforcement, Tags: in.Tags,
	})
	if err != nil {
		return policyOutput{}, err
	}
	return policyOutput{shapePolicy(policy)}, nil
}

// findPolicy returns the policy with the ARN.
func (s *service) findPolicy(c restjson.Caller, name string) (channel.RestrictionPolicy, error) {
	return lookUp(c, "playback-restriction-policy", name, channel.ErrPolicyNotFound, func(id channel.PolicyID) (channel.RestrictionPolicy, error) {
		return s.channels.RestrictionPolicy(owner(c), id)
	})
}

func (s *service) getPolicy(_ context.Context, c restjson.Caller, in arnInput) (policyOutput, error) {
	policy, err := s.findPolicy(c, in.ARN)
	if err != nil {
		return policyOutput{}, err
	}
	return policyOutput{shapePolicy(policy)}, nil
}

func (s *service) updatePolicy(ctx context.Context, c restjson.Caller, in updatePolicyInput) (policyOutput, error) {
	policy, err := s.findPolicy(c, in.ARN)
	if err != nil {
		return policyOutput{}, err
	}
	policy, err = s.channels.UpdateRestrictionPolicy(ctx, owner(c), policy.ID, channel.RestrictionPolicyChange{
		Name: in.Name, AllowedCountries: in.AllowedCountries, AllowedOrigins: in.AllowedOrigins, StrictOrigin: in.EnableStrictOriginEnforcement,
	})
	if err != nil {
		return policyOutput{}, err
	}
	return policyOutput{shapePolicy(policy)}, nil
}

func (s *service) listPolicies(_ context.Context, c restjson.Caller, in pageInput) (listPoliciesOutput, error) {
	page, next, err := page(c, "playback restriction policies", s.channels.RestrictionPolicies(owner(c)),
		func(p channel.RestrictionPolicy) string { return string(p.ID) }, in, onePage)
	if err != nil {
		return listPoliciesOutput{}, err
	}
	out := listPoliciesOutput{PlaybackRestrictionPolicies: []policyShape{}, NextToken: next}
	for _, p := range page {
		out.PlaybackRestrictionPolicies = append(out.PlaybackRestrictionPolicies, shapePolicy(p))
	}
	return out, nil
}

func (s *service) deletePolicy(ctx context.Context, c restjson.Caller, in arnInput) error {
	policy, err := s.findPolicy(c, in.ARN)
	if err != nil {
		return err
	}
	return s.channels.DeleteRestrictionPolicy(ctx, owner(c), policy.ID)
}

func shapePolicy(p channel.RestrictionPolicy) policyShape {
	return policyShape{
		ARN:                           arn(p.Owner, "playback-restriction-policy", string(p.ID)),
		AllowedCountries:              append([]string{}, p.AllowedCountries...),
		AllowedOrigins:                append([]string{}, p.AllowedOrigins...),
		EnableStrictOriginEnforcement: p.StrictOrigin,
		Name:                          p.Name,
		Tags:                          notNil(p.Tags),
	}
}
