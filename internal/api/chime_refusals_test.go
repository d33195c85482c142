package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmediapipelines"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmediapipelines/types"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings"
	meetingtypes "github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings/types"
	"github.com/google/uuid"
)

func TestTranscriptionIsRefused(t *testing.T) {
	_, c := start(t)
	ctx := t.Context()
	m := c.newMeeting(t)
	begin := func(id *string, language meetingtypes.TranscribeLanguageCode) error {
		_, err := c.meetings.StartMeetingTranscription(ctx, &chimesdkmeetings.StartMeetingTranscriptionInput{
			MeetingId: id, TranscriptionConfiguration: &meetingtypes.TranscriptionConfiguration{
				EngineTranscribeSettings: &meetingtypes.EngineTranscribeSettings{LanguageCode: language},
			},
		})
		return err
	}
	stop := func(id *string) error {
		_, err := c.meetings.StopMeetingTranscription(ctx, &chimesdkmeetings.StopMeetingTranscriptionInput{MeetingId: id})
		return err
	}
	err := begin(m.MeetingId, "de-DE")
	as[*meetingtypes.UnprocessableEntityException](t, err)
	checkError(t, err, http.StatusUnprocessableEntity, "UnprocessableEntityException", "transcription engine not configured")
	checkError(t, stop(m.MeetingId), http.StatusUnprocessableEntity, "UnprocessableEntityException", "no transcription runs")
	checkError(t, begin(m.MeetingId, "xx"), http.StatusBadRequest, "BadRequestException",
		"TranscriptionConfiguration.EngineTranscribeSettings.LanguageCode must be en-US or")
	nowhere := aws.String(uuid.NewString())
	checkError(t, begin(nowhere, "de-DE"), http.StatusNotFound, "NotFoundException", "meeting not found")
	checkError(t, stop(nowhere), http.StatusNotFound, "NotFoundException", "meeting not found")
}

