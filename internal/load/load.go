// Package load brings many attendees into a meeting at once and measures what
// reaches them. It makes them through the meetings API, has some of them send a
// recorded camera and microphone, and takes them out again. What is received is
// counted, not decoded.
package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"belfry.live/belfry/internal/attendee"
	"belfry.live/belfry/internal/attendee/link"
)

const (
	// joinTimeout is how long after the last one has set out the others are
	// waited for.
	joinTimeout = 50 * time.Second

	// progressInterval is between two lines of progress.
	progressInterval = 2 * time.Second
)

// A Config says what to do. The zero value of what is optional is good.
type Config struct {
	AWS       aws.Config  // the meetings API
	TLS       *tls.Config // for everything that speaks it; nil: the machine's authorities
	MeetingID string      // "": a new meeting, which is ended afterwards

	Count     int
	Publish   int           // the first so many send a microphone and, unless AudioOnly, a camera
	Subscribe int           // videos that each receives
	Speaking  int           // of those who publish so many speak, the others are quiet; 0: all
	Duration  time.Duration // from when everybody is in

	Codec     attendee.Codec // of the cameras; 0: VP8
	AudioOnly bool
	Simulcast bool // three layers of each camera
	// QuietMicrophones has those who do not publish send silence, as browsers
	// with their microphone muted do.
	QuietMicrophones bool
	// Adaptation asks the server to choose the layers.
	Adaptation bool

	JoinRate  float64       // attendees per second; 0: 20
	Protocols link.Protocol // to reach the media by

	// Measuring is called when everybody is in, and Measured when Duration is
	// over, with everybody still in: for those who look at the server
	// meanwhile.
	Measuring, Measured func()

	Progress io.Writer    // nil: none
	Log      *slog.Logger // of the attendees; nil: none

	web *http.Client // by TLS; nil: the usual one
}

// check fills in what was left out.
func (c *Config) check() error {
	if c.Codec == 0 {
		c.Codec = attendee.VP8
	}
	if c.JoinRate == 0 {
		c.JoinRate = 20
	}
	if c.Speaking == 0 {
		c.Speaking = c.Publish
	}
	if c.TLS != nil {
		c.web = &http.Client{Transport: &http.Transport{TLSClientConfig: c.TLS}}
		c.AWS.HTTPClient = c.web
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Progress == nil {
		c.Progress = io.Discard
	}
	switch {
	case c.Count < 1:
		return errors.New("at least one attendee is needed")
	case c.Publish < 0 || c.Publish > c.Count:
		return fmt.Errorf("%d of %d attendees cannot publish", c.Publish, c.Count)
	case c.Subscribe < 0:
		return fmt.Errorf("an attendee cannot receive %d videos", c.Subscribe)
	case c.Speaking < 0 || c.Speaking > c.Publish:
		return fmt.Errorf("%d of %d with a microphone cannot speak", c.Speaking, c.Publish)
	case c.Duration <= 0:
		return fmt.Errorf("a duration of %v is none", c.Duration)
	case c.JoinRate < 0:
		return fmt.Errorf("%v joins per second are too few", c.JoinRate)
	case c.Codec != attendee.VP8 && c.Codec != attendee.H264:
		return fmt.Errorf("there is no clip of %v", c.Codec)
	}
	return nil
}

// A run is one time of load.
type run struct {
	// Fixed by Run.
	cfg     Config
	media   *media
	people  []*participant
	meeting *place
	lag     lagMeter
}

// Run brings the attendees in, has them stay, and takes them out. When ctx ends
// it does so early. The result says what happened until then; with an error
// there is none.
func Run(ctx context.Context, cfg Config) (_ *Result, err error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	r := &run{cfg: cfg}
	if r.media, err = loadMedia(cfg); err != nil {
		return nil, err
	}
	tell(cfg.Progress, "creating %d attendees", cfg.Count)
	if r.meeting, err = enter(ctx, cfg); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.meeting.clear()) }()
	return r.attend(ctx), nil
}

// attend is the time between creating attendees and removing them.
func (r *run) attend(ctx context.Context) *Result {
	// Everybody leaves when staying ends; what only serves them ends after.
	staying, leave := context.WithCancel(context.WithoutCancel(ctx))
	serving, stop := context.WithCancel(context.Background())
	var people, servants sync.WaitGroup
	defer servants.Wait()
	defer stop()
	for i, a := range r.meeting.attendees {
		r.people = append(r.people, newParticipant(r, i, a))
	}
	servants.Go(func() { r.lag.run(serving) })
	servants.Go(func() { r.playMicrophones(serving) })
	began := time.Now()
	servants.Go(func() { r.showProgress(serving, began) })

	r.arrive(ctx, func(p *participant) { people.Go(func() { p.run(staying) }) })
	r.awaitAll(ctx)
	if r.cfg.Measuring != nil {
		r.cfg.Measuring()
	}
	measured := time.Now()
	for _, p := range r.people {
		p.measure()
	}
	r.lag.reset()
	select {
	case <-ctx.Done():
		tell(r.cfg.Progress, "stopping")
	case <-time.After(r.cfg.Duration):
	}
	if r.cfg.Measured != nil {
		r.cfg.Measured()
	}
	result := r.result(time.Since(measured), ctx.Err() != nil)
	leave()
	people.Wait()
	return result
}

// arrive lets them set out one after the other.
func (r *run) arrive(ctx context.Context, start func(*participant)) {
	interval := time.Duration(float64(time.Second) / r.cfg.JoinRate)
	began := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i, p := range r.people {
		timer.Reset(time.Until(began.Add(time.Duration(i) * interval)))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			start(p)
		}
	}
}

// awaitAll waits until each is in or has failed, and has the videos there are.
func (r *run) awaitAll(ctx context.Context) {
	limit := time.NewTimer(joinTimeout)
	defer limit.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		waiting := false
		for _, p := range r.people {
			waiting = waiting || !p.settled()
		}
		if !waiting {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-limit.C:
			return
		case <-tick.C:
		}
	}
}

// expected is how many videos the i-th attendee should receive.
func (r *run) expected(i int) int {
	if r.cfg.AudioOnly {
		return 0
	}
	others := r.cfg.Publish
	if i < r.cfg.Publish {
		others--
	}
	return min(others, r.cfg.Subscribe)
}

// wants says whether the i-th attendee receives the video of the j-th: of
// those who come after it, the first ones, so that all are received as often.
func (r *run) wants(i, j int) bool {
	n := r.cfg.Publish
	if j < 0 || j >= n || j == i || r.cfg.AudioOnly {
		return false
	}
	return ((j-i-1)%n+n)%n < r.cfg.Subscribe
}

func tell(w io.Writer, format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
