package event

import (
	"encoding/json"
	"net/http"
)

// A Subscriber is somebody who asked for the events of one account and may
// have them.
type Subscriber struct {
	Account string
	// Still says whether that is so at present: keys expire, are revoked and
	// change.
	Still func() bool
}

// Refuse answers a request for events with an error in the form that AWS
// clients read.
func Refuse(w http.ResponseWriter, status int, kind, message string) {
	w.Header().Set("X-Amzn-ErrorType", kind)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": message}) // the client may be gone
}
