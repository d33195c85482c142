package api

import (
	"net/http"
)

// Outcomes of requests, as Stats has them.
const (
	outcomeDone = iota
	outcomeRefused
	outcomeForbidden
	outcomeThrottled
	outcomeFailed
	outcomeRepeated
	outcomes
)

// Stats count requests by what became of them.
type Stats struct {
	Done      uint64 // with success
	Refused   uint64 // for what was asked
	Forbidden uint64 // for who asked: no key, a wrong signature, a policy
	Throttled uint64 // too many at once
	Failed    uint64 // the server's fault
	Repeated  uint64 // got the answer to an earlier try of the same client
}

// Stats returns the counts since the start.
func (a *API) Stats() Stats {
	return Stats{
		a.counts[outcomeDone].Load(), a.counts[outcomeRefused].Load(), a.counts[outcomeForbidden].Load(),
		a.counts[outcomeThrottled].Load(), a.counts[outcomeFailed].Load(), a.counts[outcomeRepeated].Load(),
	}
}

// A tally notes what became of one request.
type tally struct {
	http.ResponseWriter
	status   int // 0: it was not answered, for its client had gone
	repeated bool
}

func (t *tally) WriteHeader(status int) {
	t.status = status
	t.ResponseWriter.WriteHeader(status)
}

func (a *API) count(t *tally) {
	outcome := outcomeDone
	switch {
	case t.status == 0:
		return
	case t.repeated:
		outcome = outcomeRepeated
	case t.status == http.StatusTooManyRequests:
		outcome = outcomeThrottled
	case t.status == http.StatusForbidden:
		outcome = outcomeForbidden
	case t.status >= http.StatusInternalServerError:
		outcome = outcomeFailed
	case t.status >= http.StatusBadRequest:
		outcome = outcomeRefused
	}
	a.counts[outcome].Add(1)
}
