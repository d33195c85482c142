package rtmpsink

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
)

// MaxURL is the most bytes of a sink URL.
const MaxURL = 1024

// A URL is where to publish. It holds a stream key: it prints without it.
type URL struct {
	TLS  bool
	Host string // name or address, without port
	Port string
	App  string // the path but for its last element
	key  string // the path's last element and the query
}

// ParseURL reads rtmp://host[:port]/app/key or rtmps://…. The app may have
// several elements; the key keeps its query. Nothing is unescaped: servers
// take both as they are written. No error holds a part of the key.
func ParseURL(s string) (URL, error) {
	if len(s) > MaxURL {
		return URL{}, fmt.Errorf("sink URL has %d bytes, limit %d", len(s), MaxURL)
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c == 0x7f {
			return URL{}, errors.New("sink URL holds a space or a control character")
		}
	}
	scheme, rest, _ := strings.Cut(s, "://")
	u := URL{}
	switch strings.ToLower(scheme) {
	case "rtmp":
		u.Port = "1935"
	case "rtmps":
		u.TLS, u.Port = true, "443"
	default:
		return URL{}, errors.New("sink URL begins with neither rtmp:// nor rtmps://")
	}
	authority, path, _ := strings.Cut(rest, "/")
	if strings.ContainsAny(authority, "@?#") {
		return URL{}, errors.New("sink URL has a user name or query before its path")
	}
	// url.Parse knows the forms of a host; the path stays out of it, for its
	// errors quote what they were given.
	parsed, err := url.Parse("rtmp://" + authority)
	if err != nil || parsed.Hostname() == "" {
		return URL{}, errors.New("sink URL has no valid host")
	}
	u.Host = parsed.Hostname()
	if p := parsed.Port(); p != "" {
		u.Port = p
	}
	if _, err := net.LookupPort("tcp", u.Port); err != nil || u.Port == "0" {
		return URL{}, fmt.Errorf("sink URL has port %q, want 1 to 65535", u.Port)
	}
	path, query, hasQuery := strings.Cut(path, "?")
	slash := strings.LastIndexByte(path, '/')
	if slash < 0 {
		return URL{}, errors.New("sink URL has no application before its stream key")
	}
	u.App, u.key = path[:slash], path[slash+1:]
	if u.App == "" || u.key == "" {
		return URL{}, errors.New("sink URL has an empty application or stream key")
	}
	if hasQuery {
		u.key += "?" + query
	}
	return u, nil
}

// Address returns host:port.
func (u URL) Address() string { return net.JoinHostPort(u.Host, u.Port) }

// String returns the URL with its key covered.
func (u URL) String() string { return u.tcURL() + "/(stream key)" }

// GoString keeps the key out of %#v.
func (u URL) GoString() string { return u.String() }

// LogValue makes logs in JSON print it as others do.
func (u URL) LogValue() slog.Value { return slog.StringValue(u.String()) }

// minCovered is the shortest value of a query that cover covers.
const minCovered = 6

// cover takes every form of the key out of a text, and what does not print.
func (u URL) cover(text string) string {
	name, query, _ := strings.Cut(u.key, "?")
	secrets := []string{u.key, query, name}
	for pair := range strings.SplitSeq(query, "&") {
		if _, value, _ := strings.Cut(pair, "="); len(value) >= minCovered {
			secrets = append(secrets, value)
		}
	}
	for _, secret := range secrets {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "(stream key)")
		}
	}
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, text)
	if len(text) > maxSaid {
		text = strings.ToValidUTF8(text[:maxSaid], "") + "…"
	}
	return text
}

// maxSaid is the most bytes of a server's words that are passed on.
const maxSaid = 300

// tcURL is what the connect command calls the URL: the default port is left
// out, as servers with virtual hosts expect.
func (u URL) tcURL() string {
	scheme, port, host := "rtmp", "1935", u.Host
	if u.TLS {
		scheme, port = "rtmps", "443"
	}
	if u.Port != port {
		host = u.Address()
	} else if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return scheme + "://" + host + "/" + u.App
}
