package restjson

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// An Error is an answer that is no success.
type Error struct {
	Status     int
	Type       string // as clients know it: NotFoundException
	Message    string
	RetryAfter time.Duration // when to come again; 0: nothing is said of it
}

func (e *Error) Error() string { return e.Type + ": " + e.Message }

// retryAfter is RetryAfter in whole seconds, rounded up.
func (e *Error) retryAfter() string {
	return strconv.Itoa(int((e.RetryAfter + time.Second - 1) / time.Second))
}

// Errorf returns an Error with a formatted message.
func Errorf(status int, kind, format string, args ...any) *Error {
	return &Error{Status: status, Type: kind, Message: fmt.Sprintf(format, args...)}
}

// An Answer says how an error of the domain looks to a client. The message is
// the error's own.
type Answer struct {
	Err    error
	Status int
	Type   string
}

// answer finds the answer for an operation's error. What no table knows is our
// fault, and its text stays here.
func (s *Service) answer(op *Operation, err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if e, ok := errors.AsType[*tokenError](err); ok {
		return s.invalid(e.of(op))
	}
	for _, a := range s.Answers {
		if errors.Is(err, a.Err) {
			return &Error{Status: a.Status, Type: a.Type, Message: err.Error()}
		}
	}
	return s.failure()
}

func (s *Service) invalid(err error) *Error {
	return &Error{Status: http.StatusBadRequest, Type: s.Invalid, Message: err.Error()}
}

func (s *Service) failure() *Error {
	return Errorf(http.StatusInternalServerError, s.Failure, "internal error; the server's log has it under this request's id")
}

// of says it with the name that the operation has for the token.
func (e *tokenError) of(op *Operation) error {
	for _, m := range op.Input {
		if strings.EqualFold(m.Name, "NextToken") {
			return fmt.Errorf("%s: %w", m.Name, e)
		}
	}
	return e
}
