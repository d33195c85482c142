package server

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"belfry.live/belfry/internal/config"
)

// acmeFolder keeps the ACME account and its certificates, in tlsFolder.
const acmeFolder = "acme"

const (
	// acmeAgain is how long after a failure the authority is asked again: it
	// does not answer those who ask often.
	acmeAgain   = 15 * time.Minute
	acmeTimeout = 20 * time.Second // for one request
)

// An acmeCertificate is that of a domain, got and renewed from an authority
// (RFC 8555) by answering its challenges on the TLS port (RFC 8737).
type acmeCertificate struct {
	manager *autocert.Manager
	domain  string
	own     *tls.Certificate // for whoever wants another name, or comes too early
	log     *slog.Logger

	there   atomic.Bool // there is a certificate
	stopped atomic.Bool
}

func newACMECertificate(cfg config.Config, folder string, own *tls.Certificate, log *slog.Logger) *acmeCertificate {
	c := &acmeCertificate{domain: cfg.ACMEDomain, own: own, log: log}
	c.manager = &autocert.Manager{
		Prompt:     autocert.AcceptTOS, // the setting says so
		Cache:      autocert.DirCache(folder),
		HostPolicy: autocert.HostWhitelist(cfg.ACMEDomain),
		Email:      cfg.ACMEEmail,
		Client: &acme.Client{
			DirectoryURL: cfg.ACMEDirectory,
			HTTPClient:   &http.Client{Transport: roundTripper(c.roundTrip), Timeout: acmeTimeout},
		},
	}
	return c
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

var errStopped = errors.New("the server is stopping")

// roundTrip ends what autocert does when the server stops; it takes no
// context.
func (c *acmeCertificate) roundTrip(r *http.Request) (*http.Response, error) {
	if c.stopped.Load() {
		return nil, errStopped
	}
	return http.DefaultTransport.RoundTrip(r)
}

// get never waits for the authority.
func (c *acmeCertificate) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	switch {
	case !strings.EqualFold(strings.TrimSuffix(hello.ServerName, "."), c.domain):
		return c.own, nil
	case slices.Contains(hello.SupportedProtos, acme.ALPNProto): // the authority itself
		return c.manager.GetCertificate(hello)
	case !c.there.Load():
		return c.own, nil
	}
	return c.certificate()
}

// certificate is the one kind there is, with an elliptic curve.
func (c *acmeCertificate) certificate() (*tls.Certificate, error) {
	return c.manager.GetCertificate(&tls.ClientHelloInfo{
		ServerName:   c.domain,
		CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
	})
}

// withChallenges also answers challenges.
func withChallenges(cfg *tls.Config) *tls.Config {
	cfg = cfg.Clone()
	cfg.NextProtos = append(cfg.NextProtos, acme.ALPNProto)
	return cfg
}

// run gets the certificate; autocert renews it from then on. The TLS port must
// be answering.
func (c *acmeCertificate) run(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { c.stopped.Store(true) })()
	for {
		certificate, err := c.certificate()
		if err == nil {
			c.there.Store(true)
			c.log.Info("certificate is there", "domain", c.domain, "until", certificate.Leaf.NotAfter)
			<-ctx.Done()
			return nil
		}
		if ctx.Err() != nil {
			return nil
		}
		c.log.Error("no certificate from the authority", "domain", c.domain, "err", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(acmeAgain):
		}
	}
}
