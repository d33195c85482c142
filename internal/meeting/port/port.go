// Package port is the one media port of a node, shared by all clients: UDP,
// and TCP on the same number (RFC 6544) for those who have no UDP. It is the
// server's side of ICE (RFC 8445, lite): it answers connectivity checks,
// learns from them where a client is, and then takes packets from there and
// sends packets there, many clients in one system call. What is in the
// packets (DTLS, SRTP) is left to package rtc, TURN to package turn.
package port

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// MaxPacket is the longest datagram that is received or sent.
const MaxPacket = 1600

const (
	// socketBuffer lets the kernel hold a few milliseconds of a full node.
	socketBuffer = 4 << 20

	// portAttempts is how often a port is tried that is free for both UDP
	// and TCP, when any will do.
	portAttempts = 20

	// maxSenders is how many goroutines send at most: what more cores would
	// add the network card does not take.
	maxSenders = 16
)

// Errors of a port.
var (
	ErrClosed      = errors.New("media port is closed")
	ErrTaken       = errors.New("ufrag is in use")
	ErrUnconnected = errors.New("the client has not been heard yet")
	ErrFull        = errors.New("the client takes no more")
)

// A Config says where to listen.
type Config struct {
	Addr            string       // UDP and TCP, "host:port"; port 0 picks one, no host means all addresses
	PublicAddresses []netip.Addr // told to clients in front of the local ones
	Readers         int          // UDP sockets, each with a goroutine that reads it; 0: as many as pay

	proveWithin time.Duration // 0: the constant; shorter in tests
}

// A Port is safe for use by many goroutines.
type Port struct {
	// Fixed by Open.
	log      *slog.Logger
	addr     netip.AddrPort
	began    time.Time
	sockets  []socket
	listener *net.TCPListener // nil on a virtual network
	senders  []*sender
	turn     *turnConn
	turnTCP  *turnListener
	local    localAddresses
	stop     chan struct{} // closed by Close

	proveWithin time.Duration // what a new connection has to prove whose it is
	tasks       sync.WaitGroup

	counts     [reasons]atomic.Uint64
	next       atomic.Uint32 // sender of the next flow
	strangers  limiter       // answers to those who are not known
	pendingTCP pending

	mu     sync.RWMutex // guards what follows
	public []netip.Addr
	flows  map[string]*Flow // by our ufrag
	paths  map[netip.AddrPort]*path
	routes map[netip.AddrPort]*route
	conns  map[*tcpConn]struct{}
	closed bool
}

// A socket is a UDP socket of the port.
type socket interface {
	link
	// read calls got with every datagram until the socket is closed. What is
	// handed over is valid until got returns.
	read(got func(b []byte, from netip.AddrPort, local netip.Addr, at time.Time))
	Close() error
}

// Open listens.
func Open(cfg Config, log *slog.Logger) (*Port, error) {
	host, err := net.ResolveUDPAddr("udp", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("media address: %w", err)
	}
	readers := cfg.Readers
	if readers <= 0 {
		// One core forwards what eight take out of a full socket.
		readers = min(max(runtime.GOMAXPROCS(0)/8, 1), maxReaders)
	}
	udp, tcp, err := listen(host, readers)
	if err != nil {
		return nil, err
	}
	p := newPort(cfg, udp[0].LocalAddr(), log)
	for _, c := range udp {
		// What the kernel does not grant shows as loss, not as an error.
		_ = c.SetReadBuffer(socketBuffer)
		_ = c.SetWriteBuffer(socketBuffer)
		s, err := p.newSocket(c)
		if err != nil {
			err = errors.Join(err, tcp.Close())
			for _, c := range udp {
				err = errors.Join(err, c.Close())
			}
			return nil, err
		}
		p.sockets = append(p.sockets, s)
	}
	p.listener = tcp
	p.run()
	return p, nil
}

// New takes over a socket of any kind, such as one on a virtual network. There
// is no TCP then. Of cfg only the public addresses are used.
func New(cfg Config, conn net.PacketConn, log *slog.Logger) *Port {
	p := newPort(cfg, conn.LocalAddr(), log)
	p.sockets = []socket{&plainSocket{conn: conn, p: p}}
	p.run()
	return p
}

func newPort(cfg Config, addr net.Addr, log *slog.Logger) *Port {
	at := addr.(*net.UDPAddr).AddrPort()
	p := &Port{
		log:   log,
		addr:  netip.AddrPortFrom(at.Addr().Unmap(), at.Port()),
		began: time.Now(),
		stop:  make(chan struct{}),

		proveWithin: cmp.Or(cfg.proveWithin, proveWithin),
		public:      slices.Clone(cfg.PublicAddresses),
		flows:       make(map[string]*Flow),
		paths:       make(map[netip.AddrPort]*path),
		routes:      make(map[netip.AddrPort]*route),
		conns:       make(map[*tcpConn]struct{}),
	}
	p.strangers.rate, p.strangers.burst = strangerRate, strangerBurst
	p.turn = newTURNConn(p)
	p.turnTCP = newTURNListener(p)
	for range min(runtime.GOMAXPROCS(0), maxSenders) {
		p.senders = append(p.senders, newSender(p))
	}
	return p
}

