// Package link is a client's encrypted path to the media port of a meeting:
// it finds a way there (ICE over UDP, TCP or a TURN relay), agrees on keys
// (DTLS) and carries RTP and RTCP (SRTP). What an answer said of the other side
// goes in, decrypted packets come out. What is in the packets, and what is said
// in offers and answers, is left to package attendee.
//
// It is always the controlling side and nominates the first way that works, so
// that media flows two round trips after the answer.
package link

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/rtp"
	"github.com/pion/transport/v4"
	"github.com/pion/transport/v4/packetio"
)

const (
	// maxDatagram is the most that is read of one: SRTP keeps to 1500 bytes.
	maxDatagram = 2048

	// consentInterval is how often the other side is asked whether it is
	// there, maxSilence how long it may say nothing (RFC 7675 section 5.1 has
	// 5 s and 30 s).
	consentInterval = 2 * time.Second
	maxSilence      = 10 * time.Second

	// tcpHeadStart is what UDP has before TCP is tried beside it.
	tcpHeadStart = 300 * time.Millisecond

	// maxWays bounds what a description can make this side try.
	maxWays = 32
)

// ErrLost says that there is no way to the other side any more.
var ErrLost = errors.New("media connection lost")

// A Protocol is what carries the media, or leads to the relay.
type Protocol uint

// Protocols, to be added up.
const (
	UDP Protocol = 1 << iota
	TCP
	TLS // to a relay only

	AnyProtocol Protocol = 0
)

// A Relay is a TURN server (RFC 8656).
type Relay struct {
	URL                string // turn:host:port?transport=udp and the like (RFC 7065)
	Username, Password string
}

// A Config says how to reach the other side.
type Config struct {
	Relays    []Relay       // not empty: everything goes through one of them
	Protocols Protocol      // to use; AnyProtocol: all
	Net       transport.Net // nil: that of the machine
	TLS       *tls.Config   // for relays spoken to by TLS; nil: the machine's authorities
	Log       *slog.Logger
}

// A Handler is given what happens, one call at a time. Packets are valid until
// the call returns.
type Handler struct {
	Up   func()                                 // media can flow
	RTP  func(p *rtp.Packet, arrival time.Time) // Payload is without padding
	RTCP func(compound []byte, arrival time.Time)
}

// A Link is one path. New prepares it, Run uses it.
type Link struct {
	// Fixed by New.
	cfg         Config
	log         *slog.Logger
	ufrag, pwd  string
	tieBreaker  [8]byte
	certificate tls.Certificate
	fingerprint string
	relayed     bool

	records *packetio.Buffer // DTLS, from the readers to the DTLS library

	// heard is when the other side last said something, Unix nanoseconds.
	heard    atomic.Int64
	selected atomic.Pointer[way]

	remote Description // fixed by Run

	checks struct {
		sync.Mutex
		ways      []*way
		pending   map[transaction]*check
		confirmed bool // the nomination was answered
	}
	chosen chan struct{} // holds one: selected is set

	handler Handler
	in      struct {
		sync.Mutex // held while a packet is decrypted and handled
		ciphers    cipherPair
		open       bool
		packet     rtp.Packet
		plain      []byte
	}
	out struct {
		sync.Mutex
		ciphers cipherPair
		open    bool
		header  rtp.Header
		plain   []byte
		secret  []byte
	}

	readers sync.WaitGroup
	mu      sync.Mutex // guards what follows
	closed  bool
	sockets []*socket
}

// A Description is what one side's SDP says of how to reach it.
type Description struct {
	Ufrag, Pwd  string
	Fingerprint string // "sha-256 AB:..."
	Candidates  []Candidate
}

// New opens sockets, or an allocation at the first relay that gives one. Close
// or Run must follow.
func New(ctx context.Context, cfg Config) (*Link, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	l := &Link{cfg: cfg, log: cfg.Log, records: packetio.NewBuffer(), chosen: make(chan struct{}, 1)}
	l.records.SetLimitCount(maxRecords)
	l.checks.pending = make(map[transaction]*check)
	l.in.plain = make([]byte, 0, maxDatagram)
	l.out.plain = make([]byte, 0, maxDatagram)
	l.out.secret = make([]byte, 0, maxDatagram)
	l.ufrag, l.pwd = secret(6), secret(18)
	rand.Read(l.tieBreaker[:])
	var err error
	if l.certificate, l.fingerprint, err = identity(); err != nil {
		return nil, err
	}
	if l.relayed = len(cfg.Relays) > 0; l.relayed {
		s, err := l.allocate(ctx)
		if err != nil {
			return nil, err
		}
		l.keep(s)
		return l, nil
	}
	if l.uses(UDP) {
		s, err := l.listen("udp4")
		if err != nil {
			return nil, fmt.Errorf("open socket for media: %w", err)
		}
		l.keep(s)
	}
	return l, nil
}

