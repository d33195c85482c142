// Package restjson speaks the REST-JSON 1 protocol of the AWS SDKs from
// tables: a service is a list of operations, an operation a row that says how
// it is called, what its members may be, which errors it may answer with and
// what it does. The table routes a request, turns path, query and body into
// one checked input, words what is wrong with it, and holds the answers to what
// clients know. What an operation does is a function beside its row; who the
// caller is has been found out before (package api).
package restjson

import (
	"slices"
	"strings"
	"sync"
)

// MaxBody is the largest request body, in bytes.
const MaxBody = 1 << 20

// A Service is one AWS service. Its fields do not change once it is asked.
type Service struct {
	SigningName string // in the credential scope of its requests
	Name        string // begins the names of its actions in policies: chime, ivs
	Title       string // for people
	Operations  []Operation

	Types     map[string]int // every error type that it has, with its status
	Common    []string       // error types that every operation may answer with
	Answers   []Answer       // for the errors of the domain
	Invalid   string         // error type for a request that is wrong in itself
	Denied    string         // error type for what the caller's policy does not allow
	Throttled string         // error type for what came too fast
	Failure   string         // error type for what is our fault
	// ErrorBody returns what is written as JSON when an operation fails.
	ErrorBody func(e *Error, requestID string) any

	// Rate is AWS's for an operation whose row has no other.
	Rate Rate
	// Owns says whether the ARN is of one of the service's resources. It
	// decides between services that have the same route.
	Owns func(arn string) bool
	// Resources are the ARNs of what an operation is about, for policies, if its
	// row does not say: every one must be allowed. The document is not checked
	// yet. None, or a nil function: "*".
	Resources func(Caller, Document) []string
	// Pages seals page tokens; nil: with a secret of this service alone.
	Pages *Pages
	// Strict turns an error that an operation's row does not have into Failure,
	// so that a test meets it. Otherwise it is answered, and reported.
	Strict bool

	once   sync.Once
	routes map[route][]*Operation
	claims map[place][]*Operation
}

// An Operation is one row of a service's table.
type Operation struct {
	Name   string
	Method string
	Path   string // segments in braces are members: /meetings/{MeetingId}
	Query  string // value of the query parameter "operation", if the route has one
	// Shared is the member with the ARN that tells whose the request is, if
	// another service has the same route.
	Shared string
	Status int // of a success
	Input  []Member
	Errors []string // error types it may answer with besides the common ones
	Class  Class
	// Gap is what it does not do on this server, for people; "": nothing is
	// missing.
	Gap  string
	Rate Rate // if it is not the service's
	// Resource is the ARN of what it is about, for policies; nil: "*". It is
	// asked before the members have been checked.
	Resource func(Caller, Document) string
	Do       Handler

	segments []string // of Path
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

// A Rate is how often one account may call an operation in one region.
type Rate struct {
	PerSecond float64
	Burst     int
}

// A Caller is who signed a request, and how.
type Caller struct {
	AccessKeyID string
	Account     string // 12 digits; with Region, whose resources there are
	Region      string // of the credential scope: 1 to 64 of [a-z0-9-]
	// May returns an error, in words for the caller, if its policy does not allow
	// the action (chime:CreateMeeting) on the resource, an ARN or "*". nil:
	// everything is allowed.
	May func(action, resource string) error

	pages *Pages
}

// ReadOnly says whether the operation changes nothing: its name says so.
func (op *Operation) ReadOnly() bool {
	return slices.ContainsFunc([]string{"Get", "List", "BatchGet"}, func(verb string) bool { return strings.HasPrefix(op.Name, verb) })
}

// may says whether the operation may answer with the error type.
func (s *Service) may(op *Operation, kind string) bool {
	return slices.Contains(op.Errors, kind) || slices.Contains(s.Common, kind) ||
		kind == s.Invalid || kind == s.Denied || kind == s.Throttled || kind == s.Failure
}

// RateOf is the operation's rate.
func (s *Service) RateOf(op *Operation) Rate {
	if op.Rate != (Rate{}) {
		return op.Rate
	}
	return s.Rate
}
