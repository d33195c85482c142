package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmediapipelines"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmediapipelines/types"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings"
	"github.com/google/uuid"

	"belfry.live/belfry/test/apiserver"
)

type (
	captureInput       = chimesdkmediapipelines.CreateMediaCapturePipelineInput
	concatenationInput = chimesdkmediapipelines.CreateMediaConcatenationPipelineInput
)

// fullCapture says everything that can be said.
func fullCapture(meetingARN string) *captureInput {
	return &captureInput{
		ClientRequestToken: aws.String(uuid.NewString()),
		SourceType:         types.MediaPipelineSourceTypeChimeSdkMeeting,
		SourceArn:          aws.String(meetingARN),
		SinkType:           types.MediaPipelineSinkTypeS3Bucket,
		SinkArn:            aws.String("arn:aws:s3:::my-bucket.example/a/prefix"),
		ChimeSdkMeetingConfiguration: &types.ChimeSdkMeetingConfiguration{
			SourceConfiguration: &types.SourceConfiguration{SelectedVideoStreams: &types.SelectedVideoStreams{
				AttendeeIds: []string{uuid.NewString()}, ExternalUserIds: []string{"Ann"},
			}},
			ArtifactsConfiguration: &types.ArtifactsConfiguration{
				Audio:   &types.AudioArtifactsConfiguration{MuxType: types.AudioMuxTypeAudioWithCompositedVideo},
				Video:   &types.VideoArtifactsConfiguration{State: types.ArtifactsStateEnabled, MuxType: types.VideoMuxTypeVideoOnly},
				Content: &types.ContentArtifactsConfiguration{State: types.ArtifactsStateDisabled, MuxType: types.ContentMuxTypeContentOnly},
				CompositedVideo: &types.CompositedVideoArtifactsConfiguration{
					Layout: types.LayoutOptionGridView, Resolution: types.ResolutionOptionFhd,
					GridViewConfiguration: &types.GridViewConfiguration{
						ContentShareLayout:         types.ContentShareLayoutOptionPresenterOnly,
						PresenterOnlyConfiguration: &types.PresenterOnlyConfiguration{PresenterPosition: types.PresenterPositionBottomLeft},
						VideoAttribute:             &types.VideoAttribute{CornerRadius: aws.Int32(7), BorderColor: types.BorderColorRed},
					},
				},
			},
		},
		SseAwsKeyManagementParams: &types.SseAwsKeyManagementParams{AwsKmsKeyId: aws.String("key"), AwsKmsEncryptionContext: aws.String("e30=")},
		SinkIamRoleArn:            aws.String("arn:aws:iam::123456789012:role/sink"),
		Tags:                      []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}},
	}
}

func concatenationOf(capture, to string) *concatenationInput {
	on, off := types.ArtifactsConcatenationStateEnabled, types.ArtifactsConcatenationStateDisabled
	return &concatenationInput{
		ClientRequestToken: aws.String(uuid.NewString()),
		Sources: []types.ConcatenationSource{{
			Type: types.ConcatenationSourceTypeMediaCapturePipeline,
			MediaCapturePipelineSourceConfiguration: &types.MediaCapturePipelineSourceConfiguration{
				MediaPipelineArn: aws.String(capture),
				ChimeSdkMeetingConfiguration: &types.ChimeSdkMeetingConcatenationConfiguration{
					ArtifactsConfiguration: &types.ArtifactsConcatenationConfiguration{
						Audio:                 &types.AudioConcatenationConfiguration{State: types.AudioArtifactsConcatenationStateEnabled},
						Video:                 &types.VideoConcatenationConfiguration{State: on},
						Content:               &types.ContentConcatenationConfiguration{State: off},
						DataChannel:           &types.DataChannelConcatenationConfiguration{State: on},
						TranscriptionMessages: &types.TranscriptionMessagesConcatenationConfiguration{State: off},
						MeetingEvents:         &types.MeetingEventsConcatenationConfiguration{State: on},
						CompositedVideo:       &types.CompositedVideoConcatenationConfiguration{State: off},
					},
				},
			},
		}},
		Sinks: []types.ConcatenationSink{{
			Type:                      types.ConcatenationSinkTypeS3Bucket,
			S3BucketSinkConfiguration: &types.S3BucketSinkConfiguration{Destination: aws.String(to)},
		}},
	}
}

