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
	"github.com/aws/aws-sdk-go-v2/service/ivs"
	ivstypes "github.com/aws/aws-sdk-go-v2/service/ivs/types"
)

// stopBroadcast takes the meeting off the air; that it is not on is no error.
// It goes on if the caller does not wait for it.
func (s *Site) stopBroadcast(ctx context.Context, meetingID string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	for {
		b, revision, err := s.broadcasts.get(ctx, meetingID)
		if err != nil || revision == 0 {
			return err
		}
		if b.Phase == phaseStopping && !b.abandoned() {
			if err := pause(ctx, pollEvery); err != nil {
				return err
			}
			continue // somebody else is stopping it
		}
		// A start under way finds its record changed and gives up; what it made
		// until then is in b, and what it is making now it removes itself.
		b.Phase, b.Deadline = phaseStopping, time.Now().Add(stopLimit)
		revision, err = s.broadcasts.put(ctx, b, revision)
		if errors.Is(err, errTaken) {
			continue
		}
		if err != nil {
			return err
		}
		if err := s.clear(ctx, b); err != nil {
			return err
		}
		return s.broadcasts.remove(ctx, meetingID, revision)
	}
}

// clear removes everything that was made for the broadcast: first the
// pipeline, then, when the channel is offline, the channel.
func (s *Site) clear(ctx context.Context, b broadcast) error {
	pipelines, err := s.pipelinesOf(ctx, b)
	if err != nil {
		return err
	}
	for _, id := range pipelines {
		_, err := s.pipelines.DeleteMediaPipeline(ctx, &chimesdkmediapipelines.DeleteMediaPipelineInput{MediaPipelineId: aws.String(id)})
		if err != nil && !isGone(err) {
			return explain("delete media pipeline", err)
		}
	}
	channels, err := s.channelsOf(ctx, b)
	if err != nil {
		return err
	}
	for _, arn := range channels {
		if err := s.deleteChannel(ctx, arn); err != nil {
			return err
		}
	}
	return nil
}

// deleteChannel deletes the channel as soon as it is offline.
func (s *Site) deleteChannel(ctx context.Context, arn string) error {
	for {
		_, err := s.channels.DeleteChannel(ctx, &ivs.DeleteChannelInput{Arn: aws.String(arn)})
		if err == nil || isGone(err) {
			return nil
		}
		if _, live := errors.AsType[*ivstypes.ConflictException](err); !live {
			return explain("delete channel", err)
		}
		if err := pause(ctx, pollEvery); err != nil {
			return explain("delete channel", fmt.Errorf("it is still live: %w", err))
		}
	}
}

// pipelinesOf returns the ids of the broadcast's pipelines. If the answer to
// the pipeline's creation got lost, it is known by its meeting and its sink.
func (s *Site) pipelinesOf(ctx context.Context, b broadcast) ([]string, error) {
	if b.PipelineID != "" {
		return []string{b.PipelineID}, nil
	}
	if b.SinkHash == "" {
		return nil, nil // it did not come so far
	}
	var found []string
	pager := chimesdkmediapipelines.NewListMediaPipelinesPaginator(s.pipelines, &chimesdkmediapipelines.ListMediaPipelinesInput{})
	for pager.HasMorePages() {
		page, err := pager.NextPage(ctx)
		if err != nil {
			return nil, explain("list media pipelines", err)
		}
		for _, p := range page.MediaPipelines {
			out, err := s.pipelines.GetMediaPipeline(ctx, &chimesdkmediapipelines.GetMediaPipelineInput{MediaPipelineId: p.MediaPipelineId})
			if isGone(err) {
				continue
			}
			if err != nil {
				return nil, explain("get media pipeline", err)
			}
			if isConnectorOf(out.MediaPipeline, b) {
				found = append(found, aws.ToString(p.MediaPipelineId))
			}
		}
	}
	return found, nil
}

func isConnectorOf(p *pipelinetypes.MediaPipeline, b broadcast) bool {
	if p == nil || p.MediaLiveConnectorPipeline == nil {
		return false
	}
	lc := p.MediaLiveConnectorPipeline
	if len(lc.Sources) == 0 || lc.Sources[0].ChimeSdkMeetingLiveConnectorConfiguration == nil ||
		len(lc.Sinks) == 0 || lc.Sinks[0].RTMPConfiguration == nil {
		return false
	}
	arn := aws.ToString(lc.Sources[0].ChimeSdkMeetingLiveConnectorConfiguration.Arn)
	return strings.HasSuffix(arn, b.MeetingID) && sinkHash(aws.ToString(lc.Sinks[0].RTMPConfiguration.Url)) == b.SinkHash
}

// channelsOf returns the ARNs of the broadcast's channels; if the answer to the
// channel's creation got lost, it is found by its name.
func (s *Site) channelsOf(ctx context.Context, b broadcast) ([]string, error) {
	if b.ChannelARN != "" {
		return []string{b.ChannelARN}, nil
	}
	if !b.Channel {
		return nil, nil
	}
	var found []string
	pager := ivs.NewListChannelsPaginator(s.channels, &ivs.ListChannelsInput{FilterByName: aws.String(b.channelName())})
	for pager.HasMorePages() {
		page, err := pager.NextPage(ctx)
		if err != nil {
			return nil, explain("list channels", err)
		}
		for _, ch := range page.Channels {
			found = append(found, aws.ToString(ch.Arn))
		}
	}
	return found, nil
}

// Sweep clears up after streams that nobody ended here: the meeting ended, the
// live connector failed, or whoever started or stopped them died on the way.
func (s *Site) Sweep(ctx context.Context) error {
	all, err := s.broadcasts.all(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for revision, b := range all {
		if err := s.sweep(ctx, b, revision); err != nil {
			errs = append(errs, fmt.Errorf("meeting %s: %w", b.MeetingID, err))
		}
	}
	return errors.Join(errs...)
}

func (s *Site) sweep(ctx context.Context, b broadcast, revision uint64) error {
	switch {
	case b.Phase == phaseFailed:
		if time.Since(b.Asked) < tellLimit {
			return nil
		}
		return s.broadcasts.remove(ctx, b.MeetingID, revision)
	case b.Phase != phaseStarted && !b.abandoned():
		return nil
	}
	st, err := s.status(ctx, b)
	switch {
	case err != nil:
		return err
	case st.State == "live" && b.Phase != phaseStarted: // it came through without its starter
		b.Phase, b.Live = phaseStarted, time.Now()
		if _, err := s.broadcasts.put(ctx, b, revision); !errors.Is(err, errTaken) {
			return err
		}
		return nil
	case st.State == "live", st.State == "starting":
		return nil
	}
	if err := s.clear(ctx, b); err != nil {
		return err
	}
	if st.State != "failed" {
		return s.broadcasts.remove(ctx, b.MeetingID, revision)
	}
	_, err = s.broadcasts.put(ctx, broadcast{MeetingID: b.MeetingID, Phase: phaseFailed, Asked: time.Now(), Cause: st.Cause, Status: http.StatusServiceUnavailable}, revision)
	if errors.Is(err, errTaken) {
		return nil
	}
	return err
}

// isNotBroadcasting says whether the channel is there but not live.
func isNotBroadcasting(err error) bool {
	_, ok := errors.AsType[*ivstypes.ChannelNotBroadcasting](err)
	return ok && httpStatus(err) == http.StatusNotFound
}