// secret gives random text of so many bytes in base 64.
func secret(bytes int) string {
	b := make([]byte, bytes)
	rand.Read(b)
	return base64.RawStdEncoding.EncodeToString(b)
}

func (l *Link) uses(p Protocol) bool {
	return l.cfg.Protocols == AnyProtocol || l.cfg.Protocols&p != 0
}

// keep has Close close the socket; false: it is closed already.
func (l *Link) keep(s *socket) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		s.close()
		return false
	}
	l.sockets = append(l.sockets, s)
	return true
}

// Local is what to say of this side.
func (l *Link) Local() Description {
	d := Description{Ufrag: l.ufrag, Pwd: l.pwd, Fingerprint: l.fingerprint}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.sockets {
		d.Candidates = append(d.Candidates, l.localCandidates(s)...)
	}
	return d
}

// Close ends a Link that was not Run.
func (l *Link) Close() {
	l.mu.Lock()
	sockets := l.sockets
	l.sockets, l.closed = nil, true
	l.mu.Unlock()
	for _, s := range sockets {
		s.close()
	}
	_ = l.records.Close()
}

// Run connects and then carries media until ctx ends (then it returns nil) or
// the other side is gone. It may be called once.
func (l *Link) Run(ctx context.Context, remote Description, h Handler) error {
	ctx, cancel := context.WithCancel(ctx)
	l.remote, l.handler = remote, h
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer l.readers.Wait()
	defer l.Close()
	defer cancel()
	l.mu.Lock()
	sockets := l.sockets
	l.mu.Unlock()
	for _, s := range sockets {
		l.readers.Go(func() { l.read(s) })
	}
	tasks.Go(func() { l.findWays(ctx, &tasks) })
	if err := l.check(ctx); err != nil {
		return unlessEnded(ctx, err)
	}
	conn, err := l.handshake(ctx)
	if err != nil {
		return unlessEnded(ctx, err)
	}
	if h.Up != nil {
		h.Up()
	}
	ended := make(chan error, 1)
	tasks.Go(func() { ended <- untilClosed(conn) })
	err = l.attend(ctx, ended)
	l.shut()
	_ = conn.Close() // tells the other side, if it can
	return unlessEnded(ctx, err)
}

func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// untilClosed waits for the other side's farewell.
func untilClosed(conn *dtls.Conn) error {
	b := make([]byte, maxDatagram)
	for {
		if _, err := conn.Read(b); err != nil {
			return fmt.Errorf("%w: %w", ErrLost, err)
		}
	}
}

// attend keeps the way open until it is lost.
func (l *Link) attend(ctx context.Context, ended <-chan error) error {
	wait := nominationInterval
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-ended:
			return err
		case <-timer.C:
		}
		if d := time.Since(time.Unix(0, l.heard.Load())); d > maxSilence {
			return fmt.Errorf("%w: nothing heard for %v", ErrLost, d.Round(time.Second))
		}
		l.ask(l.selected.Load(), true)
		wait = nominationInterval
		if l.isConfirmed() {
			wait = consentInterval
		}
		timer.Reset(wait)
	}
}

// shut stops media; nothing is handled after it.
func (l *Link) shut() {
	l.in.Lock()
	l.in.open = false
	l.in.Unlock()
	l.out.Lock()
	l.out.open = false
	l.out.Unlock()
}

// Way says what the media goes over: "udp", "tcp", "relay", or "" before it is
// known.
func (l *Link) Way() string {
	switch w := l.selected.Load(); {
	case w == nil:
		return ""
	case l.relayed:
		return "relay"
	case w.socket.stream != nil:
		return "tcp"
	}
	return "udp"
}

// localCandidates are those of a socket (RFC 8839 section 5.1).
func (l *Link) localCandidates(s *socket) []Candidate {
	at := s.local()
	if !at.IsValid() {
		return nil
	}
	if l.relayed {
		return []Candidate{{Addr: at, Priority: 1<<24 - 1, Type: "relay"}}
	}
	var list []Candidate
	for _, a := range l.addresses() {
		if a.Is4() && len(list) < maxLocal {
			list = append(list, Candidate{
				Addr: netip.AddrPortFrom(a, at.Port()), Type: "host",
				Priority: 126<<24 | uint32(65535-len(list))<<8 | 255,
			})
		}
	}
	return list
}

const maxLocal = 8 // candidates

// addresses are the machine's own.
func (l *Link) addresses() []netip.Addr {
	var addrs []net.Addr
	if l.cfg.Net == nil {
		addrs, _ = net.InterfaceAddrs()
	} else if list, err := l.cfg.Net.Interfaces(); err == nil {
		for _, i := range list {
			a, _ := i.Addrs()
			addrs = append(addrs, a...)
		}
	}
	var ips []netip.Addr
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				ips = append(ips, ip.Unmap())
			}
		}
	}
	return ips
}
