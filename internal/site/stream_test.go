package site_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmediapipelines"
	pipelinetypes "github.com/aws/aws-sdk-go-v2/service/chimesdkmediapipelines/types"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
	"github.com/google/uuid"

	"belfry.live/belfry/internal/site"
	"belfry.live/belfry/internal/store"
	"belfry.live/belfry/test/apiserver"
)

type started struct{ MediaPipelineID, PlaybackURL string }

func (w *world) start(t *testing.T, meetingID string) started {
	t.Helper()
	var s started
	call(t, http.MethodPost, w.url+"/api/stream", map[string]string{"meetingId": meetingID}, http.StatusOK, &s)
	return s
}

func (w *world) stop(t *testing.T, pipelineID string) {
	t.Helper()
	call(t, http.MethodPost, w.url+"/api/stream", map[string]string{"streamAction": "delete", "mediaPipelineId": pipelineID}, http.StatusOK, nil)
}

func TestStream(t *testing.T) {
	w := newWorld(t, site.Config{Resolution: "FHD"})
	id := w.join(t).Meeting.MeetingId
	if st := w.status(t, id); st != (streamStatus{State: "offline"}) {
		t.Errorf("before: got %+v, want offline", st)
	}

	// Several who press the button at once get one stream.
	answers := make([]started, 4)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() { answers[i] = w.start(t, id) })
	}
	all.Wait()
	for _, a := range answers {
		if a != answers[0] || uuid.Validate(a.MediaPipelineID) != nil || !strings.HasSuffix(a.PlaybackURL, ".m3u8") {
			t.Fatalf("got %+v, want the same pipeline and playback URL for all", answers)
		}
	}
	if again := w.start(t, id); again != answers[0] {
		t.Errorf("again: got %+v, want %+v", again, answers[0])
	}

	channels, err := w.channels.ListChannels(t.Context(), &ivs.ListChannelsInput{})
	if err != nil || len(channels.Channels) != 1 || channels.Channels[0].LatencyMode != "NORMAL" {
		t.Fatalf("got channels %v (%v), want one of latency mode NORMAL", channels, err)
	}
	stream, err := w.channels.GetStream(t.Context(), &ivs.GetStreamInput{ChannelArn: channels.Channels[0].Arn})
	if err != nil || aws.ToString(stream.Stream.PlaybackUrl) != answers[0].PlaybackURL {
		t.Errorf("got %v (%v), want the stream to be live when the start is answered", stream, err)
	}
	p, err := w.pipelines.GetMediaPipeline(t.Context(), &chimesdkmediapipelines.GetMediaPipelineInput{MediaPipelineId: aws.String(answers[0].MediaPipelineID)})
	if err != nil {
		t.Fatal(err)
	}
	lc := p.MediaPipeline.MediaLiveConnectorPipeline
	if v := lc.Sources[0].ChimeSdkMeetingLiveConnectorConfiguration; v.CompositedVideo.Resolution != "FHD" || v.MuxType != "AudioWithCompositedVideo" {
		t.Errorf("got source %+v, want composited video in FHD", v)
	}
	if v := lc.Sinks[0].RTMPConfiguration; v.AudioChannels != "Stereo" || aws.ToString(v.AudioSampleRate) != "48000" ||
		!strings.HasPrefix(aws.ToString(v.Url), "rtmps://ingest.example.com:443/app/sk_") {
		t.Error("got another sink, want stereo at 48 kHz to the channel's ingest")
	}

	st := w.status(t, id)
	if st.State != "live" || st.MediaPipelineID != answers[0].MediaPipelineID || st.PlaybackURL != answers[0].PlaybackURL ||
		time.Since(st.StartedAt) > time.Minute || time.Since(st.StartedAt) < 0 {
		t.Errorf("got %+v, want it live since a moment", st)
	}

	stopped := time.Now()
	w.stop(t, answers[0].MediaPipelineID)
	if took := time.Since(stopped); took > 4*time.Second {
		t.Errorf("the stop took %v, want 4 s at most", took)
	}
	w.nothingLeft(t)
	if st := w.status(t, id); st != (streamStatus{State: "offline"}) {
		t.Errorf("after: got %+v, want offline", st)
	}
	says := refused(t, http.MethodPost, w.url+"/api/stream", map[string]string{"streamAction": "delete", "mediaPipelineId": answers[0].MediaPipelineID}, http.StatusNotFound)
	if !strings.Contains(says, answers[0].MediaPipelineID) {
		t.Errorf("stopped again: got %q, want it to name the pipeline", says)
	}
}

