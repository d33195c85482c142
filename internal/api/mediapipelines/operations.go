package mediapipelines

import (
	"net/http"
	"regexp"
	"slices"
	"strings"

	"belfry.live/belfry/internal/api/restjson"
	"belfry.live/belfry/internal/connector"
)

// operations is the service's table.
func (s *service) operations() []restjson.Operation {
	return slices.Concat(s.pipelines(), s.captures(), s.tagging(), s.insights(), s.streams())
}

const (
	captureGap       = "capture pipelines are not available on this server: a request is checked and then refused"
	concatenationGap = "concatenation pipelines are not available on this server: a request is checked and then refused"
	compositionGap   = "the picture is a grid of cameras, with shared content large beside them; ContentShareLayout and its settings, " +
		"VideoAttribute and AudioWithActiveSpeakerVideo are checked and given back, and do not change it"
)

// pipelines are the operations on live connectors, and on all kinds.
func (s *service) pipelines() []restjson.Operation {
	return []restjson.Operation{
		{
			Name: "CreateMediaLiveConnectorPipeline", Method: http.MethodPost, Path: "/sdk-media-live-connector-pipelines", Status: http.StatusCreated,
			Input: []restjson.Member{
				restjson.Required("Sources", restjson.List(source, 1, 1)),
				restjson.Required("Sinks", restjson.List(sink, 1, 1)),
				requestToken, tags,
			},
			Class: restjson.A, Errors: []string{limitExceeded}, Gap: compositionGap,
			Do: restjson.Do(s.createLiveConnector),
		},
		{
			Name: "GetMediaPipeline", Method: http.MethodGet, Path: "/sdk-media-pipelines/{MediaPipelineId}", Status: http.StatusOK,
			Input: []restjson.Member{pipelineID},
			Class: restjson.A, Errors: []string{notFound},
			Do: restjson.Do(s.getPipeline),
		},
		{
			Name: "ListMediaPipelines", Method: http.MethodGet, Path: "/sdk-media-pipelines", Status: http.StatusOK,
			Input: paging,
			Class: restjson.A, Errors: []string{limitExceeded},
			Do: restjson.Do(s.listPipelines),
		},
		{
			Name: "DeleteMediaPipeline", Method: http.MethodDelete, Path: "/sdk-media-pipelines/{MediaPipelineId}", Status: http.StatusNoContent,
			Input: []restjson.Member{pipelineID},
			Class: restjson.A, Errors: []string{notFound, conflict},
			Do: restjson.Act(s.deletePipeline),
		},
	}
}

// captures are the operations on captures and concatenations.
func (s *service) captures() []restjson.Operation {
	return []restjson.Operation{
		{
			Name: "CreateMediaCapturePipeline", Method: http.MethodPost, Path: "/sdk-media-capture-pipelines", Status: http.StatusCreated,
			Input: []restjson.Member{
				restjson.Required("SourceType", restjson.Enum("ChimeSdkMeeting")),
				restjson.Required("SourceArn", arn),
				restjson.Required("SinkType", restjson.Enum("S3Bucket")),
				restjson.Required("SinkArn", arn),
				restjson.Optional("ChimeSdkMeetingConfiguration", restjson.Structure(
					restjson.Optional("SourceConfiguration", selection),
					restjson.Optional("ArtifactsConfiguration", artifacts),
				)),
				restjson.Optional("SseAwsKeyManagementParams", restjson.Structure(
					restjson.Required("AwsKmsKeyId", restjson.String(0, 4096)),
					restjson.Optional("AwsKmsEncryptionContext", restjson.String(0, 4096)),
				)),
				restjson.Optional("SinkIamRoleArn", arn),
				requestToken, tags,
			},
			Class: restjson.B, Errors: []string{limitExceeded}, Gap: captureGap,
			Do: restjson.Do(s.createCapture),
		},
		{
			Name: "GetMediaCapturePipeline", Method: http.MethodGet, Path: "/sdk-media-capture-pipelines/{MediaPipelineId}", Status: http.StatusOK,
			Input: []restjson.Member{pipelineID},
			Class: restjson.B, Errors: []string{notFound},
			Do: restjson.Do(s.getCapture),
		},
		{
			Name: "ListMediaCapturePipelines", Method: http.MethodGet, Path: "/sdk-media-capture-pipelines", Status: http.StatusOK,
			Input: paging,
			Class: restjson.B, Errors: []string{limitExceeded},
			Do: restjson.Do(s.listCaptures),
		},
		{
			Name: "DeleteMediaCapturePipeline", Method: http.MethodDelete, Path: "/sdk-media-capture-pipelines/{MediaPipelineId}",
			Status: http.StatusNoContent,
			Input:  []restjson.Member{pipelineID},
			Class:  restjson.B, Errors: []string{notFound},
			Do: restjson.Act(s.deleteCapture),
		},
		{
			Name: "CreateMediaConcatenationPipeline", Method: http.MethodPost, Path: "/sdk-media-concatenation-pipelines", Status: http.StatusCreated,
			Input: []restjson.Member{
				restjson.Required("Sources", restjson.List(captureSource, 1, 1)),
				restjson.Required("Sinks", restjson.List(bucketSink, 1, 1)),
				requestToken, tags,
			},
			Class: restjson.B, Errors: []string{limitExceeded}, Gap: concatenationGap,
			Do: restjson.Do(s.createConcatenation),
		},
	}
}

