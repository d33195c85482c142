package access

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func testFile(t testing.TB) string { return filepath.Join(t.TempDir(), "keys.json") }

func testLog(t testing.TB) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }

func create(t testing.TB, path string, s Spec) Key {
	t.Helper()
	k, err := Create(path, s, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// same compares all of two keys.
func same(a, b Key) bool {
	plain := func(k Key) string {
		return fmt.Sprint(k.ID, " ", k.Secret.Reveal(), " ", k.SessionToken.Reveal(), " ", k.Account, " ", k.Name, " ",
			k.Created.UTC(), " ", k.Expires.UTC(), " ", k.Policy)
	}
	return plain(a) == plain(b)
}

func TestOpenMakesTheOwner(t *testing.T) {
	path := testFile(t)
	b, err := Open(path, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	owner := b.Owner()
	if k, ok := b.Find(owner.ID); !ok || !same(k, owner) || !k.Owner() || !strings.HasPrefix(k.ID, "AKIA") || len(k.ID) != 20 || len(k.Secret.Reveal()) != 40 {
		t.Errorf("got %+v, want a key that may do everything", k)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("got mode %v (%v), want 0600", info.Mode(), err)
	}
	// Those who only want to call the server read no more than this.
	var list []struct{ AccessKeyID, SecretAccessKey string }
	text, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(text, &list) != nil || len(list) != 1 || list[0].SecretAccessKey != owner.Secret.Reveal() {
		t.Errorf("got %s (%v), want a list of one key", text, err)
	}
	again, err := Open(path, testLog(t))
	if err != nil || !same(again.Owner(), owner) {
		t.Errorf("the second time: got %v (%v), want the same owner", again.Owner(), err)
	}
	if _, ok := b.Find("AKIAOTHER"); ok {
		t.Error("got a key nobody made")
	}
}

// A file of before there was more than an id and a secret.
func TestOldFile(t *testing.T) {
	path := testFile(t)
	if err := os.WriteFile(path, []byte(`[{"accessKeyId":"AKIAOLD","secretAccessKey":"s"}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := Open(path, testLog(t))
	if err != nil || b.Owner().ID != "AKIAOLD" || b.Owner().Secret.Reveal() != "s" {
		t.Fatalf("got %v (%v), want the key to be the owner's", b, err)
	}
}

func TestWrongFiles(t *testing.T) {
	const owner = `{"accessKeyId":"AKIAX","secretAccessKey":"s"}`
	for _, c := range []struct{ text, says string }{
		{``, "EOF"},
		{`{}`, "cannot unmarshal object"},
		{`[]`, "no key may do everything"},
		{`[null]`, "accessKeyId must be"},
		{`[` + owner + `] x`, "goes on after its list"},
		{`[` + owner + `,` + owner + `]`, `key 2 ("AKIAX"): it is there twice`},
		{`[{"accessKeyId":"AKIAX"}]`, "secretAccessKey is required"},
		{`[{"accessKeyId":"A KIA","secretAccessKey":"s"}]`, "accessKeyId must be"},
		{`[{"accessKeyId":"AKIAX","secretAccessKey":"s","policies":[]}]`, `unknown field "policies"`},
		{`[{"accessKeyId":"AKIAX","secretAccessKey":"s","policy":null}]`, "the policy must be an object"},
		{`[{"accessKeyId":"AKIAX","secretAccessKey":"s","account":"12"}]`, `must be 12 digits: "12"`},
		{`[{"accessKeyId":"AKIAX","secretAccessKey":"s","name":"a b"}]`, `letters, digits and +=,.@_-: "a b"`},
		{`[{"accessKeyId":"AKIAX","secretAccessKey":"s","sessionToken":"t"}]`, "go together"},
		{`[{"accessKeyId":"AKIAX","secretAccessKey":"s","expires":"2026-01-01T00:00:00Z"}]`, "go together"},
		{`[{"accessKeyId":"AKIAX","secretAccessKey":"s","account":"000000000000"}]`, "no key may do everything"},
		{`[{"accessKeyId":"AKIAX","secretAccessKey":"s","sessionToken":"t","expires":"2026-01-01T00:00:00Z"}]`, "no key may do everything"},
		{`[{"accessKeyId":"AKIAX","secretAccessKey":"s","policy":` + allow(`"*"`, `"*"`) + `}]`, "no key may do everything"},
	} {
		path := testFile(t)
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path, testLog(t)); err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v, want an error naming the file and saying %q", c.text, err, c.says)
		}
	}
}

func TestCreate(t *testing.T) {
	path := testFile(t)
	now := time.Date(2026, 3, 4, 5, 6, 7, 8, time.UTC)
	specs := []Spec{
		{},
		{Account: "222222222222", Name: "ci+build@example.com"},
		{Name: "reader", Policy: mustParse(t, allow(`"ivs:Get*"`, `"*"`))},
		{TTL: time.Hour, Account: "222222222222"},
	}
	var made []Key
	for _, s := range specs {
		k, err := Create(path, s, now)
		if err != nil {
			t.Fatal(err)
		}
		if k.Account != s.Account || k.Name != s.Name || k.Policy.String() != s.Policy.String() || !k.Created.Equal(now.Truncate(time.Second)) {
			t.Errorf("%+v: got %+v", s, k)
		}
		made = append(made, k)
	}
	temporary := made[3]
	if !strings.HasPrefix(temporary.ID, "ASIA") || len(temporary.SessionToken.Reveal()) != 64 || !temporary.Expires.Equal(now.Truncate(time.Second).Add(time.Hour)) {
		t.Errorf("got %+v, want a temporary key for an hour", temporary)
	}
	for at, want := range map[time.Duration]bool{0: false, time.Hour - 2*time.Second: false, time.Hour: true} {
		if got := temporary.Expired(now.Add(at)); got != want {
			t.Errorf("expired after %v: got %t, want %t", at, got, want)
		}
	}
	list, err := List(path)
	if err != nil || len(list) != len(made)+1 || !list[0].Owner() {
		t.Fatalf("got %v (%v), want the owner and %d others", list, err, len(made))
	}
	for i, k := range made {
		if !same(list[i+1], k) {
			t.Errorf("got %+v in the file, want %+v", list[i+1], k)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("got mode %v (%v), want 0600", info.Mode(), err)
	}

	// The expired one is remembered for a while, and then no longer.
	for after, want := range map[time.Duration]bool{time.Hour + keepExpired - time.Minute: true, time.Hour + keepExpired + time.Minute: false} {
		other := testFile(t)
		old, err := Create(other, Spec{TTL: time.Hour}, now)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Create(other, Spec{}, now.Add(after)); err != nil {
			t.Fatal(err)
		}
		list, err := List(other)
		if got := strings.Contains(fmt.Sprint(list), old.ID); err != nil || got != want {
			t.Errorf("an expired key is there after %v: got %t (%v), want %t", after, got, err, want)
		}
	}
}

func TestCreateRefuses(t *testing.T) {
	path := testFile(t)
	for _, c := range []struct {
		spec Spec
		says string
	}{
		{Spec{Account: "1234"}, `12 digits: "1234"`},
		{Spec{Account: "12345678901x"}, "12 digits"},
		{Spec{Name: "two words"}, `"two words"`},
		{Spec{Name: strings.Repeat("x", MaxName+1)}, "at most 64"},
		{Spec{TTL: time.Second}, "from 1m0s to 8784h0m0s: 1s"},
		{Spec{TTL: -time.Hour}, "from 1m0s"},
		{Spec{TTL: MaxTTL + 1}, "to 8784h0m0s"},
	} {
		if _, err := Create(path, c.spec, time.Now()); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: got %v, want an error saying %q", c.spec, err, c.says)
		}
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want no file to be there", err)
	}
	missing := filepath.Join(t.TempDir(), "nowhere", "keys.json")
	if _, err := Create(missing, Spec{}, time.Now()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without the folder: got %v, want that it does not exist", err)
	}
}

func TestTooManyKeys(t *testing.T) {
	path := testFile(t)
	keys, err := first(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i < MaxKeys; i++ {
		keys = append(keys, Key{ID: fmt.Sprint("AKIA", i), Secret: NewSecret("s")})
	}
	if err := write(path, keys); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(path, Spec{}, time.Now()); !errors.Is(err, ErrFull) {
		t.Errorf("got %v, want ErrFull", err)
	}
}

func TestRevoke(t *testing.T) {
	path := testFile(t)
	restricted := create(t, path, Spec{Policy: mustParse(t, allow(`"*"`, `"*"`))})
	foreign := create(t, path, Spec{Account: "222222222222"})
	list, err := List(path)
	if err != nil {
		t.Fatal(err)
	}
	owner := list[0]
	if err := Revoke(path, "AKIANOBODY", time.Now()); !errors.Is(err, ErrNotFound) {
		t.Errorf("an unknown key: got %v, want ErrNotFound", err)
	}
	if err := Revoke(path, owner.ID, time.Now()); !errors.Is(err, ErrLast) {
		t.Errorf("the only owner's key: got %v, want ErrLast", err)
	}
	second := create(t, path, Spec{Name: "second"})
	if err := Revoke(path, owner.ID, time.Now()); err != nil {
		t.Errorf("one of two owner's keys: got %v, want it revoked", err)
	}
	if err := Revoke(path, foreign.ID, time.Now()); err != nil {
		t.Errorf("a key of another account: got %v, want it revoked", err)
	}
	list, err = List(path)
	if err != nil || len(list) != 2 || list[0].ID != second.ID || list[1].ID != restricted.ID {
		t.Errorf("got %v (%v), want the new owner's key first and the restricted one", list, err)
	}
	if err := Revoke(path, second.ID, time.Now()); !errors.Is(err, ErrLast) {
		t.Errorf("the last owner's key: got %v, want ErrLast", err)
	}
}

// A book follows its file, looks at it seldom, and does without it.
func TestBookFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := testFile(t)
		var logged bytes.Buffer
		b, err := Open(path, slog.New(slog.NewTextHandler(&logged, nil)))
		if err != nil {
			t.Fatal(err)
		}
		old := b.Owner()
		k := create(t, path, Spec{})
		if got, ok := b.Find(k.ID); !ok || !same(got, k) {
			t.Errorf("got %v, want the new key", got)
		}
		if err := Revoke(path, old.ID, time.Now()); err != nil {
			t.Fatal(err)
		}
		if _, ok := b.Find(old.ID); !ok {
			t.Error("got the file looked at for every call, want it seldom")
		}
		time.Sleep(LookEvery)
		if _, ok := b.Find(old.ID); ok {
			t.Error("got the revoked key, want it gone")
		}
		if got := b.Owner(); got.ID != k.ID {
			t.Errorf("got owner %v, want the one that is left", got)
		}

		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		logged.Reset()
		for _, spoil := range []func() error{
			func() error { return os.WriteFile(path, []byte("["), 0o600) },
			func() error { return os.Remove(path) },
		} {
			if err := spoil(); err != nil {
				t.Fatal(err)
			}
			for range 10 {
				time.Sleep(LookEvery)
				if _, ok := b.Find(k.ID); !ok {
					t.Error("got no key, want those of before")
				}
				if _, ok := b.Find("AKIANOBODY"); ok {
					t.Error("got a key that nobody made")
				}
			}
		}
		if got := strings.Count(logged.String(), "level=ERROR"); got != 2 {
			t.Errorf("got %d errors logged, want one for each reason:\n%s", got, logged.String())
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		another := create(t, path, Spec{})
		time.Sleep(LookEvery)
		if _, ok := b.Find(another.ID); !ok {
			t.Error("got no new key, want the repaired file to be read")
		}
	})
}

// Many ask while keys come and go.
func TestBookWhileItChanges(t *testing.T) {
	path := testFile(t)
	b, err := Open(path, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, ok := b.Find(b.Owner().ID); !ok {
					t.Error("got no owner's key, want one always")
					return
				}
				b.Find("AKIANOBODY") // looks at the file every time
			}
		})
	}
	for range 20 {
		k := create(t, path, Spec{})
		if got, ok := b.Find(k.ID); !ok || !same(got, k) {
			t.Errorf("got %v, want the new key at once", got)
		}
		if err := Revoke(path, k.ID, time.Now()); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	wg.Wait()
}

// Nobody loses a key to somebody who changes the file at the same time.
func TestConcurrentChanges(t *testing.T) {
	path := testFile(t)
	var wg sync.WaitGroup
	ids := make(chan string, 64)
	for range 8 {
		wg.Go(func() {
			for range 4 {
				k, err := Create(path, Spec{}, time.Now())
				if err != nil {
					t.Error(err)
					return
				}
				extra, err := Create(path, Spec{}, time.Now())
				if err == nil {
					err = Revoke(path, extra.ID, time.Now())
				}
				if err != nil {
					t.Error(err)
					return
				}
				ids <- k.ID
			}
		})
	}
	wg.Wait()
	close(ids)
	list, err := List(path)
	if err != nil || len(list) != 33 {
		t.Fatalf("got %d keys (%v), want 32 and the first", len(list), err)
	}
	have := map[string]bool{}
	for _, k := range list {
		have[k.ID] = true
	}
	for id := range ids {
		if !have[id] {
			t.Errorf("%s is lost", id)
		}
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 2 {
		t.Errorf("got %v (%v) in the folder, want the keys and their lock alone", left, err)
	}
}
