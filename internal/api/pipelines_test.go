package api_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmediapipelines"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmediapipelines/types"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings"
	"github.com/google/uuid"
)

// nobody is a sink where no server listens.
const nobody = "rtmp://127.0.0.1:1/live/very-secret-key"

// connectorInput is what existing applications send.
func connectorInput(meetingARN string) *chimesdkmediapipelines.CreateMediaLiveConnectorPipelineInput {
	return &chimesdkmediapipelines.CreateMediaLiveConnectorPipelineInput{
		ClientRequestToken: aws.String(uuid.NewString()),
		Sources: []types.LiveConnectorSourceConfiguration{{
			SourceType: types.LiveConnectorSourceTypeChimeSdkMeeting,
			ChimeSdkMeetingLiveConnectorConfiguration: &types.ChimeSdkMeetingLiveConnectorConfiguration{
				Arn:     aws.String(meetingARN),
				MuxType: types.LiveConnectorMuxTypeAudioWithCompositedVideo,
				CompositedVideo: &types.CompositedVideoArtifactsConfiguration{
					Layout:     types.LayoutOptionGridView,
					Resolution: types.ResolutionOptionFhd,
					GridViewConfiguration: &types.GridViewConfiguration{
						ContentShareLayout: types.ContentShareLayoutOptionVertical,
					},
				},
			},
		}},
		Sinks: []types.LiveConnectorSinkConfiguration{{
			SinkType: types.LiveConnectorSinkTypeRtmp,
			RTMPConfiguration: &types.LiveConnectorRTMPConfiguration{
				Url:             aws.String(nobody),
				AudioChannels:   types.AudioChannelsOptionStereo,
				AudioSampleRate: aws.String("48000"),
			},
		}},
	}
}

func TestPipelines(t *testing.T) {
	_, c := start(t)
	ctx := t.Context()
	m := c.newMeeting(t)
	in := connectorInput(aws.ToString(m.MeetingArn))
	in.Tags = []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}
	created, err := c.pipelines.CreateMediaLiveConnectorPipeline(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	p := created.MediaLiveConnectorPipeline
	id := aws.ToString(p.MediaPipelineId)
	if want := "arn:aws:chime:us-east-1:123456789012:media-pipeline/" + id; aws.ToString(p.MediaPipelineArn) != want {
		t.Errorf("got ARN %s, want %s", aws.ToString(p.MediaPipelineArn), want)
	}
	if p.Status != types.MediaPipelineStatusInitializing || p.CreatedTimestamp == nil || p.UpdatedTimestamp == nil {
		t.Errorf("got %s since %v, %v; want Initializing and times", p.Status, p.CreatedTimestamp, p.UpdatedTimestamp)
	}
	again, err := c.pipelines.CreateMediaLiveConnectorPipeline(ctx, in)
	if err != nil || aws.ToString(again.MediaLiveConnectorPipeline.MediaPipelineId) != id {
		t.Errorf("same token again: got %v (%v), want the same pipeline", again, err)
	}
	_, err = c.pipelines.CreateMediaLiveConnectorPipeline(ctx, connectorInput(aws.ToString(m.MeetingArn)))
	as[*types.ResourceLimitExceededException](t, err)
	checkError(t, err, http.StatusBadRequest, "ResourceLimitExceededException", "already: live connector")

	get := &chimesdkmediapipelines.GetMediaPipelineInput{MediaPipelineId: p.MediaPipelineId}
	got, err := c.pipelines.GetMediaPipeline(ctx, get)
	if err != nil {
		t.Fatal(err)
	}
	lc := got.MediaPipeline.MediaLiveConnectorPipeline
	if lc == nil || got.MediaPipeline.MediaCapturePipeline != nil {
		t.Fatalf("got %+v, want the live connector alone", got.MediaPipeline)
	}
	source := lc.Sources[0].ChimeSdkMeetingLiveConnectorConfiguration
	if aws.ToString(source.Arn) != aws.ToString(m.MeetingArn) || source.CompositedVideo.Resolution != types.ResolutionOptionFhd ||
		source.CompositedVideo.GridViewConfiguration.ContentShareLayout != types.ContentShareLayoutOptionVertical ||
		aws.ToString(lc.Sinks[0].RTMPConfiguration.Url) != nobody {
		t.Errorf("got %+v and %+v, want sources and sinks as they were sent", lc.Sources, lc.Sinks)
	}

	if _, err := c.pipelines.DeleteMediaPipeline(ctx, &chimesdkmediapipelines.DeleteMediaPipelineInput{MediaPipelineId: p.MediaPipelineId}); err != nil {
		t.Fatal(err)
	}
	missing := aws.String(uuid.NewString())
	_, err = c.pipelines.GetMediaPipeline(ctx, &chimesdkmediapipelines.GetMediaPipelineInput{MediaPipelineId: missing})
	as[*types.NotFoundException](t, err)
	checkError(t, err, http.StatusNotFound, "NotFoundException", *missing)
	_, err = c.pipelines.DeleteMediaPipeline(ctx, &chimesdkmediapipelines.DeleteMediaPipelineInput{MediaPipelineId: missing})
	checkError(t, err, http.StatusNotFound, "NotFoundException", *missing)
}

