package link

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/pion/stun/v4"
)

const (
	// Checks are repeated after firstCheck, then after twice that and so on.
	firstCheck = 50 * time.Millisecond
	lastCheck  = 500 * time.Millisecond

	// nominationInterval is how often the nomination is repeated until it is
	// answered.
	nominationInterval = 100 * time.Millisecond

	// maxPending bounds the checks that wait for an answer; when there are
	// more the oldest are forgotten.
	maxPending = 1024
	checkLife  = 15 * time.Second

	// priority of a peer-reflexive candidate, which is what the other side
	// sees of this one (RFC 8445 section 5.1.2).
	checkPriority = 110<<24 | 65535<<8 | 255
)

// A way is a pair of candidates: from a socket to an address.
type way struct {
	socket *socket
	to     netip.AddrPort
	addr   net.Addr
}

func (w *way) send(b []byte) error { return w.socket.send(b, w.to, w.addr) }

type transaction = [stun.TransactionIDSize]byte

// A check is a Binding request that was sent.
type check struct {
	way       *way
	nominates bool
	at        time.Time
}

// findWays makes ways to all candidates: UDP at once, TCP when that has had
// its head start. tasks get what goes on after it has returned.
func (l *Link) findWays(ctx context.Context, tasks *sync.WaitGroup) {
	candidates := slices.Clone(l.remote.Candidates)
	slices.SortStableFunc(candidates, func(a, b Candidate) int { return int(int64(b.Priority) - int64(a.Priority)) })
	candidates = candidates[:min(len(candidates), maxWays)]
	l.mu.Lock()
	sockets := slices.Clone(l.sockets)
	l.mu.Unlock()
	var six *socket
	direct := false
	for _, c := range candidates {
		if c.TCP {
			continue
		}
		is6 := c.Addr.Addr().Is6()
		if is6 && !l.relayed && six == nil && l.uses(UDP) {
			if s, err := l.listen("udp6"); err == nil && l.keep(s) {
				l.readers.Go(func() { l.read(s) })
				six = s
				sockets = append(sockets, s)
			}
		}
		for _, s := range sockets {
			if at := s.local(); at.Addr().Is6() != is6 {
				continue
			}
			direct = true
			w := &way{socket: s, to: c.Addr, addr: net.UDPAddrFromAddrPort(c.Addr)}
			l.addWay(w)
			if l.relayed { // the library waits for the relay's permission
				tasks.Go(func() { l.ask(w, false) })
			} else {
				l.ask(w, false)
			}
		}
	}
	if l.relayed || !l.uses(TCP) {
		return
	}
	if direct {
		select {
		case <-ctx.Done():
			return
		case <-time.After(tcpHeadStart):
		}
	}
	for _, c := range candidates {
		if c.TCP && l.selected.Load() == nil {
			tasks.Go(func() { l.call(ctx, c) })
		}
	}
}

// call opens a TCP way.
func (l *Link) call(ctx context.Context, c Candidate) {
	conn, err := l.dial(ctx, c.Addr.String())
	if err != nil {
		l.log.Debug("no TCP connection to the media port", "remote", c.Addr.String(), "err", err)
		return
	}
	s := &socket{stream: conn}
	if !l.keep(s) {
		return
	}
	l.readers.Go(func() { l.read(s) })
	w := &way{socket: s, to: c.Addr, addr: conn.RemoteAddr()}
	l.addWay(w)
	l.ask(w, false)
}

func (l *Link) dial(ctx context.Context, addr string) (net.Conn, error) {
	if l.cfg.Net == nil {
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}
	return l.cfg.Net.Dial("tcp", addr)
}

func (l *Link) addWay(w *way) {
	l.checks.Lock()
	defer l.checks.Unlock()
	l.checks.ways = append(l.checks.ways, w)
}

// check repeats the checks until one is answered.
func (l *Link) check(ctx context.Context) error {
	wait := firstCheck
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-l.chosen:
			return nil
		case <-timer.C:
		}
		l.checks.Lock()
		ways := slices.Clone(l.checks.ways)
		l.checks.Unlock()
		for _, w := range ways {
			l.ask(w, false)
		}
		wait = min(2*wait, lastCheck)
		timer.Reset(wait)
	}
}

