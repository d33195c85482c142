package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"belfry.live/belfry/internal/api/restjson"
)

// counter answers with how often it was asked.
type counter struct {
	status int
	size   int // of the body, at least
	n      int
}

func (c *counter) serve(w http.ResponseWriter) {
	c.n++
	w.Header().Set("X-Count", strconv.Itoa(c.n))
	w.WriteHeader(c.status)
	_, _ = w.Write([]byte(strconv.Itoa(c.n) + strings.Repeat(" ", c.size)))
}

func ask(t testing.TB, rs *retries, key byte, now time.Time, serve func(http.ResponseWriter)) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	w.Header().Set("Date", "now")
	rs.once(t.Context(), w, retryKey{key}, now, serve)
	return w
}

func TestRepetitionsGetTheFirstAnswer(t *testing.T) {
	now := time.Unix(0, 0)
	for _, c := range []struct {
		status   int
		size     int
		after    time.Duration
		repeated bool
	}{
		{http.StatusOK, 0, 0, true},
		{http.StatusCreated, 0, retryTime - 1, true},
		{http.StatusNotFound, 0, time.Second, true},
		{http.StatusOK, 0, retryTime, false},
		{http.StatusOK, maxAnswer, 0, false},
		{http.StatusTooManyRequests, 0, 0, false},
		{http.StatusInternalServerError, 0, 0, false},
		{http.StatusServiceUnavailable, 0, 0, false},
	} {
		rs, count := newRetries(), &counter{status: c.status, size: c.size}
		first := ask(t, rs, 1, now, count.serve)
		again := ask(t, rs, 1, now.Add(c.after), count.serve)
		if repeated := count.n == 1; repeated != c.repeated {
			t.Errorf("%d with %d bytes after %v: got it repeated %t, want %t", c.status, c.size, c.after, repeated, c.repeated)
			continue
		}
		if again.Code != c.status || c.repeated && (again.Body.String() != first.Body.String() || again.Header().Get("X-Count") != "1") {
			t.Errorf("%d: got %d %q %v, want the first answer", c.status, again.Code, again.Body, again.Header())
		}
		if got := again.Header().Get("Date"); got != "now" {
			t.Errorf("%d: got the date %q, want that of the second answer", c.status, got)
		}
		if other := ask(t, rs, 2, now, count.serve); other.Header().Get("X-Count") == "1" {
			t.Error("another request got the answer")
		}
	}
}

func TestRepetitionsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rs, count := newRetries(), &counter{status: http.StatusOK}
		slow := func(w http.ResponseWriter) {
			time.Sleep(time.Second)
			count.serve(w)
		}
		answers := make(chan *httptest.ResponseRecorder, 3)
		for range 3 {
			go func() { answers <- ask(t, rs, 1, time.Now(), slow) }()
		}
		synctest.Wait()
		gone, leave := context.WithCancel(t.Context())
		go func() {
			w := httptest.NewRecorder()
			rs.once(gone, w, retryKey{1}, time.Now(), slow)
			answers <- w
		}()
		synctest.Wait()
		leave()
		if w := <-answers; w.Body.Len() != 0 || w.Header().Get("X-Count") != "" {
			t.Errorf("got %q for the client that has gone, want nothing", w.Body)
		}
		start := time.Now()
		for range 3 {
			if w := <-answers; w.Body.String() != "1" {
				t.Errorf("got %q, want 1", w.Body)
			}
		}
		if waited := time.Since(start); waited != time.Second || count.n != 1 {
			t.Errorf("got %d runs in %v, want one in 1s", count.n, waited)
		}
	})
}

// When the first came to nothing, one of those who waited tries again.
func TestRepetitionsAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rs, n := newRetries(), 0
		serve := func(w http.ResponseWriter) {
			n++
			status := http.StatusOK
			if n == 1 {
				status = http.StatusServiceUnavailable
			}
			time.Sleep(time.Second)
			w.WriteHeader(status)
		}
		codes := make(chan int, 3)
		for range 3 {
			go func() { codes <- ask(t, rs, 1, time.Now(), serve).Code }()
		}
		got := map[int]int{}
		for range 3 {
			got[<-codes]++
		}
		if got[http.StatusOK] != 2 || got[http.StatusServiceUnavailable] != 1 || n != 2 {
			t.Errorf("got %v from %d runs, want one 503 and two 200 from 2", got, n)
		}
	})
}

