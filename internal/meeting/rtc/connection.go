package rtc

import (
	"context"
	"time"

	"belfry.live/belfry/internal/meeting/port"
)

// A clientSide is a peer as the media port sees it (port.Handler).
type clientSide struct{ peer *Peer }

func (c clientSide) Connected() { close(c.peer.heard) }

// Receive takes packets apart by their first byte (RFC 7983, section 7).
func (c clientSide) Receive(b []byte, now time.Time) (authentic bool) {
	p := c.peer
	switch {
	case b[0] >= 20 && b[0] <= 63:
		_, _ = p.records.in.Write(b) // full: DTLS sends again
		return false
	case len(b) < 2:
		return false
	case b[1] >= 192 && b[1] <= 223: // RFC 5761, section 4
		return p.readRTCP(b, now)
	}
	return p.readRTP(b, now)
}

func (c clientSide) Fill(b *port.Burst, now time.Time) (next time.Time) { return c.peer.fill(b, now) }

func (c clientSide) Tick(now time.Time) {
	if f := c.peer.feedback.Load(); f != nil {
		f.tick(now)
	}
}

func (c clientSide) Lost() { c.peer.end(ErrLost) }

// start connects to the client of the first offer.
func (p *Peer) start(client credentials) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrClosed
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	p.cancel = cancel
	p.flow.SetRemote(client.ufrag)
	p.tasks.Go(func() { p.run(ctx, client) })
	return nil
}

// end ends the connection, if it has begun.
func (p *Peer) end(why error) {
	p.mu.Lock()
	cancel := p.cancel
	p.mu.Unlock()
	if cancel != nil {
		cancel(why)
	}
}

func (p *Peer) run(ctx context.Context, client credentials) {
	err := p.serve(ctx, client)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	p.end(err)
	p.finish()
	if p.ev.Closed != nil {
		p.notes.post(func() { p.ev.Closed(err) })
	}
}

// serve runs the connection until it ends; the error says why.
func (p *Peer) serve(ctx context.Context, client credentials) error {
	defer p.records.Close()
	connecting, cancel := context.WithTimeoutCause(ctx, p.t.timeouts.connect, ErrUnreachable)
	defer cancel()
	select {
	case <-p.heard:
	case <-connecting.Done():
		return context.Cause(connecting)
	}
	keys, in, out, err := p.t.handshake(connecting, p.records, client)
	if err != nil {
		if cause := context.Cause(connecting); cause != nil {
			return cause
		}
		return err
	}
	cancel()
	p.in.open(in)
	p.out.open(p.flow, out)
	p.attach()
	f := newFeedback(p)
	p.feedback.Store(&f)
	if p.ev.Connected != nil {
		p.notes.post(p.ev.Connected)
	}
	freed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(freed)
		_ = keys.Close() // tells the client, if it still listens
	})
	// No application data comes here; what ends the reading is the end.
	_, _ = keys.Read(make([]byte, 1))
	if stop() {
		_ = keys.Close()
	} else {
		<-freed
	}
	return ErrEnded
}
