package ivs

import (
	"context"
	"errors"

	"belfry.live/belfry/internal/api/restjson"
	"belfry.live/belfry/internal/channel"
)

func (s *service) revocationOperations() []restjson.Operation {
	members := append(one("channelArn", "channel"),
		restjson.Required("viewerId", restjson.String(1, 40)),
		restjson.Optional("viewerSessionVersionsLessThanOrEqualTo", restjson.Integer(0, 1<<31-1)),
	)
	return []restjson.Operation{
		at(10, post(restjson.B, "StartViewerSessionRevocation", members, restjson.Do(s.revoke), notFound, internal, throttling, pending)),
		at(2, post(restjson.B, "BatchStartViewerSessionRevocation",
			[]restjson.Member{restjson.Required("viewerSessions", restjson.List(restjson.Structure(members...), 1, 20))},
			restjson.Do(s.batchRevoke), pending, throttling)),
	}
}

type (
	revocationInput struct {
		ChannelARN                             string `json:"channelArn"`
		ViewerID                               string `json:"viewerId"`
		ViewerSessionVersionsLessThanOrEqualTo int64
	}

	batchRevocationInput struct{ ViewerSessions []revocationInput }

	revocationError struct {
		ChannelARN string `json:"channelArn"`
		ViewerID   string `json:"viewerId"`
		Code       string `json:"code"`
		Message    string `json:"message"`
	}

	batchRevocationOutput struct {
		Errors []revocationError `json:"errors"`
	}
)

func (s *service) revoke(ctx context.Context, c restjson.Caller, in revocationInput) (struct{}, error) {
	ch, err := s.find(c, in.ChannelARN)
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, s.channels.RevokeViewer(ctx, ch.ID, in.ViewerID, in.ViewerSessionVersionsLessThanOrEqualTo)
}

func (s *service) batchRevoke(ctx context.Context, c restjson.Caller, in batchRevocationInput) (batchRevocationOutput, error) {
	out := batchRevocationOutput{Errors: []revocationError{}}
	for _, session := range in.ViewerSessions {
		_, err := s.revoke(ctx, c, session)
		var code string
		switch {
		case err == nil:
			continue
		case errors.Is(err, channel.ErrNotFound):
			code = notFound
		case errors.Is(err, channel.ErrInvalid):
			code = validation
		case errors.Is(err, channel.ErrTooManyRevocations):
			code = throttling
		default:
			return batchRevocationOutput{}, err
		}
		out.Errors = append(out.Errors, revocationError{session.ChannelARN, session.ViewerID, code, err.Error()})
	}
	return out, nil
}
