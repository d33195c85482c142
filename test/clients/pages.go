package clients

import (
	"context"
	"iter"

	"github.com/aws/aws-sdk-go-v2/service/chimesdkmediapipelines"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
)

type page struct {
	output any
	err    error
}

// A paginator is one of the Go client's, Options the type of its client's.
type paginator[Output, Options any] interface {
	HasMorePages() bool
	NextPage(context.Context, ...func(*Options)) (Output, error)
}

func each[Output, Options any](ctx context.Context, p paginator[Output, Options]) iter.Seq[page] {
	return func(yield func(page) bool) {
		for p.HasMorePages() {
			output, err := p.NextPage(ctx)
			if !yield(page{output, err}) || err != nil {
				return
			}
		}
	}
}

// pagesOf returns the pages of a list, by the paginator for the input; none if
// the client has no paginator.
func pagesOf(ctx context.Context, c goClients, input any, size int) iter.Seq[page] {
	n := int32(size)
	switch in := input.(type) {
	case *chimesdkmeetings.ListAttendeesInput:
		in.MaxResults = &n
		return each(ctx, chimesdkmeetings.NewListAttendeesPaginator(c.meetings, in))
	case *chimesdkmediapipelines.ListMediaPipelinesInput:
		in.MaxResults = &n
		return each(ctx, chimesdkmediapipelines.NewListMediaPipelinesPaginator(c.pipelines, in))
	case *chimesdkmediapipelines.ListMediaCapturePipelinesInput:
		in.MaxResults = &n
		return each(ctx, chimesdkmediapipelines.NewListMediaCapturePipelinesPaginator(c.pipelines, in))
	case *ivs.ListChannelsInput:
		in.MaxResults = &n
		return each(ctx, ivs.NewListChannelsPaginator(c.ivs, in))
	case *ivs.ListStreamKeysInput:
		in.MaxResults = &n
		return each(ctx, ivs.NewListStreamKeysPaginator(c.ivs, in))
	case *ivs.ListStreamsInput:
		in.MaxResults = &n
		return each(ctx, ivs.NewListStreamsPaginator(c.ivs, in))
	case *ivs.ListStreamSessionsInput:
		in.MaxResults = &n
		return each(ctx, ivs.NewListStreamSessionsPaginator(c.ivs, in))
	case *ivs.ListRecordingConfigurationsInput:
		in.MaxResults = &n
		return each(ctx, ivs.NewListRecordingConfigurationsPaginator(c.ivs, in))
	case *ivs.ListPlaybackKeyPairsInput:
		in.MaxResults = &n
		return each(ctx, ivs.NewListPlaybackKeyPairsPaginator(c.ivs, in))
	case *ivs.ListPlaybackRestrictionPoliciesInput:
		in.MaxResults = &n
		return each(ctx, ivs.NewListPlaybackRestrictionPoliciesPaginator(c.ivs, in))
	}
	return func(func(page) bool) {}
}
