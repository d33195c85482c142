package ivs

import (
	"context"
	"fmt"
	"slices"

	"belfry.live/belfry/internal/api/restjson"
	"belfry.live/belfry/internal/channel"
)

func (s *service) streamOperations() []restjson.Operation {
	health := restjson.Enum(string(channel.Healthy), string(channel.Starving), string(channel.Unknown))
	return []restjson.Operation{
		post(restjson.A, "GetStream", one("channelArn", "channel"), restjson.Do(s.getStream), notFound, notBroadcasting),
		post(restjson.A, "StopStream", one("channelArn", "channel"), restjson.Do(s.stopStream), notFound, notBroadcasting, streamUnavailable),
		post(restjson.B, "ListStreams", paged(100, restjson.Optional("filterBy", restjson.Structure(restjson.Optional("health", health)))),
			restjson.Do(s.listStreams)),
		at(155, gap("it checks everything and then refuses: timed metadata is not available", without(
			post(restjson.B, "PutMetadata", append(one("channelArn", "channel"), restjson.Required("metadata", restjson.String(1, channel.MaxMetadata))),
				restjson.Act(s.putMetadata), notFound, notBroadcasting, throttling)))),
	}
}

type (
	streamInput struct {
		ChannelARN string `json:"channelArn"`
	}

	listStreamsInput struct {
		pageInput
		FilterBy struct{ Health channel.Health }
	}

	putMetadataInput struct {
		ChannelARN string `json:"channelArn"`
		Metadata   string
	}

	streamSummary struct {
		ChannelARN  string         `json:"channelArn"`
		StreamID    string         `json:"streamId"`
		StartTime   restjson.Time  `json:"startTime"`
		State       string         `json:"state"`
		Health      channel.Health `json:"health"`
		ViewerCount int            `json:"viewerCount"`
	}

	streamShape struct {
		streamSummary
		PlaybackURL string `json:"playbackUrl"`
	}

	streamOutput struct {
		Stream streamShape `json:"stream"`
	}

	listStreamsOutput struct {
		Streams   []streamSummary `json:"streams"`
		NextToken string          `json:"nextToken,omitempty"`
	}
)

func (s *service) getStream(ctx context.Context, c restjson.Caller, in streamInput) (streamOutput, error) {
	ch, err := s.find(c, in.ChannelARN)
	if err != nil {
		return streamOutput{}, err
	}
	stream, err := s.channels.Stream(ctx, ch.ID)
	if err != nil {
		return streamOutput{}, err
	}
	return streamOutput{streamShape{summarizeStream(ch.Owner(), stream), s.playbackURL(ch)}}, nil
}

func (s *service) stopStream(ctx context.Context, c restjson.Caller, in streamInput) (struct{}, error) {
	ch, err := s.find(c, in.ChannelARN)
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, s.channels.StopStream(ctx, ch.ID)
}

func (s *service) listStreams(_ context.Context, c restjson.Caller, in listStreamsInput) (listStreamsOutput, error) {
	health := in.FilterBy.Health
	all := s.channels.Streams(owner(c))
	if health != "" {
		all = slices.DeleteFunc(all, func(stream channel.Stream) bool { return stream.Health != health })
	}
	page, next, err := page(c, fmt.Sprintf("streams %q", health), all,
		func(stream channel.Stream) string { return string(stream.ChannelID) }, in.pageInput, manyPages)
	if err != nil {
		return listStreamsOutput{}, err
	}
	out := listStreamsOutput{Streams: []streamSummary{}, NextToken: next}
	for _, stream := range page {
		out.Streams = append(out.Streams, summarizeStream(owner(c), stream))
	}
	return out, nil
}

func (s *service) putMetadata(_ context.Context, c restjson.Caller, in putMetadataInput) error {
	ch, err := s.find(c, in.ChannelARN)
	if err != nil {
		return err
	}
	return s.channels.PutMetadata(owner(c), ch.ID, in.Metadata)
}

func summarizeStream(o channel.Owner, stream channel.Stream) streamSummary {
	return streamSummary{
		ChannelARN:  arn(o, "channel", string(stream.ChannelID)),
		StreamID:    stream.ID,
		StartTime:   restjson.Time(stream.Started),
		State:       "LIVE",
		Health:      stream.Health,
		ViewerCount: stream.Viewers,
	}
}
