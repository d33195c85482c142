package channel

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"belfry.live/belfry/internal/channel/ingest"
	"belfry.live/belfry/internal/store"
	"belfry.live/belfry/internal/wire/aac"
	"belfry.live/belfry/internal/wire/h264"
)

// maxSessionEvents is how many events a session keeps, the newest.
const maxSessionEvents = 500

// A Session is the record of one run of a channel: of a publisher's connection,
// or, when one was silent for so long that the stream ended, of a part of it.
type Session struct {
	StreamID string
	Channel  Channel   // as it was when the session began
	Created  time.Time // the publisher was let in
	Started  time.Time // there was something to play; zero: there never was
	Ended    time.Time // zero: it goes on
	Ingest   Ingest
	Events   []Event // oldest first
	// Failed says that an event told of a failure or of a limit, also one that
	// is not kept any more.
	Failed bool
}

// Ingest is what a publisher sends. Zero and empty mean unknown.
type Ingest struct {
	Encoder string `json:",omitempty"`

	VideoCodec         string  `json:",omitempty"` // as in RFC 6381: avc1.64001f
	VideoProfile       uint8   `json:",omitempty"` // profile_idc
	VideoLevel         uint8   `json:",omitempty"` // level_idc
	Width, Height      int     `json:",omitempty"` // pixels
	FrameRate          float64 `json:",omitempty"` // Hz
	VideoBitrate       int     `json:",omitempty"` // bit/s, as the publisher says
	AudioCodec         string  `json:",omitempty"`
	AudioBitrate       int     `json:",omitempty"` // bit/s, as the publisher says
	SampleRate, Sounds int     `json:",omitempty"` // Hz; audio channels
}

func (i *Ingest) describe(m ingest.Metadata) {
	i.Encoder = cmp.Or(m.Encoder, i.Encoder)
	i.VideoBitrate = cmp.Or(m.VideoBitrate, i.VideoBitrate)
	i.AudioBitrate = cmp.Or(m.AudioBitrate, i.AudioBitrate)
	i.FrameRate = cmp.Or(m.FrameRate, i.FrameRate)
}

func (i *Ingest) setVideo(c h264.Config) {
	i.VideoCodec, i.VideoProfile, i.VideoLevel = c.Codec(), c.Profile, c.Level
	i.Width, i.Height = c.Width, c.Height
	i.FrameRate = cmp.Or(i.FrameRate, math.Round(100*c.FrameRate())/100)
}

func (i *Ingest) setAudio(c aac.Config) {
	i.AudioCodec, i.SampleRate, i.Sounds = c.Codec(), c.SampleRate, c.Channels
}

// Sessions returns the sessions of the owner's channel, newest first, also
// those of a channel that is deleted. If there are none and no such channel
// either, it returns ErrNotFound.
func (s *Service) Sessions(ctx context.Context, o Owner, id ID) ([]Session, error) {
	if !isID(string(id)) {
		return nil, ErrNotFound
	}
	rows, err := s.recorder.sessions.List(ctx, string(id)+".")
	if err != nil {
		return nil, fmt.Errorf("list stream sessions: %w", err)
	}
	found := make([]Session, 0, len(rows))
	for _, row := range rows {
		session, err := parseSession(row)
		if err != nil {
			return nil, err
		}
		if session.Channel.Account == o.Account && session.Channel.Region == o.Region {
			found = append(found, session)
		}
	}
	if len(found) > 0 {
		return found, nil
	}
	ch, err := s.Get(ctx, id)
	if err == nil && (ch.Account != o.Account || ch.Region != o.Region) {
		err = ErrNotFound
	}
	return nil, err
}

// Session returns the session of the stream, or the newest of the owner's
// channel if stream is "". It returns ErrSessionNotFound if there is none, and
// ErrNotFound.
func (s *Service) Session(ctx context.Context, o Owner, id ID, stream string) (Session, error) {
	all, err := s.Sessions(ctx, o, id)
	if err != nil {
		return Session{}, err
	}
	i := slices.IndexFunc(all, func(session Session) bool { return stream == "" || session.StreamID == stream })
	if i < 0 {
		return Session{}, ErrSessionNotFound
	}
	return all[i], nil
}

// sessionKey names a session's record: those of a channel are together, the
// newest first.
func sessionKey(id ID, created time.Time, stream string) string {
	const last = 9_999_999_999_999 // milliseconds, in the year 2286
	return fmt.Sprintf("%s.%013d.%s", id, last-created.UnixMilli(), stream)
}

func (s Session) key() string { return sessionKey(s.Channel.ID, s.Created, s.StreamID) }

func parseSession(row store.Record) (Session, error) {
	var s Session
	if err := json.Unmarshal(row.Value, &s); err != nil {
		return Session{}, fmt.Errorf("read the record of session %s: %w", row.Key, err)
	}
	return s, nil
}

// note adds an event.
func (s *Session) note(e Event) {
	s.Events = append(s.Events, e)
	if extra := len(s.Events) - maxSessionEvents; extra > 0 {
		s.Events = slices.Delete(s.Events, 0, extra)
	}
	s.Failed = s.Failed || e.IsError()
	if e.Name == StreamStart {
		s.Started = e.Time
	}
}

// over says whether nothing more can happen to the session.
func (s *Session) over() bool {
	ended := func(name string) bool {
		return slices.ContainsFunc(s.Events, func(e Event) bool { return e.Name == name })
	}
	return ended(SessionEnded) && (s.Started.IsZero() || ended(StreamEnd))
}
