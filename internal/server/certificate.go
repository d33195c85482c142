package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"time"

	"belfry.live/belfry/internal/config"
)

const (
	authorityLife   = 10 * 365 * 24 * time.Hour
	certificateLife = 397 * 24 * time.Hour // the longest that clients accept
	renewBefore     = 30 * 24 * time.Hour
)

// openCertificate returns the certificate for the names, signed by the data
// folder's own authority, and that authority in PEM. What is missing, about to
// expire or made for other names is made anew.
func openCertificate(f *Folder, names []string, now time.Time) (tls.Certificate, []byte, error) {
	if err := os.MkdirAll(f.file(tlsFolder), 0o700); err != nil {
		return tls.Certificate{}, nil, err
	}
	authority, err := openPair(f.file(tlsFolder, "authority.pem"), func(c *x509.Certificate) bool {
		return now.Before(c.NotAfter.Add(-certificateLife))
	}, func(key *ecdsa.PrivateKey) ([]byte, error) {
		t := template("Belfry "+f.path, now, authorityLife)
		t.IsCA, t.BasicConstraintsValid, t.KeyUsage = true, true, x509.KeyUsageCertSign
		return x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	})
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("certificate authority: %w", err)
	}
	leaf, err := openPair(f.file(tlsFolder, "server.pem"), func(c *x509.Certificate) bool {
		return now.Before(c.NotAfter.Add(-renewBefore)) && c.CheckSignatureFrom(authority.Leaf) == nil &&
			!slices.ContainsFunc(names, func(n string) bool { return c.VerifyHostname(n) != nil })
	}, func(key *ecdsa.PrivateKey) ([]byte, error) {
		t := template(names[0], now, certificateLife)
		t.KeyUsage, t.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		for _, n := range names {
			if ip := net.ParseIP(n); ip != nil {
				t.IPAddresses = append(t.IPAddresses, ip)
			} else {
				t.DNSNames = append(t.DNSNames, n)
			}
		}
		return x509.CreateCertificate(rand.Reader, t, authority.Leaf, key.Public(), authority.PrivateKey)
	})
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("certificate: %w", err)
	}
	return leaf, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Certificate[0]}), nil
}

// certificateNames are those that our own certificate is for, each once.
func certificateNames(ingestHost string, public *url.URL, media []netip.AddrPort) []string {
	names := []string{ingestHost, ownName, "127.0.0.1", "::1", public.Hostname()}
	for _, m := range media {
		names = append(names, m.Addr().String())
	}
	var once []string
	for _, n := range names {
		if !slices.Contains(once, n) {
			once = append(once, n)
		}
	}
	return once
}

// ownName is the name that is always shown our own certificate.
const ownName = "localhost"

// certificates are how TLS is served.
type certificates struct {
	config    *tls.Config
	authority []byte // our own, PEM
	acme      *acmeCertificate
}

// openCertificates makes TLS show our own certificate for the names, or that of
// the settings, and our own for ownName.
func openCertificates(cfg config.Config, f *Folder, names []string, log *slog.Logger) (c certificates, err error) {
	own, authority, err := openCertificate(f, names, time.Now())
	if err != nil {
		return certificates{}, err
	}
	c.authority = authority
	var other getCertificate
	switch {
	case cfg.Certificate != "":
		files, err := openCertificateFiles(cfg.Certificate, cfg.CertificateKey, log)
		if err != nil {
			return certificates{}, err
		}
		other = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return files.get(time.Now()), nil }
	case cfg.ACMEDomain != "":
		c.acme = newACMECertificate(cfg, f.file(tlsFolder, acmeFolder), &own, log)
		other = c.acme.get
	}
	c.config = serverTLS(own, other)
	return c, nil
}

type getCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)

func serverTLS(own tls.Certificate, other getCertificate) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if other == nil || hello.ServerName == ownName {
				return &own, nil
			}
			return other(hello)
		},
	}
}

// openPair reads a certificate and its key from one PEM file, or makes both if
// they are missing or no longer good.
func openPair(path string, good func(*x509.Certificate) bool, sign func(*ecdsa.PrivateKey) ([]byte, error)) (tls.Certificate, error) {
	text, err := os.ReadFile(path)
	if err == nil {
		pair, err := tls.X509KeyPair(text, text)
		if err != nil {
			return tls.Certificate{}, fmt.Errorf("%s: %w", path, err)
		}
		if good(pair.Leaf) {
			return pair, nil
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return tls.Certificate{}, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	der, err := sign(key)
	if err != nil {
		return tls.Certificate{}, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return tls.Certificate{}, err
	}
	text = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	text = append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})...)
	if err := write(path, text); err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(text, text)
}

func template(name string, now time.Time, life time.Duration) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		panic("server: " + err.Error()) // rand.Reader never fails
	}
	if len(name) > 64 { // RFC 5280, ub-common-name
		name = name[:64]
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Hour), // clocks differ
		NotAfter:     now.Add(life),
	}
}
