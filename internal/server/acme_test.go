package server

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"belfry.live/belfry/internal/config"
)

// While the authority does not answer, nobody waits for it: neither those who
// shake hands nor those who stop the server.
func TestSilentAuthority(t *testing.T) {
	asked, leave := make(chan struct{}, 10), make(chan struct{})
	authority := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-leave
	}))
	defer authority.Close()
	folder := &Folder{path: t.TempDir()}
	own, _, err := openCertificate(folder, []string{"localhost"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cfg := config.Config{ACMEDomain: "meet.example", ACMEDirectory: authority.URL}
	c := newACMECertificate(cfg, folder.file(tlsFolder, acmeFolder), &own, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.run(ctx) }()
	<-asked
	for _, name := range []string{"meet.example", "MEET.example.", "localhost", ""} {
		if got, err := c.get(&tls.ClientHelloInfo{ServerName: name}); err != nil || got != &own {
			t.Errorf("for %q: got another certificate than our own (%v)", name, err)
		}
	}
	cancel()
	close(leave)
	if err := <-done; err != nil {
		t.Errorf("got %v, want nil", err)
	}
	for len(asked) > 0 {
		<-asked
	}
	if _, err := c.certificate(); err == nil || len(asked) != 0 {
		t.Errorf("got %v, want an error and nobody asked after the end", err)
	}
}
