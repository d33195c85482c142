package sigv4

import (
	"fmt"
	"net/textproto"
	"slices"
	"strings"
)

// canonicalRequest writes the request in the form that is hashed and signed:
// method, path, query, headers, their names, hash of the body, a line each.
func (a Authorization) canonicalRequest(r Request, bodyHash string) (string, error) {
	var b strings.Builder
	for _, line := range []string{r.Method, canonicalPath(r.Path), canonicalQuery(r.Query)} {
		b.WriteString(line)
		b.WriteByte('\n')
	}
	for _, name := range a.SignedHeaders {
		values := r.Header[textproto.CanonicalMIMEHeaderKey(name)]
		if name == "host" {
			values = []string{r.Host}
		}
		if len(values) == 0 {
			return "", fmt.Errorf("%w: it covers header %s, which the request does not have", ErrMismatch, name)
		}
		b.WriteString(name)
		b.WriteByte(':')
		for i, v := range values {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(trimSpaces(v))
		}
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	b.WriteString(strings.Join(a.SignedHeaders, ";"))
	b.WriteByte('\n')
	b.WriteString(bodyHash)
	return b.String(), nil
}

// trimSpaces takes blanks from both ends and leaves one of every run within.
func trimSpaces(v string) string {
	return strings.Join(strings.FieldsFunc(strings.Trim(v, " \t"), func(c rune) bool { return c == ' ' }), " ")
}

// canonicalPath collapses slashes, takes dot segments out (RFC 3986 section
// 5.2.4) and encodes every segment once more: %3A becomes %253A.
func canonicalPath(path string) string {
	var segments []string
	for s := range strings.SplitSeq(path, "/") {
		switch s {
		case "", ".":
		case "..":
			segments = segments[:max(0, len(segments)-1)]
		default:
			segments = append(segments, escape(s))
		}
	}
	if len(segments) == 0 {
		return "/"
	}
	canonical := "/" + strings.Join(segments, "/")
	if strings.HasSuffix(path, "/") {
		canonical += "/"
	}
	return canonical
}

// canonicalQuery decodes every name and value, encodes them the one allowed
// way and sorts by name, then value.
func canonicalQuery(query string) string {
	type pair struct{ name, value string }
	var pairs []pair
	for part := range strings.SplitSeq(query, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		pairs = append(pairs, pair{escape(unescape(name)), escape(unescape(value))})
	}
	slices.SortFunc(pairs, func(x, y pair) int {
		if c := strings.Compare(x.name, y.name); c != 0 {
			return c
		}
		return strings.Compare(x.value, y.value)
	})
	var b strings.Builder
	for i, p := range pairs {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p.name)
		b.WriteByte('=')
		b.WriteString(p.value)
	}
	return b.String()
}

const hexDigits = "0123456789ABCDEF"

// escape percent-encodes all but the unreserved characters of RFC 3986.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if isDigit(c) || isLower(c) || isUpper(c) || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hexDigits[c>>4])
		b.WriteByte(hexDigits[c&15])
	}
	return b.String()
}

// unescape decodes a query's name or value. Unlike net/url it has no errors: a
// percent sign that begins no escape stands for itself.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '+':
			b.WriteByte(' ')
		case c == '%' && i+2 < len(s) && unhex(s[i+1]) >= 0 && unhex(s[i+2]) >= 0:
			b.WriteByte(byte(unhex(s[i+1])<<4 | unhex(s[i+2])))
			i += 2
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// unhex returns the value of a hexadecimal digit, or -1.
func unhex(c byte) int {
	switch {
	case isDigit(c):
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
