package api_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmediapipelines"
	pipelinetypes "github.com/aws/aws-sdk-go-v2/service/chimesdkmediapipelines/types"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings/types"
	"github.com/aws/smithy-go"
	"github.com/google/uuid"

	"belfry.live/belfry/test/apiserver"
)

type (
	// A meetingModel is what a meeting should be.
	meetingModel struct {
		token, external, primary string
		max                      int // attendees; 0: more than this test makes
		tags                     map[string]string
		attendees                map[string]attendeeModel // by external user id
		live, capture            string                   // its pipelines' ids; "": none
	}

	attendeeModel struct {
		id, joinToken string
		capabilities  types.AttendeeCapabilities
	}

	pipelineModel struct {
		token, meeting, arn string
		kind                string // live, capture
	}
)

// A calendar is the server beside the model of what it should hold.
type calendar struct {
	t         *testing.T
	c         clients
	rand      *rand.Rand
	meetings  map[string]*meetingModel  // by id
	pipelines map[string]*pipelineModel // by id
	ended     []string                  // meetings
	deleted   []string                  // pipelines
	spent     []string                  // tokens of those
}

const (
	modelMeetings = 12 // at once
	modelReplicas = 4  // AWS's limit
	modelPeople   = 8  // names of attendees
)

// TestMeetingModel does random things to meetings, attendees and pipelines and
// holds every answer against the model.
func TestMeetingModel(t *testing.T) {
	for range 2 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			s := apiserver.Start(t, apiserver.Config{Ahead: true})
			w := &calendar{
				t: t, c: newClients(s.AWS()), rand: rand.New(rand.NewPCG(seed, 0)),
				meetings: map[string]*meetingModel{}, pipelines: map[string]*pipelineModel{},
			}
			for step := range 600 {
				w.step()
				if t.Failed() {
					t.Fatalf("after %d steps", step+1)
				}
			}
			w.compare()
		})
	}
}

func (w *calendar) step() {
	steps := []func(){
		w.create, w.create, w.createWith, w.get, w.end,
		w.add, w.add, w.addMany, w.getAttendee, w.remove, w.change, w.changeAllBut,
		w.tag, w.untag,
		w.pipeline, w.pipeline, w.getPipeline, w.deletePipeline,
	}
	steps[w.rand.IntN(len(steps))]()
}

// want holds an error against the type that it should have; "" is none.
func (w *calendar) want(what string, err error, kind string) bool {
	w.t.Helper()
	got := ""
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		got = e.ErrorCode()
	} else if err != nil {
		got = err.Error()
	}
	if got != kind {
		w.t.Errorf("%s: got %q (%v), want %q", what, got, err, kind)
	}
	return got == "" && kind == ""
}

const absent = "NotFoundException"

func (w *calendar) one(of ...string) string { return of[w.rand.IntN(len(of))] }

// anyMeeting is one that lives, one that ended, or none at all.
func (w *calendar) anyMeeting() (id string, m *meetingModel) {
	switch {
	case len(w.meetings) > 0 && w.rand.IntN(12) > 0:
		id = w.one(slices.Sorted(maps.Keys(w.meetings))...)
	case len(w.ended) > 0 && w.rand.IntN(2) > 0:
		id = w.one(w.ended...)
	default:
		id = uuid.NewString()
	}
	return id, w.meetings[id]
}

func (w *calendar) anyPipeline() (id string, p *pipelineModel) {
	switch {
	case len(w.pipelines) > 0 && w.rand.IntN(8) > 0:
		id = w.one(slices.Sorted(maps.Keys(w.pipelines))...)
	case len(w.deleted) > 0 && w.rand.IntN(2) > 0:
		id = w.one(w.deleted...)
	default:
		id = uuid.NewString()
	}
	return id, w.pipelines[id]
}

// anyToken is a new one, or one that a living meeting has.
func (w *calendar) anyToken() (token, holder string) {
	for id, m := range w.meetings {
		if w.rand.IntN(4*len(w.meetings)) == 0 {
			return m.token, id
		}
	}
	return uuid.NewString(), ""
}

func (w *calendar) someone() string { return fmt.Sprint("person#", w.rand.IntN(modelPeople)) }

