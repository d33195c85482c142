package server

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"syscall"

	"belfry.live/belfry/internal/config"
)

// listen opens a TCP listener for the named setting.
func listen(setting, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	return l, addressError(setting, addr, err)
}

// addressError says what to do about an address that cannot be listened on.
func addressError(setting, addr string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("the %s address %s is taken by another program; give another with --%s", setting, addr, setting)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("the %s address %s needs rights that this user does not have (ports below 1024 do)", setting, addr)
	}
	return fmt.Errorf("listen on the %s address %s: %w", setting, addr, err)
}

// local is how this machine reaches a listener, also one on all interfaces.
func local(l net.Listener) string {
	a := l.Addr().(*net.TCPAddr)
	if a.IP.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", fmt.Sprint(a.Port))
	}
	return a.String()
}

// publicURL is the base of all URLs that go out.
func publicURL(cfg config.Config, d doors) (*url.URL, error) {
	if cfg.PublicURL != "" {
		return url.Parse(strings.TrimSuffix(cfg.PublicURL, "/"))
	}
	scheme, a := "http", d.http.Addr().(*net.TCPAddr)
	if d.tls != nil {
		scheme, a = "https", d.tls.Addr().(*net.TCPAddr)
	}
	if cfg.ACMEDomain != "" { // reached as port 443, or there is no certificate
		return &url.URL{Scheme: scheme, Host: cfg.ACMEDomain}, nil
	}
	host := a.IP.String()
	if a.IP.IsLoopback() || a.IP.IsUnspecified() {
		host = "localhost" // a secure context for browsers
	}
	return &url.URL{Scheme: scheme, Host: net.JoinHostPort(host, fmt.Sprint(a.Port))}, nil
}
