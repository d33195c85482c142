package restjson

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

var errGone = errors.New("the thing is gone")

// echo is a service whose one operation has a member of every shape, and
// answers with its input as the table left it.
var echo = &Service{
	SigningName: "echo",
	Name:        "echo",
	Types: map[string]int{
		"BadRequestException":     http.StatusBadRequest,
		"ForbiddenException":      http.StatusForbidden,
		"NotFoundException":       http.StatusNotFound,
		"ConflictException":       http.StatusConflict,
		"ServiceFailureException": http.StatusInternalServerError,
	},
	Common:    []string{"NotFoundException"},
	Invalid:   "BadRequestException",
	Denied:    "ForbiddenException",
	Failure:   "ServiceFailureException",
	ErrorBody: ChimeErrorBody,
	Answers:   []Answer{{errGone, http.StatusNotFound, "NotFoundException"}},
	Operations: []Operation{
		{
			Name: "Echo", Method: http.MethodPut, Path: "/things/{ThingId}/echo", Query: "echo", Status: http.StatusCreated,
			Input: []Member{
				Required("ThingId", String(1, 36)),
				Required("Name", String(2, 5).Matching(`[a-zß]*`, "small letters")),
				Optional("Key", String(1, 3).Secret()),
				Optional("Even", String(0, 9).Accepted(func(s string) bool { return len(s)%2 == 0 }, "of even length")),
				Optional("Mode", Enum("On", "Off")),
				Optional("Count", Integer(1, 10)),
				Optional("Flag", Boolean()),
				Optional("Items", List(Structure(Required("Id", String(1, 2)), Optional("Note", String(0, 9))), 1, 2)),
				Optional("Tags", Map(String(1, 3).Matching(`[a-z]*`, "small letters"), String(0, 3), 2)),
				Query("max-results", "MaxResults", Integer(1, 100)),
				Query("next-token", "NextToken", String(1, 4)),
				Query("key", "Keys", List(String(1, 3), 0, 2)),
			},
			Do: Do(func(_ context.Context, _ Caller, in map[string]any) (any, error) { return in, nil }),
		},
		{
			Name: "Remove", Method: http.MethodDelete, Path: "/things/{ThingId}", Status: http.StatusNoContent,
			Input:  []Member{Required("ThingId", String(1, 36))},
			Errors: []string{"ConflictException"},
			Do: Act(func(_ context.Context, _ Caller, in struct{ ThingId string }) error {
				switch in.ThingId {
				case "gone":
					return fmt.Errorf("%w: %s", errGone, in.ThingId)
				case "bug":
					return errors.New("a text that is none of the client's business")
				case "busy":
					return Errorf(http.StatusConflict, "ConflictException", "%s is busy", in.ThingId)
				case "wrong status":
					return Errorf(http.StatusBadRequest, "ConflictException", "%s is busy", in.ThingId)
				case "unknown type":
					return Errorf(http.StatusTeapot, "TeapotException", "short and stout")
				}
				return nil
			}),
		},
	},
}

// call sends a request to the service, past authentication.
func call(t testing.TB, method, target, body string) *httptest.ResponseRecorder {
	t.Helper()
	path, query, _ := strings.Cut(target, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	c, ok := echo.Find(method, path, values)
	if !ok {
		w.WriteHeader(http.StatusTeapot) // no operation
		return w
	}
	_ = echo.Serve(t.Context(), w, c, Caller{}, c.Read(values, []byte(body)), "id")
	return w
}

const target = "/things/a%2Fb/echo?operation=echo"

func TestInput(t *testing.T) {
	for _, c := range []struct{ name, target, body, want string }{
		{"path", target, `{"Name":"ab"}`, `{"Name":"ab","ThingId":"a/b"}`},
		{"doubled slashes", "//things//x/echo?operation=echo", `{"Name":"ab"}`, `{"Name":"ab","ThingId":"x"}`},
		{"query", target + "&max-results=7&next-token=t", `{"Name":"ab"}`, `{"MaxResults":7,"Name":"ab","NextToken":"t","ThingId":"a/b"}`},
		{"a parameter that comes twice", target + "&key=b&key=a%20c", `{"Name":"ab"}`, `{"Keys":["b","a c"],"Name":"ab","ThingId":"a/b"}`},
		{"a parameter that comes once", target + "&key=a%20c", `{"Name":"ab"}`, `{"Keys":["a c"],"Name":"ab","ThingId":"a/b"}`},
		{"empty query values are absent", target + "&max-results=&next-token=", `{"Name":"ab"}`, `{"Name":"ab","ThingId":"a/b"}`},
		{"a member of the query does not come in the body", target, `{"Name":"ab","MaxResults":"x"}`, `{"Name":"ab","ThingId":"a/b"}`},
		{"a member of the path does not come in the body", target, `{"Name":"ab","ThingId":"z"}`, `{"Name":"ab","ThingId":"a/b"}`},
		{"unknown members and nulls are dropped", target, `{"Name":"ab","Mode":null,"Extra":[{}],"Items":[{"Id":"1","Note":null,"X":1}]}`, `{"Items":[{"Id":"1"}],"Name":"ab","ThingId":"a/b"}`},
		{"characters are counted, not bytes", target, `{"Name":"ßßßßß"}`, `{"Name":"ßßßßß","ThingId":"a/b"}`},
		{
			"everything", target,
			`{"Name":"ab","Key":"k","Even":"","Mode":"On","Count":10,"Flag":false,"Items":[{"Id":"1"},{"Id":"2","Note":""}],"Tags":{"a":"","b":"x"}}`,
			`{"Count":10,"Even":"","Flag":false,"Items":[{"Id":"1"},{"Id":"2","Note":""}],"Key":"k","Mode":"On","Name":"ab","Tags":{"a":"","b":"x"},"ThingId":"a/b"}`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := call(t, http.MethodPut, c.target, c.body)
			if got := strings.TrimSpace(w.Body.String()); w.Code != http.StatusCreated || got != c.want {
				t.Errorf("got %d %s, want %d %s", w.Code, got, http.StatusCreated, c.want)
			}
			if got := w.Header().Get("Content-Type"); got != "application/json" {
				t.Errorf("got content type %q, want application/json", got)
			}
		})
	}
}

