package clients_test

// source is a live connector's, of the meeting with the name.
func source(meeting string) string {
	return `{"SourceType": "ChimeSdkMeeting", "ChimeSdkMeetingLiveConnectorConfiguration": {
		"Arn": "arn:aws:chime::$account:meeting:` + meeting + `", "MuxType": "AudioWithCompositedVideo",
		"CompositedVideo": {"Layout": "GridView", "Resolution": "FHD", "GridViewConfiguration": {"ContentShareLayout": "Vertical"}}}}`
}

func sink(url string) string {
	return `{"SinkType": "RTMP", "RTMPConfiguration": {"Url": "` + url + `", "AudioChannels": "Stereo", "AudioSampleRate": "48000"}}`
}

const (
	nowhere     = "rtmp://127.0.0.1:9/app/key" // where nobody listens
	newMeeting  = `{"ClientRequestToken": "$token", "MediaRegion": "us-east-1", "ExternalMeetingId": "rehearsal"}`
	noPipeline  = "00000000-0000-0000-0000-000000000003"
	pipelineARN = "arn:aws:chime:us-east-1:$account:media-pipeline/"

	capture = `{"SourceType": "ChimeSdkMeeting", "SourceArn": "arn:aws:chime::$account:meeting:$meeting", "SinkType": "S3Bucket",
		"SinkArn": "arn:aws:s3:::recordings/here", "ClientRequestToken": "$token", "Tags": [{"Key": "$blankKey", "Value": "$oddValue"}],
		"ChimeSdkMeetingConfiguration": {"ArtifactsConfiguration": {"Audio": {"MuxType": "AudioOnly"}, "Video": {"State": "Disabled"}, "Content": {"State": "Disabled"}}}}`
	concatenation = `{"Sources": [{"Type": "MediaCapturePipeline", "MediaCapturePipelineSourceConfiguration": {
			"MediaPipelineArn": "` + pipelineARN + `$capture", "ChimeSdkMeetingConfiguration": {"ArtifactsConfiguration": {
				"Audio": {"State": "Enabled"}, "Video": {"State": "Disabled"}, "Content": {"State": "Disabled"},
				"DataChannel": {"State": "Enabled"}, "TranscriptionMessages": {"State": "Disabled"}, "MeetingEvents": {"State": "Enabled"},
				"CompositedVideo": {"State": "Disabled"}}}}}],
		"Sinks": [{"Type": "S3Bucket", "S3BucketSinkConfiguration": {"Destination": "arn:aws:s3:::recordings/there"}}],
		"ClientRequestToken": "$token", "Tags": [{"Key": "$blankKey", "Value": "$oddValue"}]}`
)

