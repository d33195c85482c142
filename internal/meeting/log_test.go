package meeting_test

import (
	"log/slog"
	"os"
	"testing"
)

// testLog is silent unless the environment asks for it.
func testLog(t *testing.T) *slog.Logger {
	if os.Getenv("BELFRY_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}
