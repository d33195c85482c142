package sigv4

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const suiteSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

var suiteTime = time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)

// readVector reads a request with its Authorization header. The published
// suite has paths with blanks and bare UTF-8, which net/http refuses.
func readVector(t *testing.T, text string) (r Request, authorization string) {
	t.Helper()
	head, body, ok := strings.Cut(text, "\n\n")
	if !ok {
		t.Fatal("the vector has no empty line")
	}
	lines := strings.Split(head, "\n")
	method, rest, _ := strings.Cut(lines[0], " ")
	target, ok := strings.CutSuffix(rest, " HTTP/1.1")
	if !ok {
		t.Fatalf("got request line %q, want it to end with HTTP/1.1", lines[0])
	}
	r = Request{Method: method, Header: map[string][]string{}, BodyHash: sha256.Sum256([]byte(body))}
	r.Path, r.Query, _ = strings.Cut(target, "?")
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		switch name = textproto.CanonicalMIMEHeaderKey(name); name {
		case "Host":
			r.Host = value
		case "Authorization":
			authorization = value
		default:
			r.Header[name] = append(r.Header[name], value)
		}
	}
	return r, authorization
}

// The suite's vectors are those of the SigV4 test suite that AWS published
// with its documentation.
func TestPublishedVectors(t *testing.T) {
	files, err := filepath.Glob("testdata/suite/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("got %d vectors (%v), want some", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			r, header := readVector(t, string(text))
			a, err := Parse(header)
			if err != nil {
				t.Fatal(err)
			}
			if err := a.Verify(r, suiteSecret, suiteTime); err != nil {
				t.Errorf("got %v, want the signature to match", err)
			}
			if err := a.Verify(r, suiteSecret+"x", suiteTime); !errors.Is(err, ErrMismatch) {
				t.Errorf("with another secret: got %v, want %v", err, ErrMismatch)
			}
		})
	}
}

// vanilla returns the suite's plainest request and its authorization.
func vanilla(t *testing.T) (Request, Authorization) {
	t.Helper()
	text, err := os.ReadFile("testdata/suite/get-vanilla.txt")
	if err != nil {
		t.Fatal(err)
	}
	r, header := readVector(t, string(text))
	a, err := Parse(header)
	if err != nil {
		t.Fatal(err)
	}
	return r, a
}

func TestVerifyRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Request, *Authorization, *time.Time)
		want   error
		says   string
	}{
		{"late by more than the skew", func(_ *Request, _ *Authorization, now *time.Time) {
			*now = now.Add(MaxSkew + time.Second)
		}, ErrClock, "the server has 20150830T124101Z"},
		{"early by more than the skew", func(_ *Request, _ *Authorization, now *time.Time) {
			*now = now.Add(-MaxSkew - time.Second)
		}, ErrClock, "the server has 20150830T123059Z"},
		{"another day in the credential", func(_ *Request, a *Authorization, _ *time.Time) {
			a.Day = "20150831"
		}, ErrMismatch, "20150831"},
		{"another region", func(_ *Request, a *Authorization, _ *time.Time) {
			a.Region = "us-east-2"
		}, ErrMismatch, ""},
		{"another method", func(r *Request, _ *Authorization, _ *time.Time) {
			r.Method = "DELETE"
		}, ErrMismatch, ""},
		{"another path", func(r *Request, _ *Authorization, _ *time.Time) {
			r.Path = "/x"
		}, ErrMismatch, ""},
		{"another query", func(r *Request, _ *Authorization, _ *time.Time) {
			r.Query = "operation=batch-create"
		}, ErrMismatch, ""},
		{"another host", func(r *Request, _ *Authorization, _ *time.Time) {
			r.Host = "example.org"
		}, ErrMismatch, ""},
		{"another body", func(r *Request, _ *Authorization, _ *time.Time) {
			r.BodyHash = sha256.Sum256([]byte("{}"))
		}, ErrMismatch, ""},
		{"a body hash that is not the body's", func(r *Request, _ *Authorization, _ *time.Time) {
			r.Header["X-Amz-Content-Sha256"] = []string{"UNSIGNED-PAYLOAD"}
		}, ErrMismatch, "x-amz-content-sha256"},
		{"a signed header that is missing", func(_ *Request, a *Authorization, _ *time.Time) {
			a.SignedHeaders = append(a.SignedHeaders, "x-amz-security-token")
		}, ErrMismatch, "x-amz-security-token"},
		{"no date", func(r *Request, _ *Authorization, _ *time.Time) {
			delete(r.Header, "X-Amz-Date")
		}, ErrIncomplete, "X-Amz-Date"},
		{"a date that is none", func(r *Request, _ *Authorization, _ *time.Time) {
			r.Header["X-Amz-Date"] = []string{"yesterday"}
		}, ErrIncomplete, "x-amz-date"},
		{"a date that is not signed", func(_ *Request, a *Authorization, _ *time.Time) {
			a.SignedHeaders = []string{"host"}
		}, ErrIncomplete, "x-amz-date is not signed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, a := vanilla(t)
			now := suiteTime
			c.change(&r, &a, &now)
			err := a.Verify(r, suiteSecret, now)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %v saying %q", err, c.want, c.says)
			}
		})
	}
}

