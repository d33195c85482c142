package ivs

import (
	"context"
	"maps"
	"net/http"
	"strings"

	"belfry.live/belfry/internal/api/restjson"
	"belfry.live/belfry/internal/channel"
)

func (s *service) tagOperations() []restjson.Operation {
	arn := restjson.Required("resourceArn", restjson.String(1, 128).Matching(arnPattern("[a-z-]+"), "a resource's ARN"))
	row := func(method, name string, do restjson.Handler, members ...restjson.Member) restjson.Operation {
		return restjson.Operation{
			Name: name, Method: method, Path: "/tags/{resourceArn}", Status: http.StatusOK,
			Input: append([]restjson.Member{arn}, members...), Errors: []string{notFound, internal}, Class: restjson.B, Do: do,
		}
	}
	return []restjson.Operation{
		at(10, row(http.MethodGet, "ListTagsForResource", restjson.Do(s.listTags))),
		at(10, row(http.MethodPost, "TagResource", restjson.Do(s.tag), restjson.Required("tags", tags))),
		at(10, row(http.MethodDelete, "UntagResource", restjson.Do(s.untag),
			restjson.RequiredQuery("tagKeys", "tagKeys", restjson.List(tagKey, 0, maxTags)))),
	}
}

type (
	resourceInput struct {
		ResourceARN string `json:"resourceArn"`
	}

	tagInput struct {
		resourceInput
		Tags map[string]string
	}

	untagInput struct {
		resourceInput
		TagKeys []string
	}

	tagsOutput struct {
		Tags map[string]string `json:"tags"`
	}
)

// tagged is a kind of resource that has tags.
type tagged struct {
	get  func(c restjson.Caller, arn string) (map[string]string, error)
	edit func(ctx context.Context, o channel.Owner, id string, edit func(map[string]string) error) error
}

// taggedKinds are those, by what stands in an ARN.
func (s *service) taggedKinds() map[string]tagged {
	return map[string]tagged{
		"channel": {
			func(c restjson.Caller, arn string) (map[string]string, error) {
				ch, err := s.find(c, arn)
				return ch.Tags, err
			},
			func(ctx context.Context, o channel.Owner, id string, edit func(map[string]string) error) error {
				return s.channels.TagChannel(ctx, o, channel.ID(id), edit)
			},
		},
		"stream-key": {
			func(c restjson.Caller, arn string) (map[string]string, error) {
				key, err := s.findKey(c, arn)
				return key.Tags, err
			},
			func(ctx context.Context, o channel.Owner, id string, edit func(map[string]string) error) error {
				return s.channels.TagKey(ctx, o, channel.KeyID(id), edit)
			},
		},
		"playback-key": {
			func(c restjson.Caller, arn string) (map[string]string, error) {
				pair, err := s.findPlaybackKey(c, arn)
				return pair.Tags, err
			},
			func(ctx context.Context, o channel.Owner, id string, edit func(map[string]string) error) error {
				return s.channels.TagPlaybackKeyPair(ctx, o, channel.PlaybackKeyID(id), edit)
			},
		},
		"playback-restriction-policy": {
			func(c restjson.Caller, arn string) (map[string]string, error) {
				policy, err := s.findPolicy(c, arn)
				return policy.Tags, err
			},
			func(ctx context.Context, o channel.Owner, id string, edit func(map[string]string) error) error {
				return s.channels.TagRestrictionPolicy(ctx, o, channel.PolicyID(id), edit)
			},
		},
		"recording-configuration": {
			func(c restjson.Caller, arn string) (map[string]string, error) {
				configuration, err := s.findRecording(c, arn)
				return configuration.Tags, err
			},
			func(ctx context.Context, o channel.Owner, id string, edit func(map[string]string) error) error {
				return s.channels.TagRecording(ctx, o, channel.RecordingID(id), edit)
			},
		},
	}
}

// findTagged returns the kind and the id of the resource with the ARN.
func (s *service) findTagged(c restjson.Caller, name string) (kind tagged, id string, err error) {
	missing := restjson.Errorf(http.StatusNotFound, notFound, "resource not found: %s in %s", name, c.Region)
	rest, ok := strings.CutPrefix(name, strings.TrimSuffix(arn(owner(c), "", ""), "/"))
	if !ok {
		return tagged{}, "", missing
	}
	word, id, _ := strings.Cut(rest, "/")
	if kind, ok = s.taggedKinds()[word]; !ok {
		return tagged{}, "", missing
	}
	return kind, id, nil
}

func (s *service) listTags(_ context.Context, c restjson.Caller, in resourceInput) (tagsOutput, error) {
	kind, _, err := s.findTagged(c, in.ResourceARN)
	if err != nil {
		return tagsOutput{}, err
	}
	tags, err := kind.get(c, in.ResourceARN)
	if err != nil {
		return tagsOutput{}, err
	}
	return tagsOutput{notNil(tags)}, nil
}

func (s *service) tag(ctx context.Context, c restjson.Caller, in tagInput) (struct{}, error) {
	return struct{}{}, s.editTags(ctx, c, in.ResourceARN, func(tags map[string]string) error {
		maps.Copy(tags, in.Tags)
		if n := len(tags); n > maxTags {
			return invalid("tags: the resource would have %d tags, limit %d", n, maxTags)
		}
		return nil
	})
}

func (s *service) untag(ctx context.Context, c restjson.Caller, in untagInput) (struct{}, error) {
	return struct{}{}, s.editTags(ctx, c, in.ResourceARN, func(tags map[string]string) error {
		for _, key := range in.TagKeys {
			delete(tags, key)
		}
		return nil
	})
}

func (s *service) editTags(ctx context.Context, c restjson.Caller, name string, edit func(map[string]string) error) error {
	kind, id, err := s.findTagged(c, name)
	if err != nil {
		return err
	}
	// Whoever has no such resource is told which.
	if _, err := kind.get(c, name); err != nil {
		return err
	}
	return kind.edit(ctx, owner(c), id, edit)
}
