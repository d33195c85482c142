package channel

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"belfry.live/belfry/internal/channel/ingest"
	"belfry.live/belfry/internal/channel/packager"
	"belfry.live/belfry/internal/wire/aac"
	"belfry.live/belfry/internal/wire/h264"
)

// How long a publisher may be silent.
const (
	starvingAfter = time.Second             // then the stream's health is Starving
	takeoverAfter = 1500 * time.Millisecond // then another publisher may take its place
	offlineAfter  = 2500 * time.Millisecond // then the stream is not live any more
	cutAfter      = 30 * time.Second        // then it is cut off
)

const (
	// endedFor is how long the playlists of an ended broadcast stay loadable:
	// players that are behind finish it.
	endedFor   = time.Minute
	tickPeriod = 500 * time.Millisecond
)

var errCut = errors.New("the stream was stopped")

// A live is what a channel with a publisher, or with one not long ago, is up to.
type live struct {
	channel Channel

	mu        sync.Mutex   // guards what follows, and is held to write to the broadcast
	publisher *publication // nil: none
	broadcast *Broadcast   // nil: none, or ended
	past      *Broadcast   // the last one that ended
	pastSince time.Time
	lost      time.Time // when the last publisher was lost

	stream    Stream    // the last run; its ID is "" once it is known to be over
	lastMedia time.Time // of stream
}

// on tells whether the channel is live; l.mu is held.
func (l *live) on(now time.Time) bool {
	return l.stream.ID != "" && now.Sub(l.lastMedia) < offlineAfter
}

// A publication is one publisher's connection. It implements ingest.Publication.
type publication struct {
	s       *Service
	l       *live
	remote  string
	stopped chan struct{} // closed, with l.mu held, when the publisher loses its place

	// Guarded by l.mu.
	last time.Time // media, or the connection before there is any
	live bool      // its stream was announced
}

// Publish lets the publisher with the key begin. It implements ingest.Desk.
func (s *Service) Publish(ctx context.Context, key string, p ingest.Publisher) (ingest.Publication, error) {
	ch, _, err := s.findKeyValue(ctx, key)
	if errors.Is(err, ErrKeyNotFound) {
		return nil, ingest.ErrUnknownKey
	}
	if err != nil {
		return nil, err
	}
	if !p.Encrypted && !ch.InsecureIngest {
		return nil, fmt.Errorf("channel %s: %w", ch.ID, ingest.ErrInsecure)
	}
	pub, err := s.admit(ch, p, time.Now())
	if err != nil {
		return nil, fmt.Errorf("channel %s: %w", ch.ID, err)
	}
	// Delete removes the record and cuts the publisher after; one that came in
	// between sees here that the record is gone.
	if _, err := s.Get(ctx, ch.ID); err != nil {
		pub.Close(true)
		if errors.Is(err, ErrNotFound) {
			err = ingest.ErrUnknownKey
		}
		return nil, err
	}
	return pub, nil
}

// admit gives the publisher the channel if nobody has it.
func (s *Service) admit(ch Channel, p ingest.Publisher, now time.Time) (*publication, error) {
	l := s.lockLive(ch)
	defer l.mu.Unlock()
	log := s.log.With("channel", ch.ID, "remote", p.Remote)
	if old := l.publisher; old != nil {
		if now.Sub(old.last) < takeoverAfter {
			return nil, ingest.ErrBusy
		}
		log.Info("a publisher takes the place of a silent one")
		close(old.stopped)
	}
	if l.broadcast == nil {
		l.broadcast = &Broadcast{
			Channel: ch.ID, Region: ch.Region, Run: strings.ToLower(randomID(12)),
			Packager: packager.New(s.cfg.Packager, s.log.With("channel", ch.ID)),
		}
	}
	l.broadcast.Begin()
	l.publisher = &publication{s: s, l: l, remote: p.Remote, stopped: make(chan struct{}), last: now}
	log.Info("a publisher is connected")
	return l.publisher, nil
}

// lockLive returns the channel's live with its lock held, and makes it if there
// is none. Locks nest in this order: Service.mu, live.mu.
func (s *Service) lockLive(ch Channel) *live {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lives[ch.ID]
	if l == nil {
		l = &live{channel: ch}
		s.lives[ch.ID] = l
	}
	l.mu.Lock()
	return l
}

// findLive returns the channel's live with its lock held, or nil.
func (s *Service) findLive(id ID) *live {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lives[id]
	if l != nil {
		l.mu.Lock()
	}
	return l
}

// Metadata is not used: it says nothing that the media does not.
func (p *publication) Metadata(ingest.Metadata) {}

func (p *publication) SetVideo(c h264.Config) error {
	return p.write(func(b *Broadcast, _ time.Time) error { return b.SetVideo(c) })
}

func (p *publication) SetAudio(c aac.Config) error {
	return p.write(func(b *Broadcast, _ time.Time) error { return b.SetAudio(c) })
}

func (p *publication) WriteVideo(sample packager.Sample) error {
	return p.write(func(b *Broadcast, now time.Time) error { return b.WriteVideo(now, sample) })
}

func (p *publication) WriteAudio(sample packager.Sample) error {
	return p.write(func(b *Broadcast, now time.Time) error { return b.WriteAudio(now, sample) })
}

