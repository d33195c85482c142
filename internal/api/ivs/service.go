// Package ivs is the Interactive Video Service (low-latency channels): its
// operations as a table, and between AWS's shapes and package channel's a thin
// layer that knows ARNs, endpoints and which channel settings go together.
package ivs

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"belfry.live/belfry/internal/api/restjson"
	"belfry.live/belfry/internal/channel"
)

// Channels is what the service needs of package channel.
type Channels interface {
	Create(ctx context.Context, s channel.Spec) (channel.Channel, channel.StreamKey, error)
	Get(ctx context.Context, id channel.ID) (channel.Channel, error)
	List(ctx context.Context, account, region string) ([]channel.Channel, error)
	Delete(ctx context.Context, id channel.ID) error
	StreamKey(ctx context.Context, id channel.KeyID) (channel.StreamKey, error)
	StreamKeys(ctx context.Context, id channel.ID) ([]channel.StreamKey, error)
	Stream(ctx context.Context, id channel.ID) (channel.Stream, error)
	StopStream(ctx context.Context, id channel.ID) error
}

// Config says how channels are named and reached.
type Config struct {
	PublicURL      *url.URL
	IngestEndpoint string // bare host name
}

// Error types of the service.
const (
	validation        = "ValidationException"
	notFound          = "ResourceNotFoundException"
	conflict          = "ConflictException"
	quotaExceeded     = "ServiceQuotaExceededException"
	notBroadcasting   = "ChannelNotBroadcasting"
	throttling        = "ThrottlingException"
	internal          = "InternalServerException"
	unavailable       = "ServiceUnavailable"
	streamUnavailable = "StreamUnavailable"
	pending           = "PendingVerification"
)

type service struct {
	cfg      Config
	channels Channels
}

// New returns the service's table over the channels.
func New(cfg Config, channels Channels) *restjson.Service {
	s := &service{cfg, channels}
	return &restjson.Service{
		SigningName: "ivs",
		Name:        "ivs",
		Title:       "Amazon Interactive Video Service, low-latency streaming",
		Operations:  s.operations(),
		Types: map[string]int{
			validation:              http.StatusBadRequest,
			quotaExceeded:           http.StatusPaymentRequired,
			"AccessDeniedException": http.StatusForbidden,
			pending:                 http.StatusForbidden,
			notFound:                http.StatusNotFound,
			notBroadcasting:         http.StatusNotFound,
			conflict:                http.StatusConflict,
			throttling:              http.StatusTooManyRequests,
			internal:                http.StatusInternalServerError,
			unavailable:             http.StatusServiceUnavailable,
			streamUnavailable:       http.StatusServiceUnavailable,
		},
		Common:    []string{validation, "AccessDeniedException"},
		Invalid:   validation,
		Denied:    "AccessDeniedException",
		Resources: resources,
		Throttled: throttling,
		Rate:      restjson.Rate{PerSecond: 5, Burst: 5},
		Failure:   internal,
		ErrorBody: errorBody,
		Answers: []restjson.Answer{
			{Err: channel.ErrNotFound, Status: http.StatusNotFound, Type: notFound},
			{Err: channel.ErrKeyNotFound, Status: http.StatusNotFound, Type: notFound},
			{Err: channel.ErrNotBroadcasting, Status: http.StatusNotFound, Type: notBroadcasting},
			{Err: channel.ErrLive, Status: http.StatusConflict, Type: conflict},
			{Err: channel.ErrTooMany, Status: http.StatusPaymentRequired, Type: quotaExceeded},
		},
	}
}

// errorBody says the message twice: the model's member is exceptionMessage, but
// without message the clients show none.
func errorBody(e *restjson.Error, _ string) any {
	return map[string]string{"exceptionMessage": e.Message, "message": e.Message}
}

// invalid is the answer to a request whose members contradict each other or
// ask for what does not exist here.
func invalid(format string, args ...any) error {
	return restjson.Errorf(http.StatusBadRequest, validation, format, args...)
}

// arn names one of the service's resources.
func arn(account, region, kind, id string) string {
	return fmt.Sprintf("arn:aws:ivs:%s:%s:%s/%s", region, account, kind, id)
}

// idIn takes the resource's id out of its ARN. One of another region or account
// than the caller's names nothing.
func idIn(c restjson.Caller, kind, name string) (string, bool) {
	return strings.CutPrefix(name, arn(c.Account, c.Region, kind, ""))
}

// find returns the channel with the ARN.
func (s *service) find(ctx context.Context, c restjson.Caller, name string) (channel.Channel, error) {
	id, ok := idIn(c, "channel", name)
	if !ok {
		return channel.Channel{}, fmt.Errorf("%w: %s in %s", channel.ErrNotFound, name, c.Region)
	}
	ch, err := s.channels.Get(ctx, channel.ID(id))
	if err == nil && (ch.Account != c.Account || ch.Region != c.Region) {
		err = channel.ErrNotFound
	}
	if err != nil {
		return channel.Channel{}, fmt.Errorf("%w: %s", err, name)
	}
	return ch, nil
}

// playbackURL is where viewers watch the channel.
func (s *service) playbackURL(ch channel.Channel) string {
	return s.cfg.PublicURL.JoinPath("api/video/v1",
		fmt.Sprintf("%s.%s.channel.%s.m3u8", ch.Region, ch.Account, ch.ID)).String()
}
