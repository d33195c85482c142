package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"

	"belfry.live/belfry/internal/api"
	"belfry.live/belfry/internal/config"
	"belfry.live/belfry/internal/event"
	"belfry.live/belfry/internal/event/feed"
	"belfry.live/belfry/internal/event/sse"
	"belfry.live/belfry/internal/event/webhook"
	"belfry.live/belfry/internal/store"
	"belfry.live/belfry/internal/store/natskv"
)

// openJournal opens the journal of events; close ends its connection.
func openJournal(ctx context.Context, cfg config.Events, tables *natskv.Store, log *slog.Logger) (j *event.Journal, close func(), err error) {
	conn, err := tables.Connect("events")
	if err != nil {
		return nil, nil, err
	}
	j, err = event.Open(ctx, conn, event.Config{
		MaxAge: cfg.MaxAge.Duration, MaxBytes: int64(cfg.MaxMegabytes) << 20, DeadMaxAge: cfg.DeadMaxAge.Duration,
	}, log)
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return j, conn.Close, nil
}

// tellers tell others what comes into the journal.
type tellers struct {
	journal  *event.Journal
	webhooks *webhook.Deliveries
	clients  *sse.Handler
	feed     *feed.Feed // nil: none
}

func newTellers(ctx context.Context, cfg config.Events, j *event.Journal, tables store.Tables, a *api.API, secure *tls.Config, log *slog.Logger) (*tellers, error) {
	state, err := tables.Table(ctx, "webhooks", store.TableConfig{})
	if err != nil {
		return nil, err
	}
	hooks := webhook.Config{RetryFor: cfg.RetryFor.Duration}
	for _, w := range cfg.Webhooks {
		hooks.Webhooks = append(hooks.Webhooks, webhook.Webhook(w))
	}
	t := &tellers{journal: j, clients: sse.New(sse.Config{MaxClients: cfg.MaxClients}, j, a.Subscriber, log)}
	if t.webhooks, err = webhook.New(hooks, j, state, log); err != nil {
		return nil, fmt.Errorf("events.webhook: %w", err)
	}
	if cfg.NATS == "" {
		return t, nil
	}
	t.feed, err = feed.Open(ctx, feed.Config{Addr: cfg.NATS, MaxSubscribers: cfg.MaxSubscribers, TLS: secure}, j, a.Login, log)
	if err != nil {
		return nil, fmt.Errorf("events.nats: %w", err)
	}
	return t, nil
}

// Close ends the feed.
func (t *tellers) Close() {
	if t.feed != nil {
		t.feed.Close()
	}
}

// runs are those that end last, after everybody to whom something can happen.
func (t *tellers) runs() []func(context.Context) error {
	runs := []func(context.Context) error{t.webhooks.Run}
	if t.feed != nil {
		runs = append(runs, t.feed.Run)
	}
	return runs
}
