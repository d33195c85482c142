// Package playback serves what package packager makes over HTTP: Low-Latency
// HLS with blocking playlist reload and preload hints (RFC 8216bis, 6.2.5), and
// with the same playlists plain HLS. In come requests, out go shared bytes, to
// those who may have them. What the bytes say is left to package packager, which
// channels are live and by which rules they may be watched to package channel,
// and what tokens and sessions say to package ticket.
package playback

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"time"

	"belfry.live/belfry/internal/channel"
	"belfry.live/belfry/internal/channel/packager"
	"belfry.live/belfry/internal/channel/ticket"
	"belfry.live/belfry/internal/wire/hls"
)

// Config says how channels are served. Its zero value is the default.
type Config struct {
	// MaxWait is how long a request may wait for media to come (0: 6 s, three
	// target durations).
	MaxWait    time.Duration
	MaxWaiting int // requests that wait at the same time (0: 20000)
	// WriteTimeout is how long a viewer may take to load one answer (0: 30 s).
	WriteTimeout time.Duration
	Now          func() time.Time // by which tokens and sessions end (nil: time.Now)
}

// Channels tells what there is to serve; a channel.Service does.
type Channels interface {
	// Broadcast returns what the channel sends now, if it is live.
	Broadcast(channel.ID) (*channel.Broadcast, bool)
	// BroadcastRun returns the named broadcast of the channel, which may be
	// over.
	BroadcastRun(id channel.ID, run string) (*channel.Broadcast, bool)
	// Rules returns who may watch the channel, live or not, if there is one.
	// Every request asks, so it must not take long.
	Rules(channel.ID) (channel.Rules, bool)
	// PlaybackKeys returns the keys that the owner signs tokens with.
	PlaybackKeys(channel.Owner) []ticket.PublicKey
	// Revoked tells whether the viewer's sessions of that version are ended.
	Revoked(id channel.ID, viewer ticket.Viewer, version int64) bool
	// UseOnce notes that a token with that UUID is used, or returns
	// channel.ErrUsed.
	UseOnce(ctx context.Context, id channel.ID, uuid string) error
}

// A Handler answers all requests below Root.
type Handler struct {
	cfg      Config
	channels Channels
	log      *slog.Logger
	waiting  chan struct{} // has an element for every request that waits
	sealer   *ticket.Sealer
	// checking has an element for every signature that is being checked. That
	// costs a millisecond of CPU, and strangers can ask for it.
	checking chan struct{}
	counted  counters
}

// New returns a Handler for the channels.
func New(cfg Config, channels Channels, log *slog.Logger) *Handler {
	cfg.MaxWait = cmp.Or(cfg.MaxWait, 6*time.Second)
	cfg.MaxWaiting = cmp.Or(cfg.MaxWaiting, 20_000)
	cfg.WriteTimeout = cmp.Or(cfg.WriteTimeout, 30*time.Second)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Handler{
		cfg: cfg, channels: channels, log: log, waiting: make(chan struct{}, cfg.MaxWaiting),
		// Runs, and with them what sessions are for, end with the process:
		// its sessions need no key that outlives it.
		sealer:   ticket.NewSealer(),
		checking: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
	}
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set(allowOrigin, "*")
	header.Set("Access-Control-Expose-Headers", "Date, Age, Content-Length")
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		header.Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
		header.Set("Access-Control-Allow-Headers", "*")
		header.Set("Access-Control-Max-Age", "86400")
		w.WriteHeader(http.StatusNoContent)
		return
	default:
		header.Set("Allow", "GET, HEAD, OPTIONS")
		refuse(w, http.StatusMethodNotAllowed, "only GET, HEAD and OPTIONS are allowed")
		return
	}
	t, ok := parsePath(r.URL.Path)
	if !ok {
		refuse(w, http.StatusNotFound, noChannel)
		return
	}
	rules, ok := h.channels.Rules(t.id)
	if !ok || rules.Account != t.account || rules.Region != t.region {
		refuse(w, http.StatusNotFound, noChannel)
		return
	}
	if t.run == "" {
		h.serveMultivariant(w, r, t, rules)
		return
	}
	v, err := h.admit(r, t, rules)
	if err != nil {
		h.forbid(w, t, err)
		return
	}
	b, ok := h.channels.BroadcastRun(t.id, t.run)
	if !ok {
		refuse(w, http.StatusNotFound, "the broadcast is over")
		return
	}
	rendition, ok := b.Rendition(t.rendition)
	if !ok {
		refuse(w, http.StatusNotFound, "no such rendition")
		return
	}
	if limit := v.session.MaxResolution.Lines(); limit > 0 && rendition.Lines() > limit {
		h.forbid(w, t, errTooManyLines)
		return
	}
	if t.file == "" {
		h.servePlaylist(w, r, v, b, rendition)
		return
	}
	h.serveMedia(w, r, v, rendition, t.file)
}

