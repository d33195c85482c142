package rtc

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"belfry.live/belfry/internal/meeting/port"
	"belfry.live/belfry/internal/meeting/sfu"
)

// A Peer is one attendee's peer connection.
type Peer struct {
	// Fixed by NewPeer.
	t       *Transport
	ev      Events
	log     *slog.Logger
	flow    *port.Flow
	records *dtlsConn
	notes   *notifier
	heard   chan struct{} // closed when the client has been heard
	closing chan struct{} // closed when Close begins
	tasks   sync.WaitGroup

	in       incoming
	out      outgoing
	plan     atomic.Pointer[plan] // what is agreed; never changed, only replaced
	video    camera
	stereo   atomic.Bool // the client wants the mix in stereo
	decodes  atomic.Pointer[[]sfu.Format]
	band     bandwidth
	uplink   uplinkLimit
	feedback atomic.Pointer[feedback] // nil before the connection is up; used by the port's sender

	negotiating sync.Mutex // held by Negotiate; guards what follows
	writer      answerWriter
	client      credentials
	receives    map[string]*receive // by mid
	connected   bool                // sources may be forwarded
	over        bool

	mu     sync.Mutex              // guards what follows; taken inside negotiating
	cancel context.CancelCauseFunc // ends run; nil before the first offer
	closed bool
}

// NewPeer makes a peer that waits for its first offer.
func (t *Transport) NewPeer(ev Events, log *slog.Logger) (*Peer, error) {
	p := &Peer{
		t:       t,
		ev:      ev,
		log:     log,
		notes:   newNotifier(),
		heard:   make(chan struct{}),
		closing: make(chan struct{}),
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
	var err error
	p.flow, err = t.port.NewFlow(port.FlowConfig{
		Ufrag:   p.writer.ufrag,
		Pwd:     p.writer.pwd,
		Timeout: t.timeouts.silence,
		Handler: clientSide{p},
	})
	if err != nil {
		return nil, fmt.Errorf("ICE: %w", err)
	}
	p.records = newDTLSConn(p.flow)
	if err := t.add(p); err != nil {
		p.flow.Close()
		return nil, err
	}
	p.tasks.Go(func() { p.notes.run(p.closing) })
	return p, nil
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
	p.end(ErrClosed)
	p.tasks.Wait()
	if !first {
		return nil
	}
	p.flow.Close()
	p.finish()
	p.t.remove(p)
	return nil
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
