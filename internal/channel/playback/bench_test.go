package playback_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"belfry.live/belfry/internal/channel"
	"belfry.live/belfry/internal/channel/packager/packagertest"
	"belfry.live/belfry/internal/channel/playback"
	"belfry.live/belfry/internal/store/storetest"
)

// A nobody takes an answer and forgets it.
type nobody struct {
	header http.Header
	status int
}

func (n *nobody) Header() http.Header         { return n.header }
func (n *nobody) Write(b []byte) (int, error) { return len(b), nil }
func (n *nobody) WriteHeader(status int)      { n.status = status }

// load answers one request, without HTTP around it.
func load(t testing.TB, h http.Handler, w *nobody, u *url.URL) {
	clear(w.header)
	w.status = http.StatusOK
	h.ServeHTTP(w, (&http.Request{Method: http.MethodGet, URL: u, Header: http.Header{}}).WithContext(context.Background()))
	if w.status != http.StatusOK {
		t.Fatalf("%s: got status %d", u, w.status)
	}
}

// A benchSite has a public and a private channel with the same stream, the
// latter with a viewer who can be revoked, among others who are.
type benchSite struct {
	h     *playback.Handler
	parts map[string]*url.URL // of a part and a playlist, public and private
}

func newBenchSite(t testing.TB) *benchSite {
	t.Helper()
	service, err := channel.New(t.Context(), channel.Config{}, new(storetest.Memory), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	private, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := service.ImportPlaybackKeyPair(t.Context(), owner, channel.PlaybackKeySpec{
		Material: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
	}); err != nil {
		t.Fatal(err)
	}
	b := &benchSite{h: playback.New(playback.Config{}, service, slog.New(slog.DiscardHandler)), parts: map[string]*url.URL{}}
	events := packagertest.Encode(t, media+" -t 3 "+codecs)
	for name, authorized := range map[string]bool{"public": false, "private": true} {
		s := &site{service: service}
		if s.channel, s.key, err = service.Create(t.Context(), channel.Spec{Account: account, Region: owner.Region, Authorized: authorized}); err != nil {
			t.Fatal(err)
		}
		pub := s.publisher(t)
		for _, e := range events {
			if err := e.Send(pub); err != nil {
				t.Fatal(err)
			}
		}
		u := &url.URL{Path: playback.Path(owner.Region, account, s.channel.ID)}
		if authorized {
			if err := service.RevokeViewer(t.Context(), s.channel.ID, "eve", 0); err != nil {
				t.Fatal(err)
			}
			text, err := jwt.NewWithClaims(jwt.SigningMethodES384, jwt.MapClaims{
				"aws:channel-arn": playback.ARN(owner.Region, account, s.channel.ID), "exp": time.Now().Add(9 * time.Minute).Unix(), "aws:viewer-id": "bob",
			}).SignedString(private)
			if err != nil {
				t.Fatal(err)
			}
			u.RawQuery = "token=" + text
		}
		w := httptest.NewRecorder()
		b.h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, u.String(), nil))
		lines := strings.Split(strings.TrimSpace(w.Body.String()), "\n")
		playlist, err := u.Parse(lines[len(lines)-1])
		if err != nil {
			t.Fatal(err)
		}
		b.parts[name+" playlist"] = playlist
		if b.parts[name+" part"], err = playlist.Parse("video/0.0.m4s"); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

var raceDetector bool // is on

// TestPrivateCostsLittle compares what a request allocates on a private channel
// with the same on a public one.
func TestPrivateCostsLittle(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector takes from pools at random")
	}
	b := newBenchSite(t)
	w := &nobody{header: http.Header{}}
	allocs := func(name string) float64 {
		return testing.AllocsPerRun(200, func() { load(t, b.h, w, b.parts[name]) })
	}
	for _, kind := range []string{" part", " playlist"} {
		public, private := allocs("public"+kind), allocs("private"+kind)
		t.Logf("a%s: %v allocations public, %v private", kind, public, private)
		if private > public+2 { // for the viewer, who may be revoked
			t.Errorf("a%s: a private channel allocates %v times, a public one %v, want at most 2 more", kind, private, public)
		}
	}
}

func BenchmarkRequest(b *testing.B) {
	s := newBenchSite(b)
	w := &nobody{header: http.Header{}}
	for _, name := range []string{"public part", "private part", "public playlist", "private playlist"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				load(b, s.h, w, s.parts[name])
			}
		})
	}
}
