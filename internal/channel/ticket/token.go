package ticket

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// Limits of a token.
const (
	MaxToken    = 2048 // bytes
	MaxViewerID = 40   // characters
)

// algorithm is the only one that tokens are signed with.
const algorithm = "ES384"

// A Token is what the owner of a channel lets a viewer do. A viewer's browser
// sends it once, to begin.
type Token struct {
	Expires       time.Time
	Origins       Origins
	Strict        bool   // Origins are enforced on every request
	SingleUse     string // a UUID: the token begins one session only
	ViewerID      string // whose sessions can be revoked
	Version       int64  // of the viewer's sessions, for revocations
	MaxResolution Resolution
}

// The claims of a token.
const (
	claimChannel    = "aws:channel-arn"
	claimOrigins    = "aws:access-control-allow-origin"
	claimStrict     = "aws:strict-origin-enforcement"
	claimSingleUse  = "aws:single-use-uuid"
	claimViewer     = "aws:viewer-id"
	claimVersion    = "aws:viewer-session-version"
	claimResolution = "aws:maximum-resolution"
)

var parser = jwt.NewParser(jwt.WithValidMethods([]string{algorithm}), jwt.WithoutClaimsValidation())

// ParseToken reads a token for the channel with the ARN, which one of the keys
// must have signed. The error is fit to be shown to the viewer.
func ParseToken(text, channelARN string, keys []PublicKey, now time.Time) (Token, error) {
	if text == "" {
		return Token{}, errors.New("a token is required")
	}
	if len(text) > MaxToken {
		return Token{}, fmt.Errorf("the token has %d bytes, limit %d", len(text), MaxToken)
	}
	var c claims
	parsed, err := parser.ParseWithClaims(text, &c, func(t *jwt.Token) (any, error) {
		// What costs little comes before the signature.
		if _, critical := t.Header["crit"]; critical {
			return nil, refusal("the token's header has extensions that it calls critical") // RFC 7515, 4.1.11
		}
		if err := c.check(channelARN, now); err != nil {
			return nil, err
		}
		if len(keys) == 0 {
			return nil, refusal("there is no playback key pair")
		}
		set := jwt.VerificationKeySet{Keys: make([]jwt.VerificationKey, len(keys))}
		for i, k := range keys {
			set.Keys[i] = k.key
		}
		return set, nil
	})
	if err == nil {
		return c.token, nil
	}
	if r, ok := errors.AsType[refusal](err); ok {
		return Token{}, r
	}
	switch {
	case parsed != nil && parsed.Method != nil && parsed.Method.Alg() != algorithm:
		return Token{}, fmt.Errorf("the token is signed with %s, want %s", parsed.Method.Alg(), algorithm)
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return Token{}, errors.New("the token's signature is of no known key")
	case errors.Is(err, jwt.ErrTokenUnverifiable):
		return Token{}, fmt.Errorf("the token's algorithm is not known, want %s", algorithm)
	}
	return Token{}, errors.New("the token cannot be read")
}

// A refusal is an error of ours that the JWT library hands through.
type refusal string

func (r refusal) Error() string { return string(r) }

func refusef(format string, args ...any) error { return refusal(fmt.Sprintf(format, args...)) }

// claims are a token's claims as they are read.
type claims struct {
	jwt.RegisteredClaims // empty: only so that claims are some to the library

	token     Token
	channel   string
	notBefore time.Time
}

// UnmarshalJSON reads the claims by their exact names; those it does not know
// are left alone.
func (c *claims) UnmarshalJSON(b []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(b, &members); err != nil {
		return err
	}
	var expires, notBefore float64
	var origins, resolution string
	for _, m := range []struct {
		name string
		to   any
	}{
		{claimChannel, &c.channel},
		{"exp", &expires},
		{"nbf", &notBefore},
		{claimOrigins, &origins},
		{claimStrict, &c.token.Strict},
		{claimSingleUse, &c.token.SingleUse},
		{claimViewer, &c.token.ViewerID},
		{claimVersion, &c.token.Version},
		{claimResolution, &resolution},
	} {
		value, ok := members[m.name]
		if !ok {
			continue
		}
		if err := json.Unmarshal(value, m.to); err != nil {
			return refusef("the token's claim %s has the wrong type", m.name)
		}
	}
	c.token.Expires, c.notBefore = date(expires), date(notBefore)
	var err error
	if c.token.Origins, err = ParseOrigins(origins); err != nil {
		return refusef("the token's claim %s: %v", claimOrigins, err)
	}
	if _, ok := members[claimResolution]; ok {
		if c.token.MaxResolution, err = ParseResolution(resolution); err != nil {
			return refusef("the token's claim %s: %v", claimResolution, err)
		}
	}
	if _, ok := members[claimSingleUse]; ok {
		id, err := uuid.Parse(c.token.SingleUse)
		if err != nil {
			return refusef("the token's claim %s is no UUID", claimSingleUse)
		}
		c.token.SingleUse = id.String() // one form, however it was written
	}
	if _, ok := members[claimViewer]; ok {
		if n := utf8.RuneCountInString(c.token.ViewerID); n < 1 || n > MaxViewerID {
			return refusef("the token's claim %s has %d characters, want 1 to %d", claimViewer, n, MaxViewerID)
		}
	}
	if c.token.Strict {
		switch n := c.token.Origins.Len(); {
		case n == 0:
			return refusef("the token's claim %s needs %s", claimStrict, claimOrigins)
		case n > MaxOrigins:
			return refusef("the token's claim %s has %d origins, limit %d with %s", claimOrigins, n, MaxOrigins, claimStrict)
		}
	}
	return nil
}

// date reads seconds since 1970. Some who sign tokens write milliseconds: a
// date far in the future, but a date.
func date(seconds float64) time.Time {
	return time.Unix(int64(math.Max(0, math.Min(seconds, math.MaxInt32*1e6))), 0)
}

// check holds the claims against the channel and the time.
func (c *claims) check(channelARN string, now time.Time) error {
	t := c.token
	switch {
	case c.channel == "":
		return refusef("the token has no claim %s", claimChannel)
	case c.channel != channelARN:
		return refusal("the token is for another channel")
	case !now.Before(t.Expires):
		return refusal("the token has expired, or has no claim exp")
	case now.Add(ClockSkew).Before(c.notBefore):
		return refusal("the token is not valid yet")
	}
	if lead := t.Expires.Sub(now); lead > TokenLead+ClockSkew {
		switch {
		case t.SingleUse != "":
			return refusef("a token with the claim %s must expire within %v", claimSingleUse, TokenLead)
		case t.ViewerID != "":
			return refusef("a token with the claim %s must expire within %v", claimViewer, TokenLead)
		}
	}
	return nil
}
