package ingest

import (
	"errors"
	"fmt"
	"time"

	"belfry.live/belfry/internal/channel/packager"
	"belfry.live/belfry/internal/wire/aac"
	"belfry.live/belfry/internal/wire/flv"
	"belfry.live/belfry/internal/wire/h264"
	"belfry.live/belfry/internal/wire/rtmp"
)

// maxChannels is what AAC may have here, as at AWS.
const maxChannels = 2

// onData takes metadata and leaves other data messages alone.
func (s *session) onData(m rtmp.Message) {
	if s.pub == nil {
		return
	}
	name, values, err := rtmp.ParseData(m)
	if err != nil || name != "onMetaData" || len(values) == 0 {
		return
	}
	s.pub.Metadata(flv.ParseMetadata(values[0]))
}

// onAggregate takes the tags of an aggregate message apart. Their times are
// relative to the first one's.
func (s *session) onAggregate(m rtmp.Message) error {
	var first uint32
	for b, n := m.Payload, 0; len(b) > 0; n++ {
		t, rest, err := flv.ParseTag(b)
		if err != nil {
			return fmt.Errorf("aggregate message: %w", err)
		}
		if n == 0 {
			first = t.Time
		}
		at := m.Time + t.Time - first
		switch t.Type {
		case flv.TypeVideo:
			err = s.onVideo(at, t.Data)
		case flv.TypeAudio:
			err = s.onAudio(at, t.Data)
		case flv.TypeScript:
			s.onData(rtmp.Message{Type: rtmp.TypeDataAMF0, Payload: t.Data})
		}
		if err != nil {
			return err
		}
		b = rest
	}
	return nil
}

func (s *session) onVideo(at uint32, body []byte) error {
	if s.pub == nil {
		return nil
	}
	v, err := flv.ParseVideo(body)
	switch {
	case errors.Is(err, flv.ErrIgnore):
		return nil
	case err != nil:
		return mediaError("video", err)
	}
	s.alive(time.Now())
	switch v.Packet {
	case flv.SequenceHeader:
		return s.onVideoConfig(v.Data)
	case flv.EndOfSequence:
		return nil
	}
	if !s.hasVideo || len(v.Data) == 0 {
		s.server.ignored.Add(1)
		return nil
	}
	found, err := h264.Inspect(v.Data, s.video.LengthSize)
	if err != nil {
		return mediaError("video", err)
	}
	if !found.Slice {
		s.server.ignored.Add(1) // parameter sets, SEI or filler without a picture
		return nil
	}
	data := v.Data
	if s.video.LengthSize != 4 {
		if s.scratch, err = h264.AppendLength4(s.scratch[:0], data, s.video.LengthSize); err != nil {
			return mediaError("video", err)
		}
		data = s.scratch
	}
	dts := s.clock.At(at)
	return mediaError("video", s.pub.WriteVideo(packager.Sample{
		DTS: dts,
		PTS: dts + v.Composition,
		// The flag also marks the recovery points of open GOPs.
		KeyFrame: v.KeyFrame || found.IDR,
		Data:     data,
	}))
}

func (s *session) onVideoConfig(b []byte) error {
	if len(b) == 0 {
		return nil // ffmpeg sends one without extradata, and the real one later
	}
	c, err := h264.ParseConfig(b)
	if err != nil {
		return mediaError("video", err)
	}
	if s.hasVideo && c.Equal(s.video) {
		return nil
	}
	s.video, s.hasVideo = c, true
	c.LengthSize = 4 // as the samples will have
	return mediaError("video", s.pub.SetVideo(c))
}

func (s *session) onAudio(at uint32, body []byte) error {
	if s.pub == nil {
		return nil
	}
	a, err := flv.ParseAudio(body)
	switch {
	case errors.Is(err, flv.ErrIgnore):
		return nil
	case err != nil:
		return mediaError("audio", err)
	}
	s.alive(time.Now())
	if a.Packet == flv.SequenceHeader {
		return s.onAudioConfig(a.Data)
	}
	if !s.hasAudio || len(a.Data) == 0 {
		s.server.ignored.Add(1)
		return nil
	}
	t := s.clock.At(at)
	return mediaError("audio", s.pub.WriteAudio(packager.Sample{DTS: t, PTS: t, Data: a.Data}))
}

func (s *session) onAudioConfig(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	c, err := aac.ParseConfig(b)
	switch {
	case err != nil:
		return mediaError("audio", err)
	case c.ObjectType != aac.TypeLC:
		return mediaError("audio", fmt.Errorf("audio is %s, only AAC-LC (mp4a.40.2) is supported", c.Codec()))
	case c.Channels > maxChannels:
		return mediaError("audio", fmt.Errorf("audio has %d channels, limit %d", c.Channels, maxChannels))
	case s.hasAudio && c == s.audio:
		return nil
	}
	s.audio, s.hasAudio = c, true
	return mediaError("audio", s.pub.SetAudio(c))
}

// mediaError makes an error, if it is one, into what ends the session with its
// text told to the publisher.
func mediaError(kind string, err error) error {
	if err == nil {
		return nil
	}
	var codec *flv.CodecError
	if errors.As(err, &codec) {
		err = fmt.Errorf("%w: send H.264 video and AAC audio", err)
	}
	err = fmt.Errorf("%s: %w", kind, err)
	return &refusal{rtmp.Status{Level: rtmp.LevelError, Code: rtmp.CodePublishRejected, Description: err.Error()}, err}
}
