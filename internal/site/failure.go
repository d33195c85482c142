package site

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// A failure is why a request could not be served: what was being done and what
// went wrong with it, in words for people.
type failure struct {
	status int
	step   string // "create channel"; "" if the request itself is wrong
	cause  string
}

func (f *failure) Error() string {
	if f.step == "" {
		return f.cause
	}
	return f.step + ": " + f.cause
}

// explain turns an error of a step into a failure. What a service refuses for
// a reason keeps its meaning; all else, from a wrong access key to a service
// that cannot be reached, is our fault: 503.
func explain(step string, err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	f := &failure{http.StatusServiceUnavailable, step, err.Error()}
	if errors.Is(err, context.DeadlineExceeded) {
		f.cause = "no answer in time"
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		f.cause = api.ErrorCode() + ": " + apiMessage(api)
		f.status = meaning(api.ErrorCode(), httpStatus(err))
	}
	return f
}

// meaning returns our status for a service's error.
func meaning(code string, status int) int {
	switch {
	case strings.Contains(code, "Limit"), strings.Contains(code, "Quota"), strings.Contains(code, "Thrott"):
		return http.StatusTooManyRequests
	case status == http.StatusBadRequest, status == http.StatusNotFound, status == http.StatusConflict, status == http.StatusUnprocessableEntity:
		return status
	}
	return http.StatusServiceUnavailable
}

// apiMessage returns what the service said. The client for IVS has it in a
// field of its own, where ErrorMessage does not look.
func apiMessage(e smithy.APIError) string {
	if v := reflect.Indirect(reflect.ValueOf(e)); v.Kind() == reflect.Struct {
		if f := v.FieldByName("ExceptionMessage"); f.IsValid() {
			if text, ok := f.Interface().(*string); ok && text != nil {
				return aws.ToString(text)
			}
		}
	}
	return e.ErrorMessage()
}

// httpStatus returns the status a service answered with, or 0 if it did not.
func httpStatus(err error) int {
	if r, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		return r.HTTPStatusCode()
	}
	return 0
}

// isGone says whether the service knows no such thing.
func isGone(err error) bool { return httpStatus(err) == http.StatusNotFound }
