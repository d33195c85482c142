package main

import (
	"os"
	"strings"
	"testing"
)

func TestTheDocumentIsCurrent(t *testing.T) {
	got, err := os.ReadFile("../../docs/compatibility.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != document(tables()) {
		t.Error("docs/compatibility.md is not what the tables say: run go generate ./internal/api")
	}
}

func TestEveryOperationHasItsRow(t *testing.T) {
	text := document(tables())
	for _, s := range tables() {
		for _, op := range s.Operations {
			if n := strings.Count(text, "\n| "+op.Name+" | "); n < 1 {
				t.Errorf("%s of %s: got no row, want one", op.Name, s.Title)
			}
			if op.Class < 'A' || op.Class > 'C' {
				t.Errorf("%s of %s: got class %q, want A, B or C", op.Name, s.Title, op.Class)
			}
		}
	}
}
