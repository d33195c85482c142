package api_test

import (
	"crypto/elliptic"
	"fmt"
	"maps"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
	"github.com/aws/aws-sdk-go-v2/service/ivs/types"
)

func TestTagsOfChannelsAndWhatBelongsToThem(t *testing.T) {
	_, c := start(t)
	ctx := t.Context()
	ch, key := c.newChannel(t, &ivs.CreateChannelInput{})
	policy, err := c.channels.CreatePlaybackRestrictionPolicy(ctx, &ivs.CreatePlaybackRestrictionPolicyInput{})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := c.channels.ImportPlaybackKeyPair(ctx, &ivs.ImportPlaybackKeyPairInput{PublicKeyMaterial: publicKey(t, elliptic.P384())})
	if err != nil {
		t.Fatal(err)
	}
	list := func(arn *string) map[string]string {
		t.Helper()
		out, err := c.channels.ListTagsForResource(ctx, &ivs.ListTagsForResourceInput{ResourceArn: arn})
		if err != nil {
			t.Fatal(err)
		}
		return out.Tags
	}
	for _, arn := range []*string{ch.Arn, key.Arn, policy.PlaybackRestrictionPolicy.Arn, pair.KeyPair.Arn} {
		if got := list(arn); len(got) != 0 {
			t.Errorf("%s: got tags %v, want none", *arn, got)
		}
		want := map[string]string{"größe und weite": "", "a b": "c/d:e=f+g-h@i_j.k", "日本": "語"}
		if _, err := c.channels.TagResource(ctx, &ivs.TagResourceInput{ResourceArn: arn, Tags: want}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.channels.TagResource(ctx, &ivs.TagResourceInput{ResourceArn: arn, Tags: map[string]string{"a b": "z", "n": "1"}}); err != nil {
			t.Fatal(err)
		}
		want["a b"], want["n"] = "z", "1"
		if got := list(arn); !maps.Equal(got, want) {
			t.Errorf("%s: got tags %v, want %v", *arn, got, want)
		}
		if _, err := c.channels.UntagResource(ctx, &ivs.UntagResourceInput{ResourceArn: arn, TagKeys: []string{"日本", "a b", "not there"}}); err != nil {
			t.Fatal(err)
		}
		delete(want, "日本")
		delete(want, "a b")
		if got := list(arn); !maps.Equal(got, want) {
			t.Errorf("%s without two: got tags %v, want %v", *arn, got, want)
		}
	}
	got, err := c.channels.GetChannel(ctx, &ivs.GetChannelInput{Arn: ch.Arn})
	if err != nil || got.Channel.Tags["n"] != "1" {
		t.Errorf("GetChannel: got tags %v, %v, want those of the resource", got.Channel.Tags, err)
	}
}

func TestTagRefusals(t *testing.T) {
	_, c := start(t)
	ctx := t.Context()
	ch, _ := c.newChannel(t, &ivs.CreateChannelInput{Tags: map[string]string{"a": "b"}})
	many := map[string]string{}
	for i := range 50 {
		many[fmt.Sprint(i)] = ""
	}
	tag := func(arn *string, tags map[string]string) error {
		return second(c.channels.TagResource(ctx, &ivs.TagResourceInput{ResourceArn: arn, Tags: tags}))
	}
	checkError(t, tag(ch.Arn, many), http.StatusBadRequest, "ValidationException", "the resource would have 51 tags, limit 50")
	checkError(t, tag(ch.Arn, map[string]string{"a&b": ""}), http.StatusBadRequest, "ValidationException", "a key of tags must be letters")
	checkError(t, tag(aws.String("channel"), map[string]string{}), http.StatusBadRequest, "ValidationException", "resourceArn must be")
	for _, unknown := range []string{
		"arn:aws:ivs:us-east-1:123456789012:channel/abcdefghijkl", "arn:aws:ivs:us-east-1:123456789012:stream-key/abcdefghijkl",
		"arn:aws:ivs:us-east-1:123456789012:playback-key/abcdefghijkl", "arn:aws:ivs:us-east-1:123456789012:playback-restriction-policy/abcdefghijkl",
		"arn:aws:ivs:us-east-1:123456789012:recording-configuration/abcdefghijkl", "arn:aws:ivs:us-east-1:123456789012:ad-configuration/abcdefghijkl",
		"arn:aws:ivs:us-east-1:123456789012:stage/abcdefghijkl", "arn:aws:ivs:eu-west-1:123456789012" + aws.ToString(ch.Arn)[len("arn:aws:ivs:us-east-1:123456789012"):],
		"arn:aws:ivs:us-east-1:999999999999" + aws.ToString(ch.Arn)[len("arn:aws:ivs:us-east-1:123456789012"):],
	} {
		arn := aws.String(unknown)
		for name, err := range map[string]error{
			"list":  second(c.channels.ListTagsForResource(ctx, &ivs.ListTagsForResourceInput{ResourceArn: arn})),
			"tag":   tag(arn, map[string]string{"a": "b"}),
			"untag": second(c.channels.UntagResource(ctx, &ivs.UntagResourceInput{ResourceArn: arn, TagKeys: []string{"a"}})),
		} {
			t.Run(name+" "+unknown, func(t *testing.T) {
				as[*types.ResourceNotFoundException](t, err)
				checkError(t, err, http.StatusNotFound, "ResourceNotFoundException", "not found")
			})
		}
	}
}
