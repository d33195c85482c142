package storetest

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"belfry.live/belfry/internal/store"
)

// watchLimit is how long a change may take to be told.
const watchLimit = 15 * time.Second

// A watch is what a Watch tells, as it comes.
type watch struct {
	changes chan store.Change
	stop    func() error // ends the Watch and returns its error
}

func startWatch(t *testing.T, tab store.Table, after uint64) *watch {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &watch{changes: make(chan store.Change, 10_000)}
	var wg sync.WaitGroup
	var err error
	wg.Go(func() {
		err = tab.Watch(ctx, after, func(c store.Change) { w.changes <- c })
	})
	w.stop = func() error {
		cancel()
		wg.Wait()
		return err
	}
	t.Cleanup(func() { _ = w.stop() })
	return w
}

func (w *watch) next(t *testing.T) store.Change {
	t.Helper()
	select {
	case c := <-w.changes:
		return c
	case <-time.After(watchLimit):
		t.Fatalf("nothing told within %v", watchLimit)
		return store.Change{}
	}
}

func (w *watch) want(t *testing.T, want ...string) {
	t.Helper()
	for _, one := range want {
		c := w.next(t)
		got := fmt.Sprintf("%s=%s@%d", c.Key, c.Value, c.Revision)
		if c.Removed {
			got = c.Key + " removed"
		}
		if got != one {
			t.Errorf("got told of %s, want %s", got, one)
		}
	}
}

type opener func(t *testing.T, name string, cfg store.TableConfig) store.Table

func testWatch(t *testing.T, table opener) {
	tab := table(t, "watch", store.TableConfig{})
	put := func(key, value string) (told string, rev uint64) {
		t.Helper()
		rev, err := tab.Put(t.Context(), key, []byte(value))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%s=%s@%d", key, value, rev), rev
	}
	a, _ := put("a", "1")
	_, _ = put("b.x", "1")
	b, rev := put("b.x", "2")
	c, last := put("c", "1")

	all := startWatch(t, tab, 0)
	all.want(t, a, b, c) // the first b is gone
	later := startWatch(t, tab, rev)
	later.want(t, c)
	none := startWatch(t, tab, last)

	// One change of a record is told before the next comes, which might
	// otherwise take its place.
	tell := func(want string) {
		t.Helper()
		for _, w := range []*watch{all, later, none} {
			w.want(t, want)
		}
	}
	var d string
	for i := range 3 {
		d, _ = put("d", strconv.Itoa(i))
		tell(d)
	}
	if err := tab.Delete(t.Context(), "a", 0); err != nil {
		t.Fatal(err)
	}
	tell("a removed")
	again, _ := put("a", "2")
	tell(again)

	// Who comes later gets the state, of which the removal is a part.
	if err := tab.Delete(t.Context(), "c", 0); err != nil {
		t.Fatal(err)
	}
	startWatch(t, tab, 0).want(t, b, d, again, "c removed")
	tell("c removed")
	if err := all.stop(); err != nil {
		t.Errorf("the end of a watch whose context ended: got %v, want nil", err)
	}
}

// testListWhileWritten lists again and again while the records change, and
// lets a Watch go on from each list: nothing may be missing in between.
func testListWhileWritten(t *testing.T, table opener) {
	tab := table(t, "moment", store.TableConfig{})
	const keys, rounds = 5, 20
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for k := range keys {
		wg.Go(func() {
			key := "k" + strconv.Itoa(k)
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				var err error
				if n%3 == 2 {
					err = tab.Delete(t.Context(), key, 0)
				} else {
					_, err = tab.Put(t.Context(), key, []byte(strconv.Itoa(n)))
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	type follower struct {
		state map[string]string
		watch *watch
	}
	var followers []follower
	for range rounds {
		list, err := tab.List(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		f := follower{state: map[string]string{}}
		var newest uint64
		for _, r := range list {
			if _, twice := f.state[r.Key]; twice {
				t.Errorf("list has %s twice", r.Key)
			}
			f.state[r.Key] = string(r.Value)
			newest = max(newest, r.Revision)
		}
		f.watch = startWatch(t, tab, newest)
		followers = append(followers, f)
	}
	close(stop)
	wg.Wait()
	last, err := tab.Put(t.Context(), "end", nil)
	if err != nil {
		t.Fatal(err)
	}
	list, err := tab.List(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, r := range list {
		want[r.Key] = string(r.Value)
	}
	for i, f := range followers {
		for c := f.watch.next(t); c.Revision < last; c = f.watch.next(t) {
			if c.Removed {
				delete(f.state, c.Key)
			} else {
				f.state[c.Key] = string(c.Value)
			}
		}
		if fmt.Sprint(f.state) != fmt.Sprint(want) {
			t.Errorf("follower %d: got %v, want %v", i, f.state, want)
		}
	}
}