// What this server cannot do is refused with a type that no client retries,
// after the request was checked.
func TestInsightsAreRefused(t *testing.T) {
	_, c := start(t)
	ctx := t.Context()
	p := c.pipelines
	name, role := aws.String("name"), aws.String("arn:aws:iam::123456789012:role/r")
	task := uuid.NewString()
	stream := aws.String("arn:aws:kinesisvideo:us-east-1:123456789012:stream/name/1234567890123")
	elements := []types.MediaInsightsPipelineConfigurationElement{{
		Type: types.MediaInsightsPipelineConfigurationElementTypeAmazonTranscribeProcessor,
		AmazonTranscribeProcessorConfiguration: &types.AmazonTranscribeProcessorConfiguration{
			LanguageCode: types.CallAnalyticsLanguageCodeEnUs, VocabularyNames: aws.String("a,b"), ShowSpeakerLabel: true,
		},
	}, {
		Type:                         types.MediaInsightsPipelineConfigurationElementTypeS3RecordingSink,
		S3RecordingSinkConfiguration: &types.S3RecordingSinkConfiguration{Destination: aws.String("arn:aws:s3:::b"), RecordingFileFormat: types.RecordingFileFormatOpus},
	}}
	alerts := &types.RealTimeAlertConfiguration{Rules: []types.RealTimeAlertRule{{
		Type:                      types.RealTimeAlertRuleTypeKeywordMatch,
		KeywordMatchConfiguration: &types.KeywordMatchConfiguration{RuleName: name, Keywords: []string{"it's", "a-b"}},
	}}}
	type (
		badRequest = *types.BadRequestException
		notFound   = *types.NotFoundException
	)
	err := func(_ any, err error) error { return err }
	for what, v := range map[string]struct {
		err  error
		kind string
		says string
	}{
		"CreateMediaInsightsPipeline": {err(p.CreateMediaInsightsPipeline(ctx, &chimesdkmediapipelines.CreateMediaInsightsPipelineInput{
			MediaInsightsPipelineConfigurationArn: role,
			MediaInsightsRuntimeMetadata:          map[string]string{"k": "v"},
			KinesisVideoStreamSourceRuntimeConfiguration: &types.KinesisVideoStreamSourceRuntimeConfiguration{
				MediaEncoding: types.MediaEncodingPcm, MediaSampleRate: aws.Int32(48000),
				Streams: []types.StreamConfiguration{{StreamArn: stream, StreamChannelDefinition: &types.StreamChannelDefinition{
					NumberOfChannels: aws.Int32(1), ChannelDefinitions: []types.ChannelDefinition{{ChannelId: 1, ParticipantRole: types.ParticipantRoleAgent}},
				}}},
			},
		})), "BadRequestException", "media insights is not available on this server"},
		"CreateMediaInsightsPipelineConfiguration": {err(p.CreateMediaInsightsPipelineConfiguration(ctx, &chimesdkmediapipelines.CreateMediaInsightsPipelineConfigurationInput{
			MediaInsightsPipelineConfigurationName: name, ResourceAccessRoleArn: role, Elements: elements, RealTimeAlertConfiguration: alerts,
		})), "BadRequestException", "media insights is not available on this server"},
		"CreateMediaPipelineKinesisVideoStreamPool": {err(p.CreateMediaPipelineKinesisVideoStreamPool(ctx, &chimesdkmediapipelines.CreateMediaPipelineKinesisVideoStreamPoolInput{
			PoolName: name, StreamConfiguration: &types.KinesisVideoStreamConfiguration{Region: aws.String("us-east-1")},
		})), "BadRequestException", "Kinesis Video Streams is not available on this server"},
		"CreateMediaStreamPipeline": {err(p.CreateMediaStreamPipeline(ctx, &chimesdkmediapipelines.CreateMediaStreamPipelineInput{
			Sources: []types.MediaStreamSource{{SourceType: types.MediaPipelineSourceTypeChimeSdkMeeting, SourceArn: role}},
			Sinks: []types.MediaStreamSink{{
				SinkType: types.MediaStreamPipelineSinkTypeKinesisVideoStreamPool, SinkArn: role, ReservedStreamCapacity: aws.Int32(1), MediaStreamType: types.MediaStreamTypeMixedAudio,
			}},
		})), "BadRequestException", "media stream pipelines need Kinesis Video Streams, which this server does not have; use a capture pipeline"},
		"StartSpeakerSearchTask": {err(p.StartSpeakerSearchTask(ctx, &chimesdkmediapipelines.StartSpeakerSearchTaskInput{
			Identifier: name, VoiceProfileDomainArn: role,
			KinesisVideoStreamSourceTaskConfiguration: &types.KinesisVideoStreamSourceTaskConfiguration{StreamArn: stream, ChannelId: 1},
		})), "BadRequestException", "voice analytics is not available on this server"},
		"StartVoiceToneAnalysisTask": {err(p.StartVoiceToneAnalysisTask(ctx, &chimesdkmediapipelines.StartVoiceToneAnalysisTaskInput{
			Identifier: name, LanguageCode: types.VoiceAnalyticsLanguageCodeEnUs,
		})), "BadRequestException", "voice analytics is not available on this server"},
		"GetMediaInsightsPipelineConfiguration":     {err(p.GetMediaInsightsPipelineConfiguration(ctx, &chimesdkmediapipelines.GetMediaInsightsPipelineConfigurationInput{Identifier: role})), "NotFoundException", "no media insights pipeline configurations"},
		"DeleteMediaInsightsPipelineConfiguration":  {err(p.DeleteMediaInsightsPipelineConfiguration(ctx, &chimesdkmediapipelines.DeleteMediaInsightsPipelineConfigurationInput{Identifier: name})), "NotFoundException", "no media insights pipeline configurations"},
		"UpdateMediaInsightsPipelineConfiguration":  {err(p.UpdateMediaInsightsPipelineConfiguration(ctx, &chimesdkmediapipelines.UpdateMediaInsightsPipelineConfigurationInput{Identifier: name, ResourceAccessRoleArn: role, Elements: elements})), "NotFoundException", "no media insights pipeline configurations"},
		"UpdateMediaInsightsPipelineStatus":         {err(p.UpdateMediaInsightsPipelineStatus(ctx, &chimesdkmediapipelines.UpdateMediaInsightsPipelineStatusInput{Identifier: name, UpdateStatus: types.MediaPipelineStatusUpdatePause})), "NotFoundException", "no media insights pipelines"},
		"GetMediaPipelineKinesisVideoStreamPool":    {err(p.GetMediaPipelineKinesisVideoStreamPool(ctx, &chimesdkmediapipelines.GetMediaPipelineKinesisVideoStreamPoolInput{Identifier: name})), "NotFoundException", "no Kinesis video stream pools"},
		"UpdateMediaPipelineKinesisVideoStreamPool": {err(p.UpdateMediaPipelineKinesisVideoStreamPool(ctx, &chimesdkmediapipelines.UpdateMediaPipelineKinesisVideoStreamPoolInput{Identifier: name})), "NotFoundException", "no Kinesis video stream pools"},
		"DeleteMediaPipelineKinesisVideoStreamPool": {err(p.DeleteMediaPipelineKinesisVideoStreamPool(ctx, &chimesdkmediapipelines.DeleteMediaPipelineKinesisVideoStreamPoolInput{Identifier: name})), "NotFoundException", "no Kinesis video stream pools"},
		"GetSpeakerSearchTask":                      {err(p.GetSpeakerSearchTask(ctx, &chimesdkmediapipelines.GetSpeakerSearchTaskInput{Identifier: name, SpeakerSearchTaskId: &task})), "NotFoundException", "no voice analytics tasks"},
		"StopSpeakerSearchTask":                     {err(p.StopSpeakerSearchTask(ctx, &chimesdkmediapipelines.StopSpeakerSearchTaskInput{Identifier: name, SpeakerSearchTaskId: &task})), "NotFoundException", "no voice analytics tasks"},
		"GetVoiceToneAnalysisTask":                  {err(p.GetVoiceToneAnalysisTask(ctx, &chimesdkmediapipelines.GetVoiceToneAnalysisTaskInput{Identifier: name, VoiceToneAnalysisTaskId: &task})), "NotFoundException", "no voice analytics tasks"},
		"StopVoiceToneAnalysisTask":                 {err(p.StopVoiceToneAnalysisTask(ctx, &chimesdkmediapipelines.StopVoiceToneAnalysisTaskInput{Identifier: name, VoiceToneAnalysisTaskId: &task})), "NotFoundException", "no voice analytics tasks"},
		"CreateMediaInsightsPipelineConfiguration with a bad name": {err(p.CreateMediaInsightsPipelineConfiguration(ctx, &chimesdkmediapipelines.CreateMediaInsightsPipelineConfigurationInput{
			MediaInsightsPipelineConfigurationName: aws.String("a name"), ResourceAccessRoleArn: role, Elements: elements,
		})), "BadRequestException", "MediaInsightsPipelineConfigurationName must be letters"},
	} {
		t.Run(what, func(t *testing.T) {
			status := http.StatusBadRequest
			if v.kind == "NotFoundException" {
				status = http.StatusNotFound
				as[notFound](t, v.err)
			} else {
				as[badRequest](t, v.err)
			}
			checkError(t, v.err, status, v.kind, v.says)
		})
	}
	configurations, e := p.ListMediaInsightsPipelineConfigurations(ctx, &chimesdkmediapipelines.ListMediaInsightsPipelineConfigurationsInput{})
	if e != nil || configurations.MediaInsightsPipelineConfigurations == nil || len(configurations.MediaInsightsPipelineConfigurations) > 0 {
		t.Errorf("got %+v, %v, want an empty list", configurations, e)
	}
	pools, e := p.ListMediaPipelineKinesisVideoStreamPools(ctx, &chimesdkmediapipelines.ListMediaPipelineKinesisVideoStreamPoolsInput{MaxResults: aws.Int32(1)})
	if e != nil || pools.KinesisVideoStreamPools == nil || len(pools.KinesisVideoStreamPools) > 0 {
		t.Errorf("got %+v, %v, want an empty list", pools, e)
	}
	_, e = p.ListMediaPipelineKinesisVideoStreamPools(ctx, &chimesdkmediapipelines.ListMediaPipelineKinesisVideoStreamPoolsInput{NextToken: aws.String("x")})
	if e == nil || !strings.Contains(e.Error(), "NextToken") {
		t.Errorf("got %v, want an error about NextToken", e)
	}
}
