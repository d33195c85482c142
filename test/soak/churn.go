package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings/types"

	"belfry.live/belfry/internal/attendee"
	"belfry.live/belfry/internal/attendee/clip"
	"belfry.live/belfry/internal/load"
	"belfry.live/belfry/test/running"
)

const (
	residents = 2 // of the hall, with cameras, all the time
	visitors  = 3 // at once, in the hall
	partySize = 3

	clipFile = "internal/attendee/clip/testdata/bars.ivf"
)

// A churn is people who come and go: visitors of one meeting, the hall, which
// is streamed all the time; meetings that are ended with everybody in; meetings
// of the load tool; and processes that are killed.
type churn struct {
	// Fixed by newChurn.
	server *running.Server
	tally  *tally
	binary string
	access running.Access
	aws    aws.Config
	web    *http.Client // in aws
	api    *chimesdkmeetings.Client
	film   *clip.Clip
	shares chan struct{} // as many at once as a meeting lets share

	hall  *types.Meeting
	names atomic.Int64
}

func newChurn(s *running.Server, t *tally, binary string) (*churn, error) {
	text, err := os.ReadFile(clipFile)
	if err != nil {
		return nil, err
	}
	film, err := clip.ParseIVF(text)
	if err != nil {
		return nil, err
	}
	k, err := s.Access()
	if err != nil {
		return nil, err
	}
	cfg, err := s.AWS()
	if err != nil {
		return nil, err
	}
	web := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: visitors}}
	cfg.HTTPClient = web
	return &churn{
		server: s, tally: t, binary: binary, access: k, aws: cfg, web: web,
		api:  chimesdkmeetings.NewFromConfig(cfg),
		film: film, shares: make(chan struct{}, 2),
	}, nil
}

// run goes on until ctx ends, and then until everybody has left. An error says
// that it could not even begin.
func (c *churn) run(ctx context.Context) (err error) {
	if c.hall, err = c.meeting(); err != nil {
		return err
	}
	// Idle connections are the server's files and goroutines too.
	defer http.DefaultClient.CloseIdleConnections()
	defer c.web.CloseIdleConnections()
	defer func() { err = errors.Join(err, c.end(c.hall)) }()
	for i := range residents {
		g, err := c.enter(c.hall, "resident", 300+200*float64(i))
		if err != nil {
			return err
		}
		defer g.leave()
		g.filming(true)
	}
	show, err := c.stream()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, show.stop()) }()

	var lanes sync.WaitGroup
	lanes.Go(func() { c.tally.watchClock(ctx) })
	lanes.Go(func() { show.watch(ctx) })
	lane := func(what string, f func(context.Context) error) {
		lanes.Go(func() {
			for ctx.Err() == nil {
				if err := f(ctx); err != nil {
					c.tally.fail(fmt.Errorf("%s: %w", what, err))
					rest(ctx, time.Second)
					continue
				}
				c.tally.count(what)
			}
		})
	}
	for range visitors {
		lane("visit", c.visit)
	}
	lane("party", c.party)
	lane("crowd", c.crowd)
	lane("crash", c.crash)
	lanes.Wait()
	return nil
}