func TestAPanicIsNoAnswer(t *testing.T) {
	rs := newRetries()
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		ask(t, rs, 1, time.Unix(0, 0), func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusOK)
			panic("broken promise")
		})
	}()
	count := &counter{status: http.StatusOK}
	if ask(t, rs, 1, time.Unix(0, 0), count.serve); count.n != 1 {
		t.Error("the broken answer was repeated")
	}
}

func TestRetriesAreBounded(t *testing.T) {
	rs, count := newRetries(), &counter{status: http.StatusOK, size: maxAnswer - 100}
	now := time.Unix(0, 0)
	for i := range byte(100) {
		ask(t, rs, i, now, count.serve)
		if rs.bytes > maxRetryData || rs.order.Len() != len(rs.entries) {
			t.Fatalf("got %d bytes in %d and %d entries, want %d bytes at most", rs.bytes, rs.order.Len(), len(rs.entries), maxRetryData)
		}
	}
	if n := count.n; ask(t, rs, 99, now, count.serve).Code != http.StatusOK || count.n != n {
		t.Error("the last answer was forgotten")
	}
	if n := count.n; ask(t, rs, 0, now, count.serve).Code != http.StatusOK || count.n != n+1 {
		t.Error("the first answer was kept")
	}

	rs, count = newRetries(), &counter{status: http.StatusOK}
	for i := range 2 * maxRetries {
		rs.once(t.Context(), httptest.NewRecorder(), retryKey{byte(i), byte(i >> 8), byte(i >> 16)}, now, count.serve)
	}
	if rs.order.Len() != maxRetries || len(rs.entries) != maxRetries {
		t.Errorf("got %d and %d entries, want %d", rs.order.Len(), len(rs.entries), maxRetries)
	}
	if ask(t, rs, 1, now.Add(retryTime), count.serve); rs.order.Len() != 1 {
		t.Errorf("after their time: got %d entries, want the new one", rs.order.Len())
	}
}

func TestRetryKeys(t *testing.T) {
	base := func() *http.Request {
		r := httptest.NewRequest(http.MethodPost, "/CreateChannel", nil)
		r.Header.Set("Amz-Sdk-Invocation-Id", "an-id")
		return r
	}
	op, c := &restjson.Operation{Name: "CreateChannel"}, restjson.Caller{AccessKeyID: "k", Account: "a", Region: "r"}
	want, ok := retryOf(base(), op, c, []byte("{}"))
	if got, _ := retryOf(base(), op, c, []byte("{}")); !ok || got != want {
		t.Error("a repetition has another key")
	}
	for name, key := range map[string]func() (retryKey, bool){
		"body":      func() (retryKey, bool) { return retryOf(base(), op, c, []byte("{ }")) },
		"operation": func() (retryKey, bool) { return retryOf(base(), &restjson.Operation{Name: "X"}, c, []byte("{}")) },
		"access key": func() (retryKey, bool) {
			return retryOf(base(), op, restjson.Caller{AccessKeyID: "l", Account: "a", Region: "r"}, []byte("{}"))
		},
		"region": func() (retryKey, bool) {
			return retryOf(base(), op, restjson.Caller{AccessKeyID: "k", Account: "a", Region: "s"}, []byte("{}"))
		},
		"id": func() (retryKey, bool) {
			r := base()
			r.Header.Set("Amz-Sdk-Invocation-Id", "another")
			return retryOf(r, op, c, []byte("{}"))
		},
		"path": func() (retryKey, bool) {
			r := base()
			r.RequestURI = "/DeleteChannel"
			return retryOf(r, op, c, []byte("{}"))
		},
	} {
		if got, ok := key(); !ok || got == want {
			t.Errorf("with another %s it is taken for a repetition", name)
		}
	}
	without, long := base(), base()
	without.Header.Del("Amz-Sdk-Invocation-Id")
	long.Header.Set("Amz-Sdk-Invocation-Id", strings.Repeat("x", maxRetryID+1))
	if _, ok := retryOf(without, op, c, nil); ok {
		t.Error("without an id it is remembered")
	}
	if _, ok := retryOf(long, op, c, nil); ok {
		t.Error("with too long an id it is remembered")
	}
	if _, ok := retryOf(base(), &restjson.Operation{Name: "GetChannel"}, c, nil); ok {
		t.Error("a read is remembered")
	}
}
