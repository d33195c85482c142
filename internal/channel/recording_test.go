package channel

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"belfry.live/belfry/internal/store/storetest"
)

var recordingSpec = RecordingSpec{
	Name: "r", Bucket: "bucket", ReconnectWindow: 30,
	Thumbnails: Thumbnails{Mode: "INTERVAL", Interval: 60, Storage: []string{"SEQUENTIAL"}},
	Renditions: Renditions{Selection: "ALL"},
	Tags:       map[string]string{"a": "b"},
}

var alice = Owner{"123456789012", "us-east-1"}

// startRecording runs a service that can record, in a synctest bubble.
func startRecording(t *testing.T, tables *storetest.Memory, check func(context.Context, string) error) *Service {
	t.Helper()
	s := newService(t, Config{Recording: true, CheckBucket: check, MaxRecordings: 3}, tables)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestRecordingStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := make(chan struct{})
		s := startRecording(t, new(storetest.Memory), func(_ context.Context, bucket string) error {
			<-asked
			if bucket == "elsewhere" {
				return errors.New("in another region")
			}
			return nil
		})
		good, err := s.CreateRecording(t.Context(), alice, recordingSpec)
		if err != nil || good.State != RecordingCreating {
			t.Fatalf("got %+v, %v, want one that is being made", good, err)
		}
		if _, _, err := s.Create(t.Context(), Spec{Account: alice.Account, Region: alice.Region, Recording: good.ID}); !errors.Is(err, ErrInvalid) {
			t.Errorf("a channel that names one being made: got %v, want ErrInvalid", err)
		}
		if err := s.DeleteRecording(t.Context(), alice, good.ID); !errors.Is(err, ErrRecordingInUse) {
			t.Errorf("delete one that is being made: got %v, want ErrRecordingInUse", err)
		}
		spec := recordingSpec
		spec.Bucket = "elsewhere"
		bad, err := s.CreateRecording(t.Context(), alice, spec)
		if err != nil {
			t.Fatal(err)
		}
		close(asked)
		synctest.Wait()
		for id, want := range map[RecordingID]RecordingState{good.ID: RecordingActive, bad.ID: RecordingFailed} {
			if c, err := s.Recording(alice, id); err != nil || c.State != want {
				t.Errorf("got %s, %v, want %s", c.State, err, want)
			}
		}
		if _, err := s.CreateRecording(t.Context(), alice, recordingSpec); err != nil {
			t.Fatal(err)
		}
		if _, err := s.CreateRecording(t.Context(), alice, recordingSpec); !errors.Is(err, ErrTooManyRecordings) {
			t.Errorf("fourth of 3: got %v, want ErrTooManyRecordings", err)
		}
		if n := len(s.Recordings(alice)); n != 3 {
			t.Errorf("got %d configurations, want 3", n)
		}
		if n := len(s.Recordings(stranger)); n != 0 {
			t.Errorf("a stranger sees %d, want none", n)
		}
	})
}

// One whose bucket was not asked for when the server stopped is settled at the
// next start.
func TestRecordingStateAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tables := new(storetest.Memory)
		s := newService(t, Config{Recording: true}, tables)
		c, err := s.CreateRecording(t.Context(), alice, recordingSpec)
		if err != nil {
			t.Fatal(err)
		}
		s = startRecording(t, tables, func(context.Context, string) error { return nil })
		synctest.Wait()
		if c, err := s.Recording(alice, c.ID); err != nil || c.State != RecordingActive {
			t.Errorf("got %s, %v, want ACTIVE", c.State, err)
		}
	})
}

func TestRecordingInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startRecording(t, new(storetest.Memory), func(context.Context, string) error { return nil })
		c, err := s.CreateRecording(t.Context(), alice, recordingSpec)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		ch, _, err := s.Create(t.Context(), Spec{Account: alice.Account, Region: alice.Region, Recording: c.ID})
		if err != nil || ch.Recording != c.ID {
			t.Fatalf("got %+v, %v, want a channel that names it", ch, err)
		}
		if err := s.DeleteRecording(t.Context(), alice, c.ID); !errors.Is(err, ErrRecordingInUse) {
			t.Errorf("while a channel names it: got %v, want ErrRecordingInUse", err)
		}
		if _, err := s.Update(t.Context(), alice, ch.ID, func(spec *Spec) error { spec.Recording = ""; return nil }); err != nil {
			t.Fatal(err)
		}
		for name, err := range map[string]error{
			"stranger's delete": s.DeleteRecording(t.Context(), stranger, c.ID),
			"stranger's get":    second(s.Recording(stranger, c.ID)),
			"no id":             second(s.Recording(alice, "")),
		} {
			if !errors.Is(err, ErrRecordingNotFound) {
				t.Errorf("%s: got %v, want ErrRecordingNotFound", name, err)
			}
		}
		if err := s.TagRecording(t.Context(), alice, c.ID, func(tags map[string]string) error { tags["c"] = "d"; return nil }); err != nil {
			t.Fatal(err)
		}
		if got, _ := s.Recording(alice, c.ID); len(got.Tags) != 2 || len(c.Tags) != 1 {
			t.Errorf("got tags %v, want two, and %v as it was", got.Tags, c.Tags)
		}
		if err := s.DeleteRecording(t.Context(), alice, c.ID); err != nil {
			t.Errorf("when no channel names it: got %v", err)
		}
		if err := s.DeleteRecording(t.Context(), alice, c.ID); !errors.Is(err, ErrRecordingNotFound) {
			t.Errorf("again: got %v, want ErrRecordingNotFound", err)
		}
	})
}

func TestRecordingRefusals(t *testing.T) {
	s := newService(t, Config{}, new(storetest.Memory))
	if _, err := s.CreateRecording(t.Context(), alice, recordingSpec); !errors.Is(err, ErrRecordingUnavailable) {
		t.Errorf("on a server that cannot record: got %v, want ErrRecordingUnavailable", err)
	}
	for says, change := range map[string]func(*RecordingSpec){
		"recordingMode DISABLED goes with no resolution":          func(s *RecordingSpec) { s.Thumbnails = Thumbnails{Mode: "DISABLED", Resolution: "HD"} },
		"storage: must have 1 to 2 items":                         func(s *RecordingSpec) { s.Thumbnails.Storage = nil },
		"must have 1 item or more with renditionSelection CUSTOM": func(s *RecordingSpec) { s.Renditions.Selection = "CUSTOM" },
		"must be empty with renditionSelection NONE":              func(s *RecordingSpec) { s.Renditions = Renditions{"NONE", []string{"HD"}} },
	} {
		spec := recordingSpec
		change(&spec)
		if _, err := s.CreateRecording(t.Context(), alice, spec); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want it to say %q", err, says)
		}
	}
}
