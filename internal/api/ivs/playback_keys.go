package ivs

import (
	"context"

	"belfry.live/belfry/internal/api/restjson"
	"belfry.live/belfry/internal/channel"
)

func (s *service) playbackKeyOperations() []restjson.Operation {
	return []restjson.Operation{
		at(3, post(restjson.B, "ImportPlaybackKeyPair", []restjson.Member{
			restjson.Required("publicKeyMaterial", restjson.String(0, maxKeyMaterial)),
			restjson.Optional("name", name),
			restjson.Optional("tags", tags),
		}, restjson.Do(s.importPlaybackKey), pending, conflict, quotaExceeded)),
		at(3, post(restjson.B, "GetPlaybackKeyPair", one("arn", "playback-key"), restjson.Do(s.getPlaybackKey), notFound)),
		at(3, post(restjson.B, "ListPlaybackKeyPairs", paged(100), restjson.Do(s.listPlaybackKeys))),
		at(3, post(restjson.B, "DeletePlaybackKeyPair", one("arn", "playback-key"), restjson.Do(s.deletePlaybackKey), notFound, pending)),
	}
}

// maxKeyMaterial is the longest text that may hold a public key, in characters;
// the one kind there is has about 215.
const maxKeyMaterial = 8 << 10

type (
	importPlaybackKeyInput struct {
		PublicKeyMaterial string
		Name              string
		Tags              map[string]string
	}

	playbackKeySummary struct {
		ARN  string            `json:"arn"`
		Name string            `json:"name"`
		Tags map[string]string `json:"tags"`
	}

	playbackKeyShape struct {
		playbackKeySummary
		Fingerprint string `json:"fingerprint"`
	}

	playbackKeyOutput struct {
		KeyPair playbackKeyShape `json:"keyPair"`
	}

	listPlaybackKeysOutput struct {
		KeyPairs  []playbackKeySummary `json:"keyPairs"`
		NextToken string               `json:"nextToken,omitempty"`
	}
)

func (s *service) importPlaybackKey(ctx context.Context, c restjson.Caller, in importPlaybackKeyInput) (playbackKeyOutput, error) {
	pair, err := s.channels.ImportPlaybackKeyPair(ctx, owner(c), channel.PlaybackKeySpec{
		Name: in.Name, Material: in.PublicKeyMaterial, Tags: in.Tags,
	})
	if err != nil {
		return playbackKeyOutput{}, err
	}
	return playbackKeyOutput{shapePlaybackKey(pair)}, nil
}

// findPlaybackKey returns the key pair with the ARN.
func (s *service) findPlaybackKey(c restjson.Caller, name string) (channel.PlaybackKeyPair, error) {
	return lookUp(c, "playback-key", name, channel.ErrKeyPairNotFound, func(id channel.PlaybackKeyID) (channel.PlaybackKeyPair, error) {
		return s.channels.PlaybackKeyPair(owner(c), id)
	})
}

func (s *service) getPlaybackKey(_ context.Context, c restjson.Caller, in arnInput) (playbackKeyOutput, error) {
	pair, err := s.findPlaybackKey(c, in.ARN)
	if err != nil {
		return playbackKeyOutput{}, err
	}
	return playbackKeyOutput{shapePlaybackKey(pair)}, nil
}

func (s *service) listPlaybackKeys(_ context.Context, c restjson.Caller, in pageInput) (listPlaybackKeysOutput, error) {
	page, next, err := page(c, "playback key pairs", s.channels.PlaybackKeyPairs(owner(c)),
		func(k channel.PlaybackKeyPair) string { return string(k.ID) }, in, manyPages)
	if err != nil {
		return listPlaybackKeysOutput{}, err
	}
	out := listPlaybackKeysOutput{KeyPairs: []playbackKeySummary{}, NextToken: next}
	for _, k := range page {
		out.KeyPairs = append(out.KeyPairs, shapePlaybackKey(k).playbackKeySummary)
	}
	return out, nil
}

// deletePlaybackKey answers with an object, unlike the other deletes.
func (s *service) deletePlaybackKey(ctx context.Context, c restjson.Caller, in arnInput) (struct{}, error) {
	pair, err := s.findPlaybackKey(c, in.ARN)
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, s.channels.DeletePlaybackKeyPair(ctx, owner(c), pair.ID)
}

func shapePlaybackKey(k channel.PlaybackKeyPair) playbackKeyShape {
	return playbackKeyShape{
		playbackKeySummary{ARN: arn(k.Owner, "playback-key", string(k.ID)), Name: k.Name, Tags: notNil(k.Tags)},
		k.Fingerprint(),
	}
}
