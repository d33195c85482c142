package api_test

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmediapipelines"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
	"github.com/aws/aws-sdk-go-v2/service/ivs/types"

	"belfry.live/belfry/test/apiserver"
)

func TestChannels(t *testing.T) {
	s, c := start(t)
	ctx := t.Context()
	created, err := c.channels.CreateChannel(ctx, &ivs.CreateChannelInput{
		Name: aws.String("town-hall_1"), LatencyMode: types.ChannelLatencyModeNormalLatency,
		Type: types.ChannelTypeAdvancedHDChannelType, InsecureIngest: true, ContainerFormat: types.ContainerFormatFragmentedMP4,
		RecordingConfigurationArn: aws.String(""), Tags: map[string]string{"größe": "a b@c"},
	})
	if err != nil {
		t.Fatal(err)
	}
	ch, key := created.Channel, created.StreamKey
	arn := aws.ToString(ch.Arn)
	m := regexp.MustCompile(`^arn:aws:ivs:us-east-1:123456789012:channel/([A-Za-z0-9]{12})$`).FindStringSubmatch(arn)
	if m == nil {
		t.Fatalf("got ARN %q, want a channel's", arn)
	}
	for what, got := range map[string][2]string{
		"name":            {aws.ToString(ch.Name), "town-hall_1"},
		"latencyMode":     {string(ch.LatencyMode), "NORMAL"},
		"type":            {string(ch.Type), "ADVANCED_HD"},
		"preset":          {string(ch.Preset), "HIGHER_BANDWIDTH_DELIVERY"},
		"containerFormat": {string(ch.ContainerFormat), "FRAGMENTED_MP4"},
		"ingestEndpoint":  {aws.ToString(ch.IngestEndpoint), apiserver.IngestEndpoint},
		"playbackUrl":     {aws.ToString(ch.PlaybackUrl), s.URL + "/api/video/v1/us-east-1.123456789012.channel." + m[1] + ".m3u8"},
		"tag":             {ch.Tags["größe"], "a b@c"},
		"channelArn":      {aws.ToString(key.ChannelArn), arn},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: got %q, want %q", what, got[0], got[1])
		}
	}
	if !ch.InsecureIngest || ch.Authorized || ch.MultitrackInputConfiguration == nil || ch.MultitrackInputConfiguration.Enabled {
		t.Errorf("got %+v, want insecure ingest, no authorization, no multitrack", ch)
	}
	if !regexp.MustCompile(`^sk_us-east-1_[A-Za-z0-9]{12}_[A-Za-z0-9]{30,}$`).MatchString(aws.ToString(key.Value)) {
		t.Error("got a stream key of another form than sk_us-east-1_…")
	}

	got, err := c.channels.GetChannel(ctx, &ivs.GetChannelInput{Arn: ch.Arn})
	if err != nil || aws.ToString(got.Channel.PlaybackUrl) != aws.ToString(ch.PlaybackUrl) {
		t.Errorf("GetChannel: got %v (%v), want the channel as it was made", got, err)
	}
	gotKey, err := c.channels.GetStreamKey(ctx, &ivs.GetStreamKeyInput{Arn: key.Arn})
	if err != nil || aws.ToString(gotKey.StreamKey.Value) != aws.ToString(key.Value) || aws.ToString(gotKey.StreamKey.ChannelArn) != arn {
		t.Errorf("GetStreamKey: got %v, want the key as it was made", err)
	}
	keys, err := c.channels.ListStreamKeys(ctx, &ivs.ListStreamKeysInput{ChannelArn: ch.Arn})
	if err != nil || len(keys.StreamKeys) != 1 || aws.ToString(keys.StreamKeys[0].Arn) != aws.ToString(key.Arn) || keys.NextToken != nil {
		t.Errorf("ListStreamKeys: got %v (%v), want the one key", keys, err)
	}

	_, err = c.channels.GetStream(ctx, &ivs.GetStreamInput{ChannelArn: ch.Arn})
	as[*types.ChannelNotBroadcasting](t, err)
	checkError(t, err, http.StatusNotFound, "ChannelNotBroadcasting", "not broadcasting")
	_, err = c.channels.StopStream(ctx, &ivs.StopStreamInput{ChannelArn: ch.Arn})
	checkError(t, err, http.StatusNotFound, "ChannelNotBroadcasting", "not broadcasting")

	if _, err := c.channels.DeleteChannel(ctx, &ivs.DeleteChannelInput{Arn: ch.Arn}); err != nil {
		t.Fatal(err)
	}
	_, err = c.channels.GetChannel(ctx, &ivs.GetChannelInput{Arn: ch.Arn})
	as[*types.ResourceNotFoundException](t, err)
	checkError(t, err, http.StatusNotFound, "ResourceNotFoundException", arn)
	_, err = c.channels.DeleteChannel(ctx, &ivs.DeleteChannelInput{Arn: ch.Arn})
	checkError(t, err, http.StatusNotFound, "ResourceNotFoundException", arn)
	_, err = c.channels.GetStreamKey(ctx, &ivs.GetStreamKeyInput{Arn: key.Arn})
	checkError(t, err, http.StatusNotFound, "ResourceNotFoundException", "stream key")
	_, err = c.channels.ListStreamKeys(ctx, &ivs.ListStreamKeysInput{ChannelArn: ch.Arn})
	checkError(t, err, http.StatusNotFound, "ResourceNotFoundException", arn)
	_, err = c.channels.GetStream(ctx, &ivs.GetStreamInput{ChannelArn: ch.Arn})
	checkError(t, err, http.StatusNotFound, "ResourceNotFoundException", arn)
	_, err = c.channels.StopStream(ctx, &ivs.StopStreamInput{ChannelArn: ch.Arn})
	checkError(t, err, http.StatusNotFound, "ResourceNotFoundException", arn)
}

