// Package durability kills the whole binary while many clients of the AWS SDK
// write to it, starts it again on the same folder, and holds what is there then
// against what was acknowledged: nothing may be missing, and what was under way
// has happened or not, but never by half.
package durability

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmediapipelines"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
	ivstypes "github.com/aws/aws-sdk-go-v2/service/ivs/types"

	"belfry.live/belfry/test/running"
)

const (
	rounds  = 6
	writers = 32
	streams = 2 // of the writers have a live connector, too
	// The server is killed at a random moment of its writers' work between these.
	killFrom, killTo = 300 * time.Millisecond, 1500 * time.Millisecond

	callLimit   = 20 * time.Second
	resumeLimit = 20 * time.Second
)

// settings let the writers be as fast as the disk.
const settings = `
[api]
throttling = "off"
[meeting]
max_meetings = 1000
`

func TestKilledWhileWriting(t *testing.T) {
	dir := t.TempDir()
	program, err := running.Build(dir)
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "belfry.toml")
	if err := os.WriteFile(config, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	s := running.New(program, filepath.Join(dir, "data"), "--config", config)
	all := make([]*writer, writers)
	for i := range all {
		all[i] = newWriter(i, i < streams)
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var acknowledged, unanswered int
	var restarts time.Duration
	for round := range rounds {
		began := time.Now()
		if err := s.Run(); err != nil {
			t.Fatal(err)
		}
		if round > 0 {
			restarts += time.Since(began)
		}
		connect(t, s, all)
		verify(t, s, all)
		if t.Failed() {
			s.Kill()
			t.Fatalf("round %d: stopped; the server's log:\n%s", round, s.Log)
		}
		var working sync.WaitGroup
		for _, w := range all {
			working.Go(func() { w.work(t, fmt.Sprint("r", round)) })
		}
		time.Sleep(killFrom + time.Duration(random.Int64N(int64(killTo-killFrom)))) // the moment of the kill is the test's input
		s.Kill()
		working.Wait()
		for _, w := range all {
			acknowledged += w.acknowledged
			w.acknowledged = 0
			if w.doubt != nil {
				unanswered++
			}
		}
	}
	if err := s.Run(); err != nil {
		t.Fatal(err)
	}
	connect(t, s, all)
	verify(t, s, all)
	verifyEvents(t, program, s.Data, all)
	if _, err := s.Stop(); err != nil {
		t.Error(err)
	}
	t.Logf("measured: %d writes acknowledged, %d cut off, by %d kills; started again in %v on average",
		acknowledged, unanswered, rounds, (restarts / (rounds - 1)).Round(time.Millisecond))
	if acknowledged < 100*rounds || unanswered < rounds {
		t.Errorf("got %d writes acknowledged and %d cut off by %d kills: too few to show anything", acknowledged, unanswered, rounds)
	}
	if t.Failed() {
		t.Logf("the server's log:\n%s", s.Log)
	}
}

// connect gives the writers clients of the server as it runs now. While they
// write, a client tries once: what it does not know is the test's to find out.
func connect(t *testing.T, s *running.Server, all []*writer) {
	t.Helper()
	cfg, err := s.AWS()
	if err != nil {
		t.Fatal(err)
	}
	cfg.HTTPClient = &http.Client{Timeout: callLimit, Transport: &http.Transport{MaxIdleConnsPerHost: writers}}
	patient := newClients(cfg)
	cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	once := newClients(cfg)
	for _, w := range all {
		w.clients, w.once = patient, once
	}
}

func newClients(cfg aws.Config) clients {
	return clients{
		meetings:  chimesdkmeetings.NewFromConfig(cfg),
		pipelines: chimesdkmediapipelines.NewFromConfig(cfg),
		channels:  ivs.NewFromConfig(cfg),
	}
}

// verify settles what the writers do not know, and then finds on the server
// what they have, all of it and nothing else.
func verify(t *testing.T, s *running.Server, all []*writer) {
	t.Helper()
	var checking sync.WaitGroup
	for _, w := range all {
		checking.Go(func() {
			if w.doubt != nil {
				if err := w.doubt.settle(); err != nil {
					t.Errorf("writer %d, %s, whose answer was cut off: %v", w.number, w.doubt.name, err)
				}
				w.doubt = nil
			}
			if err := w.check(); err != nil {
				t.Errorf("writer %d: %v", w.number, err)
			}
		})
	}
	checking.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := all[0].clients

	want := map[string]string{}
	pipelines := map[string]string{}
	for _, w := range all {
		for _, ch := range w.channels {
			want[ch.arn] = ch.name
		}
		if w.pipeline != nil {
			pipelines[w.pipeline.id] = w.pipeline.channel.arn
		}
	}
	got := map[string]string{}
	for pages := ivs.NewListChannelsPaginator(c.channels, &ivs.ListChannelsInput{MaxResults: aws.Int32(50)}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, ch := range page.Channels {
			got[aws.ToString(ch.Arn)] = aws.ToString(ch.Name)
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %d channels, want the %d that were acknowledged: %s", len(got), len(want), difference(got, want))
	}

	listed := func() map[string]string {
		found := map[string]string{}
		for pages := chimesdkmediapipelines.NewListMediaPipelinesPaginator(c.pipelines, &chimesdkmediapipelines.ListMediaPipelinesInput{}); pages.HasMorePages(); {
			page, err := pages.NextPage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range page.MediaPipelines {
				found[aws.ToString(p.MediaPipelineId)] = pipelines[aws.ToString(p.MediaPipelineId)]
			}
		}
		return found
	}
	// A deleted one may still be about to stop.
	soon(t, "the pipelines that run are those that should", func() string {
		if found := listed(); !maps.Equal(found, pipelines) {
			return difference(found, pipelines)
		}
		if n := len(s.Workers()); n != len(pipelines) {
			return fmt.Sprintf("%d pipelines have %d workers", len(pipelines), n)
		}
		return ""
	})
	for id, arn := range pipelines {
		soon(t, "pipeline "+id+" streams again", func() string {
			out, err := c.channels.GetStream(ctx, &ivs.GetStreamInput{ChannelArn: aws.String(arn)})
			if err != nil {
				return err.Error()
			}
			if out.Stream.State != ivstypes.StreamStateStreamLive {
				return string(out.Stream.State)
			}
			return ""
		})
	}
}

// soon waits until nothing is missing any more.
func soon(t *testing.T, what string, missing func() string) {
	t.Helper()
	limit := time.Now().Add(resumeLimit)
	for {
		problem := missing()
		if problem == "" {
			return
		}
		if time.Now().After(limit) {
			t.Errorf("%s: not within %v: %s", what, resumeLimit, problem)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// difference names the keys that only one has, or that they have differently.
func difference(got, want map[string]string) string {
	var lines []string
	for k, v := range got {
		if w, ok := want[k]; !ok {
			lines = append(lines, "unexpected "+k+" "+v)
		} else if v != w {
			lines = append(lines, fmt.Sprintf("%s is %q, want %q", k, v, w))
		}
	}
	for k, v := range want {
		if _, ok := got[k]; !ok {
			lines = append(lines, "missing "+k+" "+v)
		}
	}
	slices.Sort(lines)
	return fmt.Sprint(lines)
}
