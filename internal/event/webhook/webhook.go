// Package webhook posts the journal's events to URLs, signed, one resource's
// events in their order, and again until they are taken; what is not taken in
// time becomes a dead letter of the journal. How far each webhook has come is
// kept in a table. An event may be posted more than once: whoever gets it tells
// by its id.
package webhook

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"belfry.live/belfry/internal/event"
	"belfry.live/belfry/internal/store"
)

// A Webhook is a URL and the events it gets.
type Webhook struct {
	Name        string // [a-z][a-z0-9_-]{0,31}; "": it is known by its number
	URL         string // http or https; user and password in it are sent as basic authentication
	Secret      string // signs what is posted; see Sign
	Account     string // only events of this account; "": of all
	DetailTypes []string
	// ARN is that of a queue, topic or function: the webhook gets the events
	// that were asked to go there. "": it gets them wherever they go.
	ARN string
}

// String keeps the secret, and what a URL may hold of one, out of logs.
func (w Webhook) String() string { return "(webhook " + w.Name + ")" }

// Config says which webhooks there are; zero fields are the defaults.
type Config struct {
	Webhooks []Webhook
	RetryFor time.Duration // after an event was appended; 0: 24 h
	Timeout  time.Duration // of one try; 0: 15 s
	TLS      *tls.Config   // of https; nil: the system's authorities
}

// A Journal is what the webhooks need of *event.Journal.
type Journal interface {
	Next(ctx context.Context, subject string, from uint64) (event.Record, error)
	At(ctx context.Context, subject string, from uint64) (event.Record, bool, error)
	Last(ctx context.Context) (uint64, error)
	Bury(ctx context.Context, r event.Record, letter event.DeadLetter) error
}

// Deliveries are all the webhooks at work.
type Deliveries struct {
	list  []*delivery
	table store.Table
	log   *slog.Logger
}

// New returns the deliveries, which keep their state in the table. Its errors
// hold no secret.
func New(cfg Config, journal Journal, table store.Table, log *slog.Logger) (*Deliveries, error) {
	if cfg.RetryFor == 0 {
		cfg.RetryFor = 24 * time.Hour
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 15 * time.Second
	}
	all := &Deliveries{table: table, log: log}
	for i, w := range cfg.Webhooks {
		name := w.Name
		if name == "" {
			name = strconv.Itoa(i + 1)
		}
		key, err := parseSecret(w.Secret)
		if err != nil {
			return nil, fmt.Errorf("webhook %s: %w", name, err)
		}
		if u, err := url.Parse(w.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("webhook %s: want an http or https URL", name)
		}
		if i := slices.IndexFunc(all.list, func(d *delivery) bool { return d.id == w.id() || d.name == name }); i >= 0 {
			return nil, fmt.Errorf("webhooks %s and %s are for the same or have the same name: give each a name of its own", all.list[i].name, name)
		}
		all.list = append(all.list, &delivery{
			hook: w, name: name, most: maxLanes, id: w.id(), key: key, cfg: cfg, journal: journal, table: table,
			client: newClient(cfg), log: log.With("webhook", name),
			lanes: map[string]*lane{}, entries: map[string]uint64{},
			stats: Stats{Webhook: name, Failed: map[string]uint64{}},
		})
	}
	return all, nil
}

// id names the webhook's state. It stays as long as the webhook gets the same
// events at the same place.
func (w Webhook) id() string {
	if w.Name != "" {
		return w.Name
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", []string{w.URL, w.Account, w.ARN}))
	return "_" + hex.EncodeToString(sum[:8])
}

// wants says whether the webhook gets the event.
func (w Webhook) wants(r event.Record) bool {
	if w.Account != "" && w.Account != r.Account() || w.ARN != "" && !slices.Contains(r.Notify, w.ARN) {
		return false
	}
	if len(w.DetailTypes) == 0 {
		return true
	}
	e, err := r.Envelope()
	return err == nil && slices.Contains(w.DetailTypes, e.DetailType)
}

// Run delivers until ctx ends.
func (all *Deliveries) Run(ctx context.Context) error {
	if err := all.forget(ctx); err != nil && ctx.Err() == nil {
		all.log.Warn("the state of former webhooks cannot be removed", "err", err)
	}
	var wg sync.WaitGroup
	for _, d := range all.list {
		wg.Go(func() { d.run(ctx) })
	}
	<-ctx.Done()
	wg.Wait()
	return nil
}

// forget removes the state of webhooks that are no more.
func (all *Deliveries) forget(ctx context.Context) error {
	records, err := all.table.List(ctx, "")
	if err != nil {
		return err
	}
	for _, r := range records {
		if slices.ContainsFunc(all.list, func(d *delivery) bool { return d.owns(r.Key) }) {
			continue
		}
		if err := all.table.Delete(ctx, r.Key, 0); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return nil
}

// Stats are what one webhook has done since the start, and what waits.
type Stats struct {
	Webhook   string            // its name or number
	Delivered uint64            // events
	Tries     uint64            // of all kinds
	Retries   uint64            // tries that were not the first of their event
	Failed    map[string]uint64 // tries, by reason
	Dead      uint64            // events that became dead letters
	Lost      uint64            // times that the journal had forgotten events before they were delivered
	Waiting   int               // resources with events to deliver
	Resting   int               // of these, those whose event is to be tried again later
	Read      uint64            // sequence up to which the journal was looked at
}

// Stats returns those of all webhooks.
func (all *Deliveries) Stats() []Stats {
	var list []Stats
	for _, d := range all.list {
		list = append(list, d.counted())
	}
	return list
}

func newClient(cfg Config) *http.Client {
	return &http.Client{
		Timeout: cfg.Timeout,
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			TLSClientConfig:        cfg.TLS.Clone(),
			ForceAttemptHTTP2:      true,
			MaxIdleConnsPerHost:    concurrency,
			MaxConnsPerHost:        concurrency,
			IdleConnTimeout:        time.Minute,
			MaxResponseHeaderBytes: maxResponse,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
