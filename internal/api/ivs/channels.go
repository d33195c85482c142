package ivs

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"belfry.live/belfry/internal/api/restjson"
	"belfry.live/belfry/internal/channel"
)

// Page sizes unless another is asked for.
const (
	defaultChannels   = 100
	defaultStreamKeys = 1
)

type (
	createChannelInput struct {
		Name                         string
		LatencyMode                  string
		Type                         string
		Authorized                   bool
		RecordingConfigurationARN    string `json:"recordingConfigurationArn"`
		Tags                         map[string]string
		InsecureIngest               bool
		Preset                       string
		PlaybackRestrictionPolicyARN string `json:"playbackRestrictionPolicyArn"`
		MultitrackInputConfiguration multitrack
		ContainerFormat              string
		AdConfigurationARN           string `json:"adConfigurationArn"`
	}

	multitrack struct {
		Enabled           bool   `json:"enabled"`
		Policy            string `json:"policy"`
		MaximumResolution string `json:"maximumResolution"`
	}

	channelInput struct {
		ARN string `json:"arn"`
	}

	listChannelsInput struct {
		FilterByName                         string
		FilterByRecordingConfigurationARN    string `json:"filterByRecordingConfigurationArn"`
		FilterByPlaybackRestrictionPolicyARN string `json:"filterByPlaybackRestrictionPolicyArn"`
		FilterByAdConfigurationARN           string `json:"filterByAdConfigurationArn"`
		NextToken                            string
		MaxResults                           int
	}

	channelSummary struct {
		ARN                          string            `json:"arn"`
		Name                         string            `json:"name"`
		LatencyMode                  string            `json:"latencyMode"`
		Type                         string            `json:"type"`
		Authorized                   bool              `json:"authorized"`
		InsecureIngest               bool              `json:"insecureIngest"`
		Preset                       string            `json:"preset"`
		RecordingConfigurationARN    string            `json:"recordingConfigurationArn"`
		PlaybackRestrictionPolicyARN string            `json:"playbackRestrictionPolicyArn"`
		AdConfigurationARN           string            `json:"adConfigurationArn"`
		Tags                         map[string]string `json:"tags"`
	}

	channelShape struct {
		channelSummary
		IngestEndpoint               string     `json:"ingestEndpoint"`
		PlaybackURL                  string     `json:"playbackUrl"`
		ContainerFormat              string     `json:"containerFormat"`
		MultitrackInputConfiguration multitrack `json:"multitrackInputConfiguration"`
		SRT                          srt        `json:"srt"`
	}

	// There is no SRT ingest: both members stay empty.
	srt struct {
		Endpoint   string `json:"endpoint"`
		Passphrase string `json:"passphrase"`
	}

	createChannelOutput struct {
		Channel   channelShape   `json:"channel"`
		StreamKey streamKeyShape `json:"streamKey"`
	}

	channelOutput struct {
		Channel channelShape `json:"channel"`
	}

	listChannelsOutput struct {
		Channels  []channelSummary `json:"channels"`
		NextToken string           `json:"nextToken,omitempty"`
	}
)

func (s *service) createChannel(ctx context.Context, c restjson.Caller, in createChannelInput) (createChannelOutput, error) {
	spec, err := in.spec()
	if err != nil {
		return createChannelOutput{}, err
	}
	spec.Account, spec.Region = c.Account, c.Region
	ch, key, err := s.channels.Create(ctx, spec)
	if err != nil {
		return createChannelOutput{}, err
	}
	return createChannelOutput{s.shape(ch), shapeStreamKey(key)}, nil
}

