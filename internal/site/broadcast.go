package site

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmediapipelines"
	pipelinetypes "github.com/aws/aws-sdk-go-v2/service/chimesdkmediapipelines/types"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
	ivstypes "github.com/aws/aws-sdk-go-v2/service/ivs/types"
	"github.com/google/uuid"
)

const (
	ivsLive   = ivstypes.StreamStateStreamLive
	pollEvery = 300 * time.Millisecond
	stopLimit = 20 * time.Second // for a stop or an undo
	tellLimit = 10 * time.Minute // a failure is told for so long
)

// startLimit bounds a start, its undoing not counted.
func (s *Site) startLimit() time.Duration { return s.cfg.LiveTimeout + 10*time.Second }

var errStopping = errors.New("the server is stopping")

// untilStopped returns a context for a start: it ends after startLimit, and
// with Run.
func (s *Site) untilStopped(ctx context.Context) (_ context.Context, release func()) {
	ctx, stop := context.WithCancelCause(ctx)
	ctx, cancel := context.WithTimeout(ctx, s.startLimit())
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-s.stopped:
			stop(errStopping)
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		cancel()
		<-watched
		stop(nil)
	}
}

// startBroadcast puts the meeting on the air and waits until it is live. A
// meeting that streams already gets the answer it got.
func (s *Site) startBroadcast(ctx context.Context, meetingID, target string) (started, error) {
	if _, err := s.meetings.GetMeeting(ctx, &chimesdkmeetings.GetMeetingInput{MeetingId: aws.String(meetingID)}); err != nil {
		if isGone(err) {
			return started{}, noSuchMeeting(meetingID)
		}
		return started{}, explain("get meeting", err)
	}
	for waited := false; ; waited = true {
		b, revision, err := s.broadcasts.get(ctx, meetingID)
		if err != nil {
			return started{}, explain("find the stream", err)
		}
		if waited && b.Phase == phaseFailed { // the start that was waited for
			return started{}, &failure{status: b.Status, cause: b.Cause}
		}
		if revision != 0 && b.Phase != phaseFailed {
			answer, running, err := s.joinBroadcast(ctx, b, revision)
			if running || err != nil {
				return answer, err
			}
			continue
		}
		now := time.Now()
		b = broadcast{
			MeetingID: meetingID, Attempt: uuid.NewString(), Phase: phaseStarting,
			Asked: now, Deadline: now.Add(s.startLimit() + stopLimit), Channel: target == "",
		}
		if target != "" {
			b.SinkHash = sinkHash(target)
		}
		revision, err = s.broadcasts.put(ctx, b, revision)
		if errors.Is(err, errTaken) {
			continue // another start was faster: its answer is ours
		}
		if err != nil {
			return started{}, explain("remember the stream", err)
		}
		run := &start{s: s, b: b, revision: revision, target: target}
		return run.do(ctx)
	}
}

// joinBroadcast deals with a broadcast there is already: if it is on the air,
// its answer is given; if it is just being started or stopped, some time
// passes; if it ended without our doing, it is cleared up.
func (s *Site) joinBroadcast(ctx context.Context, b broadcast, revision uint64) (answer started, running bool, err error) {
	st, err := s.status(ctx, b)
	switch {
	case err != nil:
		return started{}, false, err
	case st.State == "live", st.State == "starting" && b.Phase == phaseStarted:
		return started{b.PipelineID, b.PlaybackURL}, true, nil
	case b.Phase != phaseStarted && !b.abandoned():
		if err := pause(ctx, pollEvery); err != nil {
			return started{}, false, explain("wait for the stream", err)
		}
		return started{}, false, nil
	}
	if err := s.clear(ctx, b); err != nil {
		return started{}, false, explain("clear up after the stream before", err)
	}
	if err := s.broadcasts.remove(ctx, b.MeetingID, revision); err != nil {
		return started{}, false, explain("forget the stream before", err)
	}
	return started{}, false, nil
}

// A start is one attempt to put a meeting on the air.
type start struct {
	s        *Site
	b        broadcast
	revision uint64 // of b's record
	target   string // RTMP(S) URL
}

