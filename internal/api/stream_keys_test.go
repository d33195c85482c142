package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
	"github.com/aws/aws-sdk-go-v2/service/ivs/types"

	"belfry.live/belfry/test/apiserver"
)

// A key is rotated as AWS's documentation says: deleted, then made.
func TestStreamKeyRotation(t *testing.T) {
	s, c := start(t)
	ctx := t.Context()
	ch, key, p := c.live(t, s, &ivs.CreateChannelInput{})
	_, err := c.channels.CreateStreamKey(ctx, &ivs.CreateStreamKeyInput{ChannelArn: ch.Arn})
	as[*types.ServiceQuotaExceededException](t, err)
	checkError(t, err, http.StatusPaymentRequired, "ServiceQuotaExceededException", "1")
	if _, err := c.channels.DeleteStreamKey(ctx, &ivs.DeleteStreamKeyInput{Arn: key.Arn}); err != nil {
		t.Fatal(err)
	}
	if out, err := c.channels.GetStream(ctx, &ivs.GetStreamInput{ChannelArn: ch.Arn}); err != nil {
		t.Errorf("the stream of a deleted key: got %+v, %v, want it to go on", out, err)
	}
	p.stop()
	made, err := c.channels.CreateStreamKey(ctx, &ivs.CreateStreamKeyInput{ChannelArn: ch.Arn, Tags: map[string]string{"Größe": "a+b =:/@"}})
	if err != nil || aws.ToString(made.StreamKey.Value) == aws.ToString(key.Value) || made.StreamKey.Tags["Größe"] != "a+b =:/@" {
		t.Fatalf("got %+v, %v, want another key with the tag", made, err)
	}
	got, err := c.channels.GetStreamKey(ctx, &ivs.GetStreamKeyInput{Arn: made.StreamKey.Arn})
	if err != nil || aws.ToString(got.StreamKey.Value) != aws.ToString(made.StreamKey.Value) {
		t.Errorf("GetStreamKey: got %v, want the new key", err)
	}
	for name, err := range map[string]error{
		"get":    second(c.channels.GetStreamKey(ctx, &ivs.GetStreamKeyInput{Arn: key.Arn})),
		"delete": second(c.channels.DeleteStreamKey(ctx, &ivs.DeleteStreamKeyInput{Arn: key.Arn})),
		"create": second(c.channels.CreateStreamKey(ctx, &ivs.CreateStreamKeyInput{ChannelArn: aws.String("arn:aws:ivs:us-east-1:123456789012:channel/abcdefghijkl")})),
	} {
		t.Run(name, func(t *testing.T) { checkError(t, err, http.StatusNotFound, "ResourceNotFoundException", "not found") })
	}
}

func second[T any](_ T, err error) error { return err }

// Several keys are our own; their list has AWS's pages of one.
func TestSeveralStreamKeys(t *testing.T) {
	s := apiserver.Start(t, apiserver.Config{StreamKeys: 3})
	c := newClients(s.AWS())
	ctx := t.Context()
	ch, key := c.newChannel(t, &ivs.CreateChannelInput{})
	want := map[string]string{aws.ToString(key.Arn): aws.ToString(key.Value)}
	for range 2 {
		made, err := c.channels.CreateStreamKey(ctx, &ivs.CreateStreamKeyInput{ChannelArn: ch.Arn})
		if err != nil {
			t.Fatal(err)
		}
		want[aws.ToString(made.StreamKey.Arn)] = aws.ToString(made.StreamKey.Value)
	}
	_, err := c.channels.CreateStreamKey(ctx, &ivs.CreateStreamKeyInput{ChannelArn: ch.Arn})
	checkError(t, err, http.StatusPaymentRequired, "ServiceQuotaExceededException", "3")
	var arns []string
	pages := 0
	for pager := ivs.NewListStreamKeysPaginator(c.channels, &ivs.ListStreamKeysInput{ChannelArn: ch.Arn}); pager.HasMorePages(); pages++ {
		page, err := pager.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range page.StreamKeys {
			arns = append(arns, aws.ToString(k.Arn))
		}
	}
	if pages != 3 || len(arns) != 3 {
		t.Errorf("got %d keys on %d pages, want 3 on 3", len(arns), pages)
	}
	unknown := "arn:aws:ivs:us-east-1:123456789012:stream-key/abcdefghijkl"
	out, err := c.channels.BatchGetStreamKey(ctx, &ivs.BatchGetStreamKeyInput{Arns: append(arns, unknown)})
	if err != nil || len(out.StreamKeys) != 3 || len(out.Errors) != 1 || aws.ToString(out.Errors[0].Arn) != unknown {
		t.Fatalf("got %+v, %v, want three keys and an error", out, err)
	}
	for _, k := range out.StreamKeys {
		if want[aws.ToString(k.Arn)] != aws.ToString(k.Value) {
			t.Errorf("key %s has another value than it was made with", aws.ToString(k.Arn))
		}
	}
}

// A key ends when its tag says so.
func TestStreamKeyThatExpires(t *testing.T) {
	_, c := start(t)
	ctx := t.Context()
	ch, key := c.newChannel(t, &ivs.CreateChannelInput{})
	_, err := c.channels.TagResource(ctx, &ivs.TagResourceInput{ResourceArn: key.Arn, Tags: map[string]string{"belfry:expires": "tomorrow"}})
	checkError(t, err, http.StatusBadRequest, "ValidationException", `tags.belfry:expires: must be a time like 2006-01-02T15:04:05Z: "tomorrow"`)
	if _, err := c.channels.DeleteStreamKey(ctx, &ivs.DeleteStreamKeyInput{Arn: key.Arn}); err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	made, err := c.channels.CreateStreamKey(ctx, &ivs.CreateStreamKeyInput{ChannelArn: ch.Arn, Tags: map[string]string{"belfry:expires": end}})
	if err != nil || made.StreamKey.Tags["belfry:expires"] != end {
		t.Errorf("got %+v, %v, want the end kept", made, err)
	}
}
