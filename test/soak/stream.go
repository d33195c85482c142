package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	liveTime = 30 * time.Second // until the stream may be watched
	// stillTime without a new segment, which come every 2 s, is a failure.
	stillTime = 10 * time.Second
	lookEvery = time.Second
)

// A show is the hall's live stream.
type show struct {
	churn    *churn
	pipeline string
	playlist string // of the pictures
}

// stream starts the hall's stream and waits until it may be watched.
func (c *churn) stream() (*show, error) {
	var answer struct{ MediaPipelineID, PlaybackURL string }
	status, text, err := c.server.Post("/api/stream", map[string]string{"meetingId": *c.hall.MeetingId}, &answer)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("start the stream: %d %s", status, text)
	}
	s := &show{churn: c, pipeline: answer.MediaPipelineID}
	for end := time.Now().Add(liveTime); s.playlist == ""; time.Sleep(lookEvery) {
		list, err := get(answer.PlaybackURL)
		if err == nil {
			s.playlist, err = resolve(answer.PlaybackURL, lastURI(list))
		}
		if err != nil && time.Now().After(end) {
			return nil, fmt.Errorf("the stream is not live after %v: %w", liveTime, err)
		}
	}
	return s, nil
}

func (s *show) stop() error {
	status, text, err := s.churn.server.Post("/api/stream", map[string]string{"streamAction": "delete", "mediaPipelineId": s.pipeline}, nil)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("stop the stream: %d %s", status, text)
	}
	return err
}

// watch loads every segment until ctx ends.
func (s *show) watch(ctx context.Context) {
	seen, at := "", time.Now()
	for rest(ctx, lookEvery) {
		list, err := get(s.playlist)
		if err != nil {
			s.churn.tally.fail(fmt.Errorf("stream: %w", err))
			continue
		}
		segment := lastURI(list)
		if segment == seen || segment == "" {
			if time.Since(at) > stillTime {
				s.churn.tally.fail(fmt.Errorf("stream: no new segment for %v", stillTime))
				at = time.Now()
			}
			continue
		}
		seen, at = segment, time.Now()
		name, err := resolve(s.playlist, segment)
		if err == nil {
			_, err = get(name)
		}
		if err != nil {
			s.churn.tally.fail(fmt.Errorf("stream: %w", err))
			continue
		}
		s.churn.tally.locked(func() { s.churn.tally.segments++ })
	}
}

func get(name string) (string, error) {
	resp, err := http.Get(name)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s", name, resp.Status)
	}
	return string(b), err
}

// lastURI is the last line of a playlist that is not a tag: of a media playlist
// the newest whole segment, of a multivariant one the only variant.
func lastURI(list string) (uri string) {
	for line := range strings.Lines(list) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			uri = line
		}
	}
	return uri
}

// resolve says where a playlist's line leads.
func resolve(base, uri string) (string, error) {
	b, err := url.Parse(base)
	if err != nil {
		return "", err
	}
	u, err := b.Parse(uri)
	if err != nil || uri == "" {
		return "", fmt.Errorf("%s names no media: %w", base, err)
	}
	return u.String(), nil
}
