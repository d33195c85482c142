package port

import (
	"net/netip"
	"sync/atomic"
	"time"
)

// A route is where packets for an address go that is not on the network.
type route struct {
	write   func(b []byte) error
	removed atomic.Bool
}

func (r *route) send(b []byte, _ netip.AddrPort, _ netip.Addr) error {
	if r.removed.Load() {
		return ErrClosed
	}
	return r.write(b)
}

// Route has packets for addr written by write, which may be called by several
// goroutines at once, must not wait for anybody and may not keep b. What comes
// from addr is given to Inject. After remove nothing new goes there.
func (p *Port) Route(addr netip.AddrPort, write func(b []byte) error) (remove func()) {
	r := &route{write: write}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.routes[addr] = r
	return func() {
		r.removed.Store(true)
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.routes[addr] == r {
			delete(p.routes, addr)
		}
	}
}

// Inject takes a datagram as if it had come from an address, which needs a
// route. It keeps nothing of b.
func (p *Port) Inject(from netip.AddrPort, b []byte) {
	p.mu.RLock()
	r := p.routes[from]
	p.mu.RUnlock()
	switch {
	case r == nil:
		p.counts[NoRoute].Add(1)
	case len(b) > MaxPacket:
		p.counts[TooLong].Add(1)
	default:
		p.dispatch(b, arrival{link: r, from: from, at: time.Now()})
	}
}
