package natskv_test

import (
	"log/slog"
	"path/filepath"
	"testing"

	"belfry.live/belfry/internal/store"
	"belfry.live/belfry/internal/store/natskv"
	"belfry.live/belfry/internal/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T, dir string) (store.Tables, func()) {
		s, err := natskv.Open(t.Context(), natskv.Config{Dir: filepath.Join(dir, "nats")}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return s, s.Close
	})
}
