package sse

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strconv"
	"time"

	"belfry.live/belfry/internal/event"
)

// reconnect is what clients are told to wait before they come back, in
// milliseconds.
const reconnect = "2000"

// stream sends events until the client leaves. Of what it does not take there
// is one event and the kernel's buffer here; the rest stays in the journal.
func (h *Handler) stream(w http.ResponseWriter, r *http.Request, who event.Subscriber) {
	q, err := readQuery(r, time.Now())
	if err != nil {
		event.Refuse(w, http.StatusBadRequest, "ValidationException", err.Error())
		return
	}
	if err := h.enter(); err != nil {
		w.Header().Set("Retry-After", "10")
		event.Refuse(w, http.StatusServiceUnavailable, "ServiceUnavailable", err.Error())
		return
	}
	defer h.leave()
	ctx, cancel := context.WithCancel(r.Context())
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-h.ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	defer func() { cancel(); <-watched }()
	from, err := h.begin(ctx, q)
	if err != nil {
		h.log.Error("events cannot be read", "err", err)
		event.Refuse(w, http.StatusInternalServerError, "InternalServerException", "events cannot be read")
		return
	}
	c := client{w: w, control: http.NewResponseController(w), timeout: h.cfg.WriteTimeout}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would hold events back
	w.Header().Set("Connection", "close")     // it is left with a deadline for writing
	w.WriteHeader(http.StatusOK)
	err = c.write("retry: " + reconnect + "\n\n")
	if err == nil {
		err = c.flush()
	}
	if err == nil {
		err = h.follow(ctx, &c, q, who, from)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		h.cut.Add(1)
		h.log.Warn("a client of events is too slow and was cut", "remote", r.RemoteAddr)
	}
}

// begin is the sequence from which on the client gets events.
func (h *Handler) begin(ctx context.Context, q query) (uint64, error) {
	if !q.resumes && !q.since.IsZero() {
		return h.journal.Since(ctx, q.since)
	}
	last, err := h.journal.Last(ctx)
	if err != nil || !q.resumes {
		return last + 1, err
	}
	return min(q.after, last) + 1, nil // there may have been another journal
}

// follow sends what the journal has, and then what comes.
func (h *Handler) follow(ctx context.Context, c *client, q query, who event.Subscriber, from uint64) error {
	subject := q.subject(who.Account)
	beat := time.Now().Add(h.cfg.Heartbeat)
	for {
		r, ok, err := h.journal.At(ctx, subject, from)
		if err == nil && !ok { // all is sent: wait
			if err := c.flush(); err != nil {
				return err
			}
			wait, cancel := context.WithDeadline(ctx, beat)
			r, err = h.journal.Next(wait, subject, from)
			cancel()
			ok = err == nil
			if errors.Is(err, context.DeadlineExceeded) {
				err = nil
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			h.log.Error("events cannot be read", "err", err)
			return err
		}
		now := time.Now()
		if due := !now.Before(beat); due {
			if !who.Still() {
				return nil
			}
			beat = now.Add(h.cfg.Heartbeat)
			if !ok {
				if err := c.write(":\n\n"); err != nil {
					return err
				}
			}
		}
		if !ok {
			continue
		}
		from = r.Sequence + 1
		if !q.wants(r) {
			continue
		}
		// An envelope is one line.
		if err := c.write("id: " + strconv.FormatUint(r.Sequence, 10) + "\ndata: " + string(r.Body) + "\n\n"); err != nil {
			return err
		}
		h.sent.Add(1)
	}
}

// A client is the writing side of a stream.
type client struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
}

func (c *client) write(s string) error {
	if err := c.control.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return err
	}
	_, err := c.w.Write([]byte(s))
	return err
}

func (c *client) flush() error {
	if err := c.control.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return err
	}
	return c.control.Flush()
}
