package turn_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v4"

	"belfry.live/belfry/internal/meeting/turn"
)

// Addresses of the media port in tests.
var (
	here  = netip.MustParseAddrPort("192.0.2.1:3478")
	there = netip.MustParseAddrPort("192.0.2.2:3478")
	six   = netip.MustParseAddrPort("[2001:db8::1]:3478")
)

// echo stands for the media port: it answers checks, and sends everything
// else back.
type echo struct {
	mu     sync.Mutex
	routes map[netip.AddrPort]func([]byte) error
	from   []netip.AddrPort // of everything that came in
}

func newEcho() *echo { return &echo{routes: map[netip.AddrPort]func([]byte) error{}} }

func (e *echo) Route(addr netip.AddrPort, write func([]byte) error) func() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.routes[addr] = write
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.routes, addr)
	}
}

func (e *echo) Inject(from netip.AddrPort, b []byte) {
	e.mu.Lock()
	write := e.routes[from]
	e.from = append(e.from, from)
	e.mu.Unlock()
	if write == nil {
		return
	}
	if stun.IsMessage(b) {
		b = bytes.Clone(b)
		binary.BigEndian.PutUint16(b, 0x0101) // a success response
	}
	_ = write(b)
}

// send sends to all clients.
func (e *echo) send(b []byte) {
	e.mu.Lock()
	routes := make([]func([]byte) error, 0, len(e.routes))
	for _, r := range e.routes {
		routes = append(routes, r)
	}
	e.mu.Unlock()
	for _, write := range routes {
		_ = write(b)
	}
}

func (e *echo) count() (routes, packets int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.routes), len(e.from)
}

// A relay is a running server.
type relay struct {
	*turn.Server
	media *echo
	udp   *net.UDPAddr
	tcp   string
	tls   string
	stop  func()
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func start(t *testing.T, limits turn.Limits) *relay {
	t.Helper()
	media := newEcho()
	s := turn.New(turn.Config{
		Media:  media,
		Peers:  func() []netip.AddrPort { return []netip.AddrPort{here, there, six} },
		URIs:   func() []string { return nil },
		Secret: turn.NewSecret([]byte("secret of the test")),
		Limits: limits,
	}, discard())
	udp, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	plain, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	secure := tls.NewListener(plain, &tls.Config{Certificates: []tls.Certificate{certificate(t)}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, udp, tcp, secure) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: got %v, want nil", err)
		}
	})
	t.Cleanup(stop)
	return &relay{s, media, udp.LocalAddr().(*net.UDPAddr), tcp.Addr().String(), plain.Addr().String(), stop}
}

func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// A dialogue speaks TURN with the server word by word.
type dialogue struct {
	t                  *testing.T
	conn               net.Conn
	username, password string
	realm, nonce       string
}

// dial opens a dialogue over "udp" or "tcp".
func (r *relay) dial(t *testing.T, network, attendee string) *dialogue {
	t.Helper()
	addr := r.tcp
	if network == "udp" {
		addr = r.udp.String()
	}
	conn, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	d := &dialogue{t: t, conn: conn}
	d.username, d.password, _ = r.Credentials(attendee, time.Now())
	return d
}

// ask sends a request and returns the answer, with the dialogue's credentials
// once the server has asked for them.
func (d *dialogue) ask(method stun.Method, attributes ...stun.Setter) *stun.Message {
	d.t.Helper()
	answer := d.askOnce(method, attributes...)
	if code := errorCode(answer); code == stun.CodeUnauthorized && d.nonce == "" || code == stun.CodeStaleNonce {
		var nonce stun.Nonce
		var realm stun.Realm
		if nonce.GetFrom(answer) != nil || realm.GetFrom(answer) != nil {
			d.t.Fatalf("got %v, want a nonce and a realm in it", answer)
		}
		d.nonce, d.realm = nonce.String(), realm.String()
		answer = d.askOnce(method, attributes...)
	}
	return answer
}

