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

func TestListStreams(t *testing.T) {
	s, c := start(t)
	ctx := t.Context()
	if out, err := c.channels.ListStreams(ctx, &ivs.ListStreamsInput{}); err != nil || len(out.Streams) != 0 {
		t.Errorf("got %+v, %v, want none", out, err)
	}
	var want []string
	for range 3 {
		ch, _, _ := c.live(t, s, &ivs.CreateChannelInput{})
		want = append(want, aws.ToString(ch.Arn))
	}
	c.newChannel(t, &ivs.CreateChannelInput{}) // not live
	var got []string
	pages := 0
	for pager := ivs.NewListStreamsPaginator(c.channels, &ivs.ListStreamsInput{MaxResults: aws.Int32(2)}); pager.HasMorePages(); pages++ {
		page, err := pager.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, stream := range page.Streams {
			got = append(got, aws.ToString(stream.ChannelArn))
			if stream.State != types.StreamStateStreamLive || stream.StartTime == nil || !strings.HasPrefix(aws.ToString(stream.StreamId), "st-") {
				t.Errorf("got %+v, want a live stream", stream)
			}
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) || pages != 2 {
		t.Errorf("got %q on %d pages, want %q on 2", got, pages, want)
	}
	out, err := c.channels.ListStreams(ctx, &ivs.ListStreamsInput{FilterBy: &types.StreamFilters{Health: types.StreamHealthUnknown}})
	if err != nil || len(out.Streams) != 0 {
		t.Errorf("of unknown health: got %+v, %v, want none", out, err)
	}
	_, err = c.channels.ListStreams(ctx, &ivs.ListStreamsInput{FilterBy: &types.StreamFilters{Health: "WELL"}})
	checkError(t, err, http.StatusBadRequest, "ValidationException", "filterBy.health must be")
}

func TestStreamSessions(t *testing.T) {
	s, c := start(t)
	ctx := t.Context()
	ch, key, p := c.live(t, s, &ivs.CreateChannelInput{Name: aws.String("tower"), Tags: map[string]string{"a": "b"}})
	stream, err := c.channels.GetStream(ctx, &ivs.GetStreamInput{ChannelArn: ch.Arn})
	if err != nil {
		t.Fatal(err)
	}
	id := stream.Stream.StreamId
	var session *types.StreamSession
	until(t, "the session has started", func() bool {
		out, err := c.channels.GetStreamSession(ctx, &ivs.GetStreamSessionInput{ChannelArn: ch.Arn})
		if err != nil {
			return false
		}
		session = out.StreamSession
		return len(session.TruncatedEvents) == 2
	})
	if aws.ToString(session.StreamId) != aws.ToString(id) || session.EndTime != nil || !session.StartTime.Equal(stream.Stream.StartTime.Truncate(1e6)) {
		t.Errorf("got session %+v, want that of %+v", session, stream.Stream)
	}
	if aws.ToString(session.Channel.Name) != "tower" || session.Channel.Tags["a"] != "b" || aws.ToString(session.Channel.Arn) != aws.ToString(ch.Arn) {
		t.Errorf("got channel %+v, want it as it is", session.Channel)
	}
	video, audio := session.IngestConfigurations.VideoConfigurations, session.IngestConfigurations.AudioConfigurations
	if len(video) != 1 || video[0].VideoWidth != 320 || video[0].VideoHeight != 180 || aws.ToString(video[0].Codec) != "avc1.42C00C" ||
		aws.ToString(video[0].Encoder) != "obs 30" || video[0].TargetBitrate != 800_000 || video[0].TargetFramerate != 25 ||
		aws.ToString(video[0].Profile) != "Baseline" || aws.ToString(video[0].Level) != "1.2" {
		t.Errorf("got video %+v, want what the encoder said", video)
	}
	if len(audio) != 1 || audio[0].SampleRate != 48000 || audio[0].Channels != 2 || aws.ToString(audio[0].Codec) != "mp4a.40.2" || audio[0].TargetBitrate != 96_000 {
		t.Errorf("got audio %+v, want what the encoder said", audio)
	}
	if first := session.IngestConfiguration; aws.ToString(first.Video.AvcProfile) != "Baseline" || aws.ToString(first.Video.AvcLevel) != "1.2" || first.Audio.SampleRate != 48000 {
		t.Errorf("got %+v, want the same in the older form", first)
	}
	events := func(session *types.StreamSession) (names []string) {
		for _, e := range session.TruncatedEvents {
			names = append(names, aws.ToString(e.Name))
			if e.EventTime == nil || aws.ToString(e.Type) != "IVS Stream State Change" {
				t.Errorf("got event %+v, want a change of state with its time", e)
			}
		}
		return names
	}
	if got := events(session); !slices.Equal(got, []string{"Stream Start", "Session Created"}) {
		t.Errorf("got events %q, want the newest first", got)
	}

	// It ends, and another begins and ends.
	p.stop()
	publish(t, s, key).stop()
	var list *ivs.ListStreamSessionsOutput
	until(t, "both sessions have ended", func() bool {
		list, err = c.channels.ListStreamSessions(ctx, &ivs.ListStreamSessionsInput{ChannelArn: ch.Arn})
		return err == nil && len(list.StreamSessions) == 2 && list.StreamSessions[0].EndTime != nil && list.StreamSessions[1].EndTime != nil
	})
	if aws.ToString(list.StreamSessions[1].StreamId) != aws.ToString(id) || list.StreamSessions[1].HasErrorEvent {
		t.Errorf("got %+v, want the first one last and without an error", list.StreamSessions)
	}
	page, err := c.channels.ListStreamSessions(ctx, &ivs.ListStreamSessionsInput{ChannelArn: ch.Arn, MaxResults: aws.Int32(1)})
	if err != nil || len(page.StreamSessions) != 1 || page.NextToken == nil {
		t.Fatalf("got %+v, %v, want one and a token", page, err)
	}
	page, err = c.channels.ListStreamSessions(ctx, &ivs.ListStreamSessionsInput{ChannelArn: ch.Arn, MaxResults: aws.Int32(1), NextToken: page.NextToken})
	if err != nil || len(page.StreamSessions) != 1 || page.NextToken != nil || aws.ToString(page.StreamSessions[0].StreamId) != aws.ToString(id) {
		t.Errorf("second page: got %+v, %v, want the older one", page, err)
	}

	// All of it is there when the channel is not.
	if _, err := c.channels.DeleteChannel(ctx, &ivs.DeleteChannelInput{Arn: ch.Arn}); err != nil {
		t.Fatal(err)
	}
	out, err := c.channels.GetStreamSession(ctx, &ivs.GetStreamSessionInput{ChannelArn: ch.Arn, StreamId: id})
	if err != nil || aws.ToString(out.StreamSession.StreamId) != aws.ToString(id) {
		t.Fatalf("of a deleted channel: got %+v, %v, want the session", out, err)
	}
	if got := events(out.StreamSession); !slices.Equal(got, []string{"Stream End", "Session Ended", "Stream Start", "Session Created"}) {
		t.Errorf("got events %q, want beginning and end, the newest first", got)
	}
}

func TestStreamSessionRefusals(t *testing.T) {
	_, c := start(t)
	ctx := t.Context()
	ch, _ := c.newChannel(t, &ivs.CreateChannelInput{})
	unknown := aws.String("arn:aws:ivs:us-east-1:123456789012:channel/abcdefghijkl")
	_, err := c.channels.GetStreamSession(ctx, &ivs.GetStreamSessionInput{ChannelArn: ch.Arn})
	as[*types.ResourceNotFoundException](t, err)
	checkError(t, err, http.StatusNotFound, "ResourceNotFoundException", "stream session not found")
	_, err = c.channels.GetStreamSession(ctx, &ivs.GetStreamSessionInput{ChannelArn: unknown})
	checkError(t, err, http.StatusNotFound, "ResourceNotFoundException", "channel not found")
	_, err = c.channels.GetStreamSession(ctx, &ivs.GetStreamSessionInput{ChannelArn: ch.Arn, StreamId: aws.String("st-1")})
	checkError(t, err, http.StatusBadRequest, "ValidationException", "streamId must have 26 characters")
	_, err = c.channels.ListStreamSessions(ctx, &ivs.ListStreamSessionsInput{ChannelArn: unknown})
	checkError(t, err, http.StatusNotFound, "ResourceNotFoundException", "channel not found")
	if out, err := c.channels.ListStreamSessions(ctx, &ivs.ListStreamSessionsInput{ChannelArn: ch.Arn}); err != nil || len(out.StreamSessions) != 0 {
		t.Errorf("of a new channel: got %+v, %v, want none", out, err)
	}
}

func TestPutMetadata(t *testing.T) {
	s, c := start(t)
	ctx := t.Context()
	ch, _ := c.newChannel(t, &ivs.CreateChannelInput{})
	put := func(arn *string, text string) error {
		return second(c.channels.PutMetadata(ctx, &ivs.PutMetadataInput{ChannelArn: arn, Metadata: aws.String(text)}))
	}
	checkError(t, put(aws.String("arn:aws:ivs:us-east-1:123456789012:channel/abcdefghijkl"), "x"), http.StatusNotFound, "ResourceNotFoundException", "channel not found")
	err := put(ch.Arn, "x")
	as[*types.ChannelNotBroadcasting](t, err)
	checkError(t, err, http.StatusNotFound, "ChannelNotBroadcasting", "not broadcasting")
	checkError(t, put(ch.Arn, ""), http.StatusBadRequest, "ValidationException", "metadata must have 1 to 1024 characters")
	checkError(t, put(ch.Arn, strings.Repeat("ä", 513)), http.StatusBadRequest, "ValidationException", "metadata: must have 1 to 1024 bytes in UTF-8, got 1026")
	on, _, _ := c.live(t, s, &ivs.CreateChannelInput{})
	checkError(t, put(on.Arn, "x"), http.StatusBadRequest, "ValidationException", "timed metadata is not available on this server")
	failed := make(chan error, 40)
	for range cap(failed) {
		go func() { failed <- put(on.Arn, "x") }()
	}
	var tooFast []error
	for range cap(failed) {
		if err := <-failed; !strings.Contains(err.Error(), "ValidationException") {
			tooFast = append(tooFast, err)
		}
	}
	if len(tooFast) == 0 {
		t.Fatalf("%d at once: got none refused for their rate, want most", cap(failed))
	}
	as[*types.ThrottlingException](t, tooFast[0])
	checkError(t, tooFast[0], http.StatusTooManyRequests, "ThrottlingException", "5 a second")
}
