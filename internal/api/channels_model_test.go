package api_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
	"github.com/aws/aws-sdk-go-v2/service/ivs/types"
	"github.com/aws/smithy-go"

	"belfry.live/belfry/internal/channel/ingest"
	"belfry.live/belfry/test/apiserver"
)

// A channelModel is what a channel should be.
type channelModel struct {
	name     string
	tags     map[string]string
	keys     map[string]string // ARN to value
	sessions int
	stream   *publisher // nil: it is off
}

// A world is the server beside the model of what it should hold.
type world struct {
	t        *testing.T
	s        *apiserver.Server
	c        clients
	rand     *rand.Rand
	channels map[string]*channelModel // by ARN
	deleted  map[string]*channelModel
	oldKeys  []string // values that must not work any more
}

const (
	modelKeys     = 2  // of a channel
	modelChannels = 8  // at once
	modelStreams  = 12 // in one run: each takes real time
)

// TestChannelModel does random things to channels, keys and streams and holds
// every answer against the model.
func TestChannelModel(t *testing.T) {
	for range 2 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			s := apiserver.Start(t, apiserver.Config{StreamKeys: modelKeys})
			w := &world{
				t: t, s: s, c: newClients(s.AWS()), rand: rand.New(rand.NewPCG(seed, 0)),
				channels: map[string]*channelModel{}, deleted: map[string]*channelModel{},
			}
			for step := range 250 {
				w.step()
				if t.Failed() {
					t.Fatalf("after %d steps", step+1)
				}
			}
			w.compare()
		})
	}
}

// pick returns one of the map's keys, or what is in none.
func pick[V any](w *world, of map[string]V, none string) string {
	if len(of) == 0 || w.rand.IntN(12) == 0 {
		return none
	}
	return slices.Sorted(maps.Keys(of))[w.rand.IntN(len(of))]
}

const (
	noChannel = "arn:aws:ivs:us-east-1:123456789012:channel/abcdefghijkl"
	noKey     = "arn:aws:ivs:us-east-1:123456789012:stream-key/abcdefghijkl"
)

func (w *world) anyChannel() (arn string, m *channelModel) {
	arn = pick(w, w.channels, noChannel)
	return arn, w.channels[arn]
}

func (w *world) anyKey() (arn string, m *channelModel) {
	of := map[string]*channelModel{}
	for _, m := range w.channels {
		for k := range m.keys {
			of[k] = m
		}
	}
	arn = pick(w, of, noKey)
	return arn, of[arn]
}

func (w *world) step() {
	steps := []func(){
		w.create, w.update, w.get, w.tag, w.untag, w.createKey, w.createKey, w.deleteKey, w.getKey,
		w.delete, w.start, w.stop, w.refused, w.list, w.sessions,
	}
	steps[w.rand.IntN(len(steps))]()
}

// want holds an error against the type that it should have; "" is none.
func (w *world) want(what string, err error, kind string) {
	w.t.Helper()
	got := ""
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		got = e.ErrorCode()
	} else if err != nil {
		got = err.Error()
	}
	if got != kind {
		w.t.Errorf("%s: got %q, want %q", what, got, kind)
	}
}

// missing is the error about what is not there.
func missing(there bool) string {
	if there {
		return ""
	}
	return "ResourceNotFoundException"
}

func (w *world) create() {
	if len(w.channels) >= modelChannels {
		return
	}
	m := &channelModel{name: fmt.Sprint("n", w.rand.IntN(3)), tags: map[string]string{"made": "yes"}}
	out, err := w.c.channels.CreateChannel(w.t.Context(), &ivs.CreateChannelInput{Name: &m.name, Tags: m.tags})
	w.want("CreateChannel", err, "")
	if err == nil {
		m.keys = map[string]string{aws.ToString(out.StreamKey.Arn): aws.ToString(out.StreamKey.Value)}
		w.channels[aws.ToString(out.Channel.Arn)] = m
	}
}

func (w *world) update() {
	arn, m := w.anyChannel()
	in := &ivs.UpdateChannelInput{Arn: &arn, Name: aws.String(fmt.Sprint("u", w.rand.IntN(3)))}
	want := missing(m != nil)
	if w.rand.IntN(3) == 0 {
		in.ContainerFormat = types.ContainerFormatFragmentedMP4
		current, err := w.c.channels.GetChannel(w.t.Context(), &ivs.GetChannelInput{Arn: &arn})
		if m != nil && m.stream != nil && err == nil && current.Channel.ContainerFormat != in.ContainerFormat {
			want = "ConflictException"
		}
	}
	_, err := w.c.channels.UpdateChannel(w.t.Context(), in)
	w.want("UpdateChannel", err, want)
	if err == nil {
		m.name = aws.ToString(in.Name)
	}
}

