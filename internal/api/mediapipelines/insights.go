package mediapipelines

import (
	"context"
	"net/http"

	"belfry.live/belfry/internal/api/restjson"
)

// insights are the operations on call analytics, which this server does not
// do: what would make something is refused, and what was never made is not
// found.
func (s *service) insights() []restjson.Operation {
	refused := restjson.Refuse(http.StatusBadRequest, badRequest, "media insights is not available on this server")
	noPipeline := restjson.Refuse(http.StatusNotFound, notFound, "there are no media insights pipelines on this server")
	noConfiguration := restjson.Refuse(http.StatusNotFound, notFound, "there are no media insights pipeline configurations on this server")
	noVoice := restjson.Refuse(http.StatusBadRequest, badRequest, "voice analytics is not available on this server")
	noTask := restjson.Refuse(http.StatusNotFound, notFound, "there are no voice analytics tasks on this server")
	const (
		configurations = "/media-insights-pipeline-configurations"
		searches       = "/media-insights-pipelines/{Identifier}/speaker-search-tasks"
		analyses       = "/media-insights-pipelines/{Identifier}/voice-tone-analysis-tasks"
	)
	searchID := restjson.Required("SpeakerSearchTaskId", uuid)
	analysisID := restjson.Required("VoiceToneAnalysisTaskId", uuid)
	return []restjson.Operation{
		{
			Name: "CreateMediaInsightsPipeline", Method: http.MethodPost, Path: "/media-insights-pipelines", Status: http.StatusCreated,
			Input: []restjson.Member{
				restjson.Required("MediaInsightsPipelineConfigurationArn", arn),
				restjson.Optional("KinesisVideoStreamSourceRuntimeConfiguration", streamRuntime),
				restjson.Optional("MediaInsightsRuntimeMetadata", restjson.Map(identifierText, restjson.String(0, 4096), maxUnlimited)),
				restjson.Optional("KinesisVideoStreamRecordingSourceRuntimeConfiguration", recordingRuntime),
				restjson.Optional("S3RecordingSinkRuntimeConfiguration", restjson.Structure(
					restjson.Required("Destination", arn),
					restjson.Required("RecordingFileFormat", recordingFormat),
				)),
				tags, requestToken,
			},
			Class: restjson.C, Errors: []string{limitExceeded, notFound},
			Do: refused,
		},
		{
			Name: "CreateMediaInsightsPipelineConfiguration", Method: http.MethodPost, Path: configurations, Status: http.StatusCreated,
			Input: []restjson.Member{
				restjson.Required("MediaInsightsPipelineConfigurationName", ruleName),
				restjson.Required("ResourceAccessRoleArn", arn),
				restjson.Optional("RealTimeAlertConfiguration", alerts),
				restjson.Required("Elements", elements),
				tags, requestToken,
			},
			Class: restjson.C, Errors: []string{notFound, limitExceeded},
			Do: refused,
		},
		{
			Name: "GetMediaInsightsPipelineConfiguration", Method: http.MethodGet, Path: configurations + "/{Identifier}", Status: http.StatusOK,
			Input: []restjson.Member{identifier},
			Class: restjson.C, Errors: []string{notFound},
			Do: noConfiguration,
		},
		{
			Name: "UpdateMediaInsightsPipelineConfiguration", Method: http.MethodPut, Path: configurations + "/{Identifier}", Status: http.StatusOK,
			Input: []restjson.Member{
				identifier,
				restjson.Required("ResourceAccessRoleArn", arn),
				restjson.Optional("RealTimeAlertConfiguration", alerts),
				restjson.Required("Elements", elements),
			},
			Class: restjson.C, Errors: []string{notFound, conflict},
			Do: noConfiguration,
		},
		{
			Name: "DeleteMediaInsightsPipelineConfiguration", Method: http.MethodDelete, Path: configurations + "/{Identifier}",
			Status: http.StatusNoContent,
			Input:  []restjson.Member{identifier},
			Class:  restjson.C, Errors: []string{notFound, conflict},
			Do: noConfiguration,
		},
		{
			Name: "ListMediaInsightsPipelineConfigurations", Method: http.MethodGet, Path: configurations, Status: http.StatusOK,
			Input: paging,
			Class: restjson.C, Errors: []string{limitExceeded}, Gap: "there are none",
			Do: restjson.Do(noConfigurations),
		},
		{
			Name: "UpdateMediaInsightsPipelineStatus", Method: http.MethodPut, Path: "/media-insights-pipeline-status/{Identifier}", Status: http.StatusOK,
			Input: []restjson.Member{identifier, restjson.Required("UpdateStatus", restjson.Enum("Pause", "Resume"))},
			Class: restjson.C, Errors: []string{notFound, conflict},
			Do: noPipeline,
		},
		{
			Name: "StartSpeakerSearchTask", Method: http.MethodPost, Path: searches, Query: "start", Status: http.StatusCreated,
			Input: []restjson.Member{
				identifier,
				restjson.Required("VoiceProfileDomainArn", arn),
				restjson.Optional("KinesisVideoStreamSourceTaskConfiguration", streamTask),
				requestToken,
			},
			Class: restjson.C, Errors: []string{conflict, notFound},
			Do: noVoice,
		},
		{
			Name: "GetSpeakerSearchTask", Method: http.MethodGet, Path: searches + "/{SpeakerSearchTaskId}", Status: http.StatusOK,
			Input: []restjson.Member{identifier, searchID},
			Class: restjson.C, Errors: []string{notFound},
			Do: noTask,
		},
		{
			Name: "StopSpeakerSearchTask", Method: http.MethodPost, Path: searches + "/{SpeakerSearchTaskId}", Query: "stop",
			Status: http.StatusNoContent,
			Input:  []restjson.Member{identifier, searchID},
			Class:  restjson.C, Errors: []string{conflict, notFound},
			Do: noTask,
		},
		{
			Name: "StartVoiceToneAnalysisTask", Method: http.MethodPost, Path: analyses, Query: "start", Status: http.StatusCreated,
			Input: []restjson.Member{
				identifier,
				restjson.Required("LanguageCode", restjson.Enum("en-US")),
				restjson.Optional("KinesisVideoStreamSourceTaskConfiguration", streamTask),
				requestToken,
			},
			Class: restjson.C, Errors: []string{conflict, notFound},
			Do: noVoice,
		},
		{
			Name: "GetVoiceToneAnalysisTask", Method: http.MethodGet, Path: analyses + "/{VoiceToneAnalysisTaskId}", Status: http.StatusOK,
			Input: []restjson.Member{identifier, analysisID},
			Class: restjson.C, Errors: []string{notFound},
			Do: noTask,
		},
		{
			Name: "StopVoiceToneAnalysisTask", Method: http.MethodPost, Path: analyses + "/{VoiceToneAnalysisTaskId}", Query: "stop",
			Status: http.StatusNoContent,
			Input:  []restjson.Member{identifier, analysisID},
			Class:  restjson.C, Errors: []string{conflict, notFound},
			Do: noTask,
		},
	}
}

type configurationsOutput struct {
	MediaInsightsPipelineConfigurations []struct {
		Name string `json:"MediaInsightsPipelineConfigurationName"`
		ID   string `json:"MediaInsightsPipelineConfigurationId"`
		ARN  string `json:"MediaInsightsPipelineConfigurationArn"`
	}
	NextToken string `json:",omitempty"`
}

func noConfigurations(_ context.Context, c restjson.Caller, in listInput) (out configurationsOutput, err error) {
	out.MediaInsightsPipelineConfigurations, out.NextToken, err = nothing(c, "insights configurations", in, out.MediaInsightsPipelineConfigurations)
	return out, err
}

// nothing is the only page of a list of what this server does not have. No
// page has given out a token of it.
func nothing[T any](c restjson.Caller, list string, in listInput, none []T) ([]T, string, error) {
	_, _, err := restjson.Page(c, list, restjson.Sorted(none, func(T) string { return "" }), in.NextToken, defaultPage)
	return []T{}, "", err
}
