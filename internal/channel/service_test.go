package channel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"belfry.live/belfry/internal/store"
	"belfry.live/belfry/internal/store/natskv"
	"belfry.live/belfry/internal/store/storetest"
)

func openTables(t *testing.T, dir string) *natskv.Store {
	t.Helper()
	tables, err := natskv.Open(t.Context(), natskv.Config{Dir: dir}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return tables
}

func newService(t *testing.T, cfg Config, tables store.Tables) *Service {
	t.Helper()
	s, err := New(t.Context(), cfg, tables, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCreateSurvivesRestart(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	tables := openTables(t, dir)
	spec := Spec{Region: "eu-west-1", Name: "tower", LatencyMode: "LOW", Type: "STANDARD", InsecureIngest: true, Tags: map[string]string{"a": "b"}}
	ch, key, err := newService(t, Config{}, tables).Create(ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	tables.Close()

	tables = openTables(t, dir)
	defer tables.Close()
	s := newService(t, Config{}, tables)
	got, err := s.Get(ctx, ch.ID)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(ch) {
		t.Errorf("channel after a restart: got %v, %v, want %v", got, err, ch)
	}
	if got.Name != "tower" || !got.InsecureIngest || got.Tags["a"] != "b" {
		t.Errorf("got spec %+v, want %+v", got.Spec, spec)
	}
	k, err := s.FindKey(ch.Owner(), key.ID)
	if err != nil || k.Value.Reveal() != key.Value.Reveal() || k.ChannelID != ch.ID {
		t.Errorf("key after a restart: got %v, %v, want %v", k, err, key)
	}
	keys, err := s.StreamKeys(ctx, ch.ID)
	if err != nil || len(keys) != 1 || keys[0].ID != key.ID {
		t.Errorf("keys of the channel: got %v, %v, want the one key %v", keys, err, key.ID)
	}
	if !strings.HasPrefix(key.Value.Reveal(), "sk_eu-west-1_"+string(key.ID)+"_") {
		t.Errorf("the key's value does not begin with sk_, region and id")
	}
}

func TestKeyDoesNotPrint(t *testing.T) {
	key := newStreamKey(Channel{ID: "abcdefghijkl", Spec: Spec{Region: "us-east-1"}})
	var out strings.Builder
	fmt.Fprintf(&out, "%v %+v %#v %s %v\n", key, key, key, key.Value, &key)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("made", "key", key, "value", key.Value)
	slog.New(slog.NewTextHandler(&out, nil)).Info("made", "key", key, "value", key.Value)
	if strings.Contains(out.String(), key.Value.Reveal()) {
		t.Errorf("the secret is printed: %s", out.String())
	}
	if !strings.Contains(out.String(), string(key.ID)) {
		t.Errorf("got %s, want the key's id in it", out.String())
	}
}

func TestFindKeyValue(t *testing.T) {
	tables := openTables(t, t.TempDir())
	defer tables.Close()
	s := newService(t, Config{}, tables)
	ch, key, err := s.Create(t.Context(), Spec{Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	_, other, err := s.Create(t.Context(), Spec{Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	value := key.Value.Reveal()
	got, _, err := s.findKeyValue(value)
	if err != nil || got.ID != ch.ID {
		t.Errorf("the key's own value: got channel %q, %v, want %q", got.ID, err, ch.ID)
	}
	secret := value[strings.LastIndexByte(value, '_')+1:]
	for name, wrong := range map[string]string{
		"empty":                "",
		"no secret":            value[:len(value)-len(secret)],
		"one character less":   value[:len(value)-1],
		"one character more":   value + "x",
		"another region":       strings.Replace(value, "us-east-1", "us-east-2", 1),
		"another key's secret": strings.Replace(other.Value.Reveal(), string(other.ID), string(key.ID), 1),
		"id with a wildcard":   "sk_us-east-1_>_" + secret,
		"very long":            value + strings.Repeat("x", 100_000),
	} {
		if _, _, err := s.findKeyValue(wrong); !errors.Is(err, ErrKeyNotFound) {
			t.Errorf("%s: got %v, want ErrKeyNotFound", name, err)
		}
	}
}

func TestDelete(t *testing.T) {
	tables := openTables(t, t.TempDir())
	defer tables.Close()
	s := newService(t, Config{}, tables)
	ctx := t.Context()
	ch, key, err := s.Create(ctx, Spec{Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(ctx, ch.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(ctx, ch.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("Get: got %v, want ErrNotFound", err)
	}
	if _, err := s.FindKey(ch.Owner(), key.ID); !errors.Is(err, ErrKeyNotFound) {
		t.Errorf("FindKey: got %v, want ErrKeyNotFound", err)
	}
	if _, err := s.StreamKeys(ctx, ch.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("StreamKeys: got %v, want ErrNotFound", err)
	}
	if err := s.Delete(ctx, ch.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("second Delete: got %v, want ErrNotFound", err)
	}
	if err := s.Delete(ctx, "no such id"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Delete of what is no id: got %v, want ErrNotFound", err)
	}
}

func TestListByOwner(t *testing.T) {
	tables := openTables(t, t.TempDir())
	defer tables.Close()
	s := newService(t, Config{}, tables)
	type owner struct{ account, region string }
	a, b := owner{"111111111111", "us-east-1"}, owner{"222222222222", "us-east-1"}
	want := map[owner][]ID{}
	for _, o := range []owner{a, b, a, {a.account, "eu-west-1"}, a} {
		ch, _, err := s.Create(t.Context(), Spec{Account: o.account, Region: o.region})
		if err != nil {
			t.Fatal(err)
		}
		want[o] = append(want[o], ch.ID)
	}
	for o, ids := range want {
		list, err := s.List(t.Context(), o.account, o.region)
		if err != nil {
			t.Fatal(err)
		}
		var got []ID
		for _, ch := range list {
			got = append(got, ch.ID)
		}
		slices.Sort(got) // made within a millisecond of each other
		slices.Sort(ids)
		if !slices.Equal(got, ids) {
			t.Errorf("channels of %v: got %v, want %v", o, got, ids)
		}
	}
}

func TestTooMany(t *testing.T) {
	tables := openTables(t, t.TempDir())
	defer tables.Close()
	s := newService(t, Config{MaxChannels: 3}, tables)
	var wg sync.WaitGroup
	made := make(chan error, 10)
	for range cap(made) {
		wg.Go(func() {
			_, _, err := s.Create(t.Context(), Spec{Region: "us-east-1"})
			made <- err
		})
	}
	wg.Wait()
	close(made)
	ok := 0
	for err := range made {
		switch {
		case err == nil:
			ok++
		case !errors.Is(err, ErrTooMany):
			t.Errorf("got %v, want ErrTooMany", err)
		}
	}
	if ok != 3 {
		t.Errorf("of 10 at once: got %d channels, want 3", ok)
	}
	list, err := s.List(t.Context(), "", "us-east-1")
	if err != nil || len(list) != 3 {
		t.Fatalf("got %d channels, %v, want 3", len(list), err)
	}
	if err := s.Delete(t.Context(), list[0].ID); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Create(t.Context(), Spec{Region: "us-east-1"}); err != nil {
		t.Errorf("after a Delete there is room again: got %v", err)
	}
	s = newService(t, Config{MaxChannels: 3}, tables)
	if _, _, err := s.Create(t.Context(), Spec{Region: "us-east-1"}); !errors.Is(err, ErrTooMany) {
		t.Errorf("after a restart: got %v, want ErrTooMany", err)
	}
}

// Deaf tables write what is created, but their answers are lost.
type deafTables struct{ *storetest.Memory }

type deafTable struct{ store.Table }

var errNoAnswer = errors.New("no answer")

func (d deafTables) Table(ctx context.Context, name string, cfg store.TableConfig) (store.Table, error) {
	t, err := d.Memory.Table(ctx, name, cfg)
	return deafTable{t}, err
}

func (d deafTable) Create(ctx context.Context, key string, value []byte) (uint64, error) {
	if _, err := d.Table.Create(ctx, key, value); err != nil {
		return 0, err
	}
	return 0, errNoAnswer
}

func TestFailedCreateLeavesNothing(t *testing.T) {
	tables := new(storetest.Memory)
	s := newService(t, Config{MaxChannels: 1}, deafTables{tables})
	for range 2 { // each lets go of its place
		if _, _, err := s.Create(t.Context(), Spec{Region: "us-east-1"}); !errors.Is(err, errNoAnswer) {
			t.Fatalf("got %v, want errNoAnswer", err)
		}
	}
	if list, _ := s.List(t.Context(), "", "us-east-1"); len(list) != 0 {
		t.Errorf("got channels %v, want none", list)
	}
	again := newService(t, Config{}, tables)
	if list, _ := again.List(t.Context(), "", "us-east-1"); len(list) != 0 {
		t.Errorf("after a restart: got channels %v, want none", list)
	}
}

func TestTwoServicesSeeEachOthersChannels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tables := new(storetest.Memory)
		a, b := newService(t, Config{}, tables), newService(t, Config{}, tables)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for _, s := range []*Service{a, b} {
			running.Go(func() {
				if err := s.Run(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		ch, key, err := a.Create(ctx, Spec{Region: "us-east-1"})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, err := b.FindKey(ch.Owner(), key.ID); err != nil {
			t.Errorf("the other's key: got %v", err)
		}
		if err := b.Delete(ctx, ch.ID); err != nil {
			t.Errorf("delete the other's channel: got %v", err)
		}
		synctest.Wait()
		if _, err := a.Get(ctx, ch.ID); !errors.Is(err, ErrNotFound) {
			t.Errorf("what the other deleted: got %v, want ErrNotFound", err)
		}
		stop()
		running.Wait()
	})
}