// write lets f write to the broadcast, if it still is this publisher's.
func (p *publication) write(f func(*Broadcast, time.Time) error) error {
	now := time.Now()
	l := p.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.publisher != p {
		return errCut
	}
	p.last = now
	if err := f(l.broadcast, now); err != nil {
		// Nobody can go on with these playlists: the next publisher, even
		// this one again, gets new ones.
		l.leave(now)
		l.end(now)
		return err
	}
	if !l.broadcast.Playing() {
		return nil
	}
	if !p.live || !l.on(now) { // it begins, or comes back from a long pause
		p.live = true
		l.stream = Stream{ID: "st-" + randomID(23), ChannelID: l.channel.ID, Started: now}
		p.s.log.Info("the stream is live", "channel", l.channel.ID, "stream", l.stream.ID, "remote", p.remote)
	}
	l.lastMedia = now
	return nil
}

func (p *publication) Stopped() <-chan struct{} { return p.stopped }

// Close ends the publication. An orderly end ends the broadcast; after a loss
// it waits for a publisher that goes on.
func (p *publication) Close(orderly bool) {
	now := time.Now()
	l := p.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.publisher != p {
		return
	}
	l.leave(now)
	if orderly {
		l.end(now)
	}
	p.s.log.Info("the publisher has left", "channel", l.channel.ID, "remote", p.remote, "orderly", orderly)
}

// leave takes the publisher's place away; l.mu is held.
func (l *live) leave(now time.Time) {
	if l.publisher == nil {
		return
	}
	close(l.publisher.stopped)
	l.publisher = nil
	l.lost = now
	l.broadcast.Interrupt()
}

// end ends the broadcast and takes the stream off the air; l.mu is held.
func (l *live) end(now time.Time) {
	l.stream.ID = ""
	if l.broadcast == nil {
		return
	}
	l.broadcast.End()
	l.past, l.pastSince, l.broadcast = l.broadcast, now, nil
}

// Stream returns the channel's stream while it is live. It returns
// ErrNotBroadcasting when it is not, and ErrNotFound.
func (s *Service) Stream(ctx context.Context, id ID) (Stream, error) {
	if _, err := s.Get(ctx, id); err != nil {
		return Stream{}, err
	}
	l := s.findLive(id)
	if l == nil {
		return Stream{}, ErrNotBroadcasting
	}
	defer l.mu.Unlock()
	now := time.Now()
	if !l.on(now) {
		return Stream{}, ErrNotBroadcasting
	}
	stream := l.stream
	stream.Health = Healthy
	if now.Sub(l.lastMedia) > starvingAfter {
		stream.Health = Starving
	}
	if l.broadcast != nil {
		stream.Viewers = l.broadcast.Viewers(now)
	}
	return stream, nil
}

// StopStream cuts the publisher off; it may connect again. It returns
// ErrNotBroadcasting when the channel is not live, and ErrNotFound.
func (s *Service) StopStream(ctx context.Context, id ID) error {
	if _, err := s.Get(ctx, id); err != nil {
		return err
	}
	l := s.findLive(id)
	if l == nil {
		return ErrNotBroadcasting
	}
	defer l.mu.Unlock()
	now := time.Now()
	if !l.on(now) {
		return ErrNotBroadcasting
	}
	l.stream.ID = ""
	l.leave(now)
	return nil
}

// Broadcast returns what the channel sends now, if it can be played.
func (s *Service) Broadcast(id ID) (*Broadcast, bool) {
	l := s.findLive(id)
	if l == nil {
		return nil, false
	}
	defer l.mu.Unlock()
	if l.broadcast == nil || !l.on(time.Now()) {
		return nil, false
	}
	return l.broadcast, true
}

// BroadcastRun returns the broadcast of that name, also while its publisher is
// lost and for a while after its end.
func (s *Service) BroadcastRun(id ID, run string) (*Broadcast, bool) {
	l := s.findLive(id)
	if l == nil {
		return nil, false
	}
	defer l.mu.Unlock()
	for _, b := range []*Broadcast{l.broadcast, l.past} {
		if b != nil && b.Run == run {
			return b, true
		}
	}
	return nil, false
}

// tick does what is due: it cuts silent publishers off, and ends and forgets
// broadcasts whose time is over.
func (s *Service) tick(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, l := range s.lives {
		l.mu.Lock()
		if s.tickLive(l, now) {
			delete(s.lives, id)
		}
		l.mu.Unlock()
	}
}

// tickLive reports whether there is nothing left of l; l.mu is held.
func (s *Service) tickLive(l *live, now time.Time) bool {
	log := s.log.With("channel", l.channel.ID)
	if l.stream.ID != "" && !l.on(now) {
		log.Warn("the stream has gone silent and is not live any more", "stream", l.stream.ID)
		l.stream.ID = ""
	}
	if p := l.publisher; p != nil && now.Sub(p.last) > cutAfter {
		log.Warn("a publisher that sends nothing is cut off", "remote", p.remote)
		l.leave(now)
	}
	if l.publisher == nil && l.broadcast != nil && now.Sub(l.lost) > s.cfg.Retention {
		l.end(now)
	}
	if l.past != nil && now.Sub(l.pastSince) > endedFor {
		l.past = nil
	}
	return l.publisher == nil && l.broadcast == nil && l.past == nil
}

// checkOff returns ErrLive while the channel is live.
func (s *Service) checkOff(id ID) error {
	l := s.findLive(id)
	if l == nil {
		return nil
	}
	defer l.mu.Unlock()
	if l.on(time.Now()) {
		return ErrLive
	}
	return nil
}

// shut ends all that a deleted channel is up to.
func (s *Service) shut(id ID) {
	l := s.findLive(id)
	if l == nil {
		return
	}
	defer l.mu.Unlock()
	now := time.Now()
	l.leave(now)
	l.end(now)
}
