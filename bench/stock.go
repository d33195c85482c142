package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"belfry.live/belfry/internal/api/chimemeetings"
	"belfry.live/belfry/internal/channel"
	"belfry.live/belfry/internal/event"
	"belfry.live/belfry/internal/meeting"
	"belfry.live/belfry/internal/store/natskv"
	"belfry.live/belfry/test/running"
)

const (
	stockChannels  = 100_000
	stockMeetings  = 10_000
	stockAttendees = 3 // of each meeting
	stockAccount   = "000000000000"
	stockRegion    = "us-east-1"
	stockSettle    = 5 * time.Second // after which memory is read again
)

// stock measures the start of a server that has much in store, and its memory.
func stock(ctx context.Context, b *bench) error {
	data := filepath.Join(b.dir, "stock")
	if err := fill(ctx, b, data); err != nil {
		return fmt.Errorf("fill the store: %w", err)
	}
	fmt.Printf("| %d channels, %d meetings of %d | GET /healthz after, s | RSS then, MB | RSS %v later, MB |\n", stockChannels, stockMeetings, stockAttendees, stockSettle)
	fmt.Println("|---|---|---|---|")
	for _, start := range []string{"the first time", "after a stop", "after a kill"} {
		s := running.New(b.binary, data, "--config", filepath.Join(b.dir, "api.toml"), "--log-level", "warn")
		began := time.Now()
		if err := s.Run(); err != nil {
			return err
		}
		resp, err := http.Get(s.Endpoint + "/healthz")
		if err != nil {
			return err
		}
		resp.Body.Close()
		took := time.Since(began)
		first, err := residentMemory(s.Process())
		if err != nil {
			return err
		}
		time.Sleep(stockSettle)
		later, err := residentMemory(s.Process())
		if err != nil {
			return err
		}
		fmt.Printf("| %s | %.2f | %d | %d |\n", start, took.Seconds(), first>>20, later>>20)
		if start == "after a stop" {
			s.Kill()
		} else if _, err := s.Stop(); err != nil {
			return err
		}
	}
	return nil
}

// fill writes a store as a server does. It is made in memory, where nobody
// waits for a disk, and then copied.
func fill(ctx context.Context, b *bench, data string) error {
	scratch, err := os.MkdirTemp("/dev/shm", "belfry-bench-")
	if err != nil {
		scratch = filepath.Join(b.dir, "fill")
	}
	defer os.RemoveAll(scratch)
	log := slog.New(slog.DiscardHandler)
	tables, err := natskv.Open(ctx, natskv.Config{Dir: scratch}, log)
	if err != nil {
		return err
	}
	defer tables.Close()
	channels, err := channel.New(ctx, channel.Config{Account: stockAccount, MaxChannels: stockChannels}, tables, log)
	if err != nil {
		return err
	}
	for n := range stockChannels {
		_, _, err := channels.Create(ctx, channel.Spec{
			Account: stockAccount, Region: stockRegion, Name: fmt.Sprint("channel-", n), LatencyMode: "LOW", Type: "STANDARD",
			ContainerFormat: "TS", Tags: map[string]string{"number": fmt.Sprint(n), "owner": "the bell ringers"},
		})
		if err != nil {
			return err
		}
	}
	conn, err := tables.Connect("events")
	if err != nil {
		return err
	}
	journal, err := event.Open(ctx, conn, event.Config{}, log)
	if err != nil {
		return err
	}
	meetings, err := meeting.New(ctx, meeting.Config{
		Account: stockAccount, MaxMeetings: stockMeetings, Record: chimemeetings.Recorder(journal),
	}, tables, log)
	if err != nil {
		return err
	}
	for n := range stockMeetings {
		first := make([]meeting.Newcomer, stockAttendees)
		for i := range first {
			first[i] = meeting.Newcomer{
				ExternalUserID: fmt.Sprint("person-", i),
				Capabilities:   meeting.Capabilities{Audio: meeting.SendReceive, Video: meeting.SendReceive, Content: meeting.SendReceive},
			}
		}
		_, _, _, err := meetings.CreateWith(ctx, meeting.Spec{
			Account: stockAccount, Region: stockRegion, MediaRegion: stockRegion,
			RequestToken: fmt.Sprint("token-", n), ExternalID: fmt.Sprint("meeting-", n),
		}, first)
		if err != nil {
			return err
		}
	}
	tables.Close()
	return os.CopyFS(filepath.Join(data, "nats"), os.DirFS(scratch))
}
