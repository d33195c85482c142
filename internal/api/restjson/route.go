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

// A place is what the paths of an operation have in common, as far as it is
// looked up; a route is that with the method and the query.
type (
	place struct {
		first    string // segment
		segments int
	}
	route struct {
		method, query string
		place
	}
)

// index makes the service's routes.
func (s *Service) index() {
	s.routes, s.claims = map[route][]*Operation{}, map[place][]*Operation{}
	if s.Pages == nil {
		s.Pages = newPages()
	}
	for i := range s.Operations {
		op := &s.Operations[i]
		op.segments = Segments(op.Path)
		p := place{op.segments[0], len(op.segments)}
		r := route{op.Method, op.Query, p}
		s.routes[r] = append(s.routes[r], op)
		s.claims[p] = append(s.claims[p], op)
	}
}

// Find returns the service's operation for the request's method, its path
// (escaped as sent, without a query) and its query.
func (s *Service) Find(method, path string, query url.Values) (Call, bool) {
	s.once.Do(s.index)
	segments := Segments(path)
	if len(segments) == 0 {
		return Call{}, false
	}
	for _, op := range s.routes[route{method, query.Get("operation"), place{segments[0], len(segments)}}] {
		if members, ok := match(op.segments, segments); ok {
			return Call{op, members}, true
		}
	}
	return Call{}, false
}

// Claims says whether the path is one of the service's, whatever the method.
func (s *Service) Claims(path string) bool {
	s.once.Do(s.index)
	segments := Segments(path)
	if len(segments) == 0 {
		return false
	}
	for _, op := range s.claims[place{segments[0], len(segments)}] {
		if _, ok := match(op.segments, segments); ok {
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

// match holds the segments against as many of a pattern and returns those in
// braces.
func match(pattern, segments []string) (map[string]string, bool) {
	var members map[string]string
	for i, p := range pattern {
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
