package telemetry

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Limits of one body of events. A client sends at most two payloads of 3000
// bytes in an event and what it gathered in 5 s in a body, or what it could
// not send before.
const (
	MaxBody     = 256 << 10
	maxEvents   = 200
	maxPayloads = 10
)

// ErrEvents says that a body is no events.
var ErrEvents = errors.New("no client events")

// known are the names of events that are counted one by one.
var known = map[string]bool{
	"meetingStartRequested": true, "meetingStartSucceeded": true, "meetingStartFailed": true,
	"meetingReconnected": true, "meetingEnded": true, "meetingFailed": true,
	"attendeePresenceReceived": true,
	"audioInputSelected":       true, "audioInputUnselected": true, "audioInputFailed": true,
	"videoInputSelected": true, "videoInputUnselected": true, "videoInputFailed": true,
	"deviceLabelTriggerFailed": true, "signalingDropped": true, "receivingAudioDropped": true,
	"sendingAudioFailed": true, "sendingAudioRecovered": true,
	"backgroundFilterConfigSelected": true,
}

// An Events is one body that a client posted.
type Events struct {
	Authorization string // the join token, of a beacon
	names         []string
}

// ParseEvents reads a body. All that is kept of it are events' names.
func ParseEvents(body []byte) (Events, error) {
	if len(body) > MaxBody {
		return Events{}, fmt.Errorf("%w: more than %d bytes", ErrEvents, MaxBody)
	}
	var in struct {
		Authorization string `json:"authorization"`
		Events        []struct {
			Payloads []struct {
				Name string `json:"name"`
			} `json:"payloads"`
		} `json:"events"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return Events{}, fmt.Errorf("%w: %w", ErrEvents, err)
	}
	if len(in.Events) > maxEvents {
		return Events{}, fmt.Errorf("%w: more than %d", ErrEvents, maxEvents)
	}
	e := Events{Authorization: in.Authorization}
	for _, x := range in.Events {
		if len(x.Payloads) > maxPayloads {
			return Events{}, fmt.Errorf("%w: more than %d payloads in one", ErrEvents, maxPayloads)
		}
		for _, p := range x.Payloads {
			e.names = append(e.names, p.Name)
		}
	}
	return e, nil
}

// Events counts a body's events by name; names nobody knows are counted
// together.
func (t *Tally) Events(e Events) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range e.names {
		if !known[name] {
			name = "other"
		}
		t.count(Count{"events", "name", name}, 1)
	}
}
