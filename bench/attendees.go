package main

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings"

	"belfry.live/belfry/internal/load"
)

const (
	audience = 250
	speakers = 3
	listenTo = 30 * time.Second
)

// attendees measures a big meeting without cameras: what it costs, and how well
// everybody hears. Two of the three who speak are the load's, the third is
// measured with: it beeps, and the one who listens for that is among the 250
// too.
func attendees(ctx context.Context, b *bench) error {
	fmt.Println("| 250 attendees, 3 speaking | server CPU, cores | gaps | packets lost | later than the fastest p99, ms | voice to ear p50, ms | p99, ms | memory per attendee, kB | attendees' CPU, cores | their lag p99, ms |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|")
	for _, row := range []struct {
		name  string
		quiet bool
	}{{"the others send nothing", false}, {"the others send silence, as muted browsers do", true}} {
		if err := b.bigMeeting(ctx, row.name, row.quiet); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) bigMeeting(ctx context.Context, name string, quiet bool) error {
	s, err := b.startUnderLoad()
	if err != nil {
		return err
	}
	defer s.Stop()
	cfg, err := s.AWS()
	if err != nil {
		return err
	}
	p, err := newProbe(ctx, chimesdkmeetings.NewFromConfig(cfg))
	if err != nil {
		return err
	}
	defer p.end()
	c, err := underLoad(ctx, s, load.Config{
		MeetingID: p.meeting, Count: audience - 2, Publish: speakers - 1, AudioOnly: true,
		QuietMicrophones: quiet, Duration: listenTo, Measuring: p.reset,
	})
	if err != nil {
		return err
	}
	_, middle, p99, _ := quantiles(p.delays())
	fmt.Printf("| %s | %.2f | %d | %d | %.0f | %s | %s | %d | %.2f | %.0f |\n",
		name, c.cores, c.AudioGaps, c.AudioLost, c.AudioDelayMs.P99, ms(middle), ms(p99), c.memory/audience/1000, c.own, c.LagMs.P99)
	return nil
}

// joins measures how fast people get in when many come, and what memory each
// takes.
func joins(ctx context.Context, b *bench) error {
	fmt.Println("| joins at 20 a second | first audio p50, ms | p99 | most | first picture p50, ms | p99 | most | memory per attendee, kB |")
	fmt.Println("|---|---|---|---|---|---|---|---|")
	for _, row := range []struct {
		name string
		cfg  load.Config
	}{
		{"200 who listen, nobody speaks", load.Config{Count: 200, AudioOnly: true}},
		{"200 who listen, 3 speak", load.Config{Count: 200, Publish: 3, AudioOnly: true}},
		{"100 who watch one camera", load.Config{Count: 101, Publish: 1, Subscribe: 1}},
		{"50, of whom 5 have a camera, watch 4", load.Config{Count: 50, Publish: 5, Subscribe: 4}},
	} {
		s, err := b.startUnderLoad()
		if err != nil {
			return err
		}
		row.cfg.Duration, row.cfg.JoinRate = 10*time.Second, 20
		c, err := underLoad(ctx, s, row.cfg)
		if _, stopErr := s.Stop(); err == nil {
			err = stopErr
		}
		if err != nil {
			return fmt.Errorf("%s: %w", row.name, err)
		}
		picture := "| | |"
		if q := c.FirstVideoMs; c.VideosExpected > 0 {
			picture = fmt.Sprintf("%.0f | %.0f | %.0f |", q.P50, q.P99, q.Max)
		}
		fmt.Printf("| %s | %.0f | %.0f | %.0f | %s %d |\n",
			row.name, c.JoinMs.P50, c.JoinMs.P99, c.JoinMs.Max, picture, c.memory/c.Attendees/1000)
	}
	return nil
}
