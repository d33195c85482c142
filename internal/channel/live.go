package channel

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
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
	// oftenAfter is how long an event is not told again that whoever knocks at
	// the door can bring about.
	oftenAfter = 10 * time.Second
)

// A live is what a channel with a publisher, or with one not long ago, is up to.
type live struct {
	mu         sync.Mutex // guards what follows, and is held to write to the broadcast
	channel    Channel
	publisher  *publication // nil: none
	challenger *publication // wants to take over with a higher priority; nil: none
	broadcast  *Broadcast   // nil: none, or ended
	past       *Broadcast   // the last one that ended
	pastSince  time.Time
	lost       time.Time // when the last publisher was lost

	run *run // the publisher's; nil: none, or its stream ended in a long pause
	air *run // what viewers see; its publisher may just have gone

	metadata *rate.Limiter // of timed metadata; nil: there was none

	crowded bool                 // its owner has too many viewers, and that was told
	told    map[string]time.Time // when events that come often were told, by name and code
}

// A run is a stream session under way.
type run struct {
	Stream
	created   time.Time
	last      time.Time // media, once it is on the air
	starving  bool      // and that was told
	takeovers int
}

// on tells whether the channel is live; l.mu is held.
func (l *live) on(now time.Time) bool {
	return l.air != nil && now.Sub(l.air.last) < offlineAfter
}

// stream describes what is on the air; l.mu is held.
func (l *live) stream(now time.Time) Stream {
	stream := l.air.Stream
	stream.Health = Healthy
	if now.Sub(l.air.last) > starvingAfter {
		stream.Health = Starving
	}
	if l.broadcast != nil {
		stream.Viewers = l.broadcast.Viewers(now)
	}
	return stream
}

func (l *live) runID() string {
	if l.run == nil {
		return ""
	}
	return l.run.ID
}

func (l *live) event(stream string, kind EventKind, name string, now time.Time) Event {
	return newEvent(l.channel, stream, kind, name, now)
}

// often tells whether an event may be told that could come too often.
func (l *live) often(what string, now time.Time) bool {
	if now.Sub(l.told[what]) < oftenAfter {
		return false
	}
	if l.told == nil {
		l.told = map[string]time.Time{}
	}
	l.told[what] = now
	return true
}

// happened tells a change of the stream's state or health; l.mu is held.
func (s *Service) happened(l *live, r *run, kind EventKind, name, reason string, now time.Time) {
	e := l.event(r.ID, kind, name, now)
	e.Reason = reason
	s.recorder.happened(e)
}

// begin opens a session for the publisher; l.mu is held.
func (s *Service) begin(l *live, now time.Time) {
	l.run = &run{Stream: Stream{ID: "st-" + randomID(23), ChannelID: l.channel.ID}, created: now}
	s.recorder.begin(l.channel, l.run.ID, now, l.publisher.in)
	s.happened(l, l.run, StateChange, SessionCreated, "", now)
}

// start puts the publisher's run on the air; l.mu is held.
func (s *Service) start(l *live, now time.Time) {
	s.fade(l, now, "")
	l.air = l.run
	l.air.Started = now
	s.learned(l)
	s.happened(l, l.air, StateChange, StreamStart, "", now)
	s.log.Info("the stream is live", "channel", l.channel.ID, "stream", l.air.ID, "remote", l.publisher.remote)
}

// learned writes down what the publisher says of its stream; l.mu is held.
func (s *Service) learned(l *live) {
	if p := l.publisher; p != nil && p.news && l.run != nil {
		p.news = false
		s.recorder.learned(l.channel.ID, l.run.ID, p.in)
	}
}

// fade takes what is on the air off it; l.mu is held.
func (s *Service) fade(l *live, now time.Time, reason string) {
	if l.air == nil {
		return
	}
	s.happened(l, l.air, StateChange, StreamEnd, reason, now)
	l.air = nil
}

// finish ends the publisher's session; l.mu is held.
func (s *Service) finish(l *live, now time.Time, reason string) {
	if l.run == nil {
		return
	}
	s.happened(l, l.run, StateChange, SessionEnded, reason, now)
	l.run = nil
}

// leave takes the publisher's place away; l.mu is held. What is on the air
// stays a moment, for another to go on with it.
func (s *Service) leave(l *live, now time.Time, reason string) {
	if l.publisher == nil {
		return
	}
	s.learned(l)
	close(l.publisher.stopped)
	l.publisher = nil
	l.lost = now
	l.broadcast.Interrupt()
	s.seats.give(l.channel.Owner())
	s.finish(l, now, reason)
}

// end ends the broadcast and takes the stream off the air; l.mu is held.
func (s *Service) end(l *live, now time.Time) {
	s.fade(l, now, "")
	if l.broadcast == nil {
		return
	}
	l.broadcast.End()
	l.past, l.pastSince, l.broadcast = l.broadcast, now, nil
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
	s.learned(l)
	switch r := l.air; {
	case r == nil:
	case !l.on(now):
		log.Warn("the stream has gone silent and is not live any more", "stream", r.ID)
		s.silence(l, now)
	case now.Sub(r.last) > starvingAfter && !r.starving:
		r.starving = true
		s.happened(l, r, HealthChange, StarvationStart, "", now)
	}
	if p := l.publisher; p != nil && now.Sub(p.last) > cutAfter {
		log.Warn("a publisher that sends nothing is cut off", "remote", p.remote)
		s.leave(l, now, "the publisher sent nothing for "+cutAfter.String())
	}
	if l.run != nil && now.Sub(l.run.created) > s.cfg.MaxStream {
		log.Warn("a stream is cut off that has lasted too long", "stream", l.run.ID)
		s.leave(l, now, "the stream has lasted "+s.cfg.MaxStream.String()+", the limit")
		s.end(l, now)
	}
	if p := l.challenger; p != nil && now.Sub(p.since) > challengeTime {
		s.refuseTakeover(l, p, CodeMediaMismatch, "it sent no picture and sound like the stream's within "+challengeTime.String(), now)
	}
	if l.publisher == nil && l.broadcast != nil && now.Sub(l.lost) > s.cfg.Retention {
		s.end(l, now)
	}
	if l.past != nil && now.Sub(l.pastSince) > endedFor {
		l.past = nil
	}
	for what, at := range l.told {
		if now.Sub(at) >= oftenAfter {
			delete(l.told, what)
		}
	}
	return l.publisher == nil && l.challenger == nil && l.broadcast == nil && l.past == nil && l.air == nil && len(l.told) == 0
}

// silence ends a stream whose media stays away, and its session, even if the
// publisher is still there: what it sends after a long pause is another stream.
func (s *Service) silence(l *live, now time.Time) {
	reason := "no media for " + offlineAfter.String()
	same := l.run == l.air
	s.fade(l, now, reason)
	if same {
		s.finish(l, now, reason)
	}
}

// closeAll ends everything that is live.
func (s *Service) closeAll(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed.Store(true)
	for _, l := range s.lives {
		l.mu.Lock()
		s.cut(l, now, "the server stops")
		l.mu.Unlock()
	}
}

// cut ends all that a channel is up to; l.mu is held.
func (s *Service) cut(l *live, now time.Time, reason string) {
	if l.challenger != nil {
		close(l.challenger.stopped)
		l.challenger = nil
	}
	s.leave(l, now, reason)
	s.end(l, now)
}
