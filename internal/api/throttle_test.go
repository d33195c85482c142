package api

import (
	"net/http"
	"testing"
	"time"

	"belfry.live/belfry/internal/api/restjson"
)

func throttled(rows ...restjson.Operation) *restjson.Service {
	return &restjson.Service{Throttled: "ThrottlingException", Rate: restjson.Rate{PerSecond: 10, Burst: 20}, Operations: rows}
}

// burst counts how many calls pass at one moment.
func burst(t *throttle, s *restjson.Service, op *restjson.Operation, c restjson.Caller, now time.Time) (n int) {
	for n = 0; n < 1000; n++ {
		if t.admit(s, op, c, now) != nil {
			return n
		}
	}
	return n
}

func TestRates(t *testing.T) {
	s := throttled(restjson.Operation{Name: "GetA"}, restjson.Operation{Name: "GetB", Rate: restjson.Rate{PerSecond: 2, Burst: 2}})
	now := time.Unix(0, 0)
	for _, c := range []struct {
		kind Throttling
		op   int
		want int
	}{
		{"", 0, 400}, {Generous, 1, 400}, {AWSThrottling, 0, 20}, {AWSThrottling, 1, 2}, {Unthrottled, 0, 1000},
	} {
		if got := burst(newThrottle(c.kind), s, &s.Operations[c.op], restjson.Caller{}, now); got != c.want {
			t.Errorf("%q, operation %d: got %d calls at once, want %d", c.kind, c.op, got, c.want)
		}
	}
}

// Each account, region and operation has a bucket of its own, which fills up.
func TestBuckets(t *testing.T) {
	s := throttled(restjson.Operation{Name: "GetA"}, restjson.Operation{Name: "GetB"})
	a, b := &s.Operations[0], &s.Operations[1]
	th, now := newThrottle(AWSThrottling), time.Unix(0, 0)
	me := restjson.Caller{Account: "1", Region: "us-east-1"}
	if got := burst(th, s, a, me, now); got != 20 {
		t.Fatalf("got %d calls, want 20", got)
	}
	for name, got := range map[string]int{
		"another operation": burst(th, s, b, me, now),
		"another account":   burst(th, s, a, restjson.Caller{Account: "2", Region: "us-east-1"}, now),
		"another region":    burst(th, s, a, restjson.Caller{Account: "1", Region: "eu-west-1"}, now),
	} {
		if got != 20 {
			t.Errorf("%s: got %d calls, want 20", name, got)
		}
	}
	refused := th.admit(s, a, me, now)
	if refused == nil || refused.Status != http.StatusTooManyRequests || refused.Type != "ThrottlingException" || refused.RetryAfter != 100*time.Millisecond {
		t.Errorf("got %+v, want ThrottlingException for 100ms", refused)
	}
	if got := burst(th, s, a, me, now.Add(500*time.Millisecond)); got != 5 {
		t.Errorf("half a second later: got %d calls, want 5", got)
	}
	if got := burst(th, s, a, me, now.Add(time.Minute)); got != 20 {
		t.Errorf("a minute later: got %d calls, want 20", got)
	}
}

// Whoever signs for ever new regions does not fill the memory.
func TestBucketsAreBounded(t *testing.T) {
	s := throttled(restjson.Operation{Name: "GetA"})
	th, now := newThrottle(AWSThrottling), time.Unix(0, 0)
	busy := restjson.Caller{Region: "us-east-1"}
	burst(th, s, &s.Operations[0], busy, now)
	for i := range 2 * maxBuckets {
		th.admit(s, &s.Operations[0], restjson.Caller{Account: time.Duration(i).String()}, now)
		if i%100 == 0 && th.admit(s, &s.Operations[0], busy, now) == nil {
			t.Fatal("a bucket that is in use was forgotten")
		}
	}
	if len(th.buckets) != maxBuckets || th.used.Len() != maxBuckets {
		t.Errorf("got %d and %d buckets, want %d", len(th.buckets), th.used.Len(), maxBuckets)
	}
}
