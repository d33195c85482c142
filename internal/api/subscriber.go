package api

import (
	"net/http"
	"time"

	"github.com/google/uuid"

	"belfry.live/belfry/internal/access"
	"belfry.live/belfry/internal/api/restjson"
	"belfry.live/belfry/internal/event"
)

// events has no operations of REST-JSON; it says how requests for the account's
// events are signed and what is said of those that are not.
var events = &restjson.Service{SigningName: "events", Name: "events", Invalid: "ValidationException", Denied: "AccessDeniedException"}

// subscribe is the action that a policy allows to who may have events.
const subscribe = "events:Subscribe"

// Subscriber returns who signed a request for events, or answers it if they may
// not have any.
func (a *API) Subscriber(w http.ResponseWriter, r *http.Request) (event.Subscriber, bool) {
	requestID := uuid.NewString()
	w.Header().Set("X-Amzn-RequestId", requestID)
	w.Header().Set("Date", a.cfg.Now().UTC().Format(http.TimeFormat))
	from, _, refusal := a.authenticate(r, events)
	if refusal == nil {
		if err := a.may(from.key, subscribe, "*"); err != nil {
			refusal = forbidden(events.Denied, "%v", err)
		}
	}
	if refusal != nil {
		event.Refuse(w, refusal.Status, refusal.Type, refusal.Message)
		return event.Subscriber{}, false
	}
	return a.subscriber(from.key), true
}

// Login returns who has the access key and its secret, if they may have events.
// Temporary keys are not for logging in: there is no place for their token.
func (a *API) Login(keyID, secret string) (event.Subscriber, bool) {
	key, known := a.keys.Find(keyID)
	if !known {
		key = nobody
	}
	if !key.Secret.Equal(secret) || !known || key.Temporary() || a.may(key, subscribe, "*") != nil {
		return event.Subscriber{}, false
	}
	return a.subscriber(key), true
}

func (a *API) subscriber(as access.Key) event.Subscriber {
	secret, account := as.Secret.Reveal(), a.account(as)
	return event.Subscriber{Account: account, Still: func() bool {
		k, ok := a.keys.Find(as.ID)
		return ok && k.Secret.Equal(secret) && a.account(k) == account && !k.Expired(time.Now()) && a.may(k, subscribe, "*") == nil
	}}
}