// An error names the member, the limit and the value.
func TestInputErrors(t *testing.T) {
	for _, c := range []struct{ body, says string }{
		{``, "Name is required"},
		{`{}`, "Name is required"},
		{`{"Name":null}`, "Name is required"},
		{`[]`, "the body must be a JSON object, got a list"},
		{`{"Name":`, "the body is not JSON"},
		{`{} {}`, "the body goes on after its JSON object"},
		{`{"Name":7}`, "Name must be a string, got a number"},
		{`{"Name":"a"}`, `Name must have 2 to 5 characters, got 1: "a"`},
		{`{"Name":"abcdef"}`, `Name must have 2 to 5 characters, got 6: "abcdef"`},
		{`{"Name":"ab1"}`, `Name must be small letters: "ab1"`},
		{`{"Name":"` + strings.Repeat("ß", 200) + `"}`, `got 200: "` + strings.Repeat("ß", 50) + `"…`},
		{`{"Name":"ab","Key":"secret"}`, "Key must have 1 to 3 characters, got 6"},
		{`{"Name":"ab","Even":"abc"}`, `Even must be of even length: "abc"`},
		{`{"Name":"ab","Mode":"on"}`, `Mode must be On or Off: "on"`},
		{`{"Name":"ab","Mode":true}`, "Mode must be a string, got a truth value"},
		{`{"Name":"ab","Count":11}`, `Count must be a whole number from 1 to 10: "11"`},
		{`{"Name":"ab","Count":1.5}`, `Count must be a whole number from 1 to 10: "1.5"`},
		{`{"Name":"ab","Count":99999999999999999999}`, "Count must be a whole number from 1 to 10"},
		{`{"Name":"ab","Count":"1"}`, "Count must be a number, got a string"},
		{`{"Name":"ab","Flag":"true"}`, "Flag must be true or false, got a string"},
		{`{"Name":"ab","Items":[]}`, "Items must have 1 to 2 items, got 0"},
		{`{"Name":"ab","Items":{}}`, "Items must be a list, got an object"},
		{`{"Name":"ab","Items":[{"Id":"1"},{}]}`, "Items[1].Id is required"},
		{`{"Name":"ab","Items":[null]}`, "Items[0] must be an object, got null"},
		{`{"Name":"ab","Items":[{"Id":"123"}]}`, `Items[0].Id must have 1 to 2 characters, got 3: "123"`},
		{`{"Name":"ab","Tags":[]}`, "Tags must be an object, got a list"},
		{`{"Name":"ab","Tags":{"a":"","b":"","c":""}}`, "Tags must have 0 to 2 pairs, got 3"},
		{`{"Name":"ab","Tags":{"A":""}}`, `a key of Tags must be small letters: "A"`},
		{`{"Name":"ab","Tags":{"a":1}}`, "Tags.a must be a string, got a number"},
	} {
		t.Run(c.body, func(t *testing.T) {
			w := call(t, http.MethodPut, target, c.body)
			checkError(t, w, http.StatusBadRequest, "BadRequestException", c.says)
			if strings.Contains(w.Body.String(), "secret") {
				t.Errorf("got %s, want the secret left out", w.Body)
			}
		})
	}
	w := call(t, http.MethodPut, target+"&max-results=many", `{"Name":"ab"}`)
	checkError(t, w, http.StatusBadRequest, "BadRequestException", `MaxResults must be a whole number from 1 to 100: "many"`)
}

