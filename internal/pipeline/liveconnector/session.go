package liveconnector

import (
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/pion/rtp"

	"belfry.live/belfry/internal/attendee"
	"belfry.live/belfry/internal/media/av"
	"belfry.live/belfry/internal/media/jitter"
)

// A session is the engine's end of the meeting: what the attendee receives
// goes on to the engine.
type session struct {
	// Fixed by newSession.
	job    Job
	engine *Engine
	client *attendee.Client
	log    *slog.Logger

	mu      sync.Mutex // guards sources
	sources map[attendee.Source]*Source
}

func newSession(job Job, engine *Engine, log *slog.Logger) *session {
	s := &session{job: job, engine: engine, log: log, sources: map[attendee.Source]*Source{}}
	s.client = attendee.New(attendee.Config{
		SignalingURL:   job.SignalingURL,
		AttendeeID:     job.AttendeeID,
		ExternalUserID: job.ExternalUserID,
		JoinToken:      string(job.JoinToken),
		Log:            log,
		WantVideo:      s.wantVideo,
	}, attendee.Handler{
		Connected:    s.connected,
		Disconnected: s.disconnected,
		AudioRTP:     func(p *rtp.Packet, arrival time.Time) { engine.PushSound(received(p, arrival)) },
		AudioReport:  engine.SoundReport,
		VideoStarted: s.videoStarted,
		VideoRTP:     s.videoRTP,
		VideoReport:  s.videoReport,
		VideoEnded:   s.videoEnded,
	})
	return s
}

func (s *session) wantVideo(v attendee.Source) bool {
	ids, names := s.job.SelectedAttendeeIDs, s.job.SelectedExternalUserIDs
	return len(ids)+len(names) == 0 || slices.Contains(ids, v.Owner()) || slices.Contains(names, v.ExternalUserID)
}

func (s *session) connected(again bool) {
	s.log.Info("live connector joined the meeting", "again", again)
}

func (s *session) disconnected(err error) {
	s.log.Warn("live connector lost the meeting and joins again", "err", err)
	s.engine.RestartSound()
}

func (s *session) videoStarted(v attendee.Source, c attendee.Codec) {
	var codec av.Codec
	switch c {
	case attendee.VP8:
		codec = av.VP8
	case attendee.H264:
		codec = av.H264
	default:
		s.log.Warn("video in a codec that is not decoded", "attendee", v.AttendeeID, "codec", c)
		return
	}
	source := s.engine.AddSource(SourceConfig{
		Codec: codec, Screen: v.Content(), RequestKey: func() { s.client.RequestKeyFrame(v) },
	})
	s.mu.Lock()
	before := s.sources[v]
	s.sources[v] = source
	s.mu.Unlock()
	if before != nil {
		before.Close()
	}
}

func (s *session) videoEnded(v attendee.Source) {
	s.mu.Lock()
	source := s.sources[v]
	delete(s.sources, v)
	s.mu.Unlock()
	if source != nil {
		source.Close()
	}
}

func (s *session) videoRTP(v attendee.Source, p *rtp.Packet, arrival time.Time) {
	if source := s.source(v); source != nil {
		source.Push(received(p, arrival))
	}
}

func (s *session) videoReport(v attendee.Source, ntp time.Time, timestamp uint32) {
	if source := s.source(v); source != nil {
		source.SenderReport(ntp, timestamp)
	}
}

func (s *session) source(v attendee.Source) *Source {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sources[v]
}

// received is what the jitter buffers need of a packet.
func received(p *rtp.Packet, arrival time.Time) jitter.Packet {
	return jitter.Packet{
		Sequence:  p.SequenceNumber,
		Timestamp: p.Timestamp,
		Marker:    p.Marker,
		Arrival:   arrival,
		Payload:   p.Payload,
	}
}