func (w *calendar) replicas(of string) int {
	n := 0
	for _, m := range w.meetings {
		if m.primary == of {
			n++
		}
	}
	return n
}

// request is a random one for a meeting, and the error that it should have.
func (w *calendar) request() (m *meetingModel, features *types.MeetingFeaturesConfiguration, holder, kind string) {
	m = &meetingModel{external: "meeting of " + w.someone(), tags: map[string]string{}, attendees: map[string]attendeeModel{}}
	m.token, holder = w.anyToken()
	if w.rand.IntN(4) == 0 {
		m.max = 1 + w.rand.IntN(4)
		features = &types.MeetingFeaturesConfiguration{Attendee: &types.AttendeeFeatures{MaxCount: aws.Int32(int32(m.max))}}
	}
	if w.rand.IntN(3) == 0 {
		m.tags["a"] = w.one("", "1", "two words")
	}
	if w.rand.IntN(3) == 0 {
		primary, p := w.anyMeeting()
		m.primary = primary
		switch {
		case p == nil:
			return m, features, "", "BadRequestException" // even if the token is somebody's
		case holder != "":
		case p.primary != "":
			return m, features, "", "BadRequestException"
		case w.replicas(primary) >= modelReplicas:
			return m, features, "", "LimitExceededException"
		}
	}
	return m, features, holder, ""
}

func (w *calendar) create() {
	if len(w.meetings) >= modelMeetings {
		w.end()
		return
	}
	m, features, holder, kind := w.request()
	in := &chimesdkmeetings.CreateMeetingInput{
		ClientRequestToken: aws.String(m.token), ExternalMeetingId: aws.String(m.external), MediaRegion: aws.String("eu-central-1"),
		MeetingFeatures: features, Tags: meetingTags(m.tags),
	}
	if m.primary != "" {
		in.PrimaryMeetingId = aws.String(m.primary)
	}
	out, err := w.c.meetings.CreateMeeting(w.t.Context(), in)
	if w.want("CreateMeeting", err, kind) {
		w.made(out.Meeting, m, holder)
	}
}

// made holds a meeting that was asked for against the model.
func (w *calendar) made(got *types.Meeting, m *meetingModel, holder string) (id string) {
	w.t.Helper()
	id = aws.ToString(got.MeetingId)
	if holder == "" {
		if w.meetings[id] != nil || slices.Contains(w.ended, id) {
			w.t.Errorf("got meeting %s again, want a new one", id)
		}
		w.meetings[id] = m
	} else if id != holder {
		w.t.Errorf("same token: got meeting %s, want %s", id, holder)
		return id
	}
	w.is(got, id, w.meetings[id])
	return id
}

func (w *calendar) is(got *types.Meeting, id string, m *meetingModel) {
	w.t.Helper()
	if aws.ToString(got.MeetingId) != id || aws.ToString(got.ExternalMeetingId) != m.external || aws.ToString(got.PrimaryMeetingId) != m.primary {
		w.t.Errorf("got meeting %s %s of %s, want %s %s of %s", aws.ToString(got.MeetingId), aws.ToString(got.ExternalMeetingId),
			aws.ToString(got.PrimaryMeetingId), id, m.external, m.primary)
	}
}

func (w *calendar) createWith() {
	if len(w.meetings) >= modelMeetings {
		w.end()
		return
	}
	m, features, holder, kind := w.request()
	in := &chimesdkmeetings.CreateMeetingWithAttendeesInput{
		ClientRequestToken: aws.String(m.token), ExternalMeetingId: aws.String(m.external), MediaRegion: aws.String("eu-central-1"),
		MeetingFeatures: features, Tags: meetingTags(m.tags),
	}
	if m.primary != "" {
		in.PrimaryMeetingId = aws.String(m.primary)
	}
	people := w.people()
	for _, name := range people {
		in.Attendees = append(in.Attendees, types.CreateAttendeeRequestItem{ExternalUserId: aws.String(name)})
	}
	out, err := w.c.meetings.CreateMeetingWithAttendees(w.t.Context(), in)
	if w.want("CreateMeetingWithAttendees", err, kind) {
		id := w.made(out.Meeting, m, holder)
		w.added(w.meetings[id], people, out.Attendees, out.Errors)
	}
}

