// Package clients calls the APIs with the official clients of three languages,
// as applications do: the AWS SDKs for Go and JavaScript, and boto and the aws
// CLI as Debian has them. In go an endpoint, a key, an operation by name and its
// members as in the service's model; out come the answer or the error as the
// client hands it to an application, in one form for all. What to ask and what
// is right are left to tests.
package clients

import (
	"context"
	"errors"
	"testing"
)

// A Client is the official one of a language.
type Client interface {
	Name() string
	// Call makes one call and returns what came of it. The error is about the
	// client itself, ErrUnknown if it has no such operation.
	Call(context.Context, Setup, Request) (Answer, error)
}

// ErrUnknown says that a client is too old for the operation.
var ErrUnknown = errors.New("the client does not know the operation")

// A Setup is how an application sets its client up.
type Setup struct {
	Endpoint     string
	Region       string
	AccessKeyID  string
	Secret       string
	SessionToken string // "": none
	// Fresh is a client that has called nobody before. Otherwise calls with the
	// same setup are made by the same client.
	Fresh bool
}

// The services.
const (
	Meetings  = "meetings"
	Pipelines = "pipelines"
	IVS       = "ivs"
)

// A Request is one call.
type Request struct {
	Service   string
	Operation string         // CreateMeeting
	Input     map[string]any // as in JSON, by the names of the model
	// PageSize has the client's own paginator ask for pages of so many items
	// until there are no more; 0: one plain call.
	PageSize int
}

// An Answer is what a client makes of the server's.
type Answer struct {
	Output    map[string]any   // as in JSON, by the names of the model; absent members are left out
	Pages     []map[string]any // of a paginator, instead
	Status    int              // 0: the client does not say
	RequestID string
	Error     *Error // nil: a success
}

// An Error is one of the server's.
type Error struct {
	Type     string
	Modelled bool   // the client has a type of its own for it
	Message  string // where the language's users look for it
	Text     string // wherever the client keeps it
}

// All returns the clients of the three languages. Their processes run until
// the test ends.
func All(t testing.TB) []Client {
	t.Helper()
	return []Client{NewGo(), JavaScript(t), Boto(t)}
}
