package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

var built = fstest.MapFS{
	".gitkeep":             {},
	"index.html":           {Data: []byte("<!doctype html><title>Belfry</title>")},
	"bell.svg":             {Data: []byte("<svg/>")},
	"assets/site-1a2b.js":  {Data: []byte("export {}")},
	"assets/site-1a2b.css": {Data: []byte("body{}")},
}

func TestHandler(t *testing.T) {
	const forEver = "public, max-age=31536000, immutable"
	for _, c := range []struct {
		name, method, path string
		status             int
		body, cache        string
	}{
		{"landing page", "GET", "/", 200, "<title>Belfry", "no-cache"},
		{"meeting page", "GET", "/meeting/5c7a", 200, "<title>Belfry", "no-cache"},
		{"watch page with dots in its name", "GET", "/watch/us-east-1.000000000000.channel.Ab1", 200, "<title>Belfry", "no-cache"},
		{"index by name", "GET", "/index.html", 200, "<title>Belfry", "no-cache"},
		{"asset", "GET", "/assets/site-1a2b.js", 200, "export {}", forEver},
		{"file beside the index", "GET", "/bell.svg", 200, "<svg/>", "no-cache"},
		{"asset of an older build", "GET", "/assets/site-9f9f.js", 404, "not found", ""},
		{"folder", "GET", "/assets/", 200, "<title>Belfry", "no-cache"},
		{"placeholder", "GET", "/.gitkeep", 200, "<title>Belfry", "no-cache"},
		{"climbing out", "GET", "/assets/../../embed.go", 200, "<title>Belfry", "no-cache"},
		{"head", "HEAD", "/", 200, "", "no-cache"},
		{"post", "POST", "/", 405, "GET", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			handler(built).ServeHTTP(w, httptest.NewRequest(c.method, c.path, nil))
			if w.Code != c.status {
				t.Errorf("status: got %d, want %d", w.Code, c.status)
			}
			if got := w.Body.String(); !strings.Contains(got, c.body) || (c.body == "" && got != "") {
				t.Errorf("body: got %q, want %q in it", got, c.body)
			}
			if got := w.Header().Get("Cache-Control"); got != c.cache {
				t.Errorf("Cache-Control: got %q, want %q", got, c.cache)
			}
		})
	}
}

func TestPagesLoadNothingFromElsewhere(t *testing.T) {
	w := httptest.NewRecorder()
	handler(built).ServeHTTP(w, httptest.NewRequest("GET", "/meeting/5c7a", nil))
	if got := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(got, "default-src 'self';") {
		t.Errorf("Content-Security-Policy: got %q, want it to begin with default-src 'self'", got)
	}
}

func TestHandlerWithoutBuild(t *testing.T) {
	w := httptest.NewRecorder()
	handler(fstest.MapFS{".gitkeep": {}}).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "run make web") {
		t.Errorf("got %d %q, want 503 that says how to build the site", w.Code, w.Body.String())
	}
}

func TestEmbeddedFolderExists(t *testing.T) {
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != http.StatusOK && w.Code != http.StatusServiceUnavailable {
		t.Errorf("got status %d, want 200 with a build or 503 without", w.Code)
	}
}
