package mediapipelines

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"

	"belfry.live/belfry/internal/api/restjson"
	"belfry.live/belfry/internal/connector"
)

type (
	createConcatenationInput struct {
		request
		commonInput
	}

	captureSourceInput struct {
		Configuration struct {
			ARN                          string `json:"MediaPipelineArn"`
			ChimeSDKMeetingConfiguration struct {
				ArtifactsConfiguration struct {
					Video, Content, DataChannel, TranscriptionMessages, MeetingEvents, CompositedVideo struct{ State string }
				}
			} `json:"ChimeSdkMeetingConfiguration"`
		} `json:"MediaCapturePipelineSourceConfiguration"`
	}

	bucketSinkInput struct {
		S3BucketSinkConfiguration struct{ Destination string }
	}

	concatenationPipeline struct {
		request
		state
	}

	concatenationOutput struct {
		MediaConcatenationPipeline *concatenationPipeline
	}
)

func (s *service) createConcatenation(ctx context.Context, c restjson.Caller, in createConcatenationInput) (concatenationOutput, error) {
	spec, err := in.spec(c, connector.Concatenation, in.request)
	if err == nil {
		err = in.read(c, &spec)
	}
	if err != nil {
		return concatenationOutput{}, err
	}
	p, err := s.create(ctx, spec)
	if err != nil {
		return concatenationOutput{}, err
	}
	out, err := shapeConcatenation(p)
	return concatenationOutput{out}, err
}

func shapeConcatenation(p connector.Pipeline) (*concatenationPipeline, error) {
	var out concatenationPipeline
	var err error
	out.state, err = shape(p, &out.request)
	return &out, err
}

// read reads the request's nested settings.
func (in createConcatenationInput) read(c restjson.Caller, spec *connector.Spec) error {
	var sources []captureSourceInput
	var sinks []bucketSinkInput
	if err := json.Unmarshal(in.Sources, &sources); err != nil {
		return fmt.Errorf("read Sources: %w", err)
	}
	if err := json.Unmarshal(in.Sinks, &sinks); err != nil {
		return fmt.Errorf("read Sinks: %w", err)
	}
	source, sink := sources[0].Configuration, sinks[0].S3BucketSinkConfiguration
	at, id, ok := parseARN(source.ARN, "media-pipeline")
	if !ok || !at.isOf(c) {
		return noCapture(source.ARN)
	}
	if !isBucket(sink.Destination) {
		return invalid("Sinks[0].S3BucketSinkConfiguration.Destination must be like arn:aws:s3:::bucket or arn:aws:s3:::bucket/prefix: %q",
			sink.Destination)
	}
	spec.CaptureID, spec.SinkARN = connector.ID(id), sink.Destination
	a := source.ChimeSDKMeetingConfiguration.ArtifactsConfiguration
	spec.Artifacts = connector.Artifacts{
		Video:                 a.Video.State == enabled,
		Content:               a.Content.State == enabled,
		Composited:            a.CompositedVideo.State == enabled,
		DataChannel:           a.DataChannel.State == enabled,
		TranscriptionMessages: a.TranscriptionMessages.State == enabled,
		MeetingEvents:         a.MeetingEvents.State == enabled,
	}
	return nil
}

func noCapture(name string) error { return invalid("Invalid capture pipeline ARN: %.200q", name) }

var bucket = regexp.MustCompile(`^arn:aws:s3:::[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.+)?$`)

// isBucket says whether the ARN is of a bucket, or of a prefix in one.
func isBucket(arn string) bool { return bucket.MatchString(arn) }
