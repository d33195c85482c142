package e2e

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// where finds what the server's log says of an address.
func (s server) where(name string) string {
	s.t.Helper()
	m := regexp.MustCompile(`[ "]` + name + `=([^ \n]+)`).FindStringSubmatch(s.Log.String())
	if m == nil {
		s.t.Fatalf("the log does not say where %s is", name)
	}
	return m[1]
}

// One port answers HTTPS, RTMPS and TURN, and TURN is on the media port too.
func TestTLSPort(t *testing.T) {
	s := start(t, "--tls", "127.0.0.1:0")
	authority, err := os.ReadFile(filepath.Join(s.Data, "tls", "authority.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		t.Fatal("the authority is no certificate")
	}
	addr := s.where("tls")

	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport}).Get("https://" + addr + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK || answer.ProtoMajor != 2 {
		t.Errorf("HTTPS: got %s by %s, want 200 by HTTP/2.0", answer.Status, answer.Proto)
	}

	secure := func() net.Conn {
		c, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: roots})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	plain := func(network string) net.Conn {
		c, err := net.Dial(network, s.where("media"))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	allocate := make([]byte, 28) // RFC 8656, section 7.1, without credentials
	binary.BigEndian.PutUint16(allocate, 0x0003)
	binary.BigEndian.PutUint16(allocate[2:], 8)
	binary.BigEndian.PutUint32(allocate[4:], 0x2112a442)
	copy(allocate[20:], []byte{0, 0x19, 0, 4, 17})
	for _, c := range []struct {
		name         string
		conn         net.Conn
		first, reply []byte
	}{
		{"RTMPS", secure(), append([]byte{3}, make([]byte, 1536)...), []byte{3}},
		{"TURN over TLS", secure(), allocate, []byte{0x01, 0x13}},
		{"TURN over TCP", plain("tcp"), allocate, []byte{0x01, 0x13}},
		{"TURN over UDP", plain("udp"), allocate, []byte{0x01, 0x13}},
	} {
		defer c.conn.Close()
		if err := c.conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.conn.Write(c.first); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		got := make([]byte, 1500)
		n, err := io.ReadAtLeast(c.conn, got, len(c.reply))
		if err != nil || !bytes.HasPrefix(got[:n], c.reply) {
			t.Errorf("%s: got %x (%v), want an answer that begins with %x", c.name, got[:n], err, c.reply)
		}
	}
}
