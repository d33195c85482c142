package ticket

import (
	"errors"
	"fmt"
	"strings"
)

const (
	// MaxOrigins is how many origins may be enforced on every request.
	MaxOrigins = 5
	// MaxOrigin is the longest origin, in characters.
	MaxOrigin = 256
)

// Origins are the web origins (RFC 6454) from which may be played, joined by
// commas. The zero value is every origin. One of them is
//
//	https://example.com        this host on this scheme's usual port
//	https://example.com:8443   on this port
//	https://*.example.com      every host below example.com
//	example.com                any of these without a scheme: on every scheme
//	https://*                  every host
//	*                          every origin
type Origins string

// ParseOrigins reads origins joined by commas; empty ones are left out.
func ParseOrigins(list string) (Origins, error) {
	var found []string
	for origin := range strings.SplitSeq(list, ",") {
		if strings.TrimSpace(origin) != "" {
			found = append(found, origin)
		}
	}
	return NewOrigins(found)
}

// NewOrigins reads a list of origins.
func NewOrigins(list []string) (Origins, error) {
	parsed := make([]string, len(list))
	for i, origin := range list {
		var err error
		if parsed[i], err = parseOrigin(strings.TrimSpace(origin)); err != nil {
			return "", fmt.Errorf("origin %.*q: %w", MaxOrigin, origin, err)
		}
	}
	return Origins(strings.Join(parsed, ",")), nil
}

// Len counts the origins.
func (o Origins) Len() int {
	if o == "" {
		return 0
	}
	return strings.Count(string(o), ",") + 1
}

// parseOrigin checks one origin and writes it as browsers do.
func parseOrigin(origin string) (string, error) {
	if len(origin) > MaxOrigin {
		return "", fmt.Errorf("it has %d characters, limit %d", len(origin), MaxOrigin)
	}
	origin = strings.ToLower(origin)
	scheme, host, found := strings.Cut(origin, "://")
	if !found {
		scheme, host = "", origin
	}
	host = strings.TrimSuffix(host, "/")
	labels := host
	if h, port, found := cutPort(host); found {
		if port == "" || len(port) > 5 || strings.Trim(port, "0123456789") != "" {
			return "", fmt.Errorf("its port %q is no number", port)
		}
		labels = h
	}
	wild := strings.TrimPrefix(labels, "*.")
	if host == "*" {
		wild = "every-host"
	}
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789-_."
	switch {
	case found && strings.Trim(scheme, "abcdefghijklmnopqrstuvwxyz0123456789+-.") != "", found && scheme == "":
		return "", fmt.Errorf("its scheme %q is none", scheme)
	case strings.Contains(wild, "*"):
		return "", errors.New("a * stands for a whole host or for what is before its first dot")
	case isIPv6(wild):
	case wild == "" || strings.Trim(wild, letters) != "":
		return "", errors.New("it is not of the form https://host or https://*.host, with an optional port")
	}
	host = withoutPort(scheme, host)
	if found {
		return scheme + "://" + host, nil
	}
	return host, nil
}

func isIPv6(host string) bool {
	inner, ok := strings.CutPrefix(host, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	return ok && closed && inner != "" && strings.Trim(inner, "0123456789abcdef:.") == ""
}

// cutPort takes the port off the host; an IPv6 address has colons of its own.
func cutPort(host string) (name, port string, found bool) {
	i := strings.LastIndexByte(host, ':')
	if i < 0 || strings.HasSuffix(host, "]") {
		return host, "", false
	}
	return host[:i], host[i+1:], true
}

// withoutPort takes the scheme's usual port off the host: browsers do not send
// it.
func withoutPort(scheme, host string) string {
	switch scheme {
	case "https":
		return strings.TrimSuffix(host, ":443")
	case "http":
		return strings.TrimSuffix(host, ":80")
	}
	return host
}

// Allow tells whether the value of a request's Origin header is one of these.
// An empty one is not, unless every origin is.
func (o Origins) Allow(origin string) bool {
	if o == "" {
		return true
	}
	scheme, host, _ := strings.Cut(origin, "://")
	host = withoutPort(scheme, host)
	for pattern := range strings.SplitSeq(string(o), ",") {
		if pattern == "*" && origin != "" || host != "" && matches(pattern, scheme, host) {
			return true
		}
	}
	return false
}

func matches(pattern, scheme, host string) bool {
	wantScheme, want, found := strings.Cut(pattern, "://")
	if !found {
		want = pattern
	} else if !strings.EqualFold(wantScheme, scheme) {
		return false
	}
	if want == "*" {
		return true
	}
	if below, wild := strings.CutPrefix(want, "*"); wild { // below begins with a dot
		return len(host) > len(below) && strings.EqualFold(host[len(host)-len(below):], below)
	}
	return strings.EqualFold(want, host)
}
