package rtmpsink

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	firstRetry = 500 * time.Millisecond
	lastRetry  = 10 * time.Second
	// settled is how long a connection must have lasted for the next retry to
	// be the first again: a server that drops us at once is not hammered.
	settled = 10 * time.Second
)

// Run connects and publishes until ctx ends; then it sends what is queued,
// ends the stream in good order and returns nil. It returns an error that
// wraps ErrRefused when the server refused for Config.RefusedFor. It may be
// called once.
func (s *Sink) Run(ctx context.Context) error {
	defer s.queue.stop()
	var retry time.Duration
	var refused time.Time // since when, without anything else in between
	var said string       // the last loss that was logged
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
		if lasted >= settled {
			retry = 0
		}
		retry = min(max(2*retry, firstRetry), lastRetry)
		state := State{Phase: Lost, Err: err, Retry: jitter(retry)}
		if state.Refused = errors.As(err, new(refusedError)); !state.Refused {
			refused = time.Time{}
		} else if refused.IsZero() || lasted > 0 {
			refused = time.Now()
		}
		if text := err.Error(); text != said {
			said = text
			s.log.Warn("RTMP sink lost", "err", err)
		}
		s.tell(state)
		if state.Refused && time.Since(refused) >= s.cfg.RefusedFor {
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
	s.log.Info("publishing to RTMP sink", "address", c.conn.RemoteAddr())
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

// jitter spreads the retries of many sinks over a fifth either way.
func jitter(d time.Duration) time.Duration {
	return d - d/5 + rand.N(2*d/5)
}
