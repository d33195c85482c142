package channel

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"belfry.live/belfry/internal/channel/ingest"
	"belfry.live/belfry/internal/channel/packager"
	"belfry.live/belfry/internal/store"
	"belfry.live/belfry/internal/store/storetest"
	"belfry.live/belfry/internal/wire/aac"
)

// A journal is where a service records events.
type journal struct {
	mu     sync.Mutex
	events []Event
	fail   error
}

func (j *journal) record(_ context.Context, e Event) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.fail == nil {
		j.events = append(j.events, e)
	}
	return j.fail
}

// latest is what Config.Latest wants.
func (j *journal) latest(context.Context) (map[ID]string, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	found := map[ID]string{}
	for _, e := range j.events {
		found[e.Channel] = e.Name
	}
	return found, nil
}

// told returns the events of the stream, "" for all, by name and code.
func (j *journal) told(stream string) []string {
	synctest.Wait()
	j.mu.Lock()
	defer j.mu.Unlock()
	var list []string
	for _, e := range j.events {
		if stream == "" || e.StreamID == stream {
			list = append(list, strings.TrimSuffix(e.Name+" "+e.Code, " "))
		}
	}
	return list
}

// sessions returns the channel's, newest first.
func (d *desk) sessions() []Session {
	d.t.Helper()
	synctest.Wait()
	all, err := d.Sessions(d.t.Context(), d.ch.Owner(), d.ch.ID)
	if err != nil {
		d.t.Fatal(err)
	}
	return all
}

func (d *desk) wantEvents(what string, want ...string) {
	d.t.Helper()
	if got := d.journal.told(""); !slices.Equal(got, want) {
		d.t.Errorf("%s: got events %q, want %q", what, got, want)
	}
}

func TestSessionOfAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Spec{Name: "tower", Tags: map[string]string{"a": "b"}})
		if _, err := d.Session(t.Context(), d.ch.Owner(), d.ch.ID, ""); !errors.Is(err, ErrSessionNotFound) {
			t.Errorf("before any stream: got %v, want ErrSessionNotFound", err)
		}
		e := d.publish()
		d.wantEvents("connected", SessionCreated)
		e.Metadata(ingest.Metadata{Encoder: "obs-output module", VideoBitrate: 2_500_000, AudioBitrate: 128_000, FrameRate: 25})
		e.send(3 * time.Second)
		d.wantEvents("live", SessionCreated, StreamStart)
		live, err := d.Stream(t.Context(), d.ch.ID)
		if err != nil {
			t.Fatal(err)
		}
		got := d.sessions()
		if len(got) != 1 || got[0].StreamID != live.ID || !got[0].Ended.IsZero() || got[0].Channel.Name != "tower" || got[0].Channel.Tags["a"] != "b" {
			t.Fatalf("got sessions %+v, want that of stream %s with the channel as it is", got, live.ID)
		}
		if began := got[0].Started; began.Sub(live.Started).Abs() > time.Millisecond {
			t.Errorf("got start %v, want that of the stream, %v", began, live.Started)
		}
		want := Ingest{
			Encoder: "obs-output module", VideoCodec: "avc1.42c00c", VideoProfile: 66, VideoLevel: 12, Width: 320, Height: 180,
			FrameRate: 25, VideoBitrate: 2_500_000, AudioCodec: "mp4a.40.2", AudioBitrate: 128_000, SampleRate: 48000, Sounds: 2,
		}
		if in := got[0].Ingest; in != want {
			t.Errorf("got ingest %+v, want %+v", in, want)
		}

		// It stalls, is back, and ends.
		time.Sleep(1800 * time.Millisecond)
		e.at += 1800 * time.Millisecond
		e.send(100 * time.Millisecond)
		e.Close(true)
		d.wantEvents("ended", SessionCreated, StreamStart, StarvationStart, StarvationEnd, SessionEnded, StreamEnd)
		got = d.sessions()
		if len(got) != 1 || got[0].Ended.IsZero() || len(got[0].Events) != 6 || got[0].Failed {
			t.Errorf("got sessions %+v, want one that has ended after 6 events without an error", got)
		}
		if len(d.recorder.open) != 0 {
			t.Errorf("got %d open sessions, want none", len(d.recorder.open))
		}
		if marks, _ := d.recorder.running.List(t.Context(), ""); len(marks) != 0 {
			t.Errorf("got marks %v, want none", marks)
		}

		// It can be read when the channel is gone, by its owner alone.
		if err := d.Delete(t.Context(), d.ch.ID); err != nil {
			t.Fatal(err)
		}
		if s, err := d.Session(t.Context(), d.ch.Owner(), d.ch.ID, live.ID); err != nil || s.StreamID != live.ID {
			t.Errorf("of a deleted channel: got %v, %v, want the session", s, err)
		}
		if _, err := d.Sessions(t.Context(), Owner{"999999999999", d.ch.Region}, d.ch.ID); !errors.Is(err, ErrNotFound) {
			t.Errorf("of another account: got %v, want ErrNotFound", err)
		}
	})
}

func TestSessionsOfOneConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Spec{})
		e := d.publish()
		e.send(3 * time.Second)
		time.Sleep(4 * time.Second)
		e.at += 4 * time.Second
		e.send(time.Second)
		e.Close(false)
		time.Sleep(5 * time.Second)
		one := []string{SessionCreated, StreamStart, StarvationStart, StreamEnd, SessionEnded}
		d.wantEvents("after a long pause and a loss", append(one, SessionCreated, StreamStart, SessionEnded, StarvationStart, StreamEnd)...)
		got := d.sessions()
		if len(got) != 2 || got[0].Created.Before(got[1].Created) {
			t.Fatalf("got sessions %+v, want two, the newest first", got)
		}
		if told := d.journal.told(got[1].StreamID); !slices.Equal(told, one) {
			t.Errorf("events of the first: got %q, want %q", told, one)
		}
		if got[0].Ingest != got[1].Ingest {
			t.Errorf("got ingest %+v, want that of the first: %+v", got[0].Ingest, got[1].Ingest)
		}
	})
}

func TestSessionWithoutMedia(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Spec{})
		d.publish().Close(true)
		d.wantEvents("a publisher without media", SessionCreated, SessionEnded)
		if s := d.sessions(); len(s) != 1 || !s[0].Started.IsZero() || s[0].Ended.IsZero() {
			t.Errorf("got sessions %+v, want one that ended and never started", s)
		}
	})
}

func TestSessionKeepsTheNewestEvents(t *testing.T) {
	s := Session{}
	for i := range 600 {
		s.note(Event{Name: StarvationStart, Kind: HealthChange, Reason: fmt.Sprint(i)})
		if i == 3 {
			s.note(Event{Name: IngestBitrate, Kind: LimitBreach})
		}
	}
	if len(s.Events) != 500 || s.Events[499].Reason != "599" || s.Events[0].Reason != "100" || !s.Failed {
		t.Errorf("got %d events from %s to %s, failed %v, want 500 from 100 to 599, true",
			len(s.Events), s.Events[0].Reason, s.Events[len(s.Events)-1].Reason, s.Failed)
	}
}

// What a crash leaves open ends at the next start, with the events that a
// journal has not got.
func TestSessionsAfterACrash(t *testing.T) {
	for _, lost := range []string{"nothing", "the events", "the last event"} {
		t.Run(lost+" lost", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t, Spec{})
				e := d.publish()
				e.send(beatEvery + 10*time.Second)
				synctest.Wait()
				stream, _ := d.state()
				began := d.sessions()[0]

				// Another service on a copy of the tables is the server after the crash.
				tables := copyTables(t, d.tables)
				again := &journal{}
				d.journal.mu.Lock()
				again.events = slices.Clone(d.journal.events)
				d.journal.mu.Unlock()
				switch lost {
				case "the events":
					again.events = nil
				case "the last event":
					again.events = again.events[:len(again.events)-1]
				}
				time.Sleep(time.Hour)
				cfg := Config{Record: again.record, Latest: again.latest}
				s := newService(t, cfg, tables)
				ctx, stop := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- s.Run(ctx) }()
				synctest.Wait()
				if want := []string{SessionCreated, StreamStart, SessionEnded, StreamEnd}; !slices.Equal(again.told(stream), want) {
					t.Errorf("got events %q, want %q", again.told(stream), want)
				}
				got, err := s.Session(t.Context(), d.ch.Owner(), d.ch.ID, stream)
				if err != nil || got.Ended.IsZero() || got.Ended.Sub(began.Created) > 3*time.Minute {
					t.Errorf("got session %+v, %v, want one that ended about when it was last seen", got, err)
				}
				if last := got.Events[len(got.Events)-1]; last.Name != StreamEnd || !strings.Contains(last.Reason, "restarted") {
					t.Errorf("got last event %+v, want the stream's end by a restart", last)
				}
				stop()
				<-done
			})
		})
	}
}