// people are some names, of which some stand twice and some are not allowed.
func (w *calendar) people() (names []string) {
	for range 1 + w.rand.IntN(4) {
		name := w.someone()
		if w.rand.IntN(10) == 0 {
			name = "aws:" + name
		}
		names = append(names, name)
	}
	return names
}

// added holds what became of many attendees against the model.
func (w *calendar) added(m *meetingModel, names []string, got []types.Attendee, wrong []types.CreateAttendeeError) {
	w.t.Helper()
	for _, name := range names {
		_, known := m.attendees[name]
		full := !known && m.max > 0 && len(m.attendees) >= m.max
		code := ""
		switch {
		case strings.HasPrefix(name, "aws:"):
			code = "BadRequest"
		case full:
			code = "LimitExceeded"
		}
		if code != "" {
			if len(wrong) == 0 || aws.ToString(wrong[0].ErrorCode) != code || aws.ToString(wrong[0].ExternalUserId) != name {
				w.t.Errorf("got errors %+v, want first %s of %s", wrong, code, name)
				return
			}
			wrong = wrong[1:]
			continue
		}
		if len(got) == 0 {
			w.t.Errorf("got no more attendees, want %s", name)
			return
		}
		w.joined(m, name, &got[0], types.AttendeeCapabilities{Audio: both, Video: both, Content: both})
		got = got[1:]
	}
	if len(got)+len(wrong) > 0 {
		w.t.Errorf("got %v and %v besides, want nothing", got, wrong)
	}
}

// joined holds one attendee against the model, which learns of a new one.
func (w *calendar) joined(m *meetingModel, name string, got *types.Attendee, asked types.AttendeeCapabilities) {
	w.t.Helper()
	now := attendeeModel{aws.ToString(got.AttendeeId), aws.ToString(got.JoinToken), *got.Capabilities}
	if was, known := m.attendees[name]; known {
		if now != was || aws.ToString(got.ExternalUserId) != name {
			w.t.Errorf("got %s %+v, want %s as it was: %+v", aws.ToString(got.ExternalUserId), now, name, was)
		}
		return
	}
	if now.capabilities != asked {
		w.t.Errorf("%s: got %v, want %v", name, now.capabilities, asked)
	}
	m.attendees[name] = now
}

func (w *calendar) get() {
	id, m := w.anyMeeting()
	out, err := w.c.meetings.GetMeeting(w.t.Context(), &chimesdkmeetings.GetMeetingInput{MeetingId: aws.String(id)})
	if w.want("GetMeeting", err, unlessNil(m)) {
		w.is(out.Meeting, id, m)
	}
}

func unlessNil[T any](p *T) string {
	if p == nil {
		return absent
	}
	return ""
}

func (w *calendar) end() {
	id, m := w.anyMeeting()
	_, err := w.c.meetings.DeleteMeeting(w.t.Context(), &chimesdkmeetings.DeleteMeetingInput{MeetingId: aws.String(id)})
	if !w.want("DeleteMeeting", err, unlessNil(m)) {
		return
	}
	for other, o := range w.meetings {
		if other == id || o.primary == id {
			delete(w.meetings, other)
			w.ended = append(w.ended, other)
			w.stopped(o.live, o.capture)
		}
	}
}

// stopped takes pipelines out of the model and waits until they are gone.
func (w *calendar) stopped(ids ...string) {
	w.t.Helper()
	for _, id := range ids {
		p := w.pipelines[id]
		if p == nil {
			continue
		}
		delete(w.pipelines, id)
		w.deleted, w.spent = append(w.deleted, id), append(w.spent, p.token)
		if p.kind == "capture" && w.meetings[p.meeting] == nil {
			// Its stand-in for a worker does not see the meeting end.
			_, err := w.c.pipelines.DeleteMediaPipeline(w.t.Context(), &chimesdkmediapipelines.DeleteMediaPipelineInput{MediaPipelineId: aws.String(id)})
			w.want("DeleteMediaPipeline", err, "")
		}
		until(w.t, "pipeline "+id+" is gone", func() bool {
			_, err := w.c.pipelines.GetMediaPipeline(w.t.Context(), &chimesdkmediapipelines.GetMediaPipelineInput{MediaPipelineId: aws.String(id)})
			return err != nil
		})
	}
}

