package mediapipelines

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"belfry.live/belfry/internal/api/restjson"
	"belfry.live/belfry/internal/connector"
)

// defaultPage is how many pipelines a page has unless another size is asked
// for.
const defaultPage = 100

type (
	tagShape struct{ Key, Value string }

	// What every kind of pipeline is asked.
	commonInput struct {
		ClientRequestToken string
		Tags               []tagShape
	}

	pipelineInput struct {
		MediaPipelineID string `json:"MediaPipelineId"`
	}

	listInput struct {
		NextToken  string
		MaxResults int
	}

	// What is said of every kind of pipeline.
	state struct {
		pipelineSummary
		Status           connector.Status
		CreatedTimestamp restjson.Time
		UpdatedTimestamp restjson.Time
	}

	pipelineSummary struct {
		MediaPipelineID  string `json:"MediaPipelineId"`
		MediaPipelineARN string `json:"MediaPipelineArn"`
	}

	// A union has one member, and never one of the last two: there are none.
	union struct {
		MediaLiveConnectorPipeline *liveConnector         `json:",omitempty"`
		MediaCapturePipeline       *capturePipeline       `json:",omitempty"`
		MediaConcatenationPipeline *concatenationPipeline `json:",omitempty"`
		MediaInsightsPipeline      json.RawMessage        `json:",omitempty"`
		MediaStreamPipeline        json.RawMessage        `json:",omitempty"`
	}

	getOutput struct {
		MediaPipeline union
	}

	listOutput struct {
		MediaPipelines []pipelineSummary
		NextToken      string `json:",omitempty"`
	}
)

// spec is what the caller asks for in any kind of pipeline.
func (in commonInput) spec(c restjson.Caller, k connector.Kind, request any) (connector.Spec, error) {
	tags, err := tagMap(in.Tags)
	if err != nil {
		return connector.Spec{}, err
	}
	asked, err := json.Marshal(request)
	if err != nil {
		return connector.Spec{}, fmt.Errorf("keep the request: %w", err)
	}
	return connector.Spec{
		Kind: k, RequestToken: in.ClientRequestToken, Account: c.Account, Region: c.Region, Tags: tags, Request: asked,
	}, nil
}

// create makes a pipeline. Two refusals are in AWS's words: applications look
// at the text, as the type says nothing.
func (s *service) create(ctx context.Context, spec connector.Spec) (connector.Pipeline, error) {
	p, err := s.connectors.Create(ctx, spec)
	switch {
	case errors.Is(err, connector.ErrTokenSpent):
		err = invalid("Client request token exists without active resources, please re-generate client request token")
	case errors.Is(err, connector.ErrNoCapture):
		err = noCapture(string(spec.CaptureID))
	}
	return p, err
}

func (s *service) getPipeline(ctx context.Context, c restjson.Caller, in pipelineInput) (out getOutput, err error) {
	p, err := s.find(ctx, c, in.MediaPipelineID)
	if err != nil {
		return getOutput{}, err
	}
	u := &out.MediaPipeline
	switch p.Kind {
	case connector.Capture:
		u.MediaCapturePipeline, err = shapeCapture(p)
	case connector.Concatenation:
		u.MediaConcatenationPipeline, err = shapeConcatenation(p)
	default:
		u.MediaLiveConnectorPipeline, err = shapeLiveConnector(p)
	}
	return out, err
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
	page, next, err := s.list(ctx, c, in, "")
	return listOutput{page, next}, err
}

// list returns a page of the caller's pipelines of the kind ("": all), oldest
// first.
func (s *service) list(ctx context.Context, c restjson.Caller, in listInput, k connector.Kind) ([]pipelineSummary, string, error) {
	all, err := s.connectors.List(ctx, c.Account, c.Region)
	if err != nil {
		return nil, "", err
	}
	var found []connector.Pipeline
	for _, p := range all {
		if k == "" || p.Kind == k {
			found = append(found, p)
		}
	}
	page, next, err := restjson.Page(c, strings.TrimSpace(string(k)+" pipelines"), restjson.Sorted(found, func(p connector.Pipeline) string {
		return fmt.Sprintf("%020d %s", p.Created.UnixNano(), p.ID)
	}), in.NextToken, cmp.Or(in.MaxResults, defaultPage))
	if err != nil {
		return nil, "", err
	}
	summaries := []pipelineSummary{}
	for _, p := range page {
		summaries = append(summaries, summary(p))
	}
	return summaries, next, nil
}

func summary(p connector.Pipeline) pipelineSummary {
	return pipelineSummary{string(p.ID), pipelineARN(p)}
}

// shape reads what the pipeline was asked into request, and returns the rest.
func shape(p connector.Pipeline, request any) (state, error) {
	if err := json.Unmarshal(p.Request, request); err != nil {
		return state{}, fmt.Errorf("read what pipeline %s was asked: %w", p.ID, err)
	}
	return state{summary(p), p.Status, restjson.Time(p.Created), restjson.Time(p.Updated)}, nil
}
