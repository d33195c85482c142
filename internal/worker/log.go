package worker

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// lastWords keeps the last line of a worker's log that was an error or no log
// line at all (a panic, an abort of a C library).
type lastWords struct{ text string }

// passLog hands the worker's log lines to log until the worker is gone.
func passLog(r io.Reader, log *slog.Logger, last *lastWords) error {
	lines := bufio.NewReaderSize(r, lineLimit)
	for {
		line, err := lines.ReadSlice('\n')
		if text := strings.TrimSpace(string(line)); text != "" {
			passLine(text, log, last)
		}
		switch err {
		case nil, bufio.ErrBufferFull: // a longer line comes in pieces
		case io.EOF:
			return nil
		default:
			return err
		}
	}
}

func passLine(text string, log *slog.Logger, last *lastWords) {
	var line map[string]any
	if json.Unmarshal([]byte(text), &line) != nil {
		if last.text == "" { // the first line of a panic says what it was
			last.text = text
		}
		log.Warn("worker said", "line", text)
		return
	}
	var level slog.Level
	if s, ok := line[slog.LevelKey].(string); ok {
		_ = level.UnmarshalText([]byte(s)) // an unknown level reads as info
	}
	msg, _ := line[slog.MessageKey].(string)
	if level >= slog.LevelError {
		last.text = msg
		if cause, ok := line["err"].(string); ok {
			last.text += ": " + cause
		}
	}
	if !log.Enabled(context.Background(), level) {
		return
	}
	for _, k := range []string{slog.LevelKey, slog.MessageKey, slog.TimeKey} {
		delete(line, k)
	}
	record := slog.NewRecord(time.Now(), level, msg, 0)
	for _, k := range sortedKeys(line) {
		record.AddAttrs(slog.Any(k, line[k]))
	}
	_ = log.Handler().Handle(context.Background(), record) // a log that cannot be written is nobody's to repair
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
