package ivs

import (
	"context"
	"net/http"

	"belfry.live/belfry/internal/api/restjson"
)

// adOperations insert advertisements at AWS, which needs another of its
// services. There are none here, and nothing makes one.
func (s *service) adOperations() []restjson.Operation {
	const unavailableAds = "ad insertion is not available on this server"
	playback := restjson.List(restjson.Structure(
		restjson.Optional("playbackConfigurationArn", restjson.String(0, 128).Matching(
			`arn:aws:mediatailor:[a-z0-9-]+:[0-9]+:playbackConfiguration/[a-zA-Z0-9-]+`, "a MediaTailor playback configuration's ARN")),
	), 1, 3)
	postRoll := restjson.Optional("postRollConfiguration", restjson.Structure(
		restjson.Required("durationSeconds", restjson.Integer(1, 300)),
		restjson.Required("enabled", restjson.Boolean()),
	))
	refused := restjson.Refuse(http.StatusBadRequest, validation, unavailableAds)
	missing := restjson.Refuse(http.StatusNotFound, notFound, "ad configuration not found: %s", unavailableAds)
	return []restjson.Operation{
		at(3, post(restjson.C, "CreateAdConfiguration", []restjson.Member{
			restjson.Optional("name", name),
			restjson.Required("mediaTailorPlaybackConfigurations", playback),
			restjson.Optional("tags", tags),
			postRoll,
		}, refused, notFound, internal, pending, throttling, conflict, quotaExceeded)),
		at(3, without(post(restjson.C, "DeleteAdConfiguration", one("arn", "ad-configuration"), missing, notFound, internal, conflict))),
		at(3, post(restjson.C, "GetAdConfiguration", one("arn", "ad-configuration"), missing, notFound, internal)),
		at(1, post(restjson.C, "InsertAdBreak", append(one("channelArn", "channel"), restjson.Required("durationSeconds", restjson.Integer(1, 300))),
			refused, notFound, internal, notBroadcasting, throttling, conflict)),
		at(3, post(restjson.C, "ListAdConfigurations", paged(100), restjson.Do(listAdConfigurations), internal)),
		at(3, post(restjson.C, "UpdateAdConfiguration", append(
			one("arn", "ad-configuration"),
			restjson.Optional("name", name),
			restjson.Optional("mediaTailorPlaybackConfigurations", playback),
			postRoll,
		), missing, conflict, internal, pending, notFound, quotaExceeded, throttling)),
	}
}

type (
	adConfigurationSummary struct {
		ARN                               string             `json:"arn"`
		Name                              string             `json:"name"`
		MediaTailorPlaybackConfigurations []adPlayback       `json:"mediaTailorPlaybackConfigurations"`
		Tags                              map[string]string  `json:"tags"`
		PostRollConfiguration             *adPostRollSetting `json:"postRollConfiguration,omitempty"`
	}

	adPlayback struct {
		PlaybackConfigurationARN string `json:"playbackConfigurationArn"`
	}

	adPostRollSetting struct {
		DurationSeconds int  `json:"durationSeconds"`
		Enabled         bool `json:"enabled"`
	}

	listAdConfigurationsOutput struct {
		AdConfigurations []adConfigurationSummary `json:"adConfigurations"`
		NextToken        string                   `json:"nextToken,omitempty"`
	}
)

func listAdConfigurations(_ context.Context, c restjson.Caller, in pageInput) (listAdConfigurationsOutput, error) {
	none, next, err := page(c, "ad configurations", []adConfigurationSummary{},
		func(a adConfigurationSummary) string { return a.ARN }, in, manyPages)
	if err != nil {
		return listAdConfigurationsOutput{}, err
	}
	return listAdConfigurationsOutput{append([]adConfigurationSummary{}, none...), next}, nil
}
