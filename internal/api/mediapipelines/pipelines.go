package mediapipelines

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"belfry.live/belfry/internal/api/restjson"
	"belfry.live/belfry/internal/connector"
)

// defaultPage is how many pipelines a page has unless another size is asked
// for.
const defaultPage = 100

type (
	createInput struct {
		request
		ClientRequestToken string
		Tags               []struct{ Key, Value string }
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
			SourceConfiguration struct {
				SelectedVideoStreams struct {
					AttendeeIDs     []string `json:"AttendeeIds"`
					ExternalUserIDs []string `json:"ExternalUserIds"`
				}
			}
		} `json:"ChimeSdkMeetingLiveConnectorConfiguration"`
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

	pipelineInput struct {
		MediaPipelineID string `json:"MediaPipelineId"`
	}

	listInput struct {
		NextToken  string
		MaxResults int
	}

	liveConnector struct {
		request
		pipelineSummary
		Status           connector.Status
		CreatedTimestamp restjson.Time
		UpdatedTimestamp restjson.Time
	}

	pipelineSummary struct {
		MediaPipelineID  string `json:"MediaPipelineId"`
		MediaPipelineARN string `json:"MediaPipelineArn"`
	}

	createOutput struct {
		MediaLiveConnectorPipeline liveConnector
	}

	getOutput struct {
		MediaPipeline createOutput
	}

	listOutput struct {
		MediaPipelines []pipelineSummary
		NextToken      string `json:",omitempty"`
	}
)

func (s *service) createLiveConnector(ctx context.Context, c restjson.Caller, in createInput) (createOutput, error) {
	spec, err := in.spec()
	if err != nil {
		return createOutput{}, err
	}
	spec.Account, spec.Region = c.Account, c.Region
	p, err := s.connectors.Create(ctx, spec)
	if err != nil {
		return createOutput{}, err
	}
	return shape(p)
}

// spec reads the request's nested settings.
func (in createInput) spec() (connector.Spec, error) {
	var sources []sourceInput
	var sinks []sinkInput
	if err := json.Unmarshal(in.Sources, &sources); err != nil {
		return connector.Spec{}, fmt.Errorf("read Sources: %w", err)
	}
	if err := json.Unmarshal(in.Sinks, &sinks); err != nil {
		return connector.Spec{}, fmt.Errorf("read Sinks: %w", err)
	}
	source, sink := sources[0].Configuration, sinks[0].RTMPConfiguration
	const sourceName = "Sources[0].ChimeSdkMeetingLiveConnectorConfiguration"

	meetingID, ok := parseMeetingARN(source.ARN)
	if !ok {
		return connector.Spec{}, invalid("%s.Arn must be a meeting's ARN: %q", sourceName, source.ARN)
	}
	if source.MuxType == compositedVideo && source.CompositedVideo == nil {
		return connector.Spec{}, invalid("%s.CompositedVideo is required with MuxType %s", sourceName, compositedVideo)
	}
	if !isSinkURL(sink.URL) {
		return connector.Spec{}, invalid("Sinks[0].RTMPConfiguration.Url must be like rtmp://host/app/key or rtmps://host/app/key")
	}
	tags := make(map[string]string, len(in.Tags))
	for _, t := range in.Tags {
		if _, twice := tags[t.Key]; twice {
			return connector.Spec{}, invalid("Tags has the key %q twice", t.Key)
		}
		tags[t.Key] = t.Value
	}
	asked, err := json.Marshal(in.request)
	if err != nil {
		return connector.Spec{}, fmt.Errorf("keep the request: %w", err)
	}
	selected := source.SourceConfiguration.SelectedVideoStreams
	spec := connector.Spec{
		RequestToken: in.ClientRequestToken,
		MeetingID:    meetingID,
		MeetingARN:   source.ARN,
		MuxType:      source.MuxType,
		Layout:       connector.Layout{Resolution: "HD"},
		SinkURL:      connector.NewSinkURL(sink.URL),
		SampleRate:   48000,
		Channels:     1,
		Tags:         tags,
		Request:      asked,

		SelectedAttendeeIDs:     lower(selected.AttendeeIDs),
		SelectedExternalUserIDs: selected.ExternalUserIDs,
	}
	if v := source.CompositedVideo; v != nil {
		if v.Resolution != "" {
			spec.Layout.Resolution = v.Resolution
		}
		spec.Layout.Portrait = v.CanvasOrientation == portrait || v.GridViewConfiguration.CanvasOrientation == portrait
	}
	if sink.AudioSampleRate == "44100" {
		spec.SampleRate = 44100
	}
	if sink.AudioChannels == "Stereo" {
		spec.Channels = 2
	}
	return spec, nil
}

