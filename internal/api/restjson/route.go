package restjson

import (
	"net/http"
	"net/url"
	"strings"
)

// A Call is an operation that a request asks for, with the segments of its
// path that are members.
type Call struct {
	Operation *Operation
	path      map[string]string // by member name, unescaped
}

// Find returns the service's operation for the request's method, its path
// (escaped as sent, without a query) and its query.
func (s *Service) Find(method, path string, query url.Values) (Call, bool) {
	segments := Segments(path)
	for i := range s.Operations {
		op := &s.Operations[i]
		if op.Method != method || op.Query != query.Get("operation") {
			continue
		}
		if members, ok := match(op.Path, segments); ok {
			return Call{op, members}, true
		}
	}
	return Call{}, false
}

// Claims says whether the path is one of the service's, whatever the method.
func (s *Service) Claims(path string) bool {
	segments := Segments(path)
	for i := range s.Operations {
		if _, ok := match(s.Operations[i].Path, segments); ok {
			return true
		}
	}
	return false
}

// Segments splits an escaped path at its slashes. Repeated slashes count as
// one: clients whose endpoint ends in a slash send them.
func Segments(path string) []string {
	return strings.FieldsFunc(path, func(c rune) bool { return c == '/' })
}

// match holds the segments against a pattern and returns those in braces.
func match(pattern string, segments []string) (map[string]string, bool) {
	var members map[string]string
	want := Segments(pattern)
	if len(want) != len(segments) {
		return nil, false
	}
	for i, p := range want {
		name, isMember := strings.CutPrefix(p, "{")
		switch {
		case isMember:
			value, err := url.PathUnescape(segments[i])
			if err != nil {
				return nil, false
			}
			if members == nil {
				members = map[string]string{}
			}
			members[strings.TrimSuffix(name, "}")] = value
		case p != segments[i]:
			return nil, false
		}
	}
	return members, true
}

// hasBody says whether the operation's members may come in a body.
func (op *Operation) hasBody() bool {
	return op.Method != http.MethodGet && op.Method != http.MethodDelete
}