const noChannel = "no such channel"

// serveMultivariant answers with the multivariant playlist, whose links carry a
// new session: by it viewers are counted, and those of private channels let in.
func (h *Handler) serveMultivariant(w http.ResponseWriter, r *http.Request, t target, rules channel.Rules) {
	token, v, err := h.begin(r, t, rules)
	if errors.Is(err, errBusy) {
		h.busy(w)
		return
	}
	if err != nil {
		h.forbid(w, t, err)
		return
	}
	b, ok := h.channels.Broadcast(t.id)
	if !ok {
		refuse(w, http.StatusNotFound, "the channel is offline")
		return
	}
	prefix, suffix := Name(t.region, t.account, t.id)+"/"+b.Run+"/", ""
	if rules.Authorized {
		prefix += sessionMark + h.sealer.Seal(string(t.id), b.Run, v.session) + "/"
	} else {
		var session [8]byte
		rand.Read(session[:]) // never fails
		suffix = "?" + sessionKey + "=" + hex.EncodeToString(session[:])
	}
	text := b.Multivariant(prefix, suffix, token.MaxResolution.Lines())
	switch {
	case text == nil && b.Multivariant("", "", 0) != nil:
		h.forbid(w, t, errTooManyLines)
		return
	case text == nil:
		refuse(w, http.StatusNotFound, "the channel is offline")
		return
	}
	if token.SingleUse != "" && r.Method == http.MethodGet { // HEAD hands no session out
		switch err := h.channels.UseOnce(r.Context(), t.id, token.SingleUse); {
		case errors.Is(err, channel.ErrUsed):
			h.forbid(w, t, err)
			return
		case err != nil:
			h.log.Error("a viewer was turned away", "channel", t.id, "err", err)
			refuse(w, http.StatusServiceUnavailable, "the use of the token cannot be recorded")
			return
		}
	}
	v.head(w)
	h.send(w, r, hls.ContentType, v.keep(keepNothing), text)
}

const (
	sessionKey    = "s"
	sessionLength = 16 // hex digits
)

func (h *Handler) servePlaylist(w http.ResponseWriter, r *http.Request, v view, b *channel.Broadcast, rendition *packager.Rendition) {
	query := r.URL.Query()
	q, err := parseDirectives(query.Get("_HLS_msn"), query.Get("_HLS_part"), query.Get("_HLS_skip"))
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	session := v.session.Name
	if session == "" {
		session = query.Get(sessionKey)
	}
	if len(session) == sessionLength || v.session.Name != "" {
		b.Saw(session, time.Now())
	}
	ctx, done, ok := h.wait(r.Context())
	if !ok {
		h.busy(w)
		return
	}
	text, err := rendition.Playlist(ctx, q)
	done()
	keep := keepNothing
	switch {
	case errors.Is(err, packager.ErrTooFar):
		refuse(w, http.StatusBadRequest, "_HLS_msn and _HLS_part are too far ahead of the playlist")
		return
	case r.Context().Err() != nil:
		return // the viewer has gone
	case err == nil && q.Blocking:
		keep = keepPlaylist
		// Else the wait was too long: the publisher is silent or lost. The
		// playlist as it is keeps players asking; an error makes them give up.
	}
	v.head(w)
	w.Header().Add("Vary", "Accept-Encoding")
	body := text.Plain()
	if acceptsGzip(r.Header.Get("Accept-Encoding")) {
		w.Header().Set("Content-Encoding", "gzip")
		body = text.Gzip()
	}
	h.send(w, r, hls.ContentType, v.keep(keep), body)
}

