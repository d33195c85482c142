package site

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmediapipelines"
	pipelinetypes "github.com/aws/aws-sdk-go-v2/service/chimesdkmediapipelines/types"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
)

type streamRequest struct {
	MeetingID       string `json:"meetingId"`
	StreamTarget    string `json:"streamTarget"` // RTMP(S) URL; "": a channel of our own
	StreamAction    string `json:"streamAction"` // "create" (or ""), "delete"
	MediaPipelineID string `json:"mediaPipelineId"`
}

// started is the answer to a start.
type started struct {
	MediaPipelineID string `json:"mediaPipelineId"`
	PlaybackURL     string `json:"playbackUrl,omitempty"` // absent if the stream goes elsewhere
}

// stream starts or stops a meeting's stream.
func (s *Site) stream(r *http.Request) (any, error) {
	var in streamRequest
	if err := readBody(r, &in); err != nil {
		return nil, err
	}
	switch in.StreamAction {
	case "", "create":
		if err := checkID("meetingId", in.MeetingID); err != nil {
			return nil, err
		}
		if err := checkTarget(in.StreamTarget); err != nil {
			return nil, err
		}
		// A page that is reloaded drops its request; the start goes on.
		ctx, cancel := s.untilStopped(context.WithoutCancel(r.Context()))
		defer cancel()
		return s.startBroadcast(ctx, in.MeetingID, in.StreamTarget)
	case "delete":
		if err := checkID("mediaPipelineId", in.MediaPipelineID); err != nil {
			return nil, err
		}
		return s.stopPipeline(r.Context(), in.MediaPipelineID)
	}
	return nil, &failure{status: http.StatusBadRequest, cause: fmt.Sprintf("streamAction must be create or delete, got %.100q", in.StreamAction)}
}

// checkTarget wants an RTMP(S) URL or nothing. The error does not show it: its
// last part is a secret.
func checkTarget(target string) error {
	if target == "" {
		return nil
	}
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "rtmp" && u.Scheme != "rtmps" || u.Hostname() == "" || strings.Trim(u.Path, "/") == "" || len(target) > 1024 {
		return &failure{status: http.StatusBadRequest, cause: "streamTarget must be a URL like rtmps://host/app/key of at most 1024 characters"}
	}
	return nil
}

func (s *Site) stopPipeline(ctx context.Context, pipelineID string) (any, error) {
	all, err := s.broadcasts.all(ctx)
	if err != nil {
		return nil, explain("find the stream", err)
	}
	for _, b := range all {
		if strings.EqualFold(b.PipelineID, pipelineID) {
			if err := s.stopBroadcast(ctx, b.MeetingID); err != nil {
				return nil, explain("stop the stream", err)
			}
			return started{MediaPipelineID: pipelineID}, nil
		}
	}
	// None of ours; whoever made it may still want it stopped from here.
	_, err = s.pipelines.DeleteMediaPipeline(ctx, &chimesdkmediapipelines.DeleteMediaPipelineInput{MediaPipelineId: aws.String(pipelineID)})
	switch {
	case isGone(err):
		return nil, &failure{status: http.StatusNotFound, cause: "there is no media pipeline " + pipelineID}
	case err != nil:
		return nil, explain("delete media pipeline", err)
	}
	return started{MediaPipelineID: pipelineID}, nil
}

// streamStatus is how a meeting's stream is, as far as the services know.
type streamStatus struct {
	State           string     `json:"state"` // offline, starting, live, failed
	MediaPipelineID string     `json:"mediaPipelineId,omitempty"`
	PlaybackURL     string     `json:"playbackUrl,omitempty"`
	StartedAt       *time.Time `json:"startedAt,omitempty"`
	Cause           string     `json:"cause,omitempty"` // why it failed, or is not live yet
}

