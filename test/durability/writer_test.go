package durability

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/chimesdkmediapipelines"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
	"github.com/aws/smithy-go"
)

type clients struct {
	meetings  *chimesdkmeetings.Client
	pipelines *chimesdkmediapipelines.Client
	channels  *ivs.Client
}

// A writer makes, changes and deletes its own resources, one call after
// another, and knows what was acknowledged.
type writer struct {
	clients
	once     clients // for work
	number   int
	random   *rand.Rand
	streams  bool // has a live connector
	made     int  // names given
	meetings []*meeting
	channels []*channel
	pipeline *pipeline
	ended    []string       // ids of meetings that are gone
	gone     []func() error // checks that what was deleted is not there

	acknowledged int
	doubt        *call // that got no answer, if any
}

func newWriter(number int, streams bool) *writer {
	return &writer{number: number, streams: streams, random: rand.New(rand.NewPCG(uint64(number), 7))}
}

// A call is one write.
type call struct {
	name string
	do   func(context.Context) error // the call and, once it is acknowledged, the note of it
	// settle finds out whether a call that got no answer took effect, notes
	// that, and fails if it did so by half.
	settle func() error
}

// work writes until the server is gone.
func (w *writer) work(t *testing.T, round string) {
	w.gone = nil
	w.clients = w.once
	for {
		c := w.next(round)
		ctx, cancel := context.WithTimeout(context.Background(), callLimit)
		err := c.do(ctx)
		cancel()
		if err == nil {
			w.acknowledged++
			continue
		}
		if answered(err) {
			t.Errorf("writer %d: %s: %v", w.number, c.name, err)
		}
		w.doubt = &c
		return
	}
}

// answered tells whether the server answered: an error then is its own.
func answered(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api)
}

func (w *writer) name(round, what string) string {
	w.made++
	return fmt.Sprintf("%s-%d-%s-%d", what, w.number, round, w.made)
}

// next chooses what to write.
func (w *writer) next(round string) call {
	if w.streams {
		if c, ok := w.nextOfStream(round); ok {
			return c
		}
	}
	if len(w.meetings) == 0 || w.random.IntN(8) == 0 && len(w.meetings) < 6 {
		return w.createMeeting(round, w.random.IntN(4))
	}
	if len(w.channels) == 0 || w.random.IntN(8) == 0 && len(w.channels) < 6 {
		return w.createChannel(round)
	}
	m, ch := w.meetings[w.random.IntN(len(w.meetings))], w.channels[w.random.IntN(len(w.channels))]
	switch n := w.random.IntN(14); {
	case n < 3:
		return w.createAttendee(round, m)
	case n < 4:
		return w.createAttendees(round, m)
	case n < 5 && len(m.attendees) > 0:
		return w.deleteAttendee(m)
	case n < 7 && len(m.attendees) > 0:
		return w.updateAttendee(m)
	case n < 8 && !w.used(m, nil):
		return w.deleteMeeting(m)
	case n < 10:
		return w.updateChannel(round, ch)
	case n < 11:
		return w.tagChannel(round, ch)
	case n < 13 && !w.used(nil, ch):
		if ch.key == "" {
			return w.createKey(ch)
		}
		return w.deleteKey(ch)
	case n < 14 && !w.used(nil, ch):
		return w.deleteChannel(ch)
	}
	return w.createAttendee(round, m)
}

// used tells whether a pipeline of the writer's needs or needed the meeting or
// the channel: one that was deleted takes a moment to let go of them.
func (w *writer) used(m *meeting, ch *channel) bool {
	return m != nil && m.streamed || ch != nil && ch.streamed
}

// nextOfStream keeps a pipeline running most of the time.
func (w *writer) nextOfStream(round string) (call, bool) {
	if w.pipeline != nil {
		return w.deletePipeline(), w.random.IntN(200) == 0
	}
	m := slices.IndexFunc(w.meetings, func(m *meeting) bool { return !m.streamed })
	if m < 0 {
		return w.createMeeting(round, 1), true
	}
	ch := slices.IndexFunc(w.channels, func(ch *channel) bool { return !ch.streamed && ch.key != "" })
	if ch < 0 {
		return w.createChannel(round), true
	}
	return w.createPipeline(round, w.meetings[m], w.channels[ch]), true
}

// check finds what the writer has, and nothing of what it deleted.
func (w *writer) check() error {
	for _, m := range w.meetings {
		if err := w.checkMeeting(m); err != nil {
			return fmt.Errorf("meeting %s: %w", m.external, err)
		}
	}
	for _, ch := range w.channels {
		if err := w.checkChannel(ch); err != nil {
			return fmt.Errorf("channel %s: %w", ch.name, err)
		}
	}
	for _, absent := range w.gone {
		if err := absent(); err != nil {
			return err
		}
	}
	return nil
}

// bounded is the time for a call outside of work.
func bounded() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), callLimit)
}

// notFound tells whether the server says that there is no such thing.
func notFound(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && (api.ErrorCode() == "NotFoundException" || api.ErrorCode() == "ResourceNotFoundException")
}

// wantAbsent wants a lookup to find nothing.
func wantAbsent(what string, err error) error {
	if notFound(err) {
		return nil
	}
	return fmt.Errorf("%s was deleted: got %v, want not found", what, err)
}
