package playback

import (
	"encoding/json"
	"errors"
	"net/http"

	"belfry.live/belfry/internal/channel"
	"belfry.live/belfry/internal/channel/ticket"
)

// Why a viewer is turned away, beside what package ticket finds in a token.
var (
	errNoSession      = errors.New("the link has no valid session: begin with the multivariant playlist and a token")
	errRevoked        = errors.New("the viewer's sessions were ended")
	errOrigin         = errors.New("the origin is not allowed")
	errOriginRequired = errors.New("origin required")
	errTooManyLines   = errors.New("the picture is larger than the token allows")
	errBusy           = errors.New("too many requests are waiting")
)

// A caching says for how long an answer may be kept, and by whom.
type caching int

// What caches may keep. Media never changes under its URL. A playlist that was
// waited for is what its URL with the directives stands for (RFC 8216bis,
// appendix B.1); any other one changes with every part.
const (
	keepNothing caching = iota
	keepPlaylist
	keepMedia
)

var cacheControl = [...]struct{ all, viewer string }{
	keepNothing:  {"no-store", "no-store"},
	keepPlaylist: {"public, max-age=12", "private, max-age=12"},
	keepMedia:    {"public, max-age=3600, immutable", "private, max-age=3600, immutable"},
}

// A view is a request that was let in. Its zero value is that of anybody to a
// public channel.
type view struct {
	session  ticket.Session // of a private channel
	private  bool           // no shared cache may give the answer to another
	narrowed bool           // not every origin is allowed
	origin   string         // if narrowed: of the page that asks and is allowed, or ""
}

// begin decides about a request for a multivariant playlist. The error is why
// it is refused; errBusy says that it is not decided.
func (h *Handler) begin(r *http.Request, t target, rules channel.Rules) (token ticket.Token, v view, err error) {
	if rules.Authorized {
		if token, err = h.checkToken(r, t, rules); err != nil {
			return token, v, err
		}
		v.session = ticket.NewSession(token, h.cfg.Now())
		if v.session.HasViewer && h.channels.Revoked(t.id, v.session.Viewer, v.session.Version) {
			return token, v, errRevoked
		}
	}
	return token, v, v.restrict(r, rules, true)
}

// checkToken reads the request's token.
func (h *Handler) checkToken(r *http.Request, t target, rules channel.Rules) (ticket.Token, error) {
	ctx, done, ok := h.wait(r.Context())
	if !ok {
		return ticket.Token{}, errBusy
	}
	defer done()
	select {
	case h.checking <- struct{}{}:
		defer func() { <-h.checking }()
	case <-ctx.Done():
		return ticket.Token{}, errBusy
	}
	return ticket.ParseToken(r.URL.Query().Get("token"), ARN(t.region, t.account, t.id), h.channels.PlaybackKeys(rules.Owner), h.cfg.Now())
}

// admit decides about a request for anything that a multivariant playlist
// leads to.
func (h *Handler) admit(r *http.Request, t target, rules channel.Rules) (v view, err error) {
	if t.session != "" {
		session, ok := h.sealer.Open(string(t.id), t.run, t.session, h.cfg.Now())
		if ok {
			v.session = session
		}
	}
	if rules.Authorized && v.session.Name == "" {
		return v, errNoSession
	}
	if v.session.HasViewer && h.channels.Revoked(t.id, v.session.Viewer, v.session.Version) {
		return v, errRevoked
	}
	return v, v.restrict(r, rules, false)
}

// restrict holds the request's origin against those that the session and the
// channel's policy allow. Unless they are strict, only the first request is
// refused for it; after that it is the viewer's browser that gives the page
// nothing.
func (v *view) restrict(r *http.Request, rules channel.Rules, first bool) error {
	v.private = rules.Authorized || v.session.Name != ""
	if rules.Origins == "" && v.session.Origins == "" {
		return nil
	}
	v.narrowed = true
	origin := r.Header.Get("Origin")
	v.origin = origin
	for _, limit := range [...]struct {
		origins ticket.Origins
		strict  bool
	}{{v.session.Origins, v.session.Strict}, {rules.Origins, rules.StrictOrigin}} {
		v.private = v.private || limit.strict
		if limit.origins.Allow(origin) {
			continue
		}
		v.origin = ""
		switch {
		case limit.strict && origin == "":
			return errOriginRequired
		case limit.strict, first && origin != "":
			return errOrigin
		}
	}
	return nil
}

const allowOrigin = "Access-Control-Allow-Origin"

// head tells browsers which page may have the answer.
func (v *view) head(w http.ResponseWriter) {
	if !v.narrowed {
		return
	}
	header := w.Header()
	header.Add("Vary", "Origin")
	if v.origin == "" {
		header.Del(allowOrigin)
		return
	}
	header.Set(allowOrigin, v.origin)
}

// keep returns the answer's Cache-Control.
func (v *view) keep(c caching) string {
	if v.private {
		return cacheControl[c].viewer
	}
	return cacheControl[c].all
}

// A refusal is why a viewer is turned away, as players and people know it from
// IVS.
type refusal struct {
	URL   string `json:"url"`
	Error string `json:"error"`
	Code  string `json:"error_code"`
	Type  string `json:"type"`
}

// forbid answers that the viewer may not have what it asks for.
func (h *Handler) forbid(w http.ResponseWriter, t target, why error) {
	h.counted.of(why).Add(1)
	if errors.Is(why, errOriginRequired) {
		refuse(w, http.StatusForbidden, why.Error())
		return
	}
	// The URL is that of the channel: no session in it.
	body, err := json.Marshal([]refusal{{Path(t.region, t.account, t.id), why.Error(), "playback_auth_error", "error"}})
	if err != nil {
		panic("playback: " + err.Error()) // strings alone
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", cacheControl[keepNothing].all)
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusForbidden)
	_, _ = w.Write(append(body, '\n')) // the viewer may be gone
}
