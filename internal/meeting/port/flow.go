package port

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxPaths is how many addresses one client may be at. A browser tries
	// one for each of its networks, and NATs may add some.
	maxPaths = 16

	// checkRate and checkBurst are how many checks a second are looked at
	// that name one flow: from each path, and from all other addresses.
	checkRate, checkBurst = 50, 200

	// fresh is how long after a packet from a client a path counts as good.
	fresh = time.Second

	// takeoverAfter is how long nothing must have come from a client for
	// another to be taken for the one at its address.
	takeoverAfter = 2 * time.Second
)

// A Handler is one client's media. Connected and Receive come one call at a
// time, so do Fill, Tick and Lost, though not always from the same goroutine, and must not block:
// others wait behind them. None of them may close the flow. After Close of the
// flow has returned none is called.
//
// Connected and Receive are called by who reads from the network, the others
// by the flow's sender.
type Handler interface {
	// Connected is called once, when the client has been heard.
	Connected()
	// Receive gets a packet that is not STUN, valid until return. It reports
	// whether the packet has proved to be the client's.
	Receive(b []byte, now time.Time) (authentic bool)
	// Fill puts what is to be sent now into b, in order. It is called after
	// Wake, at the time it returned last (zero: no such time), and again if
	// b was full.
	Fill(b *Burst, now time.Time) (next time.Time)
	// Tick is called about every 50 ms.
	Tick(now time.Time)
	// Lost is called once if nothing of the client has come for as long as
	// the flow's Timeout.
	Lost()
}

// A FlowConfig is what a flow is made of.
type FlowConfig struct {
	Ufrag, Pwd string // ours, as the answer tells them
	Timeout    time.Duration
	Handler    Handler
}

// A Flow is what goes between the port and one client.
type Flow struct {
	// Fixed by NewFlow.
	p          *Port
	ufrag, pwd string
	timeout    time.Duration
	handler    Handler
	sender     *sender

	remoteUfrag atomic.Pointer[string]
	selected    atomic.Pointer[path] // where packets go; nil before the first check
	heard       atomic.Int64         // when something authentic came last
	queued      atomic.Bool          // in the sender's list
	closed      atomic.Bool
	refused     atomic.Uint64
	unknown     limiter // checks from where the client is not known to be

	receiving sync.Mutex // held while Receive or Connected runs; guards deaf
	deaf      bool       // neither is called any more
	sending   sync.Mutex // held while Fill, Tick or Lost runs; guards mute, lost
	mute      bool       // none of them is called any more
	lost      bool

	// Touched by the sender alone.
	due int64 // millisecond of the wheel, 0: none

	place place // guarded by the sender's mutex

	mu         sync.Mutex // guards what follows; taken before the port's
	paths      []*path
	nominated  bool  // the selected path is the client's choice
	challenger *path // nominated once with less priority than the selected one
}

// A path is one way to a client: an address that a check has come from.
type path struct {
	flow   *Flow
	link   link
	remote netip.AddrPort
	checks limiter
	heard  atomic.Int64

	local    atomic.Pointer[netip.Addr] // nil: any
	priority atomic.Uint32
}

func (pt *path) localAddr() netip.Addr {
	if a := pt.local.Load(); a != nil {
		return *a
	}
	return netip.Addr{}
}

// NewFlow makes a flow that waits for its client.
func (p *Port) NewFlow(cfg FlowConfig) (*Flow, error) {
	f := &Flow{p: p, ufrag: cfg.Ufrag, pwd: cfg.Pwd, timeout: cfg.Timeout, handler: cfg.Handler}
	f.unknown.rate, f.unknown.burst = checkRate, checkBurst
	f.sender = p.senders[int(p.next.Add(1))%len(p.senders)]
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return nil, ErrClosed
	case p.flows[f.ufrag] != nil:
		return nil, ErrTaken
	}
	p.flows[f.ufrag] = f
	return f, nil
}

// SetRemote tells the ufrag of the client's offer: only its checks count.
func (f *Flow) SetRemote(ufrag string) { f.remoteUfrag.Store(&ufrag) }

// Wake has the handler's Fill called within about a millisecond. It may be
// called from anywhere and as often as packets come.
func (f *Flow) Wake() {
	if !f.queued.Load() && f.queued.CompareAndSwap(false, true) {
		f.sender.add(f)
	}
}

// Write sends one packet at once, past those that Fill would give.
func (f *Flow) Write(b []byte) error {
	pt := f.selected.Load()
	if pt == nil {
		return ErrUnconnected
	}
	return pt.link.send(b, pt.remote, pt.localAddr())
}

// Remote returns where packets for the client go; invalid before its first
// check.
func (f *Flow) Remote() netip.AddrPort {
	if pt := f.selected.Load(); pt != nil {
		return pt.remote
	}
	return netip.AddrPort{}
}

// Refused counts the packets that neither kernel nor connection took.
func (f *Flow) Refused() uint64 { return f.refused.Load() }

