package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"belfry.live/belfry/internal/api"
	"belfry.live/belfry/internal/api/restjson"
)

// tables are those of a server that serves nobody.
func tables() []*restjson.Service {
	nowhere := &url.URL{Scheme: "http", Host: "localhost"}
	return api.New(api.Config{PublicURL: nowhere}, nil, nil, nil, nil, slog.New(slog.DiscardHandler)).Services()
}

// candidates are texts for the forms that members ask for; each member takes
// the first one that it allows.
var candidates = slices.Concat(
	[]string{
		"2b1c7a2e-4f0c-4c1e-9d35-0a4f5be1c2d3", "rehearsal", "en-US", "US", "16/9", "7", "st-abcdefghijklmnopqrstuvw",
		"us-east-1", "arn:aws:chime:us-east-1:123456789012:meeting/2b1c7a2e-4f0c-4c1e-9d35-0a4f5be1c2d3",
		"arn:aws:kinesisvideo:us-east-1:123456789012:stream/name/1234567890123",
		"arn:aws:mediatailor:us-east-1:123456789012:playbackConfiguration/abc", "NAME",
	},
	ivsARNs("channel", "stream-key", "recording-configuration", "playback-key", "playback-restriction-policy", "ad-configuration"),
)

func ivsARNs(kinds ...string) (all []string) {
	for _, kind := range kinds {
		all = append(all, "arn:aws:ivs:us-east-1:123456789012:"+kind+"/abcdefghijkl")
	}
	return all
}

// example returns a value that the shape allows, with everything in it that
// there can be.
func example(t testing.TB, name string, s restjson.Shape, optional bool) any {
	t.Helper()
	switch d := restjson.Describe(s); d.Kind {
	case restjson.KindString:
		for _, text := range append(d.Enum[:len(d.Enum):len(d.Enum)], candidates...) {
			if accepts(s, text) {
				return text
			}
		}
		t.Fatalf("%s: no text that it allows is among the candidates", name)
	case restjson.KindNumber:
		return max(d.Min, 0)
	case restjson.KindTimestamp:
		return 1772600000.5
	case restjson.KindBoolean:
		return true
	case restjson.KindList:
		return slices.Repeat([]any{example(t, name+"[]", d.Of, optional)}, max(int(d.Min), 1))
	case restjson.KindMap:
		return map[string]any{"key": example(t, name+"{}", d.Of, optional)}
	case restjson.KindStructure:
		return exampleOf(t, name+".", d.Members, optional)
	}
	t.Fatalf("%s: a shape of a kind that nobody thought of", name)
	return nil
}

func exampleOf(t testing.TB, prefix string, members []restjson.Member, optional bool) map[string]any {
	t.Helper()
	object := map[string]any{}
	for _, m := range members {
		if m.Required || optional {
			object[m.Name] = example(t, prefix+m.Name, m.Shape, optional)
		}
	}
	return object
}

func accepts(s restjson.Shape, value any) bool {
	op := restjson.Operation{Method: "POST", Input: []restjson.Member{restjson.Required("x", s)}}
	body, _ := json.Marshal(map[string]any{"x": value})
	_, err := restjson.Call{Operation: &op}.Read(nil, body).Check(&op)
	return err == nil
}

// A request asks for an operation.
type request struct {
	path  string
	query url.Values
	body  []byte
}

// ask puts an input into a request as a client would.
func ask(t testing.TB, op *restjson.Operation, input map[string]any) request {
	t.Helper()
	input = maps.Clone(input)
	r := request{path: op.Path, query: url.Values{}}
	if op.Query != "" {
		r.query.Set("operation", op.Query)
	}
	for _, m := range op.Input {
		label := "{" + m.Name + "}"
		value, there := input[m.Name]
		switch {
		case strings.Contains(op.Path, label):
			r.path = strings.Replace(r.path, label, url.PathEscape(fmt.Sprint(value)), 1)
			delete(input, m.Name)
		case m.Query != "" && there:
			if items, ok := value.([]any); ok {
				for _, item := range items {
					r.query.Add(m.Query, fmt.Sprint(item))
				}
			} else {
				r.query.Set(m.Query, fmt.Sprint(value))
			}
			delete(input, m.Name)
		}
	}
	var body bytes.Buffer
	if err := json.NewEncoder(&body).Encode(input); err != nil {
		t.Fatal(err)
	}
	r.body = body.Bytes()
	return r
}

