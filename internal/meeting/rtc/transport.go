package rtc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/transport/v4"
	"github.com/pion/transport/v4/stdnet"
)

const (
	// socketBuffer lets the kernel hold a few milliseconds of a full node.
	socketBuffer = 4 << 20

	// tcpWriteBuffer is what a client on TCP may be behind before packets
	// for it are dropped: about a second of video.
	tcpWriteBuffer = 1 << 20

	// firstSTUN is how long a new TCP connection may say nothing.
	firstSTUN = 10 * time.Second

	// portAttempts is how often a port is tried that is free for both UDP
	// and TCP, when any will do.
	portAttempts = 20
)

// A Transport is the one media port of a node, shared by all its peers: UDP,
// and TCP (RFC 6544) on the same number for those who have no UDP.
type Transport struct {
	// Fixed by NewTransport.
	log         *slog.Logger
	net         transport.Net
	addr        netip.AddrPort
	public      []netip.Addr
	loopback    bool // loopback candidates are told too
	udp         *ice.UDPMuxDefault
	tcp         *ice.TCPMuxDefault // nil on a virtual network
	certificate tls.Certificate
	fingerprint string
	timeouts    timeouts

	mu     sync.Mutex // guards what follows
	peers  map[*Peer]struct{}
	closed bool
}

// timeouts say when a client is given up.
type timeouts struct {
	connect              time.Duration // ICE and DTLS, from the first offer on
	disconnected, failed time.Duration // one after the other, without a packet
}

// The client itself gives up connecting after 15 s, and browsers check every
// 2.5 to 5 s that the server is there.
var defaultTimeouts = timeouts{
	connect:      20 * time.Second,
	disconnected: 10 * time.Second,
	failed:       10 * time.Second,
}

// NewTransport listens.
func NewTransport(cfg Config, log *slog.Logger) (*Transport, error) {
	host, err := net.ResolveUDPAddr("udp", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("media address: %w", err)
	}
	udp, tcp, err := listen(host)
	if err != nil {
		return nil, err
	}
	n, err := stdnet.NewNet()
	if err != nil {
		return nil, errors.Join(err, udp.Close(), tcp.Close())
	}
	return newTransport(cfg, n, udp, tcp, log)
}

// listen opens both sockets on one number.
func listen(host *net.UDPAddr) (*net.UDPConn, *net.TCPListener, error) {
	for attempt := 1; ; attempt++ {
		udp, err := net.ListenUDP("udp", host)
		if err != nil {
			return nil, nil, fmt.Errorf("listen for media: %w", err)
		}
		at := udp.LocalAddr().(*net.UDPAddr)
		tcp, err := net.ListenTCP("tcp", &net.TCPAddr{IP: at.IP, Port: at.Port, Zone: at.Zone})
		if err == nil {
			return udp, tcp, nil
		}
		udp.Close()
		if host.Port != 0 || attempt == portAttempts {
			return nil, nil, fmt.Errorf("listen for media: %w", err)
		}
	}
}

// newTransport takes over the sockets; tcp may be nil.
func newTransport(cfg Config, n transport.Net, udp net.PacketConn, tcp *net.TCPListener, log *slog.Logger) (*Transport, error) {
	at := udp.LocalAddr().(*net.UDPAddr).AddrPort()
	t := &Transport{
		log:      log,
		net:      n,
		addr:     netip.AddrPortFrom(at.Addr().Unmap(), at.Port()),
		public:   cfg.PublicAddresses,
		timeouts: defaultTimeouts,
		peers:    make(map[*Peer]struct{}),
	}
	var err error
	if t.certificate, t.fingerprint, err = newCertificate(); err != nil {
		return nil, err
	}
	t.loopback = t.addr.Addr().IsLoopback() || t.addr.Addr().IsUnspecified() && !hasInterface(n)
	if c, ok := udp.(*net.UDPConn); ok {
		// What the kernel does not grant shows as loss, not as an error.
		_ = c.SetReadBuffer(socketBuffer)
		_ = c.SetWriteBuffer(socketBuffer)
	}
	pion := newPionLog(log)
	t.udp = ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: udp, Net: n, Logger: pion.NewLogger("udp")})
	if tcp != nil {
		t.tcp = ice.NewTCPMuxDefault(ice.TCPMuxParams{
			Listener:                     tcp,
			Logger:                       pion.NewLogger("tcp"),
			ReadBufferSize:               64,
			WriteBufferSize:              tcpWriteBuffer,
			FirstStunBindTimeout:         firstSTUN,
			AliveDurationForConnFromStun: firstSTUN,
		})
	}
	return t, nil
}