var pipelineScenarios = []scenario{
	{"live connectors", []step{
		{call: "meetings CreateMeeting", in: newMeeting, want: `{"Meeting": {"MeetingId": "$meeting"}}`},
		{call: "meetings CreateMeeting", in: newMeeting, want: `{"Meeting": {"MeetingId": "$other"}}`},
		{
			call: "pipelines CreateMediaLiveConnectorPipeline",
			in: `{"Sources": [` + source("$meeting") + `], "Sinks": [` + sink(nowhere) + `], "ClientRequestToken": "$token",
				"Tags": [{"Key": "$blankKey", "Value": "$oddValue"}]}`,
			want: `{"MediaLiveConnectorPipeline": {"MediaPipelineId": "$pipeline", "MediaPipelineArn": "` + pipelineARN + `$pipeline", "Status": "~.+",
				"CreatedTimestamp": "~20.+", "Sources": [` + source("$meeting") + `], "Sinks": [` + sink(nowhere) + `]}}`,
		},
		{
			call: "pipelines CreateMediaLiveConnectorPipeline", in: `{"Sources": [` + source("$meeting") + `], "Sinks": [` + sink(nowhere) + `]}`,
			fails: "ResourceLimitExceededException", says: "pipeline",
		},
		{
			call: "pipelines CreateMediaLiveConnectorPipeline", in: `{"Sources": [` + source(noMeeting) + `], "Sinks": [` + sink(nowhere) + `]}`,
			fails: "BadRequestException", says: "meeting",
		},
		{
			call: "pipelines CreateMediaLiveConnectorPipeline", in: `{"Sources": [` + source("$other") + `], "Sinks": [` + sink(nowhere) + `]}`,
			want: `{"MediaLiveConnectorPipeline": {"MediaPipelineId": "$second"}}`,
		},
		{
			call: "pipelines GetMediaPipeline", in: `{"MediaPipelineId": "$pipeline"}`,
			want: `{"MediaPipeline": {"MediaLiveConnectorPipeline": {"MediaPipelineId": "$pipeline"}, "MediaCapturePipeline": null}}`,
		},
		{call: "pipelines GetMediaPipeline", in: `{"MediaPipelineId": "` + noPipeline + `"}`, fails: "NotFoundException", says: noPipeline},
		{
			call: "pipelines ListMediaPipelines", in: `{}`, page: 1,
			pages: `[{"MediaPipelines": [{"MediaPipelineId": "` + someUUID + `"}], "NextToken": "~.+"},
				{"MediaPipelines": [{"MediaPipelineArn": "~.+"}], "NextToken": null}]`,
		},
		{call: "pipelines ListMediaPipelines", in: `{"MaxResults": 101}`, fails: "BadRequestException", says: "101"},
		{
			call: "pipelines ListTagsForResource", in: `{"ResourceARN": "` + pipelineARN + `$pipeline"}`,
			want: `{"Tags": [{"Key": "$blankKey", "Value": "$oddValue"}]}`,
		},
		{
			call: "pipelines TagResource",
			in:   `{"ResourceARN": "` + pipelineARN + `$pipeline", "Tags": [{"Key": "$blankKey", "Value": "new"}, {"Key": "$oddKey", "Value": ""}]}`,
		},
		{call: "pipelines UntagResource", in: `{"ResourceARN": "` + pipelineARN + `$pipeline", "TagKeys": ["$blankKey", "not there"]}`},
		{
			call: "pipelines ListTagsForResource", in: `{"ResourceARN": "` + pipelineARN + `$pipeline"}`,
			want: `{"Tags": [{"Key": "$oddKey", "Value": ""}]}`,
		},
		{
			call: "pipelines ListTagsForResource", in: `{"ResourceARN": "` + pipelineARN + noPipeline + `"}`,
			fails: "NotFoundException", says: noPipeline,
		},
		{
			call: "pipelines TagResource", in: `{"ResourceARN": "` + pipelineARN + noPipeline + `", "Tags": [{"Key": "a", "Value": "b"}]}`,
			fails: "NotFoundException", says: noPipeline,
		},
		{
			call: "pipelines UntagResource", in: `{"ResourceARN": "` + pipelineARN + noPipeline + `", "TagKeys": ["a"]}`,
			fails: "NotFoundException", says: noPipeline,
		},
		{call: "pipelines DeleteMediaPipeline", in: `{"MediaPipelineId": "$pipeline"}`},
		{call: "pipelines DeleteMediaPipeline", in: `{"MediaPipelineId": "` + noPipeline + `"}`, fails: "NotFoundException", says: noPipeline},
		{
			call: "pipelines GetMediaPipeline", in: `{"MediaPipelineId": "$pipeline"}`,
			fails: "NotFoundException", says: "$pipeline", until: true,
		},
		{call: "meetings DeleteMeeting", in: `{"MeetingId": "$meeting"}`},
		{call: "meetings DeleteMeeting", in: `{"MeetingId": "$other"}`},
		{call: "pipelines ListMediaPipelines", in: `{}`, want: `{"MediaPipelines": []}`, until: true}, // end with their meeting
	}},
	{"captures", []step{
		{call: "meetings CreateMeeting", in: newMeeting, want: `{"Meeting": {"MeetingId": "$meeting"}}`},
		{
			call: "pipelines CreateMediaCapturePipeline", in: capture,
			want: `{"MediaCapturePipeline": {"MediaPipelineId": "$capture", "MediaPipelineArn": "` + pipelineARN + `$capture", "SinkType": "S3Bucket",
				"SinkArn": "arn:aws:s3:::recordings/here", "SourceArn": "arn:aws:chime::$account:meeting:$meeting"}}`,
		},
		{call: "pipelines CreateMediaCapturePipeline", in: capture, fails: "ResourceLimitExceededException", says: "pipeline"},
		{
			call: "pipelines GetMediaCapturePipeline", in: `{"MediaPipelineId": "$capture"}`,
			want: `{"MediaCapturePipeline": {"MediaPipelineId": "$capture",
				"ChimeSdkMeetingConfiguration": {"ArtifactsConfiguration": {"Audio": {"MuxType": "AudioOnly"}}}}}`,
		},
		{call: "pipelines GetMediaCapturePipeline", in: `{"MediaPipelineId": "` + noPipeline + `"}`, fails: "NotFoundException", says: noPipeline},
		{
			call: "pipelines GetMediaPipeline", in: `{"MediaPipelineId": "$capture"}`,
			want: `{"MediaPipeline": {"MediaCapturePipeline": {"MediaPipelineId": "$capture"}, "MediaLiveConnectorPipeline": null}}`,
		},
		{
			call: "pipelines ListTagsForResource", in: `{"ResourceARN": "` + pipelineARN + `$capture"}`,
			want: `{"Tags": [{"Key": "$blankKey", "Value": "$oddValue"}]}`,
		},
		{
			call: "pipelines CreateMediaConcatenationPipeline", in: concatenation,
			want: `{"MediaConcatenationPipeline": {"MediaPipelineId": "$concatenation", "Status": "NotStarted",
				"Sinks": [{"S3BucketSinkConfiguration": {"Destination": "arn:aws:s3:::recordings/there"}}]}}`,
		},
		{
			call: "pipelines CreateMediaConcatenationPipeline",
			in: `{"Sources": [{"Type": "MediaCapturePipeline", "MediaCapturePipelineSourceConfiguration": {
				"MediaPipelineArn": "` + pipelineARN + noPipeline + `", "ChimeSdkMeetingConfiguration": {"ArtifactsConfiguration": {
					"Audio": {"State": "Enabled"}, "Video": {"State": "Disabled"}, "Content": {"State": "Disabled"},
					"DataChannel": {"State": "Enabled"}, "TranscriptionMessages": {"State": "Disabled"}, "MeetingEvents": {"State": "Enabled"},
					"CompositedVideo": {"State": "Disabled"}}}}}],
				"Sinks": [{"Type": "S3Bucket", "S3BucketSinkConfiguration": {"Destination": "arn:aws:s3:::recordings/there"}}]}`,
			fails: "BadRequestException", says: "capture pipeline ARN",
		},
		{call: "meetings CreateMeeting", in: newMeeting, want: `{"Meeting": {"MeetingId": "$other"}}`},
		{
			call: "pipelines CreateMediaCapturePipeline",
			in:   `{"SourceType": "ChimeSdkMeeting", "SourceArn": "arn:aws:chime::$account:meeting:$other", "SinkType": "S3Bucket", "SinkArn": "arn:aws:s3:::recordings"}`,
			want: `{"MediaCapturePipeline": {"MediaPipelineId": "$second"}}`,
		},
		{
			call: "pipelines ListMediaCapturePipelines", in: `{}`, page: 1,
			pages: `[{"MediaCapturePipelines": [{"MediaPipelineId": "` + someUUID + `"}], "NextToken": "~.+"},
				{"MediaCapturePipelines": [{"MediaPipelineId": "` + someUUID + `"}], "NextToken": null}]`,
		},
		{call: "pipelines ListMediaCapturePipelines", in: `{"NextToken": "made-up"}`, fails: "BadRequestException", says: "NextToken"},
		{call: "pipelines DeleteMediaPipeline", in: `{"MediaPipelineId": "$concatenation"}`},
		{call: "pipelines DeleteMediaCapturePipeline", in: `{"MediaPipelineId": "$capture"}`},
		{
			call: "pipelines DeleteMediaCapturePipeline", in: `{"MediaPipelineId": "` + noPipeline + `"}`,
			fails: "NotFoundException", says: noPipeline,
		},
		{call: "meetings DeleteMeeting", in: `{"MeetingId": "$meeting"}`},
		{call: "meetings DeleteMeeting", in: `{"MeetingId": "$other"}`},
	}},
}
