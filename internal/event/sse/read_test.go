package sse

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"none", "", nil},
		{"comments", ":\n\n: hello\n\nretry: 2000\n\n", nil},
		{"two", "id: 1\ndata: {}\n\nid: 2\ndata:{\"a\":1}\n\n", []string{"1 {}", `2 {"a":1}`}},
		{"lines", "data: a\ndata: b\n\n", []string{" a\nb"}},
		{"id stays", "id: 7\ndata: a\n\ndata: b\n\n", []string{"7 a", "7 b"}},
		{"cut off", "id: 1\ndata: {}\n\nid: 2\ndata: {", []string{"1 {}"}},
		{"CR LF", "id: 1\r\ndata: {}\r\n\r\n", []string{"1 {}"}},
	} {
		var got []string
		err := Read(strings.NewReader(c.text), func(id string, data []byte) error {
			got = append(got, fmt.Sprintf("%s %s", id, data))
			return nil
		})
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, %v, want %q", c.name, got, err, c.want)
		}
	}
	if err := Read(strings.NewReader("data: "+strings.Repeat("x", maxLine)), nil); !errors.Is(err, ErrLine) {
		t.Errorf("a long line: got %v, want ErrLine", err)
	}
	stop := errors.New("stop")
	if err := Read(strings.NewReader("data: a\n\n"), func(string, []byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v, want the function's error", err)
	}
}

// FuzzRead reads what a stranger's server may send.
func FuzzRead(f *testing.F) {
	f.Add("id: 1\ndata: {}\n\n:\n\nid: 2\ndata: a\ndata: b\n\n")
	f.Add("data\n\ndata:\r\n\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		total := 0
		err := Read(strings.NewReader(text), func(_ string, data []byte) error {
			total += len(data)
			return nil
		})
		if err == nil && total > len(text) {
			t.Errorf("got %d bytes out of %d", total, len(text))
		}
	})
}
