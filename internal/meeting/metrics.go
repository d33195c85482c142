package meeting

import (
	"context"
	"maps"
	"sync"
	"time"

	"belfry.live/belfry/internal/meeting/mix"
	"belfry.live/belfry/internal/meeting/port"
	"belfry.live/belfry/internal/meeting/rtc"
	"belfry.live/belfry/internal/meeting/signal"
	"belfry.live/belfry/internal/meeting/telemetry"
)

// Metrics are what a service has and what it has counted since its beginning.
// Nothing in them is of a single meeting or attendee.
type Metrics struct {
	Meetings    int // that have not ended
	Rooms       int // meetings somebody is in
	Connections int // signaling sockets
	Peers       int // media connections
	Attendees   int // joined; neither our own nor shares are counted
	Audience    int // of them, from replicas
	Hidden      int // our own
	Shares      int
	Cameras     int
	Speaking    int // in whose rooms' mixes there is sound now
	Stored      int // data messages kept for who comes later

	CPU     float64 // share of the cores that the process used of late
	Bitrate int     // bit/s sent of late
	Closed  bool    // nobody can join: too much load

	Joins, Rejoins, Replaced, Drops, Promotions int64
	Relayed                                     int64 // joins that were sent to TURN
	Unreached                                   int64 // connections whose media got nowhere
	Refusals                                    map[string]int64

	Messages, MessagesDelivered, MessagesReplayed       int64
	MessagesThrottled, MessagesFlooded, MessagesRefused int64

	EventBodies, EventBodiesRefused int64 // of clients

	EventsDropped uint64 // that were not written down

	Signal signal.Stats
	Media  Media
	Mix    mix.Load
	Port   port.Stats
	Client telemetry.Snapshot
}

// Media adds up all peer connections, those that are no more included.
type Media struct {
	AudioReceived, AudioLost, AudioRecovered, AudioSent, AudioDropped uint64 // packets
	VideoSent, VideoResent, VideoDropped, VideoMissed                 uint64 // packets
	Unsupported                                                       uint64 // key frames
	WriteFailed                                                       uint64 // packets
	Dropped                                                           map[string]uint64

	Decoded, Broken              uint64 // packets of the mixes' voices
	Concealed, Skipped, Repaired uint64 // samples, samples, packets
}

// metricsTimeout bounds how long a room may take to answer.
const metricsTimeout = time.Second

// Metrics returns the counts as they are now.
func (s *Service) Metrics(ctx context.Context) Metrics {
	ctx, cancel := context.WithTimeout(ctx, metricsTimeout)
	defer cancel()
	rooms, meetings := s.liveRooms()
	c := &s.counts
	m := Metrics{
		Meetings: meetings, Rooms: len(rooms), Connections: int(s.gate.connections.Load()),
		CPU: s.gate.usedCPU(), Bitrate: int(s.gate.bitrate.Load()), Closed: s.gate.busy.Load() != nil,
		Joins: c.joins.Load(), Rejoins: c.rejoins.Load(), Replaced: c.replaced.Load(), Drops: c.drops.Load(),
		Promotions: c.promotions.Load(), Relayed: c.relayed.Load(), Unreached: c.unreached.Load(),
		Refusals: make(map[string]int64, refusals),
		Messages: c.messages.Load(), MessagesDelivered: c.messagesDelivered.Load(), MessagesReplayed: c.messagesReplayed.Load(),
		MessagesThrottled: c.messagesThrottled.Load(), MessagesFlooded: c.messagesFlooded.Load(), MessagesRefused: c.messagesRefused.Load(),
		EventBodies: c.events.Load(), EventBodiesRefused: c.eventsRefused.Load(),
		EventsDropped: s.history.Dropped(),
		Signal:        s.cfg.Signal.Counts.Stats(),
		Client:        s.tally.Snapshot(),
	}
	for i, name := range refusalNames {
		m.Refusals[name] = c.refusals[i].Load()
	}
	if t := s.cfg.Transport; t != nil {
		m.Port, m.Peers = t.Port().Stats(), t.Peers()
	}
	s.past.add(func(media *Media, load *mix.Load) {
		m.Media, m.Mix = *media, *load
		m.Media.Dropped = maps.Clone(media.Dropped)
	})
	for _, r := range rooms {
		// A room that ends meanwhile has nobody in it.
		_ = r.do(ctx, func() error {
			r.report(&m)
			return nil
		})
	}
	return m
}

// report adds what is in a room.
func (r *room) report(m *Metrics) {
	for _, s := range r.seats {
		switch {
		case s.ours:
			m.Hidden++
		case s.share:
			m.Shares++
		default:
			m.Attendees++
		}
		if s.audience && s.hidden && !s.share {
			m.Audience++
		}
	}
	m.Cameras += r.cameras()
	m.Stored += len(r.board.stored)
	r.levels = r.mixer.Levels(r.levels[:0])
	m.Speaking += len(r.levels)
	for s := range r.all {
		m.Media.count(s)
	}
	addLoad(&m.Mix, r.mixer.Load())
}

// past is what was counted by what is no more.
type past struct {
	mu    sync.Mutex // guards what follows
	media Media
	load  mix.Load
}

func (p *past) add(f func(*Media, *mix.Load)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.media.Dropped == nil {
		p.media.Dropped = map[string]uint64{}
	}
	f(&p.media, &p.load)
}

// count adds one seat's peer, and its voice if it is in the mix.
func (m *Media) count(s *seat) {
	if p := s.peer.Load(); p != nil {
		m.addPeer(p.Stats())
	}
	if p := s.participant.Load(); p != nil {
		m.addVoice(p.Stats())
	}
}

func (m *Media) addVoice(v mix.Stats) {
	m.Decoded += v.Decoded
	m.Broken += v.Broken
	m.Concealed += v.Concealed
	m.Skipped += v.Skipped
	m.Repaired += v.Repaired
}

func addLoad(to *mix.Load, l mix.Load) {
	to.Ticks += l.Ticks
	to.Late += l.Late
	to.Skipped += l.Skipped
	to.Encoded += l.Encoded
	to.Busy += l.Busy
}

func (m *Media) addPeer(p rtc.Stats) {
	m.AudioReceived += uint64(p.AudioReceived)
	m.AudioLost += uint64(p.AudioLost)
	m.AudioRecovered += p.AudioRecovered
	m.AudioSent += uint64(p.AudioSent)
	m.AudioDropped += p.AudioDropped
	m.WriteFailed += p.WriteFailed
	for _, x := range p.Sections {
		m.VideoSent += x.Sent
		m.VideoResent += x.Resent
		m.VideoDropped += x.Dropped
		m.VideoMissed += x.Missed
		m.Unsupported += x.Unsupported
	}
	for why, n := range p.ReceiveDropped {
		m.Dropped[why] += n
	}
}
