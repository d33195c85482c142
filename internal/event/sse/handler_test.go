package sse_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"belfry.live/belfry/internal/event"
	"belfry.live/belfry/internal/event/sse"
	"belfry.live/belfry/internal/store/natskv"
)

const account, other = "111122223333", "999900001111"

func openJournal(t testing.TB) *event.Journal {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	s, err := natskv.Open(t.Context(), natskv.Config{Dir: filepath.Join(t.TempDir(), "nats")}, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	conn, err := s.Connect("events")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	j, err := event.Open(t.Context(), conn, event.Config{}, log)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// A place is a handler on a port, over a journal.
type place struct {
	journal *event.Journal
	handler *sse.Handler
	url     string
	good    atomic.Bool // whether subscribers still may
	stop    func()      // ends the handler's Run
}

// serve serves events; whose they are is said by the header Account.
func serve(t testing.TB, cfg sse.Config) *place {
	t.Helper()
	p := &place{journal: openJournal(t)}
	p.good.Store(true)
	p.handler = sse.New(cfg, p.journal, func(w http.ResponseWriter, r *http.Request) (event.Subscriber, bool) {
		who := r.Header.Get("Account")
		if who == "" {
			event.Refuse(w, http.StatusForbidden, "MissingAuthenticationTokenException", "nobody asks")
			return event.Subscriber{}, false
		}
		return event.Subscriber{Account: who, Still: p.good.Load}, true
	}, slog.New(slog.DiscardHandler))
	srv := httptest.NewServer(p.handler)
	t.Cleanup(srv.Close)
	p.url = srv.URL
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.handler.Run(ctx) }()
	p.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: got %v, want nil", err)
		}
	})
	t.Cleanup(p.stop)
	return p
}

func (p *place) append(t testing.TB, events ...event.Event) {
	t.Helper()
	if err := p.journal.Append(t.Context(), events...); err != nil {
		t.Fatal(err)
	}
}

func meetingEvent(account, meeting string, n int) event.Event {
	e, err := event.New(account, "eu-central-1", "aws.chime", "Chime Meeting State Change", map[string]any{"n": n})
	if err != nil {
		panic(err)
	}
	e.Kind, e.Subject, e.Type = "meeting", meeting, "chime:AttendeeJoined"
	return e
}