// ask sends a Binding request (RFC 8445 section 7.2).
func (l *Link) ask(w *way, nominate bool) {
	setters := []stun.Setter{
		stun.TransactionID, stun.BindingRequest,
		stun.NewUsername(l.remote.Ufrag + ":" + l.ufrag),
		attribute{stun.AttrPriority, binary.BigEndian.AppendUint32(nil, checkPriority)},
		attribute{stun.AttrICEControlling, l.tieBreaker[:]},
	}
	if nominate {
		setters = append(setters, attribute{stun.AttrUseCandidate, nil})
	}
	setters = append(setters, stun.NewShortTermIntegrity(l.remote.Pwd), stun.Fingerprint)
	m, err := stun.Build(setters...)
	if err != nil {
		l.log.Debug("make check", "err", err)
		return
	}
	l.checks.Lock()
	if len(l.checks.pending) >= maxPending {
		for id, c := range l.checks.pending {
			if time.Since(c.at) > checkLife/2 {
				delete(l.checks.pending, id)
			}
		}
	}
	if len(l.checks.pending) < maxPending {
		l.checks.pending[m.TransactionID] = &check{way: w, nominates: nominate, at: time.Now()}
	}
	l.checks.Unlock()
	if err := w.send(m.Raw); err != nil {
		l.log.Debug("check not sent", "remote", w.to.String(), "err", err)
	}
}

// An attribute is one of a STUN message.
type attribute struct {
	kind  stun.AttrType
	value []byte
}

// AddTo adds it.
func (a attribute) AddTo(m *stun.Message) error {
	m.Add(a.kind, a.value)
	return nil
}

// tookSTUN handles a message that came on a socket.
func (l *Link) tookSTUN(s *socket, from netip.AddrPort, b []byte) {
	m := &stun.Message{Raw: slices.Clone(b)}
	if m.Decode() != nil || m.Type.Method != stun.MethodBinding {
		return
	}
	switch m.Type.Class {
	case stun.ClassSuccessResponse:
		l.answered(m)
	case stun.ClassRequest:
		l.asked(s, from, m)
	}
}

// answered takes the answer to a check.
func (l *Link) answered(m *stun.Message) {
	if stun.NewShortTermIntegrity(l.remote.Pwd).Check(m) != nil {
		return
	}
	l.checks.Lock()
	c := l.checks.pending[m.TransactionID]
	delete(l.checks.pending, m.TransactionID)
	if c != nil && c.nominates {
		l.checks.confirmed = true
	}
	l.checks.Unlock()
	if c == nil {
		return
	}
	l.heard.Store(time.Now().UnixNano())
	if l.selected.CompareAndSwap(nil, c.way) {
		l.ask(c.way, true)
		l.chosen <- struct{}{}
	}
}

func (l *Link) isConfirmed() bool {
	l.checks.Lock()
	defer l.checks.Unlock()
	return l.checks.confirmed
}

// asked answers a check of the other side's, which one with full ICE makes.
func (l *Link) asked(s *socket, from netip.AddrPort, m *stun.Message) {
	integrity := stun.NewShortTermIntegrity(l.pwd)
	var username stun.Username
	if username.GetFrom(m) != nil || username.String() != l.ufrag+":"+l.remote.Ufrag || integrity.Check(m) != nil {
		return
	}
	addr := from
	if !addr.IsValid() { // a stream has one peer
		if a, ok := s.stream.RemoteAddr().(*net.TCPAddr); ok {
			addr = a.AddrPort()
		}
	}
	answer, err := stun.Build(
		stun.NewTransactionIDSetter(m.TransactionID), stun.BindingSuccess,
		&stun.XORMappedAddress{IP: addr.Addr().Unmap().AsSlice(), Port: int(addr.Port())},
		integrity, stun.Fingerprint,
	)
	if err != nil {
		l.log.Debug("answer check", "err", fmt.Errorf("from %v: %w", addr, err))
		return
	}
	// What is lost is asked for again.
	_ = s.send(answer.Raw, from, net.UDPAddrFromAddrPort(addr))
}
