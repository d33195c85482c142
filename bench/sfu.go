package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings"

	"belfry.live/belfry/bench/guest"
	"belfry.live/belfry/test/running"
)

const (
	settle  = 5 * time.Second // from the last guest to the first measured packet
	measure = 10 * time.Second
	arrive  = 60 * time.Second // for all guests to see all videos
)

// A mediaServer is Belfry or the reference, running.
type mediaServer interface {
	process() int
	meeting() (guest.Meeting, error)
	stop() error
}

// servers are what the meeting benchmarks compare, the reference first.
func (b *bench) servers(ctx context.Context) ([]namedServer, error) {
	liveKit, err := buildLiveKit(ctx)
	if err != nil {
		return nil, err
	}
	return []namedServer{
		{"LiveKit " + liveKitVersion, func(ctx context.Context) (mediaServer, error) { return startLiveKit(ctx, liveKit, b.dir) }},
		{"Belfry", func(context.Context) (mediaServer, error) { return startBelfry(b) }},
	}, nil
}

type namedServer struct {
	name  string
	start func(context.Context) (mediaServer, error)
}

type belfryServer struct{ *running.Server }

func startBelfry(b *bench) (mediaServer, error) {
	data, err := os.MkdirTemp(b.dir, "belfry-")
	if err != nil {
		return nil, err
	}
	s := running.New(b.binary, data, "--log-level", "warn")
	return belfryServer{s}, s.Run()
}

func (s belfryServer) process() int { return s.Process() }

func (s belfryServer) stop() error {
	_, err := s.Stop()
	return err
}

// meeting makes a meeting by the API.
func (s belfryServer) meeting() (guest.Meeting, error) {
	client, err := s.client()
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	m, err := client.CreateMeeting(ctx, &chimesdkmeetings.CreateMeetingInput{
		ClientRequestToken: aws.String("bench"), ExternalMeetingId: aws.String("bench"), MediaRegion: aws.String("us-east-1"),
	})
	if err != nil {
		return nil, err
	}
	return guest.Belfry(func(name string) (guest.Ticket, error) {
		a, err := client.CreateAttendee(ctx, &chimesdkmeetings.CreateAttendeeInput{
			MeetingId: m.Meeting.MeetingId, ExternalUserId: aws.String(name),
		})
		if err != nil {
			return guest.Ticket{}, err
		}
		return guest.Ticket{SignalingURL: *m.Meeting.MediaPlacement.SignalingUrl, JoinToken: *a.Attendee.JoinToken}, nil
	}), nil
}

func (s belfryServer) client() (*chimesdkmeetings.Client, error) {
	cfg, err := s.AWS()
	if err != nil {
		return nil, err
	}
	return chimesdkmeetings.NewFromConfig(cfg), nil
}

// A scene is who is in a meeting while it is measured.
type scene struct {
	publishers, listeners int
	simulcast             bool
}

// A sceneCost is what a scene costs.
type sceneCost struct {
	cpu time.Duration // of the server, over measure
	guest.Received
}

// play measures a scene on a server of its own.
func play(ctx context.Context, n namedServer, sc scene) (c sceneCost, err error) {
	s, err := n.start(ctx)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	m, err := s.meeting()
	if err != nil {
		return c, err
	}
	var guests []*guest.Guest
	defer func() { leave(guests) }()
	for i := range sc.publishers + sc.listeners {
		g, err := m.Join(ctx, fmt.Sprintf("guest-%d", i), guest.Role{Publish: i < sc.publishers, Simulcast: sc.simulcast})
		if err != nil {
			return c, err
		}
		guests = append(guests, g)
	}
	if err := everybodySees(ctx, guests, sc); err != nil {
		return c, err
	}
	if err := pause(ctx, settle); err != nil {
		return c, err
	}
	guest.Together(guests)
	before, err := cpuTime(s.process())
	if err != nil {
		return c, err
	}
	if err := pause(ctx, measure); err != nil {
		return c, err
	}
	c.Received = guest.Together(guests)
	after, err := cpuTime(s.process())
	if err != nil {
		return c, err
	}
	c.cpu = after - before
	return c, nil
}