// hasInterface reports whether the machine has an address others could use.
func hasInterface(n transport.Net) bool {
	list, err := n.Interfaces()
	if err != nil {
		return false
	}
	for _, i := range list {
		if i.Flags&net.FlagLoopback == 0 && i.Flags&net.FlagUp != 0 {
			if addrs, err := i.Addrs(); err == nil && len(addrs) > 0 {
				return true
			}
		}
	}
	return false
}

// newCertificate makes the certificate of this run. Nobody trusts it but by
// its fingerprint, which the answer carries.
func newCertificate() (tls.Certificate, string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, "", fmt.Errorf("media certificate: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return tls.Certificate{}, "", fmt.Errorf("media certificate: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial,
		NotBefore:    now.Add(-24 * time.Hour),
		NotAfter:     now.AddDate(10, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, "", fmt.Errorf("media certificate: %w", err)
	}
	sum := sha256.Sum256(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, "sha-256 " + formatFingerprint(sum[:]), nil
}

// Addr returns the address listened on, with the port that was picked.
func (t *Transport) Addr() netip.AddrPort { return t.addr }

// candidates returns what the answer of a peer says about where the server
// is: public addresses first, UDP before TCP. All are host candidates, since
// clients throw others away.
func (t *Transport) candidates(agent *ice.Agent) ([]candidate, error) {
	local, err := agent.GetLocalCandidates()
	if err != nil {
		return nil, err
	}
	var udp, tcp []netip.Addr
	for _, a := range t.public {
		udp = append(udp, a)
		if t.tcp != nil {
			tcp = append(tcp, a)
		}
	}
	for _, c := range local {
		a, err := netip.ParseAddr(c.Address())
		if err != nil {
			continue
		}
		if c.NetworkType().IsTCP() {
			tcp = append(tcp, a)
		} else {
			udp = append(udp, a)
		}
	}
	var list []candidate
	add := func(addrs []netip.Addr, isTCP bool, preference uint32) {
		seen := make(map[netip.Addr]bool)
		for _, a := range addrs {
			if a = a.Unmap().WithZone(""); seen[a] {
				continue
			}
			seen[a] = true
			list = append(list, candidate{
				addr: netip.AddrPortFrom(a, t.addr.Port()),
				tcp:  isTCP,
				// RFC 8445, section 5.1.2.1, for component 1.
				priority: preference<<24 | uint32(0xffff-len(seen))<<8 | 255,
			})
		}
	}
	add(udp, false, 126)
	add(tcp, true, 90)
	if len(list) == 0 {
		return nil, errors.New("this machine has no network address to tell")
	}
	return list, nil
}

// Close ends all peers and frees the port.
func (t *Transport) Close() error {
	t.mu.Lock()
	t.closed = true
	peers := make([]*Peer, 0, len(t.peers))
	for p := range t.peers {
		peers = append(peers, p)
	}
	t.mu.Unlock()
	var errs []error
	for _, p := range peers {
		errs = append(errs, p.Close())
	}
	errs = append(errs, t.udp.Close())
	if t.tcp != nil {
		errs = append(errs, t.tcp.Close())
	}
	return errors.Join(errs...)
}

func (t *Transport) add(p *Peer) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return ErrClosed
	}
	t.peers[p] = struct{}{}
	return nil
}

func (t *Transport) remove(p *Peer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.peers, p)
}
