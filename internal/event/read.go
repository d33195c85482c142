package event

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A Record is an event in the journal. Others may have the same one: it is not
// to be changed.
type Record struct {
	Sequence uint64 // its place in the journal, from 1
	ID       string
	Appended time.Time
	Subject  string // events.<account>.<source>.<kind>.<subject>
	Type     string
	Notify   []string
	Body     []byte // the envelope's JSON, as it was appended
}

// Account returns the account of the event.
func (r Record) Account() string {
	_, rest, _ := strings.Cut(r.Subject, ".")
	account, _, _ := strings.Cut(rest, ".")
	return account
}

// ResourceID returns the id of the resource that the event is about.
func (r Record) ResourceID() string { return lastToken(r.Subject) }

// Envelope reads the Body.
func (r Record) Envelope() (Envelope, error) {
	var e Envelope
	if err := json.Unmarshal(r.Body, &e); err != nil {
		return Envelope{}, fmt.Errorf("read event %d: %w", r.Sequence, err)
	}
	return e, nil
}

func record(m *jetstream.RawStreamMsg) Record {
	return Record{
		Sequence: m.Sequence, ID: m.Header.Get(nats.MsgIdHdr), Appended: m.Time, Subject: m.Subject,
		Type: m.Header.Get(typeHeader), Notify: m.Header[notifyHeader], Body: m.Data,
	}
}

func lastToken(subject string) string { return subject[strings.LastIndexByte(subject, '.')+1:] }

// Subjects returns the subject that stands for all events of the account and
// the source; each may be empty, for all of them.
func Subjects(account, source string) string {
	switch {
	case source == "" && account == "":
		return subjectRoot + ".>"
	case source == "":
		return subjectRoot + "." + account + ".>"
	case account == "":
		account = "*"
	}
	return subjectRoot + "." + account + "." + source + ".>"
}

// Next returns the first event of the subject, as in Record or of Subjects,
// whose sequence is from or more, and waits for it until ctx ends.
func (j *Journal) Next(ctx context.Context, subject string, from uint64) (Record, error) {
	for {
		grown := j.growth() // before looking, so that nothing is missed
		found, ok, looked, err := j.at(ctx, subject, from)
		if ok || err != nil {
			return found, err
		}
		from = looked
		select {
		case <-grown:
		case <-ctx.Done():
			return Record{}, context.Cause(ctx)
		}
	}
}

// At returns the first event of the subject, as for Next, whose sequence is from
// or more; false says that there is none yet.
func (j *Journal) At(ctx context.Context, subject string, from uint64) (Record, bool, error) {
	r, ok, _, err := j.at(ctx, subject, from)
	return r, ok, err
}

// at is At; if there is none, looked is the sequence from which on to look next.
func (j *Journal) at(ctx context.Context, subject string, from uint64) (r Record, ok bool, looked uint64, err error) {
	from = max(from, 1)
	r, ok, older, err := j.recent.find(ctx, j, subject, &from)
	if older {
		r, ok, err = j.stored(ctx, subject, from)
	}
	return r, ok, from, err
}

// stored is At, past what is in memory.
func (j *Journal) stored(ctx context.Context, subject string, from uint64) (Record, bool, error) {
	m, err := j.events.GetMsg(ctx, from, jetstream.WithGetMsgSubject(subject))
	switch {
	case isNotFound(err):
		return Record{}, false, nil
	case err != nil:
		return Record{}, false, fmt.Errorf("read the journal of events: %w", err)
	}
	return record(m), true, nil
}

// Each calls f with every event of the subject, as for Next, that is there and
// whose sequence is from or more, until f returns an error.
func (j *Journal) Each(ctx context.Context, subject string, from uint64, f func(Record) error) error {
	err := j.read(ctx, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{subject}, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: max(from, 1),
	}, func(m jetstream.Msg, at *jetstream.MsgMetadata) error {
		return f(Record{
			Sequence: at.Sequence.Stream, ID: m.Headers().Get(nats.MsgIdHdr), Appended: at.Timestamp, Subject: m.Subject(),
			Type: m.Headers().Get(typeHeader), Notify: m.Headers()[notifyHeader], Body: m.Data(),
		})
	})
	if err != nil {
		return fmt.Errorf("read the journal of events: %w", err)
	}
	return nil
}

// read calls f with every message there is.
func (j *Journal) read(ctx context.Context, cfg jetstream.OrderedConsumerConfig, f func(jetstream.Msg, *jetstream.MsgMetadata) error) error {
	consumer, err := j.events.OrderedConsumer(ctx, cfg)
	if err != nil {
		return err
	}
	info, err := consumer.Info(ctx)
	if err != nil {
		return err
	}
	left := info.NumPending
	if left == 0 {
		return nil
	}
	messages, err := consumer.Messages()
	if err != nil {
		return err
	}
	defer messages.Stop()
	for left > 0 {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		at, err := m.Metadata()
		if err != nil {
			return err
		}
		left = at.NumPending
		if err := f(m, at); err != nil {
			return err
		}
	}
	return nil
}

// Last returns the sequence of the newest event, 0 if there never was one.
func (j *Journal) Last(ctx context.Context) (uint64, error) {
	info, err := j.events.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the journal of events: %w", err)
	}
	return info.State.LastSeq, nil
}

// Since returns the sequence of the first event that was appended at the time
// or later; if there is none yet, the one the next event will have.
func (j *Journal) Since(ctx context.Context, at time.Time) (uint64, error) {
	last, err := j.Last(ctx)
	if err != nil {
		return 0, err
	}
	// The client has no call for this part of the direct get request.
	ask, err := json.Marshal(struct {
		Start time.Time `json:"start_time"`
		Next  string    `json:"next_by_subj"`
	}{at.UTC(), Subjects("", "")})
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, diskLimit)
	defer cancel()
	answer, err := j.js.Conn().RequestWithContext(ctx, "$JS.API.DIRECT.GET."+streamName, ask)
	if err != nil {
		return 0, fmt.Errorf("find the events since %v: %w", at, err)
	}
	if answer.Header.Get("Status") == "404" {
		return last + 1, nil
	}
	var found uint64
	if _, err := fmt.Sscan(answer.Header.Get(nats.JSSequence), &found); err != nil {
		return 0, fmt.Errorf("find the events since %v: got an answer without a sequence", at)
	}
	return found, nil
}
