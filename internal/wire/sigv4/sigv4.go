// Package sigv4 checks AWS Signature Version 4 on requests to services that
// are not S3. In come the facts of a request and the secret its access key
// stands for; out comes nil, or what is wrong. Whose key it is, what the key
// may do and how an error looks on the wire are left to package api.
//
// Source: AWS IAM User Guide, "Create a signed AWS API request".
package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/textproto"
	"strings"
	"time"
)

// MaxSkew is how far a request's date may be from the server's clock, either
// way.
const MaxSkew = 5 * time.Minute

// The kinds of errors; what is returned wraps one of them and says more.
var (
	ErrIncomplete = errors.New("incomplete signature")
	ErrClock      = errors.New("signature expired or not yet current")
	ErrMismatch   = errors.New("the signature does not match the request")
)

const (
	algorithm   = "AWS4-HMAC-SHA256"
	terminator  = "aws4_request"
	dateFormat  = "20060102T150405Z"
	dayFormat   = "20060102"
	contentHash = "X-Amz-Content-Sha256"
)

// A Request is what the signature covers, as it came over the wire.
type Request struct {
	Method string
	Path   string              // escaped as sent, without the query
	Query  string              // escaped as sent, without the question mark
	Host   string              // with the port if it was sent
	Header map[string][]string // by canonical key, as net/http keeps them
	// BodyHash is the SHA-256 of the body.
	BodyHash [sha256.Size]byte
}

// Verify returns nil if the request was signed with the secret and its date is
// within MaxSkew of now. Else the error wraps ErrIncomplete, ErrClock or
// ErrMismatch.
func (a Authorization) Verify(r Request, secret string, now time.Time) error {
	date, err := a.date(r)
	if err != nil {
		return err
	}
	if day := date.Format(dayFormat); day != a.Day {
		return fmt.Errorf("%w: the credential is of %s, the request of %s", ErrMismatch, a.Day, day)
	}
	if skew := now.Sub(date); skew > MaxSkew || skew < -MaxSkew {
		return fmt.Errorf("%w: the request is of %s, the server has %s and accepts %v of difference",
			ErrClock, date.Format(dateFormat), now.UTC().Format(dateFormat), MaxSkew)
	}
	hash, err := bodyHash(r)
	if err != nil {
		return err
	}
	canonical, err := a.canonicalRequest(r, hash)
	if err != nil {
		return err
	}
	want := a.signature(canonical, secret, date)
	if !hmac.Equal(want[:], a.Signature[:]) { // constant time
		return ErrMismatch
	}
	return nil
}

// date returns the time the request says it was signed at: X-Amz-Date, else
// Date. Whichever counts must be among the signed headers.
func (a Authorization) date(r Request) (time.Time, error) {
	for _, name := range []string{"x-amz-date", "date"} {
		values := r.Header[textproto.CanonicalMIMEHeaderKey(name)]
		if len(values) == 0 {
			continue
		}
		if !a.signs(name) {
			return time.Time{}, fmt.Errorf("%w: header %s is not signed", ErrIncomplete, name)
		}
		for _, layout := range []string{dateFormat, time.RFC1123} {
			if t, err := time.Parse(layout, strings.TrimSpace(values[0])); err == nil {
				return t.UTC(), nil
			}
		}
		return time.Time{}, fmt.Errorf("%w: header %s is not a date like 20150830T123600Z", ErrIncomplete, name)
	}
	return time.Time{}, fmt.Errorf("%w: no X-Amz-Date header", ErrIncomplete)
}

// bodyHash returns the payload hash that the signature covers. A hash the
// client sent must be that of the body, else a signed header would let any
// body through.
func bodyHash(r Request) (string, error) {
	own := hex.EncodeToString(r.BodyHash[:])
	if sent := r.Header[contentHash]; len(sent) > 0 && !strings.EqualFold(strings.TrimSpace(sent[0]), own) {
		return "", fmt.Errorf("%w: header %s is not the SHA-256 of the body", ErrMismatch, strings.ToLower(contentHash))
	}
	return own, nil
}

// signature computes the signature of the canonical request.
func (a Authorization) signature(canonical, secret string, date time.Time) [sha256.Size]byte {
	digest := sha256.Sum256([]byte(canonical))
	toSign := strings.Join([]string{
		algorithm,
		date.Format(dateFormat),
		strings.Join([]string{a.Day, a.Region, a.Service, terminator}, "/"),
		hex.EncodeToString(digest[:]),
	}, "\n")
	key := []byte("AWS4" + secret)
	for _, part := range []string{a.Day, a.Region, a.Service, terminator, toSign} {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(part))
		key = m.Sum(nil)
	}
	return [sha256.Size]byte(key)
}
