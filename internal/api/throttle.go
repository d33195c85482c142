package api

import (
	"container/list"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"belfry.live/belfry/internal/api/restjson"
)

// Throttling says how often an operation may be called.
type Throttling string

// What Throttling may be: rates that no application meets unless it runs wild,
// AWS's, or none.
const (
	Generous      Throttling = "generous"
	AWSThrottling Throttling = "aws"
	Unthrottled   Throttling = "off"
)

// generous is the rate of every operation under Generous.
var generous = restjson.Rate{PerSecond: 200, Burst: 400}

// maxBuckets is how many buckets are kept. Callers choose the regions that they
// sign for, and each has its own; beyond this the one that has rested longest
// is forgotten.
const maxBuckets = 10_000

// A throttle holds callers to the rates: for each account, region and operation
// a bucket of tokens that fills up again with time.
type throttle struct {
	kind Throttling

	mu      sync.Mutex // guards what follows
	buckets map[bucketKey]*list.Element
	used    list.List // of *bucket, the last used in front
}

type bucketKey struct {
	account, region string
	operation       *restjson.Operation
}

type bucket struct {
	key     bucketKey
	limiter *rate.Limiter
}

func newThrottle(kind Throttling) *throttle {
	if kind == "" {
		kind = Generous
	}
	return &throttle{kind: kind, buckets: map[bucketKey]*list.Element{}}
}

// admit takes one token, or says when there will be one.
func (t *throttle) admit(s *restjson.Service, op *restjson.Operation, c restjson.Caller, now time.Time) *restjson.Error {
	allowed := generous
	switch t.kind {
	case Unthrottled:
		return nil
	case AWSThrottling:
		allowed = s.RateOf(op)
	}
	if allowed.PerSecond <= 0 {
		return nil
	}
	taken := t.bucket(bucketKey{c.Account, c.Region, op}, allowed).ReserveN(now, 1)
	wait := taken.DelayFrom(now)
	if wait == 0 {
		return nil
	}
	taken.CancelAt(now)
	refusal := restjson.Errorf(http.StatusTooManyRequests, s.Throttled,
		"rate exceeded: %s is called more than %g times a second in %s (burst %d)", op.Name, allowed.PerSecond, c.Region, allowed.Burst)
	refusal.RetryAfter = wait
	return refusal
}

func (t *throttle) bucket(key bucketKey, r restjson.Rate) *rate.Limiter {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e, ok := t.buckets[key]; ok {
		t.used.MoveToFront(e)
		return e.Value.(*bucket).limiter
	}
	if t.used.Len() == maxBuckets {
		oldest := t.used.Back()
		delete(t.buckets, oldest.Value.(*bucket).key)
		t.used.Remove(oldest)
	}
	b := &bucket{key, rate.NewLimiter(rate.Limit(r.PerSecond), max(r.Burst, 1))}
	t.buckets[key] = t.used.PushFront(b)
	return b.limiter
}
