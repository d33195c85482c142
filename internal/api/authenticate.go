package api

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"

	"belfry.live/belfry/internal/access"
	"belfry.live/belfry/internal/api/restjson"
	"belfry.live/belfry/internal/wire/sigv4"
)

// Keys knows the access keys that may call.
type Keys interface {
	// Find returns the key of the id, also an expired one.
	Find(id string) (access.Key, bool)
}

// nobody stands in for an unknown key, so that the search for ids takes as
// long as that for secrets.
var nobody = access.Key{Secret: access.NewSecret("a secret that is in no file of keys")}

// A signer is who signed a request, and for which region.
type signer struct {
	key    access.Key
	region string
}

// authenticate reads the body and finds out who signed the request.
func (a *API) authenticate(r *http.Request, s *restjson.Service) (signer, []byte, *restjson.Error) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return signer{}, nil, forbidden("MissingAuthenticationTokenException",
			"Missing Authentication Token: the request has no Authorization header")
	}
	auth, err := sigv4.Parse(header)
	if err != nil {
		return signer{}, nil, signatureError(err)
	}
	if auth.Service != s.SigningName {
		return signer{}, nil, forbidden("InvalidSignatureException",
			"Credential should be scoped to service %q, it is to %q", s.SigningName, auth.Service)
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, restjson.MaxBody))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return signer{}, nil, restjson.Errorf(http.StatusRequestEntityTooLarge, s.Invalid,
			"the body has more than %d bytes", restjson.MaxBody)
	}
	if err != nil {
		return signer{}, nil, restjson.Errorf(http.StatusBadRequest, s.Invalid, "the body cannot be read: %v", err)
	}
	key, known := a.keys.Find(auth.AccessKeyID)
	if !known {
		key = nobody
	}
	path, query := target(r)
	err = auth.Verify(sigv4.Request{
		Method: r.Method, Path: path, Query: query,
		Host: a.host(r), Header: r.Header, BodyHash: sha256.Sum256(body),
	}, key.Secret.Reveal(), a.cfg.Now())
	switch {
	case err != nil && !errors.Is(err, sigv4.ErrMismatch):
		return signer{}, nil, signatureError(err)
	case !known:
		return signer{}, nil, forbidden("UnrecognizedClientException",
			"The security token included in the request is invalid: no access key %q", auth.AccessKeyID)
	case err != nil:
		return signer{}, nil, signatureError(err)
	}
	if refusal := a.checkSession(key, r.Header.Values("X-Amz-Security-Token")); refusal != nil {
		return signer{}, nil, refusal
	}
	return signer{key, auth.Region}, body, nil
}

// checkSession refuses a key whose time is over, and a session token that is
// not the key's. The request is signed with the key's secret.
func (a *API) checkSession(k access.Key, tokens []string) *restjson.Error {
	const invalid = "The security token included in the request is invalid: "
	switch {
	case !k.Temporary() && len(tokens) > 0:
		return forbidden("UnrecognizedClientException",
			invalid+"access key %s has no session token; take X-Amz-Security-Token (AWS_SESSION_TOKEN) away", k.ID)
	case k.Temporary() && len(tokens) == 0:
		return forbidden("UnrecognizedClientException",
			invalid+"access key %s is temporary, its session token must come as X-Amz-Security-Token (AWS_SESSION_TOKEN)", k.ID)
	case k.Temporary() && (len(tokens) > 1 || !k.SessionToken.Equal(tokens[0])):
		return forbidden("UnrecognizedClientException", invalid+"X-Amz-Security-Token is not that of access key %s", k.ID)
	}
	if now := a.cfg.Now(); k.Expired(now) {
		return forbidden("ExpiredTokenException",
			"The security token included in the request is expired: access key %s was good until %s, the server has %s",
			k.ID, k.Expires.UTC().Format(clock), now.UTC().Format(clock))
	}
	return nil
}

// clock is how times are told in errors.
const clock = "2006-01-02T15:04:05Z"

// caller is the key's holder as the operations see it.
func (a *API) caller(s signer) restjson.Caller {
	k := s.key
	return restjson.Caller{
		AccessKeyID: k.ID, Account: a.account(k), Region: s.region,
		May: func(action, resource string) error { return a.may(k, action, resource) },
	}
}

// account is whose resources the key reaches.
func (a *API) account(k access.Key) string { return cmp.Or(k.Account, a.cfg.Account) }

// principal is the ARN of the key's holder: of the account's root user, or of
// a user with the key's name.
func (a *API) principal(k access.Key) string {
	who := "user/" + k.User()
	if isRoot(k) {
		who = "root"
	}
	return "arn:aws:iam::" + a.account(k) + ":" + who
}

// userID is AWS's other name for the key's holder.
func (a *API) userID(k access.Key) string {
	if isRoot(k) {
		return a.account(k)
	}
	return k.ID
}

// isRoot says whether the key stands for the account itself: it may do
// everything, and nobody gave it a name.
func isRoot(k access.Key) bool { return k.Name == "" && k.Policy.IsZero() }

// may returns an error if the key does not allow the action on the resource.
func (a *API) may(k access.Key, action, resource string) error {
	if k.Policy.Allows(action, resource) {
		return nil
	}
	why := "because no statement of its policy allows that"
	if k.Policy.Denies(action, resource) {
		why = "with an explicit deny in its policy"
	}
	return denied(fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s %s", a.principal(k), action, resource, why))
}

// denied is what AWS tells those who may not do something.
type denied string

func (d denied) Error() string { return string(d) }

// host returns the host the client signed.
func (a *API) host(r *http.Request) string {
	if forwarded := r.Header.Get("X-Forwarded-Host"); a.cfg.TrustProxy && forwarded != "" {
		return forwarded
	}
	return r.Host
}

func signatureError(err error) *restjson.Error {
	if errors.Is(err, sigv4.ErrIncomplete) {
		return forbidden("IncompleteSignatureException", "%v", err)
	}
	return forbidden("InvalidSignatureException", "%v", err)
}

func forbidden(kind, format string, args ...any) *restjson.Error {
	return restjson.Errorf(http.StatusForbidden, kind, format, args...)
}
