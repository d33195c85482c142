package api

import (
	"container/list"
	"context"
	"crypto/sha256"
	"maps"
	"net/http"
	"sync"
	"time"

	"belfry.live/belfry/internal/api/restjson"
)

// Limits of the answers that are kept for retries.
const (
	retryTime    = 5 * time.Minute // the SDKs give up long before
	maxRetries   = 10_000
	maxRetryData = 32 << 20 // bytes of bodies
	maxAnswer    = 1 << 20  // bytes of one body; a larger one is not kept
	maxRetryID   = 128      // characters of a client's id; the SDKs send 36
)

// Retries answer a request that a client sends again, because it did not get
// the answer, with what the first one came to: a meeting is not made twice, and
// a channel that was deleted is not missing. Clients say that they repeat a
// request by its amz-sdk-invocation-id. While the first runs, its repetitions
// wait for it.
type retries struct {
	mu      sync.Mutex // guards what follows, and the size of entries
	entries map[retryKey]*list.Element
	order   list.List // of *retry, the oldest in front
	bytes   int
}

// A retryKey is the same for requests that are repetitions of each other.
type retryKey [sha256.Size]byte

// A retry is a request that was or is being answered.
type retry struct {
	key   retryKey
	since time.Time
	ended chan struct{} // closed when answer is there
	size  int           // bytes that it counts for

	// Set under mu before ended is closed; nil: not to be repeated.
	answer *answer
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

func newRetries() *retries { return &retries{entries: map[retryKey]*list.Element{}} }

// retryOf is the request's key; false if it is none to be remembered: it
// changes nothing or has no usable id.
func retryOf(r *http.Request, op *restjson.Operation, c restjson.Caller, body []byte) (key retryKey, ok bool) {
	id := r.Header.Get("Amz-Sdk-Invocation-Id")
	if op.ReadOnly() || id == "" || len(id) > maxRetryID {
		return retryKey{}, false
	}
	h := sha256.New()
	for _, part := range []string{c.AccessKeyID, c.Account, c.Region, op.Name, id, r.Method, r.RequestURI} {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	h.Write(body)
	return retryKey(h.Sum(nil)), true
}

// once answers the first request of the key by serve, and its repetitions with
// what that answered; then it returns true. Answers that ask to try again are
// not kept.
func (rs *retries) once(ctx context.Context, w http.ResponseWriter, key retryKey, now time.Time, serve func(http.ResponseWriter)) (repeated bool) {
	for {
		first, mine := rs.claim(key, now)
		if mine {
			rs.run(first, w, serve)
			return false
		}
		select {
		case <-first.ended:
		case <-ctx.Done():
			return false // the client has gone once more
		}
		if first.answer != nil {
			first.answer.repeat(w)
			return true
		}
	}
}

// claim returns the key's request, a new one of the caller's own if there is
// none.
func (rs *retries) claim(key retryKey, now time.Time) (r *retry, mine bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for e := rs.order.Front(); e != nil && now.Sub(e.Value.(*retry).since) >= retryTime; e = rs.order.Front() {
		rs.forget(e) // one that still runs is cut off soon: restjson.MaxTime is shorter
	}
	if e, ok := rs.entries[key]; ok {
		return e.Value.(*retry), false
	}
	r = &retry{key: key, since: now, ended: make(chan struct{})}
	if rs.order.Len() < maxRetries || rs.forgetOldest() {
		rs.entries[key] = rs.order.PushBack(r)
	}
	return r, true
}

// forgetOldest forgets the oldest answer. What still runs has none.
func (rs *retries) forgetOldest() bool {
	for e := rs.order.Front(); e != nil; e = e.Next() {
		if e.Value.(*retry).answer != nil {
			rs.forget(e)
			return true
		}
	}
	return false
}

// forget drops an entry. Those who wait for it still get its answer.
func (rs *retries) forget(e *list.Element) {
	r := rs.order.Remove(e).(*retry)
	delete(rs.entries, r.key)
	rs.bytes -= r.size
}

// run lets serve answer the request and keeps the answer.
func (rs *retries) run(r *retry, w http.ResponseWriter, serve func(http.ResponseWriter)) {
	rec := &recorder{ResponseWriter: w}
	defer func() { // also when serve panics
		rs.mu.Lock()
		defer rs.mu.Unlock()
		e, kept := rs.entries[r.key]
		kept = kept && e.Value == r
		if r.answer = rec.answer(); r.answer == nil {
			if kept {
				rs.forget(e)
			}
		} else if kept {
			r.size = len(r.answer.body)
			rs.bytes += r.size
		}
		for rs.bytes > maxRetryData && rs.forgetOldest() {
		}
		close(r.ended)
	}()
	serve(rec)
	rec.complete = true
}

// repeat writes the answer as the first client would have got it: with the
// request id under which the server's log has it. The date is today's.
func (a *answer) repeat(w http.ResponseWriter) {
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // the client has gone if this fails
}

// A recorder keeps a copy of what is answered.
type recorder struct {
	http.ResponseWriter
	status   int
	header   http.Header
	body     []byte
	tooLarge bool
	complete bool
}

func (r *recorder) WriteHeader(status int) {
	r.status, r.header = status, r.Header().Clone()
	r.header.Del("Date")
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.tooLarge = r.tooLarge || len(r.body)+len(b) > maxAnswer; !r.tooLarge {
		r.body = append(r.body, b...)
	}
	_, _ = r.ResponseWriter.Write(b) // the answer counts, whether or not it arrives
	return len(b), nil
}

// answer is what was answered; nil: it is not to be repeated.
func (r *recorder) answer() *answer {
	if !r.complete || r.tooLarge || r.status == 0 || r.status >= http.StatusInternalServerError || r.status == http.StatusTooManyRequests {
		return nil
	}
	return &answer{r.status, r.header, r.body}
}
