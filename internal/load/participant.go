package load

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings/types"
	"github.com/pion/rtp"

	"belfry.live/belfry/internal/attendee"
)

// patience is how long an attendee tries to connect before it counts as failed.
// Behind a network that passes nothing but TLS the first attempt fails after
// 15 s, and the second one is offered a relay.
const patience = 40 * time.Second

// errNoSound is the failure of one that is connected and hears nothing.
var errNoSound = errors.New("no audio was received")

// A participant is one attendee of the load.
type participant struct {
	// Fixed by newParticipant.
	load    *run
	index   int
	client  *attendee.Client
	log     *slog.Logger
	restart []chan struct{} // of the camera, by layer

	mu     sync.Mutex // guards what follows
	began  time.Time
	joined time.Time // first audio packet
	seen   time.Time // first picture
	err    error     // why it is not in
	left   bool      // Run has ended
	losses int       // of the connection
	ear    ear
	eyes   map[attendee.Source]*eye
	past   videoCounts // of videos that have ended

	// For the progress, since it came.
	heard, watched, pictures int
}

func newParticipant(r *run, index int, a types.Attendee) *participant {
	p := &participant{
		load: r, index: index,
		log:  r.cfg.Log.With("attendee", aws.ToString(a.AttendeeId)),
		eyes: make(map[attendee.Source]*eye),
	}
	p.client = attendee.New(attendee.Config{
		SignalingURL: r.meeting.signalingURL, AttendeeID: aws.ToString(a.AttendeeId),
		ExternalUserID: aws.ToString(a.ExternalUserId), JoinToken: aws.ToString(a.JoinToken),
		WantVideo:  func(s attendee.Source) bool { return r.wants(index, r.meeting.number(s.ExternalUserID)) },
		Adaptation: r.cfg.Adaptation, Protocols: r.cfg.Protocols, Patience: patience,
		HTTPClient: r.cfg.web, TLS: r.cfg.TLS, Log: r.cfg.Log,
	}, p.handler())
	for range r.media.layers {
		p.restart = append(p.restart, make(chan struct{}, 1))
	}
	return p
}

func (p *participant) handler() attendee.Handler {
	locked := func(f func()) {
		p.mu.Lock()
		defer p.mu.Unlock()
		f()
	}
	return attendee.Handler{
		Disconnected: func(error) { locked(func() { p.losses++; p.ear.restart() }) },
		AudioRTP:     p.hear,
		VideoStarted: func(s attendee.Source, c attendee.Codec) {
			locked(func() {
				if e := p.eyes[s]; e != nil {
					p.past.add(&e.videoCounts)
				}
				p.eyes[s] = newEye(c)
			})
		},
		VideoRTP: p.watch,
		VideoEnded: func(s attendee.Source) {
			locked(func() {
				if e := p.eyes[s]; e != nil {
					p.past.add(&e.videoCounts)
				}
				delete(p.eyes, s)
			})
		},
		KeyFrameWanted: func(layer int) {
			if layer >= len(p.restart) {
				return
			}
			select {
			case p.restart[layer] <- struct{}{}:
			default:
			}
		},
	}
}

func (p *participant) hear(packet *rtp.Packet, arrival time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.joined.IsZero() {
		p.joined = arrival
		p.log.Debug("hears the meeting", "after", arrival.Sub(p.began), "sequence", packet.SequenceNumber)
	}
	p.heard++
	p.ear.hear(packet.SequenceNumber, packet.Timestamp, len(packet.Payload), arrival)
}

func (p *participant) watch(s attendee.Source, packet *rtp.Packet, arrival time.Time) {
	p.mu.Lock()
	e := p.eyes[s]
	if e == nil {
		p.mu.Unlock()
		return
	}
	before := e.Frames
	ask := e.watch(packet, arrival)
	p.watched += len(packet.Payload)
	p.pictures += e.Frames - before
	if p.seen.IsZero() && e.Frames > 0 {
		p.seen = arrival
		p.log.Debug("sees the first picture", "after", arrival.Sub(p.began))
	}
	p.mu.Unlock()
	if ask {
		p.client.RequestKeyFrame(s)
	}
}

// run attends until ctx ends.
func (p *participant) run(ctx context.Context) {
	p.mu.Lock()
	p.began = time.Now()
	p.mu.Unlock()
	filming, stop := context.WithCancel(ctx)
	var cameras sync.WaitGroup
	if p.index < p.load.cfg.Publish && len(p.load.media.videos) > 0 {
		if err := p.client.StartVideo(p.load.cfg.Codec, p.load.media.layers...); err != nil {
			panic("load: " + err.Error()) // of a choice that Config.check lets pass
		}
		for layer := range p.load.media.videos {
			cameras.Go(func() { p.film(filming, layer) })
		}
	}
	p.client.SetMuted(p.index >= p.load.cfg.Speaking)
	err := p.client.Run(ctx)
	stop()
	cameras.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left, p.err = true, err
}

// settled says whether nothing more is to be waited for: it is in and sees all
// it should, or has failed.
func (p *participant) settled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left {
		return true
	}
	if p.joined.IsZero() {
		return false
	}
	n := 0
	for _, e := range p.eyes {
		if e.Frames > 0 {
			n++
		}
	}
	return n >= p.load.expected(p.index)
}

// measure has the counts begin anew.
func (p *participant) measure() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ear.measure()
	p.past = videoCounts{}
	for _, e := range p.eyes {
		e.measure()
	}
}
