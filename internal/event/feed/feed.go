// Package feed passes new events on to NATS clients: a NATS server of its own,
// without JetStream and apart from the one that holds the state, whose clients
// log in with an access key and may subscribe to the events of its account and
// do nothing else. They get what happens while they are connected; who wants
// what was before reads GET /events.
package feed

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"belfry.live/belfry/internal/event"
)

// SequenceHeader holds the event's sequence in the journal, which GET /events
// takes as Last-Event-ID.
const SequenceHeader = "Belfry-Sequence"

// Limits of a subscriber.
const (
	maxSubscriptions = 32
	maxPending       = 2 << 20 // bytes that wait to be sent; who has more is cut
	headerRoom       = 4 << 10
	loginTimeout     = 3 * time.Second
	writeTimeout     = 5 * time.Second
	startTimeout     = 10 * time.Second
	checkEvery       = 5 * time.Second // whether keys are still good
	readAgain        = time.Second     // after the journal could not be read
)

// insider is the user name of the one who publishes; no access key has it.
const insider = "(belfry)"

// Config says where the feed listens.
type Config struct {
	Addr           string // host:port; port 0 takes a free one
	MaxSubscribers int    // connections at once; 0: 100
	// TLS is required of clients, except where Addr is of the loopback
	// interface, where they have the choice. nil: there is none.
	TLS *tls.Config
}

// A Journal is what the feed needs of *event.Journal.
type Journal interface {
	Next(ctx context.Context, subject string, from uint64) (event.Record, error)
	Last(ctx context.Context) (uint64, error)
}

// A Login says who has the access key and its secret, and may subscribe.
type Login func(keyID, secret string) (event.Subscriber, bool)

// A Feed is the listener and what stands behind it.
type Feed struct {
	// Fixed by Open.
	journal Journal
	login   Login
	log     *slog.Logger
	server  *server.Server
	conn    *nats.Conn
	token   string // of the insider
	from    uint64 // the first sequence to pass on

	mu          sync.Mutex                  // guards what follows
	subscribers map[uint64]event.Subscriber // by connection, also some that have gone
	refused     uint64
	passed      uint64
}

// Open begins to listen. New events are passed on once Run is called. If the
// address cannot be listened on, the error is that of net.Listen.
func Open(ctx context.Context, cfg Config, journal Journal, login Login, log *slog.Logger) (*Feed, error) {
	host, portText, err := net.SplitHostPort(cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("the NATS address: %w", err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return nil, fmt.Errorf("the NATS address: port %q is no number", portText)
	}
	// The server does not say why it cannot listen.
	free, err := net.Listen("tcp", cfg.Addr)
	if err != nil {
		return nil, err
	}
	free.Close()
	if port == 0 {
		port = server.RANDOM_PORT
	}
	if cfg.MaxSubscribers == 0 {
		cfg.MaxSubscribers = 100
	}
	f := &Feed{journal: journal, login: login, log: log, token: rand.Text(), subscribers: map[uint64]event.Subscriber{}}
	last, err := journal.Last(ctx)
	if err != nil {
		return nil, err
	}
	f.from = last + 1
	options := &server.Options{
		ServerName: "belfry-events", Host: host, Port: port, NoSigs: true, NoSystemAccount: true,
		CustomClientAuthentication: authentication{f}, AuthTimeout: loginTimeout.Seconds(),
		MaxConn: cfg.MaxSubscribers + 1, MaxSubs: maxSubscriptions, MaxPending: maxPending,
		MaxPayload: event.MaxEnvelope + headerRoom, WriteDeadline: writeTimeout,
	}
	if cfg.TLS != nil {
		ip := net.ParseIP(host)
		options.TLSConfig, options.TLSTimeout = cfg.TLS.Clone(), loginTimeout.Seconds()
		options.AllowNonTLS = host == "localhost" || ip != nil && ip.IsLoopback()
	}
	if f.server, err = server.NewServer(options); err != nil {
		return nil, fmt.Errorf("make the NATS server for subscribers: %w", err)
	}
	f.server.SetLoggerV2(logger{log.With("part", "nats-subscribers")}, false, false, false)
	f.server.Start()
	if !f.server.ReadyForConnections(startTimeout) {
		f.Close()
		return nil, fmt.Errorf("the NATS server for subscribers was not ready within %v", startTimeout)
	}
	f.conn, err = nats.Connect("", nats.InProcessServer(f.server), nats.UserInfo(insider, f.token), nats.MaxReconnects(-1))
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("connect to the NATS server for subscribers: %w", err)
	}
	return f, nil
}

