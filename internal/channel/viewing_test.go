package channel

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"belfry.live/belfry/internal/channel/ticket"
	"belfry.live/belfry/internal/store"
	"belfry.live/belfry/internal/store/storetest"
)

var (
	owner      = Owner{Account: "000000000000", Region: "us-east-1"}
	neighbours = []Owner{{Account: "000000000000", Region: "us-east-2"}, {Account: "111111111111", Region: "us-east-1"}}
)

// material makes the public half of a new key pair.
func material(t *testing.T, curve elliptic.Curve) string {
	t.Helper()
	private, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func TestPlaybackKeyPairs(t *testing.T) {
	ctx, tables := t.Context(), new(storetest.Memory)
	s := newService(t, Config{}, tables)
	spec := PlaybackKeySpec{Name: "tower", Material: material(t, elliptic.P384()), Tags: map[string]string{"a": "b"}}
	pair, err := s.ImportPlaybackKeyPair(ctx, owner, spec)
	if err != nil {
		t.Fatal(err)
	}
	if !isID(string(pair.ID)) || pair.Name != "tower" || len(pair.Fingerprint()) != 16*3-1 {
		t.Errorf("got %+v with fingerprint %s", pair, pair.Fingerprint())
	}
	if _, err := s.ImportPlaybackKeyPair(ctx, owner, spec); !errors.Is(err, ErrKeyPairExists) {
		t.Errorf("the same material again: got %v, want %v", err, ErrKeyPairExists)
	}
	if _, err := s.ImportPlaybackKeyPair(ctx, owner, PlaybackKeySpec{Material: strings.ReplaceAll(spec.Material, "\n", "\r\n")}); !errors.Is(err, ErrKeyPairExists) {
		t.Errorf("the same key in another text: got %v, want %v", err, ErrKeyPairExists)
	}
	for _, other := range neighbours {
		if _, err := s.PlaybackKeyPair(other, pair.ID); !errors.Is(err, ErrKeyPairNotFound) {
			t.Errorf("%v: got %v, want %v", other, err, ErrKeyPairNotFound)
		}
		if err := s.DeletePlaybackKeyPair(ctx, other, pair.ID); !errors.Is(err, ErrKeyPairNotFound) {
			t.Errorf("%v deletes: got %v, want %v", other, err, ErrKeyPairNotFound)
		}
		if err := s.TagPlaybackKeyPair(ctx, other, pair.ID, func(map[string]string) error { return nil }); !errors.Is(err, ErrKeyPairNotFound) {
			t.Errorf("%v tags: got %v, want %v", other, err, ErrKeyPairNotFound)
		}
		if _, err := s.ImportPlaybackKeyPair(ctx, other, spec); err != nil {
			t.Errorf("%v: its own import of the key: %v", other, err)
		}
	}
	var invalid *InvalidError
	if _, err := s.ImportPlaybackKeyPair(ctx, owner, PlaybackKeySpec{Material: material(t, elliptic.P256())}); !errors.As(err, &invalid) ||
		invalid.Member != "publicKeyMaterial" || !strings.Contains(err.Error(), "an EC key on P-256") {
		t.Errorf("a key on P-256: got %v, want an InvalidError that names it", err)
	}
	if err := s.TagPlaybackKeyPair(ctx, owner, pair.ID, func(tags map[string]string) error {
		delete(tags, "a")
		tags["c"] = "d"
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	refused := errors.New("refused")
	if err := s.TagPlaybackKeyPair(ctx, owner, pair.ID, func(tags map[string]string) error {
		clear(tags)
		return refused
	}); !errors.Is(err, refused) {
		t.Errorf("got %v, want edit's error", err)
	}

	s = newService(t, Config{}, tables) // after a restart
	got, err := s.PlaybackKeyPair(owner, pair.ID)
	if err != nil || got.Fingerprint() != pair.Fingerprint() || !got.Created.Equal(pair.Created) || fmt.Sprint(got.Tags) != "map[c:d]" {
		t.Errorf("after a restart: got %+v, %v, want %+v with tags map[c:d]", got, err, pair)
	}
	if keys := s.PlaybackKeys(owner); len(keys) != 1 || !keys[0].Equal(pair.Key) {
		t.Errorf("after a restart: got %d keys, want the one", len(keys))
	}
	if err := s.DeletePlaybackKeyPair(ctx, owner, pair.ID); err != nil {
		t.Error(err)
	}
	if err := s.DeletePlaybackKeyPair(ctx, owner, pair.ID); !errors.Is(err, ErrKeyPairNotFound) {
		t.Errorf("deleted again: got %v, want %v", err, ErrKeyPairNotFound)
	}
	if keys := s.PlaybackKeys(owner); len(keys) != 0 {
		t.Errorf("after the deletion: got %d keys, want none", len(keys))
	}
}

// TestPlaybackKeyQuota imports many keys at once: no more than allowed come
// through, and of the same key one.
func TestPlaybackKeyQuota(t *testing.T) {
	tables := openTables(t, t.TempDir()) // takes its time to write
	defer tables.Close()
	s := newService(t, Config{}, tables)
	same := material(t, elliptic.P384())
	var importing sync.WaitGroup
	results := make(chan error, 16)
	for i := range cap(results) {
		text := same
		if i%2 == 0 {
			text = material(t, elliptic.P384())
		}
		importing.Go(func() {
			_, err := s.ImportPlaybackKeyPair(t.Context(), owner, PlaybackKeySpec{Material: text})
			results <- err
		})
	}
	importing.Wait()
	close(results)
	good := 0
	for err := range results {
		if err == nil {
			good++
		} else if !errors.Is(err, ErrTooManyKeyPairs) && !errors.Is(err, ErrKeyPairExists) {
			t.Error(err)
		}
	}
	if n := len(s.PlaybackKeyPairs(owner)); good != 3 || n != 3 {
		t.Errorf("got %d imports and %d key pairs, want 3", good, n)
	}
	if _, err := s.ImportPlaybackKeyPair(t.Context(), owner, PlaybackKeySpec{Material: material(t, elliptic.P384())}); !errors.Is(err, ErrTooManyKeyPairs) || !strings.Contains(err.Error(), "3") {
		t.Errorf("the fourth: got %v, want %v and the limit", err, ErrTooManyKeyPairs)
	}
}

func TestRestrictionPolicies(t *testing.T) {
	ctx, tables := t.Context(), new(storetest.Memory)
	s := newService(t, Config{}, tables)
	for _, c := range []struct {
		name string
		spec RestrictionPolicySpec
		want string
	}{
		{"countries", RestrictionPolicySpec{AllowedCountries: []string{"DE"}}, "allowedCountries: must be empty, it has 1"},
		{"six origins", RestrictionPolicySpec{AllowedOrigins: slices.Repeat([]string{"https://a.example"}, 6)}, "allowedOrigins: has 6 elements, limit 5"},
		{"no origin", RestrictionPolicySpec{AllowedOrigins: []string{"https://a.example/path"}}, `allowedOrigins: origin "https://a.example/path"`},
		{"two in one", RestrictionPolicySpec{AllowedOrigins: []string{"https://a.example,https://b.example"}}, "allowedOrigins: origin"},
		{"long origin", RestrictionPolicySpec{AllowedOrigins: []string{"https://" + strings.Repeat("a", 249)}}, "257 characters, limit 256"},
	} {
		var invalid *InvalidError
		if _, err := s.CreateRestrictionPolicy(ctx, owner, c.spec); !errors.As(err, &invalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an InvalidError with %q", c.name, err, c.want)
		}
	}
	spec := RestrictionPolicySpec{Name: "tower", AllowedOrigins: []string{"https://A.example/", "https://*.b.example"}, StrictOrigin: true, Tags: map[string]string{"a": "b"}}
	policy, err := s.CreateRestrictionPolicy(ctx, owner, spec)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := s.CreateRestrictionPolicy(ctx, owner, RestrictionPolicySpec{AllowedOrigins: []string{"https://" + strings.Repeat("a", 248)}}); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.CreateRestrictionPolicy(ctx, owner, RestrictionPolicySpec{}); !errors.Is(err, ErrTooManyPolicies) {
		t.Errorf("the fourth: got %v, want %v", err, ErrTooManyPolicies)
	}
	for _, other := range neighbours {
		if _, err := s.RestrictionPolicy(other, policy.ID); !errors.Is(err, ErrPolicyNotFound) {
			t.Errorf("%v: got %v, want %v", other, err, ErrPolicyNotFound)
		}
		if _, _, err := s.Create(ctx, Spec{Account: other.Account, Region: other.Region, Policy: policy.ID}); !errors.Is(err, ErrPolicyNotFound) {
			t.Errorf("%v makes a channel with it: got %v, want %v", other, err, ErrPolicyNotFound)
		}
		if n := len(s.RestrictionPolicies(other)); n != 0 {
			t.Errorf("%v: got %d policies, want none", other, n)
		}
	}

	s = newService(t, Config{}, tables)
	got, err := s.RestrictionPolicy(owner, policy.ID)
	if err != nil || fmt.Sprint(got.AllowedOrigins) != fmt.Sprint(spec.AllowedOrigins) || !got.StrictOrigin || got.Tags["a"] != "b" {
		t.Errorf("after a restart: got %+v, %v, want %+v", got, err, policy)
	}
	ch, _, err := s.Create(ctx, Spec{Account: owner.Account, Region: owner.Region, Policy: policy.ID})
	if err != nil {
		t.Fatal(err)
	}
	if r, ok := s.Rules(ch.ID); !ok || r != (Rules{Owner: owner, Origins: "https://a.example,https://*.b.example", StrictOrigin: true}) {
		t.Errorf("got rules %+v, %v", r, ok)
	}
	if err := s.DeleteRestrictionPolicy(ctx, owner, policy.ID); !errors.Is(err, ErrPolicyInUse) || !strings.Contains(err.Error(), string(ch.ID)) {
		t.Errorf("deleted while a channel names it: got %v, want %v", err, ErrPolicyInUse)
	}

	// What is given replaces, the rest stays, and what is wrong changes nothing.
	no, origins, countries := false, []string{"*"}, []string{"DE"}
	if _, err := s.UpdateRestrictionPolicy(ctx, owner, policy.ID, RestrictionPolicyChange{AllowedCountries: &countries, AllowedOrigins: &origins}); err == nil {
		t.Error("an update with a country was accepted")
	}
	updated, err := s.UpdateRestrictionPolicy(ctx, owner, policy.ID, RestrictionPolicyChange{StrictOrigin: &no})
	if err != nil || updated.Name != "tower" || len(updated.AllowedOrigins) != 2 || updated.StrictOrigin {
		t.Errorf("updated: got %+v, %v", updated, err)
	}
	if r, ok := s.Rules(ch.ID); !ok || r.Origins != "https://a.example,https://*.b.example" || r.StrictOrigin {
		t.Errorf("after the update: got rules %+v, %v", r, ok)
	}
	if err := s.TagRestrictionPolicy(ctx, owner, policy.ID, func(tags map[string]string) error { tags["c"] = "d"; return nil }); err != nil {
		t.Error(err)
	}
	if got, _ := s.RestrictionPolicy(owner, policy.ID); fmt.Sprint(got.Tags) != "map[a:b c:d]" {
		t.Errorf("got tags %v", got.Tags)
	}
	if err := s.Delete(ctx, ch.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteRestrictionPolicy(ctx, owner, policy.ID); err != nil {
		t.Error(err)
	}
	if _, err := s.UpdateRestrictionPolicy(ctx, owner, policy.ID, RestrictionPolicyChange{}); !errors.Is(err, ErrPolicyNotFound) {
		t.Errorf("updated after the deletion: got %v, want %v", err, ErrPolicyNotFound)
	}
	if err := s.DeleteRestrictionPolicy(ctx, owner, policy.ID); !errors.Is(err, ErrPolicyNotFound) {
		t.Errorf("deleted again: got %v, want %v", err, ErrPolicyNotFound)
	}
}

// TestPolicyAndChannelRace makes channels that name a policy while it is
// deleted: there is never a channel whose policy is gone.
func TestPolicyAndChannelRace(t *testing.T) {
	tables := openTables(t, t.TempDir()) // takes its time to write
	defer tables.Close()
	s := newService(t, Config{}, tables)
	for range 20 {
		policy, err := s.CreateRestrictionPolicy(t.Context(), owner, RestrictionPolicySpec{})
		if err != nil {
			t.Fatal(err)
		}
		var racing sync.WaitGroup
		made := make(chan ID, 4)
		for range cap(made) {
			racing.Go(func() {
				ch, _, err := s.Create(t.Context(), Spec{Account: owner.Account, Region: owner.Region, Policy: policy.ID})
				if err == nil {
					made <- ch.ID
				} else if !errors.Is(err, ErrPolicyNotFound) {
					t.Error(err)
				}
			})
		}
		var deleted error
		racing.Go(func() { deleted = s.DeleteRestrictionPolicy(t.Context(), owner, policy.ID) })
		racing.Wait()
		close(made)
		if deleted == nil && len(made) > 0 || deleted != nil && !errors.Is(deleted, ErrPolicyInUse) {
			t.Errorf("deleting gave %v, and there are %d channels", deleted, len(made))
		}
		for id := range made {
			if err := s.Delete(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		if deleted != nil {
			if err := s.DeleteRestrictionPolicy(t.Context(), owner, policy.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestRulesWithoutPolicy has a channel whose policy is not there, which nothing
// here makes: it is shown to nobody.
func TestRulesWithoutPolicy(t *testing.T) {
	s := newService(t, Config{}, new(storetest.Memory))
	if r, ok := s.viewing.rules(Channel{Spec: Spec{Account: owner.Account, Region: owner.Region, Policy: "AAAAAAAAAAAA"}}); ok {
		t.Errorf("got rules %+v, want none", r)
	}
	if r, ok := s.Rules("AAAAAAAAAAAA"); ok {
		t.Errorf("no channel: got rules %+v, want none", r)
	}
}

func TestRevocations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		tables := new(storetest.Memory)
		s := newService(t, Config{MaxRevocations: 2}, tables)
		ch, _, err := s.Create(ctx, Spec{Account: owner.Account, Region: owner.Region})
		if err != nil {
			t.Fatal(err)
		}
		bob, eve := ticket.ViewerOf("bob"), ticket.ViewerOf("eve")
		for _, c := range []struct {
			viewer  string
			version int64
			want    any
		}{
			{"", 0, new(*InvalidError)},
			{strings.Repeat("x", 41), 0, new(*InvalidError)},
			{"bob", -1, new(*InvalidError)},
		} {
			if err := s.RevokeViewer(ctx, ch.ID, c.viewer, c.version); !errors.As(err, c.want) {
				t.Errorf("%q, %d: got %v, want an InvalidError", c.viewer, c.version, err)
			}
		}
		if err := s.RevokeViewer(ctx, "AAAAAAAAAAAA", "bob", 0); !errors.Is(err, ErrNotFound) {
			t.Errorf("no channel: got %v, want %v", err, ErrNotFound)
		}
		for _, version := range []int64{5, 3} { // the lower one takes nothing back
			if err := s.RevokeViewer(ctx, ch.ID, "bob", version); err != nil {
				t.Fatal(err)
			}
		}
		s = newService(t, Config{MaxRevocations: 2}, tables)
		for _, c := range []struct {
			id      ID
			viewer  ticket.Viewer
			version int64
			want    bool
		}{
			{ch.ID, bob, 0, true},
			{ch.ID, bob, 5, true},
			{ch.ID, bob, 6, false},
			{ch.ID, eve, 0, false},
			{"AAAAAAAAAAAA", bob, 0, false},
		} {
			if got := s.Revoked(c.id, c.viewer, c.version); got != c.want {
				t.Errorf("%v: got %v, want %v", c, got, c.want)
			}
		}
		if err := s.RevokeViewer(ctx, ch.ID, "eve", 0); err != nil {
			t.Fatal(err)
		}
		if err := s.RevokeViewer(ctx, ch.ID, "joe", 0); !errors.Is(err, ErrTooManyRevocations) || !strings.Contains(err.Error(), "2") {
			t.Errorf("the third: got %v, want %v and the limit", err, ErrTooManyRevocations)
		}
		if err := s.RevokeViewer(ctx, ch.ID, "bob", 9); err != nil || !s.Revoked(ch.ID, bob, 9) {
			t.Errorf("one that is there raised: got %v", err)
		}

		// It lasts as long as a session can.
		var running sync.WaitGroup
		running.Go(func() { s.viewing.run(ctx) })
		time.Sleep(ticket.SessionLife + ticket.TokenLead)
		if !s.Revoked(ch.ID, bob, 9) {
			t.Error("forgotten while a session can be alive")
		}
		time.Sleep(2*ticket.ClockSkew + time.Second)
		if s.Revoked(ch.ID, bob, 9) {
			t.Error("remembered although no session can be alive")
		}
		time.Sleep(time.Minute) // the store's time to live
		synctest.Wait()
		if n := s.viewing.revocations.Len(); n != 0 {
			t.Errorf("got %d revocations in memory, want none", n)
		}
		cancel()
		running.Wait()
	})
}

func TestUseOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, tables := t.Context(), new(storetest.Memory)
		s := newService(t, Config{}, tables)
		const id, other, uuid = ID("AAAAAAAAAAAA"), ID("BBBBBBBBBBBB"), "66a4cbdb-f6f8-42f8-a6d1-bb9c0e20e0b0"
		var using sync.WaitGroup
		results := make(chan error, 8)
		for range cap(results) {
			using.Go(func() { results <- s.UseOnce(ctx, id, uuid) })
		}
		using.Wait()
		close(results)
		good := 0
		for err := range results {
			if err == nil {
				good++
			} else if !errors.Is(err, ErrUsed) {
				t.Error(err)
			}
		}
		if good != 1 {
			t.Errorf("used %d times, want once", good)
		}
		if err := s.UseOnce(ctx, other, uuid); err != nil {
			t.Errorf("for another channel: %v", err)
		}
		time.Sleep(ticket.TokenLead + ticket.ClockSkew)
		if err := newService(t, Config{}, tables).UseOnce(ctx, id, uuid); !errors.Is(err, ErrUsed) {
			t.Errorf("after a restart, when the token just ends: got %v, want %v", err, ErrUsed)
		}
	})
}

// TestViewingIsInTheStore has the real store keep everything over a restart.
func TestViewingIsInTheStore(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	const uuid = "66a4cbdb-f6f8-42f8-a6d1-bb9c0e20e0b0"
	open := func(then func(*Service)) {
		tables := openTables(t, dir)
		defer tables.Close()
		then(newService(t, Config{}, tables))
	}
	var ch Channel
	open(func(s *Service) {
		_, keyErr := s.ImportPlaybackKeyPair(ctx, owner, PlaybackKeySpec{Material: material(t, elliptic.P384())})
		policy, policyErr := s.CreateRestrictionPolicy(ctx, owner, RestrictionPolicySpec{AllowedOrigins: []string{"https://a.example"}})
		var err error
		ch, _, err = s.Create(ctx, Spec{Account: owner.Account, Region: owner.Region, Authorized: true, Policy: policy.ID})
		if err := errors.Join(keyErr, policyErr, err, s.RevokeViewer(ctx, ch.ID, "bob", 1), s.UseOnce(ctx, ch.ID, uuid)); err != nil {
			t.Fatal(err)
		}
	})
	open(func(s *Service) {
		if r, ok := s.Rules(ch.ID); !ok || r != (Rules{Owner: owner, Authorized: true, Origins: "https://a.example"}) {
			t.Errorf("got rules %+v, %v", r, ok)
		}
		if n := len(s.PlaybackKeys(owner)); n != 1 {
			t.Errorf("got %d keys, want 1", n)
		}
		if !s.Revoked(ch.ID, ticket.ViewerOf("bob"), 1) {
			t.Error("the revocation is gone")
		}
		if err := s.UseOnce(ctx, ch.ID, uuid); !errors.Is(err, ErrUsed) {
			t.Errorf("got %v, want %v", err, ErrUsed)
		}
	})
}

func TestOwnerKey(t *testing.T) {
	for _, o := range []Owner{{}, {Account: "1"}, {Region: "r"}, {"1", "us east"}, {"1", "a/b"}, {"a", "us-east-1"}, {"1", strings.Repeat("a", 65)}, {"1", "."}} {
		if key := o.key("AAAAAAAAAAAA"); key != "" {
			t.Errorf("%v: got %q, want none", o, key)
		}
	}
	if key := owner.key("a/b"); key != "" {
		t.Errorf("got %q for an id that is none", key)
	}
	if err := store.CheckKey(owner.key("AAAAAAAAAAAA")); err != nil {
		t.Error(err)
	}
}
