package link

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"math/big"
	"net"
	"strings"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/srtp/v3"
	"github.com/pion/transport/v4/packetio"
)

const (
	// maxRecords is how many DTLS records wait to be read: a flight of a
	// handshake is fewer than ten.
	maxRecords = 64

	// flightInterval is when a flight that was not answered is sent again,
	// first; RFC 6347 has a second, which is long for a lossy network.
	flightInterval = 250 * time.Millisecond

	// replayWindow takes retransmissions and reordering of seconds of video.
	replayWindow = 4096
)

// identity makes a certificate that nobody trusts but by its fingerprint.
func identity() (c tls.Certificate, fingerprint string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return c, "", fmt.Errorf("make media key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "attendee"},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return c, "", fmt.Errorf("make media certificate: %w", err)
	}
	sum := sha256.Sum256(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, "sha-256 " + colons(sum[:]), nil
}

// colons writes bytes as 0A:1B:...
func colons(b []byte) string {
	digits := strings.ToUpper(hex.EncodeToString(b))
	parts := make([]string, 0, len(b))
	for i := 0; i < len(digits); i += 2 {
		parts = append(parts, digits[i:i+2])
	}
	return strings.Join(parts, ":")
}

// proves checks a certificate against a fingerprint (RFC 8122 section 5).
func proves(raw [][]byte, fingerprint string) error {
	name, want, _ := strings.Cut(fingerprint, " ")
	var h hash.Hash
	switch strings.ToLower(name) {
	case "sha-256":
		h = sha256.New()
	case "sha-384":
		h = sha512.New384()
	case "sha-512":
		h = sha512.New()
	default:
		return fmt.Errorf("fingerprint by %q is not known", name)
	}
	if len(raw) == 0 {
		return errors.New("no certificate")
	}
	h.Write(raw[0])
	if !strings.EqualFold(colons(h.Sum(nil)), strings.TrimSpace(want)) {
		return errors.New("certificate does not match the fingerprint of the answer")
	}
	return nil
}

// A recordConn gives DTLS its datagrams.
type recordConn struct {
	in  *packetio.Buffer
	way *way
}

func (c *recordConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := c.in.Read(b)
	return n, c.way.addr, err
}

func (c *recordConn) WriteTo(b []byte, _ net.Addr) (int, error) { return len(b), c.way.send(b) }
func (c *recordConn) Close() error                              { return c.in.Close() }
func (c *recordConn) LocalAddr() net.Addr                       { return c.way.addr }
func (c *recordConn) SetDeadline(t time.Time) error             { return c.in.SetReadDeadline(t) }
func (c *recordConn) SetReadDeadline(t time.Time) error         { return c.in.SetReadDeadline(t) }
func (c *recordConn) SetWriteDeadline(time.Time) error          { return nil }

// A cipherPair holds one direction's keys.
type cipherPair struct{ rtp, rtcp *srtp.Context }

// handshake runs DTLS-SRTP (RFC 5764) as the client and lets media flow.
func (l *Link) handshake(ctx context.Context) (conn *dtls.Conn, err error) {
	w := l.selected.Load()
	conn, err = dtls.ClientWithOptions(
		&recordConn{in: l.records, way: w}, w.addr,
		dtls.WithCertificates(l.certificate),
		dtls.WithSRTPProtectionProfiles(
			dtls.SRTP_AEAD_AES_128_GCM,
			dtls.SRTP_AEAD_AES_256_GCM,
			dtls.SRTP_AES128_CM_HMAC_SHA1_80,
		),
		dtls.WithInsecureSkipVerify(true), // the fingerprint is checked instead
		dtls.WithVerifyPeerCertificate(func(raw [][]byte, _ [][]*x509.Certificate) error {
			return proves(raw, l.remote.Fingerprint)
		}),
		dtls.WithFlightInterval(flightInterval),
		dtls.WithLoggerFactory(libraryLog{log: l.log}),
	)
	if err != nil {
		return nil, fmt.Errorf("DTLS: %w", err)
	}
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("DTLS handshake: %w", err)
	}
	if err := l.openWith(conn); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("SRTP keys: %w", err)
	}
	return conn, nil
}

func (l *Link) openWith(conn *dtls.Conn) error {
	profile, ok := conn.SelectedSRTPProtectionProfile()
	if !ok {
		return errors.New("no profile agreed")
	}
	state, ok := conn.ConnectionState()
	if !ok {
		return errors.New("handshake not complete")
	}
	keys := srtp.Config{Profile: srtp.ProtectionProfile(profile)}
	if err := keys.ExtractSessionKeysFromDTLS(&state, true); err != nil {
		return err
	}
	in, err := ciphers(keys.Keys.RemoteMasterKey, keys.Keys.RemoteMasterSalt, keys.Profile)
	if err != nil {
		return err
	}
	out, err := ciphers(keys.Keys.LocalMasterKey, keys.Keys.LocalMasterSalt, keys.Profile)
	if err != nil {
		return err
	}
	l.out.Lock()
	l.out.ciphers, l.out.open = out, true
	l.out.Unlock()
	l.in.Lock()
	l.in.ciphers, l.in.open = in, true
	l.in.Unlock()
	return nil
}

func ciphers(key, salt []byte, profile srtp.ProtectionProfile) (c cipherPair, err error) {
	if c.rtp, err = srtp.CreateContext(key, salt, profile, srtp.SRTPReplayProtection(replayWindow)); err != nil {
		return c, err
	}
	c.rtcp, err = srtp.CreateContext(key, salt, profile, srtp.SRTCPReplayProtection(replayWindow))
	return c, err
}
