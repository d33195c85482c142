package sse

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"belfry.live/belfry/internal/event"
)

// FuzzQuery has strangers ask. Whatever they ask, they stay with the events of
// their account, and what is refused is refused in few words.
func FuzzQuery(f *testing.F) {
	f.Add("source=aws.ivs&detail-type=IVS%20Stream%20State%20Change&resource=m&since=90m", "")
	f.Add("since=2026-03-04T05:06:07Z", "17")
	f.Add("source=aws.%3E&source=*", "-1")
	f.Add("source=..", "9223372036854775808")
	f.Fuzz(func(t *testing.T, raw, id string) {
		r := &http.Request{URL: &url.URL{RawQuery: raw}, Header: http.Header{"Last-Event-Id": {id}}}
		q, err := readQuery(r, time.Now())
		if err != nil {
			if len(err.Error()) > 1000 {
				t.Errorf("got an error of %d characters", len(err.Error()))
			}
			return
		}
		subject := q.subject("111122223333")
		rest, ok := strings.CutPrefix(subject, "events.111122223333.")
		if !ok || !strings.HasSuffix(rest, ">") || strings.ContainsAny(strings.TrimSuffix(rest, ">"), "*> \r\n\t") || strings.Contains(subject, "..") {
			t.Errorf("got subject %q, want one of the account", subject)
		}
		if q.after >= 1<<63 {
			t.Errorf("got sequence %d", q.after)
		}
		q.wants(event.Record{Subject: "events.111122223333.aws.ivs.channel.c", Body: []byte(`{"source":"aws.ivs"}`)})
	})
}

// FuzzFrom is the same for GET /events/dead.
func FuzzFrom(f *testing.F) {
	f.Add("from=17")
	f.Add("from=-1&from=2")
	f.Fuzz(func(t *testing.T, raw string) {
		if from, err := readFrom(raw); err != nil && from != 0 || err == nil && from >= 1<<63 {
			t.Errorf("got %d, %v", from, err)
		}
	})
}
