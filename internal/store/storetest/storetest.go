// Package storetest is the suite that every implementation of package store
// must pass.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"belfry.live/belfry/internal/store"
)

// An Opener opens the tables kept in dir; opening the same dir again, after
// the first was closed, finds what was written.
type Opener func(t *testing.T, dir string) (tables store.Tables, closeIt func())

// Run runs the suite.
func Run(t *testing.T, open Opener) {
	tables, closeIt := open(t, t.TempDir())
	defer closeIt()
	table := func(t *testing.T, name string, cfg store.TableConfig) store.Table {
		t.Helper()
		tab, err := tables.Table(t.Context(), name, cfg)
		if err != nil {
			t.Fatal(err)
		}
		return tab
	}

	t.Run("a record goes through its life", func(t *testing.T) {
		tab := table(t, "life", store.TableConfig{})
		wantErr(t, "get nothing", second(tab.Get(t.Context(), "a")), store.ErrNotFound)
		rev, err := tab.Create(t.Context(), "a", []byte("one"))
		wantErr(t, "create", err, nil)
		wantErr(t, "create again", second(tab.Create(t.Context(), "a", []byte("two"))), store.ErrExists)
		wantRecord(t, tab, "a", "one", rev)
		wantErr(t, "update with a wrong revision", second(tab.Update(t.Context(), "a", []byte("no"), rev+7)), store.ErrConflict)
		rev2, err := tab.Update(t.Context(), "a", []byte("two"), rev)
		wantErr(t, "update", err, nil)
		if rev2 <= rev {
			t.Errorf("got revision %d after %d, want a greater one", rev2, rev)
		}
		wantRecord(t, tab, "a", "two", rev2)
		wantErr(t, "delete with the old revision", tab.Delete(t.Context(), "a", rev), store.ErrConflict)
		wantErr(t, "delete", tab.Delete(t.Context(), "a", rev2), nil)
		wantErr(t, "delete again", tab.Delete(t.Context(), "a", 0), store.ErrNotFound)
		wantErr(t, "get after delete", second(tab.Get(t.Context(), "a")), store.ErrNotFound)
		wantErr(t, "update after delete", second(tab.Update(t.Context(), "a", nil, rev2)), store.ErrConflict)
		rev3, err := tab.Create(t.Context(), "a", []byte("three"))
		wantErr(t, "create after delete", err, nil)
		if rev3 <= rev2 {
			t.Errorf("got revision %d after %d, want a greater one", rev3, rev2)
		}
		rev4, err := tab.Put(t.Context(), "a", []byte("four"))
		wantErr(t, "put", err, nil)
		wantRecord(t, tab, "a", "four", rev4)
		wantErr(t, "delete whatever it is", tab.Delete(t.Context(), "a", 0), nil)
	})

	t.Run("list gives what begins with the prefix, by key", func(t *testing.T) {
		tab := table(t, "list", store.TableConfig{})
		for _, k := range []string{"m1.b", "m1.a", "m10.c", "m2.d", "m1"} {
			if _, err := tab.Put(t.Context(), k, []byte(k)); err != nil {
				t.Fatal(err)
			}
		}
		if err := tab.Delete(t.Context(), "m2.d", 0); err != nil {
			t.Fatal(err)
		}
		for prefix, want := range map[string]string{
			"":     "[m1 m1.a m1.b m10.c]",
			"m1":   "[m1 m1.a m1.b m10.c]",
			"m1.":  "[m1.a m1.b]",
			"m1.b": "[m1.b]",
			"m2.":  "[]",
			"m3":   "[]",
		} {
			records, err := tab.List(t.Context(), prefix)
			if err != nil {
				t.Fatal(err)
			}
			keys := []string{}
			for _, r := range records {
				keys = append(keys, r.Key)
				if string(r.Value) != r.Key {
					t.Errorf("list %q: got value %q for %s", prefix, r.Value, r.Key)
				}
			}
			if got := fmt.Sprint(keys); got != want {
				t.Errorf("list %q: got %s, want %s", prefix, got, want)
			}
		}
	})

	t.Run("of many writers with one revision one wins", func(t *testing.T) {
		tab := table(t, "race", store.TableConfig{})
		if _, err := tab.Create(t.Context(), "n", []byte("0")); err != nil {
			t.Fatal(err)
		}
		const writers, times = 8, 10
		var wg sync.WaitGroup
		for range writers {
			wg.Go(func() {
				for range times {
					if err := increment(t.Context(), tab, "n"); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		r, err := tab.Get(t.Context(), "n")
		if err != nil || string(r.Value) != strconv.Itoa(writers*times) {
			t.Errorf("got %s, %v after %d increments", r.Value, err, writers*times)
		}
	})

	t.Run("records with a time to live vanish", func(t *testing.T) {
		tab := table(t, "ttl", store.TableConfig{TTL: time.Second})
		if _, err := tab.Create(t.Context(), "k", []byte("v")); err != nil {
			t.Fatal(err)
		}
		limit := time.Now().Add(15 * time.Second)
		for {
			_, err := tab.Get(t.Context(), "k")
			if errors.Is(err, store.ErrNotFound) {
				break
			}
			if err != nil || time.Now().After(limit) {
				t.Fatalf("got %v, want ErrNotFound within 15 s", err)
			}
			time.Sleep(50 * time.Millisecond)
		}
		if _, err := tab.Create(t.Context(), "k", []byte("v")); err != nil {
			t.Errorf("create after the old one vanished: %v", err)
		}
	})

	t.Run("a watch tells of every change", func(t *testing.T) { testWatch(t, table) })

	t.Run("a watch tells of a record whose time is over", func(t *testing.T) {
		tab := table(t, "watch-ttl", store.TableConfig{TTL: time.Second})
		w := startWatch(t, tab, 0)
		rev, err := tab.Create(t.Context(), "k", []byte("v"))
		if err != nil {
			t.Fatal(err)
		}
		w.want(t, fmt.Sprintf("k=v@%d", rev))
		if c := w.next(t); c.Key != "k" || !c.Removed || c.Revision <= rev {
			t.Errorf("got %+v, want k removed after %d", c, rev)
		}
	})

	t.Run("listing while others write is of one moment", func(t *testing.T) { testListWhileWritten(t, table) })

	t.Run("bad keys and too large values are refused", func(t *testing.T) {
		tab := table(t, "bad", store.TableConfig{})
		for _, k := range []string{"", ".a", "a.", "a..b", "a b", "a>", "a*", "ä", string(make([]byte, 300))} {
			if _, err := tab.Put(t.Context(), k, nil); err == nil {
				t.Errorf("put %q: got no error", k)
			}
		}
		if _, err := tab.Put(t.Context(), "k", make([]byte, store.MaxValue+1)); err == nil {
			t.Error("put of a too large value: got no error")
		}
	})

	t.Run("what was written is there after opening again", func(t *testing.T) {
		dir := t.TempDir()
		first, closeFirst := open(t, dir)
		tab, err := first.Table(t.Context(), "again", store.TableConfig{})
		if err != nil {
			t.Fatal(err)
		}
		rev, err := tab.Put(t.Context(), "k", []byte("v"))
		if err != nil {
			t.Fatal(err)
		}
		closeFirst()
		again, closeAgain := open(t, dir)
		defer closeAgain()
		if tab, err = again.Table(t.Context(), "again", store.TableConfig{}); err != nil {
			t.Fatal(err)
		}
		wantRecord(t, tab, "k", "v", rev)
	})
}

func increment(ctx context.Context, tab store.Table, key string) error {
	for {
		r, err := tab.Get(ctx, key)
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(string(r.Value))
		if err != nil {
			return err
		}
		_, err = tab.Update(ctx, key, []byte(strconv.Itoa(n+1)), r.Revision)
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

func second[T any](_ T, err error) error { return err }

func wantErr(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("%s: got error %v, want %v", what, got, want)
	}
}

func wantRecord(t *testing.T, tab store.Table, key, value string, rev uint64) {
	t.Helper()
	r, err := tab.Get(t.Context(), key)
	if err != nil || string(r.Value) != value || r.Revision != rev {
		t.Errorf("got %q at revision %d, %v; want %q at %d", r.Value, r.Revision, err, value, rev)
	}
}
