package server

import (
	"encoding/json"
	"net/http"
	"strings"

	"belfry.live/belfry/internal/event/sse"
	"belfry.live/belfry/internal/meeting"
)

// fronts are the handlers that share the HTTP port.
type fronts struct {
	api interface {
		http.Handler
		Claims(*http.Request) bool // is it a call of an AWS client?
	}
	events   http.Handler // the journal
	meeting  http.Handler // signaling, client events
	metrics  http.Handler
	playback http.Handler
	site     http.Handler // the application behind the site
	web      http.Handler // the site itself
	ready    func() bool
}

// ServeHTTP hands the request to its part. It is no http.ServeMux because AWS
// clients may send doubled slashes, which a mux answers with a redirect that
// breaks their signature.
func (f fronts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case path == "/healthz":
		f.health(w)
	case path == "/metrics":
		f.metrics.ServeHTTP(w, r)
	case strings.HasPrefix(path, "/control/"), strings.HasPrefix(path, meeting.EventsPath):
		f.meeting.ServeHTTP(w, r)
	case strings.HasPrefix(path, "/api/video/"):
		f.playback.ServeHTTP(w, r)
	case strings.HasPrefix(path, "/api/"):
		f.site.ServeHTTP(w, r)
	case path == sse.Path, strings.HasPrefix(path, sse.Path+"/"):
		f.events.ServeHTTP(w, r)
	case f.api.Claims(r):
		f.api.ServeHTTP(w, r)
	default:
		f.web.ServeHTTP(w, r)
	}
}

func (f fronts) health(w http.ResponseWriter) {
	status, code := "ok", http.StatusOK
	if !f.ready() {
		status, code = "starting", http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]string{"status": status}) // the client may be gone
}
