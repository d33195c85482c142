package ingest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"belfry.live/belfry/internal/wire/amf0"
	"belfry.live/belfry/internal/wire/rtmp"
)

const (
	// messageStream is the only one we give out: a connection publishes one
	// stream at a time.
	messageStream = 1
	// Limits of what a publisher may call things, in bytes.
	maxApp     = 256
	maxName    = 1024 // stream key and query
	maxEncoder = 100
	// deskTime is how long the Desk may think.
	deskTime = 5 * time.Second
)

func (s *session) onCommand(ctx context.Context, stream uint32, c rtmp.Command) error {
	if c.Name == "connect" {
		return s.onConnect(c)
	}
	if !s.connected {
		return fmt.Errorf("command %.40q before connect", c.Name)
	}
	switch c.Name {
	case "createStream":
		return s.answer(c, float64(messageStream))
	case "publish":
		return s.onPublish(ctx, c)
	case "FCUnpublish", "closeStream", "deleteStream":
		if s.pub != nil {
			s.unpublish(true, nil, false)
		}
		return s.answer(c, nil)
	case "releaseStream", "FCPublish", "_checkbw":
		return s.answer(c, nil)
	case "play", "play2":
		return &refusal{
			rtmp.Status{Level: rtmp.LevelError, Code: rtmp.CodePlayFailed, Description: "this server takes publishers only"},
			errors.New("asked to play"),
		}
	case "_result", "_error", "onStatus":
		return nil
	}
	if c.Transaction == 0 {
		return nil
	}
	failed := rtmp.Status{Level: rtmp.LevelError, Code: rtmp.CodeCallFailed, Description: "unknown command"}
	return s.send(0, rtmp.Command{Name: "_error", Transaction: c.Transaction, Args: []amf0.Value{failed.Value()}})
}

// onConnect takes any application: the stream key alone says where media goes.
func (s *session) onConnect(c rtmp.Command) error {
	if s.connected {
		return errors.New("second connect")
	}
	o := amf0.Members(c.Object)
	app, _ := o.Get("app").(string)
	if len(app) > maxApp {
		return fmt.Errorf("application has %d bytes, limit %d", len(app), maxApp)
	}
	app, _, _ = strings.Cut(app, "?")
	s.app = strings.Trim(app, "/")
	encoder, _ := o.Get("flashVer").(string)
	s.encoder = encoder[:min(len(encoder), maxEncoder)]
	s.connected = true

	for _, m := range []rtmp.Message{rtmp.WindowAckSize(windowAck), rtmp.SetPeerBandwidth(windowAck)} {
		if err := s.w.WriteMessage(m); err != nil {
			return err
		}
	}
	if err := s.w.SetChunkSize(rtmp.WriteChunkSize); err != nil {
		return err
	}
	status := rtmp.Status{Level: rtmp.LevelStatus, Code: rtmp.CodeConnectSuccess, Description: "connected"}
	return s.send(0, rtmp.Command{
		Name:        "_result",
		Transaction: c.Transaction,
		// Old encoders look for the version of a server they know.
		Object: amf0.Object{{Key: "fmsVer", Value: "FMS/3,0,1,123"}, {Key: "capabilities", Value: 31.0}},
		Args:   []amf0.Value{status.Value(amf0.Property{Key: "objectEncoding", Value: 0.0})},
	})
}

func (s *session) onPublish(ctx context.Context, c rtmp.Command) error {
	if s.pub != nil {
		return errors.New("publish while publishing")
	}
	name := c.Arg(0)
	if len(name) > maxName {
		return s.refused(ErrUnknownKey, fmt.Errorf("stream name has %d bytes, limit %d", len(name), maxName))
	}
	key, rawQuery, _ := strings.Cut(name, "?")
	query, _ := url.ParseQuery(rawQuery) // parameters that we cannot read are none of ours

	ctx, cancel := context.WithTimeout(ctx, deskTime)
	defer cancel()
	pub, err := s.server.desk.Publish(ctx, key, Publisher{
		Remote:    s.conn.RemoteAddr().String(),
		Encrypted: s.encrypted,
		App:       s.app,
		Encoder:   s.encoder,
		Query:     query,
	})
	if err != nil {
		return s.refused(err, err)
	}
	s.publish(pub)
	if err := s.w.WriteMessage(rtmp.UserControl(rtmp.EventStreamBegin, messageStream)); err != nil {
		return err
	}
	status := rtmp.Status{Level: rtmp.LevelStatus, Code: rtmp.CodePublishStart, Description: "publishing"}
	return s.send(messageStream, status.OnStatus())
}

// refused makes the Desk's no into an answer, and counts it. Only texts of our
// own go out: an error might hold the key.
func (s *session) refused(reason, err error) error {
	r := &refusal{status: rtmp.Status{Level: rtmp.LevelError, Code: rtmp.CodePublishBadName}, err: err}
	switch {
	case errors.Is(reason, ErrUnknownKey):
		s.server.refusedKey.Add(1)
		r.status.Description = ErrUnknownKey.Error()
	case errors.Is(reason, ErrExpired):
		s.server.refusedKey.Add(1)
		r.status.Description = ErrExpired.Error()
	case errors.Is(reason, ErrBusy):
		s.server.refusedElse.Add(1)
		r.status.Description = ErrBusy.Error()
	case errors.Is(reason, ErrTooMany):
		s.server.refusedElse.Add(1)
		r.status.Description = ErrTooMany.Error()
	case errors.Is(reason, ErrInsecure):
		s.server.refusedElse.Add(1)
		r.status.Code = rtmp.CodePublishDenied
		r.status.Description = ErrInsecure.Error()
	default:
		r.status.Code = rtmp.CodeStreamFailed
		r.status.Description = "the server could not look up the stream key"
	}
	return r
}

// answer sends a command's result if one is wanted.
func (s *session) answer(c rtmp.Command, result amf0.Value) error {
	if c.Transaction == 0 {
		return nil
	}
	return s.send(0, rtmp.Command{Name: "_result", Transaction: c.Transaction, Args: []amf0.Value{result}})
}

func (s *session) send(stream uint32, c rtmp.Command) error {
	if err := s.w.WriteMessage(c.Message(stream)); err != nil {
		return fmt.Errorf("write %s: %w", c.Name, err)
	}
	return nil
}
