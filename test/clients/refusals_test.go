package clients_test

// What this server does not do is refused, and no client asks for it again:
// every step of a scenario counts its requests.
var (
	refusalScenarios = []scenario{
		{"transcription", []step{
			{call: "meetings CreateMeeting", in: newMeeting, want: `{"Meeting": {"MeetingId": "$meeting"}}`},
			{
				call: "meetings StartMeetingTranscription", in: `{"MeetingId": "$meeting", "TranscriptionConfiguration": {}}`,
				fails: "UnprocessableEntityException", says: "transcription",
			},
			{
				call: "meetings StopMeetingTranscription", in: `{"MeetingId": "$meeting"}`,
				fails: "UnprocessableEntityException", says: "transcription",
			},
			{call: "meetings DeleteMeeting", in: `{"MeetingId": "$meeting"}`},
			{call: "meetings StopMeetingTranscription", in: `{"MeetingId": "$meeting"}`, fails: "NotFoundException", says: "$meeting"},
		}},
		{"ads", []step{
			{
				call:  "ivs CreateAdConfiguration",
				in:    `{"mediaTailorPlaybackConfigurations": [{"playbackConfigurationArn": "arn:aws:mediatailor:us-east-1:$account:playbackConfiguration/a"}]}`,
				fails: "ValidationException", says: "not available on this server",
			},
			{call: "ivs GetAdConfiguration", in: `{"arn": "` + noAds + `"}`, fails: "ResourceNotFoundException"},
			{call: "ivs UpdateAdConfiguration", in: `{"arn": "` + noAds + `"}`, fails: "ResourceNotFoundException"},
			{call: "ivs DeleteAdConfiguration", in: `{"arn": "` + noAds + `"}`, fails: "ResourceNotFoundException"},
			{call: "ivs ListAdConfigurations", in: `{}`, want: `{"adConfigurations": []}`},
			{
				call: "ivs InsertAdBreak", in: `{"channelArn": "` + noChannel + `", "durationSeconds": 30}`,
				fails: "ValidationException", says: "not available on this server",
			},
		}},
		{"call analytics", []step{
			{
				call:  "pipelines CreateMediaInsightsPipeline",
				in:    `{"MediaInsightsPipelineConfigurationArn": "arn:aws:chime:us-east-1:$account:media-insights-pipeline-configuration/a", "ClientRequestToken": "$token"}`,
				fails: "BadRequestException", says: "media insights is not available on this server",
			},
			{
				call: "pipelines CreateMediaInsightsPipelineConfiguration",
				in: `{"MediaInsightsPipelineConfigurationName": "name", "ResourceAccessRoleArn": "arn:aws:iam::$account:role/a",
					"Elements": [{"Type": "VoiceAnalyticsProcessor"}], "ClientRequestToken": "$token"}`,
				fails: "BadRequestException", says: "not available on this server",
			},
			{call: "pipelines GetMediaInsightsPipelineConfiguration", in: `{"Identifier": "a/b"}`, fails: "NotFoundException"},
			{
				call:  "pipelines UpdateMediaInsightsPipelineConfiguration",
				in:    `{"Identifier": "name", "ResourceAccessRoleArn": "arn:aws:iam::$account:role/a", "Elements": [{"Type": "VoiceAnalyticsProcessor"}]}`,
				fails: "NotFoundException",
			},
			{call: "pipelines DeleteMediaInsightsPipelineConfiguration", in: `{"Identifier": "name"}`, fails: "NotFoundException"},
			{call: "pipelines ListMediaInsightsPipelineConfigurations", in: `{}`, want: `{"MediaInsightsPipelineConfigurations": []}`},
			{call: "pipelines UpdateMediaInsightsPipelineStatus", in: `{"Identifier": "name", "UpdateStatus": "Pause"}`, fails: "NotFoundException"},
			{
				call:  "pipelines StartSpeakerSearchTask",
				in:    `{"Identifier": "name", "VoiceProfileDomainArn": "arn:aws:chime:us-east-1:$account:voice-profile-domain/a", "ClientRequestToken": "$token"}`,
				fails: "BadRequestException", says: "voice analytics is not available on this server",
			},
			{call: "pipelines GetSpeakerSearchTask", in: `{"Identifier": "name", "SpeakerSearchTaskId": "` + noTask + `"}`, fails: "NotFoundException"},
			{call: "pipelines StopSpeakerSearchTask", in: `{"Identifier": "name", "SpeakerSearchTaskId": "` + noTask + `"}`, fails: "NotFoundException"},
			{
				call: "pipelines StartVoiceToneAnalysisTask", in: `{"Identifier": "name", "LanguageCode": "en-US", "ClientRequestToken": "$token"}`,
				fails: "BadRequestException", says: "voice analytics is not available on this server",
			},
			{call: "pipelines GetVoiceToneAnalysisTask", in: `{"Identifier": "name", "VoiceToneAnalysisTaskId": "` + noTask + `"}`, fails: "NotFoundException"},
			{call: "pipelines StopVoiceToneAnalysisTask", in: `{"Identifier": "name", "VoiceToneAnalysisTaskId": "` + noTask + `"}`, fails: "NotFoundException"},
		}},
		{"Kinesis Video Streams", []step{
			{
				call:  "pipelines CreateMediaPipelineKinesisVideoStreamPool",
				in:    `{"StreamConfiguration": {"Region": "us-east-1"}, "PoolName": "pool", "ClientRequestToken": "$token"}`,
				fails: "BadRequestException", says: "Kinesis Video Streams is not available on this server",
			},
			{call: "pipelines GetMediaPipelineKinesisVideoStreamPool", in: `{"Identifier": "pool"}`, fails: "NotFoundException"},
			{call: "pipelines UpdateMediaPipelineKinesisVideoStreamPool", in: `{"Identifier": "pool"}`, fails: "NotFoundException"},
			{call: "pipelines DeleteMediaPipelineKinesisVideoStreamPool", in: `{"Identifier": "pool"}`, fails: "NotFoundException"},
			{call: "pipelines ListMediaPipelineKinesisVideoStreamPools", in: `{}`, want: `{"KinesisVideoStreamPools": []}`},
			{
				call: "pipelines CreateMediaStreamPipeline",
				in: `{"Sources": [{"SourceType": "ChimeSdkMeeting", "SourceArn": "arn:aws:chime::$account:meeting:` + noMeeting + `"}],
					"Sinks": [{"SinkArn": "arn:aws:chime:us-east-1:$account:media-pipeline-kinesis-video-stream-pool/pool", "SinkType": "KinesisVideoStreamPool",
						"ReservedStreamCapacity": 1, "MediaStreamType": "MixedAudio"}], "ClientRequestToken": "$token"}`,
				fails: "BadRequestException", says: "use a capture pipeline",
			},
		}},
	}

	// unavailable is what a server answers that has no workers for it.
	unavailable = []scenario{
		{"captures", []step{
			{call: "meetings CreateMeeting", in: newMeeting, want: `{"Meeting": {"MeetingId": "$meeting"}}`},
			{call: "pipelines CreateMediaCapturePipeline", in: capture, fails: "BadRequestException", says: "not available on this server"},
			{call: "pipelines ListMediaCapturePipelines", in: `{}`, want: `{"MediaCapturePipelines": []}`},
			{
				call: "pipelines GetMediaPipeline", in: `{"MediaPipelineId": "` + noPipeline + `"}`, fails: "NotFoundException",
			},
		}},
		{"recordings", []step{
			{call: "ivs CreateRecordingConfiguration", in: recording, fails: "ValidationException", says: "not available on this server"},
			{call: "ivs ListRecordingConfigurations", in: `{}`, want: `{"recordingConfigurations": []}`},
		}},
	}
)

const (
	noAds  = "arn:aws:ivs:us-east-1:$account:ad-configuration/abcdefghijkl"
	noTask = "00000000-0000-0000-0000-000000000004"
)
