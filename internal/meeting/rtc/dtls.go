package rtc

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net"
	"strings"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/srtp/v3"
	"github.com/pion/transport/v4/packetio"
)

const (
	// dtlsBacklog is how many DTLS records wait to be read: a flight of a
	// handshake is fewer than ten.
	dtlsBacklog = 64

	// srtpReplayWindow takes retransmissions and reordering of up to several
	// seconds of video.
	srtpReplayWindow = 4096
)

// A dtlsConn gives the DTLS part of a connection to the DTLS library: what
// the read loop puts in is read, what is written goes out at once.
type dtlsConn struct {
	in  *packetio.Buffer
	out link
}

func newDTLSConn(out link) *dtlsConn {
	in := packetio.NewBuffer()
	in.SetLimitCount(dtlsBacklog)
	return &dtlsConn{in: in, out: out}
}

// clientAddr stands for the client, wherever it is: the port knows.
var clientAddr net.Addr = new(net.UDPAddr)

func (c *dtlsConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := c.in.Read(b)
	return n, clientAddr, err
}

func (c *dtlsConn) WriteTo(b []byte, _ net.Addr) (int, error) { return len(b), c.out.Write(b) }
func (c *dtlsConn) Close() error                              { return c.in.Close() }
func (c *dtlsConn) LocalAddr() net.Addr                       { return clientAddr }
func (c *dtlsConn) SetDeadline(t time.Time) error             { return c.in.SetReadDeadline(t) }
func (c *dtlsConn) SetReadDeadline(t time.Time) error         { return c.in.SetReadDeadline(t) }
func (c *dtlsConn) SetWriteDeadline(time.Time) error          { return nil }

// A cipherPair holds one direction's keys. RTP and RTCP have a context each,
// for a context may be used by one goroutine at a time.
type cipherPair struct{ rtp, rtcp *srtp.Context }

// handshake runs DTLS-SRTP (RFC 5764) as the server and returns the
// connection, whose only further use is to tell its end, and the keys.
func (t *Transport) handshake(ctx context.Context, c *dtlsConn, client credentials) (conn *dtls.Conn, in, out cipherPair, err error) {
	conn, err = dtls.ServerWithOptions(
		c, clientAddr,
		dtls.WithCertificates(t.certificate),
		// The server chooses, and AES-GCM costs a seventh of AES-CM with
		// HMAC-SHA1.
		dtls.WithSRTPProtectionProfiles(
			dtls.SRTP_AEAD_AES_128_GCM,
			dtls.SRTP_AEAD_AES_256_GCM,
			dtls.SRTP_AES128_CM_HMAC_SHA1_80,
		),
		dtls.WithClientAuth(dtls.RequireAnyClientCert),
		dtls.WithInsecureSkipVerify(true), // the fingerprint is checked instead
		dtls.WithVerifyPeerCertificate(func(raw [][]byte, _ [][]*x509.Certificate) error {
			return client.verify(raw)
		}),
		// ICE has proved the address already.
		dtls.WithInsecureSkipVerifyHello(true),
		dtls.WithLoggerFactory(newPionLog(t.log)),
	)
	if err != nil {
		return nil, in, out, fmt.Errorf("DTLS: %w", err)
	}
	opened := conn // what is returned is nil if it fails
	defer func() {
		if err != nil {
			_ = opened.Close()
		}
	}()
	if err = conn.HandshakeContext(ctx); err != nil {
		return nil, in, out, fmt.Errorf("DTLS handshake: %w", err)
	}
	profile, ok := conn.SelectedSRTPProtectionProfile()
	if !ok {
		return nil, in, out, errors.New("DTLS handshake: no SRTP profile agreed")
	}
	keys := srtp.Config{Profile: srtp.ProtectionProfile(profile)}
	state, ok := conn.ConnectionState()
	if !ok {
		return nil, in, out, errors.New("DTLS handshake: not complete")
	}
	if err = keys.ExtractSessionKeysFromDTLS(&state, false); err != nil {
		return nil, in, out, fmt.Errorf("SRTP keys: %w", err)
	}
	if in, err = newCiphers(keys.Keys.RemoteMasterKey, keys.Keys.RemoteMasterSalt, keys.Profile); err != nil {
		return nil, in, out, err
	}
	out, err = newCiphers(keys.Keys.LocalMasterKey, keys.Keys.LocalMasterSalt, keys.Profile)
	return conn, in, out, err
}

func newCiphers(key, salt []byte, profile srtp.ProtectionProfile) (c cipherPair, err error) {
	if c.rtp, err = srtp.CreateContext(key, salt, profile, srtp.SRTPReplayProtection(srtpReplayWindow)); err != nil {
		return c, fmt.Errorf("SRTP keys: %w", err)
	}
	if c.rtcp, err = srtp.CreateContext(key, salt, profile, srtp.SRTCPReplayProtection(srtpReplayWindow)); err != nil {
		return c, fmt.Errorf("SRTCP keys: %w", err)
	}
	return c, nil
}

// verify compares the client's certificate with the fingerprint in its offer
// (RFC 8122, section 5).
func (c *credentials) verify(raw [][]byte) error {
	h := newHash(c.hash)
	if len(raw) == 0 || h == nil {
		return errors.New("no certificate to compare")
	}
	h.Write(raw[0])
	if !strings.EqualFold(formatFingerprint(h.Sum(nil)), c.print) {
		return errors.New("certificate does not match the fingerprint of the offer")
	}
	return nil
}

// newHash returns the hash of a fingerprint, or nil for one that is unknown
// or too weak.
func newHash(name string) hash.Hash {
	switch name {
	case "sha-256":
		return sha256.New()
	case "sha-384":
		return sha512.New384()
	case "sha-512":
		return sha512.New()
	}
	return nil
}

// formatFingerprint writes bytes as 0A:1B:...
func formatFingerprint(sum []byte) string {
	digits := strings.ToUpper(hex.EncodeToString(sum))
	var b strings.Builder
	for i := 0; i < len(digits); i += 2 {
		if i > 0 {
			b.WriteByte(':')
		}
		b.WriteString(digits[i : i+2])
	}
	return b.String()
}