func TestPipelineLists(t *testing.T) {
	_, c := start(t)
	ctx := t.Context()
	var want []string
	for range 3 {
		out, err := c.pipelines.CreateMediaLiveConnectorPipeline(ctx, connectorInput(aws.ToString(c.newMeeting(t).MeetingArn)))
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, aws.ToString(out.MediaLiveConnectorPipeline.MediaPipelineId))
	}
	var got []string
	pages := 0
	pager := chimesdkmediapipelines.NewListMediaPipelinesPaginator(c.pipelines, &chimesdkmediapipelines.ListMediaPipelinesInput{MaxResults: aws.Int32(2)})
	for ; pager.HasMorePages(); pages++ {
		page, err := pager.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range page.MediaPipelines {
			got = append(got, aws.ToString(p.MediaPipelineId))
		}
	}
	if !slices.Equal(got, want) || pages != 2 {
		t.Errorf("got %q on %d pages, want %q on 2", got, pages, want)
	}
	_, err := c.pipelines.ListMediaPipelines(ctx, &chimesdkmediapipelines.ListMediaPipelinesInput{NextToken: aws.String("x")})
	checkError(t, err, http.StatusBadRequest, "BadRequestException", "NextToken")
}

// Applications build the meeting's ARN themselves, and not all the same way.
func TestMeetingARNForms(t *testing.T) {
	_, c := start(t)
	for _, form := range []string{
		"arn:aws:chime:us-east-1:123456789012:meeting/",
		"arn:aws:chime:us-east-1:123456789012:meeting:",
		"arn:aws:chime::123456789012:meeting/",
		"arn:aws:chime::123456789012:meeting:",
		"arn:aws:chime::999999999999:meeting:", // an application's own account, not ours
	} {
		arn := form + aws.ToString(c.newMeeting(t).MeetingId)
		out, err := c.pipelines.CreateMediaLiveConnectorPipeline(t.Context(), connectorInput(arn))
		if err != nil {
			t.Errorf("%s: got %v, want a pipeline", arn, err)
			continue
		}
		source := out.MediaLiveConnectorPipeline.Sources[0].ChimeSdkMeetingLiveConnectorConfiguration
		if got := aws.ToString(source.Arn); got != arn {
			t.Errorf("got ARN %s, want it as sent: %s", got, arn)
		}
	}
}

