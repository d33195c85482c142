package sigv4_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"belfry.live/belfry/internal/wire/sigv4"
)

const secret = "4vF+0123456789abcdefghijABCDEFGHIJ/=secret"

var unclean = regexp.MustCompile(`//|/\.\.?(/|$)`)

// FuzzClient has the AWS SDK sign requests and checks that Verify accepts them
// as they are, and no longer when the path has changed.
func FuzzClient(f *testing.F) {
	f.Add("/meetings", "", "{}", "us-east-1")
	f.Add("/meetings/4af1c7a2-0000-4000-8000-000000000000/attendees", "operation=batch-create", `{"Attendees":[]}`, "eu-central-1")
	f.Add("/tags/arn%3Aaws%3Aivs%3Aus-east-1%3A000000000000%3Achannel%2Fabcd", "tagKeys=a%20b&tagKeys=%C3%A4", "", "us-east-1")
	f.Add("/base/sdk-media-pipelines/", "max-results=1&next-token=a%2Bb%3D&empty=&bare", "", "us-east-1")
	f.Fuzz(func(t *testing.T, path, query, body, region string) {
		now := time.Now().UTC().Truncate(time.Second)
		target, err := url.Parse("http://localhost:8080" + path + "?" + query)
		if err != nil || !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "?#") || target.Host != "localhost:8080" {
			t.Skip()
		}
		if unclean.MatchString(target.EscapedPath()) {
			t.Skip() // other SDKs sign such paths cleaned up, as AWS wants it; this one as they are
		}
		if _, err := url.ParseQuery(target.RawQuery); err != nil {
			t.Skip() // the SDK drops what it cannot decode
		}
		req, err := http.NewRequest(http.MethodPost, target.String(), strings.NewReader(body))
		if err != nil {
			t.Skip()
		}
		hash := sha256.Sum256([]byte(body))
		creds := aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: secret, SessionToken: "session"}
		req.Header.Set("X-Amz-Meta", "  a   b ")
		if err := v4.NewSigner().SignHTTP(context.Background(), creds, req, hex.EncodeToString(hash[:]), "ivs", region, now); err != nil {
			t.Skip()
		}
		a, err := sigv4.Parse(req.Header.Get("Authorization"))
		if err != nil {
			t.Skip() // the region is the fuzzer's
		}
		req.Header.Set("Content-Length", strconv.Itoa(len(body)))
		facts := sigv4.Request{
			Method: req.Method, Path: target.EscapedPath(), Query: req.URL.RawQuery,
			Host: req.URL.Host, Header: req.Header, BodyHash: hash,
		}
		if err := a.Verify(facts, secret, now); err != nil {
			t.Errorf("%s: got %v, want the SDK's signature to match", target, err)
		}
		facts.Path += "x"
		if a.Verify(facts, secret, now) == nil {
			t.Errorf("%s: got nil for another path, want an error", target)
		}
	})
}