func (w *calendar) add() {
	id, m := w.anyMeeting()
	name, c := w.someone(), w.someCapabilities()
	kind := unlessNil(m)
	if m != nil && !allowed(c) {
		kind = "BadRequestException"
	} else if m != nil {
		if _, known := m.attendees[name]; !known && m.max > 0 && len(m.attendees) >= m.max {
			kind = "LimitExceededException"
		}
	}
	out, err := w.c.meetings.CreateAttendee(w.t.Context(), &chimesdkmeetings.CreateAttendeeInput{
		MeetingId: aws.String(id), ExternalUserId: aws.String(name), Capabilities: &c,
	})
	if w.want("CreateAttendee", err, kind) {
		w.joined(m, name, out.Attendee, c)
	}
}

func (w *calendar) someCapabilities() types.AttendeeCapabilities {
	one := func() types.MediaCapabilities {
		return types.MediaCapabilities(w.one(string(both), string(give), string(take), string(none)))
	}
	return types.AttendeeCapabilities{Audio: one(), Video: one(), Content: one()}
}

// allowed is the rule about content and video.
func allowed(c types.AttendeeCapabilities) bool {
	receives := func(c types.MediaCapabilities) bool { return c == both || c == take }
	return !receives(c.Content) || receives(c.Video)
}

func (w *calendar) addMany() {
	id, m := w.anyMeeting()
	people := w.people()
	in := &chimesdkmeetings.BatchCreateAttendeeInput{MeetingId: aws.String(id)}
	for _, name := range people {
		in.Attendees = append(in.Attendees, types.CreateAttendeeRequestItem{ExternalUserId: aws.String(name)})
	}
	out, err := w.c.meetings.BatchCreateAttendee(w.t.Context(), in)
	if w.want("BatchCreateAttendee", err, unlessNil(m)) {
		w.added(m, people, out.Attendees, out.Errors)
	}
}

// anyAttendee is one of the meeting's, or none.
func (w *calendar) anyAttendee(m *meetingModel) (name, id, kind string) {
	if m == nil || len(m.attendees) == 0 || w.rand.IntN(10) == 0 {
		return "", uuid.NewString(), absent
	}
	name = w.one(slices.Sorted(maps.Keys(m.attendees))...)
	return name, m.attendees[name].id, ""
}

func (w *calendar) getAttendee() {
	id, m := w.anyMeeting()
	name, attendee, kind := w.anyAttendee(m)
	out, err := w.c.meetings.GetAttendee(w.t.Context(), &chimesdkmeetings.GetAttendeeInput{MeetingId: aws.String(id), AttendeeId: aws.String(attendee)})
	if w.want("GetAttendee", err, kind) {
		w.joined(m, name, out.Attendee, types.AttendeeCapabilities{})
	}
}

func (w *calendar) remove() {
	id, m := w.anyMeeting()
	name, attendee, kind := w.anyAttendee(m)
	_, err := w.c.meetings.DeleteAttendee(w.t.Context(), &chimesdkmeetings.DeleteAttendeeInput{MeetingId: aws.String(id), AttendeeId: aws.String(attendee)})
	if w.want("DeleteAttendee", err, kind) {
		delete(m.attendees, name)
	}
}

func (w *calendar) change() {
	id, m := w.anyMeeting()
	name, attendee, kind := w.anyAttendee(m)
	c := w.someCapabilities()
	if kind == "" && !allowed(c) {
		kind = "BadRequestException"
	}
	out, err := w.c.meetings.UpdateAttendeeCapabilities(w.t.Context(), &chimesdkmeetings.UpdateAttendeeCapabilitiesInput{
		MeetingId: aws.String(id), AttendeeId: aws.String(attendee), Capabilities: &c,
	})
	if w.want("UpdateAttendeeCapabilities", err, kind) {
		a := m.attendees[name]
		a.capabilities = c
		m.attendees[name] = a
		w.joined(m, name, out.Attendee, c)
	}
}