// A channel that nobody wished anything for has AWS's defaults, and no nulls.
func TestPlainChannel(t *testing.T) {
	s, c := start(t)
	created, err := c.channels.CreateChannel(t.Context(), &ivs.CreateChannelInput{})
	if err != nil {
		t.Fatal(err)
	}
	ch := created.Channel
	if ch.LatencyMode != "LOW" || ch.Type != "STANDARD" || ch.Preset != "" || ch.ContainerFormat != "TS" || ch.InsecureIngest || ch.Authorized {
		t.Errorf("got %+v, want LOW, STANDARD, TS and nothing else", ch)
	}
	_, body := send(t, s, "ivs", http.MethodPost, "/GetChannel", `{"arn":"`+aws.ToString(ch.Arn)+`"}`, nil)
	for _, want := range []string{
		`"name":""`, `"preset":""`, `"recordingConfigurationArn":""`, `"playbackRestrictionPolicyArn":""`, `"tags":{}`,
		`"multitrackInputConfiguration":{"enabled":false,"policy":"ALLOW","maximumResolution":"FULL_HD"}`, `"srt":{"endpoint":"","passphrase":""}`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("got %s, want it to hold %s", body, want)
		}
	}
}

func TestChannelLists(t *testing.T) {
	_, c := start(t)
	ctx := t.Context()
	var want []string
	for _, name := range []string{"a", "b", "a"} {
		out, err := c.channels.CreateChannel(ctx, &ivs.CreateChannelInput{Name: aws.String(name)})
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, aws.ToString(out.Channel.Arn))
	}
	list := func(in *ivs.ListChannelsInput) (arns []string, pages int) {
		for pager := ivs.NewListChannelsPaginator(c.channels, in); pager.HasMorePages(); pages++ {
			page, err := pager.NextPage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, ch := range page.Channels {
				arns = append(arns, aws.ToString(ch.Arn))
			}
		}
		slices.Sort(arns)
		return arns, pages
	}
	all := slices.Sorted(slices.Values(want))
	if got, pages := list(&ivs.ListChannelsInput{MaxResults: aws.Int32(2)}); !slices.Equal(got, all) || pages != 2 {
		t.Errorf("got %q on %d pages, want %q on 2", got, pages, all)
	}
	if got, _ := list(&ivs.ListChannelsInput{FilterByName: aws.String("a")}); !slices.Equal(got, slices.Sorted(slices.Values([]string{want[0], want[2]}))) {
		t.Errorf("named a: got %q, want the first and the third of %q", got, want)
	}
	recording := aws.String("arn:aws:ivs:us-east-1:123456789012:recording-configuration/abcdefghijkl")
	if got, _ := list(&ivs.ListChannelsInput{FilterByRecordingConfigurationArn: recording}); len(got) != 0 {
		t.Errorf("by recording configuration: got %q, want none", got)
	}
	_, err := c.channels.ListChannels(ctx, &ivs.ListChannelsInput{FilterByName: aws.String("a"), FilterByRecordingConfigurationArn: recording})
	as[*types.ConflictException](t, err)
	_, err = c.channels.ListChannels(ctx, &ivs.ListChannelsInput{NextToken: aws.String("eA==")})
	checkError(t, err, http.StatusBadRequest, "ValidationException", `gave out this token: "eA=="`)
}

