// Package api answers the AWS SDKs for Chime SDK Meetings, Chime SDK Media
// Pipelines and IVS on one HTTP host, and that for STS as far as it asks for
// the account. A request comes in, its signature is
// checked, its operation is found in the service's table (packages
// chimemeetings, mediapipelines, ivs), one call into the domain does the work,
// and the answer goes out in AWS's form. What things are and do is the
// domains' business; finding a key's secret is the caller's.
package api

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"belfry.live/belfry/internal/api/chimemeetings"
	"belfry.live/belfry/internal/api/ivs"
	"belfry.live/belfry/internal/api/mediapipelines"
	"belfry.live/belfry/internal/api/restjson"
	"belfry.live/belfry/internal/wire/sigv4"
)

// Config says how the server is named to its clients and which requests it
// takes.
type Config struct {
	Account        string           // 12 digits, of all callers
	PublicURL      *url.URL         // http(s), under which clients reach signaling and playback
	IngestEndpoint string           // bare host name, given to publishers
	MediaAddress   string           // host:port of the WebRTC media, named in MediaPlacement
	BasePath       string           // where the operations' paths begin; "" is the root
	TrustProxy     bool             // the signed host is that of X-Forwarded-Host
	Now            func() time.Time // nil: time.Now
}

// Keys knows the access keys that may call.
type Keys interface {
	Secret(accessKeyID string) (secret string, ok bool)
}

// An API is an http.Handler for the three services.
type API struct {
	cfg      Config
	keys     Keys
	services []*restjson.Service
	log      *slog.Logger
}

// New returns an API over the domains.
func New(cfg Config, keys Keys, meetings chimemeetings.Meetings, connectors mediapipelines.Connectors, channels ivs.Channels, log *slog.Logger) *API {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.BasePath = strings.Join(restjson.Segments(cfg.BasePath), "/")
	return &API{
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
	}
}

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
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	requestID := uuid.NewString()
	h := w.Header()
	h.Set("X-Amzn-RequestId", requestID)
	h.Set("Date", a.cfg.Now().UTC().Format(http.TimeFormat)) // clients correct their clock by it

	if a.isForm(r) {
		a.serveForm(w, r, requestID)
		return
	}
	service, call, ok := a.find(r)
	if !ok {
		unknown(w, r)
		return
	}
	caller, body, refusal := a.authenticate(r, service)
	if refusal != nil {
		service.Fail(w, refusal, requestID)
		return
	}
	if err := service.Serve(w, r, call, caller, body, requestID); err != nil && r.Context().Err() == nil {
		a.log.Error("API call failed", "request", requestID, "err", err)
	}
}

// find returns the operation the request asks for.
func (a *API) find(r *http.Request) (*restjson.Service, restjson.Call, bool) {
	path, query := target(r)
	path, ok := a.withoutBase(path)
	if !ok {
		return nil, restjson.Call{}, false
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, restjson.Call{}, false
	}
	for _, s := range a.services {
		if call, ok := s.Find(r.Method, path, values); ok {
			return s, call, true
		}
	}
	return nil, restjson.Call{}, false
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

// authenticate reads the body and finds out who signed the request.
func (a *API) authenticate(r *http.Request, s *restjson.Service) (restjson.Caller, []byte, *restjson.Error) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return restjson.Caller{}, nil, restjson.Errorf(http.StatusForbidden, "MissingAuthenticationTokenException",
			"Missing Authentication Token: the request has no Authorization header")
	}
	auth, err := sigv4.Parse(header)
	if err != nil {
		return restjson.Caller{}, nil, signatureError(err)
	}
	if auth.Service != s.SigningName {
		return restjson.Caller{}, nil, restjson.Errorf(http.StatusForbidden, "InvalidSignatureException",
			"Credential should be scoped to service %q, it is to %q", s.SigningName, auth.Service)
	}
	secret, ok := a.keys.Secret(auth.AccessKeyID)
	if !ok {
		return restjson.Caller{}, nil, restjson.Errorf(http.StatusForbidden, "UnrecognizedClientException",
			"The security token included in the request is invalid: no access key %q", auth.AccessKeyID)
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, restjson.MaxBody))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return restjson.Caller{}, nil, restjson.Errorf(http.StatusRequestEntityTooLarge, s.Invalid,
			"the body has more than %d bytes", restjson.MaxBody)
	}
	if err != nil {
		return restjson.Caller{}, nil, restjson.Errorf(http.StatusBadRequest, s.Invalid, "the body cannot be read: %v", err)
	}
	path, query := target(r)
	err = auth.Verify(sigv4.Request{
		Method: r.Method, Path: path, Query: query,
		Host: a.host(r), Header: r.Header, BodyHash: sha256.Sum256(body),
	}, secret, a.cfg.Now())
	if err != nil {
		return restjson.Caller{}, nil, signatureError(err)
	}
	return restjson.Caller{AccessKeyID: auth.AccessKeyID, Account: a.cfg.Account, Region: auth.Region}, body, nil
}

// host returns the host the client signed.
func (a *API) host(r *http.Request) string {
	if forwarded := r.Header.Get("X-Forwarded-Host"); a.cfg.TrustProxy && forwarded != "" {
		return forwarded
	}
	return r.Host
}

func signatureError(err error) *restjson.Error {
	kind := "InvalidSignatureException"
	if errors.Is(err, sigv4.ErrIncomplete) {
		kind = "IncompleteSignatureException"
	}
	return &restjson.Error{Status: http.StatusForbidden, Type: kind, Message: err.Error()}
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