// get asks for the path with the headers, which are names and values.
func (p *place) get(t testing.TB, path string, headers ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for ; len(headers) > 0; headers = headers[2:] {
		req.Header.Set(headers[0], headers[1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return res
}

// A stream is a client's side of GET /events.
type stream struct {
	*bufio.Scanner
	beats int
}

func (p *place) stream(t testing.TB, path string, headers ...string) *stream {
	t.Helper()
	res := p.get(t, path, append(headers, "Account", account)...)
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" || !res.Close {
		t.Fatalf("got %s, %v", res.Status, res.Header)
	}
	s := bufio.NewScanner(res.Body)
	s.Buffer(nil, 1<<20)
	return &stream{Scanner: s}
}

// next returns the id and the number of the next event; false at the end.
func (s *stream) next(t testing.TB) (id uint64, n int, ok bool) {
	t.Helper()
	for !ok {
		before := s.beats
		if id, n, ok = s.nextOrBeat(t); !ok && s.beats == before {
			break
		}
	}
	return id, n, ok
}

// nextOrBeat is next, but returns false at a heartbeat too.
func (s *stream) nextOrBeat(t testing.TB) (id uint64, n int, ok bool) {
	t.Helper()
	for s.Scan() {
		field, value, _ := strings.Cut(s.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case s.Text() == ":":
			s.beats++
			return 0, 0, false
		case field == "id":
			var err error
			if id, err = strconv.ParseUint(value, 10, 64); err != nil {
				t.Fatal(err)
			}
		case field == "data":
			var e struct {
				Version string
				Detail  struct{ N int }
			}
			if err := json.Unmarshal([]byte(value), &e); err != nil || e.Version != "0" {
				t.Fatalf("got data %q: %v", value, err)
			}
			n, ok = e.Detail.N, true
		case s.Text() == "" && ok:
			return id, n, true
		}
	}
	return 0, 0, false
}

// numbers returns those of the next events.
func (s *stream) numbers(t testing.TB, count int) (list []int) {
	t.Helper()
	for range count {
		_, n, ok := s.next(t)
		if !ok {
			t.Fatalf("the stream ended after %v: %v", list, s.Err())
		}
		list = append(list, n)
	}
	return list
}

func TestLiveEventsOfOneAccount(t *testing.T) {
	p := serve(t, sse.Config{})
	p.append(t, meetingEvent(account, "m", 0)) // before anybody asked
	s := p.stream(t, "/events")
	for n := 1; n <= 5; n++ {
		p.append(t, meetingEvent(other, "m", -n), meetingEvent(account, "m", n))
		if _, got, ok := s.next(t); !ok || got != n {
			t.Fatalf("got event %d, want %d", got, n)
		}
	}
	if got := p.handler.Stats(); got.Clients != 1 || got.Sent != 5 {
		t.Errorf("got %+v, want 1 client and 5 events", got)
	}
}

func TestReplay(t *testing.T) {
	p := serve(t, sse.Config{})
	for n := range 6 {
		p.append(t, meetingEvent(account, "m", n), meetingEvent(other, "m", -1))
	}
	fourth, err := p.journal.Next(t.Context(), event.Subjects(account, ""), 7)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		name, path string
		header     []string
		want       []int
	}{
		{"from the first", "/events", []string{"Last-Event-ID", "0"}, []int{0, 1, 2, 3, 4, 5}},
		{"after the third", "/events", []string{"Last-Event-ID", "5"}, []int{3, 4, 5}},
		{"after somebody else's", "/events", []string{"Last-Event-ID", "6"}, []int{3, 4, 5}},
		{"of another journal", "/events", []string{"Last-Event-ID", "1000"}, nil},
		{"an hour ago", "/events?since=1h", nil, []int{0, 1, 2, 3, 4, 5}},
		{"since a time", "/events?since=" + url.QueryEscape(fourth.Appended.Format(time.RFC3339Nano)), nil, []int{3, 4, 5}},
		{"both", "/events?since=1h", []string{"Last-Event-ID", "9"}, []int{5}},
		{"since now", "/events?since=0s", nil, nil},
		{"neither", "/events", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := p.stream(t, c.path, c.header...)
			live := 100 + i
			p.append(t, meetingEvent(account, "m", live))
			for _, want := range append(c.want, live) {
				_, got, ok := s.next(t)
				for got >= 100 && got < live { // those of the cases before
					_, got, ok = s.next(t)
				}
				if !ok || got != want {
					t.Fatalf("got event %d, %v, want %d", got, ok, want)
				}
			}
		})
	}
}

// A client that is cut off again and again, and resumes where it was, misses
// nothing and gets nothing twice.
func TestResume(t *testing.T) {
	p := serve(t, sse.Config{})
	const count = 300
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := range count {
			if err := p.journal.Append(t.Context(), meetingEvent(account, "m", n)); err != nil {
				t.Error(err)
			}
		}
	})
	defer wg.Wait()
	var last uint64
	for want := 0; want < count; {
		ctx, cut := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Account", account)
		req.Header.Set("Last-Event-ID", strconv.FormatUint(last, 10))
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		s := &stream{Scanner: bufio.NewScanner(res.Body)}
		for range 1 + want%17 {
			id, n, ok := s.next(t)
			if !ok || n != want || id <= last {
				t.Fatalf("got event %d with id %d after %d, want event %d", n, id, last, want)
			}
			last = id
			if want++; want == count {
				break
			}
		}
		cut()
		res.Body.Close()
	}
}

