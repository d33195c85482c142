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
	k, err := s.StreamKey(ctx, key.ID)
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
	got, _, err := s.findKeyValue(t.Context(), value)
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
		if _, _, err := s.findKeyValue(t.Context(), wrong); !errors.Is(err, ErrKeyNotFound) {
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
	if _, err := s.StreamKey(ctx, key.ID); !errors.Is(err, ErrKeyNotFound) {
		t.Errorf("StreamKey: got %v, want ErrKeyNotFound", err)
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

// A breaking table fails from a given write on, as if the process had died.
type breakingTable struct {
	store.Table
	broken *bool
}

var errBroken = errors.New("broken")

func (b breakingTable) Create(ctx context.Context, key string, value []byte) (uint64, error) {
	if *b.broken {
		return 0, errBroken
	}
	return b.Table.Create(ctx, key, value)
}

func (b breakingTable) Delete(ctx context.Context, key string, revision uint64) error {
	if *b.broken {
		return errBroken
	}
	return b.Table.Delete(ctx, key, revision)
}

func TestCrashBetweenWritesLeavesNothing(t *testing.T) {
	tables := new(storetest.Memory)
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, Config{}, tables)
		ch, key, err := s.Create(t.Context(), Spec{Region: "us-east-1"})
		if err != nil {
			t.Fatal(err)
		}
		broken := true
		whole := s.channels
		s.channels = breakingTable{s.channels, &broken}
		if _, _, err := s.Create(t.Context(), Spec{Region: "us-east-1"}); !errors.Is(err, errBroken) {
			t.Fatalf("got %v, want errBroken", err)
		}
		s.channels = whole
		s.keyIndex = breakingTable{s.keyIndex, &broken}
		if err := s.Delete(t.Context(), ch.ID); err != nil {
			t.Errorf("Delete with a broken index: got %v, want the channel gone", err)
		}
		if _, err := s.StreamKey(t.Context(), key.ID); !errors.Is(err, ErrKeyNotFound) {
			t.Errorf("key of the deleted channel: got %v, want ErrKeyNotFound", err)
		}
		if _, _, err := s.findKeyValue(t.Context(), key.Value.Reveal()); !errors.Is(err, ErrKeyNotFound) {
			t.Errorf("value of the deleted channel's key: got %v, want ErrKeyNotFound", err)
		}
		if list, _ := s.List(t.Context(), "", "us-east-1"); len(list) != 0 {
			t.Errorf("got channels %v, want none", list)
		}

		// The next start removes what was left in the index.
		s = newService(t, Config{}, tables)
		kept, _, err := s.Create(t.Context(), Spec{Region: "us-east-1"})
		if err != nil {
			t.Fatal(err)
		}
		if left, _ := s.keyIndex.List(t.Context(), ""); len(left) != 2 {
			t.Fatalf("index before the sweep: got %d entries, want the lost one and the good one", len(left))
		}
		if err := s.sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		left, err := s.keyIndex.List(t.Context(), "")
		if err != nil || len(left) != 1 || string(left[0].Value) != string(kept.ID) {
			t.Errorf("index after the sweep: got %v, %v, want the one key of %s", left, err, kept.ID)
		}
	})
}
