package storetest_test

import (
	"testing"

	"belfry.live/belfry/internal/store"
	"belfry.live/belfry/internal/store/storetest"
)

func TestMemory(t *testing.T) {
	folders := map[string]*storetest.Memory{}
	storetest.Run(t, func(_ *testing.T, dir string) (store.Tables, func()) {
		if folders[dir] == nil {
			folders[dir] = new(storetest.Memory)
		}
		return folders[dir], func() {}
	})
}
