package collection_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"belfry.live/belfry/internal/store"
	"belfry.live/belfry/internal/store/collection"
	"belfry.live/belfry/internal/store/natskv"
	"belfry.live/belfry/internal/store/storetest"
)

// An animal is what the tests keep.
type animal struct {
	Name  string
	Age   int
	Marks []int `json:",omitempty"`
}

type animals = collection.Collection[animal]

func (a animal) String() string { return fmt.Sprintf("%s %d %v", a.Name, a.Age, a.Marks) }

func copyAnimal(a animal) animal {
	a.Marks = slices.Clone(a.Marks)
	return a
}

func words(a animal) []string {
	if a.Name == "" {
		return nil
	}
	return []string{"name:" + a.Name, fmt.Sprint("age:", a.Age)}
}

func open(t *testing.T, table store.Table, cfg collection.Config[animal]) *animals {
	t.Helper()
	cfg.Log = slog.New(slog.DiscardHandler)
	c, err := collection.Open(t.Context(), table, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// follow runs the collection until the test ends or stop is called.
func follow(t *testing.T, c *animals) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := c.Run(ctx); err != nil {
			t.Errorf("Run: got %v, want nil", err)
		}
	})
	stop = func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	return stop
}

func memory(t *testing.T) store.Table {
	t.Helper()
	table, err := new(storetest.Memory).Table(t.Context(), "animals", store.TableConfig{})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func nats(t *testing.T) store.Table {
	t.Helper()
	tables, err := natskv.Open(t.Context(), natskv.Config{Dir: t.TempDir()}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tables.Close)
	table, err := tables.Table(t.Context(), "animals", store.TableConfig{})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func wantErr(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("%s: got error %v, want %v", what, got, want)
	}
}

func keysOf(c *animals, prefix, after string) string {
	var keys []string
	for key := range c.After(prefix, after) {
		keys = append(keys, key)
	}
	return strings.Join(keys, " ")
}

// eventually waits until ok holds: what another writer did comes in time.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit := time.Now().Add(15 * time.Second)
	for !ok() {
		if time.Now().After(limit) {
			t.Fatalf("%s: not within 15 s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestLife(t *testing.T) {
	ctx, c := t.Context(), open(t, memory(t), collection.Config[animal]{})
	_, err := c.Get("cat")
	wantErr(t, "Get before Create", err, store.ErrNotFound)
	_, err = c.Update(ctx, "cat", func(*animal) error { return nil })
	wantErr(t, "Update before Create", err, store.ErrNotFound)
	_, err = c.Delete(ctx, "cat", nil)
	wantErr(t, "Delete before Create", err, store.ErrNotFound)
	_, err = c.Delete(ctx, "no key at all", nil)
	wantErr(t, "Delete of what is no key", err, store.ErrNotFound)
	wantErr(t, "Create", c.Create(ctx, "cat", animal{Name: "Tom"}), nil)
	wantErr(t, "second Create", c.Create(ctx, "cat", animal{Name: "Tim"}), store.ErrExists)
	old, err := c.Get("cat")
	if err != nil || old.Name != "Tom" {
		t.Errorf("got %v, %v, want Tom", old, err)
	}
	refused := errors.New("refused")
	_, err = c.Update(ctx, "cat", func(a *animal) error { a.Age = 9; return refused })
	wantErr(t, "Update that refuses", err, refused)
	got, err := c.Update(ctx, "cat", func(a *animal) error { a.Age++; a.Marks = append(a.Marks, 1); return nil })
	if err != nil || got.Age != 1 || len(got.Marks) != 1 || old.Age != 0 {
		t.Errorf("got %v, %v (from %v), want a year more in the new one alone", got, err, old)
	}
	if now, _ := c.Get("cat"); now.String() != got.String() {
		t.Errorf("got %v, want %v as updated", now, got)
	}
	_, err = c.Delete(ctx, "cat", func(a animal) error {
		if a.Age != 1 {
			t.Errorf("Delete asks about %v, want what was updated", a)
		}
		return refused
	})
	wantErr(t, "Delete that is refused", err, refused)
	if got, err := c.Delete(ctx, "cat", nil); err != nil || got.Age != 1 {
		t.Errorf("Delete: got %v, %v, want what was updated", got, err)
	}
	_, err = c.Get("cat")
	wantErr(t, "Get after Delete", err, store.ErrNotFound)
	wantErr(t, "Create after Delete", c.Create(ctx, "cat", animal{Name: "Tim"}), nil)
	if n := c.Len(); n != 1 {
		t.Errorf("got %d records, want 1", n)
	}
}

func TestUpdateLeavesWhatWasHandedOut(t *testing.T) {
	for name, cfg := range map[string]collection.Config[animal]{"copied": {Copy: copyAnimal}, "coded": {}} {
		c := open(t, memory(t), cfg)
		wantErr(t, "Create", c.Create(t.Context(), "cat", animal{Marks: []int{1, 2}}), nil)
		old, _ := c.Get("cat")
		if _, err := c.Update(t.Context(), "cat", func(a *animal) error { a.Marks[0] = 7; return nil }); err != nil {
			t.Fatal(err)
		}
		if now, _ := c.Get("cat"); old.Marks[0] != 1 || now.Marks[0] != 7 {
			t.Errorf("%s: got %v before and %v after, want 1 and 7 first", name, old, now)
		}
	}
}

func TestOrder(t *testing.T) {
	c := open(t, memory(t), collection.Config[animal]{})
	for _, key := range []string{"m1.b", "m1.a", "m10.c", "m2.d", "m1", "m1.c"} {
		wantErr(t, "Create", c.Create(t.Context(), key, animal{}), nil)
	}
	for _, test := range []struct{ prefix, after, want string }{
		{"", "", "m1 m1.a m1.b m1.c m10.c m2.d"},
		{"m1.", "", "m1.a m1.b m1.c"},
		{"m1.", "m1.a", "m1.b m1.c"},
		{"m1.", "m1.aa", "m1.b m1.c"}, // gone since the last page
		{"m1.", "m1.c", ""},
		{"m1.", "m9", ""},
		{"m1.", "a", "m1.a m1.b m1.c"},
		{"m3", "", ""},
		{"", "m10.c", "m2.d"},
	} {
		if got := keysOf(c, test.prefix, test.after); got != test.want {
			t.Errorf("keys %q after %q: got %q, want %q", test.prefix, test.after, got, test.want)
		}
	}
	// What is iterated is the state of when it began.
	n := 0
	for key := range c.All("m1") {
		if _, err := c.Delete(t.Context(), key, nil); err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 5 || c.Len() != 1 {
		t.Errorf("got %d keys while they were deleted, %d left, want 5 and 1", n, c.Len())
	}
	for range c.All("") {
		break
	}
}

func TestFind(t *testing.T) {
	c := open(t, memory(t), collection.Config[animal]{Index: words})
	ctx := t.Context()
	want := func(word, key string) {
		t.Helper()
		got, _, err := c.Find(word)
		if got != key || (err == nil) != (key != "") {
			t.Errorf("find %q: got %q, %v, want %q", word, got, err, key)
		}
	}
	want("name:Tom", "")
	wantErr(t, "Create", c.Create(ctx, "b", animal{Name: "Tom", Age: 3}), nil)
	wantErr(t, "Create", c.Create(ctx, "a", animal{Name: "Kim", Age: 3}), nil)
	want("name:Tom", "b")
	want("name:To", "")
	want("name:Tom\x00b", "")
	want("", "")
	want("age:3", "a") // the first of two
	if _, err := c.Update(ctx, "a", func(a *animal) error { a.Age = 4; return nil }); err != nil {
		t.Fatal(err)
	}
	want("age:3", "b")
	want("age:4", "a")
	if _, err := c.Delete(ctx, "b", nil); err != nil {
		t.Fatal(err)
	}
	want("name:Tom", "")
	want("age:3", "")
	_, got, err := c.Find("name:Kim")
	if err != nil || got.Age != 4 {
		t.Errorf("got %v, %v, want Kim as updated", got, err)
	}
}

func TestUpgrade(t *testing.T) {
	table := memory(t)
	for _, key := range []string{"old", "foreign"} {
		if _, err := table.Put(t.Context(), key, []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	c := open(t, table, collection.Config[animal]{Index: words, Upgrade: func(a *animal) { a.Name = cmp.Or(a.Name, "nobody") }})
	follow(t, c)
	if _, err := table.Put(t.Context(), "foreign", []byte(`{"Age":1}`)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other's is seen", func() bool { a, _ := c.Get("foreign"); return a.Age == 1 && a.Name == "nobody" })
	if key, _, err := c.Find("name:nobody"); key != "foreign" {
		t.Errorf("got %q, %v, want the first of the two", key, err)
	}
	got, err := c.Update(t.Context(), "old", func(a *animal) error { a.Age = 5; return nil })
	if err != nil || got.Name != "nobody" {
		t.Errorf("got %v, %v, want an updated nobody", got, err)
	}
}

// Two writers of one table that hear of each other see the same in the end,
// and before that nobody overwrites what it has not seen.
func TestTwoWriters(t *testing.T) {
	for name, table := range map[string]store.Table{"memory": memory(t), "nats": nats(t)} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			a, b := open(t, table, collection.Config[animal]{Index: words}), open(t, table, collection.Config[animal]{})
			stopA := follow(t, a)
			wantErr(t, "Create", a.Create(ctx, "cat", animal{Name: "Tom"}), nil)
			// b has not heard of the cat.
			wantErr(t, "Create by the other", b.Create(ctx, "cat", animal{}), store.ErrExists)
			if got, err := b.Get("cat"); err != nil || got.Name != "Tom" {
				t.Errorf("after the conflict: got %v, %v, want Tom", got, err)
			}
			wantErr(t, "Create", a.Create(ctx, "dog", animal{Name: "Rex"}), nil)
			if got, err := b.Update(ctx, "dog", func(d *animal) error { d.Age++; return nil }); err != nil || got.Name != "Rex" {
				t.Errorf("Update of what was not seen yet: got %v, %v, want Rex", got, err)
			}
			for i := range 10 { // each in turn, so that b's is always out of date
				for _, c := range []*animals{a, b} {
					if _, err := c.Update(ctx, "cat", func(a *animal) error { a.Age++; return nil }); err != nil {
						t.Fatal(err)
					}
				}
				if got, _ := b.Get("cat"); got.Age != 2*i+2 {
					t.Errorf("got age %d after %d updates", got.Age, 2*i+2)
				}
			}
			eventually(t, "a sees b's updates", func() bool {
				key, got, err := a.Find("age:20")
				return err == nil && key == "cat" && got.Name == "Tom"
			})
			if _, err := a.Delete(ctx, "cat", nil); err != nil {
				t.Fatal(err)
			}
			_, err := b.Update(ctx, "cat", func(*animal) error { return nil })
			wantErr(t, "Update of what the other deleted", err, store.ErrNotFound)
			_, err = b.Get("cat")
			wantErr(t, "Get after that", err, store.ErrNotFound)
			_, err = b.Delete(ctx, "cat", nil)
			wantErr(t, "Delete of what the other deleted", err, store.ErrNotFound)
			if _, err := b.Delete(ctx, "dog", nil); err != nil {
				t.Fatal(err)
			}
			eventually(t, "a sees b's removal", func() bool { return a.Len() == 0 })

			// Who follows later misses nothing.
			stopA()
			wantErr(t, "Create", b.Create(ctx, "eel", animal{}), nil)
			wantErr(t, "Create", b.Create(ctx, "fox", animal{}), nil)
			if _, err := b.Delete(ctx, "fox", nil); err != nil {
				t.Fatal(err)
			}
			wantErr(t, "Create", b.Create(ctx, "gnu", animal{}), nil)
			if a.Len() != 0 {
				t.Errorf("who does not follow: got %d records, want 0", a.Len())
			}
			follow(t, a)
			eventually(t, "a follows again", func() bool { return keysOf(a, "", "") == "eel gnu" })
		})
	}
}

func TestRestart(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	var before []string
	for round := range 3 {
		tables, err := natskv.Open(ctx, natskv.Config{Dir: dir}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		table, err := tables.Table(ctx, "animals", store.TableConfig{})
		if err != nil {
			t.Fatal(err)
		}
		c := open(t, table, collection.Config[animal]{Index: words})
		var after []string
		for key, a := range c.All("") {
			after = append(after, fmt.Sprint(key, a))
		}
		if !slices.Equal(after, before) {
			t.Errorf("round %d: got %v, want %v", round, after, before)
		}
		for i := range 30 {
			key := fmt.Sprintf("r%d.%d", round, i)
			wantErr(t, "Create", c.Create(ctx, key, animal{Name: key}), nil)
			if i%3 == 0 {
				if _, err := c.Delete(ctx, key, nil); err != nil {
					t.Fatal(err)
				}
			}
			if i%2 == 0 {
				_, err := c.Update(ctx, key, func(a *animal) error { a.Age = i; return nil })
				if i%3 != 0 && err != nil {
					t.Fatal(err)
				}
			}
		}
		before = nil
		for key, a := range c.All("") {
			before = append(before, fmt.Sprint(key, a))
		}
		if found, _, err := c.Find("name:r0.1"); err != nil || found != "r0.1" {
			t.Errorf("round %d: found %q, %v, want r0.1", round, found, err)
		}
		tables.Close()
	}
}

func TestWhatIsNoJSONIsRefused(t *testing.T) {
	table := memory(t)
	c := open(t, table, collection.Config[animal]{})
	follow(t, c)
	wantErr(t, "Create", c.Create(t.Context(), "cat", animal{Name: "Tom"}), nil)
	for _, key := range []string{"cat", "dog"} {
		if _, err := table.Put(t.Context(), key, []byte("{")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Update(t.Context(), "cat", func(*animal) error { return nil }); err == nil {
		t.Error("Update of what cannot be read: got no error")
	}
	if _, err := c.Update(t.Context(), "dog", func(*animal) error { return nil }); err == nil || errors.Is(err, store.ErrNotFound) {
		t.Errorf("Update of what cannot be read: got %v, want the reason", err)
	}
	if _, err := collection.Open(t.Context(), table, collection.Config[animal]{}); err == nil || !strings.Contains(err.Error(), "cat") {
		t.Errorf("Open: got %v, want an error that names the record", err)
	}
}

// A faulty table breaks the watch, and delays what it tells.
type faulty struct {
	store.Table
	mu     sync.Mutex
	broken chan struct{} // closed to break the watch
	delay  func()
}

func (f *faulty) Watch(ctx context.Context, after uint64, tell func(store.Change)) error {
	f.mu.Lock()
	broken := f.broken
	f.mu.Unlock()
	watching, cancel := context.WithCancel(ctx)
	var wait sync.WaitGroup
	defer wait.Wait()
	defer cancel()
	wait.Go(func() {
		select {
		case <-broken:
			cancel()
		case <-watching.Done():
		}
	})
	err := f.Table.Watch(watching, after, func(c store.Change) {
		if f.delay != nil {
			f.delay()
		}
		tell(c)
	})
	if ctx.Err() == nil {
		return errors.New("broken")
	}
	return err
}

// Writers in two collections change some keys together and others alone. Who
// writes alone must always read exactly what it wrote last, however late the
// changes are told; and in the end all see the same.
func TestRandomOperations(t *testing.T) {
	for _, test := range []struct {
		name  string
		table func(*testing.T) store.Table
		times int // of each writer
		delay func()
	}{
		{"memory", memory, 1000, nil},
		{"late", memory, 500, func() { time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond) }},
		{"nats", nats, 60, nil},
		{"nats late", nats, 60, func() { time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			table := test.table(t)
			cols := make([]*animals, 2)
			for i := range cols {
				cols[i] = open(t, &faulty{Table: table, delay: test.delay}, collection.Config[animal]{Copy: copyAnimal, Index: words})
				follow(t, cols[i])
			}
			var writers, readers sync.WaitGroup
			stop := make(chan struct{})
			for _, c := range cols {
				readers.Go(func() { readAll(t, c, stop) })
			}
			const alone = 3
			for i := range 2 * alone {
				writers.Go(func() { writeAlone(t, cols[i%2], i, test.times) })
			}
			var sum [5]struct {
				sync.Mutex
				n int
			}
			for i := range 4 {
				writers.Go(func() {
					random := rand.New(rand.NewPCG(uint64(i), 0))
					for range test.times {
						k := random.IntN(len(sum))
						key := fmt.Sprint("shared.", k)
						switch err := cols[i%2].Create(t.Context(), key, animal{Name: key}); {
						case err == nil, errors.Is(err, store.ErrExists):
						default:
							t.Error(err)
							return
						}
						if _, err := cols[i%2].Update(t.Context(), key, func(a *animal) error { a.Age++; return nil }); err != nil {
							t.Error(err)
							return
						}
						sum[k].Lock()
						sum[k].n++
						sum[k].Unlock()
					}
				})
			}
			writers.Wait()
			close(stop)
			readers.Wait()
			want := contents(t, table)
			for i, c := range cols {
				eventually(t, "the collection is as the table", func() bool { return dump(c) == want })
				for k := range sum {
					got, err := c.Get(fmt.Sprint("shared.", k))
					if sum[k].n > 0 && (err != nil || got.Age != sum[k].n) {
						t.Errorf("collection %d, key %d: got %v, %v, want %d updates", i, k, got, err, sum[k].n)
					}
				}
				for key, a := range c.All("") {
					found, v, err := c.Find("name:" + a.Name)
					if err != nil || v.Name != a.Name || found > key {
						t.Errorf("find %q: got %q %v, %v, want %q", a.Name, found, v, err, key)
					}
				}
			}
		})
	}
}

func readAll(t *testing.T, c *animals, stop chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		last := ""
		for key, a := range c.All("") {
			if key <= last {
				t.Errorf("key %q comes after %q", key, last)
			}
			last = key
			for i, m := range a.Marks {
				if m != i {
					t.Errorf("%s: got marks %v, want them in order", key, a.Marks)
				}
			}
		}
	}
}

// writeAlone checks a few keys against a plain map after every operation.
func writeAlone(t *testing.T, c *animals, me, times int) {
	random := rand.New(rand.NewPCG(uint64(me), 1))
	model := map[string]animal{}
	for step := range times {
		key := fmt.Sprintf("own%d.%d", me, random.IntN(3))
		old, have := model[key]
		var err, want error
		if !have {
			want = store.ErrNotFound
		}
		switch random.IntN(4) {
		case 0:
			if want = nil; have {
				want = store.ErrExists
			}
			a := animal{Name: fmt.Sprint(key, "-", step)}
			if err = c.Create(t.Context(), key, a); err == nil {
				model[key] = a
			}
		case 1, 2:
			_, err = c.Update(t.Context(), key, func(a *animal) error {
				a.Age = step
				a.Marks = append(a.Marks, len(a.Marks))
				return nil
			})
			if err == nil {
				old.Age, old.Marks = step, append(slices.Clone(old.Marks), len(old.Marks))
				model[key] = old
			}
		case 3:
			if _, err = c.Delete(t.Context(), key, nil); err == nil {
				delete(model, key)
			}
		}
		if !errors.Is(err, want) {
			t.Errorf("%s, step %d: got %v, want %v", key, step, err, want)
			return
		}
		for i := range 3 {
			key := fmt.Sprintf("own%d.%d", me, i)
			want, have := model[key]
			got, err := c.Get(key)
			if (err == nil) != have || got.String() != want.String() {
				t.Errorf("%s, step %d: got %v, %v, want %v, %v", key, step, got, err, want, have)
				return
			}
			if found, _, err := c.Find("name:" + want.Name); have && (err != nil || found != key) {
				t.Errorf("find %q, step %d: got %q, %v, want %q", want.Name, step, found, err, key)
				return
			}
		}
	}
}

func dump(c *animals) string {
	var b strings.Builder
	for key, a := range c.All("") {
		fmt.Fprintln(&b, key, a)
	}
	return b.String()
}

func contents(t *testing.T, table store.Table) string {
	t.Helper()
	list, err := table.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, r := range list {
		var a animal
		if err := json.Unmarshal(r.Value, &a); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&b, r.Key, a)
	}
	return b.String()
}

// A watch that breaks is taken up again, and what was missed is made good even
// if the table does not tell of it any more.
func TestWatchBreaks(t *testing.T) {
	ctx, mem := t.Context(), memory(t)
	table := &faulty{Table: mem, broken: make(chan struct{})}
	c := open(t, table, collection.Config[animal]{})
	other := open(t, mem, collection.Config[animal]{})
	follow(t, c)
	for _, key := range []string{"a", "b", "c"} {
		wantErr(t, "Create", other.Create(ctx, key, animal{}), nil)
	}
	eventually(t, "c sees them", func() bool { return c.Len() == 3 })
	table.mu.Lock()
	old := table.broken
	table.broken = make(chan struct{})
	table.mu.Unlock()
	close(old)
	if _, err := other.Delete(ctx, "b", nil); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "Create", other.Create(ctx, "d", animal{}), nil)
	wantErr(t, "Create", c.Create(ctx, "e", animal{}), nil)
	eventually(t, "c sees what it missed", func() bool { return keysOf(c, "", "") == "a c d e" })
	if _, err := other.Delete(ctx, "a", nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "c follows again", func() bool { return keysOf(c, "", "") == "c d e" })
}

// A slow table answers a write when it is let go.
type slow struct {
	store.Table
	written, answer chan struct{}
}

func (s *slow) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	rev, err := s.Table.Update(ctx, key, value, revision)
	s.written <- struct{}{}
	<-s.answer
	return rev, err
}

// What others did after a write that was not answered yet is not undone in
// memory when the answer comes.
func TestLateAnswer(t *testing.T) {
	ctx, mem := t.Context(), memory(t)
	table := &slow{mem, make(chan struct{}), make(chan struct{})}
	c, other := open(t, table, collection.Config[animal]{}), open(t, mem, collection.Config[animal]{})
	follow(t, c)
	for _, key := range []string{"changed", "removed", "made again"} {
		key = strings.ReplaceAll(key, " ", "-")
		wantErr(t, "Create", other.Create(ctx, key, animal{Name: "first"}), nil)
		var updating sync.WaitGroup
		updating.Go(func() {
			if _, err := c.Update(ctx, key, func(a *animal) error { a.Name = "late"; return nil }); err != nil {
				t.Error(err)
			}
		})
		<-table.written
		want := ""
		if key == "changed" {
			want = "newest"
			if _, err := other.Update(ctx, key, func(a *animal) error { a.Name = want; return nil }); err != nil {
				t.Fatal(err)
			}
		} else if _, err := other.Delete(ctx, key, nil); err != nil {
			t.Fatal(err)
		}
		if key == "made-again" {
			want = "newest"
			wantErr(t, "Create", other.Create(ctx, key, animal{Name: want}), nil)
		}
		// What comes after it is seen, so the change of the key is, too.
		wantErr(t, "Create", other.Create(ctx, key+"-seen", animal{}), nil)
		eventually(t, "c sees it", func() bool { _, err := c.Get(key + "-seen"); return err == nil })
		table.answer <- struct{}{}
		updating.Wait()
		if got, _ := c.Get(key); got.Name != want {
			t.Errorf("%s meanwhile: got %q, want %q", key, got.Name, want)
		}
	}
}

func FuzzKeys(f *testing.F) {
	f.Add("a", "a", "")
	f.Add("m1.a", "m1", "m1")
	f.Add("m1.a", "m1.", "m1.a")
	f.Add("zz", "", "z")
	f.Add("a=/_-", "a\x00", "a")
	table, err := new(storetest.Memory).Table(context.Background(), "animals", store.TableConfig{})
	if err != nil {
		f.Fatal(err)
	}
	c, err := collection.Open(context.Background(), table, collection.Config[animal]{Index: words})
	if err != nil {
		f.Fatal(err)
	}
	for _, key := range []string{"m1", "m1.b", "m2", "Z", "0"} {
		if err := c.Create(context.Background(), key, animal{Name: key}); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, key, prefix, after string) {
		if err := c.Create(t.Context(), key, animal{Name: key}); err != nil {
			if store.CheckKey(key) == nil && !errors.Is(err, store.ErrExists) {
				t.Errorf("create %q: %v", key, err)
			}
			return
		}
		var want []string
		for k := range c.All("") {
			if strings.HasPrefix(k, prefix) && k > after {
				want = append(want, k)
			}
		}
		if !slices.IsSorted(want) {
			t.Errorf("got %q, want them sorted", want)
		}
		if got := keysOf(c, prefix, after); got != strings.Join(want, " ") {
			t.Errorf("keys %q after %q: got %q, want %q", prefix, after, got, want)
		}
		if found, _, err := c.Find("name:" + key); err != nil || found != key {
			t.Errorf("find %q: got %q, %v", key, found, err)
		}
		if found, _, err := c.Find(prefix); err == nil && prefix != "name:"+found && prefix != "age:0" {
			t.Errorf("find %q: got %q, want nothing", prefix, found)
		}
		if _, err := c.Delete(t.Context(), key, nil); err != nil {
			t.Errorf("delete %q: %v", key, err)
		}
	})
}
