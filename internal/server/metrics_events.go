package server

// count writes what happened to events.
func (t *tellers) count(w metricWriter) {
	j := t.journal.Stats()
	for source, n := range j.Appended {
		w.count("events", "Events that were recorded.", float64(n), "source", source)
	}
	w.count("events_failed", "Events that could not be recorded.", float64(j.Failed))

	c := t.clients.Stats()
	w.gauge("event_clients", "Clients of GET /events.", float64(c.Clients))
	w.count("event_clients_lost", "Clients of GET /events that were not let in, or cut.", float64(c.Refused), "reason", "full")
	w.count("event_clients_lost", "Clients of GET /events that were not let in, or cut.", float64(c.Cut), "reason", "slow")
	w.count("events_sent", "Events sent to subscribers.", float64(c.Sent), "by", "http")
	if t.feed != nil {
		f := t.feed.Stats()
		w.gauge("event_subscribers", "NATS subscribers.", float64(f.Subscribers))
		w.count("event_subscribers_lost", "NATS subscribers that were not let in, or cut.", float64(f.Refused), "reason", "login")
		w.count("event_subscribers_lost", "NATS subscribers that were not let in, or cut.", float64(f.Cut), "reason", "slow")
		w.count("events_sent", "Events sent to subscribers.", float64(f.Passed), "by", "nats")
	}

	for _, h := range t.webhooks.Stats() {
		w.count("webhook_delivered", "Events that webhooks took.", float64(h.Delivered), "webhook", h.Webhook)
		w.count("webhook_retries", "Posts that were not the first of their event.", float64(h.Retries), "webhook", h.Webhook)
		for reason, n := range h.Failed {
			w.count("webhook_failures", "Posts that failed.", float64(n), "webhook", h.Webhook, "reason", reason)
		}
		w.count("webhook_dead", "Events that became dead letters.", float64(h.Dead), "webhook", h.Webhook)
		w.count("webhook_lost", "Times that events were forgotten before webhooks took them.", float64(h.Lost), "webhook", h.Webhook)
		w.gauge("webhook_waiting", "Resources with events that a webhook has not taken yet.", float64(h.Waiting), "webhook", h.Webhook)
		w.gauge("webhook_resting", "Resources whose event is to be posted again later.", float64(h.Resting), "webhook", h.Webhook)
	}
}