// copyTables returns what the service's tables hold now.
func copyTables(t *testing.T, from store.Tables) store.Tables {
	t.Helper()
	to := new(storetest.Memory)
	for _, name := range []string{"channels", "stream-sessions", "running-sessions"} {
		old, err := from.Table(t.Context(), name, store.TableConfig{})
		if err != nil {
			t.Fatal(err)
		}
		rows, err := old.List(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		table, err := to.Table(t.Context(), name, store.TableConfig{})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			if _, err := table.Put(t.Context(), r.Key, r.Value); err != nil {
				t.Fatal(err)
			}
		}
	}
	return to
}

// Events that could not be recorded are, as soon as that is possible.
func TestEventsWaitForTheJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Spec{})
		d.journal.mu.Lock()
		d.journal.fail = errors.New("full disk")
		d.journal.mu.Unlock()
		e := d.publish()
		e.send(2 * time.Second)
		d.journal.mu.Lock()
		d.journal.fail = nil
		d.journal.mu.Unlock()
		e.Close(true)
		d.wantEvents("after the journal is back", SessionCreated, StreamStart, SessionEnded, StreamEnd)

		// Also what happened last.
		e = d.publish()
		e.send(2 * time.Second)
		d.journal.mu.Lock()
		d.journal.fail = errors.New("full disk")
		d.journal.mu.Unlock()
		e.Close(true)
		synctest.Wait()
		d.journal.mu.Lock()
		d.journal.fail = nil
		d.journal.mu.Unlock()
		time.Sleep(beatEvery)
		one := []string{SessionCreated, StreamStart, SessionEnded, StreamEnd}
		d.wantEvents("a beat later", append(one, one...)...)
		if n := d.Stats().EventsDropped; n != 0 {
			t.Errorf("got %d events dropped, want none", n)
		}
	})
}

func TestStoppingTheServerEndsSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Spec{})
		e := d.publish()
		e.send(2 * time.Second)
		d.stop()
		d.wantEvents("stopped", SessionCreated, StreamStart, SessionEnded, StreamEnd)
		if !e.stopped() {
			t.Error("the publisher was not told")
		}
		if _, err := d.Publish(t.Context(), d.key, ingest.Publisher{Encrypted: true}); !errors.Is(err, errClosed) {
			t.Errorf("publish after the end: got %v, want errClosed", err)
		}
	})
}

func TestLongStreamIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDeskWith(t, Config{MaxStream: 10 * time.Second}, Spec{})
		e := d.publish()
		if err := e.try(12 * time.Second); !errors.Is(err, errCut) {
			t.Errorf("after 12 s of 10: got %v, want errCut", err)
		}
		d.wantEvents("cut", SessionCreated, StreamStart, SessionEnded, StreamEnd)
		if s := d.sessions(); !strings.Contains(s[0].Events[2].Reason, "10s, the limit") {
			t.Errorf("got reason %q, want the limit", s[0].Events[2].Reason)
		}
	})
}

func TestConcurrentBroadcasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDeskWith(t, Config{MaxStreams: 1}, Spec{})
		_, other, err := d.Create(t.Context(), d.ch.Spec)
		if err != nil {
			t.Fatal(err)
		}
		e := d.publish()
		d.wantEvents("connected", SessionCreated)
		for range 3 {
			if _, err := d.Publish(t.Context(), other.Value.Reveal(), ingest.Publisher{Encrypted: true}); !errors.Is(err, ingest.ErrTooMany) {
				t.Errorf("second stream of 1: got %v, want ErrTooMany", err)
			}
		}
		d.wantEvents("refused", SessionCreated, ConcurrentBroadcast)
		e.Close(true)
		p, err := d.Publish(t.Context(), other.Value.Reveal(), ingest.Publisher{Encrypted: true})
		if err != nil {
			t.Fatalf("after the first has gone: got %v", err)
		}
		p.Close(true)
		time.Sleep(time.Minute + 10*time.Second)
		d.mu.Lock()
		defer d.mu.Unlock()
		if len(d.lives) != 0 {
			t.Errorf("got %d channels in memory, want none", len(d.lives))
		}
	})
}

func TestConcurrentViewers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDeskWith(t, Config{MaxViewers: 2}, Spec{})
		e := d.publish()
		for n := range 4 {
			b, ok := d.Broadcast(d.ch.ID)
			for i := range 5 {
				if ok {
					b.Saw(fmt.Sprint(n, i), time.Now())
				}
			}
			e.send(beatEvery / 12)
		}
		for range 12 {
			if b, ok := d.Broadcast(d.ch.ID); ok {
				b.Saw("a", time.Now())
				b.Saw("b", time.Now())
				b.Saw("c", time.Now())
			}
			e.send(beatEvery / 6)
		}
		d.wantEvents("two minutes with 3 viewers of 2", SessionCreated, StreamStart, ConcurrentViewers)
		e.Close(true)
	})
}

