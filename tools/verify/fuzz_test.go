package main

import "testing"

func TestRanOut(t *testing.T) {
	for _, c := range []struct {
		out  string
		want bool
	}{
		{"fuzz: elapsed: 2s, execs: 191352 (93174/sec), new interesting: 2 (total: 184)\n--- FAIL: FuzzParse (2.08s)\n    context deadline exceeded\nFAIL\nexit status 1\n", true},
		{"--- FAIL: FuzzParse (0.31s)\n    --- FAIL: FuzzParse (0.00s)\n        parse_test.go:12: got 1, want 2\n    \n    Failing input written to testdata/fuzz/FuzzParse/1\nFAIL\n", false},
		{"--- FAIL: FuzzParse (2.08s)\n    context deadline exceeded\nFAIL\n    Failing input written to testdata/fuzz/FuzzParse/1\n", false},
		{"--- FAIL: FuzzParse (1.00s)\n    fuzzing process hung or terminated unexpectedly: exit status 2\nFAIL\n", false},
		{"# belfry.live/belfry/x\nx.go:1:1: syntax error\nFAIL\n", false},
		{"", false},
	} {
		if got := ranOut(c.out); got != c.want {
			t.Errorf("%q: got %v, want %v", c.out, got, c.want)
		}
	}
}
