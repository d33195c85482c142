package feed_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"belfry.live/belfry/internal/event"
	"belfry.live/belfry/internal/event/feed"
	"belfry.live/belfry/internal/store"
	"belfry.live/belfry/internal/store/natskv"
)

// Two keys of two accounts.
const (
	key, secret, account             = "AKIAONE", "the secret of one", "111122223333"
	otherKey, otherSecret, otherAcct = "AKIATWO", "the secret of two", "999900001111"
)

type place struct {
	journal *event.Journal
	store   *natskv.Store
	feed    *feed.Feed
	good    atomic.Bool // whether the first key still is
	stop    func()
}

func start(t testing.TB, cfg feed.Config) *place {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	s, err := natskv.Open(t.Context(), natskv.Config{Dir: filepath.Join(t.TempDir(), "nats")}, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	conn, err := s.Connect("events")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	p := &place{store: s}
	p.good.Store(true)
	if p.journal, err = event.Open(t.Context(), conn, event.Config{}, log); err != nil {
		t.Fatal(err)
	}
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	p.feed, err = feed.Open(t.Context(), cfg, p.journal, func(id, said string) (event.Subscriber, bool) {
		switch {
		case id == key && said == secret && p.good.Load():
			return event.Subscriber{Account: account, Still: p.good.Load}, true
		case id == otherKey && said == otherSecret:
			return event.Subscriber{Account: otherAcct, Still: func() bool { return true }}, true
		}
		return event.Subscriber{}, false
	}, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.feed.Run(ctx) }()
	p.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: got %v, want nil", err)
		}
		p.feed.Close()
	})
	t.Cleanup(p.stop)
	return p
}

func (p *place) url() string { return "nats://" + p.feed.Addr().String() }

// A client is a NATS connection and the errors that came to it by the way.
type client struct {
	*nats.Conn
	errs chan error
}

func (p *place) connect(t testing.TB, id, secret string, options ...nats.Option) (client, error) {
	t.Helper()
	errs := make(chan error, 100)
	c, err := nats.Connect(p.url(), append(options, nats.UserInfo(id, secret), nats.NoReconnect(), nats.Timeout(10*time.Second),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { errs <- err }))...)
	if err != nil {
		return client{}, err
	}
	t.Cleanup(c.Close)
	return client{c, errs}, nil
}

func (p *place) mustConnect(t testing.TB, id, secret string) client {
	t.Helper()
	c, err := p.connect(t, id, secret)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// refusal waits for the error that the server answers with.
func (c client) refusal(t testing.TB, what string) {
	t.Helper()
	select {
	case err := <-c.errs:
		if !errors.Is(err, nats.ErrPermissionViolation) {
			t.Errorf("%s: got %v, want a permissions violation", what, err)
		}
	case <-time.After(10 * time.Second):
		t.Errorf("%s: got no error, want a permissions violation", what)
	}
}

func (c client) subscribe(t testing.TB, subject string) *nats.Subscription {
	t.Helper()
	s, err := c.SubscribeSync(subject)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	return s
}

func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited 30 s for %s", what)
		}
	}
}

func meetingEvent(account, meeting string, n int) event.Event {
	e, err := event.New(account, "eu-central-1", "aws.chime", "Chime Meeting State Change", map[string]any{"n": n})
	if err != nil {
		panic(err)
	}
	e.Kind, e.Subject, e.Type = "meeting", meeting, "chime:AttendeeJoined"
	return e
}

func (p *place) append(t testing.TB, events ...event.Event) {
	t.Helper()
	if err := p.journal.Append(t.Context(), events...); err != nil {
		t.Fatal(err)
	}
}

