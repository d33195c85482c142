package restjson

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// MaxTime is how long an operation that changes something may take. It goes on
// when its client has gone, so that a line that is cut leaves nothing half done.
const MaxTime = 30 * time.Second

// What is beyond these is left to the check of the members to refuse.
const (
	maxResources = 100  // of one operation
	maxARN       = 2048 // bytes
)

// Permit refuses what the caller's policy does not allow.
func (s *Service) Permit(call Call, c Caller, in Input) *Error {
	if c.May == nil {
		return nil
	}
	op := call.Operation
	for _, resource := range s.about(op, c, in.document) {
		if err := c.May(s.Name+":"+op.Name, resource); err != nil {
			return &Error{Status: http.StatusForbidden, Type: s.Denied, Message: err.Error()}
		}
	}
	return nil
}

// about returns the ARNs of what the operation is about, or "*". It looks at
// members of the operation alone: naming something else besides must not make a
// request seem to be about that.
func (s *Service) about(op *Operation, c Caller, d Document) []string {
	d = d.only(op.Input)
	if op.Resource != nil {
		return []string{op.Resource(c, d)}
	}
	var all []string
	if s.Resources != nil {
		all = s.Resources(c, d)
	}
	if len(all) == 0 || slices.ContainsFunc(all, func(arn string) bool { return len(arn) > maxARN }) {
		return []string{"*"}
	}
	return all[:min(len(all), maxResources)]
}

// Serve runs the operation and answers. It returns what the server's log should
// have: the error behind an answer of status 500, or that an answer is none
// that clients know of this operation.
func (s *Service) Serve(ctx context.Context, w http.ResponseWriter, call Call, c Caller, in Input, requestID string) error {
	op := call.Operation
	document, err := in.Check(op)
	if err != nil {
		s.Fail(w, s.invalid(err), requestID)
		return nil
	}
	if !op.ReadOnly() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), MaxTime)
		defer cancel()
	}
	c.pages = s.Pages
	output, err := op.Do.do(ctx, c, document)
	if err == nil {
		write(w, op.Status, output)
		return nil
	}
	answer := s.answer(op, err)
	problem := s.unlisted(op, answer)
	switch {
	case problem != nil && s.Strict:
		answer = s.failure()
	case problem == nil && answer.Status == http.StatusInternalServerError:
		problem = err
	}
	s.Fail(w, answer, requestID)
	if problem != nil {
		return fmt.Errorf("%s: %w", op.Name, problem)
	}
	return nil
}

// unlisted says what is wrong with an answer that the operation's row or the
// service's table of types does not have.
func (s *Service) unlisted(op *Operation, e *Error) error {
	switch status, known := s.Types[e.Type]; {
	case !s.may(op, e.Type):
		return fmt.Errorf("its row does not list the answer %w", e)
	case !known:
		return fmt.Errorf("the service has no error type of the answer %w", e)
	case status != e.Status:
		return fmt.Errorf("the answer %w has status %d, its type has %d", e, e.Status, status)
	}
	return nil
}

// Fail answers with an error in the service's form.
func (s *Service) Fail(w http.ResponseWriter, e *Error, requestID string) {
	w.Header().Set("X-Amzn-ErrorType", e.Type)
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", e.retryAfter())
	}
	write(w, e.Status, s.ErrorBody(e, requestID))
}

// buffers hold answers while they are written. They grow as large as pages do.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// write answers with v as JSON, or with an empty body if v is nil.
func write(w http.ResponseWriter, status int, v any) {
	if v == nil {
		w.WriteHeader(status)
		return
	}
	b := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(b)
	b.Reset()
	if err := json.NewEncoder(b).Encode(v); err != nil {
		panic("restjson: output that is no JSON: " + err.Error())
	}
	text := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = w.Write(text) // the client has gone if this fails
}
