// Package web carries the built site. The bundle that `make web` puts into
// dist comes in at compile time; what goes out is an http.Handler that serves
// it. Every path that is not a file of the bundle gets index.html, because the
// site routes its own pages. The site's API is left to package site.
package web

import (
	"embed"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

//go:embed all:dist
var bundle embed.FS

// policy lets the pages load nothing from elsewhere. Signaling may be at another
// host than the site; players and the meeting SDK's workers live in blobs;
// styled-components writes its rules into the page.
const policy = "default-src 'self'; connect-src 'self' ws: wss:; media-src 'self' blob: mediastream:; worker-src 'self' blob:; " +
	"img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'none'; frame-ancestors 'self'"

// notBuilt is all that a binary compiled before `make web` can say.
const notBuilt = "the site is not built: run make web\n"

// Handler serves the site embedded in this binary.
func Handler() http.Handler {
	dist, err := fs.Sub(bundle, "dist")
	if err != nil {
		panic("web: the embedded folder has no dist: " + err.Error())
	}
	return handler(dist)
}

// handler serves the bundle in dist. Names under assets/ carry a hash of their
// content and may be kept for ever; index.html must be asked for every time,
// or a browser would look for assets of a build that is gone.
func handler(dist fs.FS) http.Handler {
	files := http.FileServerFS(dist)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "the site is read with GET", http.StatusMethodNotAllowed)
			return
		}
		index, err := fs.ReadFile(dist, "index.html")
		if err != nil {
			http.Error(w, notBuilt, http.StatusServiceUnavailable)
			return
		}
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		name := strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")
		if name != "index.html" && isFile(dist, name) {
			if strings.HasPrefix(name, "assets/") {
				h.Set("Cache-Control", "public, max-age=31536000, immutable")
			} else {
				h.Set("Cache-Control", "no-cache")
			}
			files.ServeHTTP(w, r)
			return
		}
		if strings.HasPrefix(name, "assets/") {
			http.NotFound(w, r)
			return
		}
		h.Set("Cache-Control", "no-cache")
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Content-Security-Policy", policy)
		if r.Method == http.MethodHead {
			return
		}
		w.Write(index) // a viewer who left needs no answer
	})
}

func isFile(dist fs.FS, name string) bool {
	if name == "" || name == ".gitkeep" {
		return false
	}
	info, err := fs.Stat(dist, name)
	return err == nil && info.Mode().IsRegular()
}
