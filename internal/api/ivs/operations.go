package ivs

import (
	"net/http"

	"belfry.live/belfry/internal/api/restjson"
)

// operations is the service's table.
func (s *service) operations() []restjson.Operation {
	return []restjson.Operation{
		{
			Name: "CreateChannel", Method: http.MethodPost, Path: "/CreateChannel", Status: http.StatusOK,
			Input: []restjson.Member{
				restjson.Optional("name", name),
				restjson.Optional("latencyMode", restjson.Enum("NORMAL", "LOW")),
				restjson.Optional("type", restjson.Enum("BASIC", "STANDARD", "ADVANCED_SD", "ADVANCED_HD")),
				restjson.Optional("authorized", restjson.Boolean()),
				restjson.Optional("recordingConfigurationArn", arnOrEmpty("recording-configuration")),
				restjson.Optional("tags", tags),
				restjson.Optional("insecureIngest", restjson.Boolean()),
				restjson.Optional("preset", restjson.Enum(higherBandwidth, "CONSTRAINED_BANDWIDTH_DELIVERY", "")),
				restjson.Optional("playbackRestrictionPolicyArn", arnOrEmpty("playback-restriction-policy")),
				restjson.Optional("multitrackInputConfiguration", restjson.Structure(
					restjson.Optional("enabled", restjson.Boolean()),
					restjson.Optional("policy", restjson.Enum("ALLOW", "REQUIRE")),
					restjson.Optional("maximumResolution", restjson.Enum("SD", "HD", "FULL_HD")),
				)),
				restjson.Optional("containerFormat", restjson.Enum("TS", "FRAGMENTED_MP4")),
				restjson.Optional("adConfigurationArn", arnOrEmpty("ad-configuration")),
			},
			Class: restjson.A, Errors: []string{notFound, pending, quotaExceeded},
			Do: restjson.Do(s.createChannel),
		},
		{
			Name: "GetChannel", Method: http.MethodPost, Path: "/GetChannel", Status: http.StatusOK,
			Input: []restjson.Member{restjson.Required("arn", arnOf("channel"))},
			Class: restjson.A, Errors: []string{notFound},
			Do: restjson.Do(s.getChannel),
		},
		{
			Name: "ListChannels", Method: http.MethodPost, Path: "/ListChannels", Status: http.StatusOK,
			Input: []restjson.Member{
				restjson.Optional("filterByName", name),
				restjson.Optional("filterByRecordingConfigurationArn", arnOrEmpty("recording-configuration")),
				restjson.Optional("filterByPlaybackRestrictionPolicyArn", arnOrEmpty("playback-restriction-policy")),
				restjson.Optional("filterByAdConfigurationArn", arnOrEmpty("ad-configuration")),
				restjson.Optional("nextToken", pageToken),
				restjson.Optional("maxResults", restjson.Integer(1, 100)),
			},
			Class: restjson.A, Errors: []string{conflict},
			Do: restjson.Do(s.listChannels),
		},
		{
			Name: "DeleteChannel", Method: http.MethodPost, Path: "/DeleteChannel", Status: http.StatusNoContent,
			Input: []restjson.Member{restjson.Required("arn", arnOf("channel"))},
			Class: restjson.A, Errors: []string{notFound, pending, conflict},
			Do: restjson.Act(s.deleteChannel),
		},
		{
			Name: "GetStreamKey", Method: http.MethodPost, Path: "/GetStreamKey", Status: http.StatusOK,
			Input: []restjson.Member{restjson.Required("arn", arnOf("stream-key"))},
			Class: restjson.A, Errors: []string{notFound},
			Do: restjson.Do(s.getStreamKey),
		},
		{
			Name: "ListStreamKeys", Method: http.MethodPost, Path: "/ListStreamKeys", Status: http.StatusOK,
			Input: []restjson.Member{
				restjson.Required("channelArn", arnOf("channel")),
				restjson.Optional("nextToken", pageToken),
				restjson.Optional("maxResults", restjson.Integer(1, 50)),
			},
			Class: restjson.A, Errors: []string{notFound},
			Do: restjson.Do(s.listStreamKeys),
		},
		{
			Name: "GetStream", Method: http.MethodPost, Path: "/GetStream", Status: http.StatusOK,
			Input: []restjson.Member{restjson.Required("channelArn", arnOf("channel"))},
			Class: restjson.A, Errors: []string{notFound, notBroadcasting},
			Do: restjson.Do(s.getStream),
		},
		{
			Name: "StopStream", Method: http.MethodPost, Path: "/StopStream", Status: http.StatusOK,
			Input: []restjson.Member{restjson.Required("channelArn", arnOf("channel"))},
			Class: restjson.A, Errors: []string{notFound, notBroadcasting, streamUnavailable},
			Do: restjson.Do(s.stopStream),
		},
	}
}

const higherBandwidth = "HIGHER_BANDWIDTH_DELIVERY"

var (
	name = restjson.String(0, 128).Matching(`[a-zA-Z0-9\-_]*`, "letters, digits, - and _")

	pageToken = restjson.String(0, 1024).Matching(`[a-zA-Z0-9+/=_\-]*`, "a token from an earlier answer")

	tags = restjson.Map(
		restjson.String(1, 128).Matching(tagCharacters, tagForm),
		restjson.String(0, 256).Matching(tagCharacters, tagForm),
		50,
	)
)

const (
	tagCharacters = `[\p{L}\p{Z}\p{N}_.:/=+\-@]*`
	tagForm       = "letters, digits, blanks and _.:/=+-@"
)

func arnOf(kind string) restjson.Text {
	return restjson.String(1, 128).Matching(arnPattern(kind), "a "+kind+"'s ARN")
}

// arnOrEmpty takes "" too, which means none.
func arnOrEmpty(kind string) restjson.Text {
	return restjson.String(0, 128).Matching("|"+arnPattern(kind), "a "+kind+"'s ARN or empty")
}

func arnPattern(kind string) string {
	return `arn:aws:ivs:[a-z0-9-]+:[0-9]+:` + kind + `/[a-zA-Z0-9-]+`
}