func TestPipelineRefusals(t *testing.T) {
	_, c := start(t)
	m := c.newMeeting(t)
	const source = "Sources[0].ChimeSdkMeetingLiveConnectorConfiguration"
	type input = chimesdkmediapipelines.CreateMediaLiveConnectorPipelineInput
	grid := func(in *input) *types.GridViewConfiguration {
		return in.Sources[0].ChimeSdkMeetingLiveConnectorConfiguration.CompositedVideo.GridViewConfiguration
	}
	for _, v := range []struct {
		name   string
		change func(*input)
		says   string
	}{
		{"no source", func(in *input) { in.Sources = []types.LiveConnectorSourceConfiguration{} }, "Sources must have 1 item, got 0"},
		{"two sinks", func(in *input) { in.Sinks = append(in.Sinks, in.Sinks...) }, "Sinks must have 1 item, got 2"},
		{"another source", func(in *input) { in.Sources[0].SourceType = "Zoom" }, "Sources[0].SourceType must be ChimeSdkMeeting"},
		{"another mux", func(in *input) {
			in.Sources[0].ChimeSdkMeetingLiveConnectorConfiguration.MuxType = "AudioOnly"
		}, source + ".MuxType must be AudioWithCompositedVideo or AudioWithActiveSpeakerVideo"},
		{"no composition", func(in *input) {
			in.Sources[0].ChimeSdkMeetingLiveConnectorConfiguration.CompositedVideo = nil
		}, source + ".CompositedVideo is required"},
		{"no such meeting", func(in *input) {
			in.Sources[0].ChimeSdkMeetingLiveConnectorConfiguration.Arn = aws.String("arn:aws:chime::123456789012:meeting:" + uuid.NewString())
		}, "meeting does not exist"},
		{"ARN of something else", func(in *input) {
			in.Sources[0].ChimeSdkMeetingLiveConnectorConfiguration.Arn = aws.String("arn:aws:chime::123456789012:media-pipeline/" + uuid.NewString())
		}, source + ".Arn must be a meeting's ARN"},
		{"no ARN", func(in *input) {
			in.Sources[0].ChimeSdkMeetingLiveConnectorConfiguration.Arn = m.MeetingId
		}, source + ".Arn must be an ARN"},
		{"sink of another protocol", func(in *input) {
			in.Sinks[0].RTMPConfiguration.Url = aws.String("https://example.com/app/very-secret-key")
		}, "Sinks[0].RTMPConfiguration.Url must be like rtmp://"},
		{"sink without a host", func(in *input) {
			in.Sinks[0].RTMPConfiguration.Url = aws.String("rtmp:///app/very-secret-key")
		}, "Sinks[0].RTMPConfiguration.Url must be like rtmp://"},
		{"long sink", func(in *input) {
			in.Sinks[0].RTMPConfiguration.Url = aws.String("rtmp://example.com/app/very-secret-key" + strings.Repeat("x", 1024))
		}, "Sinks[0].RTMPConfiguration.Url must have 1 to 1024 characters"},
		{"sample rate", func(in *input) {
			in.Sinks[0].RTMPConfiguration.AudioSampleRate = aws.String("22050")
		}, `Sinks[0].RTMPConfiguration.AudioSampleRate must be 44100 or 48000: "22050"`},
		{"channels", func(in *input) { in.Sinks[0].RTMPConfiguration.AudioChannels = "Quad" }, "AudioChannels must be Stereo or Mono"},
		{"content layout", func(in *input) { grid(in).ContentShareLayout = "Mosaic" }, "GridViewConfiguration.ContentShareLayout must be PresenterOnly or Horizontal"},
		{"tile count", func(in *input) {
			grid(in).HorizontalLayoutConfiguration = &types.HorizontalLayoutConfiguration{TileCount: aws.Int32(11)}
		}, "HorizontalLayoutConfiguration.TileCount must be a whole number from 1 to 10"},
		{"aspect ratio of nothing", func(in *input) {
			grid(in).VerticalLayoutConfiguration = &types.VerticalLayoutConfiguration{TileAspectRatio: aws.String("16/0")}
		}, `VerticalLayoutConfiguration.TileAspectRatio must be two numbers from 1 to 99 with a slash between them, like 16/9: "16/0"`},
		{"no attendees selected", func(in *input) {
			in.Sources[0].ChimeSdkMeetingLiveConnectorConfiguration.SourceConfiguration = &types.SourceConfiguration{
				SelectedVideoStreams: &types.SelectedVideoStreams{AttendeeIds: []string{}},
			}
		}, "SelectedVideoStreams.AttendeeIds must have 1 to 25 items, got 0"},
		{"no tags", func(in *input) { in.Tags = []types.Tag{} }, "Tags must have 1 to 200 items, got 0"},
	} {
		t.Run(v.name, func(t *testing.T) {
			in := connectorInput(aws.ToString(m.MeetingArn))
			v.change(in)
			_, err := c.pipelines.CreateMediaLiveConnectorPipeline(t.Context(), in)
			as[*types.BadRequestException](t, err)
			checkError(t, err, http.StatusBadRequest, "BadRequestException", v.says)
			if strings.Contains(err.Error(), "very-secret-key") {
				t.Errorf("got %v, want the stream key left out", err)
			}
		})
	}
}

// The server's own attendees are not among those an application lists.
func TestPipelineIsNoAttendee(t *testing.T) {
	_, c := start(t)
	m := c.newMeeting(t)
	if _, err := c.pipelines.CreateMediaLiveConnectorPipeline(t.Context(), connectorInput(aws.ToString(m.MeetingArn))); err != nil {
		t.Fatal(err)
	}
	out, err := c.meetings.ListAttendees(t.Context(), &chimesdkmeetings.ListAttendeesInput{MeetingId: m.MeetingId})
	if err != nil || len(out.Attendees) != 0 {
		t.Errorf("got %v (%v), want nobody", out, err)
	}
}
