package restjson

import (
	"errors"
	"fmt"
	"net/http"
)

// An Error is an answer that is no success.
type Error struct {
	Status  int
	Type    string // as clients know it: NotFoundException
	Message string
}

func (e *Error) Error() string { return e.Type + ": " + e.Message }

// Errorf returns an Error with a formatted message.
func Errorf(status int, kind, format string, args ...any) *Error {
	return &Error{status, kind, fmt.Sprintf(format, args...)}
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
func (s *Service) answer(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	for _, a := range s.Answers {
		if errors.Is(err, a.Err) {
			return &Error{a.Status, a.Type, err.Error()}
		}
	}
	return &Error{http.StatusInternalServerError, s.Failure, "internal error; the server's log has it under this request's id"}
}