func (w *world) get() {
	arn, m := w.anyChannel()
	out, err := w.c.channels.GetChannel(w.t.Context(), &ivs.GetChannelInput{Arn: &arn})
	w.want("GetChannel", err, missing(m != nil))
	if err == nil && (aws.ToString(out.Channel.Name) != m.name || !maps.Equal(out.Channel.Tags, m.tags)) {
		w.t.Errorf("GetChannel: got %q with %v, want %q with %v", aws.ToString(out.Channel.Name), out.Channel.Tags, m.name, m.tags)
	}
}

func (w *world) tag() {
	arn, m := w.anyChannel()
	key, value := fmt.Sprint("t ", w.rand.IntN(4)), fmt.Sprint(w.rand.IntN(9))
	_, err := w.c.channels.TagResource(w.t.Context(), &ivs.TagResourceInput{ResourceArn: &arn, Tags: map[string]string{key: value}})
	w.want("TagResource", err, missing(m != nil))
	if err == nil {
		m.tags[key] = value
	}
}

func (w *world) untag() {
	arn, m := w.anyChannel()
	key := fmt.Sprint("t ", w.rand.IntN(4))
	_, err := w.c.channels.UntagResource(w.t.Context(), &ivs.UntagResourceInput{ResourceArn: &arn, TagKeys: []string{key}})
	w.want("UntagResource", err, missing(m != nil))
	if err == nil {
		delete(m.tags, key)
	}
}

func (w *world) createKey() {
	arn, m := w.anyChannel()
	want := missing(m != nil)
	if m != nil && len(m.keys) == modelKeys {
		want = "ServiceQuotaExceededException"
	}
	out, err := w.c.channels.CreateStreamKey(w.t.Context(), &ivs.CreateStreamKeyInput{ChannelArn: &arn})
	w.want("CreateStreamKey", err, want)
	if err == nil {
		m.keys[aws.ToString(out.StreamKey.Arn)] = aws.ToString(out.StreamKey.Value)
	}
}

func (w *world) deleteKey() {
	arn, m := w.anyKey()
	_, err := w.c.channels.DeleteStreamKey(w.t.Context(), &ivs.DeleteStreamKeyInput{Arn: &arn})
	w.want("DeleteStreamKey", err, missing(m != nil))
	if err == nil {
		w.oldKeys = append(w.oldKeys, m.keys[arn])
		delete(m.keys, arn)
	}
}

func (w *world) getKey() {
	arn, m := w.anyKey()
	out, err := w.c.channels.GetStreamKey(w.t.Context(), &ivs.GetStreamKeyInput{Arn: &arn})
	w.want("GetStreamKey", err, missing(m != nil))
	if err == nil && aws.ToString(out.StreamKey.Value) != m.keys[arn] {
		w.t.Errorf("GetStreamKey %s: got another value than it was made with", arn)
	}
}

func (w *world) delete() {
	if w.rand.IntN(2) == 0 {
		return
	}
	arn, m := w.anyChannel()
	want := missing(m != nil)
	if m != nil && m.stream != nil {
		want = "ConflictException"
	}
	_, err := w.c.channels.DeleteChannel(w.t.Context(), &ivs.DeleteChannelInput{Arn: &arn})
	w.want("DeleteChannel", err, want)
	if err == nil {
		delete(w.channels, arn)
		w.deleted[arn] = m
		w.oldKeys = slices.AppendSeq(w.oldKeys, maps.Values(m.keys))
	}
}

// start publishes with one of the channel's keys.
func (w *world) start() {
	begun := 0
	for _, of := range []map[string]*channelModel{w.channels, w.deleted} {
		for _, m := range of {
			begun += m.sessions
		}
	}
	arn, m := w.anyChannel()
	if m == nil || m.stream != nil || len(m.keys) == 0 || begun >= modelStreams {
		return
	}
	value := slices.Sorted(maps.Values(m.keys))[0]
	m.stream = publish(w.t, w.s, &types.StreamKey{Value: &value})
	m.sessions++
	w.c.waitLive(w.t, &types.Channel{Arn: &arn})
}

func (w *world) stop() {
	arn, m := w.anyChannel()
	if m == nil {
		return
	}
	if m.stream == nil {
		_, err := w.c.channels.StopStream(w.t.Context(), &ivs.StopStreamInput{ChannelArn: &arn})
		w.want("StopStream", err, "ChannelNotBroadcasting")
		return
	}
	if w.rand.IntN(2) == 0 {
		_, err := w.c.channels.StopStream(w.t.Context(), &ivs.StopStreamInput{ChannelArn: &arn})
		w.want("StopStream", err, "")
	}
	m.stream.stop()
	m.stream = nil
	_, err := w.c.channels.GetStream(w.t.Context(), &ivs.GetStreamInput{ChannelArn: &arn})
	w.want("GetStream after the end", err, "ChannelNotBroadcasting")
}

