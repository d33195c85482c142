package event

import (
	"context"
	"sort"
	"strings"
)

// Limits of what is kept in memory.
const (
	maxRecent      = 1024
	maxRecentBytes = 4 << 20
)

// recent are the newest events, so that all who follow the journal together
// read each event from the stream once. Nobody has to be told of an Append:
// whoever looks for more than there is, reads on in the stream.
type recent struct {
	turn chan struct{} // holds one value; taken by who touches what follows

	records []Record // by sequence, without a gap
	bytes   int
	next    uint64 // the first sequence that was not looked for
}

func newRecent(next uint64) *recent {
	r := &recent{turn: make(chan struct{}, 1), next: next}
	r.turn <- struct{}{}
	return r
}

// find returns the first event of the subject from the sequence on, and reads
// on in the stream for it; if there is none, from is moved to the end. It does
// not know what is older than the records: older says that the caller is to
// look in the stream.
func (r *recent) find(ctx context.Context, j *Journal, subject string, from *uint64) (found Record, ok, older bool, err error) {
	select {
	case <-r.turn:
		defer func() { r.turn <- struct{}{} }()
	case <-ctx.Done():
		return Record{}, false, false, context.Cause(ctx)
	}
	first := r.next
	if len(r.records) > 0 {
		first = r.records[0].Sequence
	}
	if *from < first {
		return Record{}, false, true, nil
	}
	i := sort.Search(len(r.records), func(i int) bool { return r.records[i].Sequence >= *from })
	for {
		for ; i < len(r.records); i++ {
			if matches(subject, r.records[i].Subject) {
				return r.records[i], true, false, nil
			}
		}
		more, ok, err := j.stored(ctx, Subjects("", ""), r.next)
		if err != nil {
			return Record{}, false, false, err
		}
		if !ok {
			*from = max(*from, r.next)
			return Record{}, false, false, nil
		}
		i -= r.push(more)
		if more.Sequence < *from {
			i++
		}
	}
}

// push adds a record and returns how many it put out.
func (r *recent) push(more Record) (out int) {
	r.records, r.bytes, r.next = append(r.records, more), r.bytes+len(more.Body), more.Sequence+1
	for ; out < len(r.records)-1 && (len(r.records)-out > maxRecent || r.bytes > maxRecentBytes); out++ {
		r.bytes -= len(r.records[out].Body)
		r.records[out] = Record{}
	}
	r.records = r.records[out:]
	return out
}

// matches says whether the subject is among those of the pattern, in which *
// stands for any token and > at the end for any rest.
func matches(pattern, subject string) bool {
	for {
		p, morePattern, patternGoesOn := strings.Cut(pattern, ".")
		s, moreSubject, subjectGoesOn := strings.Cut(subject, ".")
		switch {
		case p == ">":
			return true
		case p != "*" && p != s, patternGoesOn != subjectGoesOn:
			return false
		case !patternGoesOn:
			return true
		}
		pattern, subject = morePattern, moreSubject
	}
}
