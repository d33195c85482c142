package apiserver

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http/httptest"
	"testing"

	"belfry.live/belfry/internal/channel/ingest"
)

// startIngest runs an RTMPS server and returns its address. It ends after ctx.
func startIngest(ctx context.Context, t testing.TB, desk ingest.Desk, log *slog.Logger) string {
	t.Helper()
	borrowed := httptest.NewTLSServer(nil) // for its certificate
	certificates := borrowed.TLS.Certificates
	borrowed.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	server := ingest.New(ingest.Config{}, desk, log)
	done := make(chan error, 1)
	go func() {
		done <- server.Serve(ctx, tls.NewListener(listener, &tls.Config{Certificates: certificates}), true)
	}()
	t.Cleanup(func() {
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
