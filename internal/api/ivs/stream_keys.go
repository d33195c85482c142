package ivs

import (
	"cmp"
	"context"

	"belfry.live/belfry/internal/api/restjson"
	"belfry.live/belfry/internal/channel"
)

func (s *service) streamKeyOperations() []restjson.Operation {
	return []restjson.Operation{
		post(restjson.A, "GetStreamKey", one("arn", "stream-key"), restjson.Do(s.getStreamKey), notFound),
		post(restjson.A, "ListStreamKeys", paged(50, one("channelArn", "channel")...), restjson.Do(s.listStreamKeys), notFound),
		post(restjson.B, "CreateStreamKey", append(one("channelArn", "channel"), restjson.Optional("tags", tags)),
			restjson.Do(s.createStreamKey), notFound, pending, quotaExceeded),
		without(post(restjson.B, "DeleteStreamKey", one("arn", "stream-key"), restjson.Act(s.deleteStreamKey), notFound, pending)),
		post(restjson.B, "BatchGetStreamKey", []restjson.Member{restjson.Required("arns", restjson.List(arnOf("stream-key"), 1, 50))},
			restjson.Do(s.batchGetStreamKey), unavailable),
	}
}

type (
	createStreamKeyInput struct {
		ChannelARN string `json:"channelArn"`
		Tags       map[string]string
	}

	listStreamKeysInput struct {
		ChannelARN string `json:"channelArn"`
		pageInput
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

	batchGetStreamKeyOutput struct {
		StreamKeys []streamKeyShape `json:"streamKeys"`
		Errors     []batchError     `json:"errors"`
	}

	listStreamKeysOutput struct {
		StreamKeys []streamKeySummary `json:"streamKeys"`
		NextToken  string             `json:"nextToken,omitempty"`
	}
)

// findKey returns the stream key with the ARN.
func (s *service) findKey(c restjson.Caller, name string) (channel.StreamKey, error) {
	return lookUp(c, "stream-key", name, channel.ErrKeyNotFound, func(id channel.KeyID) (channel.StreamKey, error) {
		return s.channels.FindKey(owner(c), id)
	})
}

func (s *service) getStreamKey(_ context.Context, c restjson.Caller, in arnInput) (streamKeyOutput, error) {
	key, err := s.findKey(c, in.ARN)
	if err != nil {
		return streamKeyOutput{}, err
	}
	return streamKeyOutput{shapeStreamKey(key)}, nil
}

func (s *service) createStreamKey(ctx context.Context, c restjson.Caller, in createStreamKeyInput) (streamKeyOutput, error) {
	ch, err := s.find(c, in.ChannelARN)
	if err != nil {
		return streamKeyOutput{}, err
	}
	key, err := s.channels.CreateKey(ctx, owner(c), ch.ID, in.Tags)
	if err != nil {
		return streamKeyOutput{}, err
	}
	return streamKeyOutput{shapeStreamKey(key)}, nil
}

func (s *service) deleteStreamKey(ctx context.Context, c restjson.Caller, in arnInput) error {
	key, err := s.findKey(c, in.ARN)
	if err != nil {
		return err
	}
	return s.channels.DeleteKey(ctx, owner(c), key.ID)
}

func (s *service) batchGetStreamKey(_ context.Context, c restjson.Caller, in arnsInput) (batchGetStreamKeyOutput, error) {
	out := batchGetStreamKeyOutput{StreamKeys: []streamKeyShape{}, Errors: []batchError{}}
	for _, arn := range in.ARNs {
		key, err := s.findKey(c, arn)
		if err != nil {
			out.Errors = append(out.Errors, batchError{arn, notFound, err.Error()})
			continue
		}
		out.StreamKeys = append(out.StreamKeys, shapeStreamKey(key))
	}
	return out, nil
}

func (s *service) listStreamKeys(ctx context.Context, c restjson.Caller, in listStreamKeysInput) (listStreamKeysOutput, error) {
	ch, err := s.find(c, in.ChannelARN)
	if err != nil {
		return listStreamKeysOutput{}, err
	}
	all, err := s.channels.StreamKeys(ctx, ch.ID)
	if err != nil {
		return listStreamKeysOutput{}, err
	}
	page, next, err := page(c, "stream keys of "+string(ch.ID), all, func(k channel.StreamKey) string { return string(k.ID) },
		in.pageInput, onePage)
	if err != nil {
		return listStreamKeysOutput{}, err
	}
	out := listStreamKeysOutput{StreamKeys: []streamKeySummary{}, NextToken: next}
	for _, k := range page {
		out.StreamKeys = append(out.StreamKeys, shapeStreamKey(k).streamKeySummary)
	}
	return out, nil
}

func shapeStreamKey(key channel.StreamKey) streamKeyShape {
	o := channel.Owner{Account: key.Account, Region: key.Region}
	return streamKeyShape{
		streamKeySummary{
			ARN:        arn(o, "stream-key", string(key.ID)),
			ChannelARN: arn(o, "channel", string(key.ChannelID)),
			Tags:       notNil(key.Tags),
		},
		key.Value.Reveal(),
	}
}

// page cuts a page out of items, which are listed by key.
func page[T any](c restjson.Caller, list string, items []T, key func(T) string, in pageInput, size int) ([]T, string, error) {
	// What is listed may be shared; it is sorted here.
	return restjson.Page(c, list, restjson.Sorted(append([]T(nil), items...), key), in.NextToken, cmp.Or(in.MaxResults, size))
}
