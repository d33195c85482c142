// Package site is the demo application: it brings people together in meetings
// (join, end) and puts a meeting on the air (stream). Requests of its front
// end come in under /api; calls to the AWS services for meetings, media
// pipelines and channels go out through the AWS SDK, whoever answers them. All
// it keeps itself is which meeting takes newcomers and which meeting streams.
package site

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmediapipelines"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings"
	"github.com/aws/aws-sdk-go-v2/service/ivs"

	"belfry.live/belfry/internal/store"
)

// Config sets the application up; its zero value is good.
type Config struct {
	Seats          int           // attendees put into one meeting; 0: 2
	Lifetime       time.Duration // a meeting takes newcomers this long after the last one; 0: 5 min
	MediaRegion    string        // of the meetings; "": the AWS configuration's region
	LatencyMode    string        // of the channels: NORMAL (default), LOW
	Resolution     string        // of the stream: HD (default), FHD
	LiveTimeout    time.Duration // a started stream must be live after this; 0: 20 s
	AllowedOrigins []string      // whose pages may call; nil: "*", all
}

func (c Config) withDefaults(region string) Config {
	c.Seats = cmp.Or(c.Seats, 2)
	c.Lifetime = cmp.Or(c.Lifetime, 5*time.Minute)
	c.MediaRegion = cmp.Or(c.MediaRegion, region)
	c.LatencyMode = cmp.Or(c.LatencyMode, "NORMAL")
	c.Resolution = cmp.Or(c.Resolution, "HD")
	c.LiveTimeout = cmp.Or(c.LiveTimeout, 20*time.Second)
	if c.AllowedOrigins == nil {
		c.AllowedOrigins = []string{"*"}
	}
	return c
}

const (
	maxBody    = 16 << 10 // bytes of a request
	sweepEvery = 30 * time.Second
)

// A Site is the application, an http.Handler.
type Site struct {
	cfg        Config
	log        *slog.Logger
	meetings   *chimesdkmeetings.Client
	pipelines  *chimesdkmediapipelines.Client
	channels   *ivs.Client
	lobby      *lobby
	broadcasts broadcasts
	stopped    chan struct{} // closed when Run ends
}

// New returns a Site that calls the services as the AWS configuration says.
func New(ctx context.Context, cfg Config, services aws.Config, tables store.Tables, log *slog.Logger) (*Site, error) {
	cfg = cfg.withDefaults(services.Region)
	lobbyTable, err := tables.Table(ctx, "site-lobby", store.TableConfig{TTL: cfg.Lifetime})
	if err != nil {
		return nil, err
	}
	// No TTL: a broadcast's record is all that knows of its channel.
	broadcastTable, err := tables.Table(ctx, "site-broadcasts", store.TableConfig{})
	if err != nil {
		return nil, err
	}
	return &Site{
		cfg:        cfg,
		log:        log,
		meetings:   chimesdkmeetings.NewFromConfig(services),
		pipelines:  chimesdkmediapipelines.NewFromConfig(services),
		channels:   ivs.NewFromConfig(services),
		lobby:      newLobby(lobbyTable, cfg.Seats, cfg.Lifetime),
		broadcasts: broadcasts{broadcastTable},
		stopped:    make(chan struct{}),
	}, nil
}

// Run sweeps now and then, until ctx ends; then streams that are being started
// are left to themselves.
func (s *Site) Run(ctx context.Context) error {
	defer close(s.stopped)
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
				s.log.Warn("cannot clear up after streams that ended by themselves", "err", err)
			}
		}
	}
}

// ServeHTTP answers the front end.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.allowOrigin(w, r)
	methods := map[string]func(*http.Request) (any, error){}
	switch strings.TrimSuffix(r.URL.Path, "/") {
	case "/api/join":
		methods[http.MethodPost] = s.join
	case "/api/end":
		methods[http.MethodPost] = s.end
	case "/api/stream":
		methods[http.MethodPost] = s.stream
		methods[http.MethodGet] = s.streamState
	default:
		answer(w, http.StatusNotFound, errorBody{"there is nothing at " + r.URL.Path})
		return
	}
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	do, ok := methods[r.Method]
	if !ok {
		w.Header().Set("Allow", allowedMethods)
		answer(w, http.StatusMethodNotAllowed, errorBody{fmt.Sprintf("%s does not take the method %s", r.URL.Path, r.Method)})
		return
	}
	result, err := do(r)
	if err != nil {
		f := explain("serve the request", err)
		if f.status >= http.StatusInternalServerError {
			s.log.Warn("request failed", "remote", r.RemoteAddr, "err", f)
		}
		answer(w, f.status, errorBody{f.Error()})
		return
	}
	answer(w, http.StatusOK, result)
}

const allowedMethods = "GET, POST, OPTIONS"

// allowOrigin tells the browser whether the calling page may read the answer.
func (s *Site) allowOrigin(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	switch origin := r.Header.Get("Origin"); {
	case slices.Contains(s.cfg.AllowedOrigins, "*"):
		h.Set("Access-Control-Allow-Origin", "*")
	case slices.Contains(s.cfg.AllowedOrigins, origin):
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Vary", "Origin")
	default:
		h.Set("Vary", "Origin")
		return
	}
	if r.Method == http.MethodOptions {
		h.Set("Access-Control-Allow-Methods", allowedMethods)
		h.Set("Access-Control-Allow-Headers", "Content-Type")
		h.Set("Access-Control-Max-Age", "600")
	}
}

type errorBody struct {
	Error string `json:"error"`
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client has gone if this fails
}

// readBody decodes a request's JSON object. An empty body changes nothing.
func readBody(r *http.Request, into any) error {
	text, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return &failure{status: http.StatusRequestEntityTooLarge, cause: fmt.Sprintf("the body has more than %d bytes", maxBody)}
	}
	if err != nil {
		return &failure{status: http.StatusBadRequest, cause: "the body cannot be read"}
	}
	if strings.TrimSpace(string(text)) == "" {
		return nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return &failure{status: http.StatusBadRequest, cause: "the body is not the JSON object it should be: " + err.Error()}
	}
	return nil
}
