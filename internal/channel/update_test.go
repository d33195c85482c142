package channel

import (
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"belfry.live/belfry/internal/channel/ingest"
)

var stranger = Owner{"999999999999", "us-east-1"}

func TestUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Spec{Account: "123456789012", Name: "a", Type: "STANDARD", LatencyMode: "LOW", Tags: map[string]string{"k": "v"}})
		ctx, o := t.Context(), d.ch.Owner()
		e := d.publish()
		e.send(time.Second)

		// While it is live, only what does not concern its media.
		for name, change := range map[string]func(*Spec){
			"latency":   func(s *Spec) { s.LatencyMode = "NORMAL" },
			"type":      func(s *Spec) { s.Type = "BASIC" },
			"container": func(s *Spec) { s.ContainerFormat = "FRAGMENTED_MP4" },
			"preset":    func(s *Spec) { s.Preset = "X" },
			"insecure":  func(s *Spec) { s.InsecureIngest = true },
		} {
			_, err := d.Update(ctx, o, d.ch.ID, func(s *Spec) error {
				s.Name = "not written"
				change(s)
				return nil
			})
			if !errors.Is(err, ErrLive) {
				t.Errorf("%s while live: got %v, want ErrLive", name, err)
			}
		}
		ch, err := d.Update(ctx, o, d.ch.ID, func(s *Spec) error {
			s.Name, s.Authorized, s.LatencyMode = "b", true, "LOW"
			s.Account, s.Region, s.Tags = "000000000000", "elsewhere", nil // not its to change
			return nil
		})
		if err != nil || ch.Name != "b" || !ch.Authorized || ch.Owner() != o || ch.Tags["k"] != "v" {
			t.Errorf("name and authorized while live: got %+v, %v, want both changed and nothing else", ch, err)
		}
		if got, err := d.Find(o, d.ch.ID); err != nil || got.Name != "b" {
			t.Errorf("Find: got %+v, %v, want the new name", got, err)
		}
		e.Close(true)
		synctest.Wait()
		d.journal.mu.Lock()
		if last := d.journal.events[len(d.journal.events)-1]; last.Title != "b" {
			t.Errorf("event after the change: got channel name %q, want b", last.Title)
		}
		d.journal.mu.Unlock()

		ch, err = d.Update(ctx, o, d.ch.ID, func(s *Spec) error { s.Type = "BASIC"; return nil })
		if err != nil || ch.Type != "BASIC" {
			t.Errorf("type when it is off: got %v, %v, want BASIC", ch.Type, err)
		}
		wrong := errors.New("wrong")
		if _, err := d.Update(ctx, o, d.ch.ID, func(*Spec) error { return wrong }); !errors.Is(err, wrong) {
			t.Errorf("got %v, want the change's error", err)
		}
		for name, err := range map[string]error{
			"stranger": second(d.Update(ctx, stranger, d.ch.ID, func(*Spec) error { return nil })),
			"unknown":  second(d.Update(ctx, o, "AAAAAAAAAAAA", func(*Spec) error { return nil })),
			"tags":     d.TagChannel(ctx, stranger, d.ch.ID, func(map[string]string) error { return nil }),
		} {
			if !errors.Is(err, ErrNotFound) {
				t.Errorf("%s: got %v, want ErrNotFound", name, err)
			}
		}
		if _, err := d.Update(ctx, o, d.ch.ID, func(s *Spec) error { s.Policy = "AAAAAAAAAAAA"; return nil }); !errors.Is(err, ErrPolicyNotFound) {
			t.Errorf("unknown policy: got %v, want ErrPolicyNotFound", err)
		}
		if _, err := d.Update(ctx, o, d.ch.ID, func(s *Spec) error { s.Recording = "AAAAAAAAAAAA"; return nil }); !errors.Is(err, ErrRecordingNotFound) {
			t.Errorf("unknown recording configuration: got %v, want ErrRecordingNotFound", err)
		}
	})
}

func second[T any](_ T, err error) error { return err }