func checkError(t *testing.T, w *httptest.ResponseRecorder, status int, kind, says string) {
	t.Helper()
	var body struct{ Code, Message, RequestId string }
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatalf("got body %q, want JSON", w.Body)
	}
	if w.Code != status || w.Header().Get("X-Amzn-ErrorType") != kind || !strings.Contains(body.Message, says) {
		t.Errorf("got %d %s %q, want %d %s saying %q", w.Code, w.Header().Get("X-Amzn-ErrorType"), body.Message, status, kind, says)
	}
	if want := strings.TrimSuffix(kind, "Exception"); body.Code != want || body.RequestId != "id" {
		t.Errorf("got code %q and request id %q, want %q and id", body.Code, body.RequestId, want)
	}
}

func TestAnswers(t *testing.T) {
	w := call(t, http.MethodDelete, "/things/x", "")
	if w.Code != http.StatusNoContent || w.Body.Len() != 0 {
		t.Errorf("got %d %q, want %d and no body", w.Code, w.Body, http.StatusNoContent)
	}
	checkError(t, call(t, http.MethodDelete, "/things/gone", ""), http.StatusNotFound, "NotFoundException", "the thing is gone: gone")
	checkError(t, call(t, http.MethodDelete, "/things/busy", ""), http.StatusConflict, "ConflictException", "busy is busy")
	w = call(t, http.MethodDelete, "/things/bug", "")
	checkError(t, w, http.StatusInternalServerError, "ServiceFailureException", "internal error")
	if strings.Contains(w.Body.String(), "business") {
		t.Errorf("got %s, want the cause kept back", w.Body)
	}
}

// What an operation's row and the service's types do not have is reported. It
// is answered all the same, but to tests.
func TestUnlistedAnswers(t *testing.T) {
	for _, c := range []struct {
		thing, kind string
		status      int
		says        string
	}{
		{"wrong status", "ConflictException", http.StatusBadRequest, "status 400, its type has 409"},
		{"unknown type", "TeapotException", http.StatusTeapot, "its row does not list the answer TeapotException"},
	} {
		for _, strict := range []bool{false, true} {
			s := &Service{
				Types: echo.Types, Common: echo.Common, Invalid: echo.Invalid, Denied: echo.Denied, Failure: echo.Failure,
				ErrorBody: echo.ErrorBody, Operations: echo.Operations, Strict: strict,
			}
			found, _ := s.Find(http.MethodDelete, "/things/"+url.PathEscape(c.thing), nil)
			w := httptest.NewRecorder()
			err := s.Serve(t.Context(), w, found, Caller{}, found.Read(nil, nil), "id")
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: got %v reported, want %q", c.thing, err, c.says)
			}
			kind, status := c.kind, c.status
			if strict {
				kind, status = "ServiceFailureException", http.StatusInternalServerError
			}
			checkError(t, w, status, kind, "")
		}
	}
}

// What a policy forbids is refused before anything is said of the members.
func TestPermit(t *testing.T) {
	found, _ := echo.Find(http.MethodDelete, "/things/x", nil)
	found.Operation.Resource = func(_ Caller, d Document) string { return "arn:" + d.Text("ThingId") }
	defer func() { found.Operation.Resource = nil }()
	var asked []string
	c := Caller{May: func(action, resource string) error {
		asked = append(asked, action+" "+resource)
		if resource != "arn:x" {
			return errors.New("no")
		}
		return nil
	}}
	if err := echo.Permit(found, c, found.Read(nil, nil)); err != nil {
		t.Errorf("got %v, want it allowed", err)
	}
	other, _ := echo.Find(http.MethodDelete, "/things/"+strings.Repeat("y", 99), nil)
	if err := echo.Permit(other, c, other.Read(nil, nil)); err == nil || err.Type != "ForbiddenException" || err.Status != http.StatusForbidden {
		t.Errorf("got %v, want ForbiddenException", err)
	}
	put, _ := echo.Find(http.MethodPut, "/things/x/echo", url.Values{"operation": {"echo"}})
	if err := echo.Permit(put, c, put.Read(nil, []byte("no JSON"))); err == nil {
		t.Error("got no error, want one")
	}
	if err := echo.Permit(put, Caller{}, put.Read(nil, nil)); err != nil {
		t.Errorf("without a policy: got %v, want it allowed", err)
	}
	want := []string{"echo:Remove arn:x", "echo:Remove arn:" + strings.Repeat("y", 99), "echo:Echo *"}
	if !slices.Equal(asked, want) {
		t.Errorf("got %q asked, want %q", asked, want)
	}
}

