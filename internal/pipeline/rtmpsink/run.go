package rtmpsink

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Run connects and publishes until ctx ends; then it sends what is queued,
// ends the stream in good order and returns nil. It returns an error that
// wraps ErrRefused when the server refused for Config.RefusedFor. It may be
// called once.
func (s *Sink) Run(ctx context.Context) error {
	defer s.queue.stop()
	var attempts backoff
	var said string // the last loss that was logged
	for {
		s.tell(State{Phase: Connecting})
		lasted, err := s.once(ctx)
		if ctx.Err() != nil {
			s.tell(State{Phase: Ended})
			return nil
		}
		if lasted > 0 {
			said = ""
		}
		state := State{Phase: Lost, Err: err, Refused: errors.As(err, new(refusedError))}
		retry, refusedFor := attempts.lost(lasted, state.Refused, time.Now())
		state.Retry = jitter(retry)
		if text := err.Error(); text != said {
			said = text
			s.log.Warn("RTMP sink lost", "err", err)
		}
		s.tell(state)
		if state.Refused && refusedFor >= s.cfg.RefusedFor {
			s.tell(State{Phase: Ended, Err: err, Refused: true})
			return fmt.Errorf("%w: %w", ErrRefused, err)
		}
		select {
		case <-time.After(state.Retry):
		case <-ctx.Done():
		}
	}
}

// once connects and publishes until the connection is lost or ctx ends. It
// returns how long media flowed.
func (s *Sink) once(ctx context.Context) (lasted time.Duration, err error) {
	c, err := dial(ctx, s.cfg)
	if err != nil {
		return 0, err
	}
	defer c.conn.Close()
	began := time.Now()
	s.log.Info("publishing to RTMP sink", "address", c.conn.RemoteAddr().String())
	c.video, c.audio = s.queue.start() // what is written from here on is sent
	s.tell(State{Phase: Publishing})

	read := make(chan error, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		read <- c.read()
	}()
	defer func() {
		c.conn.Close()
		<-ended
	}()
	defer context.AfterFunc(ctx, func() { c.endBy(time.Now().Add(s.cfg.EndTimeout)) })()
	err = s.feed(ctx, c, read)
	s.queue.stop()
	if ctx.Err() != nil {
		s.finish(c, ended)
	}
	return time.Since(began), err
}

// feed sends the queue's samples until the connection fails or ctx ends.
func (s *Sink) feed(ctx context.Context, c *connection, read <-chan error) error {
	s.mu.Lock()
	metadata := s.metadata
	s.mu.Unlock()
	if err := c.begin(metadata); err != nil {
		return err
	}
	var it item
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-read:
			return err
		case m := <-c.replies:
			if err := c.write(m); err != nil {
				return err
			}
		case <-s.queue.wake:
			if err := s.drain(ctx, c, &it, read); err != nil {
				return err
			}
		}
	}
}

// drain sends what is queued now, unless something ends it.
func (s *Sink) drain(ctx context.Context, c *connection, it *item, read <-chan error) error {
	for s.queue.pop(it) {
		if err := c.media(it); err != nil {
			select {
			case said := <-read: // the server's word tells more than a broken pipe
				return said
			default:
				return err
			}
		}
		s.queue.sent(it)
		if ctx.Err() != nil {
			return nil
		}
	}
	return nil
}

// finish sends the rest of the queue and ends the stream, as far as endBy's
// time allows.
func (s *Sink) finish(c *connection, ended <-chan struct{}) {
	var it item
	for s.queue.pop(&it) {
		if c.media(&it) != nil {
			return
		}
		s.queue.sent(&it)
	}
	c.bye(ended)
}

func (s *Sink) tell(state State) {
	if s.cfg.OnState != nil {
		s.cfg.OnState(state)
	}
}
