package ivs

import (
	"cmp"
	"context"
	"fmt"

	"belfry.live/belfry/internal/api/restjson"
	"belfry.live/belfry/internal/channel"
)

type (
	streamKeyInput struct {
		ARN string `json:"arn"`
	}

	listStreamKeysInput struct {
		ChannelARN string `json:"channelArn"`
		NextToken  string
		MaxResults int
	}

	streamInput struct {
		ChannelARN string `json:"channelArn"`
	}

	streamKeySummary struct {
		ARN        string            `json:"arn"`
		ChannelARN string            `json:"channelArn"`
		Tags       map[string]string `json:"tags"`
	}

	streamKeyShape struct {
		streamKeySummary
		Value string `json:"value"`
	}

	streamKeyOutput struct {
		StreamKey streamKeyShape `json:"streamKey"`
	}

	listStreamKeysOutput struct {
		StreamKeys []streamKeySummary `json:"streamKeys"`
		NextToken  string             `json:"nextToken,omitempty"`
	}

	streamShape struct {
		ChannelARN  string         `json:"channelArn"`
		StreamID    string         `json:"streamId"`
		PlaybackURL string         `json:"playbackUrl"`
		StartTime   restjson.Time  `json:"startTime"`
		State       string         `json:"state"`
		Health      channel.Health `json:"health"`
		ViewerCount int            `json:"viewerCount"`
	}

	streamOutput struct {
		Stream streamShape `json:"stream"`
	}
)

func (s *service) getStreamKey(ctx context.Context, c restjson.Caller, in streamKeyInput) (streamKeyOutput, error) {
	id, ok := idIn(c, "stream-key", in.ARN)
	if !ok {
		return streamKeyOutput{}, fmt.Errorf("%w: %s in %s", channel.ErrKeyNotFound, in.ARN, c.Region)
	}
	key, err := s.channels.StreamKey(ctx, channel.KeyID(id))
	if err == nil && (key.Account != c.Account || key.Region != c.Region) {
		err = channel.ErrKeyNotFound
	}
	if err != nil {
		return streamKeyOutput{}, fmt.Errorf("%w: %s", err, in.ARN)
	}
	return streamKeyOutput{shapeStreamKey(key)}, nil
}

func (s *service) listStreamKeys(ctx context.Context, c restjson.Caller, in listStreamKeysInput) (listStreamKeysOutput, error) {
	ch, err := s.find(ctx, c, in.ChannelARN)
	if err != nil {
		return listStreamKeysOutput{}, err
	}
	all, err := s.channels.StreamKeys(ctx, ch.ID)
	if err != nil {
		return listStreamKeysOutput{}, err
	}
	page, next, err := restjson.Page(c, "stream keys of "+string(ch.ID),
		restjson.Sorted(all, func(k channel.StreamKey) string { return string(k.ID) }), in.NextToken, cmp.Or(in.MaxResults, defaultStreamKeys))
	if err != nil {
		return listStreamKeysOutput{}, err
	}
	out := listStreamKeysOutput{StreamKeys: []streamKeySummary{}, NextToken: next}
	for _, k := range page {
		out.StreamKeys = append(out.StreamKeys, shapeStreamKey(k).streamKeySummary)
	}
	return out, nil
}

func (s *service) getStream(ctx context.Context, c restjson.Caller, in streamInput) (streamOutput, error) {
	ch, err := s.find(ctx, c, in.ChannelARN)
	if err != nil {
		return streamOutput{}, err
	}
	stream, err := s.channels.Stream(ctx, ch.ID)
	if err != nil {
		return streamOutput{}, err
	}
	return streamOutput{streamShape{
		ChannelARN:  in.ChannelARN,
		StreamID:    stream.ID,
		PlaybackURL: s.playbackURL(ch),
		StartTime:   restjson.Time(stream.Started),
		State:       "LIVE",
		Health:      stream.Health,
		ViewerCount: stream.Viewers,
	}}, nil
}

func (s *service) stopStream(ctx context.Context, c restjson.Caller, in streamInput) (struct{}, error) {
	ch, err := s.find(ctx, c, in.ChannelARN)
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, s.channels.StopStream(ctx, ch.ID)
}

func shapeStreamKey(key channel.StreamKey) streamKeyShape {
	return streamKeyShape{
		streamKeySummary{
			ARN:        arn(key.Account, key.Region, "stream-key", string(key.ID)),
			ChannelARN: arn(key.Account, key.Region, "channel", string(key.ChannelID)),
			Tags:       notNil(key.Tags),
		},
		key.Value.Reveal(),
	}
}
