package e2e

import (
	"context"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
)

// encode publishes a test picture to the URL until the test ends or stop is
// called.
func encode(t *testing.T, to string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, "ffmpeg", append(strings.Fields("-hide_banner -loglevel error -re "+
		"-f lavfi -i testsrc2=size=320x180:rate=30 -f lavfi -i sine=frequency=440:sample_rate=48000 "+
		"-c:v libx264 -preset ultrafast -tune zerolatency -threads 1 -pix_fmt yuv420p -g 30 -c:a aac -b:a 64k -f flv"), to)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = func() {
		cancel()
		_ = cmd.Wait()
	}
	t.Cleanup(stop)
	return stop
}

// events returns the names of the account's events of that source, as `belfry
// events` prints them, when there are n of them.
func (s server) events(source string, n int) (names []string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "events", "--data", s.Data, "--since", "1h", "--source", source)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	lines := json.NewDecoder(out)
	for len(names) < n {
		var e struct {
			Detail struct {
				Name string `json:"event_name"`
			} `json:"detail"`
		}
		if err := lines.Decode(&e); err != nil {
			s.t.Errorf("got %d events of %s (%v), want %d", len(names), source, err, n)
			break
		}
		names = append(names, e.Detail.Name)
	}
	cancel()
	_ = cmd.Wait()
	return names
}

// TestSessionOfAKilledServer has a stream taken over by a second encoder, kills
// the server, and reads afterwards what happened.
func TestSessionOfAKilledServer(t *testing.T) {
	s := start(t)
	owner, err := s.Access()
	if err != nil {
		t.Fatal(err)
	}
	key, ctx := accessKey{owner.AccessKeyID, owner.SecretAccessKey, ""}, t.Context()
	client := s.channels(key)
	made, err := client.CreateChannel(ctx, &ivs.CreateChannelInput{Name: aws.String("tower"), InsecureIngest: true})
	if err != nil {
		t.Fatal(err)
	}
	arn := made.Channel.Arn
	url := "rtmp://" + s.where("rtmp") + "/app/" + *made.StreamKey.Value
	first := encode(t, url)
	var stream string
	until(t, 15*time.Second, "the channel is live", func() bool {
		out, err := client.GetStream(ctx, &ivs.GetStreamInput{ChannelArn: arn})
		if err == nil {
			stream = aws.ToString(out.Stream.StreamId)
		}
		return err == nil
	})
	encode(t, url+"?keyframeInterval=2&priority=7")
	happened := func() (names []string) {
		out, err := client.GetStreamSession(ctx, &ivs.GetStreamSessionInput{ChannelArn: arn, StreamId: &stream})
		if err != nil {
			return nil
		}
		for _, e := range slices.Backward(out.StreamSession.TruncatedEvents) {
			names = append(names, aws.ToString(e.Name))
		}
		return names
	}
	until(t, 15*time.Second, "the second encoder has taken over", func() bool { return slices.Contains(happened(), "Stream Takeover") })
	first()
	if out, err := client.GetStream(ctx, &ivs.GetStreamInput{ChannelArn: arn}); err != nil || aws.ToString(out.Stream.StreamId) != stream {
		t.Errorf("after the takeover: got %+v, %v, want the same stream", out, err)
	}

	s.Kill()
	s.run()
	client = s.channels(key) // another port
	want := []string{"Session Created", "Stream Start", "Stream Takeover", "Session Ended", "Stream End"}
	until(t, 10*time.Second, "the session has ended", func() bool { return len(happened()) >= len(want) })
	if got := happened(); !slices.Equal(got, want) {
		t.Errorf("got the session's events %q, want %q", got, want)
	}
	list, err := client.ListStreamSessions(ctx, &ivs.ListStreamSessionsInput{ChannelArn: arn})
	if err != nil || len(list.StreamSessions) != 1 || list.StreamSessions[0].EndTime == nil {
		t.Errorf("got sessions %+v, %v, want one that has ended", list, err)
	}
	if got := s.events("aws.ivs", len(want)); !slices.Equal(got, want) {
		t.Errorf("got the journal's events %q, want %q", got, want)
	}
}
