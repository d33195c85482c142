// Package ivs is the Interactive Video Service (low-latency channels): its
// operations as a table, and between AWS's shapes and package channel's a thin
// layer that knows ARNs, endpoints and which channel settings go together.
package ivs

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"belfry.live/belfry/internal/api/restjson"
	"belfry.live/belfry/internal/channel"
)

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
	channels *channel.Service
}

// New returns the service's table over the channels.
func New(cfg Config, channels *channel.Service) *restjson.Service {
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
		Answers:   answers,
	}
}

// answers are the domain's errors. A channel's configuration that is being
// changed by two at once is a conflict, as is one of a policy.
var answers = []restjson.Answer{
	{Err: channel.ErrInvalid, Status: http.StatusBadRequest, Type: validation},
	{Err: channel.ErrRecordingUnavailable, Status: http.StatusBadRequest, Type: validation},
	{Err: channel.ErrMetadataUnavailable, Status: http.StatusBadRequest, Type: validation},
	{Err: channel.ErrTooMany, Status: http.StatusPaymentRequired, Type: quotaExceeded},
	{Err: channel.ErrTooManyKeys, Status: http.StatusPaymentRequired, Type: quotaExceeded},
	{Err: channel.ErrTooManyKeyPairs, Status: http.StatusPaymentRequired, Type: quotaExceeded},
	{Err: channel.ErrTooManyPolicies, Status: http.StatusPaymentRequired, Type: quotaExceeded},
	{Err: channel.ErrTooManyRecordings, Status: http.StatusPaymentRequired, Type: quotaExceeded},
	{Err: channel.ErrNotFound, Status: http.StatusNotFound, Type: notFound},
	{Err: channel.ErrKeyNotFound, Status: http.StatusNotFound, Type: notFound},
	{Err: channel.ErrSessionNotFound, Status: http.StatusNotFound, Type: notFound},
	{Err: channel.ErrKeyPairNotFound, Status: http.StatusNotFound, Type: notFound},
	{Err: channel.ErrPolicyNotFound, Status: http.StatusNotFound, Type: notFound},
	{Err: channel.ErrRecordingNotFound, Status: http.StatusNotFound, Type: notFound},
	{Err: channel.ErrNotBroadcasting, Status: http.StatusNotFound, Type: notBroadcasting},
	{Err: channel.ErrLive, Status: http.StatusConflict, Type: conflict},
	{Err: channel.ErrChanged, Status: http.StatusConflict, Type: conflict},
	{Err: channel.ErrKeyPairExists, Status: http.StatusConflict, Type: conflict},
	{Err: channel.ErrPolicyInUse, Status: http.StatusConflict, Type: conflict},
	{Err: channel.ErrRecordingInUse, Status: http.StatusConflict, Type: conflict},
	{Err: channel.ErrTooManyRevocations, Status: http.StatusTooManyRequests, Type: throttling},
	{Err: channel.ErrMetadataTooFast, Status: http.StatusTooManyRequests, Type: throttling},
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

// owner is whose resources the caller sees.
func owner(c restjson.Caller) channel.Owner {
	return channel.Owner{Account: c.Account, Region: c.Region}
}

// arn names one of the service's resources.
func arn(o channel.Owner, kind, id string) string {
	return "arn:aws:ivs:" + o.Region + ":" + o.Account + ":" + kind + "/" + id
}

// arnIfAny is "" for no resource.
func arnIfAny(o channel.Owner, kind, id string) string {
	if id == "" {
		return ""
	}
	return arn(o, kind, id)
}

// idIn takes the resource's id out of its ARN. One of another region or account
// than the caller's names nothing.
func idIn(c restjson.Caller, kind, name string) (string, bool) {
	id, ok := strings.CutPrefix(name, arn(owner(c), kind, ""))
	if !ok {
		return "", false
	}
	return id, true
}

// lookUp finds a resource of the kind by its ARN; missing is the error that
// there is none.
func lookUp[ID ~string, T any](c restjson.Caller, kind, name string, missing error, get func(ID) (T, error)) (T, error) {
	id, ok := idIn(c, kind, name)
	if !ok {
		var none T
		return none, fmt.Errorf("%w: %s in %s", missing, name, c.Region)
	}
	found, err := get(ID(id))
	if err != nil {
		return found, fmt.Errorf("%w: %s", err, name)
	}
	return found, nil
}

// find returns the channel with the ARN.
func (s *service) find(c restjson.Caller, name string) (channel.Channel, error) {
	return lookUp(c, "channel", name, channel.ErrNotFound, func(id channel.ID) (channel.Channel, error) {
		return s.channels.Find(owner(c), id)
	})
}

// playbackURL is where viewers watch the channel.
func (s *service) playbackURL(ch channel.Channel) string {
	return s.cfg.PublicURL.JoinPath("api/video/v1",
		fmt.Sprintf("%s.%s.channel.%s.m3u8", ch.Region, ch.Account, ch.ID)).String()
}
