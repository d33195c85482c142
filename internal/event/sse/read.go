package sse

import (
	"bufio"
	"errors"
	"io"
	"strings"

	"belfry.live/belfry/internal/event"
)

// maxLine is the longest line of a stream that Read takes, in bytes.
const maxLine = event.MaxEnvelope + 1<<10

// ErrLine says that a stream has a line that is too long.
var ErrLine = errors.New("a line of the stream is too long")

// Read reads server-sent events and hands on their ids and data, which are
// valid until the function returns. It returns nil at the end of the stream,
// or the function's error.
//
// Source: WHATWG HTML, "Interpreting an event stream", as far as a Handler
// writes it: event types are passed over.
func Read(r io.Reader, each func(id string, data []byte) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 4<<10), maxLine)
	var id string
	var data []byte
	some := false
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case lines.Text() == "" && some:
			if err := each(id, data); err != nil {
				return err
			}
			data, some = data[:0], false
		case field == "id":
			id = value
		case field == "data":
			if some {
				data = append(data, '\n')
			}
			if data, some = append(data, value...), true; len(data) > maxLine {
				return ErrLine
			}
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return ErrLine
	} else if err != nil {
		return err
	}
	return nil
}
