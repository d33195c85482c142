package sse

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"belfry.live/belfry/internal/event"
)

// maxDead is how many dead letters one answer has at most, and if nothing is
// asked.
const maxDead = 100

// A DeadLetters is the answer of GET /events/dead.
type DeadLetters struct {
	DeadLetters []event.DeadLetter `json:"deadLetters"` // the oldest first
	// Next is what to ask for as from if there may be more, else 0.
	Next uint64 `json:"next,omitempty"`
}

func (h *Handler) dead(w http.ResponseWriter, r *http.Request, who event.Subscriber) {
	from, err := readFrom(r.URL.RawQuery)
	if err != nil {
		event.Refuse(w, http.StatusBadRequest, "ValidationException", err.Error())
		return
	}
	letters, err := h.journal.Dead(r.Context(), who.Account, from, maxDead)
	if err != nil {
		if r.Context().Err() == nil {
			h.log.Error("dead letters cannot be read", "err", err)
		}
		event.Refuse(w, http.StatusInternalServerError, "InternalServerException", "dead letters cannot be read")
		return
	}
	answer := DeadLetters{DeadLetters: append([]event.DeadLetter{}, letters...)}
	if len(letters) == maxDead {
		answer.Next = letters[maxDead-1].Sequence + 1
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(answer) // the client may be gone
}

// readFrom reads the query of GET /events/dead.
func readFrom(raw string) (uint64, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return 0, fmt.Errorf("the query cannot be read: %w", err)
	}
	for name := range values {
		if name != "from" {
			return 0, fmt.Errorf("%.100q is no parameter, there is from", name)
		}
	}
	s := values.Get("from")
	if s == "" {
		return 0, nil
	}
	from, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("from is %.100q, want the sequence of a dead letter", s)
	}
	return from, nil
}