// refused publishes with keys that are gone, and with one in use.
func (w *world) refused() {
	for _, value := range w.oldKeys {
		if _, err := w.s.Channels.Publish(w.t.Context(), value, ingest.Publisher{Encrypted: true}); !errors.Is(err, ingest.ErrUnknownKey) {
			w.t.Errorf("publish with a deleted key: got %v, want ErrUnknownKey", err)
		}
	}
	for _, m := range w.channels {
		for _, value := range m.keys {
			if m.stream == nil {
				continue
			}
			if _, err := w.s.Channels.Publish(w.t.Context(), value, ingest.Publisher{Encrypted: true}); !errors.Is(err, ingest.ErrBusy) {
				w.t.Errorf("publish on a live channel: got %v, want ErrBusy", err)
			}
		}
	}
}

// list holds the lists of channels, keys and streams against the model.
func (w *world) list() {
	ctx := w.t.Context()
	var arns, wantNamed, named, live, wantLive []string
	size := aws.Int32(1 + w.rand.Int32N(4))
	for pager := ivs.NewListChannelsPaginator(w.c.channels, &ivs.ListChannelsInput{MaxResults: size}); pager.HasMorePages(); {
		page, err := pager.NextPage(ctx)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, ch := range page.Channels {
			arns = append(arns, aws.ToString(ch.Arn))
		}
	}
	slices.Sort(arns)
	if want := slices.Sorted(maps.Keys(w.channels)); !slices.Equal(arns, want) {
		w.t.Errorf("ListChannels by %d: got %q, want %q", *size, arns, want)
	}
	name := fmt.Sprint("n", w.rand.IntN(3))
	for arn, m := range w.channels {
		if m.name == name {
			wantNamed = append(wantNamed, arn)
		}
		if m.stream != nil {
			wantLive = append(wantLive, arn)
		}
		keys, err := w.c.channels.ListStreamKeys(ctx, &ivs.ListStreamKeysInput{ChannelArn: &arn, MaxResults: aws.Int32(50)})
		if err != nil || len(keys.StreamKeys) != len(m.keys) {
			w.t.Errorf("ListStreamKeys: got %v, %v, want %d", keys, err, len(m.keys))
		}
	}
	out, err := w.c.channels.ListChannels(ctx, &ivs.ListChannelsInput{FilterByName: &name})
	w.want("ListChannels by name", err, "")
	for _, ch := range out.Channels {
		named = append(named, aws.ToString(ch.Arn))
	}
	streams, err := w.c.channels.ListStreams(ctx, &ivs.ListStreamsInput{})
	w.want("ListStreams", err, "")
	for _, stream := range streams.Streams {
		live = append(live, aws.ToString(stream.ChannelArn))
	}
	for _, list := range [][]string{named, wantNamed, live, wantLive} {
		slices.Sort(list)
	}
	if !slices.Equal(named, wantNamed) || !slices.Equal(live, wantLive) {
		w.t.Errorf("got named %q and live %q, want %q and %q", named, live, wantNamed, wantLive)
	}
}

// sessions holds the sessions of a channel, which may be gone, against the
// model.
func (w *world) sessions() {
	all := maps.Clone(w.channels)
	maps.Copy(all, w.deleted)
	arn := pick(w, all, noChannel)
	m := all[arn]
	deadline := time.Now().Add(20 * time.Second) // they are written a moment after they end
	for {
		out, err := w.c.channels.ListStreamSessions(w.t.Context(), &ivs.ListStreamSessionsInput{ChannelArn: &arn})
		want := missing(m != nil && (w.channels[arn] != nil || m.sessions > 0))
		open, wantOpen, total := 0, 0, 0
		if err == nil {
			total = len(out.StreamSessions)
			for _, session := range out.StreamSessions {
				if session.EndTime == nil {
					open++
				}
			}
		}
		if m != nil && m.stream != nil {
			wantOpen = 1
		}
		if m == nil || err != nil && m.sessions == 0 || err == nil && total == m.sessions && open == wantOpen {
			w.want("ListStreamSessions", err, want)
			return
		}
		if time.Now().After(deadline) {
			w.t.Errorf("ListStreamSessions: got %d, %d of them open, %v, want %d, %d open", total, open, err, m.sessions, wantOpen)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// compare holds all there is against the model.
func (w *world) compare() {
	w.list()
	for arn, m := range w.channels {
		out, err := w.c.channels.GetChannel(w.t.Context(), &ivs.GetChannelInput{Arn: &arn})
		if err != nil || aws.ToString(out.Channel.Name) != m.name || !maps.Equal(out.Channel.Tags, m.tags) {
			w.t.Errorf("at the end: got %+v, %v, want %q with %v", out, err, m.name, m.tags)
		}
	}
	for arn := range w.deleted {
		_, err := w.c.channels.GetChannel(w.t.Context(), &ivs.GetChannelInput{Arn: &arn})
		w.want("GetChannel of a deleted one", err, "ResourceNotFoundException")
	}
}