func TestIngestLimits(t *testing.T) {
	big := func(size int) []byte { return make([]byte, size) }
	for _, c := range []struct {
		name string
		kind string
		size int // bytes of 25 pictures a second
		want []string
	}{
		{"basic within", "BASIC", 7_000, nil},
		{"basic beyond", "BASIC", 8_500, []string{IngestBitrate}},
		{"standard within", "STANDARD", 40_000, nil},
		{"standard beyond", "STANDARD", 45_000, []string{IngestBitrate}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t, Spec{Type: c.kind})
				e := d.publish()
				var err error
				for i := 0; i < 11*25 && err == nil; i++ {
					at := time.Duration(i) * 40 * time.Millisecond
					err = errors.Join(
						e.WriteVideo(packager.Sample{DTS: at, PTS: at, KeyFrame: i%50 == 0, Data: big(c.size)}),
						e.WriteAudio(packager.Sample{DTS: at, PTS: at, Data: big(1)}))
					time.Sleep(40 * time.Millisecond)
				}
				if cut := err != nil; cut != (c.want != nil) || cut && !strings.Contains(err.Error(), "Ingest Bitrate: ") {
					t.Errorf("got %v, want it cut: %v", err, c.want != nil)
				}
				if got := d.journal.told(""); c.want != nil && !slices.Equal(got, []string{SessionCreated, StreamStart, IngestBitrate, SessionEnded, StreamEnd}) {
					t.Errorf("got events %q, want the breach and the end", got)
				}
				if s := d.sessions()[0]; s.Failed != (c.want != nil) {
					t.Errorf("got failed %v, want %v", s.Failed, c.want != nil)
				}
				e.Close(true)
			})
		})
	}
	for _, c := range []struct {
		width, height int
		ok            bool
	}{{1920, 1080, true}, {1080, 1920, true}, {1920, 1088, true}, {1922, 1080, false}, {2560, 1440, false}, {1600, 1600, false}} {
		if _, ok := beyondSize(c.width, c.height); ok != c.ok {
			t.Errorf("%dx%d: got %v, want %v", c.width, c.height, ok, c.ok)
		}
	}
}

// What piled up in a pause comes at once and is no more than usual.
func TestMeterForgivesACatchUp(t *testing.T) {
	var m meter
	start := time.Now()
	for i := range 251 {
		at := time.Duration(i) * 40 * time.Millisecond
		arrival := start.Add(max(at, 9*time.Second))
		if i == 0 {
			arrival = start
		}
		if rate, full := m.add(arrival, at, 40_000); full && (rate < 7_900_000 || rate > 8_100_000) {
			t.Errorf("got %d bit/s, want 8,000,000", rate)
		}
	}
	m = meter{}
	m.add(start, 0, 0)
	if rate, full := m.add(start.Add(10*time.Second), 1000*time.Hour, 10_000_000); !full || rate < 4_000_000 {
		t.Errorf("timestamps that run away: got %d bit/s, %v, want no less than half", rate, full)
	}
}

// A challenger publishes with a priority.
func (d *desk) challenge(priority string) (*encoder, error) {
	d.t.Helper()
	p, err := d.Publish(d.t.Context(), d.key, ingest.Publisher{
		Remote: "192.0.2.2:1", Encrypted: true, Query: url.Values{"priority": {priority}, "keyframeInterval": {"2"}, "other": {"x"}},
	})
	if err != nil {
		return nil, err
	}
	return &encoder{t: d.t, Publication: p}, nil
}

func TestPriorityTakeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Spec{})
		first := d.publish()
		first.send(2 * time.Second)
		stream, _ := d.state()
		b, _ := d.Broadcast(d.ch.ID)
		second, err := d.challenge("7")
		if err != nil {
			t.Fatal(err)
		}
		second.configure()
		first.send(time.Second) // it goes on until the other's media is there
		second.send(2 * time.Second)
		if !first.stopped() || !errors.Is(first.try(time.Second), errCut) {
			t.Error("the first publisher was not cut off")
		}
		if id, health := d.state(); id != stream || health != Healthy {
			t.Errorf("got stream %q, %q, want the same stream %q to go on", id, health, stream)
		}
		if again, ok := d.Broadcast(d.ch.ID); !ok || again != b {
			t.Error("the takeover made another broadcast")
		}
		d.wantEvents("taken over", SessionCreated, StreamStart, StreamTakeover)

		// Who has no higher priority may not.
		for _, c := range []string{"7", "3", "0", "-1", "x", "2147483648"} {
			if _, err := d.challenge(c); !errors.Is(err, ingest.ErrBusy) {
				t.Errorf("priority %s over 7: got %v, want ErrBusy", c, err)
			}
		}
		if _, err := d.Publish(t.Context(), d.key, ingest.Publisher{Encrypted: true}); !errors.Is(err, ingest.ErrBusy) {
			t.Errorf("no priority over 7: got %v, want ErrBusy", err)
		}
		d.wantEvents("refused", SessionCreated, StreamStart, StreamTakeover, TakeoverFailure+" "+CodeInvalidPriority)
		second.Close(true)
		if s := d.sessions(); len(s) != 1 || !s[0].Failed || s[0].Ended.IsZero() {
			t.Errorf("got sessions %+v, want one with a failure that has ended", s)
		}
	})
}