func (d *dialogue) askOnce(method stun.Method, attributes ...stun.Setter) *stun.Message {
	d.t.Helper()
	request := d.request(method, attributes...)
	if _, err := d.conn.Write(request.Raw); err != nil {
		d.t.Fatal(err)
	}
	for {
		answer := &stun.Message{Raw: d.read()}
		if answer.Raw[0]>>6 == 1 {
			continue // channel data
		}
		if err := answer.Decode(); err != nil {
			d.t.Fatal(err)
		}
		if answer.TransactionID == request.TransactionID {
			return answer
		}
	}
}

func (d *dialogue) request(method stun.Method, attributes ...stun.Setter) *stun.Message {
	setters := append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, attributes...)
	if d.nonce != "" {
		setters = append(setters, stun.NewUsername(d.username), stun.NewRealm(d.realm), stun.NewNonce(d.nonce),
			stun.NewLongTermIntegrity(d.username, d.realm, d.password))
	}
	return stun.MustBuild(setters...)
}

// read returns the next message.
func (d *dialogue) read() []byte {
	d.t.Helper()
	b, err := d.tryRead(5 * time.Second)
	if err != nil {
		d.t.Fatal(err)
	}
	return b
}

func (d *dialogue) tryRead(within time.Duration) ([]byte, error) {
	if err := d.conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		return nil, err
	}
	b := make([]byte, 4096)
	if _, ok := d.conn.(*net.UDPConn); ok {
		n, err := d.conn.Read(b)
		return b[:n], err
	}
	if _, err := readFull(d.conn, b[:4]); err != nil {
		return nil, err
	}
	n := 4 + int(binary.BigEndian.Uint16(b[2:]))
	if b[0]>>6 == 0 {
		n += 16
	}
	n = (n + 3) &^ 3
	_, err := readFull(d.conn, b[4:n])
	return b[:n], err
}

func readFull(c net.Conn, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var m int
		m, err = c.Read(b[n:])
		n += m
	}
	return n, err
}

// allocate makes an allocation and returns the relayed address.
func (d *dialogue) allocate(attributes ...stun.Setter) *stun.Message {
	d.t.Helper()
	return d.ask(stun.MethodAllocate, append([]stun.Setter{overUDP}, attributes...)...)
}

func (d *dialogue) indicate(to netip.AddrPort, data []byte) {
	d.t.Helper()
	m := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication),
		peer(to), stun.RawAttribute{Type: stun.AttrData, Value: data})
	if _, err := d.conn.Write(m.Raw); err != nil {
		d.t.Fatal(err)
	}
}

func errorCode(m *stun.Message) stun.ErrorCode {
	var code stun.ErrorCodeAttribute
	if m.Type.Class != stun.ClassErrorResponse || code.GetFrom(m) != nil {
		return 0
	}
	return code.Code
}

var overUDP = stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{17, 0, 0, 0}}

func peer(addr netip.AddrPort) stun.Setter {
	return setter(func(m *stun.Message) error {
		return stun.XORMappedAddress{IP: addr.Addr().AsSlice(), Port: int(addr.Port())}.AddToAs(m, stun.AttrXORPeerAddress)
	})
}

func channel(number uint16) stun.Setter {
	return stun.RawAttribute{Type: stun.AttrChannelNumber, Value: binary.BigEndian.AppendUint32(nil, uint32(number)<<16)}
}

type setter func(*stun.Message) error

func (s setter) AddTo(m *stun.Message) error { return s(m) }

func address(t *testing.T, m *stun.Message, attribute stun.AttrType) netip.AddrPort {
	t.Helper()
	var x stun.XORMappedAddress
	if err := x.GetFromAs(m, attribute); err != nil {
		t.Fatalf("%v: %v", m, err)
	}
	ip, _ := netip.AddrFromSlice(x.IP)
	return netip.AddrPortFrom(ip.Unmap(), uint16(x.Port))
}
