package api_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
	"github.com/aws/aws-sdk-go-v2/service/ivs/types"
)

func TestUpdateChannel(t *testing.T) {
	s, c := start(t)
	ctx := t.Context()
	policy, err := c.channels.CreatePlaybackRestrictionPolicy(ctx, &ivs.CreatePlaybackRestrictionPolicyInput{AllowedOrigins: []string{"https://example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	policyARN := policy.PlaybackRestrictionPolicy.Arn
	ch, key := c.newChannel(t, &ivs.CreateChannelInput{
		Name: aws.String("a"), PlaybackRestrictionPolicyArn: policyARN, Authorized: true, Tags: map[string]string{"k": "v"},
	})
	if !ch.Authorized || aws.ToString(ch.PlaybackRestrictionPolicyArn) != aws.ToString(policyARN) {
		t.Errorf("got %+v, want a private channel with the policy", ch)
	}
	update := func(in ivs.UpdateChannelInput) (*types.Channel, error) {
		in.Arn = ch.Arn
		out, err := c.channels.UpdateChannel(ctx, &in)
		if err != nil {
			return &types.Channel{}, err
		}
		return out.Channel, nil
	}

	// What is absent stays; "" clears.
	got, err := update(ivs.UpdateChannelInput{Name: aws.String("b")})
	if err != nil || aws.ToString(got.Name) != "b" || !got.Authorized || got.Tags["k"] != "v" || aws.ToString(got.PlaybackRestrictionPolicyArn) != aws.ToString(policyARN) {
		t.Errorf("name alone: got %+v, %v, want nothing else changed", got, err)
	}
	got, err = update(ivs.UpdateChannelInput{PlaybackRestrictionPolicyArn: aws.String(""), Name: aws.String("")})
	if err != nil || aws.ToString(got.Name) != "" || !got.Authorized || aws.ToString(got.PlaybackRestrictionPolicyArn) != "" {
		t.Errorf("cleared: got %+v, %v, want no name and no policy", got, err)
	}
	// The Go client cannot send false.
	if res, body := send(t, s, "ivs", http.MethodPost, "/UpdateChannel", `{"arn":"`+aws.ToString(ch.Arn)+`","authorized":false}`, nil); res.StatusCode != http.StatusOK || !strings.Contains(body, `"authorized":false`) {
		t.Errorf("public again: got %d %s, want it changed", res.StatusCode, body)
	}

	// The preset follows the type.
	for _, step := range []struct {
		in     ivs.UpdateChannelInput
		preset types.TranscodePreset
	}{
		{ivs.UpdateChannelInput{Type: types.ChannelTypeAdvancedSDChannelType}, types.TranscodePresetHigherBandwidthTranscodePreset},
		{ivs.UpdateChannelInput{Preset: types.TranscodePresetConstrainedBandwidthTranscodePreset}, types.TranscodePresetConstrainedBandwidthTranscodePreset},
		{ivs.UpdateChannelInput{Type: types.ChannelTypeAdvancedHDChannelType}, types.TranscodePresetConstrainedBandwidthTranscodePreset},
		{ivs.UpdateChannelInput{Type: types.ChannelTypeBasicChannelType}, ""},
	} {
		if got, err := update(step.in); err != nil || got.Preset != step.preset {
			t.Errorf("%+v: got preset %q, %v, want %q", step.in, got.Preset, err, step.preset)
		}
	}
	got, err = update(ivs.UpdateChannelInput{LatencyMode: "NORMAL", ContainerFormat: "FRAGMENTED_MP4", InsecureIngest: true, Type: "STANDARD"})
	if err != nil || got.LatencyMode != "NORMAL" || got.ContainerFormat != "FRAGMENTED_MP4" || !got.InsecureIngest || got.Type != "STANDARD" {
		t.Errorf("media: got %+v, %v, want all of it changed", got, err)
	}
	again, err := c.channels.GetChannel(ctx, &ivs.GetChannelInput{Arn: ch.Arn})
	if err != nil || again.Channel.LatencyMode != "NORMAL" {
		t.Errorf("GetChannel: got %+v, %v, want it as changed", again, err)
	}

	multitrack := func(enabled bool, policy types.MultitrackPolicy, size types.MultitrackMaximumResolution) *types.MultitrackInputConfiguration {
		return &types.MultitrackInputConfiguration{Enabled: enabled, Policy: policy, MaximumResolution: size}
	}
	unknown := func(kind string) *string {
		return aws.String("arn:aws:ivs:us-east-1:123456789012:" + kind + "/abcdefghijkl")
	}
	for _, c := range []struct {
		name   string
		in     ivs.UpdateChannelInput
		status int
		code   string
		says   string
	}{
		{"preset of a plain channel", ivs.UpdateChannelInput{Preset: types.TranscodePresetHigherBandwidthTranscodePreset}, 400, "ValidationException", "preset is for channels of an ADVANCED type"},
		{"multitrack of a basic channel", ivs.UpdateChannelInput{Type: "BASIC", MultitrackInputConfiguration: multitrack(true, "ALLOW", "HD")}, 400, "ValidationException", "enabled is for channels of type STANDARD"},
		{"multitrack without policy", ivs.UpdateChannelInput{MultitrackInputConfiguration: multitrack(true, "", "HD")}, 400, "ValidationException", "policy is required"},
		{"multitrack without resolution", ivs.UpdateChannelInput{MultitrackInputConfiguration: multitrack(true, "REQUIRE", "")}, 400, "ValidationException", "maximumResolution is required"},
		{"multitrack in TS", ivs.UpdateChannelInput{ContainerFormat: "TS", MultitrackInputConfiguration: multitrack(true, "REQUIRE", "HD")}, 400, "ValidationException", "containerFormat must be FRAGMENTED_MP4"},
		{"multitrack", ivs.UpdateChannelInput{MultitrackInputConfiguration: multitrack(true, "REQUIRE", "HD")}, 400, "ValidationException", "not available on this server"},
		{"unknown policy", ivs.UpdateChannelInput{PlaybackRestrictionPolicyArn: unknown("playback-restriction-policy")}, 404, "ResourceNotFoundException", "playbackRestrictionPolicyArn: no such resource"},
		{"unknown recording", ivs.UpdateChannelInput{RecordingConfigurationArn: unknown("recording-configuration")}, 404, "ResourceNotFoundException", "recordingConfigurationArn: no such resource"},
		{"advertisements", ivs.UpdateChannelInput{AdConfigurationArn: unknown("ad-configuration")}, 404, "ResourceNotFoundException", "adConfigurationArn: no such resource"},
	} {
		_, err := update(c.in)
		t.Run(c.name, func(t *testing.T) { checkError(t, err, c.status, c.code, c.says) })
	}
	_, err = c.channels.UpdateChannel(ctx, &ivs.UpdateChannelInput{Arn: unknown("channel")})
	checkError(t, err, http.StatusNotFound, "ResourceNotFoundException", "channel not found")

	// Live, only what does not concern its media.
	p := publish(t, s, key)
	c.waitLive(t, ch)
	_, err = update(ivs.UpdateChannelInput{LatencyMode: "LOW"})
	as[*types.ConflictException](t, err)
	checkError(t, err, http.StatusConflict, "ConflictException", "live")
	got, err = update(ivs.UpdateChannelInput{Name: aws.String("c"), Authorized: true, LatencyMode: "NORMAL", PlaybackRestrictionPolicyArn: policyARN})
	if err != nil || aws.ToString(got.Name) != "c" || !got.Authorized {
		t.Errorf("live: got %+v, %v, want name, authorized and policy changed", got, err)
	}
	p.stop()

	// A policy cannot go while a channel names it.
	_, err = c.channels.DeletePlaybackRestrictionPolicy(ctx, &ivs.DeletePlaybackRestrictionPolicyInput{Arn: policyARN})
	checkError(t, err, http.StatusConflict, "ConflictException", "names")
}

func TestChannelFilters(t *testing.T) {
	_, c := start(t)
	ctx := t.Context()
	var policies []*string
	for range 2 {
		out, err := c.channels.CreatePlaybackRestrictionPolicy(ctx, &ivs.CreatePlaybackRestrictionPolicyInput{})
		if err != nil {
			t.Fatal(err)
		}
		policies = append(policies, out.PlaybackRestrictionPolicy.Arn)
	}
	one, _ := c.newChannel(t, &ivs.CreateChannelInput{PlaybackRestrictionPolicyArn: policies[0]})
	c.newChannel(t, &ivs.CreateChannelInput{PlaybackRestrictionPolicyArn: policies[1]})
	c.newChannel(t, &ivs.CreateChannelInput{})
	out, err := c.channels.ListChannels(ctx, &ivs.ListChannelsInput{FilterByPlaybackRestrictionPolicyArn: policies[0]})
	if err != nil || len(out.Channels) != 1 || aws.ToString(out.Channels[0].Arn) != aws.ToString(one.Arn) {
		t.Errorf("by policy: got %+v, %v, want the one channel", out, err)
	}
	page, err := c.channels.ListChannels(ctx, &ivs.ListChannelsInput{MaxResults: aws.Int32(1)})
	if err != nil || page.NextToken == nil {
		t.Fatalf("got %+v, %v, want a token for more", page, err)
	}
	_, err = c.channels.ListChannels(ctx, &ivs.ListChannelsInput{NextToken: page.NextToken, FilterByName: aws.String("x")})
	checkError(t, err, http.StatusBadRequest, "ValidationException", "token")
}

func TestBatchGetChannel(t *testing.T) {
	_, c := start(t)
	ctx := t.Context()
	var arns []string
	for range 3 {
		ch, _ := c.newChannel(t, &ivs.CreateChannelInput{})
		arns = append(arns, aws.ToString(ch.Arn))
	}
	unknown := []string{
		"arn:aws:ivs:us-east-1:123456789012:channel/abcdefghijkl",
		"arn:aws:ivs:eu-west-1:123456789012:channel/" + arns[0][len(arns[0])-12:],
		"arn:aws:ivs:us-east-1:999999999999:channel/" + arns[0][len(arns[0])-12:],
	}
	out, err := c.channels.BatchGetChannel(ctx, &ivs.BatchGetChannelInput{Arns: append(slices.Clone(unknown), arns...)})
	if err != nil {
		t.Fatal(err)
	}
	var got, failed []string
	for _, ch := range out.Channels {
		got = append(got, aws.ToString(ch.Arn))
	}
	for _, e := range out.Errors {
		failed = append(failed, aws.ToString(e.Arn))
		if aws.ToString(e.Code) != "ResourceNotFoundException" || aws.ToString(e.Message) == "" {
			t.Errorf("got error %+v, want ResourceNotFoundException and a text", e)
		}
	}
	if !slices.Equal(got, arns) || !slices.Equal(failed, unknown) {
		t.Errorf("got %q and errors for %q, want %q and %q", got, failed, arns, unknown)
	}
	_, err = c.channels.BatchGetChannel(ctx, &ivs.BatchGetChannelInput{Arns: []string{}})
	checkError(t, err, http.StatusBadRequest, "ValidationException", "arns must have 1 to 50 items, got 0")
	_, err = c.channels.BatchGetChannel(ctx, &ivs.BatchGetChannelInput{Arns: slices.Repeat(arns[:1], 51)})
	checkError(t, err, http.StatusBadRequest, "ValidationException", "arns must have 1 to 50 items, got 51")
}
