package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/pion/rtp"

	"belfry.live/belfry/internal/attendee"
	"belfry.live/belfry/test/running"
)

// join measures, one attendee after another, from the HTTP request to the
// first audio packet. The reference is the part that is HTTP.
func join(ctx context.Context, b *bench) error {
	const times = 50
	s := running.New(b.binary, filepath.Join(b.dir, "join"))
	if err := s.Run(); err != nil {
		return err
	}
	defer s.Stop()
	var request, audio []time.Duration
	for range times {
		began := time.Now()
		j, err := s.Join("")
		if err != nil {
			return err
		}
		request = append(request, time.Since(began))
		first := make(chan time.Time, 1)
		joinCtx, leave := context.WithTimeout(ctx, 20*time.Second)
		done := make(chan error, 1)
		client := attendee.New(j.Config(), attendee.Handler{
			AudioRTP: func(_ *rtp.Packet, arrival time.Time) {
				select {
				case first <- arrival:
				default:
				}
			},
		})
		go func() { done <- client.Run(joinCtx) }()
		select {
		case at := <-first:
			audio = append(audio, at.Sub(began))
		case <-joinCtx.Done():
			err = fmt.Errorf("no audio packet: %w", joinCtx.Err())
		}
		leave()
		if runErr := <-done; err == nil {
			err = runErr
		}
		if err != nil {
			return err
		}
	}
	fmt.Println("| join, ms | least | median | p99 | most | median to reference |")
	fmt.Println("|---|---|---|---|---|---|")
	_, reference, _, _ := quantiles(request)
	for _, row := range []struct {
		name  string
		times []time.Duration
	}{{"reference: POST /api/join alone (two durable writes or more)", request}, {"POST /api/join to first audio packet", audio}} {
		least, middle, p99, most := quantiles(row.times)
		fmt.Printf("| %s | %s | %s | %s | %s | %.1f |\n", row.name, ms(least), ms(middle), ms(p99), ms(most), float64(middle)/float64(reference))
	}
	return nil
}
