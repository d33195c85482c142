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
	"net/netip"
	"sync"
	"time"

	"belfry.live/belfry/internal/meeting/port"
)

// A Transport is the one media port of a node, with all its peers.
type Transport struct {
	// Fixed by NewTransport.
	log         *slog.Logger
	port        *port.Port
	certificate tls.Certificate
	fingerprint string
	timeouts    timeouts

	mu     sync.Mutex // guards what follows
	peers  map[*Peer]struct{}
	closed bool
}

// timeouts say when a client is given up.
type timeouts struct {
	connect time.Duration // ICE and DTLS, from the first offer on
	silence time.Duration // without a packet
}

// The client itself gives up connecting after 15 s, and browsers check every
// 2.5 to 5 s that the server is there.
var defaultTimeouts = timeouts{
	connect: 20 * time.Second,
	silence: 20 * time.Second,
}

// NewTransport listens.
func NewTransport(cfg Config, log *slog.Logger) (*Transport, error) {
	p, err := port.Open(port.Config{Addr: cfg.Addr, PublicAddresses: cfg.PublicAddresses}, log)
	if err != nil {
		return nil, err
	}
	t, err := newTransport(p, log)
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return t, nil
}

// newTransport takes over a port, if it succeeds.
func newTransport(p *port.Port, log *slog.Logger) (*Transport, error) {
	t := &Transport{log: log, port: p, timeouts: defaultTimeouts, peers: make(map[*Peer]struct{})}
	var err error
	t.certificate, t.fingerprint, err = newCertificate()
	return t, err
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
func (t *Transport) Addr() netip.AddrPort { return t.port.Addr() }

// Port returns the media port, which the transport closes.
func (t *Transport) Port() *port.Port { return t.port }

// Peers returns how many peers are not closed.
func (t *Transport) Peers() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.peers)
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
	for _, p := range peers {
		_ = p.Close() // tells nothing
	}
	return t.port.Close()
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