func TestVerifyAcceptsSkew(t *testing.T) {
	r, a := vanilla(t)
	for _, skew := range []time.Duration{-MaxSkew, MaxSkew} {
		if err := a.Verify(r, suiteSecret, suiteTime.Add(skew)); err != nil {
			t.Errorf("with the clock off by %v: got %v, want nil", skew, err)
		}
	}
}

const goodHeader = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/chime/aws4_request, " +
	"SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"

var badHeaders = []struct{ name, header, says string }{
	{"empty", "", algorithm},
	{"another scheme", "Bearer abc", algorithm},
	{"a longer scheme", strings.Replace(goodHeader, "SHA256", "SHA256X", 1), algorithm},
	{"nothing after the scheme", algorithm + " ", algorithm},
	{"no list after the scheme", algorithm + " x", "name=value"},
	{"no credential", strings.Replace(goodHeader, "Credential", "Kredential", 1), "no Credential"},
	{"no list of headers", strings.Replace(goodHeader, "SignedHeaders", "Headers", 1), "no SignedHeaders"},
	{"no signature", goodHeader[:strings.Index(goodHeader, ", Signature")], "no Signature"},
	{"a part twice", goodHeader + ", Signature=00", "each once"},
	{"a credential of four parts", strings.Replace(goodHeader, "/chime", "", 1), "Credential"},
	{"an empty key id", strings.Replace(goodHeader, "AKIDEXAMPLE", "", 1), "Credential"},
	{"a day of letters", strings.Replace(goodHeader, "20150830", "2015083x", 1), "Credential"},
	{"a region with a slash's stand-in", strings.Replace(goodHeader, "us-east-1", "us%2Feast", 1), "Credential"},
	{"another terminator", strings.Replace(goodHeader, "aws4_request", "aws5_request", 1), "Credential"},
	{"a header twice", strings.Replace(goodHeader, "x-amz-date", "host", 1), "SignedHeaders"},
	{"a header in capitals", strings.Replace(goodHeader, "x-amz-date", "X-Amz-Date", 1), "SignedHeaders"},
	{"too many headers", strings.Replace(goodHeader, "x-amz-date", "x"+strings.Repeat(";y", maxSignedHeaders), 1), "SignedHeaders"},
	{"host not signed", strings.Replace(goodHeader, "host;", "", 1), "host"},
	{"a short signature", goodHeader[:len(goodHeader)-2], "Signature"},
	{"a signature of other letters", goodHeader[:len(goodHeader)-1] + "x", "Signature"},
	{"too long", goodHeader + strings.Repeat(" ", MaxHeader), "bytes"},
}

func TestParseRefuses(t *testing.T) {
	for _, c := range badHeaders {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Parse(c.header); !errors.Is(err, ErrIncomplete) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %v naming %q", err, ErrIncomplete, c.says)
			}
		})
	}
}

func TestParse(t *testing.T) {
	for _, header := range []string{
		goodHeader,
		strings.ReplaceAll(goodHeader, ", ", ","), // as some clients write it
	} {
		a, err := Parse(header)
		if err != nil {
			t.Errorf("got %v, want %q to parse", err, header)
			continue
		}
		if got, want := strings.Join([]string{a.AccessKeyID, a.Day, a.Region, a.Service}, " "),
			"AKIDEXAMPLE 20150830 us-east-1 chime"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got, want := strings.Join(a.SignedHeaders, " "), "host x-amz-date"; got != want {
			t.Errorf("got signed headers %q, want %q", got, want)
		}
		if a.Signature[0] != 0x5f || a.Signature[31] != 0x31 {
			t.Errorf("got signature %x, want 5f…31", a.Signature)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(goodHeader)
	for _, c := range badHeaders {
		f.Add(c.header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		a, err := Parse(header)
		if err != nil {
			if !errors.Is(err, ErrIncomplete) {
				t.Errorf("got %v, want it to wrap %v", err, ErrIncomplete)
			}
			return
		}
		// What was understood, written down again, is understood the same.
		b, err := Parse(a.header())
		if err != nil || b.header() != a.header() {
			t.Errorf("got %q (%v), want %q", b.header(), err, a.header())
		}
	})
}

// header writes the authorization as a client would.
func (a Authorization) header() string {
	return fmt.Sprintf("%s Credential=%s/%s/%s/%s/%s, SignedHeaders=%s, Signature=%x", algorithm,
		a.AccessKeyID, a.Day, a.Region, a.Service, terminator, strings.Join(a.SignedHeaders, ";"), a.Signature)
}
