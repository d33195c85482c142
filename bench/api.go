package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"belfry.live/belfry/test/running"
)

const (
	apiSettings = "[api]\nthrottling = \"off\"\n[meeting]\nmax_meetings = 1000000\n[channel]\nmax_channels = 1000000\n"
	apiChannels = 5000
	apiMeetings = 60              // for CreateAttendee: they hold 250 each
	apiCalls    = 2 * time.Second // of one operation at each end, and turn
	apiTurns    = 4               // server and bare handler take turns, so that both meet the same neighbours
	apiReaders  = 8               // connections at once
	apiWriters  = 32
)

// An operation is a call that is measured.
type operation struct {
	name     string
	callers  int
	isWrite  bool
	request  func(n int) request
	expected int // status
}

// api measures calls over HTTP, signed and checked, next to the same calls to
// a handler that reads the request and answers the same bytes.
func api(ctx context.Context, b *bench) error {
	config := filepath.Join(b.dir, "api.toml")
	if err := os.WriteFile(config, []byte(apiSettings), 0o600); err != nil {
		return err
	}
	data := filepath.Join(b.dir, "api")
	s := running.New(b.binary, data, "--config", config, "--log-level", "warn")
	if err := s.Run(); err != nil {
		return err
	}
	defer s.Stop()
	access, err := s.Access()
	if err != nil {
		return err
	}
	c := newCaller(s.Endpoint, access)
	channels, err := fillChannels(ctx, c)
	if err != nil {
		return fmt.Errorf("make %d channels: %w", apiChannels, err)
	}
	var meetings []string
	for n := range apiMeetings {
		var out struct {
			Meeting struct {
				MeetingID string `json:"MeetingId"`
			}
		}
		if err := c.call(ctx, meetingRequest("bench", n, 0), http.StatusOK, &out); err != nil {
			return err
		}
		meetings = append(meetings, out.Meeting.MeetingID)
	}
	operations := []operation{
		{"GetStream (offline)", apiReaders, false, func(n int) request {
			return ivsRequest("GetStream", map[string]any{"channelArn": channels[n%len(channels)]})
		}, http.StatusNotFound},
		{"GetChannel", apiReaders, false, func(n int) request {
			return ivsRequest("GetChannel", map[string]any{"arn": channels[n%len(channels)]})
		}, http.StatusOK},
		{fmt.Sprintf("ListChannels (a page of %d)", apiChannels), apiReaders, false, func(int) request {
			return ivsRequest("ListChannels", nil)
		}, http.StatusOK},
		{"CreateAttendee", apiWriters, true, func(n int) request {
			return chimeRequest("/meetings/"+meetings[n%len(meetings)]+"/attendees", map[string]any{"ExternalUserId": fmt.Sprint("person-", n)})
		}, http.StatusOK},
		{"CreateMeetingWithAttendees (2)", apiWriters, true, func(n int) request { return meetingRequest("measured", n, 2) }, http.StatusOK},
		{"CreateChannel", apiWriters, true, func(n int) request {
			return ivsRequest("CreateChannel", map[string]any{"name": fmt.Sprint("more-", n)})
		}, http.StatusOK},
	}
	fmt.Println("| operation | callers | requests/s | p50, ms | p99, ms | CPU, ms each | RSS, MB | bare handler, requests/s | p50, ms | CPU, ms each | ratio | fsync/s of the disk | requests per fsync |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|---|---|---|")
	for _, op := range operations {
		if err := measureCalls(ctx, b, s, c, op); err != nil {
			return fmt.Errorf("%s: %w", op.name, err)
		}
	}
	if _, err := s.Stop(); err != nil {
		return err
	}
	fmt.Println()
	return stock(ctx, b)
}