func TestFilters(t *testing.T) {
	p := serve(t, sse.Config{Heartbeat: 50 * time.Millisecond})
	stream, pipeline := meetingEvent(account, "abcdEFGH1234", 1), meetingEvent(account, "p", 2)
	stream.Source, stream.DetailType, stream.Kind = "aws.ivs", "IVS Stream State Change", "channel"
	stream.Resources = []string{"arn:aws:ivs:us-east-1:111122223333:channel/abcdEFGH1234"}
	pipeline.DetailType, pipeline.Kind = "Chime Media Pipeline State Change", "media-pipeline"
	p.append(t, meetingEvent(account, "m", 0), stream, pipeline)
	end := meetingEvent(account, "end", 9)
	end.Source, end.DetailType = "aws.ivs", "IVS Stream State Change"
	end.Resources = stream.Resources
	p.append(t, end)
	for query, want := range map[string][]int{
		"":                                {0, 1, 2, 9},
		"source=aws.ivs":                  {1, 9},
		"source=aws.chime":                {0, 2},
		"source=aws.*":                    nil,
		"source=aws.>":                    nil,
		"source=aws":                      nil,
		"source=aws.chime&source=aws.ivs": {0, 1, 2, 9},
		"detail-type=IVS%20Stream%20State%20Change":                   {1, 9},
		"detail-type=Chime+Media+Pipeline+State+Change&detail-type=x": {2},
		"resource=m": {0},
		"resource=arn%3Aaws%3Aivs%3Aus-east-1%3A111122223333%3Achannel%2FabcdEFGH1234": {1, 9},
		"resource=abcdEFGH1234":     {1},
		"resource=m&resource=p":     {0, 2},
		"source=aws.ivs&resource=m": nil,
	} {
		t.Run(query, func(t *testing.T) {
			s := p.stream(t, "/events?since=1h&"+query)
			var got []int
			for s.beats == 0 { // by then all that there is was sent
				if _, n, ok := s.nextOrBeat(t); ok {
					got = append(got, n)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

// Comments keep the connection open, until the key is no longer good.
func TestHeartbeat(t *testing.T) {
	p := serve(t, sse.Config{Heartbeat: 20 * time.Millisecond})
	s := p.stream(t, "/events")
	for s.beats < 3 {
		if _, n, ok := s.nextOrBeat(t); ok {
			t.Fatalf("got event %d, want heartbeats", n)
		}
	}
	p.append(t, meetingEvent(account, "m", 1))
	if _, n, ok := s.next(t); !ok || n != 1 {
		t.Errorf("got %d, %v after heartbeats, want event 1", n, ok)
	}
	p.good.Store(false)
	if _, n, ok := s.next(t); ok || s.Err() != nil {
		t.Errorf("got event %d, %v although the key is no longer good, want the end", n, s.Err())
	}
}

// A client that takes nothing is cut, and is no burden until then.
func TestSlowClient(t *testing.T) {
	p := serve(t, sse.Config{WriteTimeout: 300 * time.Millisecond})
	addr := strings.TrimPrefix(p.url, "http://")
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /events HTTP/1.1\r\nHost: %s\r\nAccount: %s\r\n\r\n", addr, account)
	quick := p.stream(t, "/events")
	waitFor(t, func() bool { return p.handler.Stats().Clients == 2 })
	const count = 100
	big := strings.Repeat("x", 200<<10)
	for n := range count { // 20 MB
		e := meetingEvent(account, "m", n)
		e.Detail = fmt.Appendf(nil, `{"n":%d,"x":%q}`, n, big)
		p.append(t, e)
		if _, got, ok := quick.next(t); !ok || got != n {
			t.Fatalf("got %d, %v, want event %d for the other client", got, ok, n)
		}
	}
	waitFor(t, func() bool { s := p.handler.Stats(); return s.Cut == 1 && s.Clients == 1 })
}

func TestTooManyClients(t *testing.T) {
	p := serve(t, sse.Config{MaxClients: 2})
	p.stream(t, "/events")
	p.stream(t, "/events")
	res := p.get(t, "/events", "Account", account)
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" || !strings.Contains(string(body), "events.max_clients is 2") {
		t.Errorf("got %s %s, %v, want 503 that names the setting", res.Status, body, err)
	}
	if got := p.handler.Stats(); got.Clients != 2 || got.Refused != 1 {
		t.Errorf("got %+v", got)
	}
}

// At the end of the server streams end as they should, and nobody comes in.
func TestEnd(t *testing.T) {
	p := serve(t, sse.Config{})
	s := p.stream(t, "/events")
	p.append(t, meetingEvent(account, "m", 1))
	s.numbers(t, 1)
	p.stop()
	if _, _, ok := s.next(t); ok || s.Err() != nil {
		t.Errorf("got %v, %v, want a clean end", ok, s.Err())
	}
	if res := p.get(t, "/events", "Account", account); res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("got %s, want 503", res.Status)
	}
}

func TestRefusals(t *testing.T) {
	p := serve(t, sse.Config{})
	for _, c := range []struct {
		method, path, account, lastID string
		status                        int
		want                          string
	}{
		{"GET", "/events", "", "", 403, "nobody"},
		{"GET", "/events/dead", "", "", 403, "nobody"},
		{"POST", "/events", account, "", 405, "GET"},
		{"GET", "/events/else", account, "", 404, "/events/dead"},
		{"GET", "/events?since=yesterday", account, "", 400, "yesterday"},
		{"GET", "/events?since=-1h", account, "", 400, "-1h"},
		{"GET", "/events?sources=x", account, "", 400, "sources"},
		{"GET", "/events?source=%zz", account, "", 400, "query"},
		{"GET", "/events?" + strings.Repeat("source=x&", 21), account, "", 400, "20"},
		{"GET", "/events", account, "x", 400, "Last-Event-ID"},
		{"GET", "/events", account, "-1", 400, "Last-Event-ID"},
		{"GET", "/events", account, "18446744073709551615", 400, "Last-Event-ID"},
		{"GET", "/events/dead?from=x", account, "", 400, "from"},
		{"GET", "/events/dead?since=1h", account, "", 400, "since"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, p.url+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.account != "" {
			req.Header.Set("Account", c.account)
		}
		if c.lastID != "" {
			req.Header.Set("Last-Event-ID", c.lastID)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var body struct{ Message string }
		err = json.NewDecoder(res.Body).Decode(&body)
		res.Body.Close()
		if err != nil || res.StatusCode != c.status || !strings.Contains(body.Message, c.want) || res.Header.Get("X-Amzn-ErrorType") == "" {
			t.Errorf("%s %s: got %s, %q, %v, want %d with %q", c.method, c.path, res.Status, body.Message, err, c.status, c.want)
		}
	}
	if got := p.handler.Stats(); got.Clients != 0 {
		t.Errorf("got %d clients, want none", got.Clients)
	}
}

func TestDeadLetters(t *testing.T) {
	p := serve(t, sse.Config{})
	p.append(t, meetingEvent(account, "m", 1))
	r, err := p.journal.Next(t.Context(), event.Subjects("", ""), 1)
	if err != nil {
		t.Fatal(err)
	}
	const count = 130
	for n := range count {
		r.Sequence = uint64(n + 1) // as if of many events
		if err := p.journal.Bury(t.Context(), r, event.DeadLetter{Webhook: "a", Reason: "status 500", Attempts: n, Died: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	var got []int
	for path := "/events/dead"; path != ""; {
		var page sse.DeadLetters
		res := p.get(t, path, "Account", account)
		if err := json.NewDecoder(res.Body).Decode(&page); err != nil {
			t.Fatal(err)
		}
		for _, l := range page.DeadLetters {
			got = append(got, l.Attempts)
		}
		path = ""
		if page.Next != 0 {
			path = "/events/dead?from=" + strconv.FormatUint(page.Next, 10)
		}
	}
	if len(got) != count || !slices.IsSorted(got) {
		t.Errorf("got %d dead letters, want %d in order", len(got), count)
	}
	var none sse.DeadLetters
	if err := json.NewDecoder(p.get(t, "/events/dead", "Account", other).Body).Decode(&none); err != nil || none.DeadLetters == nil || len(none.DeadLetters) != 0 {
		t.Errorf("of another account: got %v, %v, want an empty list", none, err)
	}
}

func waitFor(t testing.TB, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(errors.New("waited 20 s"))
		}
	}
}