func (s *service) tagging() []restjson.Operation {
	return []restjson.Operation{
		{
			Name: "ListTagsForResource", Method: http.MethodGet, Path: "/tags", Shared: "ResourceARN", Status: http.StatusOK,
			Input: []restjson.Member{restjson.RequiredQuery("arn", "ResourceARN", resourceARN)},
			Class: restjson.B, Errors: []string{notFound},
			Do: restjson.Do(s.listTags),
		},
		{
			Name: "TagResource", Method: http.MethodPost, Path: "/tags", Query: "tag-resource", Shared: "ResourceARN", Status: http.StatusNoContent,
			Input: []restjson.Member{
				restjson.Required("ResourceARN", resourceARN),
				restjson.Required("Tags", restjson.List(tag, 1, connector.MaxTags)),
			},
			Class: restjson.B, Errors: []string{notFound},
			Do: restjson.Act(s.tagResource),
		},
		{
			Name: "UntagResource", Method: http.MethodPost, Path: "/tags", Query: "untag-resource", Shared: "ResourceARN", Status: http.StatusNoContent,
			Input: []restjson.Member{
				restjson.Required("ResourceARN", resourceARN),
				restjson.Required("TagKeys", restjson.List(restjson.String(1, 128), 1, connector.MaxTags)),
			},
			Class: restjson.B, Errors: []string{notFound},
			Do: restjson.Act(s.untagResource),
		},
	}
}

var (
	pipelineID   = restjson.Required("MediaPipelineId", uuid)
	requestToken = restjson.Optional("ClientRequestToken", restjson.String(2, 64).Matching(`[-_a-zA-Z0-9]*`, "letters, digits, - and _"))
	tags         = restjson.Optional("Tags", restjson.List(tag, 1, connector.MaxTags))

	paging = []restjson.Member{
		restjson.Query("next-token", "NextToken", restjson.String(0, 4096)),
		restjson.Query("max-results", "MaxResults", restjson.Integer(1, 100)),
	}
)

