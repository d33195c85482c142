package model

import (
	"slices"
	"testing"
)

// TestOurTablesAreTheModels fails for every member, enum value, URI, method,
// status or error type in which our tables and a client differ, if nobody said
// why they should.
func TestOurTablesAreTheModels(t *testing.T) {
	mine := factsOf(ours(t))
	needed := map[int]bool{}
	for name, read := range map[string]func(*testing.T) services{"JavaScript": javascript, "Go": golang} {
		t.Run(name, func(t *testing.T) {
			theirs := factsOf(read(t))
			if len(theirs) < 1000 {
				t.Fatalf("got %d facts from the client, want more: its sources are read wrongly", len(theirs))
			}
			for _, d := range compare(theirs, mine) {
				if i := slices.IndexFunc(exceptions, func(e exception) bool { return e.covers(name, d) }); i >= 0 {
					needed[i] = true
					continue
				}
				t.Error(d)
			}
		})
	}
	for i, e := range exceptions {
		if !needed[i] && !t.Failed() {
			t.Errorf("the exception for %s is needed no more", e.about)
		}
	}
}
