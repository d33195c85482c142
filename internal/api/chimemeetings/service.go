// Package chimemeetings is the Chime SDK Meetings service: its operations as a
// table, and between AWS's shapes and package meeting's a thin layer that
// knows ARNs, media placement and the rules by which features and capabilities
// go together.
package chimemeetings

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"belfry.live/belfry/internal/api/restjson"
	"belfry.live/belfry/internal/meeting"
)

// Meetings is what the service needs of package meeting.
type Meetings interface {
	Create(ctx context.Context, s meeting.Spec) (meeting.Meeting, error)
	CreateWith(ctx context.Context, s meeting.Spec, first []meeting.Newcomer) (m meeting.Meeting, admitted []meeting.Admission, isNew bool, err error)
	Lookup(ctx context.Context, id meeting.ID) (meeting.Meeting, error)
	End(ctx context.Context, id meeting.ID) error
	AddAttendee(ctx context.Context, id meeting.ID, externalUserID string, c meeting.Capabilities) (meeting.Attendee, error)
	Attendee(ctx context.Context, id meeting.ID, attendee meeting.AttendeeID) (meeting.Attendee, error)
	Attendees(ctx context.Context, id meeting.ID) ([]meeting.Attendee, error)
	AddAttendees(ctx context.Context, id meeting.ID, all []meeting.Newcomer) ([]meeting.Admission, error)
	RemoveAttendee(ctx context.Context, id meeting.ID, attendee meeting.AttendeeID) error
	UpdateCapabilities(ctx context.Context, id meeting.ID, attendee meeting.AttendeeID, c meeting.Capabilities) (meeting.Attendee, error)
	UpdateCapabilitiesExcept(ctx context.Context, id meeting.ID, except []meeting.AttendeeID, c meeting.Capabilities) error
	Tag(ctx context.Context, id meeting.ID, tags map[string]string) error
	Untag(ctx context.Context, id meeting.ID, keys []string) error
}

// Config says how meetings are named and placed.
type Config struct {
	PublicURL    *url.URL
	MediaAddress string // host:port
}

// Error types of the service.
const (
	badRequest    = "BadRequestException"
	notFound      = "NotFoundException"
	limitExceeded = "LimitExceededException"
	conflict      = "ConflictException"
	unprocessable = "UnprocessableEntityException"
	tooManyTags   = "TooManyTagsException"
	noResource    = "ResourceNotFoundException"
)

type service struct {
	cfg      Config
	meetings Meetings
}

// New returns the service's table over the meetings.
func New(cfg Config, meetings Meetings) *restjson.Service {
	s := &service{cfg, meetings}
	return &restjson.Service{
		SigningName: "chime",
		Name:        "chime",
		Title:       "Amazon Chime SDK Meetings",
		Operations:  s.operations(),
		Types: map[string]int{
			badRequest:                    http.StatusBadRequest,
			limitExceeded:                 http.StatusBadRequest,
			tooManyTags:                   http.StatusBadRequest,
			"UnauthorizedException":       http.StatusUnauthorized,
			"ForbiddenException":          http.StatusForbidden,
			notFound:                      http.StatusNotFound,
			noResource:                    http.StatusNotFound,
			conflict:                      http.StatusConflict,
			unprocessable:                 http.StatusUnprocessableEntity,
			"ThrottlingException":         http.StatusTooManyRequests,
			"ServiceFailureException":     http.StatusInternalServerError,
			"ServiceUnavailableException": http.StatusServiceUnavailable,
		},
		Common: []string{
			badRequest, "UnauthorizedException", "ForbiddenException", "ThrottlingException",
			"ServiceFailureException", "ServiceUnavailableException",
		},
		Invalid:   badRequest,
		Denied:    "ForbiddenException",
		Throttled: "ThrottlingException",
		Rate:      restjson.Rate{PerSecond: 10, Burst: 20},
		Owns:      owns,
		Resources: resources,
		Failure:   "ServiceFailureException",
		ErrorBody: restjson.ChimeErrorBody,
		Answers: []restjson.Answer{
			{Err: meeting.ErrNotFound, Status: http.StatusNotFound, Type: notFound},
			{Err: meeting.ErrAttendeeNotFound, Status: http.StatusNotFound, Type: notFound},
			{Err: meeting.ErrFull, Status: http.StatusBadRequest, Type: limitExceeded},
			{Err: meeting.ErrTooMany, Status: http.StatusBadRequest, Type: limitExceeded},
			{Err: meeting.ErrTooManyReplicas, Status: http.StatusBadRequest, Type: limitExceeded},
			{Err: meeting.ErrPrimary, Status: http.StatusBadRequest, Type: badRequest},
			{Err: meeting.ErrTag, Status: http.StatusBadRequest, Type: badRequest},
			{Err: meeting.ErrTooManyTags, Status: http.StatusBadRequest, Type: tooManyTags},
		},
	}
}

// owns says whether the ARN is a meeting's, in either of the forms that are
// written.
func owns(arn string) bool {
	return strings.Contains(arn, ":meeting/") || strings.Contains(arn, ":meeting:")
}

// lookup finds a meeting of the caller's account and region: one made in
// another is, as at AWS, not there.
func (s *service) lookup(ctx context.Context, c restjson.Caller, id string) (meeting.Meeting, error) {
	m, err := s.meetings.Lookup(ctx, meeting.ID(strings.ToLower(id)))
	if err == nil && (m.Account != c.Account || m.Region != c.Region) {
		err = meeting.ErrNotFound
	}
	if err != nil {
		return meeting.Meeting{}, fmt.Errorf("%w: %s in %s", err, id, c.Region)
	}
	return m, nil
}

// invalid is the answer to a request whose members contradict each other or
// ask for what does not exist here.
func invalid(format string, args ...any) error {
	return restjson.Errorf(http.StatusBadRequest, badRequest, format, args...)
}
