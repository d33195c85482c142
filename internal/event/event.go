// Package event is the journal of what happened to meetings, pipelines and
// channels: events in EventBridge's envelope, appended to a JetStream stream
// on disk and read again in the order they were appended. What happened, and
// what an event says of it, is told by the API packages; package webhook, sse
// and feed bring the journal to those who want to know.
package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
)

// Limits of an event.
const (
	// MaxEnvelope is the largest envelope, in bytes; it is EventBridge's.
	MaxEnvelope  = 256 << 10
	maxToken     = 64
	maxType      = 128
	maxNotify    = 8
	maxARN       = 1024
	maxResources = 16
)

// ErrInvalid says that an event cannot be recorded as it is.
var ErrInvalid = errors.New("invalid event")

// An Event is something that happened to one resource. Events of one resource,
// that is of one Account, Source, Kind and Subject, keep their order.
type Event struct {
	ID         string // a UUID; Append makes one if it is empty
	Account    string // 12 digits
	Region     string
	Source     string    // "aws.chime", "aws.ivs"
	DetailType string    // "Chime Meeting State Change"
	Time       time.Time // when it happened; Append takes the present if it is zero
	Resources  []string  // ARNs
	Detail     json.RawMessage

	// What follows is not in the envelope.
	Kind    string   // of resource: "meeting", "media-pipeline", "channel"
	Subject string   // the resource's id, letters, digits, - and _
	Type    string   // what Latest tells apart: "chime:MeetingStarted", "Stream Start"
	Notify  []string // ARNs that the resource's owner wants to be told at
}

// New returns an event with the detail as JSON.
func New(account, region, source, detailType string, detail any) (Event, error) {
	b, err := json.Marshal(detail)
	if err != nil {
		return Event{}, fmt.Errorf("%w: detail of %s: %w", ErrInvalid, detailType, err)
	}
	return Event{
		ID: uuid.NewString(), Account: account, Region: region, Source: source, DetailType: detailType,
		Time: time.Now(), Detail: b,
	}, nil
}

// An Envelope is an event as EventBridge writes it.
type Envelope struct {
	Version    string          `json:"version"` // "0"
	ID         string          `json:"id"`
	DetailType string          `json:"detail-type"`
	Source     string          `json:"source"`
	Account    string          `json:"account"`
	Time       time.Time       `json:"time"` // UTC, whole seconds
	Region     string          `json:"region"`
	Resources  []string        `json:"resources"`
	Detail     json.RawMessage `json:"detail"`
}

// envelope returns the event's JSON.
func (e Event) envelope() ([]byte, error) {
	b, err := json.Marshal(Envelope{
		Version: "0", ID: e.ID, DetailType: e.DetailType, Source: e.Source, Account: e.Account,
		Time: e.Time.UTC().Truncate(time.Second), Region: e.Region,
		Resources: append([]string{}, e.Resources...), Detail: e.Detail,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if len(b) > MaxEnvelope {
		return nil, fmt.Errorf("%w: its envelope has %d bytes, the most is %d", ErrInvalid, len(b), MaxEnvelope)
	}
	return b, nil
}

// check says what is wrong with the event.
func (e Event) check() error {
	for _, c := range []struct {
		field, value string
		ok           bool
	}{
		{"ID", e.ID, isToken(e.ID)},
		{"Account", e.Account, len(e.Account) == 12 && strings.Trim(e.Account, "0123456789") == ""},
		{"Region", e.Region, isToken(e.Region)},
		{"Source", e.Source, isSource(e.Source)},
		{"DetailType", e.DetailType, isText(e.DetailType)},
		{"Kind", e.Kind, isToken(e.Kind)},
		{"Subject", e.Subject, isToken(e.Subject)},
		{"Type", e.Type, isText(e.Type)},
	} {
		if !c.ok {
			return fmt.Errorf("%w: %s is %.200q", ErrInvalid, c.field, c.value)
		}
	}
	if len(e.Detail) == 0 || e.Detail[0] != '{' {
		return fmt.Errorf("%w: Detail is no JSON object", ErrInvalid)
	}
	if len(e.Resources) > maxResources || len(e.Notify) > maxNotify {
		return fmt.Errorf("%w: it has %d Resources and %d ARNs in Notify, the most are %d and %d",
			ErrInvalid, len(e.Resources), len(e.Notify), maxResources, maxNotify)
	}
	for _, arn := range e.Notify {
		if len(arn) > maxARN || !isGraphic(arn) {
			return fmt.Errorf("%w: %.200q in Notify is no ARN", ErrInvalid, arn)
		}
	}
	return nil
}

// message returns what is written to the stream.
func (e Event) message() (*nats.Msg, error) {
	if e.ID == "" {
		e.ID = uuid.NewString()
	}
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	if err := e.check(); err != nil {
		return nil, err
	}
	body, err := e.envelope()
	if err != nil {
		return nil, err
	}
	m := &nats.Msg{Subject: e.subject(), Data: body, Header: nats.Header{nats.MsgIdHdr: {e.ID}, typeHeader: {e.Type}}}
	if len(e.Notify) > 0 {
		m.Header[notifyHeader] = e.Notify
	}
	return m, nil
}

// subject is where the event goes in the stream.
func (e Event) subject() string {
	return strings.Join([]string{subjectRoot, e.Account, e.Source, e.Kind, e.Subject}, ".")
}

// isToken says whether s can be one part of a subject.
func isToken(s string) bool {
	if s == "" || len(s) > maxToken {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// isSource says whether s is one or several tokens with dots between.
func isSource(s string) bool {
	for part := range strings.SplitSeq(s, ".") {
		if !isToken(part) {
			return false
		}
	}
	return len(s) <= maxToken
}

// isText says whether s fits a header line: visible characters, and blanks
// between them.
func isText(s string) bool {
	return len(s) <= maxType && isGraphic(strings.ReplaceAll(s, " ", "_")) && s == strings.TrimSpace(s)
}

func isGraphic(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return s != ""
}
