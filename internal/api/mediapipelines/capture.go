package mediapipelines

import (
	"context"
	"encoding/json"
	"fmt"

	"belfry.live/belfry/internal/api/restjson"
	"belfry.live/belfry/internal/connector"
)

type (
	createCaptureInput struct {
		captureRequest
		commonInput
	}

	// A captureRequest is what a capture was asked to do, given back as it came.
	captureRequest struct {
		SourceType                   string
		SourceARN                    string `json:"SourceArn"`
		SinkType                     string
		SinkARN                      string          `json:"SinkArn"`
		ChimeSDKMeetingConfiguration json.RawMessage `json:"ChimeSdkMeetingConfiguration,omitempty"`
		SSEAWSKeyManagementParams    json.RawMessage `json:"SseAwsKeyManagementParams,omitempty"`
		SinkIAMRoleARN               string          `json:"SinkIamRoleArn,omitempty"`
	}

	captureConfiguration struct {
		SourceConfiguration    sourceConfiguration
		ArtifactsConfiguration *artifactsInput
	}

	artifactsInput struct {
		Audio           struct{ MuxType string }
		Video           struct{ State string }
		Content         struct{ State string }
		CompositedVideo *compositionInput
	}

	capturePipeline struct {
		captureRequest
		state
	}

	captureOutput struct {
		MediaCapturePipeline *capturePipeline
	}

	listCapturesOutput struct {
		MediaCapturePipelines []pipelineSummary
		NextToken             string `json:",omitempty"`
	}
)

func (s *service) createCapture(ctx context.Context, c restjson.Caller, in createCaptureInput) (captureOutput, error) {
	spec, err := in.spec(c, connector.Capture, in.captureRequest)
	if err == nil {
		err = in.read(&spec)
	}
	if err != nil {
		return captureOutput{}, err
	}
	p, err := s.create(ctx, spec)
	if err != nil {
		return captureOutput{}, err
	}
	out, err := shapeCapture(p)
	return captureOutput{out}, err
}

func shapeCapture(p connector.Pipeline) (*capturePipeline, error) {
	var out capturePipeline
	var err error
	out.state, err = shape(p, &out.captureRequest)
	return &out, err
}

// read reads the request's nested settings.
func (in createCaptureInput) read(spec *connector.Spec) error {
	var ok bool
	if spec.MeetingID, ok = parseMeetingARN(in.SourceARN); !ok {
		return invalid("SourceArn must be a meeting's ARN: %q", in.SourceARN)
	}
	spec.MeetingARN = in.SourceARN
	if !isBucket(in.SinkARN) {
		return invalid("SinkArn must be like arn:aws:s3:::bucket or arn:aws:s3:::bucket/prefix: %q", in.SinkARN)
	}
	spec.SinkARN = in.SinkARN
	var c captureConfiguration
	if len(in.ChimeSDKMeetingConfiguration) > 0 {
		if err := json.Unmarshal(in.ChimeSDKMeetingConfiguration, &c); err != nil {
			return fmt.Errorf("read ChimeSdkMeetingConfiguration: %w", err)
		}
	}
	c.SourceConfiguration.read(spec)
	return c.ArtifactsConfiguration.read(spec)
}

// read reads what is to be captured. Without a word about it that is the sound
// with the picture of who speaks.
func (a *artifactsInput) read(spec *connector.Spec) error {
	if a == nil {
		spec.Artifacts.AudioMuxType = activeSpeakerVideo
		return nil
	}
	const name = "ChimeSdkMeetingConfiguration.ArtifactsConfiguration"
	switch composes := a.Audio.MuxType == compositedVideo; {
	case composes && a.CompositedVideo == nil:
		return invalid("%s.CompositedVideo is required with Audio.MuxType %s", name, compositedVideo)
	case !composes && a.CompositedVideo != nil:
		return invalid("%s.Audio.MuxType must be %s with CompositedVideo: %q", name, compositedVideo, a.Audio.MuxType)
	}
	spec.Layout = a.CompositedVideo.layout()
	spec.Artifacts = connector.Artifacts{
		AudioMuxType: a.Audio.MuxType,
		Video:        a.Video.State == enabled,
		Content:      a.Content.State == enabled,
		Composited:   a.CompositedVideo != nil,
	}
	return nil
}

// capture finds a capture of the caller's; a pipeline of another kind is none.
func (s *service) capture(ctx context.Context, c restjson.Caller, id string) (connector.Pipeline, error) {
	p, err := s.find(ctx, c, id)
	if err == nil && p.Kind != connector.Capture {
		err = fmt.Errorf("%w: %s is a %s pipeline", connector.ErrNotFound, id, p.Kind)
	}
	return p, err
}

func (s *service) getCapture(ctx context.Context, c restjson.Caller, in pipelineInput) (captureOutput, error) {
	p, err := s.capture(ctx, c, in.MediaPipelineID)
	if err != nil {
		return captureOutput{}, err
	}
	out, err := shapeCapture(p)
	return captureOutput{out}, err
}

func (s *service) deleteCapture(ctx context.Context, c restjson.Caller, in pipelineInput) error {
	p, err := s.capture(ctx, c, in.MediaPipelineID)
	if err != nil {
		return err
	}
	return s.connectors.Delete(ctx, p.ID)
}

func (s *service) listCaptures(ctx context.Context, c restjson.Caller, in listInput) (listCapturesOutput, error) {
	page, next, err := s.list(ctx, c, in, connector.Capture)
	return listCapturesOutput{page, next}, err
}