// check holds a request against the tables, as far as to the function that
// would do it.
func check(t testing.TB, s *restjson.Service, op *restjson.Operation, r request) error {
	t.Helper()
	call, ok := s.Find(op.Method, r.path, r.query)
	if !ok || call.Operation != op {
		t.Fatalf("%s %s?%s does not lead to %s", op.Method, r.path, r.query.Encode(), op.Name)
	}
	d, err := call.Read(r.query, r.body).Check(op)
	if err != nil {
		return err
	}
	if _, err := op.Do.Decode(d); err != nil {
		t.Errorf("%s: %v", op.Name, err)
	}
	return nil
}

// each runs f for every operation of every service.
func each(t *testing.T, f func(t *testing.T, s *restjson.Service, op *restjson.Operation)) {
	for _, s := range tables() {
		for i := range s.Operations {
			op := &s.Operations[i]
			t.Run(s.Title+"/"+op.Name, func(t *testing.T) { f(t, s, op) })
		}
	}
}

// What the tables ask for can be given, with and without what is optional, and
// the operations understand it.
func TestEveryOperationTakesItsInput(t *testing.T) {
	each(t, func(t *testing.T, s *restjson.Service, op *restjson.Operation) {
		for _, optional := range []bool{false, true} {
			if err := check(t, s, op, ask(t, op, exampleOf(t, "", op.Input, optional))); err != nil {
				t.Errorf("optional members %t: got %v, want no error", optional, err)
			}
		}
	})
}

// A wrong is a value that a shape does not allow.
type wrong struct {
	value any
	says  []string // what the error names: the member, the limit
}

// wrongs are values that are wrong in one place: for a member's shape, given a
// right value of it. text says that it comes in path or query, where all is text.
func wrongs(name string, s restjson.Shape, right any, text bool) (all []wrong) {
	add := func(value any, says ...any) {
		w := wrong{value, []string{name}}
		for _, part := range says {
			w.says = append(w.says, fmt.Sprint(part))
		}
		all = append(all, w)
	}
	const most = 100_000 // of what is made too large here
	switch d := restjson.Describe(s); d.Kind {
	case restjson.KindString:
		if !text {
			add(7, "string")
			add([]any{}, "string")
		}
		if d.Enum != nil {
			add("no such value", append([]any{"no such value"}, asAny(d.Enum)...)...)
			break
		}
		if d.Max < most {
			add(strings.Repeat("a", int(d.Max)+1), d.Max, d.Max+1)
		}
		if d.Min > 1 || d.Min == 1 && !text {
			add(strings.Repeat("a", int(d.Min)-1), d.Min, d.Min-1)
		}
	case restjson.KindNumber:
		add("many", "number")
		add(1.5, d.Min, d.Max, "1.5")
		add(d.Max+1, d.Min, d.Max, d.Max+1)
		add(d.Min-1, d.Min, d.Max, d.Min-1)
	case restjson.KindTimestamp:
		add("today", "number")
		add(-1, "0")
		add(1e18, "253402300799")
	case restjson.KindBoolean:
		add("perhaps", "true or false")
	case restjson.KindList:
		items := right.([]any)
		if !text {
			add(map[string]any{}, "list")
		}
		if d.Min > 0 && !text {
			add(items[:d.Min-1], d.Min, d.Max, d.Min-1)
		}
		if d.Max < most/100 {
			add(slices.Repeat(items[:1], int(d.Max)+1), d.Max, d.Max+1)
		}
		for _, w := range wrongs(name+"[0]", d.Of, items[0], text) {
			all = append(all, wrong{append([]any{w.value}, items[1:]...), w.says})
		}
	case restjson.KindMap:
		add([]any{}, "object")
		pairs := right.(map[string]any)
		if d.Max < most/100 {
			many := map[string]any{}
			for i := range d.Max + 1 {
				many["k"+strconv.Itoa(int(i))] = pairs["key"]
			}
			add(many, d.Max, d.Max+1)
		}
		for _, w := range wrongs(name+".key", d.Of, pairs["key"], false) {
			all = append(all, wrong{map[string]any{"key": w.value}, w.says})
		}
	case restjson.KindStructure:
		add([]any{}, "object")
		all = append(all, wrongMembers(name+".", d.Members, right.(map[string]any), func(restjson.Member) bool { return text })...)
	}
	return all
}

