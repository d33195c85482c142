package rtc

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"belfry.live/belfry/internal/meeting/sfu"
	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	"golang.org/x/sync/errgroup"
)

// A Peer is one attendee's peer connection.
type Peer struct {
	// Fixed by NewPeer.
	t        *Transport
	ev       Events
	log      *slog.Logger
	agent    *ice.Agent
	gathered chan struct{} // closed when the candidates are known
	notes    *notifier
	lost     chan struct{} // closed when ICE has failed
	closing  chan struct{} // closed when Close begins
	tasks    sync.WaitGroup

	in      incoming
	out     outgoing
	plan    atomic.Pointer[plan] // what is agreed; never changed, only replaced
	video   camera
	stereo  atomic.Bool // the client wants the mix in stereo
	decodes atomic.Pointer[[]sfu.Format]
	band    bandwidth

	negotiating sync.Mutex // held by Negotiate; guards what follows
	writer      answerWriter
	client      credentials
	receives    map[string]*receive // by mid
	connected   bool                // sources may be forwarded
	over        bool

	mu     sync.Mutex // guards closed; taken inside negotiating
	closed bool
}

// NewPeer makes a peer that waits for its first offer.
func (t *Transport) NewPeer(ev Events, log *slog.Logger) (*Peer, error) {
	p := &Peer{
		t:        t,
		ev:       ev,
		log:      log,
		gathered: make(chan struct{}),
		notes:    newNotifier(),
		lost:     make(chan struct{}),
		closing:  make(chan struct{}),
		writer: answerWriter{
			session:     uint64(randomUint32())<<16 | uint64(randomUint32()),
			ufrag:       randomText(8),
			pwd:         randomText(16),
			fingerprint: t.fingerprint,
			cname:       randomText(8),
		},
		receives: make(map[string]*receive),
	}
	p.out.init()
	p.in.init(p)
	p.video.peer = p
	p.plan.Store(new(plan))
	if err := p.newAgent(); err != nil {
		return nil, fmt.Errorf("ICE: %w", err)
	}
	if err := t.add(p); err != nil {
		return nil, errors.Join(err, p.agent.GracefulClose())
	}
	p.tasks.Go(func() { p.notes.run(p.closing) })
	return p, nil
}

func (p *Peer) newAgent() error {
	networks := []ice.NetworkType{ice.NetworkTypeUDP4, ice.NetworkTypeUDP6}
	options := []ice.AgentOption{
		ice.WithICELite(true),
		ice.WithLocalCredentials(p.writer.ufrag, p.writer.pwd),
		ice.WithCandidateTypes([]ice.CandidateType{ice.CandidateTypeHost}),
		ice.WithMulticastDNSMode(ice.MulticastDNSModeDisabled),
		ice.WithDisconnectedTimeout(p.t.timeouts.disconnected),
		ice.WithFailedTimeout(p.t.timeouts.failed),
		ice.WithDisableActiveTCP(),
		ice.WithUDPMux(p.t.udp),
		ice.WithNet(p.t.net),
		ice.WithLoggerFactory(newPionLog(p.log)),
	}
	if p.t.tcp != nil {
		networks = append(networks, ice.NetworkTypeTCP4, ice.NetworkTypeTCP6)
		options = append(options, ice.WithTCPMux(p.t.tcp))
	}
	if p.t.loopback {
		options = append(options, ice.WithIncludeLoopback())
	}
	agent, err := ice.NewAgentWithOptions(append(options, ice.WithNetworkTypes(networks))...)
	if err != nil {
		return err
	}
	p.agent = agent
	var failedOnce sync.Once
	err = errors.Join(
		agent.OnCandidate(func(c ice.Candidate) {
			if c == nil {
				close(p.gathered)
			}
		}),
		agent.OnConnectionStateChange(func(s ice.ConnectionState) {
			p.log.Debug("ICE state", "state", s.String())
			if s == ice.ConnectionStateFailed {
				failedOnce.Do(func() { close(p.lost) })
			}
		}),
		agent.GatherCandidates(),
	)
	if err != nil {
		return errors.Join(err, agent.GracefulClose())
	}
	return nil
}

// start connects to the client of the first offer.
func (p *Peer) start(client credentials) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrClosed
	}
	p.tasks.Go(func() { p.run(client) })
	return nil
}

func (p *Peer) run(client credentials) {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	p.tasks.Go(func() {
		select {
		case <-p.closing:
			cancel(ErrClosed)
		case <-p.lost:
			cancel(ErrLost)
		case <-ctx.Done():
		}
	})
	err := p.serve(ctx, client)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	p.finish()
	if p.ev.Closed != nil {
		p.notes.post(func() { p.ev.Closed(err) })
	}
}

// serve runs the connection until it ends; the error says why.
func (p *Peer) serve(ctx context.Context, client credentials) error {
	connecting, cancel := context.WithTimeoutCause(ctx, p.t.timeouts.connect, ErrUnreachable)
	defer cancel()
	conn, err := p.agent.Accept(connecting, client.ufrag, client.pwd)
	if err != nil {
		if cause := context.Cause(connecting); cause != nil {
			return cause
		}
		return fmt.Errorf("ICE: %w", err)
	}
	records := newDTLSConn(conn)
	var secured atomic.Pointer[dtls.Conn]
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.readLoop(conn, records) })
	g.Go(func() error {
		keys, in, out, err := p.t.handshake(connecting, records, client)
		if err != nil {
			if cause := context.Cause(connecting); cause != nil {
				return cause
			}
			return err
		}
		defer keys.Close()
		secured.Store(keys)
		p.in.open(in)
		p.out.open(conn, out)
		p.attach()
		if p.ev.Connected != nil {
			p.notes.post(p.ev.Connected)
		}
		g.Go(func() error { return p.writeLoop(ctx, conn) })
		g.Go(func() error { return p.feedbackLoop(ctx) })
		// No application data comes here; what ends the reading is the end.
		_, _ = keys.Read(make([]byte, 1))
		return ErrEnded
	})
	g.Go(func() error {
		<-ctx.Done()
		if keys := secured.Load(); keys != nil {
			_ = keys.Close() // tells the client, if it still listens
		}
		return errors.Join(records.Close(), p.agent.Close()) // frees blocked reads
	})
	return g.Wait()
}

// attach starts forwarding to the receive sections agreed on before the
// connection was up.
func (p *Peer) attach() {
	p.negotiating.Lock()
	defer p.negotiating.Unlock()
	p.connected = true
	for _, r := range p.receives {
		r.subscriber.SetTarget(r.target)
	}
}

// finish ends everything that the peer receives and publishes.
func (p *Peer) finish() {
	p.negotiating.Lock()
	defer p.negotiating.Unlock()
	p.over = true
	for _, r := range p.receives {
		r.subscriber.Close()
	}
	p.out.shut()
	p.video.agree(false, p.plan.Load().layers, 0)
}

// Close ends the peer and waits for its goroutines.
func (p *Peer) Close() error {
	p.mu.Lock()
	first := !p.closed
	p.closed = true
	p.mu.Unlock()
	if first {
		close(p.closing)
	}
	p.tasks.Wait()
	if !first {
		return nil
	}
	p.finish()
	p.t.remove(p)
	return p.agent.GracefulClose()
}

func randomUint32() uint32 {
	var b [4]byte
	for {
		_, _ = rand.Read(b[:]) // never fails
		if n := binary.BigEndian.Uint32(b[:]); n != 0 {
			return n
		}
	}
}

// randomText returns n random bytes as hex digits.
func randomText(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
