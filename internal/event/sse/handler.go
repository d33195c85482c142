// Package sse answers GET /events with the events of the caller's account as
// server-sent events, from now on or from an earlier place in the journal, and
// GET /events/dead with the dead letters of webhooks. Who the caller is, and
// whether they may, is found out by whoever made the Handler.
package sse

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"belfry.live/belfry/internal/event"
)

// Path is where the Handler answers; what is below belongs to it too.
const Path = "/events"

// Config bounds a Handler; zero fields are the defaults.
type Config struct {
	MaxClients   int           // of GET /events at once; 0: 100
	Heartbeat    time.Duration // a comment is sent this long after the last event; 0: 15 s
	WriteTimeout time.Duration // a client that takes nothing for this long is cut; 0: 10 s
}

// A Handler is an http.Handler for Path and what is below.
type Handler struct {
	cfg        Config
	journal    *event.Journal
	subscriber func(http.ResponseWriter, *http.Request) (event.Subscriber, bool)
	log        *slog.Logger

	ended chan struct{} // closed when Run is told to end

	mu      sync.Mutex // guards clients and closed
	clients int
	closed  bool
	gone    sync.WaitGroup // for clients; added to with mu held

	sent, refused, cut atomic.Uint64
}

// New returns a handler. The function subscriber returns who sent a request, or
// answers it and returns false.
func New(cfg Config, journal *event.Journal, subscriber func(http.ResponseWriter, *http.Request) (event.Subscriber, bool), log *slog.Logger) *Handler {
	if cfg.MaxClients == 0 {
		cfg.MaxClients = 100
	}
	if cfg.Heartbeat == 0 {
		cfg.Heartbeat = 15 * time.Second
	}
	if cfg.WriteTimeout == 0 {
		cfg.WriteTimeout = 10 * time.Second
	}
	return &Handler{cfg: cfg, journal: journal, subscriber: subscriber, log: log, ended: make(chan struct{})}
}

// Run returns when ctx has ended and so have the clients' streams. Nobody new
// is let in then. It may be called once.
func (h *Handler) Run(ctx context.Context) error {
	<-ctx.Done()
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	close(h.ended)
	h.gone.Wait()
	return nil
}

// Stats are counts since the start.
type Stats struct {
	Clients int    // at present
	Sent    uint64 // events
	Refused uint64 // clients, because there were too many
	Cut     uint64 // clients that were too slow
}

// Stats returns what was counted so far.
func (h *Handler) Stats() Stats {
	h.mu.Lock()
	defer h.mu.Unlock()
	return Stats{Clients: h.clients, Sent: h.sent.Load(), Refused: h.refused.Load(), Cut: h.cut.Load()}
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	who, ok := h.subscriber(w, r)
	if !ok {
		return
	}
	switch {
	case r.URL.Path != Path && r.URL.Path != Path+"/dead":
		event.Refuse(w, http.StatusNotFound, "ResourceNotFoundException", "there are /events and /events/dead")
	case r.Method != http.MethodGet:
		w.Header().Set("Allow", http.MethodGet)
		event.Refuse(w, http.StatusMethodNotAllowed, "ValidationException", "only GET")
	case r.URL.Path == Path:
		h.stream(w, r, who)
	default:
		h.dead(w, r, who)
	}
}

// enter takes a client's place.
func (h *Handler) enter() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return fmt.Errorf("the server is stopping")
	case h.clients >= h.cfg.MaxClients:
		h.refused.Add(1)
		return fmt.Errorf("there are %d clients already, and events.max_clients is %d", h.clients, h.cfg.MaxClients)
	}
	h.clients++
	h.gone.Add(1)
	return nil
}

func (h *Handler) leave() {
	h.mu.Lock()
	h.clients--
	h.mu.Unlock()
	h.gone.Done()
}