// An operation that changes something goes on without its client.
func TestChangesOutliveTheClient(t *testing.T) {
	gone, leave := context.WithCancel(t.Context())
	leave()
	var ended error
	var limited bool
	handler := Act(func(ctx context.Context, _ Caller, _ struct{}) error {
		ended = ctx.Err()
		_, limited = ctx.Deadline()
		return nil
	})
	for name, want := range map[string]error{"UpdateThing": nil, "GetThing": context.Canceled} {
		s := &Service{ErrorBody: ChimeErrorBody, Operations: []Operation{{Name: name, Method: http.MethodGet, Path: "/thing", Status: http.StatusOK, Do: handler}}}
		found, _ := s.Find(http.MethodGet, "/thing", nil)
		if err := s.Serve(gone, httptest.NewRecorder(), found, Caller{}, found.Read(nil, nil), "id"); err != nil {
			t.Error(err)
		}
		if !errors.Is(ended, want) || limited != (want == nil) {
			t.Errorf("%s: got its context ended by %v, with a limit: %t; want %v", name, ended, limited, want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "", time.Millisecond: "1", time.Second: "1", 1500 * time.Millisecond: "2"} {
		w := httptest.NewRecorder()
		echo.Fail(w, &Error{Status: http.StatusConflict, Type: "ConflictException", RetryAfter: d}, "id")
		if got := w.Header().Get("Retry-After"); got != want {
			t.Errorf("after %v: got Retry-After %q, want %q", d, got, want)
		}
	}
}

func TestRoutes(t *testing.T) {
	for _, c := range []struct{ method, target string }{
		{http.MethodPut, "/things/x/echo"},                  // without the operation
		{http.MethodPut, "/things/x/echo?operation=other"},  //
		{http.MethodDelete, "/things/x?operation=echo"},     //
		{http.MethodPost, "/things/x/echo?operation=echo"},  // another method
		{http.MethodPut, "/things/x/y/echo?operation=echo"}, // one segment more
		{http.MethodPut, "/things/echo?operation=echo"},     // one less
		{http.MethodPut, "/things/%zz/echo?operation=echo"}, // not an escape
		{http.MethodPut, "/Things/x/echo?operation=echo"},   // case counts
		{http.MethodPut, "/things/x%2Fecho?operation=echo"}, // no separator
		{http.MethodPut, "/base/things/x/echo?operation=echo"},
	} {
		if w := call(t, c.method, c.target, `{"Name":"ab"}`); w.Code != http.StatusTeapot {
			t.Errorf("%s %s: got %d, want no operation", c.method, c.target, w.Code)
		}
	}
	for path, want := range map[string]bool{"/things/x": true, "//things///x/": true, "/things/x/echo": true, "/things": false, "/": false} {
		if got := echo.Claims(path); got != want {
			t.Errorf("claims %s: got %t, want %t", path, got, want)
		}
	}
}

func TestTime(t *testing.T) {
	text, err := json.Marshal(Time(time.Date(2026, 3, 4, 6, 6, 7, 89_500_000, time.FixedZone("", 3600))))
	if want := `"2026-03-04T05:06:07.089Z"`; err != nil || string(text) != want {
		t.Errorf("got %s (%v), want %s", text, err, want)
	}
}

// FuzzInput sends bodies and queries: whatever comes, the answer is a success
// or says what is wrong.
func FuzzInput(f *testing.F) {
	f.Add("max-results=7&next-token=t", `{"Name":"ab"}`)
	f.Add("", `{"Name":"ab","Key":"k","Even":"","Mode":"On","Count":10,"Flag":false,"Items":[{"Id":"1"},{"Id":"2","Note":""}],"Tags":{"a":"","b":"x"}}`)
	f.Add("max-results=%zz", `{"Name":{"Name":{"Name":[[[[null]]]]}}}`)
	f.Add("a;b", `{"Name":"\ud800","Count":1e999}`)
	f.Fuzz(func(t *testing.T, query, body string) {
		if _, err := url.ParseQuery(query); err != nil {
			t.Skip() // the API refuses these before
		}
		w := call(t, http.MethodPut, "/things/x/echo?operation=echo&"+query, body)
		switch w.Code {
		case http.StatusCreated, http.StatusBadRequest:
		default:
			t.Errorf("got %d %s, want %d or %d", w.Code, w.Body, http.StatusCreated, http.StatusBadRequest)
		}
		if !json.Valid(w.Body.Bytes()) {
			t.Errorf("got %q, want JSON", w.Body)
		}
	})
}
