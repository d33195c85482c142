package api_test

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmediapipelines"
	pipelinetypes "github.com/aws/aws-sdk-go-v2/service/chimesdkmediapipelines/types"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings/types"
	"github.com/google/uuid"
)

func meetingTags(all map[string]string) (list []types.Tag) {
	for k, v := range all {
		list = append(list, types.Tag{Key: aws.String(k), Value: aws.String(v)})
	}
	return list
}

func (c clients) tagsOfMeeting(t *testing.T, arn string) map[string]string {
	t.Helper()
	out, err := c.meetings.ListTagsForResource(t.Context(), &chimesdkmeetings.ListTagsForResourceInput{ResourceARN: aws.String(arn)})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, tag := range out.Tags {
		all[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
	return all
}

// oddTags has every character that a meeting's tags may have, in several
// places.
func oddTags() map[string]string {
	return map[string]string{
		"plain":                  "value",
		"a:b/c=d+e-f._,;<":       "x y\tz\n0",
		"aws:like/0123456789":    "",
		strings.Repeat("k", 128): strings.Repeat("v", 256),
		"UPPER":                  "_+,-./:;<=@",
		"belfry:EmptyTimeout":    "never",
		"https://example.com/":   "mail@example.com",
	}
}

func TestMeetingTags(t *testing.T) {
	_, c := start(t)
	ctx := t.Context()
	in := meetingInput()
	in.Tags = meetingTags(oddTags())
	created, err := c.meetings.CreateMeeting(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	id, arn := aws.ToString(created.Meeting.MeetingId), aws.ToString(created.Meeting.MeetingArn)
	if got, want := c.tagsOfMeeting(t, arn), oddTags(); !maps.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	tag := func(arn string, tags map[string]string) error {
		_, err := c.meetings.TagResource(ctx, &chimesdkmeetings.TagResourceInput{ResourceARN: aws.String(arn), Tags: meetingTags(tags)})
		return err
	}
	untag := func(arn string, keys ...string) error {
		_, err := c.meetings.UntagResource(ctx, &chimesdkmeetings.UntagResourceInput{ResourceARN: aws.String(arn), TagKeys: keys})
		return err
	}
	for _, form := range []string{
		arn, "arn:aws:chime::123456789012:meeting:" + id, "arn:aws:chime::123456789012:meeting/" + id, "arn:aws:chime:us-east-1:123456789012:meeting:" + strings.ToUpper(id),
	} {
		if err := tag(form, map[string]string{"plain": form[:20], "new": ""}); err != nil {
			t.Errorf("%s: got %v, want no error", form, err)
		}
		if got := c.tagsOfMeeting(t, form); got["plain"] != form[:20] || len(got) != len(oddTags())+1 {
			t.Errorf("%s: got %q, want plain changed and one more", form, got)
		}
		if err := untag(form, "new", "unknown"); err != nil {
			t.Errorf("%s: got %v, want no error", form, err)
		}
	}
	if err := tag(arn, nil); err == nil {
		t.Error("no Tags: got no error")
	}
	for _, missing := range []string{
		"arn:aws:chime:us-east-1:123456789012:meeting/" + uuid.NewString(),
		"arn:aws:chime:eu-west-1:123456789012:meeting/" + id,
		"arn:aws:chime:us-east-1:999999999999:meeting/" + id,
		"arn:aws:chime::meeting/" + id,
		"arn:aws:ivs:us-east-1:123456789012:meeting/" + id,
		"arn:x",
	} {
		for what, err := range map[string]error{"tag": tag(missing, map[string]string{"a": "b"}), "untag": untag(missing, "a")} {
			checkError(t, err, http.StatusNotFound, "ResourceNotFoundException", "no meeting has the ARN")
			if t.Failed() {
				t.Fatalf("%s of %s", what, missing)
			}
		}
		_, err := c.meetings.ListTagsForResource(ctx, &chimesdkmeetings.ListTagsForResourceInput{ResourceARN: aws.String(missing)})
		as[*types.ResourceNotFoundException](t, err)
	}
	many := map[string]string{}
	for i := range 50 {
		many[fmt.Sprintf("k%d", i)] = ""
	}
	as[*types.TooManyTagsException](t, tag(arn, many))
	if got := c.tagsOfMeeting(t, arn); len(got) != len(oddTags()) {
		t.Errorf("got %d tags after too many, want %d as before", len(got), len(oddTags()))
	}
	for _, bad := range []map[string]string{{"a b": ""}, {"": ""}, {"ä": ""}, {"k": "ü"}, {"k": "?"}, {"belfry:MaxAge": "soon"}, {"belfry:EmptyTimeout": "1s"}} {
		err := tag(arn, bad)
		as[*types.BadRequestException](t, err)
	}
	err = tag(arn, map[string]string{"belfry:MaxAge": "soon"})
	checkError(t, err, http.StatusBadRequest, "BadRequestException",
		`invalid tag belfry:MaxAge: must be a duration from 10s to 8760h0m0s, such as 30m, or "never": "soon"`)
	twice := []types.Tag{{Key: aws.String("k"), Value: aws.String("1")}, {Key: aws.String("k"), Value: aws.String("2")}}
	_, err = c.meetings.TagResource(ctx, &chimesdkmeetings.TagResourceInput{ResourceARN: aws.String(arn), Tags: twice})
	checkError(t, err, http.StatusBadRequest, "BadRequestException", `Tags has the key "k" twice`)
	in = meetingInput()
	in.Tags = meetingTags(map[string]string{"belfry:EmptyTimeout": "five minutes"})
	_, err = c.meetings.CreateMeeting(ctx, in)
	checkError(t, err, http.StatusBadRequest, "BadRequestException", "invalid tag belfry:EmptyTimeout")
}

func TestPipelineTags(t *testing.T) {
	_, c := start(t)
	ctx := t.Context()
	in := connectorInput(aws.ToString(c.newMeeting(t).MeetingArn))
	in.Tags = []pipelinetypes.Tag{{Key: aws.String("k ?&=/ä"), Value: aws.String("")}}
	created, err := c.pipelines.CreateMediaLiveConnectorPipeline(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	arn := aws.ToString(created.MediaLiveConnectorPipeline.MediaPipelineArn)
	tag := func(arn, key, value string) error {
		_, err := c.pipelines.TagResource(ctx, &chimesdkmediapipelines.TagResourceInput{
			ResourceARN: aws.String(arn), Tags: []pipelinetypes.Tag{{Key: aws.String(key), Value: aws.String(value)}},
		})
		return err
	}
	list := func(arn string) (string, error) {
		out, err := c.pipelines.ListTagsForResource(ctx, &chimesdkmediapipelines.ListTagsForResourceInput{ResourceARN: aws.String(arn)})
		if err != nil {
			return "", err
		}
		var all []string
		for _, tag := range out.Tags {
			all = append(all, aws.ToString(tag.Key)+" -> "+aws.ToString(tag.Value))
		}
		return strings.Join(all, "; "), nil
	}
	regionless := strings.Replace(arn, ":us-east-1:", "::", 1)
	if err := tag(regionless, "日本", "x"); err != nil {
		t.Errorf("got %v, want no error", err)
	}
	if got, err := list(arn); err != nil || got != "k ?&=/ä -> ; 日本 -> x" {
		t.Errorf("got %q, %v, want both tags", got, err)
	}
	_, err = c.pipelines.UntagResource(ctx, &chimesdkmediapipelines.UntagResourceInput{ResourceARN: aws.String(arn), TagKeys: []string{"k ?&=/ä", "unknown"}})
	if err != nil {
		t.Errorf("got %v, want no error", err)
	}
	if got, err := list(regionless); err != nil || got != "日本 -> x" {
		t.Errorf("got %q, %v, want the other tag", got, err)
	}
	for _, missing := range []string{
		"arn:aws:chime:us-east-1:123456789012:media-pipeline/" + uuid.NewString(),
		strings.Replace(arn, "us-east-1", "eu-west-1", 1),
		strings.Replace(arn, "123456789012", "999999999999", 1),
		"arn:aws:chime:us-east-1:123456789012:media-insights-pipeline-configuration/name",
	} {
		_, err := list(missing)
		as[*pipelinetypes.NotFoundException](t, err)
		checkError(t, tag(missing, "a", "b"), http.StatusNotFound, "NotFoundException", "media pipeline not found")
	}
}