// Addr is where the feed listens.
func (f *Feed) Addr() net.Addr { return f.server.Addr() }

// Close ends all connections and waits until nothing runs any more.
func (f *Feed) Close() {
	if f.conn != nil {
		f.conn.Close()
	}
	f.server.Shutdown()
	f.server.WaitForShutdown()
}

// Run passes events on until ctx ends, and cuts subscribers whose keys are no
// longer good.
func (f *Feed) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		check := time.NewTicker(checkEvery)
		defer check.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-check.C:
				f.check()
			}
		}
	})
	for {
		err := f.passOn(ctx)
		if ctx.Err() != nil {
			return nil
		}
		f.log.Error("events cannot be passed on to NATS subscribers", "err", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(readAgain):
		}
	}
}

// passOn publishes what comes into the journal until something fails.
func (f *Feed) passOn(ctx context.Context) error {
	for {
		r, err := f.journal.Next(ctx, event.Subjects("", ""), f.from)
		if err != nil {
			return err
		}
		m := nats.NewMsg(r.Subject)
		m.Header.Set(nats.MsgIdHdr, r.ID)
		m.Header.Set(SequenceHeader, strconv.FormatUint(r.Sequence, 10))
		m.Data = r.Body
		if err := f.conn.PublishMsg(m); err != nil {
			return err
		}
		f.from = r.Sequence + 1
		f.mu.Lock()
		f.passed++
		f.mu.Unlock()
	}
}

// check cuts the subscribers whose keys are no longer good.
func (f *Feed) check() {
	f.mu.Lock()
	ids := make(map[uint64]event.Subscriber, len(f.subscribers))
	for id, s := range f.subscribers {
		if f.server.GetClient(id) == nil {
			delete(f.subscribers, id)
		} else {
			ids[id] = s
		}
	}
	f.mu.Unlock()
	for id, s := range ids {
		if s.Still() {
			continue
		}
		if err := f.server.DisconnectClientByID(id); err == nil {
			f.log.Info("a NATS subscriber was cut: its access key is no longer good")
		}
	}
}

// authentication lets subscribers in.
type authentication struct{ feed *Feed }

// Check lets a client in, with the permissions it gets.
func (a authentication) Check(c server.ClientAuthentication) bool {
	f, said := a.feed, c.GetOpts()
	if said.Username == insider {
		if subtle.ConstantTimeCompare([]byte(said.Password), []byte(f.token)) != 1 {
			return false
		}
		c.RegisterUser(&server.User{Username: insider, Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: []string{event.Subjects("", "")}},
			Subscribe: &server.SubjectPermission{Deny: []string{">"}},
		}})
		return true
	}
	who, ok := f.login(said.Username, said.Password)
	f.mu.Lock()
	defer f.mu.Unlock()
	if !ok {
		f.refused++
		return false
	}
	f.subscribers[c.GetID()] = who
	c.RegisterUser(&server.User{Username: said.Username, Permissions: &server.Permissions{
		Publish:   &server.SubjectPermission{Deny: []string{">"}},
		Subscribe: &server.SubjectPermission{Allow: []string{event.Subjects(who.Account, ""), "_INBOX.>"}},
	}})
	return true
}

// Stats are counts since the start.
type Stats struct {
	Subscribers int    // at present
	Passed      uint64 // events
	Refused     uint64 // logins
	Cut         uint64 // subscribers that were too slow
}

// Stats returns what was counted so far.
func (f *Feed) Stats() Stats {
	slow := f.server.NumSlowConsumersClients()
	connected := max(f.server.NumClients()-1, 0)
	f.mu.Lock()
	defer f.mu.Unlock()
	return Stats{Subscribers: connected, Passed: f.passed, Refused: f.refused, Cut: slow}
}

// logger passes the server's lines on. Strangers cause most of them.
type logger struct{ log *slog.Logger }

func (l logger) Noticef(format string, v ...any) { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l logger) Warnf(format string, v ...any)   { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l logger) Fatalf(format string, v ...any)  { l.log.Error(fmt.Sprintf(format, v...)) }
func (l logger) Errorf(format string, v ...any)  { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l logger) Debugf(format string, v ...any)  { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l logger) Tracef(format string, v ...any)  { l.log.Debug(fmt.Sprintf(format, v...)) }