// parseMeetingARN returns the id of the meeting in any form that applications
// write: with and without a region, with a slash or a colon before the id.
//
//	arn:aws:chime:[region]:<account>:meeting[/:]<id>
//
// Applications write their own account into it, or none, so whatever it says of
// that is taken; whose the meeting is, is found out when it is looked up.
func parseMeetingARN(arn string) (id string, ok bool) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "chime" {
		return "", false
	}
	for _, prefix := range []string{"meeting/", "meeting:"} {
		if id, ok := strings.CutPrefix(parts[5], prefix); ok && uuid.Allows(id) {
			return strings.ToLower(id), true
		}
	}
	return "", false
}

func isSinkURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "rtmp" || u.Scheme == "rtmps") && u.Hostname() != "" && strings.Trim(u.Path, "/") != ""
}

func lower(ids []string) []string {
	for i, id := range ids {
		ids[i] = strings.ToLower(id)
	}
	return ids
}

func (s *service) getPipeline(ctx context.Context, c restjson.Caller, in pipelineInput) (getOutput, error) {
	p, err := s.find(ctx, c, in.MediaPipelineID)
	if err != nil {
		return getOutput{}, err
	}
	out, err := shape(p)
	return getOutput{out}, err
}

func (s *service) deletePipeline(ctx context.Context, c restjson.Caller, in pipelineInput) error {
	p, err := s.find(ctx, c, in.MediaPipelineID)
	if err != nil {
		return err
	}
	return s.connectors.Delete(ctx, p.ID)
}

// find returns a pipeline of the caller's account and region.
func (s *service) find(ctx context.Context, c restjson.Caller, id string) (connector.Pipeline, error) {
	p, err := s.connectors.Get(ctx, connector.ID(strings.ToLower(id)))
	if err == nil && (p.Account != c.Account || p.Region != c.Region) {
		err = connector.ErrNotFound
	}
	if err != nil {
		return connector.Pipeline{}, fmt.Errorf("%w: %s in %s", err, id, c.Region)
	}
	return p, nil
}

func (s *service) listPipelines(ctx context.Context, c restjson.Caller, in listInput) (listOutput, error) {
	all, err := s.connectors.List(ctx, c.Account, c.Region)
	if err != nil {
		return listOutput{}, err
	}
	page, next, err := restjson.Page(c, "pipelines", restjson.Sorted(all, func(p connector.Pipeline) string {
		return fmt.Sprintf("%020d %s", p.Created.UnixNano(), p.ID)
	}), in.NextToken, cmp.Or(in.MaxResults, defaultPage))
	if err != nil {
		return listOutput{}, err
	}
	out := listOutput{MediaPipelines: []pipelineSummary{}, NextToken: next}
	for _, p := range page {
		out.MediaPipelines = append(out.MediaPipelines, summary(p))
	}
	return out, nil
}

func shape(p connector.Pipeline) (createOutput, error) {
	var asked request
	if err := json.Unmarshal(p.Request, &asked); err != nil {
		return createOutput{}, fmt.Errorf("read what pipeline %s was asked: %w", p.ID, err)
	}
	return createOutput{liveConnector{
		request:          asked,
		pipelineSummary:  summary(p),
		Status:           p.Status,
		CreatedTimestamp: restjson.Time(p.Created),
		UpdatedTimestamp: restjson.Time(p.Updated),
	}}, nil
}

func summary(p connector.Pipeline) pipelineSummary {
	return pipelineSummary{
		MediaPipelineID:  string(p.ID),
		MediaPipelineARN: fmt.Sprintf("arn:aws:chime:%s:%s:media-pipeline/%s", p.Region, p.Account, p.ID),
	}
}
