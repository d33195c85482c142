package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"belfry.live/belfry/internal/config"
)

func load(t *testing.T, file string, env ...string) (config.Config, error) {
	t.Helper()
	if file == "" {
		return config.Load("", env)
	}
	name := filepath.Join(t.TempDir(), "belfry.toml")
	if err := os.WriteFile(name, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	return config.Load(name, env)
}

func TestReferenceIsTheDefault(t *testing.T) {
	got, err := load(t, config.Reference)
	if err != nil {
		t.Fatal(err)
	}
	if want := config.Default(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if err := got.Check(); err != nil {
		t.Errorf("the default is wrong: %v", err)
	}
}

func TestEnvironmentWinsOverFile(t *testing.T) {
	c, err := load(t, "http = \"127.0.0.1:1\"\n[site]\nseats = 3\nlifetime = \"7m\"",
		"BELFRY_SITE_SEATS=4", "BELFRY_PUBLIC_ADDRESSES=192.0.2.1, 2001:db8::1", "PATH=/bin")
	if err != nil {
		t.Fatal(err)
	}
	if c.HTTP != "127.0.0.1:1" || c.Site.Seats != 4 || c.Site.Lifetime.Duration != 7*time.Minute || len(c.PublicAddresses) != 2 {
		t.Errorf("got %+v", c)
	}
}

func TestUnknownAndBadSettingsAreNamed(t *testing.T) {
	for _, c := range []struct{ file, env, want string }{
		{"sites = 3", "", "sites"},
		{"[site]\nseat = 3", "", "site.seat"},
		{"[site]\nseats = \"x\"", "", "seats"},
		{"", "BELFRY_SEATS=3", "BELFRY_SEATS"},
		{"", "BELFRY_SITE_SEATS=three", "three"},
		{"", "BELFRY_PUBLIC_ADDRESSES=here", "BELFRY_PUBLIC_ADDRESSES"},
	} {
		if _, err := load(t, c.file, c.env); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("file %q, environment %q: got %v, want an error that names %s", c.file, c.env, err, c.want)
		}
	}
}

func TestCheckNamesEverything(t *testing.T) {
	c := config.Default()
	c.HTTP, c.Media, c.PublicURL, c.Account, c.Log.Level, c.Site.Seats = "8080", "localhost:1", "ftp://x", "1", "loud", 0
	c.TLS, c.Certificate, c.STUNServer, c.Relay = "443", "cert.pem", ":3478", "often"
	c.ACMEDomain, c.ACMEDirectory = "meet.example", "http://acme.example"
	err := c.Check()
	if err == nil {
		t.Fatal("got no error")
	}
	for _, want := range []string{"http:", "media:", "public_url:", "account:", "log.level:", "site.seats: 0", "tls:", "certificate:", "stun_server:", "relay:", "acme_domain:", "acme_directory:"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want %q in it", err, want)
		}
	}
}

func TestWebhooks(t *testing.T) {
	const first = "[[events.webhook]]\nname = \"a\"\nurl = \"https://u:p@a.example/?t=s3cret\"\nsecret = \"0123456789abcdef\"\n"
	c, err := load(t, first+"[[events.webhook]]\nurl = \"http://b.example\"\nsecret = \"whsec_0123456789abcdef\"\n"+
		"account = \"111122223333\"\ndetail_types = [\"x\", \"y\"]\narn = \"arn:aws:sqs:us-east-1:111122223333:q\"")
	if err != nil || c.Check() != nil {
		t.Fatalf("got %v, %v", err, c.Check())
	}
	if w := c.Events.Webhooks; len(w) != 2 || w[1].URL != "http://b.example" || len(w[1].DetailTypes) != 2 {
		t.Errorf("got %d webhooks, want two", len(w))
	}
	if said := fmt.Sprintf("%v %+v", c, c); strings.Contains(said, "s3cret") || strings.Contains(said, "0123456789abcdef") {
		t.Errorf("printing the settings shows a secret: %s", said)
	}
	if _, err := load(t, "", "BELFRY_EVENTS_WEBHOOK=x"); err == nil {
		t.Error("BELFRY_EVENTS_WEBHOOK: got no error")
	}

	c.Events.Webhooks = append(c.Events.Webhooks, config.Webhook{Name: "a", URL: "ftp://u:s3cret@x", Secret: "short", Account: "1", ARN: "q"})
	c.Events.NATS, c.Events.MaxClients, c.Events.RetryFor = "x", 0, c.Events.MaxAge
	c.Events.Webhooks = append(c.Events.Webhooks, config.Webhook{Name: "3", URL: "http://x", Secret: "0123456789abcdef"})
	c.Events.MaxMegabytes = 9000
	err = c.Check()
	if err == nil {
		t.Fatal("got no error")
	}
	for _, want := range []string{"webhook[2].name", "webhook[2].url", "webhook[2].secret", "webhook[2].account", "webhook[2].arn", "webhook[3].name", "events.nats", "events.max_clients", "events.retry_for", "events.max_megabytes"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want %q in it", err, want)
		}
	}
	if strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "short") {
		t.Errorf("got %q, want no secret in it", err)
	}
}