var (
	uuid = restjson.String(36, 36).Matching(`[a-fA-F0-9]{8}(-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}`, "a UUID")

	arn = restjson.String(1, 1024).Matching(`arn[/:\-_.a-zA-Z0-9]+`, "an ARN")

	resourceARN = restjson.String(1, 1011).Matching(`arn[/:\-_.a-zA-Z0-9]+`, "an ARN")

	tag = restjson.Structure(
		restjson.Required("Key", restjson.String(1, 128)),
		restjson.Required("Value", restjson.String(0, 256)),
	)

	source = restjson.Structure(
		restjson.Required("SourceType", restjson.Enum("ChimeSdkMeeting")),
		restjson.Required("ChimeSdkMeetingLiveConnectorConfiguration", restjson.Structure(
			restjson.Required("Arn", arn),
			restjson.Required("MuxType", restjson.Enum(compositedVideo, activeSpeakerVideo)),
			restjson.Optional("CompositedVideo", composition),
			restjson.Optional("SourceConfiguration", selection),
		)),
	)

	selection = restjson.Structure(
		restjson.Optional("SelectedVideoStreams", restjson.Structure(
			restjson.Optional("AttendeeIds", restjson.List(uuid, 1, maxSelected)),
			restjson.Optional("ExternalUserIds", restjson.List(externalUserID, 1, maxSelected)),
		)),
	)

	sink = restjson.Structure(
		restjson.Required("SinkType", restjson.Enum("RTMP")),
		restjson.Required("RTMPConfiguration", restjson.Structure(
			restjson.Required("Url", restjson.String(1, 1024).Secret()), // its path ends in a stream key
			restjson.Optional("AudioChannels", restjson.Enum("Stereo", "Mono")),
			restjson.Optional("AudioSampleRate", restjson.Enum("44100", "48000")),
		)),
	)

	composition = restjson.Structure(
		restjson.Optional("Layout", restjson.Enum("GridView")),
		restjson.Optional("Resolution", restjson.Enum("HD", "FHD")),
		restjson.Required("GridViewConfiguration", restjson.Structure(
			restjson.Required("ContentShareLayout", restjson.Enum("PresenterOnly", "Horizontal", "Vertical", "ActiveSpeakerOnly")),
			restjson.Optional("PresenterOnlyConfiguration", restjson.Structure(
				restjson.Optional("PresenterPosition", corner),
			)),
			restjson.Optional("ActiveSpeakerOnlyConfiguration", restjson.Structure(
				restjson.Optional("ActiveSpeakerPosition", corner),
			)),
			restjson.Optional("HorizontalLayoutConfiguration", restjson.Structure(
				restjson.Optional("TileOrder", tileOrder),
				restjson.Optional("TilePosition", restjson.Enum("Top", "Bottom")),
				restjson.Optional("TileCount", restjson.Integer(1, 10)),
				restjson.Optional("TileAspectRatio", aspectRatio),
			)),
			restjson.Optional("VerticalLayoutConfiguration", restjson.Structure(
				restjson.Optional("TileOrder", tileOrder),
				restjson.Optional("TilePosition", restjson.Enum("Left", "Right")),
				restjson.Optional("TileCount", restjson.Integer(1, 10)),
				restjson.Optional("TileAspectRatio", aspectRatio),
			)),
			restjson.Optional("VideoAttribute", restjson.Structure(
				restjson.Optional("CornerRadius", restjson.Integer(1, 20)),
				restjson.Optional("BorderColor", color),
				restjson.Optional("HighlightColor", color),
				restjson.Optional("BorderThickness", restjson.Integer(1, 20)),
			)),
			restjson.Optional("CanvasOrientation", orientation),
		)),
		restjson.Optional("CanvasOrientation", orientation), // an example in AWS's guide has it here
	)

	artifacts = restjson.Structure(
		restjson.Required("Audio", restjson.Structure(
			restjson.Required("MuxType", restjson.Enum("AudioOnly", activeSpeakerVideo, compositedVideo)),
		)),
		restjson.Required("Video", restjson.Structure(
			restjson.Required("State", switched),
			restjson.Optional("MuxType", restjson.Enum("VideoOnly")),
		)),
		restjson.Required("Content", restjson.Structure(
			restjson.Required("State", switched),
			restjson.Optional("MuxType", restjson.Enum("ContentOnly")),
		)),
		restjson.Optional("CompositedVideo", composition),
	)

	captureSource = restjson.Structure(
		restjson.Required("Type", restjson.Enum("MediaCapturePipeline")),
		restjson.Required("MediaCapturePipelineSourceConfiguration", restjson.Structure(
			restjson.Required("MediaPipelineArn", arn),
			restjson.Required("ChimeSdkMeetingConfiguration", restjson.Structure(
				restjson.Required("ArtifactsConfiguration", restjson.Structure(
					restjson.Required("Audio", restjson.Structure(restjson.Required("State", restjson.Enum(enabled)))),
					restjson.Required("Video", joined),
					restjson.Required("Content", joined),
					restjson.Required("DataChannel", joined),
					restjson.Required("TranscriptionMessages", joined),
					restjson.Required("MeetingEvents", joined),
					restjson.Required("CompositedVideo", joined),
				)),
			)),
		)),
	)

	bucketSink = restjson.Structure(
		restjson.Required("Type", restjson.Enum("S3Bucket")),
		restjson.Required("S3BucketSinkConfiguration", restjson.Structure(
			restjson.Required("Destination", arn),
		)),
	)

	joined   = restjson.Structure(restjson.Required("State", switched))
	switched = restjson.Enum(enabled, "Disabled")

	corner      = restjson.Enum("TopLeft", "TopRight", "BottomLeft", "BottomRight")
	tileOrder   = restjson.Enum("JoinSequence", "SpeakerSequence")
	color       = restjson.Enum("Black", "Blue", "Red", "Green", "White", "Yellow")
	orientation = restjson.Enum("Landscape", portrait)
	aspectRatio = restjson.String(0, 5).Accepted(isAspectRatio, "two numbers from 1 to 99 with a slash between them, like 16/9")

	externalUserID = restjson.String(2, 64).Matching("[-_&@+=,(){}\\[\\]/«».:|'\"#a-zA-Z0-9À-ÿ\\s]*",
		`letters up to ÿ, digits, blanks and -_&@+=,(){}[]/«».:|'"#`)
)

const (
	compositedVideo    = "AudioWithCompositedVideo"
	activeSpeakerVideo = "AudioWithActiveSpeakerVideo"
	portrait           = "Portrait"
	enabled            = "Enabled"
	maxSelected        = 25 // attendees whose video can be selected
)

var ratio = regexp.MustCompile(`^\d{1,2}/\d{1,2}$`)

func isAspectRatio(s string) bool {
	w, h, _ := strings.Cut(s, "/")
	return ratio.MatchString(s) && strings.Trim(w, "0") != "" && strings.Trim(h, "0") != ""
}
