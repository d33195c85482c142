package api_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"belfry.live/belfry/test/apiserver"
)

// Whether an access key exists does not show in how long its refusal takes.
func TestUnknownKeysTakeAsLong(t *testing.T) {
	s, _ := start(t)
	body := `{"name":"` + strings.Repeat("x", 64<<10) + `"}`
	refuse := func(id, kind string) time.Duration {
		r := httptest.NewRequest(http.MethodPost, "http://localhost/CreateChannel", strings.NewReader(body))
		hash := sha256.Sum256([]byte(body))
		creds := aws.Credentials{AccessKeyID: id, SecretAccessKey: "wrong"}
		if err := v4.NewSigner().SignHTTP(t.Context(), creds, r, hex.EncodeToString(hash[:]), "ivs", apiserver.Region, time.Now()); err != nil {
			t.Fatal(err)
		}
		r.RequestURI = "/CreateChannel"
		w := httptest.NewRecorder()
		begun := time.Now()
		s.API.ServeHTTP(w, r)
		took := time.Since(begun)
		if got := w.Header().Get("X-Amzn-ErrorType"); got != kind {
			t.Fatalf("%s: got %s, want %s", id, got, kind)
		}
		return took
	}
	var known, unknown []time.Duration
	for range 200 { // taking turns, so that both meet the same machine
		known = append(known, refuse(apiserver.AccessKeyID, "InvalidSignatureException"))
		unknown = append(unknown, refuse("AKIANOBODY", "UnrecognizedClientException"))
	}
	slices.Sort(known)
	slices.Sort(unknown)
	k, u := known[len(known)/2], unknown[len(unknown)/2]
	t.Logf("a wrong signature takes %v, an unknown key %v", k, u)
	if u < k/2 || u > 2*k {
		t.Errorf("got %v for a wrong signature and %v for an unknown key, want about the same", k, u)
	}
}