// What is complete but for the media, on a server that has a stand-in for them.
func TestCaptures(t *testing.T) {
	s := apiserver.Start(t, apiserver.Config{Ahead: true})
	c := newClients(s.AWS())
	ctx := t.Context()
	m := c.newMeeting(t)
	in := fullCapture(aws.ToString(m.MeetingArn))
	created, err := c.pipelines.CreateMediaCapturePipeline(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	p := created.MediaCapturePipeline
	id := p.MediaPipelineId
	got, err := c.pipelines.GetMediaCapturePipeline(ctx, &chimesdkmediapipelines.GetMediaCapturePipelineInput{MediaPipelineId: id})
	if err != nil {
		t.Fatal(err)
	}
	union, err := c.pipelines.GetMediaPipeline(ctx, &chimesdkmediapipelines.GetMediaPipelineInput{MediaPipelineId: id})
	if err != nil {
		t.Fatal(err)
	}
	if u := union.MediaPipeline; u.MediaLiveConnectorPipeline != nil || u.MediaConcatenationPipeline != nil || u.MediaInsightsPipeline != nil || u.MediaStreamPipeline != nil {
		t.Errorf("got %+v, want the capture alone", u)
	}
	for _, p := range []*types.MediaCapturePipeline{p, got.MediaCapturePipeline, union.MediaPipeline.MediaCapturePipeline} {
		artifacts, asked := p.ChimeSdkMeetingConfiguration.ArtifactsConfiguration, in.ChimeSdkMeetingConfiguration.ArtifactsConfiguration
		if aws.ToString(p.SourceArn) != aws.ToString(in.SourceArn) || aws.ToString(p.SinkArn) != aws.ToString(in.SinkArn) ||
			p.SourceType != in.SourceType || p.SinkType != in.SinkType || aws.ToString(p.SinkIamRoleArn) != aws.ToString(in.SinkIamRoleArn) ||
			aws.ToString(p.SseAwsKeyManagementParams.AwsKmsKeyId) != "key" || artifacts.Audio.MuxType != asked.Audio.MuxType ||
			artifacts.Video.State != asked.Video.State ||
			aws.ToInt32(artifacts.CompositedVideo.GridViewConfiguration.VideoAttribute.CornerRadius) != 7 ||
			p.ChimeSdkMeetingConfiguration.SourceConfiguration.SelectedVideoStreams.ExternalUserIds[0] != "Ann" {
			t.Errorf("got %+v, want all as it was asked", p)
		}
	}
	again, err := c.pipelines.CreateMediaCapturePipeline(ctx, in)
	if err != nil || aws.ToString(again.MediaCapturePipeline.MediaPipelineId) != aws.ToString(id) {
		t.Errorf("same token: got %v (%v), want the same pipeline", again, err)
	}
	_, err = c.pipelines.CreateMediaCapturePipeline(ctx, fullCapture(aws.ToString(m.MeetingArn)))
	as[*types.ResourceLimitExceededException](t, err)

	live, err := c.pipelines.CreateMediaLiveConnectorPipeline(ctx, connectorInput(aws.ToString(m.MeetingArn)))
	if err != nil {
		t.Fatal(err)
	}
	liveID, liveARN := live.MediaLiveConnectorPipeline.MediaPipelineId, live.MediaLiveConnectorPipeline.MediaPipelineArn
	_, err = c.pipelines.GetMediaCapturePipeline(ctx, &chimesdkmediapipelines.GetMediaCapturePipelineInput{MediaPipelineId: liveID})
	checkError(t, err, http.StatusNotFound, "NotFoundException", "is a live connector pipeline")
	_, err = c.pipelines.DeleteMediaCapturePipeline(ctx, &chimesdkmediapipelines.DeleteMediaCapturePipelineInput{MediaPipelineId: liveID})
	checkError(t, err, http.StatusNotFound, "NotFoundException", "is a live connector pipeline")

	regionless := strings.Replace(aws.ToString(p.MediaPipelineArn), ":us-east-1:", "::", 1)
	joined, err := c.pipelines.CreateMediaConcatenationPipeline(ctx, concatenationOf(regionless, "arn:aws:s3:::my-bucket"))
	if err != nil {
		t.Fatal(err)
	}
	concatenation := joined.MediaConcatenationPipeline
	if concatenation.Status != types.MediaPipelineStatusNotStarted || len(concatenation.Sources) != 1 || len(concatenation.Sinks) != 1 {
		t.Errorf("got %+v, want it not started", concatenation)
	}
	union, err = c.pipelines.GetMediaPipeline(ctx, &chimesdkmediapipelines.GetMediaPipelineInput{MediaPipelineId: concatenation.MediaPipelineId})
	if err != nil || union.MediaPipeline.MediaConcatenationPipeline == nil || union.MediaPipeline.MediaCapturePipeline != nil {
		t.Errorf("got %+v, %v, want the concatenation alone", union, err)
	}
	_, err = c.pipelines.CreateMediaConcatenationPipeline(ctx, concatenationOf(aws.ToString(liveARN), "arn:aws:s3:::my-bucket"))
	checkError(t, err, http.StatusBadRequest, "BadRequestException", "Invalid capture pipeline ARN")

	other := fullCapture(aws.ToString(c.newMeeting(t).MeetingArn))
	other.ChimeSdkMeetingConfiguration, other.ClientRequestToken = nil, nil
	if _, err := c.pipelines.CreateMediaCapturePipeline(ctx, other); err != nil {
		t.Fatal(err)
	}
	var ids []string
	pages := 0
	pager := chimesdkmediapipelines.NewListMediaCapturePipelinesPaginator(c.pipelines,
		&chimesdkmediapipelines.ListMediaCapturePipelinesInput{MaxResults: aws.Int32(1)})
	for ; pager.HasMorePages(); pages++ {
		page, err := pager.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range page.MediaCapturePipelines {
			ids = append(ids, aws.ToString(p.MediaPipelineId))
		}
	}
	if len(ids) != 2 || pages != 2 || ids[0] != aws.ToString(id) {
		t.Errorf("got %q on %d pages, want 2 captures on 2, the older one first", ids, pages)
	}
	all, err := c.pipelines.ListMediaPipelines(ctx, &chimesdkmediapipelines.ListMediaPipelinesInput{})
	if err != nil || len(all.MediaPipelines) != 4 {
		t.Errorf("got %v, %v, want 4 pipelines of all kinds", all, err)
	}
	first, err := c.pipelines.ListMediaPipelines(ctx, &chimesdkmediapipelines.ListMediaPipelinesInput{MaxResults: aws.Int32(1)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.pipelines.ListMediaCapturePipelines(ctx, &chimesdkmediapipelines.ListMediaCapturePipelinesInput{NextToken: first.NextToken})
	checkError(t, err, http.StatusBadRequest, "BadRequestException", "NextToken")

	if _, err := c.pipelines.DeleteMediaCapturePipeline(ctx, &chimesdkmediapipelines.DeleteMediaCapturePipelineInput{MediaPipelineId: id}); err != nil {
		t.Fatal(err)
	}
	until(t, "the concatenation begins when its capture is over", func() bool {
		got, err := c.pipelines.GetMediaPipeline(ctx, &chimesdkmediapipelines.GetMediaPipelineInput{MediaPipelineId: concatenation.MediaPipelineId})
		return err == nil && got.MediaPipeline.MediaConcatenationPipeline.Status == types.MediaPipelineStatusInProgress
	})
	_, err = c.pipelines.GetMediaCapturePipeline(ctx, &chimesdkmediapipelines.GetMediaCapturePipelineInput{MediaPipelineId: id})
	checkError(t, err, http.StatusNotFound, "NotFoundException", aws.ToString(id))
	spent := fullCapture(aws.ToString(m.MeetingArn))
	spent.ClientRequestToken = in.ClientRequestToken
	_, err = c.pipelines.CreateMediaCapturePipeline(ctx, spent)
	checkError(t, err, http.StatusBadRequest, "BadRequestException", "Client request token exists without active resources, please re-generate client request token")

	people, err := c.meetings.ListAttendees(ctx, &chimesdkmeetings.ListAttendeesInput{MeetingId: m.MeetingId})
	if err != nil || len(people.Attendees) != 0 {
		t.Errorf("got %v (%v), want pipelines to be no attendees", people, err)
	}
}

// Without the media everything is checked, and then refused.
func TestCapturesAreNotAvailable(t *testing.T) {
	_, c := start(t)
	ctx := t.Context()
	m := c.newMeeting(t)
	arn := aws.ToString(m.MeetingArn)
	const artifacts = "ChimeSdkMeetingConfiguration.ArtifactsConfiguration"
	for _, v := range []struct {
		change func(*captureInput)
		says   string
	}{
		{func(*captureInput) {}, "capture pipelines are not available on this server"},
		{func(in *captureInput) { in.ChimeSdkMeetingConfiguration = nil }, "capture pipelines are not available on this server"},
		{func(in *captureInput) {
			in.SourceArn = aws.String(strings.Replace(arn, aws.ToString(m.MeetingId), uuid.NewString(), 1))
		}, "meeting does not exist"},
		{func(in *captureInput) { in.SourceArn = aws.String("arn:aws:chime::1:channel/x") }, "SourceArn must be a meeting's ARN"},
		{func(in *captureInput) { in.SinkArn = aws.String("arn:aws:sns:::bucket") }, "SinkArn must be like arn:aws:s3:::bucket"},
		{func(in *captureInput) { in.SinkArn = aws.String("arn:aws:s3:::b") }, "SinkArn must be like arn:aws:s3:::bucket"},
		{func(in *captureInput) { in.SinkType = "Disk" }, "SinkType must be S3Bucket"},
		{func(in *captureInput) {
			in.SseAwsKeyManagementParams.AwsKmsKeyId = aws.String(strings.Repeat("x", 4097))
		}, "SseAwsKeyManagementParams.AwsKmsKeyId must have 0 to 4096 characters"},
		{func(in *captureInput) {
			in.ChimeSdkMeetingConfiguration.ArtifactsConfiguration.CompositedVideo = nil
		}, artifacts + ".CompositedVideo is required with Audio.MuxType AudioWithCompositedVideo"},
		{func(in *captureInput) {
			in.ChimeSdkMeetingConfiguration.ArtifactsConfiguration.Audio.MuxType = types.AudioMuxTypeAudioOnly
		}, artifacts + ".Audio.MuxType must be AudioWithCompositedVideo with CompositedVideo"},
		{func(in *captureInput) { in.ChimeSdkMeetingConfiguration.ArtifactsConfiguration.Video.State = "Some" }, artifacts + ".Video.State must be Enabled or Disabled"},
		{func(in *captureInput) {
			in.ChimeSdkMeetingConfiguration.ArtifactsConfiguration.CompositedVideo.GridViewConfiguration.VideoAttribute.CornerRadius = aws.Int32(21)
		}, artifacts + ".CompositedVideo.GridViewConfiguration.VideoAttribute.CornerRadius must be a whole number from 1 to 20"},
	} {
		in := fullCapture(arn)
		v.change(in)
		_, err := c.pipelines.CreateMediaCapturePipeline(ctx, in)
		as[*types.BadRequestException](t, err)
		checkError(t, err, http.StatusBadRequest, "BadRequestException", v.says)
	}
	capture := "arn:aws:chime:us-east-1:123456789012:media-pipeline/" + uuid.NewString()
	for _, v := range []struct{ capture, to, says string }{
		{capture, "arn:aws:s3:::bucket", "Invalid capture pipeline ARN"},
		{arn, "arn:aws:s3:::bucket", "Invalid capture pipeline ARN"},
		{capture, "arn:aws:s3:::", "Destination must be like arn:aws:s3:::bucket"},
	} {
		_, err := c.pipelines.CreateMediaConcatenationPipeline(ctx, concatenationOf(v.capture, v.to))
		checkError(t, err, http.StatusBadRequest, "BadRequestException", v.says)
	}
	list, err := c.pipelines.ListMediaCapturePipelines(ctx, &chimesdkmediapipelines.ListMediaCapturePipelinesInput{})
	if err != nil || list.MediaCapturePipelines == nil || len(list.MediaCapturePipelines) != 0 {
		t.Errorf("got %v, %v, want an empty list", list, err)
	}
}