func measureCalls(ctx context.Context, b *bench, s *running.Server, c *caller, op operation) error {
	var n atomic.Int64 // continues where the last turn ended: what is made is new
	answer, err := c.bytes(ctx, op.request(int(n.Add(1))), op.expected)
	if err != nil {
		return err
	}
	bare, err := startBare(b, op.expected, answer)
	if err != nil {
		return err
	}
	defer bare.stop()
	var ours, theirs pace
	var cpu, bareCPU time.Duration
	var fsyncs float64
	for range apiTurns {
		if op.isWrite {
			rate, err := fsyncRate(b.dir, len(answer))
			if err != nil {
				return err
			}
			fsyncs += rate / apiTurns
		}
		if err := c.repeat(ctx, op, &n, &ours, s.Process(), &cpu); err != nil {
			return err
		}
		if err := newCaller(bare.endpoint, c.access).repeat(ctx, op, &n, &theirs, bare.cmd.Process.Pid, &bareCPU); err != nil {
			return err
		}
	}
	memory, err := residentMemory(s.Process())
	if err != nil {
		return err
	}
	_, middle, p99, _ := quantiles(ours.times)
	_, bareMiddle, _, _ := quantiles(theirs.times)
	row := fmt.Sprintf("| %s | %d | %.0f | %s | %s | %s | %d | %.0f | %s | %s | **%.2f** |", op.name, op.callers,
		ours.rate(), ms(middle), ms(p99), each(cpu, ours), memory>>20,
		theirs.rate(), ms(bareMiddle), each(bareCPU, theirs), ours.rate()/theirs.rate())
	if op.isWrite {
		row += fmt.Sprintf(" %.0f | %.2f |", fsyncs, ours.rate()/fsyncs)
	} else {
		row += " | |"
	}
	fmt.Println(row)
	return nil
}

// each is the part of one call, in ms.
func each(cpu time.Duration, p pace) string {
	return fmt.Sprintf("%.3f", float64(cpu)/float64(time.Millisecond)/float64(len(p.times)))
}

// fillChannels makes the channels that are listed and looked up.
func fillChannels(ctx context.Context, c *caller) ([]string, error) {
	arns := make([]string, apiChannels)
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, apiWriters)
	for i := range errs {
		wg.Go(func() {
			for n := int(next.Add(1)) - 1; n < len(arns) && errs[i] == nil; n = int(next.Add(1)) - 1 {
				var out struct {
					Channel struct{ ARN string }
				}
				errs[i] = c.call(ctx, ivsRequest("CreateChannel", map[string]any{"name": fmt.Sprint("channel-", n)}), http.StatusOK, &out)
				arns[n] = out.Channel.ARN
			}
		})
	}
	wg.Wait()
	return arns, errors.Join(errs...)
}

func ivsRequest(operation string, input map[string]any) request {
	return request{service: "ivs", path: "/" + operation, body: encode(input)}
}

func chimeRequest(path string, input map[string]any) request {
	return request{service: "chime", path: path, body: encode(input)}
}

func meetingRequest(name string, n, attendees int) request {
	input := map[string]any{
		"ClientRequestToken": fmt.Sprint(name, "-", n), "MediaRegion": "us-east-1", "ExternalMeetingId": fmt.Sprint(name, "-", n),
	}
	if attendees == 0 {
		return chimeRequest("/meetings", input)
	}
	var first []map[string]any
	for i := range attendees {
		first = append(first, map[string]any{"ExternalUserId": fmt.Sprint("person-", i)})
	}
	input["Attendees"] = first
	r := chimeRequest("/meetings", input)
	r.query = "operation=create-attendees"
	return r
}

func encode(input map[string]any) []byte {
	if input == nil {
		return []byte("{}")
	}
	var out bytes.Buffer
	if err := json.NewEncoder(&out).Encode(input); err != nil {
		panic("bench: " + err.Error())
	}
	return out.Bytes()
}

// fsyncRate returns how often a second the disk takes a record of that size,
// one after another, as a log does that loses nothing.
func fsyncRate(dir string, size int) (float64, error) {
	f, err := os.CreateTemp(dir, "fsync-")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	record := make([]byte, size)
	n, began := 0, time.Now()
	for ; time.Since(began) < time.Second; n++ {
		if _, err := f.Write(record); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
	}
	return float64(n) / time.Since(began).Seconds(), nil
}