// serveMedia answers with an initialization segment, a part or a segment.
func (h *Handler) serveMedia(w http.ResponseWriter, r *http.Request, v view, rendition *packager.Rendition, file string) {
	name, ok := parseFile(file)
	if !ok {
		refuse(w, http.StatusNotFound, "no such media")
		return
	}
	var body [][]byte
	var err error
	switch name.kind {
	case initFile:
		body = make([][]byte, 1)
		body[0], err = rendition.Init(int(name.number))
	case segmentFile:
		var parts []packager.Part
		parts, err = rendition.Segment(name.number)
		for _, p := range parts {
			body = append(body, p.Data)
		}
	case partFile:
		ctx, done, ok := h.wait(r.Context())
		if !ok {
			h.busy(w)
			return
		}
		body = make([][]byte, 1)
		body[0], err = rendition.Part(ctx, name.number, name.part)
		done()
	}
	switch {
	case r.Context().Err() != nil:
		return
	case err != nil:
		refuse(w, http.StatusNotFound, "no such media")
		return
	}
	contentType := "video/mp4"
	if rendition.Audio() {
		contentType = "audio/mp4"
	}
	v.head(w)
	h.send(w, r, contentType, v.keep(keepMedia), body...)
}

// wait bounds a request that may wait for media, in time and, with all others,
// in number. done must be called when the waiting is over.
func (h *Handler) wait(parent context.Context) (ctx context.Context, done func(), ok bool) {
	select {
	case h.waiting <- struct{}{}:
	default:
		return nil, nil, false
	}
	ctx, cancel := context.WithTimeout(parent, h.cfg.MaxWait)
	return ctx, func() {
		cancel()
		<-h.waiting
	}, true
}

// send writes the answer. The bytes are shared with other viewers; one that is
// too slow loses its connection.
func (h *Handler) send(w http.ResponseWriter, r *http.Request, contentType, keep string, body ...[]byte) {
	size := 0
	for _, b := range body {
		size += len(b)
	}
	header := w.Header()
	header.Set("Content-Type", contentType)
	header.Set("Cache-Control", keep)
	header.Set("Content-Length", strconv.Itoa(size))
	if r.Method == http.MethodHead {
		return
	}
	// Not every ResponseWriter has deadlines; without them the server's apply.
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(h.cfg.WriteTimeout))
	for _, b := range body {
		if _, err := w.Write(b); err != nil {
			return // the viewer has gone or is too slow
		}
	}
}

// busy answers that too many requests wait.
func (h *Handler) busy(w http.ResponseWriter) {
	h.counted.busy.Add(1)
	refuse(w, http.StatusServiceUnavailable, errBusy.Error())
}

func refuse(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Cache-Control", cacheControl[keepNothing].all)
	http.Error(w, text, status)
}

// parseDirectives reads the delivery directives (RFC 8216bis, 6.2.5).
func parseDirectives(msn, part, skip string) (packager.Request, error) {
	q := packager.Request{Part: -1, Skip: skip == "YES" || skip == "v2", Whole: true}
	if msn == "" {
		if part != "" {
			return q, errors.New("_HLS_part needs _HLS_msn")
		}
		return q, nil
	}
	var err error
	if q.Sequence, err = strconv.ParseUint(msn, 10, 48); err != nil {
		return q, errors.New("_HLS_msn is not a media sequence number")
	}
	q.Blocking = true
	if part == "" {
		return q, nil
	}
	n, err := strconv.ParseUint(part, 10, 16)
	if err != nil {
		return q, errors.New("_HLS_part is not a part number")
	}
	q.Part = int(n)
	return q, nil
}

// Kinds of media files.
const (
	initFile = iota
	segmentFile
	partFile
)

type fileName struct {
	kind   int
	number uint64
	part   int
}

// parseFile reads the name of a media file.
func parseFile(file string) (f fileName, ok bool) {
	if n, found := strings.CutPrefix(file, "init"); found {
		n, ok := strings.CutSuffix(n, ".mp4")
		f.kind = initFile
		number, err := strconv.ParseUint(n, 10, 31)
		f.number = number
		return f, ok && err == nil
	}
	name, found := strings.CutSuffix(file, ".m4s")
	if !found {
		return f, false
	}
	name, part, isPart := strings.Cut(name, ".")
	f.kind = segmentFile
	var err error
	if f.number, err = strconv.ParseUint(name, 10, 48); err != nil {
		return f, false
	}
	if !isPart {
		return f, true
	}
	f.kind = partFile
	n, err := strconv.ParseUint(part, 10, 16)
	f.part = int(n)
	return f, err == nil
}

// acceptsGzip tells whether an Accept-Encoding allows gzip.
func acceptsGzip(accept string) bool {
	for _, coding := range strings.Split(accept, ",") {
		coding, weight, _ := strings.Cut(coding, ";")
		if strings.TrimSpace(coding) == "gzip" {
			weight = strings.ReplaceAll(weight, " ", "")
			return weight != "q=0" && weight != "q=0.0"
		}
	}
	return false
}
