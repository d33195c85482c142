package mediapipelines

import (
	"net/http"
	"regexp"
	"strings"

	"belfry.live/belfry/internal/api/restjson"
)

// operations is the service's table.
func (s *service) operations() []restjson.Operation {
	pipelineID := restjson.Required("MediaPipelineId", uuid)
	return []restjson.Operation{
		{
			Name: "CreateMediaLiveConnectorPipeline", Method: http.MethodPost, Path: "/sdk-media-live-connector-pipelines", Status: http.StatusCreated,
			Input: []restjson.Member{
				restjson.Required("Sources", restjson.List(source, 1, 1)),
				restjson.Required("Sinks", restjson.List(sink, 1, 1)),
				restjson.Optional("ClientRequestToken", restjson.String(2, 64).Matching(`[-_a-zA-Z0-9]*`, "letters, digits, - and _")),
				restjson.Optional("Tags", restjson.List(tag, 1, 200)),
			},
			Class: restjson.A, Errors: []string{limitExceeded},
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
			Input: []restjson.Member{
				restjson.Query("next-token", "NextToken", restjson.String(0, 4096)),
				restjson.Query("max-results", "MaxResults", restjson.Integer(1, 100)),
			},
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

var (
	uuid = restjson.String(36, 36).Matching(`[a-fA-F0-9]{8}(-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}`, "a UUID")

	arn = restjson.String(1, 1024).Matching(`arn[/:\-_.a-zA-Z0-9]+`, "an ARN")

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
			restjson.Optional("SourceConfiguration", restjson.Structure(
				restjson.Optional("SelectedVideoStreams", restjson.Structure(
					restjson.Optional("AttendeeIds", restjson.List(uuid, 1, maxSelected)),
					restjson.Optional("ExternalUserIds", restjson.List(externalUserID, 1, maxSelected)),
				)),
			)),
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
	maxSelected        = 25 // attendees whose video can be selected
)

var ratio = regexp.MustCompile(`^\d{1,2}/\d{1,2}$`)

func isAspectRatio(s string) bool {
	w, h, _ := strings.Cut(s, "/")
	return ratio.MatchString(s) && strings.Trim(w, "0") != "" && strings.Trim(h, "0") != ""
}
