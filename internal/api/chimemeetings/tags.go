package chimemeetings

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"belfry.live/belfry/internal/api/restjson"
	"belfry.live/belfry/internal/meeting"
)

type (
	tagShape struct{ Key, Value string }

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
	m, err := s.resource(ctx, c, in.ResourceARN)
	if err != nil {
		return tagsOutput{}, err
	}
	out := tagsOutput{Tags: []tagShape{}}
	for _, key := range slices.Sorted(maps.Keys(m.Tags)) {
		out.Tags = append(out.Tags, tagShape{key, m.Tags[key]})
	}
	return out, nil
}

func (s *service) tagResource(ctx context.Context, c restjson.Caller, in tagInput) error {
	m, err := s.resource(ctx, c, in.ResourceARN)
	if err != nil {
		return err
	}
	tags, err := tagMap(in.Tags)
	if err != nil {
		return err
	}
	return gone(s.meetings.Tag(ctx, m.ID, tags), in.ResourceARN)
}

func (s *service) untagResource(ctx context.Context, c restjson.Caller, in untagInput) error {
	m, err := s.resource(ctx, c, in.ResourceARN)
	if err != nil {
		return err
	}
	return gone(s.meetings.Untag(ctx, m.ID, in.TagKeys), in.ResourceARN)
}

// resource finds the caller's meeting that the ARN names: with and without a
// region, with a slash or a colon before the id.
func (s *service) resource(ctx context.Context, c restjson.Caller, arn string) (meeting.Meeting, error) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[2] != "chime" || parts[3] != "" && parts[3] != c.Region || parts[4] != c.Account {
		return meeting.Meeting{}, noMeeting(arn)
	}
	id, ok := strings.CutPrefix(parts[5], "meeting")
	if !ok || len(id) == 0 || id[0] != '/' && id[0] != ':' {
		return meeting.Meeting{}, noMeeting(arn)
	}
	m, err := s.lookup(ctx, c, id[1:])
	return m, gone(err, arn)
}

// gone is err in the words of the operations on tags.
func gone(err error, arn string) error {
	if errors.Is(err, meeting.ErrNotFound) {
		return noMeeting(arn)
	}
	return err
}

func noMeeting(arn string) error {
	return restjson.Errorf(http.StatusNotFound, noResource, "no meeting has the ARN %.200q", arn)
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
