package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Limits of an Authorization header.
const (
	MaxHeader        = 4096 // bytes of the whole header
	maxKeyID         = 128
	maxScopePart     = 64
	maxSignedHeaders = 64
)

// An Authorization is a parsed Authorization header:
//
//	AWS4-HMAC-SHA256 Credential=<key id>/<yyyymmdd>/<region>/<service>/aws4_request,
//	  SignedHeaders=<name;name;…>, Signature=<64 hex digits>
type Authorization struct {
	AccessKeyID   string
	Day           string // yyyymmdd
	Region        string // 1 to 64 of [a-z0-9-]
	Service       string // 1 to 64 of [a-z0-9-]
	SignedHeaders []string
	Signature     [sha256.Size]byte
}

// Parse reads the value of an Authorization header. Its errors wrap
// ErrIncomplete and name the part that is missing or malformed.
func Parse(header string) (Authorization, error) {
	if len(header) > MaxHeader {
		return Authorization{}, fmt.Errorf("%w: the Authorization header has %d bytes, at most %d are read",
			ErrIncomplete, len(header), MaxHeader)
	}
	rest, ok := strings.CutPrefix(strings.TrimSpace(header), algorithm)
	if !ok || rest == "" || rest[0] != ' ' {
		return Authorization{}, fmt.Errorf("%w: the Authorization header does not begin with %s", ErrIncomplete, algorithm)
	}
	parts := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if _, twice := parts[name]; !ok || twice {
			return Authorization{}, fmt.Errorf("%w: the Authorization header is not a list of name=value, each once", ErrIncomplete)
		}
		parts[name] = value
	}

	var a Authorization
	for _, p := range []struct {
		name  string
		parse func(string) bool
	}{
		{"Credential", a.parseCredential},
		{"SignedHeaders", a.parseSignedHeaders},
		{"Signature", a.parseSignature},
	} {
		value, ok := parts[p.name]
		if !ok {
			return Authorization{}, fmt.Errorf("%w: the Authorization header has no %s", ErrIncomplete, p.name)
		}
		if !p.parse(value) {
			return Authorization{}, fmt.Errorf("%w: %s in the Authorization header is malformed", ErrIncomplete, p.name)
		}
	}
	if !a.signs("host") {
		return Authorization{}, fmt.Errorf("%w: header host is not signed", ErrIncomplete)
	}
	return a, nil
}

func (a *Authorization) parseCredential(s string) bool {
	p := strings.Split(s, "/")
	if len(p) != 5 {
		return false
	}
	a.AccessKeyID, a.Day, a.Region, a.Service = p[0], p[1], p[2], p[3]
	return consists(a.AccessKeyID, maxKeyID, isKeyID) &&
		len(a.Day) == 8 && consists(a.Day, 8, isDigit) &&
		consists(a.Region, maxScopePart, isScope) &&
		consists(a.Service, maxScopePart, isScope) &&
		p[4] == terminator
}

func (a *Authorization) parseSignedHeaders(s string) bool {
	if strings.Count(s, ";") >= maxSignedHeaders {
		return false
	}
	a.SignedHeaders = strings.Split(s, ";")
	for i, name := range a.SignedHeaders {
		if !consists(name, MaxHeader, isHeaderName) || slices.Contains(a.SignedHeaders[:i], name) {
			return false
		}
	}
	return true
}

func (a *Authorization) parseSignature(s string) bool {
	if len(s) != hex.EncodedLen(len(a.Signature)) {
		return false
	}
	_, err := hex.Decode(a.Signature[:], []byte(s))
	return err == nil
}

func (a Authorization) signs(header string) bool { return slices.Contains(a.SignedHeaders, header) }

// consists says whether s has 1 to limit bytes that are all allowed.
func consists(s string, limit int, allowed func(byte) bool) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for i := range len(s) {
		if !allowed(s[i]) {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isLower(c byte) bool { return 'a' <= c && c <= 'z' }
func isUpper(c byte) bool { return 'A' <= c && c <= 'Z' }
func isScope(c byte) bool { return isDigit(c) || isLower(c) || c == '-' }
func isKeyID(c byte) bool { return isDigit(c) || isLower(c) || isUpper(c) || c == '_' || c == '-' }

// isHeaderName allows what RFC 9110 calls a token, in lower case.
func isHeaderName(c byte) bool {
	return isDigit(c) || isLower(c) || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}
