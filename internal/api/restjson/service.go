// Package restjson speaks the REST-JSON 1 protocol of the AWS SDKs from
// tables: a service is a list of operations, an operation a row that says how
// it is called and what its members may be. The table routes a request, turns
// path, query and body into one checked input, and words what is wrong with
// it. What an operation does is a function beside its row; who the caller is
// has been found out before (package api).
package restjson

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
)

// MaxBody is the largest request body, in bytes.
const MaxBody = 1 << 20

// A Service is one AWS service.
type Service struct {
	SigningName string // in the credential scope of its requests
	Name        string // begins the names of its actions in policies: chime, ivs
	Title       string // for people
	Operations  []Operation
	Common      []string // error types that every operation may answer with
	Answers     []Answer // for the errors of the domain
	Invalid     string   // error type for a request that is wrong in itself, status 400
	Failure     string   // error type for what is our fault, status 500
	// ErrorBody returns what is written as JSON when an operation fails.
	ErrorBody func(e *Error, requestID string) any
}

// An Operation is one row of a service's table.
type Operation struct {
	Name   string
	Method string
	Path   string // segments in braces are members: /meetings/{MeetingId}
	Query  string // value of the query parameter "operation", if the route has one
	Status int    // of a success
	Input  []Member
	Errors []string // error types it may answer with besides the common ones
	Class  Class
	// Gap is what it does not do on this server, for people; "": nothing is
	// missing.
	Gap string
	// Resource is the ARN of what it is about, for policies; nil: "*".
	Resource func(Caller, Document) string
	Do       Handler
}

// A Class says how much an operation matters: A is needed to hold a meeting,
// stream it and watch it, B is what users of the service call besides, and C is
// the rest, most of which makes no sense here and is refused.
type Class byte

// The classes.
const (
	A Class = 'A'
	B Class = 'B'
	C Class = 'C'
)

// A Caller is who signed a request, and how.
type Caller struct {
	AccessKeyID string
	Account     string // 12 digits; with Region, whose resources there are
	Region      string // of the credential scope: 1 to 64 of [a-z0-9-]
}

// A Handler does what an operation is for.
type Handler struct {
	// call returns nil for an empty body.
	call   func(ctx context.Context, c Caller, input Document) (output any, err error)
	output reflect.Type // of a success; nil: none
}

// Output is the type of what a success answers with, as package encoding/json
// writes it; nil: its body is empty.
func (h Handler) Output() reflect.Type { return h.output }

// Do makes a handler of a function with an input of its own type, to whose
// fields the members are decoded as package encoding/json does it.
func Do[In, Out any](f func(context.Context, Caller, In) (Out, error)) Handler {
	call := func(ctx context.Context, c Caller, input Document) (any, error) {
		var in In
		if err := input.decode(&in); err != nil {
			return nil, err
		}
		out, err := f(ctx, c, in)
		if err != nil {
			return nil, err
		}
		return out, nil
	}
	return Handler{call, reflect.TypeFor[Out]()}
}

// Act makes a handler of a function that answers with an empty body.
func Act[In any](f func(context.Context, Caller, In) error) Handler {
	return Handler{call: func(ctx context.Context, c Caller, input Document) (any, error) {
		var in In
		if err := input.decode(&in); err != nil {
			return nil, err
		}
		return nil, f(ctx, c, in)
	}}
}

// Refuse makes a handler that answers every well-formed request with the error.
func Refuse(status int, kind, format string, args ...any) Handler {
	refusal := Errorf(status, kind, format, args...)
	return Handler{call: func(context.Context, Caller, Document) (any, error) { return nil, refusal }}
}

// A Document is an input that passed its table: objects are map[string]any
// with known members only, none of them null.
type Document map[string]any

func (d Document) decode(into any) error {
	text, err := json.Marshal(d)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		return fmt.Errorf("the operation's table and its input type differ: %w", err)
	}
	return nil
}

// Serve runs the operation on a request whose body has been read, and answers.
// It returns the error behind an answer of status 500, to be logged.
func (s *Service) Serve(w http.ResponseWriter, r *http.Request, call Call, c Caller, body []byte, requestID string) error {
	input, err := call.input(r, body)
	if err != nil {
		s.Fail(w, &Error{http.StatusBadRequest, s.Invalid, err.Error()}, requestID)
		return nil
	}
	output, err := call.Operation.Do.call(r.Context(), c, input)
	if err != nil {
		answer := s.answer(err)
		s.Fail(w, answer, requestID)
		if answer.Status == http.StatusInternalServerError {
			return fmt.Errorf("%s: %w", call.Operation.Name, err)
		}
		return nil
	}
	write(w, call.Operation.Status, output)
	return nil
}

// Fail answers with an error in the service's form.
func (s *Service) Fail(w http.ResponseWriter, e *Error, requestID string) {
	w.Header().Set("X-Amzn-ErrorType", e.Type)
	write(w, e.Status, s.ErrorBody(e, requestID))
}

// write answers with v as JSON, or with an empty body if v is nil.
func write(w http.ResponseWriter, status int, v any) {
	if v == nil {
		w.WriteHeader(status)
		return
	}
	text, err := json.Marshal(v)
	if err != nil {
		panic("restjson: output that is no JSON: " + err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text) // the client has gone if this fails
}