// A subscriber gets the envelopes of its account, in order, and nothing of
// another's.
func TestSubscribe(t *testing.T) {
	p := start(t, feed.Config{})
	p.append(t, meetingEvent(account, "m", -1)) // before anybody came
	waitFor(t, "the event to have gone", func() bool { return p.feed.Stats().Passed == 1 })
	c := p.mustConnect(t, key, secret)
	all := c.subscribe(t, "events."+account+".>")
	one := c.subscribe(t, "events."+account+".aws.chime.meeting.b")
	const count = 50
	for n := range count {
		p.append(t, meetingEvent(otherAcct, "a", -n), meetingEvent(account, string(rune('a'+n%2)), n))
	}
	for n := range count {
		m, err := all.NextMsg(10 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf(`"detail":{"n":%d}`, n); !strings.Contains(string(m.Data), want) || m.Header.Get(feed.SequenceHeader) != fmt.Sprint(2*n+3) {
			t.Fatalf("got %s with %v, want %s", m.Data, m.Header, want)
		}
		if n%2 == 1 {
			if m, err := one.NextMsg(10 * time.Second); err != nil || !strings.Contains(string(m.Data), fmt.Sprintf(`"n":%d}`, n)) {
				t.Fatalf("one meeting: got %v, %v, want event %d", m, err, n)
			}
		}
	}
	if s := p.feed.Stats(); s.Subscribers != 1 || s.Passed != 2*count+1 || s.Cut != 0 {
		t.Errorf("got %+v", s)
	}
}

// What is not the account's events is refused: by the server, whatever the
// client library thinks.
func TestNothingElse(t *testing.T) {
	p := start(t, feed.Config{})
	table, err := p.store.Table(t.Context(), "secrets", store.TableConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := table.Put(t.Context(), "k", []byte("v")); err != nil {
		t.Fatal(err)
	}
	c := p.mustConnect(t, key, secret)
	for _, subject := range []string{
		">", "*", "events.>", "events.*.>", "events." + otherAcct + ".>", "events." + otherAcct + ".aws.chime.meeting.m",
		"$JS.>", "$KV.>", "$SYS.>", "_R_.>", "dead.>", "$JS.API.STREAM.NAMES", "events." + account,
	} {
		c.subscribe(t, subject)
		c.refusal(t, "subscribe to "+subject)
	}
	for _, subject := range []string{
		"events." + account + ".aws.chime.meeting.m", "x", "_INBOX.x", "$JS.API.INFO", "$KV.secrets.k", "$SYS.REQ.USER.INFO",
	} {
		if err := c.Publish(subject, []byte("x")); err != nil {
			t.Fatal(err)
		}
		c.refusal(t, "publish to "+subject)
	}
	js, err := jetstream.New(c.Conn, jetstream.WithDefaultTimeout(300*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	if info, err := js.AccountInfo(t.Context()); err == nil {
		t.Errorf("got %v from the JetStream API, want an error", info)
	}
	if kv, err := js.KeyValue(t.Context(), "secrets"); err == nil {
		t.Errorf("got the table %v, want an error", kv)
	}
	// What others publish is not among what _INBOX shows.
	inbox := c.subscribe(t, "_INBOX.>")
	p.append(t, meetingEvent(account, "m", 1))
	if m, err := inbox.NextMsg(100 * time.Millisecond); err == nil {
		t.Errorf("got %v by listening to all inboxes, want nothing", m)
	}
}

func TestLogin(t *testing.T) {
	p := start(t, feed.Config{})
	for _, c := range [][2]string{{key, otherSecret}, {key, ""}, {"", ""}, {"nobody", secret}, {"(belfry)", ""}, {"(belfry)", secret}} {
		if _, err := p.connect(t, c[0], c[1]); !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("%q with %q: got %v, want an authorization error", c[0], c[1], err)
		}
	}
	if _, err := nats.Connect(p.url()); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("without a key: got %v, want an authorization error", err)
	}
	if s := p.feed.Stats(); s.Refused < 5 || s.Subscribers != 0 {
		t.Errorf("got %+v, want the logins counted", s)
	}
}

// Who is connected is cut when the key is no longer good.
func TestRevokedKey(t *testing.T) {
	p := start(t, feed.Config{})
	c, other := p.mustConnect(t, key, secret), p.mustConnect(t, otherKey, otherSecret)
	p.good.Store(false)
	waitFor(t, "the subscriber to be cut", c.IsClosed)
	if other.IsClosed() {
		t.Error("the other subscriber was cut too")
	}
}

func TestTooManySubscribers(t *testing.T) {
	p := start(t, feed.Config{MaxSubscribers: 2})
	p.mustConnect(t, key, secret)
	p.mustConnect(t, key, secret)
	if _, err := p.connect(t, key, secret); err == nil {
		t.Error("got no error for the third of two")
	}
}

// A subscriber that takes nothing is cut, and the others get everything.
func TestSlowSubscriber(t *testing.T) {
	p := start(t, feed.Config{})
	conn, err := net.Dial("tcp", p.feed.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "CONNECT {\"verbose\":false,\"user\":%q,\"pass\":%q,\"headers\":true}\r\nSUB events.%s.> 1\r\nPING\r\n", key, secret, account)
	quick := p.mustConnect(t, key, secret).subscribe(t, "events."+account+".>")
	big := strings.Repeat("x", 200<<10)
	const count = 100
	for n := range count { // 20 MB
		e := meetingEvent(account, "m", n)
		e.Detail = fmt.Appendf(nil, `{"n":%d,"x":%q}`, n, big)
		p.append(t, e)
		if _, err := quick.NextMsg(10 * time.Second); err != nil {
			t.Fatalf("event %d for the other subscriber: %v", n, err)
		}
	}
	waitFor(t, "the slow one to be cut", func() bool { return p.feed.Stats().Cut > 0 }) // the server may count one twice
}

// With TLS, secrets do not go over the network in the clear; on the loopback
// interface they may.
func TestTLS(t *testing.T) {
	certificate, pool := newCertificate(t)
	serverTLS := &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	p := start(t, feed.Config{TLS: serverTLS})
	secure := nats.Secure(&tls.Config{RootCAs: pool, ServerName: "localhost"})
	c, err := p.connect(t, key, secret, secure)
	if err != nil {
		t.Fatalf("with TLS: got %v", err)
	}
	if state, err := c.TLSConnectionState(); err != nil || !state.HandshakeComplete {
		t.Errorf("got %v, want a connection over TLS", err)
	}
	if _, err := p.connect(t, key, secret); err != nil {
		t.Errorf("on the loopback interface without TLS: got %v, want nil", err)
	}

	p = start(t, feed.Config{TLS: serverTLS, Addr: "0.0.0.0:0"})
	plain, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", p.feed.Addr().(*net.TCPAddr).Port))
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	info := make([]byte, 4096)
	n, err := plain.Read(info)
	if err != nil || !strings.Contains(string(info[:n]), `"tls_required":true`) {
		t.Errorf("elsewhere: got %s, %v, want TLS required", info[:n], err)
	}
	fmt.Fprintf(plain, "CONNECT {\"verbose\":true,\"user\":%q,\"pass\":%q}\r\n", key, secret)
	if n, err := plain.Read(info); err == nil && strings.HasPrefix(string(info[:n]), "+OK") {
		t.Errorf("elsewhere without TLS: got %s, want no login", info[:n])
	}
}

// An address that is taken is said at once.
func TestTakenAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := start(t, feed.Config{})
	_, err = feed.Open(t.Context(), feed.Config{Addr: l.Addr().String()}, p.journal, nil, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("got %v, want that the address is in use", err)
	}
}

func newCertificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, pool
}