func (w *calendar) changeAllBut() {
	id, m := w.anyMeeting()
	spared, attendee, _ := w.anyAttendee(m)
	c := w.someCapabilities()
	kind := unlessNil(m)
	if m != nil && !allowed(c) {
		kind = "BadRequestException"
	}
	_, err := w.c.meetings.BatchUpdateAttendeeCapabilitiesExcept(w.t.Context(), &chimesdkmeetings.BatchUpdateAttendeeCapabilitiesExceptInput{
		MeetingId: aws.String(id), ExcludedAttendeeIds: []types.AttendeeIdItem{{AttendeeId: aws.String(attendee)}}, Capabilities: &c,
	})
	if w.want("BatchUpdateAttendeeCapabilitiesExcept", err, kind) {
		for name, a := range m.attendees {
			if name != spared {
				a.capabilities = c
				m.attendees[name] = a
			}
		}
	}
}

func meetingARN(id string) string { return "arn:aws:chime:us-east-1:123456789012:meeting/" + id }

func (w *calendar) tag() {
	id, m := w.anyMeeting()
	tags := map[string]string{w.one("a", "b", "c"): w.one("", "x/y", "1 2")}
	_, err := w.c.meetings.TagResource(w.t.Context(), &chimesdkmeetings.TagResourceInput{ResourceARN: aws.String(meetingARN(id)), Tags: meetingTags(tags)})
	kind := ""
	if m == nil {
		kind = "ResourceNotFoundException"
	}
	if w.want("TagResource", err, kind) {
		maps.Copy(m.tags, tags)
	}
}

func (w *calendar) untag() {
	id, m := w.anyMeeting()
	key := w.one("a", "b", "c")
	_, err := w.c.meetings.UntagResource(w.t.Context(), &chimesdkmeetings.UntagResourceInput{ResourceARN: aws.String(meetingARN(id)), TagKeys: []string{key}})
	kind := ""
	if m == nil {
		kind = "ResourceNotFoundException"
	}
	if w.want("UntagResource", err, kind) {
		delete(m.tags, key)
	}
}

// pipeline asks for a live connector or a capture: of any meeting, with a
// token that is new, in use or spent.
func (w *calendar) pipeline() {
	id, m := w.anyMeeting()
	asked := &pipelineModel{token: uuid.NewString(), meeting: id, kind: w.one("live", "capture")}
	holder := ""
	switch w.rand.IntN(6) {
	case 0:
		if other, p := w.anyPipeline(); p != nil {
			asked.token, holder = p.token, other
		}
	case 1:
		if len(w.spent) > 0 {
			asked.token = w.one(w.spent...)
		}
	}
	kind := ""
	switch {
	case holder != "" && w.pipelines[holder].kind != asked.kind:
		kind = "BadRequestException"
	case holder != "":
	case m == nil:
		kind = "BadRequestException"
	case asked.kind == "live" && m.live != "", asked.kind == "capture" && m.capture != "":
		kind = "ResourceLimitExceededException"
	case slices.Contains(w.spent, asked.token):
		kind = "BadRequestException"
	}
	got, arn, err := w.askFor(asked)
	if !w.want("a pipeline", err, kind) {
		return
	}
	if holder != "" {
		if got != holder {
			w.t.Errorf("same token: got pipeline %s, want %s", got, holder)
		}
		return
	}
	asked.arn = arn
	w.pipelines[got] = asked
	if asked.kind == "live" {
		m.live = got
	} else {
		m.capture = got
	}
}

func (w *calendar) askFor(p *pipelineModel) (id, arn string, err error) {
	if p.kind == "live" {
		in := connectorInput(meetingARN(p.meeting))
		in.ClientRequestToken = aws.String(p.token)
		out, err := w.c.pipelines.CreateMediaLiveConnectorPipeline(w.t.Context(), in)
		if err != nil {
			return "", "", err
		}
		got := out.MediaLiveConnectorPipeline
		return aws.ToString(got.MediaPipelineId), aws.ToString(got.MediaPipelineArn), nil
	}
	in := fullCapture(meetingARN(p.meeting))
	in.ClientRequestToken = aws.String(p.token)
	out, err := w.c.pipelines.CreateMediaCapturePipeline(w.t.Context(), in)
	if err != nil {
		return "", "", err
	}
	got := out.MediaCapturePipeline
	return aws.ToString(got.MediaPipelineId), aws.ToString(got.MediaPipelineArn), nil
}

