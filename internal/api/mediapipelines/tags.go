package mediapipelines

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"belfry.live/belfry/internal/api/restjson"
	"belfry.live/belfry/internal/connector"
)

type (
	resourceInput struct {
		ResourceARN string
	}

	tagInput struct {
		ResourceARN string
		Tags        []tagShape
	}

	untagInput struct {
		ResourceARN string
		TagKeys     []string
	}

	tagsOutput struct {
		Tags []tagShape
	}
)

func (s *service) listTags(ctx context.Context, c restjson.Caller, in resourceInput) (tagsOutput, error) {
	p, err := s.resource(ctx, c, in.ResourceARN)
	if err != nil {
		return tagsOutput{}, err
	}
	out := tagsOutput{Tags: []tagShape{}}
	for _, key := range slices.Sorted(maps.Keys(p.Tags)) {
		out.Tags = append(out.Tags, tagShape{key, p.Tags[key]})
	}
	return out, nil
}

func (s *service) tagResource(ctx context.Context, c restjson.Caller, in tagInput) error {
	p, err := s.resource(ctx, c, in.ResourceARN)
	if err != nil {
		return err
	}
	tags, err := tagMap(in.Tags)
	if err != nil {
		return err
	}
	return s.connectors.Tag(ctx, p.ID, tags)
}

func (s *service) untagResource(ctx context.Context, c restjson.Caller, in untagInput) error {
	p, err := s.resource(ctx, c, in.ResourceARN)
	if err != nil {
		return err
	}
	return s.connectors.Untag(ctx, p.ID, in.TagKeys)
}

// resource finds the caller's pipeline that the ARN names.
func (s *service) resource(ctx context.Context, c restjson.Caller, arn string) (connector.Pipeline, error) {
	at, id, ok := parseARN(arn, "media-pipeline")
	if !ok || !at.isOf(c) {
		return connector.Pipeline{}, fmt.Errorf("%w: %.200q", connector.ErrNotFound, arn)
	}
	return s.find(ctx, c, id)
}

// tagMap refuses a list that has a key twice.
func tagMap(tags []tagShape) (map[string]string, error) {
	all := make(map[string]string, len(tags))
	for _, t := range tags {
		if _, twice := all[t.Key]; twice {
			return nil, invalid("Tags has the key %q twice", t.Key)
		}
		all[t.Key] = t.Value
	}
	return all, nil
}