// listen opens all sockets on one number.
func listen(host *net.UDPAddr, readers int) ([]*net.UDPConn, *net.TCPListener, error) {
	for attempt := 1; ; attempt++ {
		udp, err := listenUDP(host, readers)
		if err != nil {
			return nil, nil, fmt.Errorf("listen for media: %w", err)
		}
		at := udp[0].LocalAddr().(*net.UDPAddr)
		tcp, err := net.ListenTCP("tcp", &net.TCPAddr{IP: at.IP, Port: at.Port, Zone: at.Zone})
		if err == nil {
			return udp, tcp, nil
		}
		for _, c := range udp {
			c.Close()
		}
		if host.Port != 0 || attempt == portAttempts {
			return nil, nil, fmt.Errorf("listen for media: %w", err)
		}
	}
}

// listenUDP opens sockets that share an address. The kernel gives all packets
// of one client to the same of them.
func listenUDP(host *net.UDPAddr, n int) (conns []*net.UDPConn, err error) {
	defer func() {
		if err != nil {
			for _, c := range conns {
				c.Close()
			}
		}
	}()
	var lc net.ListenConfig
	if n > 1 {
		lc.Control = shareAddress
	}
	at := host.String()
	for range n {
		c, err := lc.ListenPacket(context.Background(), "udp", at)
		if err != nil {
			return conns, err
		}
		conns = append(conns, c.(*net.UDPConn))
		at = c.LocalAddr().String()
	}
	return conns, nil
}

// run starts what reads and sends.
func (p *Port) run() {
	for _, s := range p.sockets {
		p.tasks.Go(func() {
			s.read(func(b []byte, from netip.AddrPort, local netip.Addr, at time.Time) {
				p.dispatch(b, arrival{link: s, from: from, local: local, at: at})
			})
		})
	}
	for _, s := range p.senders {
		p.tasks.Go(func() { s.run(p.stop) })
	}
	if p.listener != nil {
		p.tasks.Go(p.accept)
	}
}

// Addr returns the address listened on, with the port that was picked.
func (p *Port) Addr() netip.AddrPort { return p.addr }

// Close frees the port. Flows must have been closed before.
func (p *Port) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	conns := make([]*tcpConn, 0, len(p.conns))
	for c := range p.conns {
		conns = append(conns, c)
	}
	p.mu.Unlock()
	close(p.stop)
	var errs []error
	if p.listener != nil {
		errs = append(errs, p.listener.Close())
	}
	for _, s := range p.sockets {
		errs = append(errs, s.Close())
	}
	for _, c := range conns {
		c.shut()
	}
	errs = append(errs, p.turn.Close(), p.turnTCP.Close())
	p.tasks.Wait()
	return errors.Join(errs...)
}

// since returns a time as what is kept of it in atomic integers.
func (p *Port) since(t time.Time) int64 { return int64(t.Sub(p.began)) }

// A link is what packets to a client go through: a UDP socket, a TCP
// connection or a route.
type link interface {
	// send sends one packet at once. It keeps nothing of b and does not wait
	// for the client. Local is the server's address the client knows, if that
	// is not clear.
	send(b []byte, to netip.AddrPort, local netip.Addr) error
}

// An arrival says how a datagram has come.
type arrival struct {
	link  link
	from  netip.AddrPort
	local netip.Addr // what it was sent to; invalid: not known, or the only one
	at    time.Time
}

// dispatch takes datagrams apart by their first byte (RFC 7983, section 7).
func (p *Port) dispatch(b []byte, a arrival) {
	if len(b) == 0 {
		p.counts[Malformed].Add(1)
		return
	}
	switch first := b[0]; {
	case first >= 128 && first <= 191, first >= 20 && first <= 63: // RTP, RTCP; DTLS
		pt := p.pathOf(a)
		if pt == nil {
			p.counts[UnknownAddress].Add(1)
			return
		}
		pt.flow.receive(pt, b, a.at)
	case first <= 3:
		p.stun(b, a)
	case first >= 64 && first <= 79:
		p.turn.channelData(b, a)
	default:
		p.counts[Malformed].Add(1)
	}
}

// pathOf returns the path that a datagram came on, or nil.
func (p *Port) pathOf(a arrival) *path {
	if c, ok := a.link.(*tcpConn); ok {
		return c.path.Load()
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.paths[a.from]
}
