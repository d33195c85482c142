package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings/types"
	"github.com/pion/rtp"

	"belfry.live/belfry/internal/attendee"
	"belfry.live/belfry/internal/media/opus"
)

const (
	beepHz    = 3000 // above the voices of the load
	beepEvery = 25   // packets
	beepFor   = 3    // packets
	beepLevel = 0.02 // of full scale, from which on it is heard
)

// A probe is two attendees of a meeting: one beeps, the other notes when that
// arrives in the mix.
type probe struct {
	meeting string
	stop    func()

	mu    sync.Mutex // guards what follows
	sent  time.Time  // the packet with the beginning of the last beep, zero: it was heard
	took  []time.Duration
	ready chan struct{} // closed by the first packet of the mix
}

// newProbe makes a meeting with a probe in it.
func newProbe(ctx context.Context, api *chimesdkmeetings.Client) (*probe, error) {
	m, err := api.CreateMeeting(ctx, &chimesdkmeetings.CreateMeetingInput{
		ClientRequestToken: aws.String("bench-" + strconv.FormatInt(time.Now().UnixNano(), 36)),
		ExternalMeetingId:  aws.String("bench"), MediaRegion: aws.String("us-east-1"),
	})
	if err != nil {
		return nil, err
	}
	p := &probe{meeting: *m.Meeting.MeetingId, ready: make(chan struct{})}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	p.stop = func() { cancel(); running.Wait() }
	hear, err := p.listener()
	if err != nil {
		cancel()
		return nil, err
	}
	for _, a := range []struct {
		name    string
		handler attendee.Handler
		task    func(context.Context, *attendee.Client) error
	}{
		{"probe-ear", attendee.Handler{AudioRTP: hear}, nil},
		{"probe-voice", attendee.Handler{}, p.beep},
	} {
		out, err := api.CreateAttendee(ctx, &chimesdkmeetings.CreateAttendeeInput{MeetingId: &p.meeting, ExternalUserId: &a.name})
		if err != nil {
			p.stop()
			return nil, err
		}
		client := attendee.New(configOf(m.Meeting, out.Attendee), a.handler)
		running.Go(func() {
			if err := client.Run(ctx); err != nil {
				fmt.Printf("(%s: %v)\n", a.name, err)
			}
		})
		if a.task != nil {
			running.Go(func() {
				if err := a.task(ctx, client); err != nil {
					fmt.Printf("(%s: %v)\n", a.name, err)
				}
			})
		}
	}
	select {
	case <-p.ready:
		return p, nil
	case <-time.After(20 * time.Second):
		p.stop()
		return nil, errors.New("the probe hears nothing")
	}
}

func configOf(m *types.Meeting, a *types.Attendee) attendee.Config {
	return attendee.Config{
		SignalingURL: *m.MediaPlacement.SignalingUrl, AttendeeID: *a.AttendeeId,
		ExternalUserID: *a.ExternalUserId, JoinToken: *a.JoinToken,
	}
}

func (p *probe) end() { p.stop() }

// reset forgets the delays so far.
func (p *probe) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.took = nil
}

// delays are from sending the packet in which a beep begins to the arrival of
// that in which it is heard.
func (p *probe) delays() []time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.took) == 0 {
		return []time.Duration{0}
	}
	return slices.Clone(p.took)
}

// beep sends beeps and silence until ctx ends.
func (p *probe) beep(ctx context.Context, c *attendee.Client) error {
	e, err := opus.NewEncoder(opus.EncoderConfig{Bitrate: 64000})
	if err != nil {
		return err
	}
	defer e.Close()
	const samples, interval = 960, 20 * time.Millisecond
	pcm, packet := make([]float32, samples), make([]byte, 1276)
	began := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := 0; ; n++ {
		due := began.Add(time.Duration(n+1) * interval)
		timer.Reset(time.Until(due))
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		clear(pcm)
		loud := n%beepEvery < beepFor
		if loud {
			for i := range pcm {
				pcm[i] = float32(0.5 * math.Sin(2*math.Pi*beepHz*float64(n*samples+i)/opus.SampleRate))
			}
		}
		size, err := e.Encode(pcm, packet)
		if err != nil {
			return err
		}
		if n%beepEvery == 0 {
			p.mu.Lock()
			p.sent = time.Now()
			p.mu.Unlock()
		}
		level := uint8(127)
		if loud {
			level = 9
		}
		_ = c.SendSpeech(packet[:size], due.Add(-interval), level) // not heard before it is connected
	}
}

// listener notes when beeps arrive.
func (p *probe) listener() (func(*rtp.Packet, time.Time), error) {
	d, err := opus.NewDecoder(1) // until the program ends
	if err != nil {
		return nil, err
	}
	pcm := make([]float32, opus.MaxSamples)
	var once sync.Once
	beeping := false
	return func(packet *rtp.Packet, arrival time.Time) {
		once.Do(func() { close(p.ready) })
		n, err := d.Decode(packet.Payload, pcm)
		if err != nil {
			return
		}
		before := beeping
		beeping = loudness(pcm[:n]) > beepLevel
		p.mu.Lock()
		defer p.mu.Unlock()
		if beeping && !before && !p.sent.IsZero() {
			p.took = append(p.took, arrival.Sub(p.sent))
			p.sent = time.Time{}
		}
	}, nil
}

// loudness is that of the beep's tone in a packet (Goertzel).
func loudness(pcm []float32) float64 {
	c := 2 * math.Cos(2*math.Pi*beepHz/opus.SampleRate)
	var s1, s2 float64
	for _, x := range pcm {
		s1, s2 = float64(x)+c*s1-s2, s1
	}
	return 2 * math.Sqrt(max(s1*s1+s2*s2-c*s1*s2, 0)) / float64(max(len(pcm), 1))
}
