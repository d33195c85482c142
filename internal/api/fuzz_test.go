package api_test

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"belfry.live/belfry/internal/api/restjson"
)

// Whatever comes, the decoder of an operation takes it, or says which member is
// wrong. Which operation it is comes with the input, so that each service has
// one fuzz test for all of them.

func FuzzMeetings(f *testing.F)  { fuzzTable(f, "Amazon Chime SDK Meetings") }
func FuzzPipelines(f *testing.F) { fuzzTable(f, "Amazon Chime SDK Media Pipelines") }
func FuzzIVS(f *testing.F)       { fuzzTable(f, "Amazon Interactive Video Service, low-latency streaming") }

func fuzzTable(f *testing.F, title string) {
	all := tables()
	i := slices.IndexFunc(all, func(s *restjson.Service) bool { return s.Title == title })
	if i < 0 {
		f.Fatalf("no service is called %s", title)
	}
	s := all[i]
	for i := range s.Operations {
		op := &s.Operations[i]
		for _, optional := range []bool{false, true} {
			r := ask(f, op, exampleOf(f, "", op.Input, optional))
			f.Add(uint8(i), strings.Join(labels(op, r.path), "/"), r.query.Encode(), string(r.body))
		}
		f.Add(uint8(i), "%00/..", "max-results=1e9&next-token=%ff&tagKeys=&tagKeys=%00", `{"Tags":{"":null},"Sources":[[]],"arns":[{}],"Tags":[null]}`)
	}
	f.Add(uint8(0), "", "", `{"a":`+strings.Repeat(`[`, 10_000))
	nobody := restjson.Caller{Account: "1", Region: "r", May: func(string, string) error { return errors.New("no") }}
	f.Fuzz(func(t *testing.T, index uint8, path, query, body string) {
		op := &s.Operations[int(index)%len(s.Operations)]
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Skip() // refused before
		}
		values.Set("operation", op.Query)
		call, ok := s.Find(op.Method, fill(op.Path, path), values)
		if !ok || call.Operation != op {
			t.Skip() // another operation, or none
		}
		in := call.Read(values, []byte(body))
		if refusal := s.Permit(call, nobody, in); refusal == nil || refusal.Type != s.Denied {
			t.Errorf("got %v for a caller who may do nothing, want %s", refusal, s.Denied)
		}
		_ = call.IsOwned(s, in)
		d, err := in.Check(op)
		if err != nil {
			names := func(m restjson.Member) bool { return strings.Contains(err.Error(), m.Name) }
			if !strings.HasPrefix(err.Error(), "the body ") && !slices.ContainsFunc(op.Input, names) {
				t.Errorf("%s: got %q, want an error that names a member", op.Name, err)
			}
			return
		}
		if _, err := op.Do.Decode(d); err != nil {
			t.Errorf("%s: %v", op.Name, err)
		}
	})
}

// labels returns what stands in a path where the pattern has members.
func labels(op *restjson.Operation, path string) (all []string) {
	sent := restjson.Segments(path)
	for i, segment := range restjson.Segments(op.Path) {
		if strings.HasPrefix(segment, "{") {
			all = append(all, sent[i])
		}
	}
	return all
}

// fill puts the segments of values where the pattern has members.
func fill(pattern, values string) string {
	segments := restjson.Segments(pattern)
	for _, value := range strings.Split(values, "/") {
		i := slices.IndexFunc(segments, func(s string) bool { return strings.HasPrefix(s, "{") })
		if i < 0 {
			break
		}
		segments[i] = value
	}
	return "/" + strings.Join(segments, "/")
}
