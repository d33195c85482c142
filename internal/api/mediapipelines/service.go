// Package mediapipelines is the Chime SDK Media Pipelines service: its
// operations as a table, and between AWS's shapes and package connector's a
// thin layer that reads ARNs and the nested settings of a live connector.
package mediapipelines

import (
	"context"
	"net/http"
	"strings"

	"belfry.live/belfry/internal/api/restjson"
	"belfry.live/belfry/internal/connector"
)

// Connectors is what the service needs of package connector.
type Connectors interface {
	Create(ctx context.Context, s connector.Spec) (connector.Pipeline, error)
	Get(ctx context.Context, id connector.ID) (connector.Pipeline, error)
	List(ctx context.Context, account, region string) ([]connector.Pipeline, error)
	Delete(ctx context.Context, id connector.ID) error
	Tag(ctx context.Context, id connector.ID, tags map[string]string) error
	Untag(ctx context.Context, id connector.ID, keys []string) error
}

// Error types of the service.
const (
	badRequest    = "BadRequestException"
	limitExceeded = "ResourceLimitExceededException"
	notFound      = "NotFoundException"
	conflict      = "ConflictException"
)

type service struct {
	connectors Connectors
}

// New returns the service's table over the connectors.
func New(connectors Connectors) *restjson.Service {
	s := &service{connectors}
	return &restjson.Service{
		SigningName: "chime",
		Name:        "chime",
		Title:       "Amazon Chime SDK Media Pipelines",
		Operations:  s.operations(),
		Types: map[string]int{
			badRequest:                    http.StatusBadRequest,
			limitExceeded:                 http.StatusBadRequest,
			"UnauthorizedClientException": http.StatusUnauthorized,
			"ForbiddenException":          http.StatusForbidden,
			notFound:                      http.StatusNotFound,
			conflict:                      http.StatusConflict,
			"ThrottledClientException":    http.StatusTooManyRequests,
			"ServiceFailureException":     http.StatusInternalServerError,
			"ServiceUnavailableException": http.StatusServiceUnavailable,
		},
		Common: []string{
			badRequest, "UnauthorizedClientException", "ForbiddenException", "ThrottledClientException",
			"ServiceFailureException", "ServiceUnavailableException",
		},
		Invalid:   badRequest,
		Denied:    "ForbiddenException",
		Throttled: "ThrottledClientException",
		Rate:      restjson.Rate{PerSecond: 10, Burst: 20},
		Owns:      owns,
		Resources: resources,
		Failure:   "ServiceFailureException",
		ErrorBody: restjson.ChimeErrorBody,
		Answers: []restjson.Answer{
			{Err: connector.ErrNotFound, Status: http.StatusNotFound, Type: notFound},
			{Err: connector.ErrMeetingNotFound, Status: http.StatusBadRequest, Type: badRequest},
			{Err: connector.ErrMeetingTaken, Status: http.StatusBadRequest, Type: limitExceeded},
			{Err: connector.ErrTooMany, Status: http.StatusBadRequest, Type: limitExceeded},
			{Err: connector.ErrTokenTaken, Status: http.StatusBadRequest, Type: badRequest},
			{Err: connector.ErrNotAvailable, Status: http.StatusBadRequest, Type: badRequest},
			{Err: connector.ErrTooManyTags, Status: http.StatusBadRequest, Type: badRequest},
		},
	}
}

// owns says whether the ARN is of a pipeline or of what belongs to pipelines.
func owns(arn string) bool { return strings.Contains(arn, ":media-") }

// invalid is the answer to a request whose members contradict each other or
// mean nothing.
func invalid(format string, args ...any) error {
	return restjson.Errorf(http.StatusBadRequest, badRequest, format, args...)
}
