package sse

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"belfry.live/belfry/internal/event"
)

// maxValues is how many values a parameter may have.
const maxValues = 20

// A query is what a client asks for.
type query struct {
	sources, types, resources []string // none: all
	after                     uint64   // the sequence of the last event it had, if resumes
	resumes                   bool
	since                     time.Time // or the zero time: from now on
}

func readQuery(r *http.Request, now time.Time) (query, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return query{}, fmt.Errorf("the query cannot be read: %w", err)
	}
	for name, list := range values {
		if !slices.Contains([]string{"source", "detail-type", "resource", "since"}, name) {
			return query{}, fmt.Errorf("%.100q is no parameter, there are source, detail-type, resource and since", name)
		}
		if len(list) > maxValues {
			return query{}, fmt.Errorf("%s is given %d times, the most is %d", name, len(list), maxValues)
		}
	}
	q := query{sources: values["source"], types: values["detail-type"], resources: values["resource"]}
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		if q.after, err = strconv.ParseUint(id, 10, 63); err != nil {
			return query{}, fmt.Errorf("Last-Event-ID is %.100q, want the id of an event", id)
		}
		q.resumes = true
		return q, nil
	}
	if values.Has("since") {
		q.since, err = readSince(values.Get("since"), now)
	}
	return q, err
}

// readSince reads a time, or how long ago it was.
func readSince(s string, now time.Time) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, s); err == nil {
		return at, nil
	}
	if ago, err := time.ParseDuration(s); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	return time.Time{}, fmt.Errorf("since is %.100q, want a time such as 2026-03-04T05:06:07Z, or how long ago, such as 90m", s)
}

// subject narrows the reading down as far as the journal can.
func (q query) subject(account string) string {
	if len(q.sources) == 1 && isSource(q.sources[0]) {
		return event.Subjects(account, q.sources[0])
	}
	return event.Subjects(account, "")
}

// isSource says whether s can stand in a subject.
func isSource(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-.") == "" &&
		s[0] != '.' && s[len(s)-1] != '.' && !strings.Contains(s, "..")
}

// wants says whether the event is among those asked for. A resource is asked
// for by its ARN or by its id.
func (q query) wants(r event.Record) bool {
	if len(q.sources) == 0 && len(q.types) == 0 && len(q.resources) == 0 {
		return true
	}
	e, err := r.Envelope()
	if err != nil {
		return false
	}
	among := func(list []string, values ...string) bool {
		return len(list) == 0 || slices.ContainsFunc(values, func(v string) bool { return slices.Contains(list, v) })
	}
	return among(q.sources, e.Source) && among(q.types, e.DetailType) && among(q.resources, append(e.Resources, r.ResourceID())...)
}
