package network

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// domain is the server's name in the lab.
const domain = "meet.belfry.test"

// The server gets its certificate from an ACME authority that checks the TLS
// port: Pebble, Let's Encrypt's server for tests. Install it with
// go install github.com/letsencrypt/pebble/v2/cmd/pebble@v2.10.1
func TestACME(t *testing.T) {
	pebble, err := exec.LookPath("pebble")
	if err != nil {
		t.Skip("there is no pebble, the ACME server for tests")
	}
	l := newLab(t)
	l.without("-6")
	directory, trust := l.authority(pebble)
	s := l.serve("https://"+domain, "ACME_DOMAIN="+domain, "ACME_DIRECTORY="+directory, "CERTIFICATE=", "CERTIFICATE_KEY=",
		"LOG_LEVEL=info\nexport SSL_CERT_FILE="+trust)
	for end := time.Now().Add(30 * time.Second); !strings.Contains(s.Log.String(), "certificate is there"); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("no certificate within 30 s")
		}
	}
	for name, want := range map[string]string{domain: "Pebble", "localhost": "Belfry", "": "Belfry"} {
		var issuer string
		err := l.client.inside(func() error {
			c, err := tls.Dial("tcp", serverIP+":443", &tls.Config{ServerName: name, InsecureSkipVerify: true})
			if err != nil {
				return err
			}
			defer c.Close()
			issuer = c.ConnectionState().PeerCertificates[0].Issuer.CommonName
			return nil
		})
		if err != nil || !strings.HasPrefix(issuer, want) {
			t.Errorf("for %q: got a certificate of %q (%v), want one of %s", name, issuer, err, want)
		}
	}
}

// authority runs Pebble in the client's namespace and returns its directory
// and the certificate to trust for it.
func (l *lab) authority(pebble string) (directory, trust string) {
	l.t.Helper()
	dir := l.t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			l.t.Fatal(err)
		}
		return path
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		l.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.ParseIP(clientIP)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		l.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		l.t.Fatal(err)
	}
	trust = file("cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": clientIP + ":14000", "managementListenAddress": clientIP + ":15000",
		"certificate": trust, "privateKey": file("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})),
		"httpPort": 80, "tlsPort": 443,
		"profiles": map[string]any{"default": map[string]any{"description": "of the test", "validityPeriod": 7776000}},
	}})
	if err != nil {
		l.t.Fatal(err)
	}

	// ip netns exec puts these in the place of /etc's.
	etc := filepath.Join("/etc/netns", l.client.name)
	if err := os.MkdirAll(etc, 0o755); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { os.RemoveAll(etc) })
	if err := os.WriteFile(filepath.Join(etc, "hosts"), []byte(serverIP+" "+domain+"\n"), 0o644); err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := l.client.command(ctx, pebble, "-config", file("config.json", config))
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0")
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // killed
		if l.t.Failed() {
			l.t.Logf("pebble:\n%s", &log)
		}
	})
	return "https://" + clientIP + ":14000/dir", trust
}