func wrongMembers(prefix string, members []restjson.Member, right map[string]any, text func(restjson.Member) bool) (all []wrong) {
	for _, m := range members {
		if m.Required {
			less := maps.Clone(right)
			delete(less, m.Name)
			all = append(all, wrong{less, []string{prefix + m.Name + " is required"}})
		}
		for _, w := range wrongs(prefix+m.Name, m.Shape, right[m.Name], text(m)) {
			changed := maps.Clone(right)
			changed[m.Name] = w.value
			all = append(all, wrong{changed, w.says})
		}
	}
	return all
}

func asAny(list []string) (all []any) {
	for _, s := range list {
		all = append(all, s)
	}
	return all
}

// Every limit of every member is kept, and an error names the member, the limit
// and what was given instead.
func TestEveryLimit(t *testing.T) {
	count := 0
	each(t, func(t *testing.T, s *restjson.Service, op *restjson.Operation) {
		inPath := func(m restjson.Member) bool { return strings.Contains(op.Path, "{"+m.Name+"}") }
		isText := func(m restjson.Member) bool { return m.Query != "" || inPath(m) }
		for _, w := range wrongMembers("", op.Input, exampleOf(t, "", op.Input, true), isText) {
			input := w.value.(map[string]any)
			if slices.ContainsFunc(op.Input, func(m restjson.Member) bool { return inPath(m) && input[m.Name] == nil }) {
				continue // another path
			}
			count++
			err := check(t, s, op, ask(t, op, input))
			if err == nil {
				t.Errorf("got no error, want one that says %q, for %.300s", w.says, ask(t, op, input).body)
				continue
			}
			for _, part := range w.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("got %q, want it to say %q", err, w.says)
					break
				}
			}
		}
	})
	t.Logf("%d wrong values", count)
	if count < 300 {
		t.Errorf("tried %d wrong values, want more", count)
	}
}

// What the domain's errors become is something that clients know of the
// service, and has the status of its type.
func TestAnswersAreOfKnownTypes(t *testing.T) {
	for _, s := range tables() {
		for _, a := range s.Answers {
			if status, ok := s.Types[a.Type]; !ok || status != a.Status {
				t.Errorf("%s: %v becomes %d %s, want a type of the service with its status", s.Title, a.Err, a.Status, a.Type)
			}
		}
		for kind, want := range map[string]int{s.Invalid: 400, s.Denied: 403, s.Throttled: 429, s.Failure: 500} {
			if got := s.Types[kind]; got != want {
				t.Errorf("%s: %s has status %d, want %d", s.Title, kind, got, want)
			}
		}
		for i := range s.Operations {
			op := &s.Operations[i]
			known := slices.Concat(s.Common, op.Errors)
			if refusal := op.Do.Refusal(); refusal != nil {
				if !slices.Contains(known, refusal.Type) || s.Types[refusal.Type] != refusal.Status {
					t.Errorf("%s of %s refuses with %d %s, want a type and status of its row", op.Name, s.Title, refusal.Status, refusal.Type)
				}
				if refusal.Status == 429 || refusal.Status >= 500 && refusal.Status != 501 {
					t.Errorf("%s of %s refuses with status %d, which clients take for a reason to try again", op.Name, s.Title, refusal.Status)
				}
			}
			for _, kind := range known {
				if _, ok := s.Types[kind]; !ok {
					t.Errorf("%s of %s lists %s, which the service does not have", op.Name, s.Title, kind)
				}
			}
		}
	}
}