func TestTagsOfAChannel(t *testing.T) {
	tables := openTables(t, t.TempDir())
	defer tables.Close()
	s := newService(t, Config{}, tables)
	ch, _, err := s.Create(t.Context(), Spec{Account: "123456789012", Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			err := s.TagChannel(t.Context(), ch.Owner(), ch.ID, func(tags map[string]string) error {
				tags[fmt.Sprint(i)] = "x"
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got, _ := s.Find(ch.Owner(), ch.ID); len(got.Tags) != 20 {
		t.Errorf("20 tags at once: got %v, want all", got.Tags)
	}
	if len(ch.Tags) != 0 {
		t.Error("the channel that was handed out has changed")
	}
}

func TestStreamKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDeskWith(t, Config{StreamKeys: 2}, Spec{Account: "123456789012"})
		ctx, o := t.Context(), d.ch.Owner()
		end := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
		k, err := d.CreateKey(ctx, o, d.ch.ID, map[string]string{ExpiryTag: end, "for": "backup"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.CreateKey(ctx, o, d.ch.ID, nil); !errors.Is(err, ErrTooManyKeys) {
			t.Errorf("third key of 2: got %v, want ErrTooManyKeys", err)
		}
		if _, err := d.CreateKey(ctx, stranger, d.ch.ID, nil); !errors.Is(err, ErrNotFound) {
			t.Errorf("stranger: got %v, want ErrNotFound", err)
		}
		if _, err := d.FindKey(stranger, k.ID); !errors.Is(err, ErrKeyNotFound) {
			t.Errorf("stranger: got %v, want ErrKeyNotFound", err)
		}
		got, err := d.FindKey(o, k.ID)
		if err != nil || got.Value != k.Value || !maps.Equal(got.Tags, map[string]string{ExpiryTag: end, "for": "backup"}) {
			t.Errorf("FindKey: got %v, %v, want the key as it was made", got, err)
		}
		publish := func(k StreamKey) (ingest.Publication, error) {
			return d.Publish(ctx, k.Value.Reveal(), ingest.Publisher{Encrypted: true})
		}
		p, err := publish(k)
		if err != nil {
			t.Fatalf("with the second key: got %v", err)
		}
		p.Close(true)
		time.Sleep(time.Hour)
		if _, err := publish(k); !errors.Is(err, ingest.ErrExpired) {
			t.Errorf("after its end: got %v, want ErrExpired", err)
		}
		err = d.TagKey(ctx, o, k.ID, func(tags map[string]string) error { tags[ExpiryTag] = "never"; return nil })
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("an end that is none: got %v, want ErrInvalid", err)
		}
		if err := d.TagKey(ctx, o, k.ID, func(tags map[string]string) error { delete(tags, ExpiryTag); return nil }); err != nil {
			t.Fatal(err)
		}
		if p, err = publish(k); err != nil {
			t.Fatalf("without an end: got %v", err)
		}

		// Without its key a publisher goes on; nobody begins.
		if err := d.DeleteKey(ctx, o, k.ID); err != nil {
			t.Fatal(err)
		}
		e := &encoder{t: t, Publication: p}
		e.configure()
		e.send(3 * time.Second)
		if id, _ := d.state(); id == "" {
			t.Error("the stream ended with its key")
		}
		p.Close(true)
		if _, err := publish(k); !errors.Is(err, ingest.ErrUnknownKey) {
			t.Errorf("a deleted key: got %v, want ErrUnknownKey", err)
		}
		for name, err := range map[string]error{
			"delete again": d.DeleteKey(ctx, o, k.ID),
			"tag":          d.TagKey(ctx, o, k.ID, func(map[string]string) error { return nil }),
			"no id":        d.DeleteKey(ctx, o, "*"),
		} {
			if !errors.Is(err, ErrKeyNotFound) {
				t.Errorf("%s: got %v, want ErrKeyNotFound", name, err)
			}
		}
		if _, err := d.CreateKey(ctx, o, d.ch.ID, nil); err != nil {
			t.Errorf("after a delete there is room: got %v", err)
		}
	})
}

// Keys made at once never are more than allowed.
func TestStreamKeysAtOnce(t *testing.T) {
	tables := openTables(t, t.TempDir())
	defer tables.Close()
	s := newService(t, Config{StreamKeys: 5}, tables)
	ch, _, err := s.Create(t.Context(), Spec{Account: "123456789012", Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			if _, err := s.CreateKey(t.Context(), ch.Owner(), ch.ID, nil); err != nil && !errors.Is(err, ErrTooManyKeys) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if keys, err := s.StreamKeys(t.Context(), ch.ID); err != nil || len(keys) != 5 {
		t.Errorf("got %d keys, %v, want 5", len(keys), err)
	}
}

func TestPutMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Spec{Account: "123456789012"})
		o := d.ch.Owner()
		if err := d.PutMetadata(stranger, d.ch.ID, "x"); !errors.Is(err, ErrNotFound) {
			t.Errorf("stranger: got %v, want ErrNotFound", err)
		}
		if err := d.PutMetadata(o, d.ch.ID, "x"); !errors.Is(err, ErrNotBroadcasting) {
			t.Errorf("offline: got %v, want ErrNotBroadcasting", err)
		}
		e := d.publish()
		e.send(time.Second)
		long := make([]byte, 0, 1026)
		for len(long) < 1025 {
			long = append(long, "ä"...)
		}
		if err := d.PutMetadata(o, d.ch.ID, string(long)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%d bytes: got %v, want ErrInvalid", len(long), err)
		}
		for i := range 5 {
			if err := d.PutMetadata(o, d.ch.ID, string(long[:1024])); !errors.Is(err, ErrMetadataUnavailable) {
				t.Errorf("number %d in a second: got %v, want ErrMetadataUnavailable", i, err)
			}
		}
		if err := d.PutMetadata(o, d.ch.ID, "x"); !errors.Is(err, ErrMetadataTooFast) {
			t.Errorf("number 5 in a second: got %v, want ErrMetadataTooFast", err)
		}
		e.send(time.Second)
		if err := d.PutMetadata(o, d.ch.ID, "x"); !errors.Is(err, ErrMetadataUnavailable) {
			t.Errorf("a second later: got %v, want ErrMetadataUnavailable", err)
		}
		e.Close(true)
	})
}
