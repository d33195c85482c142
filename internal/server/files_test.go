package server

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestCertificateFilesAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	folder := &Folder{path: dir}
	path := filepath.Join(dir, tlsFolder, "server.pem")
	now := time.Now()
	make := func(name string) {
		t.Helper()
		if _, _, err := openCertificate(folder, []string{name}, now); err != nil {
			t.Fatal(err)
		}
	}
	make("first.example")
	f, err := openCertificateFiles(path, path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	name := func(now time.Time) string { return f.get(now).Leaf.DNSNames[0] }
	if got := name(now); got != "first.example" {
		t.Fatalf("got %s, want first.example", got)
	}

	make("second.example")
	if err := os.Chtimes(path, now.Add(time.Minute), now.Add(time.Minute)); err != nil { // also on coarse clocks
		t.Fatal(err)
	}
	if got := name(now.Add(lookEvery / 2)); got != "first.example" {
		t.Errorf("a moment later: got %s, want first.example", got)
	}
	if got := name(now.Add(lookEvery)); got != "second.example" {
		t.Errorf("got %s, want second.example", got)
	}

	if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := name(now.Add(3 * lookEvery)); got != "second.example" {
		t.Errorf("with a broken file: got %s, want second.example", got)
	}
	if _, err := openCertificateFiles(path, path, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("got no error for a broken file at the start")
	}
}

// Our own live connectors know ours alone, whatever the world is shown.
func TestOwnCertificateForThisMachine(t *testing.T) {
	folder := &Folder{path: t.TempDir()}
	own, authority, err := openCertificate(folder, []string{"localhost"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := openCertificate(&Folder{path: t.TempDir()}, []string{"meet.example"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cfg := serverTLS(own, func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &other, nil })
	for name, want := range map[string]tls.Certificate{"localhost": own, "meet.example": other, "": other} {
		got, err := cfg.GetCertificate(&tls.ClientHelloInfo{ServerName: name})
		if err != nil || !bytes.Equal(got.Certificate[0], want.Certificate[0]) {
			t.Errorf("for %q: got another certificate than wanted (%v)", name, err)
		}
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		t.Fatal("the authority is no PEM certificate")
	}
	if _, err := own.Leaf.Verify(x509.VerifyOptions{DNSName: "localhost", Roots: roots}); err != nil {
		t.Errorf("localhost: %v", err)
	}
	got, _ := serverTLS(own, nil).GetCertificate(&tls.ClientHelloInfo{ServerName: "meet.example"})
	if !bytes.Equal(got.Certificate[0], own.Certificate[0]) {
		t.Error("without files: got another certificate than our own")
	}
}