// spec fills in the defaults and refuses settings that contradict each other.
// What this server does not have is refused too: a channel whose viewers were
// to be kept out must not come to life open to everybody.
func (in createChannelInput) spec() (channel.Spec, error) {
	for _, ref := range []struct{ name, arn string }{
		{"recordingConfigurationArn", in.RecordingConfigurationARN},
		{"playbackRestrictionPolicyArn", in.PlaybackRestrictionPolicyARN},
		{"adConfigurationArn", in.AdConfigurationARN},
	} {
		if ref.arn != "" {
			return channel.Spec{}, restjson.Errorf(http.StatusNotFound, notFound, "%s: no such resource: %q", ref.name, ref.arn)
		}
	}
	spec := channel.Spec{
		Name:            in.Name,
		LatencyMode:     cmp.Or(in.LatencyMode, "LOW"),
		Type:            cmp.Or(in.Type, "STANDARD"),
		ContainerFormat: cmp.Or(in.ContainerFormat, "TS"),
		Preset:          in.Preset,
		InsecureIngest:  in.InsecureIngest,
		Tags:            in.Tags,
	}
	advanced := strings.HasPrefix(spec.Type, "ADVANCED_")
	switch {
	case in.Authorized:
		return channel.Spec{}, invalid("authorized must be false: this server has no private channels yet")
	case in.MultitrackInputConfiguration.Enabled:
		return channel.Spec{}, invalid("multitrackInputConfiguration.enabled must be false: this server takes one video track")
	case spec.Preset != "" && !advanced:
		return channel.Spec{}, invalid("preset is for channels of an ADVANCED type, this one is of type %s: %q", spec.Type, spec.Preset)
	case advanced:
		spec.Preset = cmp.Or(spec.Preset, higherBandwidth)
	}
	return spec, nil
}

func (s *service) getChannel(ctx context.Context, c restjson.Caller, in channelInput) (channelOutput, error) {
	ch, err := s.find(ctx, c, in.ARN)
	if err != nil {
		return channelOutput{}, err
	}
	return channelOutput{s.shape(ch)}, nil
}

func (s *service) deleteChannel(ctx context.Context, c restjson.Caller, in channelInput) error {
	ch, err := s.find(ctx, c, in.ARN)
	if err != nil {
		return err
	}
	return s.channels.Delete(ctx, ch.ID)
}

func (s *service) listChannels(ctx context.Context, c restjson.Caller, in listChannelsInput) (listChannelsOutput, error) {
	// No channel refers to any of these.
	references := []string{in.FilterByRecordingConfigurationARN, in.FilterByPlaybackRestrictionPolicyARN, in.FilterByAdConfigurationARN}
	filters := slices.DeleteFunc(append(slices.Clone(references), in.FilterByName), func(f string) bool { return f == "" })
	if len(filters) > 1 {
		return listChannelsOutput{}, restjson.Errorf(http.StatusConflict, conflict, "at most one filter may be given, got %d", len(filters))
	}
	all, err := s.channels.List(ctx, c.Account, c.Region)
	if err != nil {
		return listChannelsOutput{}, err
	}
	if len(filters) == 1 {
		all = slices.DeleteFunc(all, func(ch channel.Channel) bool { return in.FilterByName == "" || ch.Name != in.FilterByName })
	}
	page, next, err := restjson.Page(c, fmt.Sprintf("channels %q", append(references, in.FilterByName)), restjson.Sorted(all, func(ch channel.Channel) string {
		return fmt.Sprintf("%020d %s", ch.Created.UnixNano(), ch.ID)
	}), in.NextToken, cmp.Or(in.MaxResults, defaultChannels))
	if err != nil {
		return listChannelsOutput{}, err
	}
	out := listChannelsOutput{Channels: []channelSummary{}, NextToken: next}
	for _, ch := range page {
		out.Channels = append(out.Channels, summary(ch))
	}
	return out, nil
}

func (s *service) shape(ch channel.Channel) channelShape {
	return channelShape{
		channelSummary:               summary(ch),
		IngestEndpoint:               s.cfg.IngestEndpoint,
		PlaybackURL:                  s.playbackURL(ch),
		ContainerFormat:              ch.ContainerFormat,
		MultitrackInputConfiguration: multitrack{Policy: "ALLOW", MaximumResolution: "FULL_HD"},
	}
}

func summary(ch channel.Channel) channelSummary {
	return channelSummary{
		ARN:            arn(ch.Account, ch.Region, "channel", string(ch.ID)),
		Name:           ch.Name,
		LatencyMode:    ch.LatencyMode,
		Type:           ch.Type,
		InsecureIngest: ch.InsecureIngest,
		Preset:         ch.Preset,
		Tags:           notNil(ch.Tags),
	}
}

// notNil returns the tags as an object even if there are none: the service's
// answers have no nulls.
func notNil(tags map[string]string) map[string]string {
	if tags == nil {
		return map[string]string{}
	}
	return tags
}