func (w *calendar) getPipeline() {
	id, p := w.anyPipeline()
	out, err := w.c.pipelines.GetMediaPipeline(w.t.Context(), &chimesdkmediapipelines.GetMediaPipelineInput{MediaPipelineId: aws.String(id)})
	if !w.want("GetMediaPipeline", err, unlessNil(p)) {
		return
	}
	live, capture := out.MediaPipeline.MediaLiveConnectorPipeline, out.MediaPipeline.MediaCapturePipeline
	if (live != nil) != (p.kind == "live") || (capture != nil) != (p.kind == "capture") {
		w.t.Errorf("got %+v, want a %s", out.MediaPipeline, p.kind)
		return
	}
	var status pipelinetypes.MediaPipelineStatus
	if live != nil {
		status = live.Status
	} else {
		status = capture.Status
	}
	if status != pipelinetypes.MediaPipelineStatusInitializing && status != pipelinetypes.MediaPipelineStatusInProgress {
		w.t.Errorf("got %s, want it to run", status)
	}
}

func (w *calendar) deletePipeline() {
	id, p := w.anyPipeline()
	_, err := w.c.pipelines.DeleteMediaPipeline(w.t.Context(), &chimesdkmediapipelines.DeleteMediaPipelineInput{MediaPipelineId: aws.String(id)})
	if !w.want("DeleteMediaPipeline", err, unlessNil(p)) {
		return
	}
	m := w.meetings[p.meeting]
	if m.live == id {
		m.live = ""
	} else {
		m.capture = ""
	}
	w.stopped(id)
}

// compare holds all that the server has against the model.
func (w *calendar) compare() {
	ctx := w.t.Context()
	for id, m := range w.meetings {
		out, err := w.c.meetings.GetMeeting(ctx, &chimesdkmeetings.GetMeetingInput{MeetingId: aws.String(id)})
		if w.want("GetMeeting", err, "") {
			w.is(out.Meeting, id, m)
		}
		if got := w.c.tagsOfMeeting(w.t, meetingARN(id)); !maps.Equal(got, m.tags) {
			w.t.Errorf("tags of %s: got %q, want %q", id, got, m.tags)
		}
		there := map[string]bool{}
		pager := chimesdkmeetings.NewListAttendeesPaginator(w.c.meetings, &chimesdkmeetings.ListAttendeesInput{MeetingId: aws.String(id), MaxResults: aws.Int32(2)})
		for pager.HasMorePages() {
			page, err := pager.NextPage(ctx)
			if err != nil {
				w.t.Fatal(err)
			}
			for _, a := range page.Attendees {
				name := aws.ToString(a.ExternalUserId)
				if _, known := m.attendees[name]; !known || there[name] {
					w.t.Errorf("meeting %s: got %s, want each of %v once", id, name, slices.Sorted(maps.Keys(m.attendees)))
				}
				there[name] = true
				w.joined(m, name, &a, types.AttendeeCapabilities{})
			}
		}
		if len(there) != len(m.attendees) {
			w.t.Errorf("meeting %s: got %d attendees, want %d", id, len(there), len(m.attendees))
		}
	}
	var got []string
	pager := chimesdkmediapipelines.NewListMediaPipelinesPaginator(w.c.pipelines, &chimesdkmediapipelines.ListMediaPipelinesInput{MaxResults: aws.Int32(3)})
	for pager.HasMorePages() {
		page, err := pager.NextPage(ctx)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, p := range page.MediaPipelines {
			id := aws.ToString(p.MediaPipelineId)
			got = append(got, id)
			if want := w.pipelines[id]; want != nil && aws.ToString(p.MediaPipelineArn) != want.arn {
				w.t.Errorf("got %s, want %s", aws.ToString(p.MediaPipelineArn), want.arn)
			}
		}
	}
	slices.Sort(got)
	if want := slices.Sorted(maps.Keys(w.pipelines)); !slices.Equal(got, want) {
		w.t.Errorf("got pipelines %q, want %q", got, want)
	}
}
