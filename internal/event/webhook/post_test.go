package webhook

import (
	"net/http"
	"testing"
	"time"
)

// FuzzRetryAfter reads what any server may answer with.
func FuzzRetryAfter(f *testing.F) {
	f.Add(503, "120")
	f.Add(429, "-1")
	f.Add(429, "99999999999999999999")
	f.Add(503, "Fri, 31 Dec 1999 23:59:59 GMT")
	f.Add(500, "120")
	f.Fuzz(func(t *testing.T, status int, said string) {
		res := &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {said}}}
		if got := retryAfter(res, time.Unix(1_000_000_000, 0)); got < 0 || got > maxRetryAfter {
			t.Errorf("got %v, want 0 to %v", got, maxRetryAfter)
		}
		if got := statusReason(status); got == "" {
			t.Errorf("got no reason for status %d", status)
		}
	})
}
