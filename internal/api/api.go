// Package api answers the AWS SDKs for Chime SDK Meetings, Chime SDK Media
// Pipelines and IVS on one HTTP host, and that for STS as far as it asks for
// the account. A request comes in, its operation is found in the service's
// table (packages chimemeetings, mediapipelines, ivs), its signature, rate and
// policy are checked, one call into the domain does the work, once for all
// tries of the client, and the answer goes out in AWS's form. What things are
// and do is the domains' business; finding an access key is the caller's.
package api

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"belfry.live/belfry/internal/api/chimemeetings"
	"belfry.live/belfry/internal/api/ivs"
	"belfry.live/belfry/internal/api/mediapipelines"
	"belfry.live/belfry/internal/api/restjson"
	"belfry.live/belfry/internal/channel"
)

// Config says how the server is named to its clients and which requests it
// takes.
type Config struct {
	Account        string     // 12 digits, of keys that name none
	PublicURL      *url.URL   // http(s), under which clients reach signaling and playback
	IngestEndpoint string     // bare host name, given to publishers
	MediaAddress   string     // host:port of the WebRTC media, named in MediaPlacement
	BasePath       string     // where the operations' paths begin; "" is the root
	TrustProxy     bool       // the signed host is that of X-Forwarded-Host
	Region         string     // of all callers; "": the one that each signed for
	Throttling     Throttling // "": Generous
	// PageSecret seals page tokens; they outlive the process if it does. nil: a
	// new one.
	PageSecret *[32]byte
	// Strict makes an error that an operation's row does not have a failure, for
	// tests to meet; see restjson.Service.
	Strict bool
	Now    func() time.Time // nil: time.Now
}

// An API is an http.Handler for the three services.
type API struct {
	cfg      Config
	keys     Keys
	services []*restjson.Service
	throttle *throttle
	retries  *retries
	counts   [outcomes]atomic.Uint64 // of requests
	log      *slog.Logger
}

// New returns an API over the domains.
func New(cfg Config, keys Keys, meetings chimemeetings.Meetings, connectors mediapipelines.Connectors, channels *channel.Service, log *slog.Logger) *API {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.BasePath = strings.Join(restjson.Segments(cfg.BasePath), "/")
	a := &API{
		cfg: cfg, keys: keys, log: log,
		services: []*restjson.Service{
			chimemeetings.New(chimemeetings.Config{
				PublicURL: cfg.PublicURL, MediaAddress: cfg.MediaAddress,
			}, meetings),
			mediapipelines.New(connectors),
			ivs.New(ivs.Config{
				PublicURL: cfg.PublicURL, IngestEndpoint: cfg.IngestEndpoint,
			}, channels),
		},
		throttle: newThrottle(cfg.Throttling),
		retries:  newRetries(),
	}
	for _, s := range a.services {
		s.Strict = cfg.Strict
		if cfg.PageSecret != nil {
			s.Pages = restjson.NewPages(*cfg.PageSecret)
		}
	}
	return a
}

//go:generate go run ../../tools/compatibility ../../docs/compatibility.md

// Services returns the tables of the services. They are not to be changed.
func (a *API) Services() []*restjson.Service { return a.services }

// Claims says whether the request is meant for these services: it is signed as
// AWS clients sign, or its path is one of an operation's.
func (a *API) Claims(r *http.Request) bool {
	if strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-") {
		return true
	}
	path, _ := target(r)
	path, ok := a.withoutBase(path)
	if !ok {
		return false
	}
	for _, s := range a.services {
		if s.Claims(path) {
			return true
		}
	}
	return false
}

// ServeHTTP answers one call.
func (a *API) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	w := &tally{ResponseWriter: out}
	defer a.count(w)
	requestID := uuid.NewString()
	h := w.Header()
	h.Set("X-Amzn-RequestId", requestID)
	h.Set("Date", a.cfg.Now().UTC().Format(http.TimeFormat)) // clients correct their clock by it

	if a.isForm(r) {
		a.serveForm(w, r, requestID)
		return
	}
	found, query := a.find(r)
	if len(found) == 0 {
		unknown(w, r)
		return
	}
	// Services that have the same route are signed for alike.
	signer, body, refusal := a.authenticate(r, found[0].service)
	if refusal != nil {
		found[0].service.Fail(w, refusal, requestID)
		return
	}
	caller := a.caller(signer)
	if a.cfg.Region != "" {
		caller.Region = a.cfg.Region
	}
	service, call, input := choose(found, query, body)
	if refusal := a.throttle.admit(service, call.Operation, caller, time.Now()); refusal != nil {
		service.Fail(w, refusal, requestID)
		return
	}
	if refusal := service.Permit(call, caller, input); refusal != nil {
		service.Fail(w, refusal, requestID)
		return
	}
	serve := func(w http.ResponseWriter) {
		if err := service.Serve(r.Context(), w, call, caller, input, requestID); err != nil && (r.Context().Err() == nil || !call.Operation.ReadOnly()) {
			a.log.Error("API call failed", "request", requestID, "err", err)
		}
	}
	if key, ok := retryOf(r, call.Operation, caller, body); ok {
		w.repeated = a.retries.once(r.Context(), w, key, time.Now(), serve)
	} else {
		serve(w)
	}
}

// A candidate is an operation that the request may ask for, as far as its
// method, path and query tell.
type candidate struct {
	service *restjson.Service
	call    restjson.Call
}

// find returns the operations that have the request's route, one to a service,
// and its query.
func (a *API) find(r *http.Request) (found []candidate, query url.Values) {
	path, text := target(r)
	path, ok := a.withoutBase(path)
	if !ok {
		return nil, nil
	}
	query, err := url.ParseQuery(text)
	if err != nil {
		return nil, nil
	}
	for _, s := range a.services {
		if call, ok := s.Find(r.Method, path, query); ok {
			found = append(found, candidate{s, call})
		}
	}
	return found, query
}

// choose returns the candidate whose service owns what the request is about.
// The first one has to say what is wrong if none does.
func choose(found []candidate, query url.Values, body []byte) (*restjson.Service, restjson.Call, restjson.Input) {
	for _, c := range found {
		if input := c.call.Read(query, body); len(found) == 1 || c.call.IsOwned(c.service, input) {
			return c.service, c.call, input
		}
	}
	return found[0].service, found[0].call, found[0].call.Read(query, body)
}

// withoutBase takes the configured base path off the front.
func (a *API) withoutBase(path string) (string, bool) {
	if a.cfg.BasePath == "" {
		return path, true
	}
	return strings.CutPrefix(strings.Join(restjson.Segments(path), "/"), a.cfg.BasePath+"/")
}

// target returns path and query of the request as they were sent; net/http has
// them decoded, but it is the sent form that was signed.
func target(r *http.Request) (path, query string) {
	uri := r.RequestURI
	if !strings.HasPrefix(uri, "/") { // absolute form, as to a proxy
		return r.URL.EscapedPath(), r.URL.RawQuery
	}
	path, query, _ = strings.Cut(uri, "?")
	return path, query
}

// unknown answers a request that is no operation of any service, in a form
// that the clients of all of them read.
func unknown(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Amzn-ErrorType", "UnknownOperationException")
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusNotFound)
	path, _ := target(r)
	_, _ = fmt.Fprintf(w, `{"message":%q}`, fmt.Sprintf("no operation answers %s %.200s", r.Method, path))
}