func TestChannelRefusals(t *testing.T) {
	_, c := start(t)
	for _, v := range []struct {
		name   string
		in     ivs.CreateChannelInput
		status int
		code   string
		says   string
	}{
		{"name with a blank", ivs.CreateChannelInput{Name: aws.String("a b")}, 400, "ValidationException", `name must be letters, digits, - and _: "a b"`},
		{"long name", ivs.CreateChannelInput{Name: aws.String(strings.Repeat("x", 129))}, 400, "ValidationException", "name must have 0 to 128 characters, got 129"},
		{"latency", ivs.CreateChannelInput{LatencyMode: "ULTRA"}, 400, "ValidationException", "latencyMode must be NORMAL or LOW"},
		{"preset of a plain channel", ivs.CreateChannelInput{Preset: "CONSTRAINED_BANDWIDTH_DELIVERY"}, 400, "ValidationException", "preset is for channels of an ADVANCED type"},
		{"tag value", ivs.CreateChannelInput{Tags: map[string]string{"k": "a;b"}}, 400, "ValidationException", "tags.k must be letters, digits, blanks and"},
		{
			"recording",
			ivs.CreateChannelInput{RecordingConfigurationArn: aws.String("arn:aws:ivs:us-east-1:123456789012:recording-configuration/abcdefghijkl")},
			404, "ResourceNotFoundException", "recordingConfigurationArn: no such resource",
		},
		{"ARN of another kind", ivs.CreateChannelInput{RecordingConfigurationArn: aws.String("arn:aws:ivs:us-east-1:123456789012:channel/abcdefghijkl")}, 400, "ValidationException", "recordingConfigurationArn must be"},
	} {
		t.Run(v.name, func(t *testing.T) {
			_, err := c.channels.CreateChannel(t.Context(), &v.in)
			checkError(t, err, v.status, v.code, v.says)
		})
	}
	for _, arn := range []string{
		"arn:aws:ivs:us-east-1:123456789012:channel/abcdefghijkl",
		"arn:aws:ivs:eu-west-1:123456789012:channel/abcdefghijkl", // another region
		"arn:aws:ivs:us-east-1:999999999999:channel/abcdefghijkl", // another account
	} {
		_, err := c.channels.GetChannel(t.Context(), &ivs.GetChannelInput{Arn: aws.String(arn)})
		checkError(t, err, http.StatusNotFound, "ResourceNotFoundException", arn)
	}
	_, err := c.channels.GetChannel(t.Context(), &ivs.GetChannelInput{Arn: aws.String("abcdefghijkl")})
	checkError(t, err, http.StatusBadRequest, "ValidationException", "arn must be a channel's ARN")
	_, err = c.channels.GetStreamKey(t.Context(), &ivs.GetStreamKeyInput{Arn: aws.String("arn:aws:ivs:us-east-1:123456789012:channel/abcdefghijkl")})
	checkError(t, err, http.StatusBadRequest, "ValidationException", "arn must be a stream-key's ARN")
}

// TestStream is the acceptance flow of existing applications: a channel, its
// ingest URL as they build it, a live connector, the live stream, and the end.
func TestStream(t *testing.T) {
	_, c := start(t)
	ctx := t.Context()
	created, err := c.channels.CreateChannel(ctx, &ivs.CreateChannelInput{LatencyMode: types.ChannelLatencyModeNormalLatency})
	if err != nil {
		t.Fatal(err)
	}
	ch := created.Channel
	in := connectorInput("arn:aws:chime::123456789012:meeting:" + aws.ToString(c.newMeeting(t).MeetingId))
	in.Sinks[0].RTMPConfiguration.Url = aws.String("rtmps://" + aws.ToString(ch.IngestEndpoint) + ":443/app/" + aws.ToString(created.StreamKey.Value))
	p, err := c.pipelines.CreateMediaLiveConnectorPipeline(ctx, in)
	if err != nil {
		t.Fatal(err)
	}

	var stream *types.Stream
	until(t, "the stream is live", func() bool {
		out, err := c.channels.GetStream(ctx, &ivs.GetStreamInput{ChannelArn: ch.Arn})
		if err == nil {
			stream = out.Stream
		}
		return err == nil
	})
	if stream.State != types.StreamStateStreamLive || aws.ToString(stream.PlaybackUrl) != aws.ToString(ch.PlaybackUrl) ||
		aws.ToString(stream.ChannelArn) != aws.ToString(ch.Arn) || stream.StartTime == nil ||
		!regexp.MustCompile(`^st-[A-Za-z0-9]{23}$`).MatchString(aws.ToString(stream.StreamId)) {
		t.Errorf("got %+v, want a live stream of the channel", stream)
	}
	_, err = c.channels.DeleteChannel(ctx, &ivs.DeleteChannelInput{Arn: ch.Arn})
	as[*types.ConflictException](t, err)
	checkError(t, err, http.StatusConflict, "ConflictException", "live")

	if _, err := c.channels.StopStream(ctx, &ivs.StopStreamInput{ChannelArn: ch.Arn}); err != nil {
		t.Errorf("StopStream: got %v, want the publisher to be cut", err)
	}
	if _, err := c.pipelines.DeleteMediaPipeline(ctx, &chimesdkmediapipelines.DeleteMediaPipelineInput{
		MediaPipelineId: p.MediaLiveConnectorPipeline.MediaPipelineId,
	}); err != nil {
		t.Fatal(err)
	}
	ended := time.Now()
	until(t, "the channel can be deleted", func() bool {
		_, err = c.channels.DeleteChannel(ctx, &ivs.DeleteChannelInput{Arn: ch.Arn})
		return err == nil
	})
	if took := time.Since(ended); took > 3*time.Second {
		t.Errorf("the channel could be deleted %v after the pipeline, want 3 s at most", took)
	}
}

// until waits for something to happen that takes a while.
func until(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !happened(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 30 s in vain: %s", what)
		}
	}
}
