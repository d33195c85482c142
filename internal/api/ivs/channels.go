package ivs

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"net/http"
	"slices"

	"belfry.live/belfry/internal/api/restjson"
	"belfry.live/belfry/internal/channel"
)

func (s *service) channelOperations() []restjson.Operation {
	const gaps = "viewers get the source rendition alone, in fragmented MP4, whatever type and containerFormat say; " +
		"multitrackInputConfiguration.enabled must be false; recordingConfigurationArn can name nothing, for recording is not available"
	return []restjson.Operation{
		gap(gaps, post(restjson.A, "CreateChannel",
			append(settingMembers(), restjson.Optional("tags", tags)),
			restjson.Do(s.createChannel), notFound, pending, quotaExceeded)),
		post(restjson.A, "GetChannel", one("arn", "channel"), restjson.Do(s.getChannel), notFound),
		post(restjson.A, "ListChannels", paged(
			100,
			restjson.Optional("filterByName", name),
			restjson.Optional("filterByRecordingConfigurationArn", arnOrEmpty("recording-configuration")),
			restjson.Optional("filterByPlaybackRestrictionPolicyArn", arnOrEmpty("playback-restriction-policy")),
			restjson.Optional("filterByAdConfigurationArn", arnOrEmpty("ad-configuration")),
		), restjson.Do(s.listChannels), conflict),
		without(post(restjson.A, "DeleteChannel", one("arn", "channel"), restjson.Act(s.deleteChannel), notFound, pending, conflict)),
		gap(gaps, post(restjson.B, "UpdateChannel",
			append(one("arn", "channel"), settingMembers()...),
			restjson.Do(s.updateChannel), notFound, pending, conflict)),
		post(restjson.B, "BatchGetChannel", []restjson.Member{restjson.Required("arns", restjson.List(arnOf("channel"), 1, 50))},
			restjson.Do(s.batchGetChannel), unavailable),
	}
}

