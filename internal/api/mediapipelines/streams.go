package mediapipelines

import (
	"context"
	"net/http"

	"belfry.live/belfry/internal/api/restjson"
)

// streams are the operations that need Kinesis Video Streams, which this
// server does not have.
func (s *service) streams() []restjson.Operation {
	const pools = "/media-pipeline-kinesis-video-stream-pools"
	noPool := restjson.Refuse(http.StatusNotFound, notFound, "there are no Kinesis video stream pools on this server")
	return []restjson.Operation{
		{
			Name: "CreateMediaStreamPipeline", Method: http.MethodPost, Path: "/sdk-media-stream-pipelines", Status: http.StatusCreated,
			Input: []restjson.Member{
				restjson.Required("Sources", restjson.List(restjson.Structure(
					restjson.Required("SourceType", restjson.Enum("ChimeSdkMeeting")),
					restjson.Required("SourceArn", arn),
				), 1, maxUnlimited)),
				restjson.Required("Sinks", restjson.List(restjson.Structure(
					restjson.Required("SinkArn", arn),
					restjson.Required("SinkType", restjson.Enum("KinesisVideoStreamPool")),
					restjson.Required("ReservedStreamCapacity", restjson.Integer(1, 10)),
					restjson.Required("MediaStreamType", restjson.Enum("MixedAudio", "IndividualAudio")),
				), 1, 2)),
				requestToken, tags,
			},
			Class: restjson.C, Errors: []string{notFound, limitExceeded},
			Do: restjson.Refuse(http.StatusBadRequest, badRequest,
				"media stream pipelines need Kinesis Video Streams, which this server does not have; use a capture pipeline"),
		},
		{
			Name: "CreateMediaPipelineKinesisVideoStreamPool", Method: http.MethodPost, Path: pools, Status: http.StatusCreated,
			Input: []restjson.Member{
				restjson.Required("StreamConfiguration", restjson.Structure(
					restjson.Required("Region", restjson.String(1, 32).Matching(`([a-z]+-){2,}\d+`, "a region, like us-east-1")),
					restjson.Optional("DataRetentionInHours", restjson.Integer(0, maxHours)),
				)),
				restjson.Required("PoolName", restjson.String(1, 128).Matching(`[0-9a-zA-Z._-]+`, "letters, digits and ._-")),
				requestToken, tags,
			},
			Class: restjson.C, Errors: []string{limitExceeded, conflict},
			Do: restjson.Refuse(http.StatusBadRequest, badRequest, "Kinesis Video Streams is not available on this server"),
		},
		{
			Name: "GetMediaPipelineKinesisVideoStreamPool", Method: http.MethodGet, Path: pools + "/{Identifier}", Status: http.StatusOK,
			Input: []restjson.Member{identifier},
			Class: restjson.C, Errors: []string{notFound},
			Do: noPool,
		},
		{
			Name: "UpdateMediaPipelineKinesisVideoStreamPool", Method: http.MethodPut, Path: pools + "/{Identifier}", Status: http.StatusOK,
			Input: []restjson.Member{
				identifier,
				restjson.Optional("StreamConfiguration", restjson.Structure(
					restjson.Optional("DataRetentionInHours", restjson.Integer(1, maxHours)),
				)),
			},
			Class: restjson.C, Errors: []string{notFound, conflict},
			Do: noPool,
		},
		{
			Name: "DeleteMediaPipelineKinesisVideoStreamPool", Method: http.MethodDelete, Path: pools + "/{Identifier}", Status: http.StatusNoContent,
			Input: []restjson.Member{identifier},
			Class: restjson.C, Errors: []string{notFound, conflict},
			Do: noPool,
		},
		{
			Name: "ListMediaPipelineKinesisVideoStreamPools", Method: http.MethodGet, Path: pools, Status: http.StatusOK,
			Input: paging,
			Class: restjson.C, Errors: []string{limitExceeded}, Gap: "there are none",
			Do: restjson.Do(noPools),
		},
	}
}

// maxHours bounds a number that the model does not.
const maxHours = 1 << 31

type poolsOutput struct {
	KinesisVideoStreamPools []struct {
		PoolName string
		PoolID   string `json:"PoolId"`
		PoolARN  string `json:"PoolArn"`
	}
	NextToken string `json:",omitempty"`
}

func noPools(_ context.Context, c restjson.Caller, in listInput) (out poolsOutput, err error) {
	out.KinesisVideoStreamPools, out.NextToken, err = nothing(c, "stream pools", in, out.KinesisVideoStreamPools)
	return out, err
}