func TestTakeoverNeedsTheSameMedia(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Spec{})
		first := d.publish()
		first.send(2 * time.Second)
		mono, err := d.challenge("2")
		if err != nil {
			t.Fatal(err)
		}
		if err := mono.SetAudio(aac.Config{ObjectType: aac.TypeLC, SampleRate: 44100, Channels: 1}); !errors.Is(err, errMismatch) {
			t.Errorf("other sound: got %v, want errMismatch", err)
		}
		if !mono.stopped() {
			t.Error("who may not take over was not told")
		}
		first.send(oftenAfter)
		idle, err := d.challenge("3")
		if err != nil {
			t.Fatal(err)
		}
		first.send(challengeTime + time.Second)
		if !idle.stopped() || first.stopped() {
			t.Errorf("after %v: got cut %v and %v, want the silent challenger cut alone", challengeTime, idle.stopped(), first.stopped())
		}
		failed := TakeoverFailure + " " + CodeMediaMismatch
		d.wantEvents("mismatches", SessionCreated, StreamStart, failed, failed)
		mono.Close(false)
		idle.Close(false)
		first.Close(true)
	})
}

func TestChallengerOutlivesThePublisher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Spec{})
		first := d.publish()
		first.send(2 * time.Second)
		second, err := d.challenge("1")
		if err != nil {
			t.Fatal(err)
		}
		third, err := d.challenge("2")
		if err != nil || !second.stopped() {
			t.Errorf("a second challenger: got %v, the first one cut: %v, want it in its place", err, second.stopped())
		}
		first.Close(true)
		third.configure()
		third.send(2 * time.Second)
		if id, _ := d.state(); id == "" {
			t.Error("the challenger did not go on alone")
		}
		if n := len(d.sessions()); n != 2 {
			t.Errorf("got %d sessions, want 2", n)
		}
		third.Close(true)
		if d.seats.taken[d.ch.Owner()] != 0 {
			t.Errorf("got %d seats taken, want none", d.seats.taken[d.ch.Owner()])
		}
	})
}

func TestTakeoverLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Spec{})
		e := d.publish()
		e.send(2 * time.Second)
		for n := 1; n <= maxTakeovers; n++ {
			next, err := d.challenge(fmt.Sprint(n))
			if err != nil {
				t.Fatal(err)
			}
			next.configure()
			next.send(4 * time.Second) // each begins its timestamps anew
			e = next
		}
		if _, err := d.challenge("1000"); !errors.Is(err, ingest.ErrBusy) {
			t.Errorf("takeover %d: got %v, want ErrBusy", maxTakeovers+1, err)
		}
		if got := d.journal.told(""); got[len(got)-1] != TakeoverFailure+" "+CodeTakeoverLimit {
			t.Errorf("got last event %q, want the limit's", got[len(got)-1])
		}
		e.Close(true)
	})
}

func TestExpiredKey(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for text, want := range map[string]bool{
		"2026-03-04T05:06:08Z": false, "2026-03-04T05:06:07Z": true, "2026-03-04T06:06:08+01:00": false, "2025-01-01T00:00:00Z": true,
	} {
		k := StreamKey{Tags: map[string]string{ExpiryTag: text}}
		if err := checkKeyTags(k.Tags); err != nil || k.Expired(now) != want {
			t.Errorf("%s: got expired %v, %v, want %v", text, k.Expired(now), err, want)
		}
	}
	if (StreamKey{}).Expired(now) {
		t.Error("a key without an end has expired")
	}
	if err := checkKeyTags(map[string]string{ExpiryTag: "tomorrow"}); err == nil || !strings.Contains(err.Error(), `"tomorrow"`) {
		t.Errorf("got %v, want the value named", err)
	}
}
