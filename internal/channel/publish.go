package channel

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"belfry.live/belfry/internal/channel/ingest"
	"belfry.live/belfry/internal/channel/packager"
	"belfry.live/belfry/internal/wire/aac"
	"belfry.live/belfry/internal/wire/h264"
)

var (
	errCut    = errors.New("the stream was stopped")
	errClosed = errors.New("the server stops")
)

// A publication is one publisher's connection. It implements ingest.Publication.
type publication struct {
	// Fixed by admit.
	s           *Service
	l           *live
	remote      string
	since       time.Time
	priority    int64 // 0: none
	badPriority error
	stopped     chan struct{} // closed, with l.mu held, when the publisher loses its place

	// Guarded by l.mu.
	last     time.Time // media, or the connection before there is any
	meter    meter
	in       Ingest
	news     bool // in changed and was not written down yet
	video    h264.Config
	hasVideo bool
	audio    aac.Config
	hasAudio bool
}

// Publish lets the publisher with the key begin. It implements ingest.Desk.
func (s *Service) Publish(ctx context.Context, key string, p ingest.Publisher) (ingest.Publication, error) {
	now := time.Now()
	ch, streamKey, err := s.findKeyValue(key)
	if errors.Is(err, ErrKeyNotFound) {
		return nil, ingest.ErrUnknownKey
	}
	if err != nil {
		return nil, err
	}
	if streamKey.Expired(now) {
		return nil, fmt.Errorf("channel %s: %w", ch.ID, ingest.ErrExpired)
	}
	if !p.Encrypted && !ch.InsecureIngest {
		return nil, fmt.Errorf("channel %s: %w", ch.ID, ingest.ErrInsecure)
	}
	pub, err := s.admit(ch, p, now)
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

// admit gives the publisher the channel if nobody has it, or lets it try to
// take over.
func (s *Service) admit(ch Channel, by ingest.Publisher, now time.Time) (*publication, error) {
	l := s.lockLive(ch)
	defer l.mu.Unlock()
	p := &publication{
		s: s, l: l, remote: by.Remote, since: now, last: now, stopped: make(chan struct{}),
		in: Ingest{Encoder: by.Encoder},
	}
	p.priority, p.badPriority = parsePriority(by.Query)
	log := s.log.With("channel", ch.ID, "remote", by.Remote)
	if s.closed.Load() {
		return nil, errClosed
	}
	if old := l.publisher; old != nil {
		if now.Sub(old.last) < takeoverAfter {
			return p, s.challenge(l, p, now)
		}
		log.Info("a publisher takes the place of a silent one")
		s.leave(l, now, "another publisher took the place of the silent one")
	}
	if !s.seats.take(ch.Owner()) {
		s.tooMany(l, now)
		return nil, ingest.ErrTooMany
	}
	s.enter(l, p)
	s.begin(l, now)
	log.Info("a publisher is connected")
	return p, nil
}

// enter makes p the publisher, whose seat is taken already; l.mu is held.
func (s *Service) enter(l *live, p *publication) {
	if l.broadcast == nil {
		l.broadcast = &Broadcast{
			Channel: l.channel.ID, Run: strings.ToLower(randomID(12)),
			Packager: packager.New(s.cfg.Packager, s.log.With("channel", l.channel.ID)),
		}
	}
	l.broadcast.Begin()
	l.publisher = p
	p.news = true
}

// tooMany tells that the owner has as many publishers as it may; l.mu is held.
func (s *Service) tooMany(l *live, now time.Time) {
	if !l.often(ConcurrentBroadcast, now) {
		return
	}
	e := l.event("", LimitBreach, ConcurrentBroadcast, now)
	e.Breach = &Breach{Limit: int64(s.cfg.MaxStreams), ExceededBy: 1, Unit: "broadcasts"}
	s.recorder.happened(e)
}

// Metadata takes what the publisher says of its stream.
func (p *publication) Metadata(m ingest.Metadata) {
	p.learn(func(in *Ingest) { in.describe(m) })
}

// learn changes what is known of the publisher's stream.
func (p *publication) learn(f func(*Ingest)) {
	p.l.mu.Lock()
	defer p.l.mu.Unlock()
	before := p.in
	f(&p.in)
	p.news = p.news || p.in != before
}

func (p *publication) SetVideo(c h264.Config) error {
	p.learn(func(in *Ingest) { in.setVideo(c) })
	return p.configure(func(b *Broadcast) error { return b.SetVideo(c) }, func() { p.video, p.hasVideo = c, true })
}

func (p *publication) SetAudio(c aac.Config) error {
	p.learn(func(in *Ingest) { in.setAudio(c) })
	return p.configure(func(b *Broadcast) error { return b.SetAudio(c) }, func() { p.audio, p.hasAudio = c, true })
}

// configure notes a codec's configuration, and tells it the broadcast.
func (p *publication) configure(tell func(*Broadcast) error, note func()) error {
	now := time.Now()
	l := p.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if !p.there() {
		return errCut
	}
	note()
	p.last = now
	if l.challenger == p {
		_, err := p.s.advance(l, p, false, now)
		return err
	}
	if err := tell(l.broadcast); err != nil {
		return p.fail(err, now)
	}
	return nil
}

func (p *publication) WriteVideo(sample packager.Sample) error {
	return p.write(sample, sample.KeyFrame, func(b *Broadcast, now time.Time) error { return b.WriteVideo(now, sample) })
}

func (p *publication) WriteAudio(sample packager.Sample) error {
	return p.write(sample, false, func(b *Broadcast, now time.Time) error { return b.WriteAudio(now, sample) })
}

// write lets f write to the broadcast, if it still is this publisher's.
func (p *publication) write(sample packager.Sample, keyFrame bool, f func(*Broadcast, time.Time) error) error {
	now := time.Now()
	s, l := p.s, p.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if !p.there() {
		return errCut
	}
	p.last = now
	if l.challenger == p {
		if ours, err := s.advance(l, p, keyFrame, now); err != nil || !ours {
			return err
		}
	}
	if err := s.checkLimits(l, p, sample, now); err != nil {
		return err
	}
	if err := f(l.broadcast, now); err != nil {
		return p.fail(err, now)
	}
	if !l.broadcast.Playing() {
		return nil
	}
	if l.air != nil && l.air == l.run && !l.on(now) { // it comes back before anybody noticed the pause
		s.silence(l, now)
	}
	if l.run == nil {
		p.news = true
		s.begin(l, now)
	}
	if l.air != l.run {
		s.start(l, now)
	}
	if l.air.starving {
		l.air.starving = false
		s.happened(l, l.air, HealthChange, StarvationEnd, "", now)
	}
	l.air.last = now
	return nil
}

// there tells whether the publication still has a place; l.mu is held.
func (p *publication) there() bool { return p.l.publisher == p || p.l.challenger == p }

// fail ends a broadcast that cannot take the publisher's media: nobody can go
// on with these playlists, and the next publisher, even this one again, gets
// new ones. l.mu is held.
func (p *publication) fail(err error, now time.Time) error {
	if p.l.run != nil {
		p.s.happened(p.l, p.l.run, StateChange, StreamFailure, err.Error(), now)
	}
	p.s.leave(p.l, now, err.Error())
	p.s.end(p.l, now)
	return err
}

func (p *publication) Stopped() <-chan struct{} { return p.stopped }

// Close ends the publication. An orderly end ends the broadcast; after a loss
// it waits for a publisher that goes on.
func (p *publication) Close(orderly bool) {
	now := time.Now()
	s, l := p.s, p.l
	l.mu.Lock()
	defer l.mu.Unlock()
	switch p {
	case l.challenger:
		close(p.stopped)
		l.challenger = nil
		return
	case l.publisher:
	default:
		return
	}
	if orderly {
		s.leave(l, now, "")
		s.end(l, now)
	} else {
		s.leave(l, now, "the publisher's connection was lost")
	}
	s.log.Info("the publisher has left", "channel", l.channel.ID, "remote", p.remote, "orderly", orderly)
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
	return l.stream(now), nil
}

// Streams returns what the owner's channels have on the air.
func (s *Service) Streams(o Owner) []Stream {
	now := time.Now()
	var found []Stream
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lives {
		l.mu.Lock()
		if l.channel.Owner() == o && l.on(now) {
			found = append(found, l.stream(now))
		}
		l.mu.Unlock()
	}
	return found
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
	s.leave(l, now, "the stream was stopped")
	s.fade(l, now, "the stream was stopped")
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
	s.cut(l, time.Now(), "the channel was deleted")
}