type (
	createChannelInput struct {
		settings
		Tags map[string]string
	}

	updateChannelInput struct {
		arnInput
		settings
	}

	listChannelsInput struct {
		pageInput
		FilterByName                         string
		FilterByRecordingConfigurationARN    string `json:"filterByRecordingConfigurationArn"`
		FilterByPlaybackRestrictionPolicyARN string `json:"filterByPlaybackRestrictionPolicyArn"`
		FilterByAdConfigurationARN           string `json:"filterByAdConfigurationArn"`
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

	batchGetChannelOutput struct {
		Channels []channelShape `json:"channels"`
		Errors   []batchError   `json:"errors"`
	}

	listChannelsOutput struct {
		Channels  []channelSummary `json:"channels"`
		NextToken string           `json:"nextToken,omitempty"`
	}
)

func (s *service) createChannel(ctx context.Context, c restjson.Caller, in createChannelInput) (createChannelOutput, error) {
	spec := plain(owner(c))
	spec.Tags = in.Tags
	if err := s.change(c, in.settings, &spec); err != nil {
		return createChannelOutput{}, err
	}
	ch, key, err := s.channels.Create(ctx, spec)
	if err != nil {
		return createChannelOutput{}, err
	}
	return createChannelOutput{s.shape(ch), shapeStreamKey(key)}, nil
}

func (s *service) getChannel(_ context.Context, c restjson.Caller, in arnInput) (channelOutput, error) {
	ch, err := s.find(c, in.ARN)
	if err != nil {
		return channelOutput{}, err
	}
	return channelOutput{s.shape(ch)}, nil
}

func (s *service) updateChannel(ctx context.Context, c restjson.Caller, in updateChannelInput) (channelOutput, error) {
	ch, err := s.find(c, in.ARN)
	if err != nil {
		return channelOutput{}, err
	}
	ch, err = s.channels.Update(ctx, owner(c), ch.ID, func(spec *channel.Spec) error { return s.change(c, in.settings, spec) })
	if err != nil {
		return channelOutput{}, fmt.Errorf("%w: %s", err, in.ARN)
	}
	return channelOutput{s.shape(ch)}, nil
}

func (s *service) deleteChannel(ctx context.Context, c restjson.Caller, in arnInput) error {
	ch, err := s.find(c, in.ARN)
	if err != nil {
		return err
	}
	return s.channels.Delete(ctx, ch.ID)
}

func (s *service) batchGetChannel(_ context.Context, c restjson.Caller, in arnsInput) (batchGetChannelOutput, error) {
	out := batchGetChannelOutput{Channels: []channelShape{}, Errors: []batchError{}}
	for _, arn := range in.ARNs {
		ch, err := s.find(c, arn)
		if err != nil {
			out.Errors = append(out.Errors, batchError{arn, notFound, err.Error()})
			continue
		}
		out.Channels = append(out.Channels, s.shape(ch))
	}
	return out, nil
}

func (s *service) listChannels(_ context.Context, c restjson.Caller, in listChannelsInput) (listChannelsOutput, error) {
	filters := []string{in.FilterByName, in.FilterByRecordingConfigurationARN, in.FilterByPlaybackRestrictionPolicyARN, in.FilterByAdConfigurationARN}
	if n := len(filters) - len(slices.DeleteFunc(slices.Clone(filters), func(f string) bool { return f != "" })); n > 1 {
		return listChannelsOutput{}, restjson.Errorf(http.StatusConflict, conflict, "at most one filter may be given, got %d", n)
	}
	wanted := func(has channelSummary) bool {
		for i, value := range []string{has.Name, has.RecordingConfigurationARN, has.PlaybackRestrictionPolicyARN, has.AdConfigurationARN} {
			if filters[i] != "" && filters[i] != value {
				return false
			}
		}
		return true
	}
	after := func(position string) iter.Seq2[string, channelSummary] {
		return func(yield func(string, channelSummary) bool) {
			for id, ch := range s.channels.After(owner(c), channel.ID(position)) {
				if has := summary(ch); wanted(has) && !yield(string(id), has) {
					return
				}
			}
		}
	}
	page, next, err := restjson.Page(c, fmt.Sprintf("channels %q", filters), after, in.NextToken, cmp.Or(in.MaxResults, manyPages))
	if err != nil {
		return listChannelsOutput{}, err
	}
	if page == nil {
		page = []channelSummary{}
	}
	return listChannelsOutput{Channels: page, NextToken: next}, nil
}

func (s *service) shape(ch channel.Channel) channelShape {
	return channelShape{
		channelSummary:  summary(ch),
		IngestEndpoint:  s.cfg.IngestEndpoint,
		PlaybackURL:     s.playbackURL(ch),
		ContainerFormat: ch.ContainerFormat,
		MultitrackInputConfiguration: multitrack{
			Policy:            cmp.Or(ch.Multitrack.Policy, "ALLOW"),
			MaximumResolution: cmp.Or(ch.Multitrack.MaximumResolution, "FULL_HD"),
		},
	}
}

func summary(ch channel.Channel) channelSummary {
	o := ch.Owner()
	return channelSummary{
		ARN:                          arn(o, "channel", string(ch.ID)),
		Name:                         ch.Name,
		LatencyMode:                  ch.LatencyMode,
		Type:                         ch.Type,
		Authorized:                   ch.Authorized,
		InsecureIngest:               ch.InsecureIngest,
		Preset:                       ch.Preset,
		RecordingConfigurationARN:    arnIfAny(o, "recording-configuration", string(ch.Recording)),
		PlaybackRestrictionPolicyARN: arnIfAny(o, "playback-restriction-policy", string(ch.Policy)),
		Tags:                         notNil(ch.Tags),
	}
}

// notNil returns the tags as an object even if there are none: the service's
// answers have no nulls.
func notNil(tags map[string]string) map[string]string {
	if tags == nil {
		return noTags
	}
	return tags
}

var noTags = map[string]string{}