func TestStreamEndsWithTheMeeting(t *testing.T) {
	w := newWorld(t, site.Config{})
	id := w.join(t).Meeting.MeetingId
	w.start(t, id)
	call(t, http.MethodPost, w.url+"/api/end", map[string]string{"meetingId": id}, http.StatusOK, nil)
	w.nothingLeft(t)
	if st := w.status(t, id); st.State != "offline" {
		t.Errorf("got %+v, want offline", st)
	}

	// Ended by somebody else, it is swept up.
	id = w.join(t).Meeting.MeetingId
	w.start(t, id)
	if _, err := w.meetings.DeleteMeeting(t.Context(), &chimesdkmeetings.DeleteMeetingInput{MeetingId: aws.String(id)}); err != nil {
		t.Fatal(err)
	}
	until(t, "the stream is swept up", func() bool {
		if err := w.site.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		channels, err := w.channels.ListChannels(t.Context(), &ivs.ListChannelsInput{})
		return err == nil && len(channels.Channels) == 0
	})
	w.nothingLeft(t)
	if st := w.status(t, id); st.State != "offline" {
		t.Errorf("got %+v, want offline", st)
	}
}

// A stream whose pipeline somebody else deleted is not live, and can be
// started again.
func TestStreamStoppedElsewhere(t *testing.T) {
	w := newWorld(t, site.Config{})
	id := w.join(t).Meeting.MeetingId
	first := w.start(t, id)
	_, err := w.pipelines.DeleteMediaPipeline(t.Context(), &chimesdkmediapipelines.DeleteMediaPipelineInput{MediaPipelineId: aws.String(first.MediaPipelineID)})
	if err != nil {
		t.Fatal(err)
	}
	if st := w.status(t, id); st.State != "offline" {
		t.Errorf("got %+v, want offline", st)
	}
	second := w.start(t, id)
	if second.MediaPipelineID == first.MediaPipelineID {
		t.Error("got the old pipeline, want a new one")
	}
	w.stop(t, strings.ToUpper(second.MediaPipelineID))
	w.nothingLeft(t)
}

// A stream may go elsewhere; then there is no channel and nothing to watch
// here. Elsewhere is a channel of somebody else's.
func TestStreamTarget(t *testing.T) {
	w := newWorld(t, site.Config{})
	id := w.join(t).Meeting.MeetingId
	theirs, err := w.channels.CreateChannel(t.Context(), &ivs.CreateChannelInput{Name: aws.String("theirs")})
	if err != nil {
		t.Fatal(err)
	}
	var s started
	call(t, http.MethodPost, w.url+"/api/stream", map[string]string{
		"meetingId": id, "streamTarget": "rtmps://" + w.server.IngestAddr + "/app/" + aws.ToString(theirs.StreamKey.Value),
	}, http.StatusOK, &s)
	if uuid.Validate(s.MediaPipelineID) != nil || s.PlaybackURL != "" {
		t.Errorf("got %+v, want a pipeline and no playback URL", s)
	}
	if st := w.status(t, id); st.State != "live" || st.PlaybackURL != "" || st.StartedAt.IsZero() {
		t.Errorf("got %+v, want it live without a playback URL", st)
	}
	until(t, "the stream arrives", func() bool {
		_, err := w.channels.GetStream(t.Context(), &ivs.GetStreamInput{ChannelArn: theirs.Channel.Arn})
		return err == nil
	})
	w.stop(t, s.MediaPipelineID)
	until(t, "their channel is offline", func() bool {
		_, err := w.channels.DeleteChannel(t.Context(), &ivs.DeleteChannelInput{Arn: theirs.Channel.Arn})
		return err == nil
	})
	w.nothingLeft(t)
}

