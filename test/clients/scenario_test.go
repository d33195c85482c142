package clients_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"belfry.live/belfry/internal/api"
	"belfry.live/belfry/internal/api/restjson"
	"belfry.live/belfry/test/clients"
)

// A scenario is a conversation that every client has with the server, in an
// account of its own.
type scenario struct {
	name  string
	steps []step
}

// A step is one call and what must come of it.
type step struct {
	call  string // service and operation: ivs GetChannel
	in    string // its input; see names
	want  string // a pattern for its output, see names.match; "": any
	fails string // or the type of its error
	says  string // which has this in its text
	// page has the client ask for pages of so many items, pages is the pattern
	// for the list of them.
	page  int
	pages string
	until bool // it is asked again until it is as it should be
}

// untilLimit is how long things may take that happen on their own: the stream
// goes live, and is asked for again after a pause when it was stopped.
const untilLimit = 30 * time.Second

func (s step) service() string   { service, _, _ := strings.Cut(s.call, " "); return service }
func (s step) operation() string { _, operation, _ := strings.Cut(s.call, " "); return operation }

func (s step) String() string {
	switch {
	case s.fails != "":
		return s.call + " fails with " + s.fails
	case s.page > 0:
		return s.call + " in pages"
	case s.until:
		return s.call + " in time"
	}
	return s.call
}

// A front is an address of the server that counts requests.
type front struct {
	url string

	mu       sync.Mutex
	requests map[string]int // by access key
}

func newFront(t testing.TB, served *api.API, path string) *front {
	f := &front{requests: map[string]int{}}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, after, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
		key, _, _ := strings.Cut(after, "/")
		f.mu.Lock()
		f.requests[key]++
		f.mu.Unlock()
		served.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	f.url = s.URL + path
	return f
}

// count returns how many requests the key has made.
func (f *front) count(key string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests[key]
}

// A try is how a call is made: at a front, with a setup.
type try struct {
	front *front
	setup clients.Setup
	// learns says that the client has to find out what time it is: one request
	// more at least, and one more for each that it needs at most. The Go client
	// of some services forgets it after every page, the JavaScript client repeats
	// an error as long as its measure of the clock changes.
	learns bool
}

func (y try) call(ctx context.Context, c clients.Client, r clients.Request) (clients.Answer, error) {
	y.setup.Endpoint = y.front.url
	before := y.front.count(y.setup.AccessKeyID)
	a, err := c.Call(ctx, y.setup, r)
	if err != nil {
		return a, err
	}
	least := max(1, len(a.Pages))
	most := least
	if y.learns {
		least, most = least+1, 2*least+1
	}
	if got := y.front.count(y.setup.AccessKeyID) - before; got < least || got > most {
		return a, fmt.Errorf("got %d requests, want %d to %d", got, least, most)
	}
	return a, nil
}

// A run has one client go through a scenario.
type run struct {
	client clients.Client
	table  map[string]*restjson.Service
	knows  func(call string) bool
	names  names
	try    try
	// refused is tried before each call and must be refused for its signature;
	// nil: nothing is.
	refused *try
}

func (r *run) all(t *testing.T, s scenario) {
	for _, step := range s.steps {
		if r.knows(step.call) && !t.Run(step.String(), func(t *testing.T) { r.step(t, step) }) {
			t.Fatal("what follows builds on it")
		}
	}
}

// step makes the call and checks what comes of it.
func (r *run) step(t *testing.T, s step) {
	input, err := r.names.object(s.in)
	if err != nil {
		t.Fatal(err)
	}
	request := clients.Request{Service: s.service(), Operation: s.operation(), Input: input, PageSize: s.page}
	if r.refused != nil {
		a, err := r.refused.call(t.Context(), r.client, request)
		if err != nil || a.Error == nil || a.Error.Type != "InvalidSignatureException" || a.Status != http.StatusForbidden {
			t.Fatalf("got %s (%v), want InvalidSignatureException", show(a), err)
		}
	}
	limit := time.Now().Add(untilLimit)
	for {
		a, err := r.try.call(t.Context(), r.client, request)
		if err == nil {
			err = r.check(s, a)
		}
		switch {
		case err == nil:
			return
		case !s.until || time.Now().After(limit):
			t.Fatalf("%v; the answer: %s", err, show(a))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// check says what is wrong with the answer.
func (r *run) check(s step, a clients.Answer) error {
	service := r.table[s.service()]
	if a.RequestID == "" {
		return errors.New("got no request id")
	}
	if s.fails != "" {
		if a.Error == nil {
			return fmt.Errorf("got success, want %s", s.fails)
		}
		if a.Error.Type != s.fails || !a.Error.Modelled || a.Status != service.Types[s.fails] || !strings.Contains(a.Error.Text, r.names.fill(s.says)) {
			return fmt.Errorf("got %d %s, want %d %s saying %q, in a type of its own",
				a.Status, show(a.Error), service.Types[s.fails], s.fails, r.names.fill(s.says))
		}
		return nil
	}
	if a.Error != nil {
		return fmt.Errorf("got %d %s, want success", a.Status, show(a.Error))
	}
	if want := operationOf(service, s.operation()).Status; a.Status != want {
		return fmt.Errorf("got status %d, want %d", a.Status, want)
	}
	if s.page > 0 {
		pages := []any{}
		for _, p := range a.Pages {
			pages = append(pages, p)
		}
		return r.match(s.pages, pages)
	}
	if s.want == "" {
		return nil
	}
	return r.match(s.want, a.Output)
}