// everybodySees waits until each guest receives all videos of others.
func everybodySees(ctx context.Context, guests []*guest.Guest, sc scene) error {
	limit := time.Now().Add(arrive)
	for i := 0; i < len(guests); {
		want := sc.publishers
		if i < sc.publishers {
			want--
		}
		switch got := guests[i].Videos(); {
		case got >= want:
			i++
			continue
		case time.Now().After(limit):
			return fmt.Errorf("guest %d receives %d videos after %v, want %d", i, got, arrive, want)
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

func leave(guests []*guest.Guest) {
	var all sync.WaitGroup
	for _, g := range guests {
		all.Go(func() { _ = g.Leave() }) // what is measured is measured
	}
	all.Wait()
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// forward compares what it costs to forward a packet.
func forward(ctx context.Context, b *bench) error {
	servers, err := b.servers(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("VP8 and Opus, %s, loopback, %v each. Per packet and per Mbit/s: of RTP that reached the guests.\n\n", guest.Cipher, measure)
	fmt.Println("| scene | server | CPU, ms/s | kpackets/s | Mbit/s | µs per packet | ms/s per Mbit/s | delay p50, ms | p99, ms | to reference, per packet |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|")
	for _, sc := range []struct {
		name string
		scene
	}{
		{"1 camera, 50 watch", scene{publishers: 1, listeners: 50}},
		{"1 camera, 100 watch", scene{publishers: 1, listeners: 100}},
		{"1 camera, 200 watch", scene{publishers: 1, listeners: 200}},
		{"10 cameras with simulcast, each watches 9", scene{publishers: 10, simulcast: true}},
	} {
		var reference float64
		for i, n := range servers {
			c, err := play(ctx, n, sc.scene)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", sc.name, n.name, err)
			}
			if c.Packets == 0 {
				return fmt.Errorf("%s, %s: nothing was received", sc.name, n.name)
			}
			seconds := measure.Seconds()
			perPacket := float64(c.cpu.Microseconds()) / float64(c.Packets)
			ratio := "1"
			if i == 0 {
				reference = perPacket
			} else {
				ratio = fmt.Sprintf("**%.2f**", perPacket/reference)
			}
			mbit := float64(c.Bytes) * 8 / 1e6 / seconds
			cpu := float64(c.cpu.Milliseconds()) / seconds
			fmt.Printf("| %s | %s | %.0f | %.1f | %.0f | %.1f | %.2f | %s | %s | %s |\n", sc.name, n.name,
				cpu, float64(c.Packets)/1000/seconds, mbit, perPacket, cpu/mbit, ms(c.Delay(0.5)), ms(c.Delay(0.99)), ratio)
		}
	}
	return nil
}

// arrivals measures joins at a steady rate, and what each guest leaves in
// memory.
func arrivals(ctx context.Context, b *bench) error {
	const count, every = 100, time.Second / 20
	servers, err := b.servers(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("%d guests join who listen to one speaker, 20 a second.\n\n", count)
	fmt.Println("| server | connected p50, ms | p99, ms | first audio p50, ms | p99, ms | memory per guest, kB |")
	fmt.Println("|---|---|---|---|---|---|")
	for _, n := range servers {
		if err := arrive20(ctx, n, count, every); err != nil {
			return fmt.Errorf("%s: %w", n.name, err)
		}
	}
	return nil
}

func arrive20(ctx context.Context, n namedServer, count int, every time.Duration) (err error) {
	s, err := n.start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	m, err := s.meeting()
	if err != nil {
		return err
	}
	speaker, err := m.Join(ctx, "speaker", guest.Role{Publish: true})
	if err != nil {
		return err
	}
	guests := make([]*guest.Guest, count)
	defer func() {
		leave(append(slices.DeleteFunc(guests, func(g *guest.Guest) bool { return g == nil }), speaker))
	}()
	if err := pause(ctx, settle); err != nil {
		return err
	}
	before, err := residentMemory(s.process())
	if err != nil {
		return err
	}
	var joining sync.WaitGroup
	failed := make(chan error, count)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for i := range guests {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		joining.Go(func() {
			g, err := m.Join(ctx, fmt.Sprintf("guest-%d", i), guest.Role{})
			if err != nil {
				failed <- err
				return
			}
			guests[i] = g
		})
	}
	joining.Wait()
	select {
	case err := <-failed:
		return err
	default:
	}
	if err := pause(ctx, settle); err != nil {
		return err
	}
	var connected, audio []time.Duration
	for i, g := range guests {
		at := time.Duration(g.FirstAudio.Load())
		if at == 0 {
			return fmt.Errorf("guest %d hears nothing", i)
		}
		connected, audio = append(connected, g.Connected), append(audio, at)
	}
	after, err := residentMemory(s.process())
	if err != nil {
		return err
	}
	_, c50, c99, _ := quantiles(connected)
	_, a50, a99, _ := quantiles(audio)
	fmt.Printf("| %s | %s | %s | %s | %s | %d |\n", n.name, ms(c50), ms(c99), ms(a50), ms(a99), (after-before)/count>>10)
	return nil
}
