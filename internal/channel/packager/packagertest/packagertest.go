// Package packagertest makes real media for tests: ffmpeg encodes what its
// arguments say, and out come the samples that an RTMP publisher would send.
package packagertest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"belfry.live/belfry/internal/channel/packager"
	"belfry.live/belfry/internal/wire/aac"
	"belfry.live/belfry/internal/wire/flv"
	"belfry.live/belfry/internal/wire/h264"
)

// An Event is one thing that a publisher sends; one of the pointers is set.
type Event struct {
	VideoConfig *h264.Config
	AudioConfig *aac.Config
	Video       *packager.Sample
	Audio       *packager.Sample
}

// Time returns the sample's decoding time, and 0 for a configuration.
func (e Event) Time() time.Duration {
	switch {
	case e.Video != nil:
		return e.Video.DTS
	case e.Audio != nil:
		return e.Audio.DTS
	}
	return 0
}

// A Sink takes media, as ingest.Publication does.
type Sink interface {
	SetVideo(h264.Config) error
	SetAudio(aac.Config) error
	WriteVideo(packager.Sample) error
	WriteAudio(packager.Sample) error
}

// Send hands the event to the sink.
func (e Event) Send(s Sink) error {
	switch {
	case e.VideoConfig != nil:
		return s.SetVideo(*e.VideoConfig)
	case e.AudioConfig != nil:
		return s.SetAudio(*e.AudioConfig)
	case e.Video != nil:
		return s.WriteVideo(*e.Video)
	}
	return s.WriteAudio(*e.Audio)
}

// Encode runs ffmpeg with the arguments, separated by blanks, and returns what
// it made. It skips the test when ffmpeg is not installed.
func Encode(t testing.TB, args string) []Event {
	t.Helper()
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skip("ffmpeg is not installed")
	}
	var out, log bytes.Buffer
	cmd := exec.Command("ffmpeg", strings.Fields("-hide_banner -loglevel error -nostdin "+args+" -f flv -")...)
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil {
		t.Fatalf("ffmpeg: %v: %s", err, &log)
	}
	var events []Event
	if err := Read(&out, func(e Event) error {
		events = append(events, e)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return events
}

// Read hands the events of an FLV stream to f, until the stream ends or f
// returns an error.
func Read(r io.Reader, f func(Event) error) error {
	const header, tagHeader, sizeAfter = 9 + 4, 11, 4
	if _, err := io.CopyN(io.Discard, r, header); err != nil {
		return err
	}
	var clock flvClock
	for {
		head := make([]byte, tagHeader)
		if _, err := io.ReadFull(r, head); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		size := int(head[1])<<16 | int(head[2])<<8 | int(head[3])
		raw := append(head, make([]byte, size+sizeAfter)...)
		if _, err := io.ReadFull(r, raw[tagHeader:]); err != nil {
			return err
		}
		tag, _, err := flv.ParseTag(raw)
		if err != nil {
			return err
		}
		e, ok, err := event(tag, clock.at(tag.Time))
		if err != nil {
			return err
		}
		if ok {
			if err := f(e); err != nil {
				return err
			}
		}
	}
}

// An flvClock unwraps 32-bit milliseconds.
type flvClock struct{ last uint64 }

func (c *flvClock) at(ms uint32) time.Duration {
	c.last = uint64(int64(c.last) + int64(int32(ms-uint32(c.last))))
	return time.Duration(c.last) * time.Millisecond
}

func event(tag flv.Tag, at time.Duration) (e Event, ok bool, err error) {
	switch tag.Type {
	case flv.TypeVideo:
		v, err := flv.ParseVideo(tag.Data)
		if err != nil {
			return e, false, err
		}
		switch {
		case v.Packet == flv.SequenceHeader && len(v.Data) > 0:
			c, err := h264.ParseConfig(v.Data)
			return Event{VideoConfig: &c}, err == nil, err
		case v.Packet == flv.Frame:
			return Event{Video: &packager.Sample{DTS: at, PTS: at + v.Composition, KeyFrame: v.KeyFrame, Data: v.Data}}, true, nil
		}
	case flv.TypeAudio:
		a, err := flv.ParseAudio(tag.Data)
		if err != nil {
			return e, false, err
		}
		if a.Packet == flv.SequenceHeader && len(a.Data) > 0 {
			c, err := aac.ParseConfig(a.Data)
			return Event{AudioConfig: &c}, err == nil, err
		}
		return Event{Audio: &packager.Sample{DTS: at, PTS: at, Data: a.Data}}, len(a.Data) > 0, nil
	}
	return e, false, nil
}

// Live runs ffmpeg with the arguments at the speed of the media, and hands the
// events to f as they come, until the media ends, ctx does, or f returns an
// error.
func Live(ctx context.Context, args string, f func(Event) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var log bytes.Buffer
	cmd := exec.CommandContext(ctx, "ffmpeg", strings.Fields("-hide_banner -loglevel error -nostdin "+args+" -flush_packets 1 -f flv -")...)
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	err = Read(out, f)
	cancel()
	if e := cmd.Wait(); err == nil && e != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w: %s", e, &log)
	}
	return err
}