// rest waits, or not so long if ctx ends, and says whether it goes on.
func rest(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// moment is some time in which a guest does nothing.
func moment(ctx context.Context) bool {
	return rest(ctx, 300*time.Millisecond+rand.N(1200*time.Millisecond))
}

func (c *churn) meeting() (*types.Meeting, error) {
	out, err := c.api.CreateMeeting(context.Background(), &chimesdkmeetings.CreateMeetingInput{
		ClientRequestToken: aws.String("soak-" + strconv.FormatInt(time.Now().UnixNano(), 36)),
		ExternalMeetingId:  aws.String("soak"), MediaRegion: &c.aws.Region,
	})
	if err != nil {
		return nil, err
	}
	return out.Meeting, nil
}

func (c *churn) end(m *types.Meeting) error {
	_, err := c.api.DeleteMeeting(context.Background(), &chimesdkmeetings.DeleteMeetingInput{MeetingId: m.MeetingId})
	return err
}

// place makes an attendee.
func (c *churn) place(m *types.Meeting, kind string) (attendee.Config, error) {
	name := fmt.Sprintf("%s-%d", kind, c.names.Add(1))
	out, err := c.api.CreateAttendee(context.Background(), &chimesdkmeetings.CreateAttendeeInput{MeetingId: m.MeetingId, ExternalUserId: &name})
	if err != nil {
		return attendee.Config{}, err
	}
	return attendee.Config{
		SignalingURL: *m.MediaPlacement.SignalingUrl, AttendeeID: *out.Attendee.AttendeeId,
		ExternalUserID: name, JoinToken: *out.Attendee.JoinToken,
	}, nil
}

func (c *churn) enter(m *types.Meeting, kind string, hertz float64) (*guest, error) {
	cfg, err := c.place(m, kind)
	if err != nil {
		return nil, err
	}
	return attend(cfg, c.tally, c.film, hertz)
}

// visit is somebody's time in the hall.
func (c *churn) visit(ctx context.Context) error {
	cfg, err := c.place(c.hall, "visitor")
	if err != nil {
		return err
	}
	defer func() {
		_, err := c.api.DeleteAttendee(context.Background(), &chimesdkmeetings.DeleteAttendeeInput{
			MeetingId: c.hall.MeetingId, AttendeeId: &cfg.AttendeeID,
		})
		if err != nil {
			c.tally.fail(err)
		}
	}()
	g, err := attend(cfg, c.tally, c.film, 300+rand.Float64()*2000)
	if err != nil {
		return err
	}
	defer g.leave()
	for range 2 + rand.N(5) {
		if !moment(ctx) {
			return nil
		}
		if err := c.act(ctx, g, cfg); err != nil {
			return err
		}
	}
	if rand.N(3) == 0 {
		g.cut()
		c.tally.count("vanish")
		g.leave()
		// Some come too late to be told that they have left.
		rest(ctx, rand.N(15*time.Second))
	}
	return nil
}

// act does one of the things that people do.
func (c *churn) act(ctx context.Context, g *guest, cfg attendee.Config) error {
	switch rand.N(6) {
	case 0:
		g.SetMuted(true)
		c.tally.count("mute")
	case 1:
		g.SetMuted(false)
	case 2:
		g.filming(true)
		c.tally.count("camera")
	case 3:
		c.tally.count("message")
		return g.SendData(attendee.Message{Topic: "soak", Data: []byte(g.name), Lifetime: time.Minute})
	case 4:
		g.cut()
		c.tally.count("reconnect")
		return g.awaitSound()
	case 5:
		select {
		case c.shares <- struct{}{}:
			defer func() { <-c.shares }()
			c.tally.count("share")
			return c.share(ctx, cfg)
		default: // others do
		}
	}
	return nil
}

// share shows some content.
func (c *churn) share(ctx context.Context, cfg attendee.Config) error {
	g, err := attend(cfg.Content(), c.tally, c.film, 0)
	if err != nil {
		return fmt.Errorf("share: %w", err)
	}
	defer g.leave()
	g.filming(true)
	moment(ctx)
	return nil
}

// party is a meeting that is ended while everybody is in.
func (c *churn) party(ctx context.Context) error {
	m, err := c.meeting()
	if err != nil {
		return err
	}
	ended := sync.OnceValue(func() error { return c.end(m) })
	defer func() { _ = ended() }()
	var guests []*guest
	for i := range partySize {
		g, err := c.enter(m, "party", 500)
		if err != nil {
			return err
		}
		defer g.leave()
		g.filming(i == 0)
		guests = append(guests, g)
	}
	moment(ctx)
	for _, g := range guests {
		g.listened()
	}
	if err := ended(); err != nil {
		return err
	}
	for _, g := range guests {
		select {
		case <-g.ended:
			if !errors.Is(g.err, attendee.ErrEnded) {
				return fmt.Errorf("%s: got %v after the meeting was ended, want %v", g.name, g.err, attendee.ErrEnded)
			}
		case <-time.After(joinTime):
			return fmt.Errorf("%s: still in %v after the meeting was ended", g.name, joinTime)
		}
	}
	return nil
}

// crowd is a meeting of the load tool's, which measures for itself.
func (c *churn) crowd(ctx context.Context) error {
	r, err := load.Run(context.WithoutCancel(ctx), load.Config{
		AWS: c.aws, Count: 6, Publish: 2, Subscribe: 2,
		Simulcast: rand.N(2) == 0, Adaptation: rand.N(2) == 0, Duration: 4 * time.Second,
	})
	if err != nil {
		return err
	}
	if r.Failed > 0 {
		return fmt.Errorf("%d failed: %v", r.Failed, r.Errors)
	}
	if r.AudioGaps > 0 {
		c.tally.crowdGaps(r)
	}
	return nil
}

// crash is a process with people in a meeting that is killed.
func (c *churn) crash(ctx context.Context) error {
	m, err := c.meeting()
	if err != nil {
		return err
	}
	cmd := exec.Command(c.binary, "attendee", "--quiet", "--meeting", *m.MeetingId, "--count", "3", "--publish", "1", "--subscribe", "1")
	cmd.Env = environment(c.access, c.server)
	if err := cmd.Start(); err != nil {
		return errors.Join(err, c.end(m))
	}
	rest(ctx, 3*time.Second+rand.N(4*time.Second))
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // was killed
	rest(ctx, rand.N(20*time.Second))
	return c.end(m)
}
