package config

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Events says how long events are kept and who is told of them.
type Events struct {
	MaxAge         Duration  `toml:"max_age"`
	MaxMegabytes   int       `toml:"max_megabytes"`
	MaxClients     int       `toml:"max_clients"`
	NATS           string    `toml:"nats"`
	MaxSubscribers int       `toml:"max_subscribers"`
	RetryFor       Duration  `toml:"retry_for"`
	DeadMaxAge     Duration  `toml:"dead_max_age"`
	Webhooks       []Webhook `toml:"webhook"`
}

// A Webhook is a URL that events are posted to. Unlike other settings it
// cannot be given by the environment.
type Webhook struct {
	Name        string   `toml:"name"`
	URL         string   `toml:"url"`
	Secret      string   `toml:"secret"`
	Account     string   `toml:"account"`
	DetailTypes []string `toml:"detail_types"`
	ARN         string   `toml:"arn"`
}

// String keeps the secret, and what a URL may hold of one, out of logs.
func (w Webhook) String() string { return "(webhook " + w.Name + ")" }

func defaultEvents() Events {
	const day = 24 * time.Hour
	return Events{
		MaxAge: Duration{7 * day}, MaxMegabytes: 1024, MaxClients: 100, MaxSubscribers: 100,
		RetryFor: Duration{day}, DeadMaxAge: Duration{30 * day},
	}
}

const (
	maxWebhooks    = 20
	maxWebhookName = 32
	// maxMegabytes leaves room in the store for everything else.
	maxMegabytes = 8192
)

func (e Events) check(say func(setting, format string, args ...any)) {
	for setting, n := range map[string]int{
		"events.max_megabytes": e.MaxMegabytes, "events.max_clients": e.MaxClients, "events.max_subscribers": e.MaxSubscribers,
	} {
		if n < 1 {
			say(setting, "%d is less than 1", n)
		}
	}
	if e.MaxMegabytes > maxMegabytes {
		say("events.max_megabytes", "%d is more than %d", e.MaxMegabytes, maxMegabytes)
	}
	if e.RetryFor.Duration < time.Second {
		say("events.retry_for", "%v is less than 1s", e.RetryFor)
	}
	for setting, d := range map[string]Duration{"events.max_age": e.MaxAge, "events.dead_max_age": e.DeadMaxAge} {
		if d.Duration < time.Minute {
			say(setting, "%v is less than 1m", d)
		}
	}
	if e.RetryFor.Duration >= e.MaxAge.Duration {
		say("events.retry_for", "%v is not less than max_age, %v", e.RetryFor, e.MaxAge)
	}
	if _, port, err := net.SplitHostPort(e.NATS); e.NATS != "" {
		if n, numErr := strconv.Atoi(port); err != nil || numErr != nil || n < 0 || n > 65535 {
			say("events.nats", "%q is no address, want host:port", e.NATS)
		}
	}
	if len(e.Webhooks) > maxWebhooks {
		say("events.webhook", "there are %d, the most are %d", len(e.Webhooks), maxWebhooks)
	}
	var names []string
	for i, w := range e.Webhooks {
		setting := fmt.Sprintf("events.webhook[%d]", i)
		w.check(func(member, format string, args ...any) { say(setting+"."+member, format, args...) })
		if w.Name != "" && slices.Contains(names, w.Name) {
			say(setting+".name", "%q is another one's already", w.Name)
		}
		names = append(names, w.Name)
	}
}

func (w Webhook) check(say func(member, format string, args ...any)) {
	if w.Name != "" && (len(w.Name) > maxWebhookName || w.Name[0] < 'a' || w.Name[0] > 'z' ||
		strings.Trim(w.Name, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "") {
		say("name", "%q is no name, want a letter and up to %d more of a-z, 0-9, - and _", w.Name, maxWebhookName-1)
	}
	// The URL may hold a password: it is not shown.
	if u, err := url.Parse(w.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		say("url", "want an http or https URL")
	}
	if len(w.Secret) < minToken {
		say("secret", "it has %d characters, want %d or more", len(w.Secret), minToken)
	}
	if w.Account != "" && !isAccount(w.Account) {
		say("account", "%q is no account, want 12 digits", w.Account)
	}
	if w.ARN != "" && !strings.HasPrefix(w.ARN, "arn:") {
		say("arn", "%q is no ARN", w.ARN)
	}
}

func isAccount(s string) bool { return len(s) == 12 && strings.Trim(s, "0123456789") == "" }