func TestUnreachableTarget(t *testing.T) {
	w := newWorld(t, site.Config{LiveTimeout: time.Second})
	id := w.join(t).Meeting.MeetingId
	says := refused(t, http.MethodPost, w.url+"/api/stream", map[string]string{
		"meetingId": id, "streamTarget": "rtmp://127.0.0.1:1/live/very-secret-key",
	}, http.StatusBadGateway)
	if !strings.Contains(says, "wait for the stream to be live: not within 1s: the target does not take the stream") || strings.Contains(says, "very-secret-key") {
		t.Errorf("got %q, want the step, the cause and no key", says)
	}
	w.nothingLeft(t)
	if st := w.status(t, id); st.State != "failed" || st.Cause != says {
		t.Errorf("got %+v, want failed, and why", st)
	}
	_, w.url = w.newSite(t, site.Config{})
	w.stop(t, w.start(t, id).MediaPipelineID) // a failure does not last
	w.nothingLeft(t)

	for _, target := range []string{"https://example.com/app/very-secret-key", "rtmp:///app/very-secret-key", "rtmp://example.com", "very-secret-key\x7f", "rtmp://h/a/" + strings.Repeat("x", 1024)} {
		says := refused(t, http.MethodPost, w.url+"/api/stream", map[string]string{"meetingId": id, "streamTarget": target}, http.StatusBadRequest)
		if !strings.Contains(says, "streamTarget must be") || strings.Contains(says, "very-secret-key") {
			t.Errorf("got %q, want it to name the member and no key", says)
		}
	}
}

// A channel that never gets a picture is our fault, and does not stay.
func TestStreamDoesNotComeLive(t *testing.T) {
	server := apiserver.Start(t, apiserver.Config{IngestEndpoint: "127.0.0.1"}) // nothing listens on its port 443
	w := newWorldOver(t, server, site.Config{LiveTimeout: time.Second})
	id := w.join(t).Meeting.MeetingId
	answers := make([]string, 2) // the second waits for the first
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() {
			answers[i] = refused(t, http.MethodPost, w.url+"/api/stream", map[string]string{"meetingId": id}, http.StatusServiceUnavailable)
		})
	}
	all.Wait()
	for _, says := range answers {
		if !strings.Contains(says, "wait for the stream to be live: not within 1s: no picture reaches the channel") {
			t.Errorf("got %q, want the step and the cause", says)
		}
	}
	w.nothingLeft(t)
}

func TestStreamRefusals(t *testing.T) {
	w := newWorld(t, site.Config{})
	nowhere := uuid.NewString()
	if says := refused(t, http.MethodPost, w.url+"/api/stream", map[string]string{"meetingId": nowhere}, http.StatusNotFound); says != "there is no meeting "+nowhere {
		t.Errorf("got %q, want it to name the meeting", says)
	}
	for _, body := range []map[string]string{
		{},
		{"meetingId": "x"},
		{"meetingId": nowhere, "streamAction": "pause"},
		{"streamAction": "delete"},
		{"streamAction": "delete", "mediaPipelineId": "x"},
	} {
		refused(t, http.MethodPost, w.url+"/api/stream", body, http.StatusBadRequest)
	}
	refused(t, http.MethodGet, w.url+"/api/stream", nil, http.StatusBadRequest)
	refused(t, http.MethodPost, w.url+"/api/stream", map[string]string{"streamAction": "delete", "mediaPipelineId": nowhere}, http.StatusNotFound)
}

// A meeting that somebody else streams keeps their pipeline and gets none of
// ours; their pipeline can be stopped from here.
func TestMeetingOfAnotherStreamer(t *testing.T) {
	w := newWorld(t, site.Config{})
	id := w.join(t).Meeting.MeetingId
	theirs := w.connector(t, "arn:aws:chime::123456789012:meeting:"+id, "rtmp://127.0.0.1:1/live/key")
	says := refused(t, http.MethodPost, w.url+"/api/stream", map[string]string{"meetingId": id}, http.StatusConflict)
	if !strings.Contains(says, "create media pipeline: ResourceLimitExceededException: ") {
		t.Errorf("got %q, want the step and the cause", says)
	}
	pipelines, err := w.pipelines.ListMediaPipelines(t.Context(), &chimesdkmediapipelines.ListMediaPipelinesInput{})
	if err != nil || len(pipelines.MediaPipelines) != 1 || aws.ToString(pipelines.MediaPipelines[0].MediaPipelineId) != theirs {
		t.Errorf("got %v (%v), want their pipeline alone", pipelines, err)
	}
	w.stop(t, theirs)
	w.nothingLeft(t)
}