// do runs the attempt's steps. If one fails, what the steps before it made is
// removed, and the record says why.
func (a *start) do(ctx context.Context) (started, error) {
	err := a.steps(ctx)
	if err == nil {
		return started{a.b.PipelineID, a.b.PlaybackURL}, nil
	}
	f := explain("start the stream", err)
	if errors.Is(context.Cause(ctx), errStopping) {
		// Nobody is there any more to undo it with. The stream may still go
		// live, and the next Sweep decides what becomes of it.
		return started{}, f
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	f.cause = a.hideKey(f.cause)
	if a.meetingEnded(ctx) {
		f.status, f.cause = http.StatusConflict, "the meeting has ended"
	}
	if err := a.s.clear(ctx, a.b); err != nil {
		// The record stays as it is; Sweep finishes the work.
		a.s.log.Warn("a start failed and cannot be undone yet", "meeting", a.b.MeetingID, "err", err)
		return started{}, f
	}
	failed := broadcast{MeetingID: a.b.MeetingID, Phase: phaseFailed, Asked: a.b.Asked, Cause: f.Error(), Status: f.status}
	if _, err := a.s.broadcasts.put(ctx, failed, a.revision); err != nil && !errors.Is(err, errTaken) {
		a.s.log.Warn("cannot remember why a start failed", "meeting", a.b.MeetingID, "err", err)
	}
	return started{}, f
}

func (a *start) meetingEnded(ctx context.Context) bool {
	_, err := a.s.meetings.GetMeeting(ctx, &chimesdkmeetings.GetMeetingInput{MeetingId: aws.String(a.b.MeetingID)})
	return isGone(err)
}

func (a *start) steps(ctx context.Context) error {
	meeting, err := a.s.meetings.GetMeeting(ctx, &chimesdkmeetings.GetMeetingInput{MeetingId: aws.String(a.b.MeetingID)})
	if err != nil {
		return explain("get meeting", err)
	}
	if a.b.Channel {
		if err := a.createChannel(ctx); err != nil {
			return err
		}
	}
	if err := a.createPipeline(ctx, aws.ToString(meeting.Meeting.MeetingArn)); err != nil {
		return err
	}
	if err := a.awaitLive(ctx); err != nil {
		return err
	}
	a.b.Phase = phaseStarted
	return a.remember(ctx)
}

// createChannel makes the meeting's channel, whose ingest becomes the target.
func (a *start) createChannel(ctx context.Context) error {
	out, err := a.s.channels.CreateChannel(ctx, &ivs.CreateChannelInput{
		Name:        aws.String(a.b.channelName()),
		LatencyMode: ivstypes.ChannelLatencyMode(a.s.cfg.LatencyMode),
	})
	if err != nil {
		return explain("create channel", err)
	}
	a.b.ChannelARN, a.b.PlaybackURL = aws.ToString(out.Channel.Arn), aws.ToString(out.Channel.PlaybackUrl)
	a.target = "rtmps://" + aws.ToString(out.Channel.IngestEndpoint) + ":443/app/" + aws.ToString(out.StreamKey.Value)
	a.b.SinkHash = sinkHash(a.target)
	return a.remember(ctx)
}

// createPipeline makes the live connector.
func (a *start) createPipeline(ctx context.Context, meetingARN string) error {
	out, err := a.s.pipelines.CreateMediaLiveConnectorPipeline(ctx, &chimesdkmediapipelines.CreateMediaLiveConnectorPipelineInput{
		ClientRequestToken: aws.String(a.b.Attempt),
		Sources: []pipelinetypes.LiveConnectorSourceConfiguration{{
			SourceType: pipelinetypes.LiveConnectorSourceTypeChimeSdkMeeting,
			ChimeSdkMeetingLiveConnectorConfiguration: &pipelinetypes.ChimeSdkMeetingLiveConnectorConfiguration{
				Arn:     aws.String(meetingARN),
				MuxType: pipelinetypes.LiveConnectorMuxTypeAudioWithCompositedVideo,
				CompositedVideo: &pipelinetypes.CompositedVideoArtifactsConfiguration{
					Layout:     pipelinetypes.LayoutOptionGridView,
					Resolution: pipelinetypes.ResolutionOption(a.s.cfg.Resolution),
					GridViewConfiguration: &pipelinetypes.GridViewConfiguration{
						ContentShareLayout: pipelinetypes.ContentShareLayoutOptionVertical,
					},
				},
			},
		}},
		Sinks: []pipelinetypes.LiveConnectorSinkConfiguration{{
			SinkType: pipelinetypes.LiveConnectorSinkTypeRtmp,
			RTMPConfiguration: &pipelinetypes.LiveConnectorRTMPConfiguration{
				Url:             aws.String(a.target),
				AudioChannels:   pipelinetypes.AudioChannelsOptionStereo,
				AudioSampleRate: aws.String("48000"),
			},
		}},
	})
	if err != nil {
		f := explain("create media pipeline", err)
		if _, limit := errors.AsType[*pipelinetypes.ResourceLimitExceededException](err); limit {
			f.status = http.StatusConflict // most likely somebody else streams this meeting
		}
		return f
	}
	a.b.PipelineID = aws.ToString(out.MediaLiveConnectorPipeline.MediaPipelineId)
	return a.remember(ctx)
}

// awaitLive waits until viewers can see the stream.
func (a *start) awaitLive(ctx context.Context) error {
	const step = "wait for the stream to be live"
	for deadline := time.Now().Add(a.s.cfg.LiveTimeout); ; {
		st, err := a.s.askServices(ctx, a.b)
		switch {
		case err != nil:
			return err
		case st.State == "live":
			a.b.Live = time.Now()
			return nil
		case st.State == "failed":
			return a.late(step, st.Cause)
		case st.State == "offline":
			return &failure{http.StatusConflict, step, "the stream was stopped meanwhile"}
		case time.Now().After(deadline):
			return a.late(step, fmt.Sprintf("not within %v: %s", a.s.cfg.LiveTimeout, st.Cause))
		}
		if err := pause(ctx, pollEvery); err != nil {
			return explain(step, err)
		}
	}
}

// late is the failure of a stream that does not come: our fault if it goes to
// our channel, the target's if it goes elsewhere.
func (a *start) late(step, cause string) *failure {
	if a.b.Channel {
		return &failure{http.StatusServiceUnavailable, step, cause}
	}
	return &failure{http.StatusBadGateway, step, cause}
}

// remember writes the attempt's record. It fails if the meeting was ended or
// the stream stopped meanwhile.
func (a *start) remember(ctx context.Context) error {
	revision, err := a.s.broadcasts.put(ctx, a.b, a.revision)
	if errors.Is(err, errTaken) {
		return &failure{http.StatusConflict, "start the stream", err.Error()}
	}
	if err != nil {
		return explain("remember the stream", err)
	}
	a.revision = revision
	return nil
}

// hideKey takes the stream key out of a text that a service wrote.
func (a *start) hideKey(text string) string {
	key := a.target[strings.LastIndex(a.target, "/")+1:]
	if key == "" {
		return text
	}
	return strings.ReplaceAll(text, key, "(stream key)")
}