// streamState tells anybody in the meeting how its stream is.
func (s *Site) streamState(r *http.Request) (any, error) {
	id := r.URL.Query().Get("meetingId")
	if err := checkID("meetingId", id); err != nil {
		return nil, err
	}
	b, revision, err := s.broadcasts.get(r.Context(), id)
	if err != nil {
		return nil, explain("find the stream", err)
	}
	if revision == 0 {
		return streamStatus{State: "offline"}, nil
	}
	return s.status(r.Context(), b)
}

// status says how the broadcast is: live only if the services say so, and
// then even if whoever started it did not live to see it.
func (s *Site) status(ctx context.Context, b broadcast) (streamStatus, error) {
	switch b.Phase {
	case phaseFailed:
		return streamStatus{State: "failed", Cause: b.Cause}, nil
	case phaseStopping:
		return streamStatus{State: "offline"}, nil
	case phaseStarted:
		return s.askServices(ctx, b)
	}
	if b.PipelineID != "" {
		if st, err := s.askServices(ctx, b); err != nil || st.State == "live" {
			return st, err
		}
	}
	if b.abandoned() {
		return streamStatus{State: "failed", Cause: "the start was interrupted"}, nil
	}
	return streamStatus{State: "starting", MediaPipelineID: b.PipelineID, PlaybackURL: b.PlaybackURL}, nil
}

// askServices asks how a broadcast is that has its pipeline.
func (s *Site) askServices(ctx context.Context, b broadcast) (streamStatus, error) {
	st := streamStatus{MediaPipelineID: b.PipelineID, PlaybackURL: b.PlaybackURL}
	pipeline, err := s.pipelineStatus(ctx, b.PipelineID)
	if err != nil {
		return streamStatus{}, explain("get media pipeline", err)
	}
	switch pipeline {
	case pipelinetypes.MediaPipelineStatusFailed:
		st.State, st.Cause = "failed", "the live connector has failed"
		return st, nil
	case pipelinetypes.MediaPipelineStatusStopping, pipelinetypes.MediaPipelineStatusStopped:
		return streamStatus{State: "offline"}, nil
	}
	if !b.Channel {
		st.State = "live"
		if !b.Live.IsZero() {
			st.StartedAt = &b.Live
		}
		if pipeline != pipelinetypes.MediaPipelineStatusInProgress {
			st.State, st.StartedAt, st.Cause = "starting", nil, "the target does not take the stream; the live connector tries again"
		}
		return st, nil
	}
	since, live, err := s.channelLive(ctx, b.ChannelARN)
	switch {
	case isGone(err):
		return streamStatus{State: "offline"}, nil
	case err != nil:
		return streamStatus{}, explain("get stream", err)
	case !live:
		st.State, st.Cause = "starting", "no picture reaches the channel; the live connector tries again"
	default:
		st.State, st.StartedAt = "live", &since
	}
	return st, nil
}

// pipelineStatus returns the status of a media pipeline, Stopped for one that
// is no more.
func (s *Site) pipelineStatus(ctx context.Context, id string) (pipelinetypes.MediaPipelineStatus, error) {
	out, err := s.pipelines.GetMediaPipeline(ctx, &chimesdkmediapipelines.GetMediaPipelineInput{MediaPipelineId: aws.String(id)})
	if isGone(err) {
		return pipelinetypes.MediaPipelineStatusStopped, nil
	}
	if err != nil {
		return "", err
	}
	if out.MediaPipeline == nil || out.MediaPipeline.MediaLiveConnectorPipeline == nil {
		return "", errors.New("the media pipeline is no live connector")
	}
	return out.MediaPipeline.MediaLiveConnectorPipeline.Status, nil
}

// channelLive says since when the channel is live, if it is.
func (s *Site) channelLive(ctx context.Context, arn string) (since time.Time, live bool, err error) {
	out, err := s.channels.GetStream(ctx, &ivs.GetStreamInput{ChannelArn: aws.String(arn)})
	if isNotBroadcasting(err) {
		return time.Time{}, false, nil
	}
	if err != nil {
		return time.Time{}, false, err
	}
	return aws.ToTime(out.Stream.StartTime), out.Stream.State == ivsLive, nil
}