func (w *world) connector(t *testing.T, meetingARN, sink string) (id string) {
	t.Helper()
	out, err := w.pipelines.CreateMediaLiveConnectorPipeline(t.Context(), &chimesdkmediapipelines.CreateMediaLiveConnectorPipelineInput{
		Sources: []pipelinetypes.LiveConnectorSourceConfiguration{{
			SourceType: pipelinetypes.LiveConnectorSourceTypeChimeSdkMeeting,
			ChimeSdkMeetingLiveConnectorConfiguration: &pipelinetypes.ChimeSdkMeetingLiveConnectorConfiguration{
				Arn: aws.String(meetingARN), MuxType: pipelinetypes.LiveConnectorMuxTypeAudioWithActiveSpeakerVideo,
			},
		}},
		Sinks: []pipelinetypes.LiveConnectorSinkConfiguration{{
			SinkType:          pipelinetypes.LiveConnectorSinkTypeRtmp,
			RTMPConfiguration: &pipelinetypes.LiveConnectorRTMPConfiguration{Url: aws.String(sink)},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return aws.ToString(out.MediaLiveConnectorPipeline.MediaPipelineId)
}

// Whatever call fails, and however, nothing half-done stays behind.
func TestEveryStepCanFail(t *testing.T) {
	for _, v := range []struct {
		call    string // path
		answers bool   // it gets through, but its answer does not
		says    string
	}{
		{"/CreateChannel", false, "create channel: "},
		{"/CreateChannel", true, "create channel: "},
		{"/sdk-media-live-connector-pipelines", false, "create media pipeline: "},
		{"/sdk-media-live-connector-pipelines", true, "create media pipeline: "},
		{"/GetStream", false, "get stream: "},
	} {
		name := v.call
		if v.answers {
			name += " unanswered"
		}
		t.Run(name, func(t *testing.T) {
			f := &failing{answers: v.answers, match: func(r *http.Request) bool { return r.URL.Path == v.call }}
			w := newWorld(t, site.Config{}, f.install)
			id := w.join(t).Meeting.MeetingId
			f.on.Store(true)
			says := refused(t, http.MethodPost, w.url+"/api/stream", map[string]string{"meetingId": id}, http.StatusServiceUnavailable)
			if !strings.HasPrefix(says, v.says) {
				t.Errorf("got %q, want it to begin with %q", says, v.says)
			}
			if st := w.status(t, id); st.State != "failed" || st.Cause != says {
				t.Errorf("got %+v, want failed, and why", st)
			}
			w.nothingLeft(t)
		})
	}
}

// A meeting that ends while its stream is being started leaves nothing.
func TestMeetingEndsDuringTheStart(t *testing.T) {
	for _, at := range []string{"/CreateChannel", "/sdk-media-live-connector-pipelines", "/GetStream"} {
		for _, by := range []string{"the site", "somebody else"} {
			t.Run(at+" by "+by, func(t *testing.T) {
				var w *world
				var id string
				var once sync.Once
				f := &failing{match: func(r *http.Request) bool {
					if r.URL.Path == at {
						once.Do(func() {
							if by == "the site" {
								call(t, http.MethodPost, w.url+"/api/end", map[string]string{"meetingId": id}, http.StatusOK, nil)
								return
							}
							_, err := w.meetings.DeleteMeeting(t.Context(), &chimesdkmeetings.DeleteMeetingInput{MeetingId: aws.String(id)})
							if err != nil {
								t.Error(err)
							}
						})
					}
					return false
				}}
				w = newWorld(t, site.Config{}, f.install)
				id = w.join(t).Meeting.MeetingId
				f.on.Store(true)
				says := refused(t, http.MethodPost, w.url+"/api/stream", map[string]string{"meetingId": id}, http.StatusConflict)
				if !strings.HasSuffix(says, "the meeting has ended") {
					t.Errorf("got %q, want the cause", says)
				}
				w.nothingLeft(t)
			})
		}
	}
}

// A start whose process was killed is told as failed, and what it made is
// found and removed, even what its record does not know of yet.
func TestInterruptedStart(t *testing.T) {
	w := newWorld(t, site.Config{})
	id, attempt := w.join(t).Meeting.MeetingId, uuid.NewString()
	if _, err := w.channels.CreateChannel(t.Context(), &ivs.CreateChannelInput{Name: aws.String("meeting-" + id + "-" + attempt)}); err != nil {
		t.Fatal(err)
	}
	table, err := w.server.Tables.Table(t.Context(), "site-broadcasts", store.TableConfig{})
	if err != nil {
		t.Fatal(err)
	}
	record, err := json.Marshal(map[string]any{
		"meetingId": id, "attempt": attempt, "phase": "starting", "channel": true,
		"asked": time.Now().Add(-time.Minute), "deadline": time.Now().Add(-time.Second),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := table.Create(t.Context(), id, record); err != nil {
		t.Fatal(err)
	}
	if st := w.status(t, id); st.State != "failed" || st.Cause != "the start was interrupted" {
		t.Errorf("got %+v, want it interrupted", st)
	}
	if err := w.site.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.nothingLeft(t)
	if st := w.status(t, id); st.State != "failed" || st.Cause != "the start was interrupted" {
		t.Errorf("swept: got %+v, want it interrupted", st)
	}
	w.stop(t, w.start(t, id).MediaPipelineID)
	w.nothingLeft(t)
}

// A server that stops leaves the stream that is being started to itself; the
// next one finds it live and takes it on.
func TestStartSurvivesTheServer(t *testing.T) {
	running, stop := context.WithCancel(t.Context())
	f := &failing{match: func(r *http.Request) bool {
		if r.URL.Path == "/GetStream" {
			stop()
		}
		return false
	}}
	w := newWorld(t, site.Config{}, f.install)
	ended := make(chan error, 1)
	go func() { ended <- w.site.Run(running) }()
	id := w.join(t).Meeting.MeetingId
	f.on.Store(true)
	asked := time.Now()
	refused(t, http.MethodPost, w.url+"/api/stream", map[string]string{"meetingId": id}, http.StatusServiceUnavailable)
	if took := time.Since(asked); took > 3*time.Second {
		t.Errorf("the start gave up after %v, want it at once", took)
	}
	if err := <-ended; err != nil {
		t.Errorf("Run: got %v, want nil", err)
	}

	var next *site.Site
	next, w.url = w.newSite(t, site.Config{})
	var st streamStatus
	until(t, "the stream is live", func() bool {
		st = w.status(t, id)
		return st.State != "starting"
	})
	if st.State != "live" || st.PlaybackURL == "" || st.StartedAt.IsZero() {
		t.Errorf("got %+v, want it live", st)
	}
	if s := w.start(t, id); s != (started{st.MediaPipelineID, st.PlaybackURL}) {
		t.Errorf("started again: got %+v, want what is there already", s)
	}

	// When the old start's time is up, it is taken on, not swept up.
	table, err := w.server.Tables.Table(t.Context(), "site-broadcasts", store.TableConfig{})
	if err != nil {
		t.Fatal(err)
	}
	old, err := table.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	var record map[string]any
	if err := json.Unmarshal(old.Value, &record); err != nil || record["phase"] != "starting" {
		t.Fatalf("got record %s (%v), want it in phase starting", old.Value, err)
	}
	record["deadline"] = time.Now().Add(-time.Second)
	value, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := table.Update(t.Context(), id, value, old.Revision); err != nil {
		t.Fatal(err)
	}
	if err := next.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again := w.status(t, id); again.State != "live" || again.MediaPipelineID != st.MediaPipelineID {
		t.Errorf("swept: got %+v, want %+v", again, st)
	}
	w.stop(t, st.MediaPipelineID)
	w.nothingLeft(t)
}