// Close ends the flow and waits for calls of the handler to return.
func (f *Flow) Close() {
	if f.closed.Swap(true) {
		return
	}
	f.mu.Lock()
	paths := f.paths
	f.paths = nil
	f.p.mu.Lock()
	delete(f.p.flows, f.ufrag)
	for _, pt := range paths {
		f.p.forget(pt)
	}
	f.p.mu.Unlock()
	f.mu.Unlock()
	for _, pt := range paths {
		if c, ok := pt.link.(*tcpConn); ok {
			c.shut()
		}
	}
	f.sender.leave(f)
	f.receiving.Lock()
	f.deaf = true
	f.receiving.Unlock()
	f.sending.Lock()
	f.mute = true
	f.sending.Unlock()
}

// forget takes a path out of the table. The port's mutex is held.
func (p *Port) forget(pt *path) {
	if p.paths[pt.remote] == pt {
		delete(p.paths, pt.remote)
	}
}

// receive passes a packet on.
func (f *Flow) receive(pt *path, b []byte, now time.Time) {
	f.receiving.Lock()
	authentic := !f.deaf && f.handler.Receive(b, now)
	f.receiving.Unlock()
	if authentic {
		f.hear(pt, now)
	}
}

func (f *Flow) hear(pt *path, now time.Time) {
	at := f.p.since(now)
	pt.heard.Store(at)
	f.heard.Store(at)
}

// tick is called by the sender.
func (f *Flow) tick(now time.Time) {
	f.sending.Lock()
	defer f.sending.Unlock()
	if f.mute || f.lost {
		return
	}
	if f.p.since(now)-f.heard.Load() > int64(f.timeout) {
		f.lost = true
		f.handler.Lost()
		return
	}
	f.handler.Tick(now)
}

// learn takes an authentic check into account and returns its path, or nil if
// it may not be one.
func (f *Flow) learn(a arrival, priority uint32, nominated bool) *path {
	f.mu.Lock()
	pt, isNew := f.pathFor(a)
	if pt == nil {
		f.mu.Unlock()
		return nil
	}
	f.hear(pt, a.at)
	pt.priority.Store(priority)
	first := f.selected.Load() == nil
	moved := first
	if nominated {
		moved = f.nominate(pt, a.at) || moved
	}
	if moved || isNew {
		if a.local.IsValid() {
			pt.local.Store(&a.local)
		}
	}
	if moved {
		f.selected.Store(pt)
	}
	f.mu.Unlock()
	if first {
		f.sender.join(f)
		f.receiving.Lock()
		if !f.deaf {
			f.handler.Connected()
		}
		f.receiving.Unlock()
	}
	if moved {
		f.p.log.Debug("client's address", "remote", a.from)
		f.Wake()
	}
	return pt
}

// nominate decides whether the client's choice moves what is selected: the
// newest counts. But clients that nominate all they check (as RFC 5245 allowed)
// mean the one of highest priority, so one of lower priority has to be
// nominated twice in a row while the selected one is good.
func (f *Flow) nominate(pt *path, now time.Time) bool {
	old := f.selected.Load()
	if old == pt || old == nil || !f.nominated {
		f.nominated, f.challenger = true, nil
		return old != pt
	}
	good := f.p.since(now)-old.heard.Load() < int64(fresh)
	if good && pt.priority.Load() < old.priority.Load() && f.challenger != pt {
		f.challenger = pt
		return false
	}
	f.challenger = nil
	return true
}

// pathFor finds or makes the path of a check. The flow's mutex is held.
func (f *Flow) pathFor(a arrival) (pt *path, isNew bool) {
	if f.closed.Load() {
		return nil, false
	}
	p := f.p
	p.mu.Lock()
	defer p.mu.Unlock()
	conn, isTCP := a.link.(*tcpConn)
	if isTCP {
		pt = conn.path.Load()
	} else {
		pt = p.paths[a.from]
	}
	if pt != nil && pt.flow == f {
		if pt.link == a.link {
			return pt, false
		}
		// The kernel has changed its mind about the socket, or a relay has
		// been made anew: the same address, another way.
		p.forget(pt)
		f.paths = slices.DeleteFunc(f.paths, func(x *path) bool { return x == pt })
	} else if pt != nil {
		if isTCP || p.since(a.at)-pt.heard.Load() < int64(takeoverAfter) {
			p.counts[AddressTaken].Add(1)
			return nil, false
		}
	}
	f.makeRoom()
	pt = &path{flow: f, link: a.link, remote: a.from}
	pt.checks.rate, pt.checks.burst = checkRate, checkBurst
	f.paths = append(f.paths, pt)
	if isTCP {
		conn.path.Store(pt)
	} else {
		p.paths[a.from] = pt
	}
	return pt, true
}

// makeRoom forgets the path that has been silent for longest if there are too
// many. Both mutexes are held.
func (f *Flow) makeRoom() {
	if len(f.paths) < maxPaths {
		return
	}
	oldest := -1
	for i, pt := range f.paths {
		if pt != f.selected.Load() && (oldest < 0 || pt.heard.Load() < f.paths[oldest].heard.Load()) {
			oldest = i
		}
	}
	pt := f.paths[oldest]
	f.paths = slices.Delete(f.paths, oldest, oldest+1)
	f.p.forget(pt)
	if c, ok := pt.link.(*tcpConn); ok {
		c.shut()
	}
}
