package mediapipelines

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"belfry.live/belfry/internal/api/restjson"
	"belfry.live/belfry/internal/connector"
)

type (
	createInput struct {
		request
		commonInput
	}

	// A request is what a pipeline was asked to do, given back as it came.
	request struct {
		Sources, Sinks json.RawMessage
	}

	sourceInput struct {
		Configuration struct {
			ARN                 string `json:"Arn"`
			MuxType             string
			CompositedVideo     *compositionInput
			SourceConfiguration sourceConfiguration
		} `json:"ChimeSdkMeetingLiveConnectorConfiguration"`
	}

	sourceConfiguration struct {
		SelectedVideoStreams struct {
			AttendeeIDs     []string `json:"AttendeeIds"`
			ExternalUserIDs []string `json:"ExternalUserIds"`
		}
	}

	compositionInput struct {
		Resolution            string
		GridViewConfiguration struct{ CanvasOrientation string }
		CanvasOrientation     string
	}

	sinkInput struct {
		RTMPConfiguration struct {
			URL             string `json:"Url"`
			AudioChannels   string
			AudioSampleRate string
		}
	}

	liveConnector struct {
		request
		state
	}

	createOutput struct {
		MediaLiveConnectorPipeline *liveConnector
	}
)

func (s *service) createLiveConnector(ctx context.Context, c restjson.Caller, in createInput) (createOutput, error) {
	spec, err := in.spec(c, connector.LiveConnector, in.request)
	if err == nil {
		err = in.read(&spec)
	}
	if err != nil {
		return createOutput{}, err
	}
	p, err := s.create(ctx, spec)
	if err != nil {
		return createOutput{}, err
	}
	out, err := shapeLiveConnector(p)
	return createOutput{out}, err
}

func shapeLiveConnector(p connector.Pipeline) (*liveConnector, error) {
	var out liveConnector
	var err error
	out.state, err = shape(p, &out.request)
	return &out, err
}

// read reads the request's nested settings.
func (in createInput) read(spec *connector.Spec) error {
	var sources []sourceInput
	var sinks []sinkInput
	if err := json.Unmarshal(in.Sources, &sources); err != nil {
		return fmt.Errorf("read Sources: %w", err)
	}
	if err := json.Unmarshal(in.Sinks, &sinks); err != nil {
		return fmt.Errorf("read Sinks: %w", err)
	}
	source, sink := sources[0].Configuration, sinks[0].RTMPConfiguration
	const sourceName = "Sources[0].ChimeSdkMeetingLiveConnectorConfiguration"

	meetingID, ok := parseMeetingARN(source.ARN)
	if !ok {
		return invalid("%s.Arn must be a meeting's ARN: %q", sourceName, source.ARN)
	}
	if source.MuxType == compositedVideo && source.CompositedVideo == nil {
		return invalid("%s.CompositedVideo is required with MuxType %s", sourceName, compositedVideo)
	}
	if !isSinkURL(sink.URL) {
		return invalid("Sinks[0].RTMPConfiguration.Url must be like rtmp://host/app/key or rtmps://host/app/key")
	}
	spec.MeetingID, spec.MeetingARN = meetingID, source.ARN
	spec.MuxType = source.MuxType
	spec.Layout = source.CompositedVideo.layout()
	spec.SinkURL = connector.NewSinkURL(sink.URL)
	spec.SampleRate, spec.Channels = 48000, 1
	source.SourceConfiguration.read(spec)
	if sink.AudioSampleRate == "44100" {
		spec.SampleRate = 44100
	}
	if sink.AudioChannels == "Stereo" {
		spec.Channels = 2
	}
	return nil
}

// layout is what the composition says of the canvas.
func (v *compositionInput) layout() connector.Layout {
	l := connector.Layout{Resolution: "HD"}
	if v == nil {
		return l
	}
	if v.Resolution != "" {
		l.Resolution = v.Resolution
	}
	l.Portrait = v.CanvasOrientation == portrait || v.GridViewConfiguration.CanvasOrientation == portrait
	return l
}

func (c sourceConfiguration) read(spec *connector.Spec) {
	selected := c.SelectedVideoStreams
	for _, id := range selected.AttendeeIDs {
		spec.SelectedAttendeeIDs = append(spec.SelectedAttendeeIDs, strings.ToLower(id))
	}
	spec.SelectedExternalUserIDs = selected.ExternalUserIDs
}

func isSinkURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "rtmp" || u.Scheme == "rtmps") && u.Hostname() != "" && strings.Trim(u.Path, "/") != ""
}
